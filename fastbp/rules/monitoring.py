"""Monitors a loss or score during training: whether it improved, and when it last did."""

import math

from ..basis import checks

LOSS_FIELDS = ("loss", "validation_loss")  # of a History


def check_arguments(who, monitor, patience, min_delta):
    """Check the arguments of monitoring; return patience and min_delta.

    Error messages begin with `who`, the caller's name.
    """
    if monitor is not None and not isinstance(monitor, str):
        raise TypeError(f"{who}: monitor must be a name, such as 'loss', got {monitor!r}")
    return (
        checks.whole_number(f"{who}: patience", patience),
        checks.real_number(f"{who}: min_delta", min_delta),
    )


def choose(who, monitor, known):
    """Return the name of the loss or score to monitor, one of `known`.

    None means the validation loss if it is known, else the loss.
    """
    if monitor is None:
        return next(name for name in reversed(LOSS_FIELDS) if name in known)
    if monitor not in known:
        if monitor == "validation_loss":
            raise ValueError(f"{who} monitors the validation loss; pass validation_data")
        hint = "; pass validation_data" if "validation_loss" not in known else ""
        raise ValueError(f"{who}: monitor must be one of {', '.join(known)}; got {monitor!r}{hint}")
    return monitor


def latest(history, monitor):
    """Return the monitored value of the last epoch, with losses negated: greater is better."""
    if monitor in LOSS_FIELDS:
        return -getattr(history, monitor)[-1]
    if monitor in history.head_losses:
        return -history.head_losses[monitor][-1]
    return history.scores[monitor][-1]


class Watch:
    """Counts consecutive epochs without an improvement on the best one.

    Parameters
    ----------
    monitor : str
        The name of a loss (lower is better) or of a score (higher is better).
    min_delta : float
        An improvement must be larger than this.

    Attributes
    ----------
    waited : int
        Epochs since the last improvement.
    """

    def __init__(self, monitor, min_delta):
        self.monitor, self.min_delta = monitor, min_delta
        self.best = -math.inf
        self.waited = 0

    def improved(self, history):
        """Record an epoch; return whether it improved on the best one. NaN never does."""
        figure = latest(history, self.monitor)
        if figure > self.best + self.min_delta:
            self.best, self.waited = figure, 0
            return True
        self.waited += 1
        return False
