"""Plot of the weights of image-like inputs as images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from . import colors, models
from .common import Display, axes_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from ..basis.annotations import Floats

# The most units that are drawn if the user names none.
MOST_UNITS = 64


class WeightImageDisplay(Display):
    """The first layer's weights as images, one for each unit, all on the same colour scale.

    A weight of 0 has the colour of the background. Weights of colour images are drawn as colours:
    grey for 0, a brighter channel for a positive weight and a darker one for a negative weight.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3)
        Incoming weights of each unit.
    n_units : int, optional
        Number of units in the layer, of which `images` may be a part.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([64, 9, 10], loss="cross_entropy", seed=0)
    >>> display = fastbp.WeightImageDisplay.from_estimator(net)
    >>> display.images.shape, display.ax_.get_title()
    ((9, 8, 8), 'Weights of layer 1')
    """

    def __init__(self, images: Floats, n_units: int | None = None) -> None:
        if images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)) or not images.size:
            raise ValueError(
                "images must have shape (n_images, height, width) or (n_images, height, width, 3), "
                f"got {images.shape}"
            )
        self.images = images
        self.n_units = len(images) if n_units is None else n_units

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        image_shape: Sequence[int] | None = None,
        *,
        units: Sequence[int] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Create and draw the display of a network or fitted estimator.

        Parameters
        ----------
        estimator : Network, MLPClassifier, MLPRegressor or Pipeline
            Of a Pipeline or a search, its last step.
        image_shape : (int, int) or (int, int, 3), optional
            Height and width of the images whose pixels, row by row, are the features; 3 for
            colours. By default, the images are square and have no colours.
        units : sequence of int, optional
            The units to draw; by default all, or the 64 with the largest weights.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        WeightImageDisplay

        Raises
        ------
        ValueError
            If the features are not the pixels of such images, or there is no such unit.
        """
        W = models.weights_of(estimator)[0]
        n_features, n_units = W.shape
        shape = _image_shape(image_shape, n_features)
        if units is None:
            sizes = np.linalg.norm(W.astype(np.float64), axis=0)  # squares overflow in float32
            chosen = np.sort(np.argsort(-sizes, kind="stable")[:MOST_UNITS])
        else:
            if not checks.is_sequence(units):
                raise TypeError(f"units must be a sequence of units, got {units!r}")
            chosen = np.array(
                [checks.whole_number("a unit", unit, 0, n_units - 1) for unit in units], np.int64
            )
            if not chosen.size:
                raise ValueError("units must name at least one unit, got none")
        return cls(np.array(W[:, chosen].T).reshape(-1, *shape), n_units).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        WeightImageDisplay
        """
        ax = axes_for(ax)
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        largest = float(np.abs(self.images).max()) or 1.0
        images = 0.5 + self.images / largest / 2
        if self.images.ndim == 3:
            shades = colors.signed(ax, middle=0.0)
            images = shades(images)[..., :3]
            bar = ScalarMappable(Normalize(-largest, largest), shades)
            ax.figure.colorbar(bar, ax=ax, label="weight")
        frame = colors.mixed(ax, colors.ink(ax), 0.35)
        ax.imshow(_mosaic(images, frame, colors.ground(ax)), interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(False)
        ax.spines[:].set_visible(False)
        n = len(self.images)
        whole = n == self.n_units
        ax.set_title("Weights of layer 1" if whole else f"Layer 1: {n} of {self.n_units} units")
        return self._drawn(ax)


def _image_shape(shape, n_features):
    """Return the shape of an image, checked against the number of features."""
    if shape is None:
        side = math.isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"{n_features} features are no square image; pass image_shape=(height, width), or "
                "(height, width, 3) for colours"
            )
        return side, side
    if not checks.is_sequence(shape):
        raise TypeError(f"image_shape must be (height, width) or (height, width, 3), got {shape!r}")
    sizes = tuple(checks.whole_number("image_shape", size) for size in shape)
    if len(sizes) not in (2, 3) or sizes[2:] not in ((), (3,)):
        raise ValueError(f"image_shape must be (height, width) or (height, width, 3), got {shape}")
    if math.prod(sizes) != n_features:
        raise ValueError(
            f"image_shape {sizes} makes {math.prod(sizes)} features, but the network has "
            f"{n_features}"
        )
    return sizes


def _mosaic(images, frame, rest):
    """Return RGB images side by side in rows, each in a frame; the rest has another colour."""
    n, height, width = images.shape[:3]
    ideal = min(n, max(1, round(math.sqrt(n * height / width * 4 / 3))))
    # Of the numbers of columns near the ideal one, the one that fills the last row best.
    near = range(max(1, ideal - 1), min(n, ideal + 1) + 1)
    columns = min(near, key=lambda c: (-n % c, abs(c - ideal)))
    rows = -(-n // columns)
    line = max(1, round(min(height, width) / 14))
    mosaic = np.empty((rows * (height + line) + line, columns * (width + line) + line, 3))
    mosaic[...] = rest
    for k, image in enumerate(images):
        row, column = divmod(k, columns)
        top, left = row * (height + line), column * (width + line)
        mosaic[top : top + height + 2 * line, left : left + width + 2 * line] = frame
        mosaic[top + line : top + line + height, left + line : left + line + width] = image
    return mosaic
