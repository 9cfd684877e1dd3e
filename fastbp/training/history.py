"""The history of a training, and the exception that says it has diverged."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """The record of a call of `Network.fit`.

    Attributes
    ----------
    loss : list of float
        Training loss of each finished epoch: Σ w e / Σ w over all its samples, plus the mean of
        the penalties, for which every sample counts the same. Both are computed before the step
        of the sample's batch.
    validation_loss : list of float
        Mean loss on the validation data after each epoch, without penalty; empty if there
        were none.
    scores : dict of str to list of float
        Each scorer's scores on the validation data, one for each epoch.
    learning_rate : list of float
        The rate of each epoch's last step; empty if there was no schedule.
    best_epoch : int or None
        With early stopping the epoch, counted from 1, that was the best one.
    interrupted : bool
        Whether Ctrl-C ended the training early.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    learning_rate: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    interrupted: bool = False


class TrainingDiverged(ArithmeticError):
    """The loss or the weights became infinite or NaN.

    Attributes
    ----------
    history : History
        The finished epochs; the last of them is `epoch` if only its last step went wrong.
    epoch : int
        The epoch in which it happened, counted from 1.
    """

    def __init__(self, epoch: int, what: str, history: History) -> None:
        super().__init__(
            f"training diverged in epoch {epoch}: {what}. The network keeps the weights it had "
            "then. Try a smaller learning_rate, or scale X (and y) to about unit variance"
        )
        self.epoch = epoch
        self.history = history
        self._what = what

    def __reduce__(self):  # BaseException would pass the message alone
        return type(self), (self.epoch, self._what, self.history), vars(self)
