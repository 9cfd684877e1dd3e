"""Networks in whole numbers: int8 weights and activations, calibrated on samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..backends.numpy_ import elementwise
from ..basis import checks, inputs, spec
from .activations import names_of
from .scaling import Scalers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats

# The largest int8 whose negative is an int8, too.
STEPS = 127
INT8 = np.iinfo(np.int8)
LARGEST = 2**31 - 1
# Where σ(s) is looked at to see from where on it is flat.
PLACES = 4097


class Unlike(NamedTuple):
    """How far the outputs of an `IntegerNetwork` are from those of the network in floats.

    Attributes
    ----------
    largest, rms : float
        The largest difference of two outputs, and the root of the mean of their squares.
    same_class : float or None
        The share of rows with the same class; None where outputs are no probabilities.
    """

    largest: float
    rms: float
    same_class: float | None


class IntegerLayer(NamedTuple):
    """One layer in whole numbers: q = table[zero + (b + W q_before) multiplier / 2**shift].

    Attributes
    ----------
    weights : ndarray of int8, shape (n_in, n_out)
    biases : ndarray of int32, shape (n_out,)
    multipliers : ndarray of int32, shape (n_out,)
        Together with the shifts, the ratio of a unit's step to that of its result.
    shifts : ndarray of uint8, shape (n_out,)
    zero, lowest : int
        What stands for 0, and the lowest result.
    table : ndarray of int8, shape (256,), or None
        The activation of -128, ..., 127; None if it is the identity or, by `lowest`, relu.
    """

    weights: NDArray[np.int8]
    biases: NDArray[np.int32]
    multipliers: NDArray[np.int32]
    shifts: NDArray[np.uint8]
    zero: int
    lowest: int
    table: NDArray[np.int8] | None

    def sums(self, q: NDArray[np.int8]) -> NDArray[np.int32]:
        """b + W q for each row."""
        # No sum is above 2**31, so they are exact in float64, whose products are faster.
        product = q.astype(np.float64) @ self.weights.astype(np.float64)
        return (product + self.biases).astype(np.int32)

    def outputs(self, q: NDArray[np.int8]) -> NDArray[np.int8]:
        """The layer's outputs for those of the layer before."""
        shift = self.shifts.astype(np.int64)
        products = self.sums(q).astype(np.int64) * self.multipliers
        rounded = (products + (1 << (shift - 1))) >> shift
        out = (rounded + self.zero).clip(self.lowest, INT8.max).astype(np.int8)
        return out if self.table is None else self.table[out.astype(np.int16) + 128]


