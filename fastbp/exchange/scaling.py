"""The scaling of inputs and targets in float32, as an exported network does it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scaling(NamedTuple):
    """z = (x - center - rest) / scale for each feature, then kept between low and high, if set.

    The arrays are float32, of shape (n_features,). The rest is what the center has lost to
    rounding: where features are far from 0 and lie close together, it would be seen.
    """

    center: NDArray[np.float32]
    rest: NDArray[np.float32]
    scale: NDArray[np.float32]
    low: float | None = None
    high: float | None = None

    def apply(self, X):
        """The scaled samples."""
        Z = ((X - self.center) - self.rest) / self.scale
        return Z if self.low is None else np.clip(Z, np.float32(self.low), np.float32(self.high))

    def undo(self, h):
        """h scale + center, for outputs in units of scaled targets."""
        return h * self.scale + self.center


class Scalers(NamedTuple):
    """What stands before and behind a network: scalings of its inputs, and of its targets."""

    inputs: tuple[Scaling, ...] = ()
    targets: Scaling | None = None

    def before(self, X):
        """The network's inputs for samples in the user's units."""
        for scaling in self.inputs:
            X = scaling.apply(X)
        return X

    def behind(self, h):
        """Predictions in the user's units for the network's outputs."""
        return h if self.targets is None else self.targets.undo(h)
