"""A view of a training in a notebook, drawn while it runs; it needs anywidget."""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..basis import checks
from ..training.callbacks import Callback
from .colors import PALETTE

if TYPE_CHECKING:
    from ..training.history import History

MOST_POINTS = 1000  # of a curve; a screen is not wider
PAUSE = 0.2  # seconds between two pictures
DASHES = ("", "6 4", "2 3", "8 3 2 3")  # losses, then scores


class TrainingView(Callback):
    """Shows the curves of a training in a notebook during the training.

    Pass it to `Network.fit` as a callback. The losses and scores are drawn after each epoch, at
    most five times a second. A pointer over the picture selects the epoch whose values are shown,
    a click on a name hides its curve, and the losses can be drawn on a logarithmic axis. To end a
    training early, interrupt the kernel; the network keeps what it has learnt.

    In a terminal nothing is drawn; use ``fastbp train --live`` or ``fit(progress=True)`` there.

    Parameters
    ----------
    epochs : int, optional
        How many epochs the training will have, for the progress bar and the time left.

    Attributes
    ----------
    widget : anywidget.AnyWidget or None
        The view, once a training has begun.

    Raises
    ------
    ImportError
        If anywidget is not installed: ``pip install 'fastbp[notebook]'``.

    See Also
    --------
    LearningCurveDisplay : Draws the same curves afterwards, for papers and files.

    Examples
    --------
    In a notebook:

    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
    >>> history = net.fit(
    ...     [[0.0], [1.0]], [0.0, 3.0], epochs=50, callbacks=[fastbp.TrainingView(50)]
    ... )  # doctest: +SKIP
    """

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs = None if epochs is None else checks.whole_number("epochs", epochs)
        self.widget: Any = None
        _widget_class()  # raises an ImportError now, before a training has begun

    def __repr__(self) -> str:
        return f"TrainingView({'' if self.epochs is None else self.epochs})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the view, which belongs to one notebook."""
        return {**self.__dict__, "widget": None}

    def begin(self, network: Any, history: History) -> None:
        """Show the view below the notebook's cell.

        Parameters
        ----------
        network : Network
        history : History
        """
        from IPython.display import display

        self._started, self._sent = time.monotonic(), -math.inf
        self._resumed = len(history.loss)
        self.widget = _widget_class()(state=self._state(history, running=True))
        display(self.widget)

    def epoch(self, network: Any, history: History) -> None:
        """Draw the curves, unless that was done less than a fifth of a second ago.

        Parameters
        ----------
        network : Network
        history : History
        """
        now = time.monotonic()
        if now - self._sent >= PAUSE:
            self._sent = now
            self.widget.state = self._state(history, running=True)

    def end(self, network: Any, history: History) -> None:
        """Draw the whole history.

        Parameters
        ----------
        network : Network
        history : History
        """
        self.widget.state = self._state(history, running=False)

    def _state(self, history, running):
        """Return all that the view shows, as JSON takes it."""
        seconds, done = time.monotonic() - self._started, len(history.loss)
        since = done - self._resumed
        left = None
        if self.epochs is not None and since:
            left = seconds / since * max(self.epochs - done, 0)
        curves = [_curve("training loss", history.loss, 0)]
        if history.validation_loss:
            curves.append(_curve("validation loss", history.validation_loss, 1))
        for i, (name, values) in enumerate(history.scores.items(), start=2):
            curves.append(_curve(name, values, i))
        return {
            "curves": curves,
            "epoch": done,
            "epochs": self.epochs,
            "seconds": seconds,
            "left": left,
            "best": history.best_epoch,
            "running": running,
            "end": "interrupted" if history.interrupted else "ended",
        }


def _curve(name, values, i):
    """Return curve i: its look, and at most MOST_POINTS points, the first and the last included."""
    stride = max(1, -(-len(values) // MOST_POINTS))
    picked = [*range(0, len(values), stride)]
    if values and picked[-1] != len(values) - 1:
        picked.append(len(values) - 1)
    points = [(k + 1, float(values[k])) for k in picked]
    return {
        "name": name,
        "axis": "left" if i < 2 else "right",
        "color": PALETTE[i % len(PALETTE)],
        "dash": DASHES[min(i, 2 + i % 2)],
        # JSON has no NaN.
        "points": [[epoch, value if math.isfinite(value) else None] for epoch, value in points],
    }


@functools.cache
def _widget_class():
    """Return the class of the widget, which exists only if anywidget is installed."""
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ImportError("TrainingView needs anywidget: pip install 'fastbp[notebook]'") from error

    class TrainingWidget(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("training_view.js").read_text("utf-8")
        state = traitlets.Dict().tag(sync=True)

    return TrainingWidget
