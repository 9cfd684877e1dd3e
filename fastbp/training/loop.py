"""The loop over epochs, for all trainings.

Sources bring the samples, callbacks act between epochs. Stopping early, validation, and
scikit-learn's rules of when a fit ends are callbacks, too.
"""

import contextlib
import math

from ..basis import interrupts
from . import callbacks as callbacks_
from .callbacks import EarlyStopping
from .history import TrainingDiverged


def run(network, training, source, control, rates, history, state=None, saved=None):
    """Train until all epochs are done, a callback ends the training, or Ctrl-C is pressed.

    Parameters
    ----------
    network : Network
        Is passed to callbacks; `training` trains its engine.
    training : Training
        Is closed at the end, unless that is an exception or Ctrl-C.
    source : Rows, Blocks or an object with the same methods
    control : Control
    rates : LearningRates
    history : History
        Is added to. Ctrl-C sets ``history.interrupted``.
    state : checkpoint.State, optional
        Is saved by checkpoints.
    saved : checkpoint.Saved, optional
        The checkpoint to resume from.
    """
    callbacks, ended = control.callbacks, False
    checkpoints = control.checkpoints if state is not None else []  # else they refuse to begin

    try:
        with interrupts.held(training.stop), contextlib.ExitStack() as ends:
            for callback in callbacks:
                ends.enter_context(callbacks_.at_work(callback))
            for each in checkpoints:
                each.attach(state)
            if saved is not None:
                saved.restore(state)
            end = _End(training, history, control)
            for callback in callbacks:
                callbacks_.call(callback, "begin", network, history)
                ends.callback(callbacks_.call, callback, "end", network, history)
            with end:
                if saved is not None:
                    saved.restore_callbacks(state)
                ended = any(isinstance(each, EarlyStopping) and each.ended() for each in callbacks)
                most = source.epochs_a_call(control.schedule is not None) or control.epochs
                if callbacks:
                    most = 1
                while len(history.loss) < control.epochs and not ended:
                    _train(training, source, most, control, rates, history)
                    if history.interrupted:
                        break
                    if callbacks:
                        if source.must_stay_finite:
                            check_finite(training.engine, history)
                        with training.averaged_weights():
                            ended = _epoch(control, network, history)
                    for each in checkpoints:  # of the weights themselves, not their average
                        each.after_epoch(ended or len(history.loss) == control.epochs)
                if control.epoch_rules is not None and not ended:
                    interrupts.check()
                    control.epoch_rules.epochs_used_up()
    except KeyboardInterrupt:
        history.interrupted = True
    if not history.interrupted:
        training.close()


def _train(training, source, most, control, rates, history):
    """Train for one call of the source, for at most `most` epochs."""
    interrupts.check()
    done = len(history.loss)
    count = training.epochs_a_call(done, min(most, control.epochs - done))
    try:
        source.run(training, count, history, rates)
    finally:
        history.learning_rate.extend(rates.latest[: len(history.loss) - done].tolist())
    whole = len(history.loss) == done + count
    if whole and (source.must_stay_finite or math.isfinite(history.loss[-1])):
        training.end_epoch(len(history.loss))
    interrupts.check()


def _epoch(control, network, history):
    """Call the callbacks after an epoch; return whether one of them ends the training."""
    ended = False
    for callback in control.callbacks:
        ended = callbacks_.wants_end(callback, network, history) or ended
        if callback is control.epoch_rules and not math.isfinite(history.loss[-1]):
            break  # an estimator's other callbacks are not told of an epoch that diverged
    return ended


class _End:
    """A context manager that completes a training, or what there is of it after an error."""

    def __init__(self, training, history, control):
        self._training, self._history, self._control = training, history, control
        validated = any(isinstance(each, callbacks_.Validation) for each in control.callbacks)
        self._figures = [history.validation_loss] if validated else []
        # The checkpoint from which training resumes may have none of these.
        self._figures += history.scores.values()
        self._figures += [
            figures
            for name, figures in history.head_losses.items()
            if validated or not name.startswith("validation_")
        ]
        self._lags = [len(history.loss) - len(figure) for figure in self._figures]

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        if not self._training.engine.finite():
            self._training.engine.clear_padding()  # 0 * inf may have left NaN there
        if kind is not TrainingDiverged:
            self._training.finish()
            if self._control.callbacks:
                self._drop_unfinished()

    def _drop_unfinished(self):
        """Drop an epoch from the history whose validation was interrupted."""
        history, rules = self._history, self._control.epoch_rules
        figures = list(zip(self._figures, self._lags, strict=True))
        lengths = [len(figure) + lag for figure, lag in figures]
        if rules is not None:
            lengths.append(rules.finished_epochs)
        del history.loss[min([len(history.loss), *lengths]) :]
        del history.learning_rate[len(history.loss) :]
        for figure, lag in figures:
            del figure[len(history.loss) - lag :]


def check_finite(engine, history):
    """Raise TrainingDiverged if the weights are not finite."""
    if not engine.finite():
        raise TrainingDiverged(len(history.loss), "the weights are not finite", history)
