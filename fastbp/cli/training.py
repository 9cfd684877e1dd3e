"""Fits the Pipeline of a table: the preparation of columns, then one of the estimators."""

import sys
import warnings
from typing import NamedTuple

import numpy as np

from ..training.callbacks import Callback, EarlyStopping, ProgressBar
from . import preparing, tables
from .live import LiveChart
from .options import note


class Trained(NamedTuple):
    """Result of a training.

    Attributes
    ----------
    model : Pipeline
        Its steps are "columns" and "network".
    loss, validation_loss : list of float
        The loss of each epoch; for a regression in units of the target's variance, or of that of
        its logarithm.
    best_epoch : int or None
        The epoch that the model's weights are from; None for the last one.
    planned : int
        Maximum number of epochs.
    interrupted : bool
        Whether Ctrl-C ended the training.
    backend : str
        Name of the backend that computed.
    """

    model: object
    loss: list
    validation_loss: list
    best_epoch: int | None
    planned: int
    interrupted: bool
    backend: str


class Watch(Callback):
    """Records the loss on validation data after each epoch, and stops early without improvement.

    Parameters
    ----------
    X, y : ndarray
        Validation data in the network's form, or None.
    patience : int or None
        As in `EarlyStopping`; None to train for all epochs.
    """

    def __init__(self, X, y, patience):
        self.X, self.y = X, y
        stops = X is not None and patience is not None
        self.stopping = EarlyStopping(patience) if stops else Callback()

    def begin(self, network, history):
        self.history = history
        if self.X is not None:
            self._data = network._engine.data(self.X, self.y)
        self.stopping.begin(network, history)

    def epoch(self, network, history):
        if self.X is not None:
            history.validation_loss.append(network._engine.mean_loss(self._data))
        return self.stopping.epoch(network, history)

    def end(self, network, history):
        self.stopping.end(network, history)


def train(features, problem, parts, chosen, options):
    """Fit the preparation and the network.

    Parameters
    ----------
    features : DataFrame
        Features of all rows.
    problem : Problem
    parts : Parts
        Rows for training and validation.
    chosen : dict of str to Reading
        The columns to learn from.
    options : namespace
        Options of the command `train`.

    Returns
    -------
    Trained
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import Pipeline

    from ..estimators.mlp import MLPClassifier, MLPRegressor
    from ..estimators.rules import NOT_FINITE

    prepare = preparing.transformer(chosen)
    prepare.fit(features.iloc[parts.training])
    inputs = preparing.transform(prepare, features, tables.shown(options.data))
    X = inputs[parts.training]
    y, mean, spread = problem.y, 0.0, 1.0
    classifies = problem.task == "classification"
    if classifies:
        seen = np.searchsorted(np.unique(y), y)  # the network's class indices
    else:
        y = np.log(y) if options.log_target else y
        mean, spread = y[parts.training].mean(), y[parts.training].std() or 1.0
        y = seen = (y - mean) / spread
    held_out = (None, None)
    if len(parts.validation):
        rows = parts.validation
        held_out = (inputs[rows], seen[rows])
    watch = Watch(*held_out, options.patience)
    callbacks: list = [watch]
    if sys.stderr.isatty():
        callbacks.append((LiveChart if options.live else ProgressBar)(options.epochs))
    elif options.live:
        note("--live draws in a terminal only, and standard error is none")
    network = (MLPClassifier if classifies else MLPRegressor)(
        hidden_layer_sizes=options.hidden,
        activation=options.activation,
        solver=options.optimizer,
        alpha=options.l2,
        batch_size=min(options.batch_size, len(X)),
        learning_rate_init=options.learning_rate,
        max_iter=options.epochs,
        random_state=options.seed,
        n_iter_no_change=options.epochs,  # the training loss never stops the training
        backend=options.backend,
        threads=options.threads,
        dtype="float32",
        callbacks=callbacks,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            network.fit(X, y[parts.training])
        except ValueError as error:
            if NOT_FINITE in str(error):
                smaller = min(1e-3, options.learning_rate / 10)
                raise ValueError(
                    f"training diverged: --learning-rate {options.learning_rate:g} is too large; "
                    f"try {smaller:g}"
                ) from error
            raise
    backend = network._network().backend
    # Callbacks cannot be saved, and the machine that loads the model chooses its own backend.
    network.set_params(callbacks=(), backend=None, threads=None)
    interrupted = False
    for warning in caught:
        if "interrupted by user" in str(warning.message):
            interrupted = True
        elif not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    _to_units(network, mean, spread)
    history = watch.history
    return Trained(
        Pipeline([("columns", prepare), ("network", network)]),
        history.loss,
        history.validation_loss,
        history.best_epoch,
        options.epochs,
        interrupted,
        backend,
    )


def _to_units(network, mean, spread):
    """Rescale the last layer, which is linear, so that the network predicts y unscaled."""
    if (mean, spread) != (0.0, 1.0):
        network.coefs_[-1][...] *= spread
        network.intercepts_[-1][...] = network.intercepts_[-1] * spread + mean


def draw(trained, path):
    """Write the learning curve as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..plots import LearningCurveDisplay, common

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    LearningCurveDisplay(trained.loss, trained.validation_loss, best_epoch=trained.best_epoch).plot(
        ax=ax
    )
    common.save(figure, path, dpi=120)
