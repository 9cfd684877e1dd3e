"""What looks at a training between its epochs: the protocol, and the library's own callbacks.

All that happens between epochs goes through these: validation, early stopping, progress bar.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Protocol

from ..basis import checks, interrupts
from ..rules import monitoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .run import History


class Callback:
    """Something that looks at a training as it goes on; derive from it what you need.

    Anything with these three methods serves. They get the network, whose weights are those that
    it would have if training ended now, and the `History` so far. `begin` and `epoch` are called
    in the order of the list, `end` in the opposite one, also after Ctrl-C or an error. An
    exception from a callback ends the training and is passed on. One object serves one training
    at a time: two that go on at once take two.

    Examples
    --------
    >>> import fastbp
    >>> class GoodEnough(fastbp.Callback):
    ...     def epoch(self, network, history):
    ...         return history.loss[-1] < 0.5
    >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
    >>> history = net.fit([[0.0], [1.0]], [0.0, 3.0], epochs=1000, callbacks=[GoodEnough()])
    >>> history.loss[-2] >= 0.5 > history.loss[-1]
    True
    """

    def begin(self, network: Any, history: History) -> None:
        """Called before the first epoch.

        Parameters
        ----------
        network : Network
        history : History
        """

    def epoch(self, network: Any, history: History) -> bool | None:
        """Called after each epoch.

        Parameters
        ----------
        network : Network
        history : History

        Returns
        -------
        bool or None
            True to end the training. Anything but a truth value or None is an error.
        """

    def end(self, network: Any, history: History) -> None:
        """Called at the end, if `begin` was.

        Parameters
        ----------
        network : Network
        history : History
        """


class CallbackLike(Protocol):
    """A callback for `Network.fit`: a `Callback`, or any object with the same methods."""

    def begin(self, network: Any, history: History, /) -> object: ...
    def epoch(self, network: Any, history: History, /) -> bool | None: ...
    def end(self, network: Any, history: History, /) -> object: ...


def wants_end(callback, network, history):
    """Let a callback look at an epoch; returns whether it ends the training."""
    interrupts.check()
    answer = checks.plain(call(callback, "epoch", network, history))
    if answer is not None and not isinstance(answer, bool):
        raise TypeError(
            f"{type(callback).__name__}.epoch must return True to end the training, and False or "
            f"None to go on, got {type(answer).__name__}: {answer!r}"
        )
    return answer is True


class EarlyStopping(Callback):
    """End the training when a loss or score has stopped improving; the best weights stay.

    Parameters
    ----------
    patience : int, default=10
        So many epochs in a row without improvement end the training.
    min_delta : float, default=0.0
        By how much an epoch has to be better than the best before, to count as improvement.
    monitor : str, default="validation_loss"
        "loss", "validation_loss" or the name of a score, see ``scoring`` of `Network.fit`.
    restore_best : bool, default=True
        Whether the network ends with the weights of the best epoch, however training ends, or
        with the last ones.

    References
    ----------
    Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade, 1998.
    """

    def __init__(
        self,
        patience: int = 10,
        *,
        min_delta: float = 0.0,
        monitor: str = "validation_loss",
        restore_best: bool = True,
    ) -> None:
        self.patience, self.min_delta = monitoring.checked(
            "EarlyStopping", monitor, patience, min_delta
        )
        self.monitor = monitor
        self.restore_best = checks.flag("EarlyStopping: restore_best", restore_best)

    def begin(self, network: Any, history: History) -> None:
        self._watch = monitoring.Watch(self.monitor, self.min_delta)
        self._best: NDArray[Any] | None = None

    def epoch(self, network: Any, history: History) -> bool:
        with interrupts.held():  # also in a derived class, whose methods are the user's code
            if self._watch.improved(history):
                best = network._engine.parameters.copy() if self.restore_best else None
                history.best_epoch, self._best = len(history.loss), best
            return self.ended()

    def ended(self) -> bool:
        """Whether it has waited long enough; a training may go on from such a moment."""
        return self._watch.waited >= self.patience

    def end(self, network: Any, history: History) -> None:
        with interrupts.held():
            if self._best is not None:
                network._engine.parameters[...] = self._best
            self._best = None


class Validation(Callback):
    """Records the loss on validation data, and scores.

    Parameters
    ----------
    data : training.Data
    score : callable or None
        Network -> {name: score}.
    """

    def __init__(self, data, score):
        self.data, self.score = data, score

    def epoch(self, network, history):
        with interrupts.released():
            loss = network._engine.mean_loss(self.data)
            scores = {} if self.score is None else self.score(network)
        history.validation_loss.append(loss)
        for name, value in scores.items():
            history.scores[name].append(value)


class Plateau(Callback):
    """The schedule `ReduceOnPlateau` at work.

    Parameters
    ----------
    schedule : ReduceOnPlateau
    monitor : str

    Attributes
    ----------
    factor : float
        What the optimiser's rate is multiplied by in the next epoch.
    """

    def __init__(self, schedule, monitor):
        self.schedule = schedule
        self.watch = monitoring.Watch(monitor, schedule.min_delta)
        self.cooling = 0
        self.factor = 1.0

    def epoch(self, network, history):
        self.watch.improved(history)
        if self.cooling:
            self.cooling -= 1
            self.watch.waited = 0
        if self.watch.waited >= self.schedule.patience:
            self.factor = max(self.factor * self.schedule.factor, self.schedule.lowest)
            self.cooling, self.watch.waited = self.schedule.cooldown, 0


class ProgressBar(Callback):
    """A bar over all epochs, with the last figures and the time that is left.

    Parameters
    ----------
    epochs : int
    """

    def __init__(self, epochs):
        self.epochs = epochs

    def begin(self, network, history):
        from tqdm.auto import tqdm

        self._bar = tqdm(total=self.epochs, initial=len(history.loss), unit="epoch")

    def epoch(self, network, history):
        figures = {"loss": history.loss}
        if history.validation_loss:
            figures["validation_loss"] = history.validation_loss
        figures |= history.scores
        latest = {name: f"{values[-1]:.4g}" for name, values in figures.items()}
        self._bar.set_postfix(latest, refresh=False)
        self._bar.update(len(history.loss) - self._bar.n)

    def end(self, network, history):
        self._bar.close()


_lock = threading.Lock()
_at_work: set = set()  # ids of the callbacks of all trainings that go on


@contextlib.contextmanager
def at_work(callback):
    """Meanwhile, the callback serves this training and no other one."""
    with _lock:
        if id(callback) in _at_work:
            raise ValueError(
                f"callback {callback!r} is at work in another training, or twice in this one; "
                "give each training an object of its own, since callbacks take notes"
            )
        _at_work.add(id(callback))
    try:
        yield
    finally:
        _at_work.discard(id(callback))


def call(callback, method, *arguments):
    """Call a callback; one of the user's may take long, so that Ctrl-C must be heard in it."""
    method = getattr(callback, method)
    if type(callback).__module__.partition(".")[0] == "fastbp":
        return method(*arguments)
    with interrupts.released():
        return method(*arguments)


def checked(callbacks):
    """What users pass as callbacks, as a list."""
    if callable(getattr(callbacks, "epoch", None)):
        raise TypeError(f"callbacks must be a list of callbacks, got one: {callbacks!r}")
    try:
        callbacks = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be a list of callbacks, got {callbacks!r}") from None
    for callback in callbacks:
        missing = [
            name
            for name in ("begin", "epoch", "end")
            if not callable(getattr(callback, name, None))
        ]
        if missing or isinstance(callback, type):
            what = f"has no method {missing[0]}" if missing else "is a class, not an instance"
            raise TypeError(f"callback {callback!r} {what}; derive from fastbp.Callback")
    return callbacks
