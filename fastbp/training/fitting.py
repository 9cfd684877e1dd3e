"""A call of fit from its checked arguments to its history: epochs, and what happens in between.

`Rows` and `Blocks` are where samples come from, `Control` is what looks on, `Pace` the rates.
"""

import contextlib
import inspect
import itertools
import warnings
from dataclasses import dataclass

import numpy as np

from ..basis import checks, interrupts
from ..rules import monitoring, optimizers, regularizers, schedules
from . import callbacks as callbacks_
from . import checkpoint
from .callbacks import EarlyStopping
from .checkpoint import Checkpoint
from .run import CONSTANT_RATE, NATURAL_ORDER, History, Training, TrainingDiverged

# What `regularizers.checked` takes of the options of a fit.
RULES = inspect.signature(regularizers.checked).parameters.keys() - {"m", "divided"}

# Shuffle orders, and rates of steps, are made for as many epochs ahead as have this many, and
# these epochs are trained in one call.
ORDERED_ROWS = 1 << 20


def parts(what, value):
    """(X, y, sample_weight or None) from what users pass as (X, y) or (X, y, sample_weight)."""
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise TypeError(f"{what} must be (X, y) or (X, y, sample_weight)")
    X, y, *rest = value
    return X, y, rest[0] if rest else None


def validation(engine, given):
    """Validation data as users pass it, checked; None if there are none."""
    if given is None:
        return None
    names = ("validation X", "validation y", "validation sample_weight")
    return engine.data(*parts("validation_data", given), names=names)


