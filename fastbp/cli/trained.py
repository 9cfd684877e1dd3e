"""The result of a training by the command `train`."""

from typing import Any, NamedTuple

from . import store


class Trained(NamedTuple):
    """Result of a training.

    Attributes
    ----------
    model : Pipeline, TabularClassifier or TabularRegressor
        What is saved. The steps of a Pipeline are "columns" and "network".
    backend : str
        Name of the backend that computed.
    interrupted : bool
        Whether Ctrl-C ended the training.
    loss, validation_loss : list of float
        The loss of each epoch; for a regression in units of the target's variance, or of that of
        its logarithm. Empty for an ensemble.
    best_epoch : int or None
        The epoch that the network's weights are from; None for the last one.
    planned : int
        Maximum number of epochs.
    """

    model: Any
    backend: str
    interrupted: bool
    loss: list = []
    validation_loss: list = []
    best_epoch: int | None = None
    planned: int = 0

    @property
    def prepare(self):
        """What prepares the features, see `store.parts_of`."""
        return store.parts_of(self.model)[0]

    @property
    def estimator(self):
        """What predicts from the prepared features, see `store.parts_of`."""
        return store.parts_of(self.model)[1]

    @property
    def recipes(self):
        """What each kind of network of an ensemble contributed; empty for a single network."""
        return getattr(self.model, "leaderboard_", [])
