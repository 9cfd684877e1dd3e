"""Trains the model of a table: an ensemble of networks, or a single one."""

import sys
import warnings

import numpy as np

from . import single
from .options import note, printable, shortened
from .trained import Trained

# At most so many columns are drawn.
MOST_DRAWN = 20


def train(table, chosen, options):
    """Train what the options of the command `train` ask for.

    Parameters
    ----------
    table : learnt.Table
    chosen : dict of str to Reading
        The columns to learn from.
    options : namespace

    Returns
    -------
    Trained
    """
    if options.network:
        return single.train(table.features, table.problem, table.parts, chosen, options)
    return _ensemble(table, options)


def _ensemble(table, options):
    """Train an estimator for tables on the features."""
    from .. import backends
    from ..tabular.estimators import TabularClassifier, TabularRegressor

    rows = table.parts.training
    y = table.problem.y[rows]
    if options.log_target:
        y = np.log(y)
    made = TabularClassifier if table.problem.task == "classification" else TabularRegressor
    model = made(
        time_budget=options.time,
        n_jobs=options.threads,
        random_state=options.seed,
        backend=options.backend,
        progress=sys.stderr.isatty(),
    )
    interrupted = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(_with_categories(table.features.iloc[rows]), y)
    for warning in caught:
        if "the model has only the networks" in str(warning.message):
            interrupted = True
        note(f"warning: {warning.message}")
    backend = backends.get(options.backend).name
    # The machine that loads the model chooses its own backend and threads.
    model.set_params(backend=None, n_jobs=None, progress=False)
    return Trained(model, backend, interrupted)


def _with_categories(features):
    """Return features whose dtype says that texts are categories, however many there are."""
    texts = [name for name in features if features[name].dtype != np.float64]
    return features.astype(dict.fromkeys(texts, "category"))


def draw(trained, path):
    """Write a picture: the importance of the columns, or the learning curve of a single network."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..plots import common

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    if trained.recipes:
        _draw_importances(trained.model, figure.subplots())
    else:
        draw_curve(trained, figure.subplots())
    common.save(figure, path, dpi=120)


def draw_curve(trained, ax):
    """Draw the learning curve of a single network."""
    from ..plots import LearningCurveDisplay

    LearningCurveDisplay(trained.loss, trained.validation_loss, best_epoch=trained.best_epoch).plot(
        ax=ax
    )


def _draw_importances(model, ax):
    mean, spread = model.feature_importances_, model.feature_importances_std_
    shown = np.argsort(mean)[-MOST_DRAWN:]
    ax.barh(range(len(shown)), mean[shown], xerr=spread[shown], ecolor="0.5")
    names = [shortened(printable(str(name)), 24) for name in model.feature_names_in_[shown]]
    ax.set_yticks(range(len(shown)), [name.replace("$", r"\$") for name in names])
    ax.set_title(f"Importance of the columns{'' if len(shown) == len(mean) else ' (largest)'}")
    ax.set_xlabel("increase of the loss of held-out rows if the column is shuffled")
