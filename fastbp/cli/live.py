"""`train --live`: the losses as a chart in the terminal, drawn during the training."""

import math
import time

import numpy as np

from ..training.callbacks import Callback

PAUSE = 0.1  # seconds between two pictures
CURVES = {"training loss": "bright_blue", "validation loss": "dark_orange"}  # with terminal colours
# The dots of a braille character, from the top: the left column, then the right one.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
SPREAD = 20  # a larger ratio of the losses is drawn on a logarithmic scale


def needs_rich():
    """Raise ImportError, with the command to install it, if rich is missing."""
    try:
        import rich.live  # noqa: F401
    except ImportError as error:
        raise ImportError("--live needs rich: pip install 'fastbp[cli]'") from error


class LiveChart(Callback):
    """Shows the losses by epoch as a chart, with the epoch, the time left and the best epoch.

    Parameters
    ----------
    epochs : int
        Maximum number of epochs.
    console : rich.console.Console, optional
        Where to draw; by default on standard error.
    """

    def __init__(self, epochs, console=None):
        self.epochs, self.console = epochs, console

    def __repr__(self):
        return f"<chart of {self.epochs} epochs>"

    def begin(self, network, history):
        from rich.console import Console
        from rich.live import Live

        self._started, self._drawn = time.monotonic(), -math.inf
        console = self.console or Console(stderr=True)
        # It refreshes in `epoch`: a thread would draw while the training computes.
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def epoch(self, network, history):
        now = time.monotonic()
        if now - self._drawn >= PAUSE:
            self._drawn = now
            self._show(history)

    def end(self, network, history):
        try:
            self._show(history)
        finally:
            self._live.stop()

    def _show(self, history):
        seconds = time.monotonic() - self._started
        console = self._live.console
        picture = view(
            history, self.epochs, seconds, console.width, console.height, _is_utf8(console)
        )
        self._live.update(picture, refresh=True)


def _is_utf8(console):
    return console.encoding.lower().replace("-", "") == "utf8"


def view(history, epochs, seconds, width, height, braille=True):
    """Return what the terminal shows, as text with colours.

    Parameters
    ----------
    history : History
    epochs : int
        Maximum number of epochs.
    seconds : float
        Since the training has begun.
    width, height : int
        Columns and rows of the terminal.
    braille : bool
        Draw with braille dots; with asterisks if False, in terminals without Unicode.

    Returns
    -------
    rich.text.Text
    """
    from rich.text import Text

    done = len(history.loss)
    facts = [f"epoch {done} of {epochs}", f"{seconds:.1f} s"]
    if 0 < done < epochs:
        facts.append(f"at most {seconds / done * (epochs - done):.1f} s left")
    if history.best_epoch is not None:
        facts.append(f"best epoch {history.best_epoch}")
    text = Text("   ".join(facts) + "\n", no_wrap=True, overflow="ellipsis")
    losses = dict(zip(CURVES, (history.loss, history.validation_loss), strict=True))
    shown = {name: values for name, values in losses.items() if values}
    # Lines for the facts, the names and the prompt that follows stay free.
    rows = chart(list(shown.values()), min(width - 12, 100), min(height - 4, 14), braille)
    for label, cells in rows:
        text.append(f"{label:>9} {'┤' if braille else '|'}", style="dim")
        for mark, curve in cells:
            text.append(mark, style=None if curve is None else CURVES[list(shown)[curve]])
        text.append("\n")
    for name, values in shown.items():
        text.append(f"{'━━' if braille else '--'} {name} ", style=CURVES[name])
        text.append(f"{values[-1]:.4g}   ")
    return text


def chart(curves, width, height, braille=True):
    """Draw curves with characters.

    Parameters
    ----------
    curves : list of sequence of float
        Values by epoch; those that are not finite are left out.
    width, height : int
        Size in characters, at least 1.
    braille : bool
        A character has 2 x 4 dots if True, else it is an asterisk or a space.

    Returns
    -------
    list of (str, list of (str, int or None))
        For each row its label, and its characters with the curve that they belong to.
    """
    known = np.concatenate([np.asarray(values, float) for values in curves] or [np.empty(0)])
    known = known[np.isfinite(known)]
    if not known.size or width < 1 or height < 1:
        return []
    low, high = known.min(), known.max()
    scale = np.log if low > 0 and high > SPREAD * low else np.asarray
    across, down = (2, 4) if braille else (1, 1)
    n, m = width * across, height * down
    dots = np.zeros((height, width), np.int64)
    owners = np.full((height, width), -1)
    longest = max(map(len, curves))
    for k, values in enumerate(curves):
        epochs = np.flatnonzero(np.isfinite(values))
        if not epochs.size:
            continue
        columns = np.linspace(0, max(longest - 1, 1), n)
        columns = columns[(columns >= epochs[0]) & (columns <= epochs[-1] + 1e-9)]
        heights = np.interp(columns, epochs, scale(np.asarray(values, float)[epochs]))
        share = (heights - scale(low)) / ((scale(high) - scale(low)) or 1.0)
        levels = np.rint((1 - share) * (m - 1)).astype(int)
        for x, (y, before) in enumerate(zip(levels, [levels[0], *levels[:-1]], strict=True)):
            # Down or up to the dot before, so that steep curves have no gaps.
            for dot in range(min(y, before), max(y, before) + 1):
                row, column = dot // down, x // across
                dots[row, column] |= DOTS[x % across][dot % down] if braille else 1
                owners[row, column] = k
    labels = {0: f"{high:.3g}", height - 1: f"{low:.3g}"}
    marks = np.where(dots, 0x2800 + dots if braille else ord("*"), ord(" "))
    return [
        (
            labels.get(i, ""),
            [
                (chr(mark), None if owner < 0 else int(owner))
                for mark, owner in zip(marks[i], owners[i], strict=True)
            ],
        )
        for i in range(height)
    ]
