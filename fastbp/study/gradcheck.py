"""Checks gradients against central differences, on every backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import backends
from ..basis import checks
from ..basis.names import keywords
from ..network.network import Network, check_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


# Steps of the differences. The smaller ones are tried only if the first one fails: a kink between
# w - step and w + step makes the difference wrong, and a smaller step avoids most kinks.
# What tables call the arrays of a layer.
SYMBOLS = {
    **{"weights": "W", "biases": "b", "norm_weights": "γ", "norm_biases": "β", "slopes": "a"},
    **{"embeddings": "E", "missing": "m"},
}
STEPS = (1e-5, 1e-6, 1e-7)


class WrongGradient(ArithmeticError):
    """A gradient that finite differences contradict.

    Attributes
    ----------
    check : GradientCheck
        The results of the check.
    """

    def __init__(self, check: GradientCheck) -> None:
        super().__init__(str(check))
        self.check = check

    def __reduce__(self):
        return type(self), (self.check,), vars(self)


@dataclass(frozen=True)
class LayerCheck:
    """Check of the gradient of one array of a layer's parameters on one backend.

    Attributes
    ----------
    backend : str
        Name of the backend.
    layer : int
        Number of the layer, from 1.
    name : str
        "W" or "b"; "γ", "β" (of a normalisation) or "a" (the slopes of prelu). With layer 1 there
        are "E" of each `Categorical` and "m" of each `Numeric` with missing numbers.
    error : float
        The largest difference between gradient and central difference, relative to the largest
        gradient of this array (or to the rounding error of central differences, if that is
        larger).
    where : tuple of int
        Index of the entry with the largest error.
    gradient, difference : float
        Gradient and central difference of that entry.
    checked : int
        Number of entries that were compared.
    kinks : int
        Number of these entries on a kink (of relu, or of absolute_error where h = y): the slopes
        to the left and to the right differ, and the gradient is between them.
    passed : bool
        Whether the error is within the tolerance.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> net = fastbp.Network([2, 3, 1], activation="tanh", loss="squared_error", seed=0)
    >>> X = np.array([[0.5, -1.0], [1.5, 0.2]])
    >>> layer = fastbp.check_gradients(net, X, [0.0, 1.0], only=["numpy"]).results[0]
    >>> layer.backend, layer.layer, layer.name, layer.passed
    ('numpy', 1, 'W', True)
    """

    backend: str
    layer: int
    name: str
    error: float
    where: tuple[int, ...]
    gradient: float
    difference: float
    checked: int
    kinks: int
    passed: bool


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """The result of `check_gradients`; prints as a table with a verdict.

    Attributes
    ----------
    results : list of LayerCheck
        Results by backend and layer.
    tolerance : float
        The largest error that passes.
    activations : tuple of str
        Activations of the hidden layers.
    loss : str
        Name of the loss.
    missing : dict
        Backend -> the reason why it could not be checked.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> net = fastbp.Network([2, 3, 1], activation="tanh", loss="squared_error", seed=0)
    >>> X = np.array([[0.5, -1.0], [1.5, 0.2]])
    >>> check = fastbp.check_gradients(net, X, [0.0, 1.0], only=["numpy"])
    >>> check.passed, len(check.results)  # weights and biases of two layers
    (True, 4)
    """

    results: list[LayerCheck]
    tolerance: float
    activations: tuple[str, ...]
    loss: str
    missing: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether all gradients are correct.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 3, 1], activation="tanh", loss="squared_error", seed=0)
        >>> check = fastbp.check_gradients(net, [[0.5, -1.0]], [1.0], only=["numpy"])
        >>> check.passed
        True
        """
        return all(result.passed for result in self.results)

    @property
    def suspect(self) -> str:
        """Description of the probable cause; empty if all gradients are correct.

        A wrong error signal makes all layers below wrong, so the highest wrong layer shows the
        cause: the loss if it is the output layer, else the derivative of that hidden layer's
        activation.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 3, 1], activation="tanh", loss="squared_error", seed=0)
        >>> check = fastbp.check_gradients(net, [[0.5, -1.0]], [1.0], only=["numpy"])
        >>> check.suspect  # no layer failed
        ''
        """
        wrong = [result for result in self.results if not result.passed]
        if not wrong:
            return ""
        names = sorted({result.backend for result in wrong})
        highest = max(result.layer for result in wrong)
        if highest > len(self.activations):
            what = f"the derivative ∂e/∂s of the loss {self.loss!r}"
        else:
            name = self.activations[highest - 1]
            what = f"the derivative of the activation {name!r} of layer {highest}"
        return f"{what} on {', '.join(names)}"

    def __repr__(self):
        header = (
            "backend",
            "layer",
            "",
            "largest error",
            "at",
            "gradient",
            "difference",
            "entries",
        )
        lines = [header]
        for r in self.results:
            kinks = f", {r.kinks} on kinks" if r.kinks else ""
            wrong = "" if r.passed else "  WRONG"
            lines.append(
                (
                    r.backend,
                    str(r.layer),
                    r.name,
                    f"{r.error:.1e}",
                    str(list(r.where)),
                    f"{r.gradient:.6g}",
                    f"{r.difference:.6g}",
                    f"{r.checked}{kinks}{wrong}",
                )
            )
        widths = [max(len(line[c]) for line in lines) for c in range(len(lines[0]))]
        text = ["Gradients against central differences in float64"]
        text += [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        text += [f"{name}: not checked, {why}" for name, why in self.missing.items()]
        if self.passed:
            text.append(f"All right: no relative error above {self.tolerance:g}.")
        else:
            text.append(f"Wrong (tolerance {self.tolerance:g}). Suspect: {self.suspect}.")
        return "\n".join(text)


@keywords
def check_gradients(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    only: Sequence[str] | None = None,
    tolerance: float = 1e-6,
    entries: int = 200,
    raises: bool = True,
) -> GradientCheck:
    """Compare the gradient with central differences of the loss, on every available backend.

    The check computes in float64 for a network of any dtype. The network is not changed.

    Parameters
    ----------
    net : Network
    X : array-like of shape (n_samples, n_0)
        Some samples; a handful is enough, and fast.
    y : array-like of shape (n_samples,) or (n_samples, n_m)
        Targets in the loss's form, see `Network`.
    sample_weight : array-like of shape (n_samples,), optional
        Weights w ≥ 0, not all zero.
    only : sequence of str, optional
        Names of the backends to check.
    tolerance : float, default=1e-6
        The largest relative error that passes.
    entries : int, default=200
        Maximum number of entries to compare in each array of parameters. From larger arrays they
        are drawn at random, with a fixed seed.
    raises : bool, default=True
        Raise an error if a gradient is wrong. If False, see the result's ``passed``.

    Returns
    -------
    GradientCheck
        Prints as a table by backend and layer.

    Raises
    ------
    WrongGradient
        If a gradient is wrong. Its text is the table and the probable cause.
    TypeError, ValueError
        For bad arguments.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> net = fastbp.Network([2, 3, 1], activation="tanh", loss="squared_error", seed=0)
    >>> X = np.array([[0.5, -1.0], [1.5, 0.2]])
    >>> check = fastbp.check_gradients(net, X, [0.0, 1.0], only=["numpy"])
    >>> check.passed, max(layer.error for layer in check.results) < 1e-6
    (True, True)
    """
    check_network("net", net)
    tolerance = checks.real_number("tolerance", tolerance, 1e-12, 1.0)
    entries = checks.whole_number("entries", entries)
    raises = checks.flag("raises", raises)
    names = list(backends.BACKENDS) if only is None else checks.names("only", only, "backends")
    results, missing = [], {}
    for name in names:
        try:
            twin = net._engine.converted("float64", name)
        except backends.BackendUnavailable as error:
            missing[name] = str(error)
            continue
        twin.check_finite()
        data = twin.data(X, y, sample_weight)
        results += _by_layer(twin, data, name, tolerance, entries)
    check = GradientCheck(
        *(results, tolerance, tuple(map(str, net.layout.activations))),
        *(net._engine.loss_title, missing),
    )
    if raises and not check.passed:
        raise WrongGradient(check)
    return check


def _by_layer(engine, data, backend, tolerance, entries):
    """Yield the LayerChecks of a float64 engine."""
    nothing = np.empty(0)

    def loss():
        return engine.loss_and_gradient(data, nothing)

    gradient = engine.layout.zeros(engine.layout.n_parameters)
    here = engine.loss_and_gradient(data, gradient)
    # Rounding error of a central difference; a smaller gradient cannot be distinguished from 0.
    noise = 16 * np.finfo(float).eps * max(1.0, abs(here)) / STEPS[0]
    random = np.random.default_rng(0)
    for i, (arrays, of_layer) in enumerate(
        zip(engine.arrays.layers, engine.layout.views(gradient).layers, strict=True)
    ):
        names = ["weights", "biases", *engine.layout.extras[i]]
        if i == 0:
            tables = engine.arrays.embeddings, engine.arrays.missing
            names += ["embeddings"] * len(tables[0]) + ["missing"] * len(tables[1])
        for name, array, slopes in zip(names, arrays, of_layer, strict=True):
            places = np.arange(array.size)
            if array.size > entries:
                places = np.sort(random.choice(array.size, entries, replace=False))
            scale = max(float(np.abs(slopes).max()), noise / tolerance)
            compared, kinks = [], 0
            for place in places:
                index = tuple(int(k) for k in np.unravel_index(place, array.shape))
                slope = float(slopes[index])
                difference, at_kink = _difference(
                    array, index, loss, here, slope, tolerance * scale
                )
                kinks += at_kink
                error = 0.0 if at_kink else abs(slope - difference) / scale
                compared.append((np.inf if np.isnan(error) else error, index, slope, difference))
            error, where, slope, difference = max(compared, key=lambda entry: entry[0])
            passed = bool(error <= tolerance)
            yield LayerCheck(
                *(backend, i + 1, SYMBOLS[name], float(error), where, slope, float(difference)),
                len(places),
                kinks,
                passed,
            )


def _difference(array, index, loss, here, slope, tolerated):
    """Return the central difference nearest to the gradient `slope`, and whether it is a kink."""
    value, best = array[index], np.nan
    for step in STEPS:
        array[index] = value + step
        above = loss()
        array[index] = value - step
        below = loss()
        array[index] = value
        central = (above - below) / (2 * step)
        if not abs(central - slope) >= abs(best - slope):
            best = central
        if abs(best - slope) <= tolerated:
            return best, False
    left, right = sorted([(here - below) / step, (above - here) / step])
    # If the loss is smooth here, the two differ only by its curvature times the step.
    kink = right - left > 10 * tolerated and left - tolerated <= slope <= right + tolerated
    return best, kink
