"""A single network for `train`: its options, and its training."""

import argparse
import sys
import warnings
from types import MappingProxyType

import numpy as np

from ..basis import spec
from ..training.callbacks import Callback, EarlyStopping, ProgressBar
from . import preparing, tables
from .live import LiveChart
from .options import WrongUsage, fraction, not_negative, note, positive, sizes, whole_number
from .trained import Trained

# Without one of these options, `train` trains an ensemble.
DEFAULTS = MappingProxyType(
    {
        "validation": 0.15,
        "hidden": [64, 64],
        "activation": "relu",
        "optimizer": "adam",
        "epochs": 200,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "l2": 0.1,
        "patience": 20,
        "live": False,
    }
)


def add_options(command):
    """Add the options of a single network to the command `train`."""
    network = command.add_argument_group(
        "a single network", "Each of these options trains one network instead of an ensemble."
    )
    network.add_argument("--network", action="store_true", help="one network, with the defaults")

    def add(*names, help, **settings):
        network.add_argument(*names, default=argparse.SUPPRESS, help=help, **settings)

    add(
        "--validation",
        type=fraction,
        metavar="SHARE",
        help="of the rows, to stop the training in time (default: 0.15)",
    )
    add(
        "--hidden",
        type=sizes,
        metavar="SIZES",
        help="of the hidden layers; none for a linear model (default: 64,64)",
    )
    add(
        "--activation",
        choices=sorted(spec.HIDDEN_ACTIVATIONS),
        metavar="NAME",
        help=f"one of {', '.join(spec.HIDDEN_ACTIVATIONS)} (default: relu)",
    )
    add(
        "--optimizer",
        choices=["adam", "sgd"],
        help="sgd has Nesterov's momentum 0.9 (default: adam)",
    )
    add("--epochs", type=whole_number, metavar="N", help="at most (default: 200)")
    add("--batch-size", type=whole_number, metavar="N", help="default: 64")
    add("--learning-rate", type=positive, metavar="RATE", help="default: 0.001")
    add(
        "--l2",
        type=not_negative,
        metavar="STRENGTH",
        help="of the penalty on large weights, see MLPClassifier's alpha (default: 0.1)",
    )
    add(
        "--patience",
        type=whole_number,
        metavar="N",
        help="early stopping: end after N epochs in a row without a better validation loss, and "
        "go back to the best one (default: 20)",
    )
    add(
        "--no-early-stopping",
        dest="patience",
        action="store_const",
        const=None,
        help="train for all epochs",
    )
    add(
        "--live",
        action="store_true",
        help="draw the losses in the terminal during the training (needs rich)",
    )


def settle(options):
    """Decide whether to train a single network, and fill in the defaults of its options.

    Raises
    ------
    WrongUsage
        If options contradict each other.
    """
    given = [name for name in DEFAULTS if hasattr(options, name)]
    options.network = options.network or bool(given)
    if options.network and options.time is not None:
        option = f"--{given[0].replace('_', '-')}" if given else "--network"
        raise WrongUsage(
            f"--time is for an ensemble, but {option} asks for a single network, which --epochs "
            "limits"
        )
    for name, value in DEFAULTS.items():
        if name not in given:
            setattr(options, name, value)
    if not options.network:
        options.validation = 0.0  # each network of the ensemble has rows held out from it
    if options.validation + options.test >= 1:
        raise WrongUsage("--validation and --test together must leave rows for training")


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
    """Fit the preparation of the columns and a network.

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
        backend,
        interrupted,
        history.loss,
        history.validation_loss,
        history.best_epoch,
        options.epochs,
    )


def _to_units(network, mean, spread):
    """Rescale the last layer, which is linear, so that the network predicts y unscaled."""
    if (mean, spread) != (0.0, 1.0):
        network.coefs_[-1][...] *= spread
        network.intercepts_[-1][...] = network.intercepts_[-1] * spread + mean
