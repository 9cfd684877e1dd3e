"""Watching a figure of a training: has it improved, and how long ago."""

import math

from . import checks

LOSSES = ("loss", "validation_loss")


def checked(who, monitor, patience, min_delta):
    """Refuse what cannot be watched, or waited for; returns patience and min_delta.

    `who` asks for it.
    """
    if monitor is not None and not isinstance(monitor, str):
        raise TypeError(f"{who}: monitor must be a name, such as 'loss', got {monitor!r}")
    return (
        checks.whole_number(f"{who}: patience", patience),
        checks.real_number(f"{who}: min_delta", min_delta),
    )


def choose(who, monitor, known):
    """The figure to watch, of those a fit knows; None stands for the last loss there is."""
    if monitor is None:
        return next(name for name in reversed(LOSSES) if name in known)
    if monitor not in known:
        hint = "; pass validation_data" if "validation_loss" not in known else ""
        raise ValueError(f"{who}: no figure {monitor!r} is recorded, only {', '.join(known)}{hint}")
    return monitor


def latest(history, monitor):
    """The figure of the last epoch, negative for losses: greater is better."""
    if monitor in LOSSES:
        return -getattr(history, monitor)[-1]
    return history.scores[monitor][-1]


class Watch:
    """Counts the epochs in a row that were no better than the best one before them.

    Parameters
    ----------
    monitor : str
        A loss, of which less is better, or a score, of which more is.
    min_delta : float
        By how much a better epoch has to be better.

    Attributes
    ----------
    waited : int
        Epochs since the last better one.
    """

    def __init__(self, monitor, min_delta):
        self.monitor, self.min_delta = monitor, min_delta
        self.best = -math.inf
        self.waited = 0

    def improved(self, history):
        """Take note of an epoch; returns whether it was better than all before. NaN never is."""
        figure = latest(history, self.monitor)
        if figure > self.best + self.min_delta:
            self.best, self.waited = figure, 0
            return True
        self.waited += 1
        return False