class IntegerNetwork:
    """A network in whole numbers, as `Network.to_c` writes it with ``arithmetic="int8"``.

    It computes what the C code computes: `integers` gives the same whole numbers and `predict` the
    same bits. `Network.to_c` makes it; weights, biases and ranges are fixed then.

    Attributes
    ----------
    network : Network
        The network in float32 that it was made from.
    layers : list of IntegerLayer
    centers, factors : ndarray of float32, shape (n_0,)
        The inputs are q = (x - center) factor, rounded to -127, ..., 127.
    steps : ndarray of float32, shape (n_m,)
        The last layer's s is a step times its sum.
    calibration : Unlike
        How far outputs are from those in floats for the rows that it was calibrated on.

    Notes
    -----
    Weights are multiples of a step, for each unit another one. The outputs of a hidden layer have
    one step and one zero, so that -128, ..., 127 span the range that they have in the calibration.
    The sums of products are exact. A sum becomes an index by a multiplication with a whole number,
    a shift and rounding, and a table has the activation of each index (Jacob et al., "Quantization
    and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018).
    Each input has its own step, which is a factor of its weights.

    Examples
    --------
    >>> import fastbp, numpy as np, tempfile
    >>> X = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    >>> net = fastbp.Network([2, 16, 1], loss="squared_error", seed=0)
    >>> history = net.fit(X, X.prod(axis=1), epochs=100)
    >>> whole = net.to_c(tempfile.mkdtemp(), weights="int8", arithmetic="int8", X=X)
    >>> whole.layers[0].weights.dtype
    dtype('int8')
    >>> whole.calibration.rms < 0.02
    True
    """

    def __init__(self, network: Any, X: Floats, scalers: Scalers) -> None:
        inputs.refuse(network.layout, "the export to the C source")
        self.network, self._scalers = network, scalers
        self.layers: list[IntegerLayer] = []
        self._output = names_of(network, network._engine.output_activation, "the C source")[-1]
        self._calibrate(X)
        self.calibration = self.unlike(X)

    def __repr__(self) -> str:
        return f"IntegerNetwork({list(self.network.layout.sizes)})"

    def _calibrate(self, X):
        """Choose steps from the ranges for X, and round weights and biases."""
        net = self.network
        h = self._scalers.before(X).astype(np.float64)
        W = net.weights[0].astype(np.float64)
        b = net.biases[0].astype(np.float64)
        W, b = self._of_inputs(h, W, b)
        step, zero = 1.0, 0  # those of W are in it
        names = names_of(net, self._output, "the C source")
        for i, (V, c) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
            s = h @ V.astype(np.float64) + c
            if i > 1:
                W, b = V.astype(np.float64), c.astype(np.float64)
            whole, biases, steps = _rounded(i, W, b, step, zero)
            if i == len(net.weights):
                last = IntegerLayer(
                    whole, biases, np.empty(0, np.int32), np.empty(0, np.uint8), 0, 0, None
                )
                self.layers.append(last)
                self.steps = (step * steps).astype(np.float32)
                return
            function = elementwise.ACTIVATIONS[spec.ACTIVATIONS[names[i - 1]].code].value
            h = function(s)
            found, step, zero = _hidden(names[i - 1], function, step * steps, s, h)
            self.layers.append(IntegerLayer(whole, biases, **found))

    def _of_inputs(self, Z, W, b):
        """Set centers and factors for scaled samples Z, and return W and b for whole inputs."""
        center, scale = np.zeros(len(W)), np.ones(len(W))  # z = (x - center) / scale
        for scaling in self._scalers.inputs:
            center = center + scale * (scaling.center.astype(np.float64) + scaling.rest)
            scale = scale * scaling.scale.astype(np.float64)
        low, high = Z.min(axis=0), Z.max(axis=0)
        span = scale * (high - low)
        self.centers = (center + scale * (low + high) / 2).astype(np.float32)
        with np.errstate(divide="ignore"):
            factors = (2 * STEPS / span).astype(np.float32)
        self.factors = np.where((span > 0) & np.isfinite(factors), factors, np.float32(0))
        step = np.divide(1.0, self.factors, where=self.factors > 0, out=np.zeros(len(span)))
        b = b + (self.centers - center) / scale @ W
        return (step / scale)[:, None] * W, b

    def _inputs(self, X):
        """Return the whole numbers for samples."""
        with np.errstate(over="ignore", invalid="ignore"):
            t = (X - self.centers) * self.factors
        t = np.where(t > -STEPS, t, np.float32(-STEPS))
        return np.rint(np.minimum(t, np.float32(STEPS))).astype(np.int8)

    def _samples(self, X):
        return checks.samples(X, self.network.layout.sizes[0], np.dtype(np.float32))

    def integers(self, X: ArrayLike) -> NDArray[np.int32]:
        """Compute the sums of the last layer, which are whole numbers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        ndarray of int32, shape (n_samples, n_m)
            What ``NAME_integers`` computes. Times `steps`, they are the last layer's s.

        Examples
        --------
        >>> import fastbp, tempfile
        >>> net = fastbp.Network([1, 1], loss="squared_error")
        >>> net.weights[0] = [[2.0]]
        >>> X = [[-1.0], [0.0], [1.0]]
        >>> whole = net.to_c(tempfile.mkdtemp(), weights="int8", arithmetic="int8", X=X)
        >>> whole.integers(X).ravel()  # -127, 0 and 127 times a weight of 127
        array([-16129,      0,  16129], dtype=int32)
        """
        q = self._inputs(self._samples(X))
        for layer in self.layers[:-1]:
            q = layer.outputs(q)
        return self.layers[-1].sums(q)

    def predict(self, X: ArrayLike) -> NDArray[np.float32]:
        """Compute the outputs, to the bits of ``NAME_predict``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_m)

        Examples
        --------
        >>> import fastbp, tempfile
        >>> net = fastbp.Network([1, 1], loss="squared_error")
        >>> net.weights[0] = [[2.0]]
        >>> X = [[-1.0], [0.0], [1.0]]
        >>> whole = net.to_c(tempfile.mkdtemp(), weights="int8", arithmetic="int8", X=X)
        >>> whole.predict(X).ravel()
        array([-2.,  0.,  2.], dtype=float32)
        """
        s = self.integers(X).astype(np.float32) * self.steps
        if self._output != "identity":
            n = s.shape[1]
            last = type(self.network)._new(
                [n, n], output_activation=self._output, loss=None, backend="auto"
            )
            last.weights[0] = np.eye(n)
            s = last.predict(s)
        return self._scalers.behind(s)

    def unlike(self, X: ArrayLike) -> Unlike:
        """Compare the outputs with those of the network in floats, for other rows than X of `to_c`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        Unlike

        Examples
        --------
        >>> import fastbp, tempfile
        >>> net = fastbp.Network([1, 1], loss="squared_error")
        >>> net.weights[0] = [[2.0]]
        >>> whole = net.to_c(
        ...     tempfile.mkdtemp(), weights="int8", arithmetic="int8", X=[[-1.0], [1.0]]
        ... )
        >>> whole.unlike([[1.0], [3.0]])  # 3 is outside of the range, so it counts as 1
        Unlike(largest=4.0, rms=2.82..., same_class=None)
        """
        X = self._samples(X)
        exact = self._scalers.behind(self.network._engine.outputs(self._scalers.before(X)))
        if not np.isfinite(exact).all():
            raise ValueError(checks.not_finite("the network's output, in floats, for X", exact))
        found = self.predict(X)
        error = found.astype(np.float64) - exact
        same = None
        if self._output == "softmax":
            same = float((found.argmax(axis=1) == exact.argmax(axis=1)).mean())
        elif self._output == "sigmoid":
            same = float(((found > 0.5) == (exact > 0.5)).all(axis=1).mean())
        return Unlike(float(np.abs(error).max()), float(np.sqrt((error**2).mean())), same)


