"""Callbacks, which are called before, between and after epochs: the protocol and fastbp's own.

Validation, early stopping and the progress bar are callbacks, too.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..basis import checks, interrupts, progress
from ..basis.heads import names_of_losses
from ..basis.names import keywords
from ..rules import monitoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .history import History


class Callback:
    """Base class for objects that `Network.fit` calls before, between and after epochs.

    Any object with these three methods is a callback. They get the network, with the weights that
    it would have if training ended now, and the `History` so far. `begin` and `epoch` are called
    in the order of the list, `end` in reverse order, also after Ctrl-C or an error. An exception
    from a callback ends the training and is raised. An object can serve only one training at a
    time.

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
            True to end the training; anything but a bool or None raises TypeError.
        """

    def end(self, network: Any, history: History) -> None:
        """Called at the end of training, if `begin` was called.

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
    """Call a callback after an epoch; return whether it ends the training."""
    interrupts.check()
    answer = checks.plain(call(callback, "epoch", network, history))
    if answer is not None and not isinstance(answer, bool):
        raise TypeError(
            f"{type(callback).__name__}.epoch must return True to end the training, or False or "
            f"None to continue, got {type(answer).__name__}: {answer!r}"
        )
    return answer is True


class EarlyStopping(Callback):
    """End the training when a loss or score has stopped improving, and restore the best weights.

    Parameters
    ----------
    patience : int, default=10
        Number of consecutive epochs without improvement that end the training.
    min_delta : float, default=0.0
        An epoch improves on the best one if it is better by more than this.
    monitor : str, default="validation_loss"
        "loss", "validation_loss", the name of a score, see ``scoring`` of `Network.fit`, or that of
        a head's loss, see ``head_losses`` of `History`.
    restore_best : bool, default=True
        Whether the network gets the weights of the best epoch when training ends for any reason;
        if False, it keeps the last weights.

    References
    ----------
    Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade, 1998.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((60, 5)), rng.standard_normal(60)  # noise: nothing to learn
    >>> net = fastbp.Network([5, 32, 1], loss="squared_error", seed=0)
    >>> history = net.fit(
    ...     X[:40], y[:40], epochs=500, optimizer=fastbp.Adam(0.01),
    ...     validation_data=(X[40:], y[40:]), callbacks=[fastbp.EarlyStopping(patience=5)],
    ... )
    >>> len(history.loss) == history.best_epoch + 5 < 500
    True
    """

    @keywords
    def __init__(
        self,
        patience: int = 10,
        *,
        min_delta: float = 0.0,
        monitor: str = "validation_loss",
        restore_best: bool = True,
    ) -> None:
        self.patience, self.min_delta = monitoring.check_arguments(
            "EarlyStopping", monitor, patience, min_delta
        )
        self.monitor = monitor
        self.restore_best = checks.flag("EarlyStopping: restore_best", restore_best)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.patience}, min_delta={self.min_delta:g}, "
            f"monitor={self.monitor!r}, restore_best={self.restore_best})"
        )

    def begin(self, network: Any, history: History) -> None:
        self._watch = monitoring.Watch(self.monitor, self.min_delta)
        self._best: NDArray[Any] | None = None

    def epoch(self, network: Any, history: History) -> bool:
        # Ctrl-C may interrupt a subclass's methods, as user code, but must not interrupt this.
        with interrupts.held():
            if self._watch.improved(history):
                best = network._engine.parameters.copy() if self.restore_best else None
                history.best_epoch, self._best = len(history.loss), best
            return self.ended()

    def ended(self) -> bool:
        """Return whether training ends; a resumed training may begin with True."""
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
    data : data.Data
    score : callable or None
        Network -> {name: score}.
    """

    def __init__(self, data, score):
        self.data, self.score = data, score

    def __repr__(self):
        scores = "" if self.score is None else f" and {', '.join(self.score.scorers)}"
        return f"<validation loss{scores} on {len(self.data.X)} samples>"

    def epoch(self, network, history):
        names = names_of_losses(network._engine.heads)
        of_heads = np.empty(len(names))
        with interrupts.released():
            loss = network._engine.mean_loss(self.data, of_heads if names else None)
            scores = {} if self.score is None else self.score(network)
        history.validation_loss.append(loss)
        for name, of_head in zip(names, of_heads.tolist(), strict=True):
            history.head_losses[f"validation_{name}"].append(of_head)
        for name, value in scores.items():
            history.scores[name].append(value)


class Plateau(Callback):
    """Applies the schedule `ReduceOnPlateau`.

    Parameters
    ----------
    schedule : ReduceOnPlateau
    monitor : str

    Attributes
    ----------
    factor : float
        The factor of the optimiser's rate in the next epoch.
    """

    def __init__(self, schedule, monitor):
        self.schedule = schedule
        self.watch = monitoring.Watch(monitor, schedule.min_delta)
        self.cooling = 0
        self.factor = 1.0

    def __repr__(self):
        return f"<{self.schedule!r} at the factor {self.factor:g}>"

    def epoch(self, network, history):
        self.watch.improved(history)
        if self.cooling:
            self.cooling -= 1
            self.watch.waited = 0
        if self.watch.waited >= self.schedule.patience:
            self.factor = max(self.factor * self.schedule.factor, self.schedule.lowest)
            self.cooling, self.watch.waited = self.schedule.cooldown, 0


class ProgressBar(Callback):
    """Shows a progress bar over all epochs, with the last losses and scores and the time left.

    Parameters
    ----------
    epochs : int
    """

    def __init__(self, epochs):
        self.epochs = epochs

    def __repr__(self):
        return f"<progress bar of {self.epochs} epochs>"

    def begin(self, network, history):
        self._bar = progress.bar(True, total=self.epochs, initial=len(history.loss), unit="epoch")

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
_at_work: set = set()  # ids of the callbacks of all running trainings


@contextlib.contextmanager
def at_work(callback):
    """Reserve a callback for one training during the block; raise ValueError if it is in use."""
    with _lock:
        if id(callback) in _at_work:
            raise ValueError(
                f"callback {callback!r} is in use by another training, or twice by this one; pass "
                "a separate object to each training, since callbacks keep state"
            )
        _at_work.add(id(callback))
    try:
        yield
    finally:
        _at_work.discard(id(callback))


def call(callback, method, *arguments):
    """Call a callback's method. A user's callback may take long, so Ctrl-C may interrupt it."""
    method = getattr(callback, method)
    if type(callback).__module__.partition(".")[0] == "fastbp":
        return method(*arguments)
    with interrupts.released():
        return method(*arguments)


def callbacks_of(callbacks):
    """Return a callbacks argument as a list, checked."""
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