class Rows:
    """Samples in memory.

    Parameters
    ----------
    data : data.Data
    batch_size : int or None
    shuffle : bool
    rows : ndarray of int64, optional
        Those of the samples to train on; all by default.
    """

    def __init__(self, data, batch_size, shuffle, rows=None):
        self.data, self.rows = data, rows
        self.n = len(data.X) if rows is None else len(rows)
        batch_size = self.n if batch_size is None else checks.whole_number("batch_size", batch_size)
        self.batch_size = min(batch_size, self.n)
        self.full_batch = self.batch_size == self.n
        # The order of a full batch does not matter.
        self.shuffle = checks.flag("shuffle", shuffle) and not self.full_batch
        self.ordered = self.shuffle or rows is not None
        self.steps = -(-self.n // self.batch_size)

    def epochs_a_call(self, scheduled):
        """For how many epochs orders and rates may be made ahead; None for any number."""
        most = [self.n] * self.ordered + [self.steps] * scheduled
        return max(1, ORDERED_ROWS // max(most)) if most else None

    def run(self, training, epochs, history, pace):
        """Train for some epochs."""
        order = np.empty((epochs if self.ordered else 0, self.n), np.int64)
        for line in order:
            line[...] = np.arange(self.n) if self.rows is None else self.rows
            if self.shuffle:
                training.engine.random.shuffle(line)
        rates = pace.rates(epochs * self.steps, len(history.loss), self.steps)
        training.run(order, epochs, history, rates)


class Blocks:
    """Samples that come block by block, each a batch or gone through in batches.

    The other parameters are those of `Network.fit_batches`.

    Parameters
    ----------
    engine : Engine
    blocks : iterable
        Of (X, y) or (X, y, sample_weight).
    """

    data = None  # there is none before the first block
    full_batch = False

    def __init__(self, engine, blocks, epochs, batch_size, steps, class_weight, label_smoothing):
        if isinstance(class_weight, str):
            raise ValueError(
                f"class_weight={class_weight!r} needs all labels at once; pass a dict of weights"
            )
        if batch_size is not None:
            batch_size = checks.whole_number("batch_size", batch_size)
        if steps is not None:
            steps = checks.whole_number("steps_per_epoch", steps)
        elif batch_size is None and hasattr(blocks, "__len__"):
            steps = len(blocks)
        self.engine, self.blocks = engine, blocks
        self.steps, self._size = steps, batch_size
        self._how = {"class_weight": class_weight, "label_smoothing": label_smoothing}
        try:
            self._waiting = iter(blocks)
        except TypeError:
            raise TypeError(f"batches must be an iterable of (X, y), got {blocks!r}") from None
        if self._waiting is blocks and checks.whole_number("epochs", epochs) > 1:
            raise ValueError(
                "batches is an iterator, which can be gone through only once: pass epochs=1, or "
                "an iterable that starts anew, such as a list or a fastbp.ArrayStream"
            )

    def begin(self):
        """Read and check the first block; returns self."""
        self._first = list(itertools.islice(self._filled(self._waiting), 1))
        if not self._first:
            raise ValueError("batches is empty; at least one sample is needed")
        self.batch_size = self._size_for(self._first[0])
        return self

    def _filled(self, blocks):
        """The blocks that have rows, as data.Data."""
        return filter(None, map(self._read, blocks))

    def _read(self, block):
        X, y, weight = parts("a batch", block)
        with contextlib.suppress(TypeError):  # what has no length is refused by engine.data
            if len(X) == len(y) == 0:
                return None
        return self.engine.data(X, y, weight, **self._how, part=True)

    def epochs_a_call(self, scheduled):
        return 1

    def _size_for(self, block):
        return min(self._size or len(block.X), len(block.X))

    def _all(self):
        """The blocks of an epoch as data.Data."""
        if self._waiting is None:
            self._waiting = iter(self.blocks)
        waiting, self._waiting = self._waiting, None
        while self._first:  # let go of it while it is trained on
            yield self._first.pop()
        filled = self._filled(waiting)
        while True:
            with interrupts.released():
                block = next(filled, None)
            if block is None:
                return
            yield block

    def run(self, training, epochs, history, pace):
        """Train for an epoch."""
        loss = total = 0.0
        rows = 0
        for block in self._all():
            training.take(block, self._size_for(block))
            part = History()
            steps = -(-len(block.X) // training.batch_size)
            rates = pace.rates(steps, len(history.loss))
            try:
                training.run(NATURAL_ORDER, 1, part, rates)
            except TrainingDiverged as error:
                raise TrainingDiverged(len(history.loss) + 1, error._what, history) from None
            if part.interrupted:
                history.interrupted = True
                return
            rows += len(block.X)
            weight = block.sample_weight  # by which the penalties' share counts too, here
            of_block = float(weight.sum(dtype=np.float64)) if weight.size else float(len(block.X))
            loss, total = loss + of_block * part.loss[0], total + of_block
        if not rows:
            raise ValueError("batches was empty when it was gone through again")
        if not total:
            raise ValueError(
                "sample_weight or class_weight is zero for every sample of batches; at least one "
                "must be positive"
            )
        history.loss.append(loss / total)


@dataclass
class Control:
    """What users ask of a training besides its steps, checked.

    Attributes
    ----------
    epochs : int
    optimizer : Optimizer
    schedule : Schedule or None
    callbacks : list
    plateau : callbacks.Plateau or None
        The one of the callbacks that takes the schedule's place.
    scores : list of str
        Names of the scores that will be recorded.
    """

    epochs: int
    optimizer: optimizers.Optimizer
    schedule: schedules.Schedule | None
    callbacks: list
    plateau: callbacks_.Plateau | None
    scores: list


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
    """The `Control` of what users pass to `Network.fit`; the validation data as data.Data.

    `recorded` are names of scores that the caller takes note of.
    """
    epochs = checks.whole_number("epochs", epochs)
    optimizer = optimizers.checked(optimizer)
    schedule = schedules.checked(schedule, optimizer)
    users = callbacks_.checked(callbacks)
    own: list = []
    score, scored = None, list(recorded)
    if scoring is not None:
        from . import scoring as scoring_

        scorers = scoring_.checked(scoring)
        if validation is None:
            raise ValueError("scoring needs validation_data to score on")
        score, scored = (
            scoring_.Scores(scorers, network._engine.loss_name, validation),
            [*scored, *scorers],
        )
    known = ["loss", *(["validation_loss"] if validation is not None else []), *scored]
    if validation is not None:
        own.append(callbacks_.Validation(validation, score))
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
    elif (min_delta, monitor) != (0.0, "validation_loss"):
        raise ValueError("min_delta and monitor say how patience works; pass patience, too")
    for callback in own:
        if isinstance(callback, callbacks_.EarlyStopping):
            monitoring.choose("early stopping", callback.monitor, known)
    return Control(epochs, optimizer, schedule, own, plateau, scored)


def of_rules(options):
    """Take those of the options out that are for `regularizers.checked`."""
    return {name: options.pop(name) for name in RULES & options.keys()}


class Pace:
    """The learning rates of a training's steps, in order.

    Attributes
    ----------
    latest : ndarray
        The last rate of each epoch that the last rates were for.
    """

    def __init__(self, control, total):
        self.control, self.total = control, total
        self.done = 0
        self.latest = CONSTANT_RATE

    def rates(self, steps, epoch, steps_an_epoch=None):
        """Those of the next `steps` steps, of which the first is in the epoch of that number."""
        schedule, plateau = self.control.schedule, self.control.plateau
        if schedule is None:
            return CONSTANT_RATE
        if plateau is not None:
            factors = np.full(steps, plateau.factor)
        else:
            numbers = np.arange(steps)
            epochs = epoch + numbers // (steps_an_epoch or steps)
            factors = schedules.factors(schedule, epochs, self.done + numbers, self.total)
        self.done += steps
        rates = self.control.optimizer.learning_rate * factors
        self.latest = rates[(steps_an_epoch or steps) - 1 :: steps_an_epoch or steps]
        return rates


def fit(network, samples, control, rules, threads, stop=None, resume_from=None):
    """Train. What is left to check is what concerns several of the arguments.

    Parameters
    ----------
    network : Network
    samples : Rows or Blocks
    control : Control
    rules : Regularizers
    threads : int or None
    stop : int64 array of shape (1,), optional
        Ends the training, without a warning, once it is not zero.
    resume_from : str, path or None, default=None
        A checkpoint to go on from.

    Returns
    -------
    History
    """
    optimizer, schedule = control.optimizer, control.schedule
    if optimizer.full_batch_only and not samples.full_batch:
        raise ValueError(
            f"{type(optimizer).__name__} works on the full batch only; pass batch_size=None"
        )
    average = rules.average
    if isinstance(average, regularizers.SWA) and average.start > control.epochs:
        raise ValueError(
            f"{average} averages from epoch {average.start} on, but there are {control.epochs}"
        )
    total = samples.steps and samples.steps * control.epochs
    if schedule is not None and schedule.total_needed and total is None:
        raise ValueError(
            f"{type(schedule).__name__} has to know how many steps there will be; pass "
            "steps_per_epoch"
        )
    if threads is not None:
        threads = checks.threads(threads)
    engine = network._engine
    threads = engine.team_size(threads, samples.batch_size)
    checkpoints = [each for each in control.callbacks if isinstance(each, Checkpoint)]
    if checkpoints and not isinstance(samples, Rows):
        raise ValueError("Checkpoint is for Network.fit and fit_many, whose samples are in memory")
    checkpoint.refuse_shared_folders(checkpoints)
    arguments = saved = None
    if checkpoints or resume_from is not None:
        arguments = checkpoint.arguments(network, samples, control, rules, total)
    if resume_from is not None:
        saved = checkpoint.read(resume_from, arguments)
        seed = saved.seed
    else:
        seed = int(engine.random.integers(2**63)) if rules.dropout else 0
    training = Training(
        engine, samples.data, optimizer, samples.batch_size, rules, threads, seed=seed, stop=stop
    )
    history = History(scores={name: [] for name in control.scores})
    pace = Pace(control, total)
    state = checkpoint.State(network, control, arguments, training, pace, history, resume_from)

    def finish(kind, *error):
        engine.clear_padding()  # 0 * inf may have left NaN there
        if kind is not TrainingDiverged:
            training.finish()
            leave_out_unfinished()

    try:
        with interrupts.held(training.stop), contextlib.ExitStack() as ends:
            for callback in control.callbacks:
                ends.enter_context(callbacks_.at_work(callback))
            for each in checkpoints:
                each.attach(state)
            if saved is not None:
                saved.restore(state)
            leave_out_unfinished = _leaving_out(history, control)
            for callback in control.callbacks:
                callbacks_.call(callback, "begin", network, history)
                ends.callback(callbacks_.call, callback, "end", network, history)
            ends.push(finish)
            if saved is not None:
                saved.restore_callbacks(state)
            _epochs(network, training, samples, control, pace, history, checkpoints)
    except KeyboardInterrupt:
        history.interrupted = True
    if history.interrupted and stop is None:
        warnings.warn(
            f"training interrupted after {len(history.loss)} of {control.epochs} epochs",
            RuntimeWarning,
            stacklevel=3,
        )
    _check_finite(engine, history)
    return history


def _leaving_out(history, control):
    """A function that takes an epoch out of the history whose validation was broken off."""
    validated = any(isinstance(each, callbacks_.Validation) for each in control.callbacks)
    figures = [history.validation_loss, *history.scores.values()] if validated else []
    # The checkpoint that training goes on from may have none of these.
    lags = [len(history.loss) - len(figure) for figure in figures]

    def leave_out():
        lengths = [len(figure) + lag for figure, lag in zip(figures, lags, strict=True)]
        del history.loss[min([len(history.loss), *lengths]) :]
        del history.learning_rate[len(history.loss) :]
        for figure, lag in zip(figures, lags, strict=True):
            del figure[len(history.loss) - lag :]

    return leave_out


def _epochs(network, training, samples, control, pace, history, checkpoints):
    """Train until all epochs are done, a callback says so, or Ctrl-C is pressed."""
    most = samples.epochs_a_call(control.schedule is not None) or control.epochs
    if control.callbacks:
        most = 1
    stopped = any(isinstance(each, EarlyStopping) and each.ended() for each in control.callbacks)
    while len(history.loss) < control.epochs and not stopped:
        interrupts.check()
        done = len(history.loss)
        count = training.epochs_a_call(done, min(most, control.epochs - done))
        try:
            samples.run(training, count, history, pace)
        finally:
            history.learning_rate.extend(pace.latest[: len(history.loss) - done].tolist())
        if len(history.loss) == done + count:
            training.end_epoch(len(history.loss))
        interrupts.check()
        if history.interrupted:
            return
        if control.callbacks:
            _check_finite(training.engine, history)
            with training.averaged_weights():
                answers = [
                    callbacks_.wants_end(each, network, history) for each in control.callbacks
                ]
            stopped = any(answers)
        for each in checkpoints:  # of what all callbacks have seen, the weights themselves
            each.after_epoch(stopped or len(history.loss) == control.epochs)


def _check_finite(engine, history):
    if not engine.finite():
        raise TrainingDiverged(len(history.loss), "the weights are not finite", history)