def _rounded(i, W, b, step, zero):
    """Return int8 weights, int32 biases and the units' steps; inputs are `step` (q - `zero`)."""
    largest = np.abs(W).max(axis=0) / STEPS
    # A bias must be a whole number of steps, too, and fit beside the sums.
    steps = np.maximum(largest, np.abs(b) / (step * 2**30))
    steps = np.maximum(steps, np.finfo(np.float32).tiny / step)
    whole = np.rint(W / steps).clip(-STEPS, STEPS)
    biases = np.rint(b / (step * steps)) - zero * whole.sum(axis=0)
    if (np.abs(biases) + 128 * np.abs(whole).sum(axis=0)).max() > LARGEST:
        raise ValueError(
            f"layer {i} has {len(W)} inputs, too many for sums in 32 bits; write the weights "
            'without X=, or in "float32"'
        )
    return whole.astype(np.int8), biases.astype(np.int32), steps


def _hidden(name, function, steps, s, h):
    """Return what turns a hidden layer's sums into outputs, and the outputs' step and zero.

    Parameters
    ----------
    name : str
    function : callable
        The activation.
    steps : ndarray of shape (n_out,)
        What a sum of 1 stands for.
    s, h : ndarray of shape (n_samples, n_out)
        In the calibration.

    Returns
    -------
    found : dict
        The further attributes of an `IntegerLayer`.
    step : float
    zero : int
    """
    step_h, zero_h = _step(h.min(), h.max())
    table, step_s, zero_s, lowest = None, step_h, zero_h, INT8.min
    if name == "relu":
        lowest = max(zero_h, INT8.min)
    elif name != "identity":
        step_s, zero_s = _step(*_not_flat(function, s.min(), s.max(), step_h / 2))
        values = function(step_s * (np.arange(INT8.min, INT8.max + 1.0) - zero_s))
        table = (np.rint(values / step_h) + zero_h).clip(INT8.min, INT8.max).astype(np.int8)
    multipliers, shifts = _multipliers(steps / step_s)
    found = dict(
        multipliers=multipliers, shifts=shifts, zero=zero_s, lowest=int(lowest), table=table
    )
    return found, step_h, zero_h


def _step(low, high):
    """Return a step for which 255 of them span the range, and the number that stands for 0.

    If the range is far from 0 and narrow, steps are larger, since the sums of weights times this
    number must not become too large.
    """
    span = max(high - low, max(abs(low), abs(high)) / 4, 255 * float(np.finfo(np.float32).tiny))
    step = span / 255
    return step, int(np.rint(INT8.min - low / step))


def _not_flat(function, low, high, tolerance):
    """Leave out the ends of a range where the function changes by less than the tolerance."""
    s = np.linspace(low, high, PLACES)
    h = function(s)
    from_low = np.flatnonzero(np.abs(h - h[0]) > tolerance)
    from_high = np.flatnonzero(np.abs(h - h[-1]) > tolerance)
    if not len(from_low):
        return low, high
    return s[max(from_low[0] - 1, 0)], s[min(from_high[-1] + 1, PLACES - 1)]


def _multipliers(ratios):
    """Return multipliers and shifts for which multiplier / 2**shift is the ratio, to 31 bits."""
    _, exponents = np.frexp(ratios)
    shifts = np.clip(31 - exponents, 1, 62)
    multipliers = np.minimum(np.rint(np.ldexp(ratios, shifts)), LARGEST)
    return multipliers.astype(np.int32), shifts.astype(np.uint8)
