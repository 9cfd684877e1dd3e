"""The checked options of a training, and the learning rates of its steps."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..basis import checks, names
from ..basis.heads import names_of_losses
from ..rules import monitoring, schedules
from ..rules.optimizers import Optimizer, optimizer_of
from ..rules.regularizers import regularizers_of
from . import callbacks as callbacks_
from .checkpoint import Checkpoint
from .history import History

# Options of a fit that `regularizers_of` handles.
REGULARIZERS = inspect.signature(regularizers_of).parameters.keys() - {"m", "sklearn_penalties"}


@dataclass
class Control:
    """The checked options of a training that concern its epochs.

    Attributes
    ----------
    epochs : int
    optimizer : Optimizer
    schedule : Schedule or None
    callbacks : list
    plateau : callbacks.Plateau or None
        The callback that applies the schedule, if it is a `ReduceOnPlateau`.
    scores : list of str
        Names of the scores that will be recorded.
    head_losses : list of str
        Names of the lists of heads' losses, on the training data and on the validation data, of
        which those stay empty if there are none.
    epoch_rules : Callback or None
        The first callback of an estimator's training, which decides when it ends. Its attribute
        `finished_epochs` is the number of epochs that it has recorded; `epochs_used_up` is called
        after the last epoch if no callback has ended the training.
    """

    epochs: int
    optimizer: Optimizer
    schedule: schedules.Schedule | None
    callbacks: list
    plateau: callbacks_.Plateau | None
    scores: list
    head_losses: list
    epoch_rules: Any = None

    def history(self, interrupted=False):
        """Return an empty History for all that will be recorded."""
        scores: dict[str, list[float]] = {name: [] for name in self.scores}
        head_losses: dict[str, list[float]] = {name: [] for name in self.head_losses}
        return History(scores=scores, interrupted=interrupted, head_losses=head_losses)

    @property
    def checkpoints(self):
        """The callbacks that save the training."""
        return [each for each in self.callbacks if isinstance(each, Checkpoint)]


def control(
    network,
    *,
    epochs,
    optimizer=None,
    schedule=None,
    validation=None,
    scoring=None,
    patience=None,
    min_delta=0.0,
    monitor="validation_loss",
    callbacks=(),
    progress=False,
    recorded=(),
):
    """Check options of `Network.fit`; return a `Control`. `validation` is a Data, or None.

    `recorded` are names of scores that the caller records.
    """
    epochs = checks.whole_number("epochs", epochs, 1, checks.MOST)
    optimizer = optimizer_of(optimizer)
    schedule = schedules.schedule_of(schedule, optimizer)
    users = callbacks_.callbacks_of(callbacks)
    own: list = []
    score, scored = None, list(recorded)
    if scoring is not None:
        network._engine.check_one_loss("scoring", "a callback can score each entry of predict")
        from . import scoring as scoring_

        scorers = scoring_.scorers_of(scoring)
        if validation is None:
            raise ValueError("scoring needs validation_data to score on")
        score = scoring_.Scores(scorers, network._engine.loss_name, validation)
        scored += scorers
    of_heads = names_of_losses(network._engine.heads)
    validated = [f"validation_{name}" for name in of_heads]
    known = ["loss", *of_heads, *scored]
    if validation is not None:
        own.append(callbacks_.Validation(validation, score))
        known = ["loss", "validation_loss", *of_heads, *validated, *scored]
    plateau = None
    if isinstance(schedule, schedules.ReduceOnPlateau):
        watched = monitoring.choose("schedule", schedule.monitor, known)
        plateau = callbacks_.Plateau(schedule, watched)
        own.append(plateau)
    own += users
    if checks.flag("progress", progress):
        own.append(callbacks_.ProgressBar(epochs))
    if patience is not None:
        own.append(callbacks_.EarlyStopping(patience, min_delta=min_delta, monitor=monitor))
    else:
        _, min_delta = monitoring.check_arguments("EarlyStopping", monitor, 1, min_delta)
        if min_delta != 0 or monitor != "validation_loss":
            raise ValueError("min_delta and monitor say how patience works; pass patience, too")
    for callback in own:
        if isinstance(callback, callbacks_.EarlyStopping):
            monitoring.choose("early stopping", callback.monitor, known)
    return Control(epochs, optimizer, schedule, own, plateau, scored, [*of_heads, *validated])


def check_options(who, options):
    """Raise a TypeError if `who`, a function, has no option of some name."""
    known = {*REGULARIZERS, *inspect.signature(control).parameters, "validation_data"}
    known -= {"network", "validation", "recorded", "epochs"}
    for name in options.keys() - known:
        raise names.unknown_argument(who, name, sorted(known))


def pop_regularizers(options):
    """Remove the options that `regularizers_of` handles, and return them."""
    return {name: options.pop(name) for name in REGULARIZERS & options.keys()}


class LearningRates:
    """The learning rates of a training's steps, in order.

    Parameters
    ----------
    control : Control
    total : int or None
        The number of steps of the whole training.
    own : ndarray of shape (1,)
        The optimiser's rate, which a schedule multiplies. It may change between epochs.

    Attributes
    ----------
    latest : ndarray
        The rate of each epoch's last step, for the epochs of the last call of `next`; empty
        without a schedule.
    """

    def __init__(self, control, total, own):
        self.control, self.total, self.own = control, total, own
        self.done = 0
        self.latest = np.empty(0)

    def next(self, steps, epoch, steps_an_epoch=None):
        """Return the rates of the next `steps` steps, or one rate for all of them.

        The first step is in epoch `epoch`, counted from 0.
        """
        schedule, plateau = self.control.schedule, self.control.plateau
        if schedule is None:
            return self.own
        if plateau is not None:
            factors = np.full(steps, plateau.factor)
        else:
            numbers = np.arange(steps)
            epochs = epoch + numbers // (steps_an_epoch or steps)
            factors = schedules.factors(schedule, epochs, self.done + numbers, self.total)
        self.done += steps
        rates = self.own * factors
        self.latest = rates[(steps_an_epoch or steps) - 1 :: steps_an_epoch or steps]
        return rates
