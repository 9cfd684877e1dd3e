"""Public views of a network's parameters and gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self, overload

import numpy as np

from ..basis import checks, monotonic
from ..basis.layout import OF_HIDDEN, PARAMETERS, Arrays

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats

# What the layouts of networks that are blended have in common, and what messages call that.
ALIKE = {
    "sizes": "layer sizes",
    "inputs": "inputs",
    "extras": "norm and layers with prelu",
    "dtype": "dtype",
}
EXTRAS = tuple(PARAMETERS)[2:]  # the kinds of parameters that only some networks have
# What has one array of a kind, unless that is each layer.
ONE_FOR_EACH = {
    **dict.fromkeys(OF_HIDDEN, "hidden layer"),
    "embeddings": "Categorical",
    "missing": "Numeric with missing=True",
}


class _Pair(NamedTuple):
    weights: list[Floats]
    biases: list[Floats]


class Gradient(_Pair):
    """Derivatives of a function by a network's parameters, with the shapes of its arrays.

    The function is mostly the mean loss; the method that returns a gradient says which it is. A
    gradient is a pair that unpacks into weights and biases. The derivatives by other parameters are
    attributes. Two gradients are equal if all their arrays are.

    Parameters
    ----------
    weights, biases : list of ndarray
        Of each layer.
    norm_weights, norm_biases, slopes : list of ndarray, default=()
        Of each hidden layer, if the network has such parameters, see `Network`; else empty.
    embeddings, missing : list of ndarray, default=()
        Of each `Categorical`, and of each `Numeric` with missing numbers, among the inputs.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
    >>> loss, gradient = net.loss_and_gradient([[1.0, 2.0]], [0.0])
    >>> [array.shape for array in gradient.weights], [array.shape for array in gradient.biases]
    ([(2, 1)], [(1,)])
    >>> own = fastbp.Gradient([[[0.5], [0.0]]], [[0.0]])
    >>> net.weights[0] = [[1.0], [1.0]]
    >>> net.apply_gradient(own, optimizer=fastbp.SGD(1.0))
    >>> net.weights[0].ravel()
    array([0.5, 1. ])
    """

    norm_weights: list[Floats]
    norm_biases: list[Floats]
    slopes: list[Floats]
    embeddings: list[Floats]
    missing: list[Floats]

    def __new__(
        cls,
        weights: list[Floats],
        biases: list[Floats],
        norm_weights: Sequence[Floats] = (),
        norm_biases: Sequence[Floats] = (),
        slopes: Sequence[Floats] = (),
        embeddings: Sequence[Floats] = (),
        missing: Sequence[Floats] = (),
    ) -> Self:
        made = tuple.__new__(cls, (weights, biases))
        made.norm_weights = _listed(norm_weights)
        made.norm_biases = _listed(norm_biases)
        made.slopes = _listed(slopes)
        made.embeddings = _listed(embeddings)
        made.missing = _listed(missing)
        return made

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]
        """Return a gradient of the arguments in an iterable, as every named tuple has it."""
        return cls(*iterable)

    def __eq__(self, other: object) -> bool:
        """Whether the other is a Gradient with the same numbers; a tuple's would ask arrays."""
        if not isinstance(other, Gradient):
            return False
        pairs = [(getattr(self, name), getattr(other, name)) for name in PARAMETERS]
        return all(
            len(own) == len(others) and all(map(np.array_equal, own, others))
            for own, others in pairs
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def _replace(self, **changes: Any) -> Self:
        """Return a copy with other lists, as every named tuple has it."""
        return type(self)(**{**{name: getattr(self, name) for name in PARAMETERS}, **changes})

    def __repr__(self) -> str:
        return f"Gradient({', '.join(f'{name}={arrays!r}' for name, arrays in _named(self))})"


def _listed(arrays):
    """A sequence as a list; anything else is left for `store` to refuse."""
    if type(arrays) is list:  # the usual case
        return arrays
    return list(arrays) if checks.is_sequence(arrays) else arrays


def _named(gradient):
    """The lists of a Gradient by name; only weights and biases may be empty."""
    named = [(name, getattr(gradient, name)) for name in PARAMETERS]
    return [(name, arrays) for name, arrays in named if name not in EXTRAS or len(arrays)]


def store(gradient, name, layout, numbers, finite):
    """Copy a user's Gradient to `numbers`, laid out like the parameters.

    An error says where `gradient`, which messages call by `name`, is wrong. `numbers` may have
    changed then. `finite` checks numbers of the layout's dtype.
    """
    if not isinstance(gradient, Gradient):
        raise TypeError(
            f"{name} must be a fastbp.Gradient, got {type(gradient).__name__} "
            "(loss_and_gradient returns a pair, the loss and its gradient; so does "
            "ForwardPass.backward, the gradient and the derivatives by X)"
        )
    entries = []
    for field, places in layout.views(numbers)._asdict().items():
        arrays = getattr(gradient, field)
        many = checks.is_sequence(arrays)
        if not many or len(arrays) != len(places):
            raise ValueError(
                f"{name}.{field} must be a list of {len(places)} arrays, one for each "
                f"{ONE_FOR_EACH.get(field, 'layer')}, "
                f"got {f'{len(arrays)} entries' if many else repr(arrays)}"
            )
        for i, place in enumerate(places):
            entries.append((f"{name}.{field}[{i}]", arrays[i], place))
    with np.errstate(over="ignore", invalid="ignore"):  # found below
        for entry, array, place in entries:
            place[...] = checks.shaped(array, place.shape, entry)
    if not finite(numbers):
        for entry, array, place in entries:
            checks.parameter(array, place.shape, place.dtype, entry)  # says where


def by_layer(layout, numbers):
    """Views of numbers as a Gradient; the last axis has layer by layer the arrays of each."""
    shapes, at = layout.shapes, 0
    found = Arrays(*([None] * len(kind) for kind in shapes))
    for i in range(len(shapes.weights)):
        for kind, views in zip(shapes, found, strict=True):
            if i < len(kind):
                size = math.prod(kind[i])
                part = numbers[..., at : at + size]
                views[i] = part.reshape(*numbers.shape[:-1], *kind[i])
                at += size
    return Gradient(*found)


def begin(arrays, bounds, random):
    """Set the parameters to their initial values, weights within each layer's bound.

    A category's vector is short at first, with a length of about 0.1, so that categories which the
    data do not tell apart stay together; that of unknown categories is 0.
    """
    for weights, bound in zip(arrays.weights, bounds, strict=True):
        weights[...] = random.uniform(-bound, bound, weights.shape)
    for name in EXTRAS:
        for array in getattr(arrays, name):
            if name == "embeddings":
                n, dimension = array.shape
                deviation = 0.1 / np.sqrt(dimension)
                array[:-1] = random.normal(0, deviation, (n - 1, dimension))
            else:
                array[...] = PARAMETERS[name]


def check_alike(layout, other):
    """Refuse to blend the parameters of networks with other shapes or another dtype."""
    for name, what in ALIKE.items():
        own, others = getattr(layout, name), getattr(other, name)
        if own != others:
            raise ValueError(
                f"blend needs networks of the same {what}, but this network has {own} and "
                f"the other one {others}"
            )


class Parameters(MutableSequence["Floats"]):
    """The weights (or other parameters) of all layers: a list of views of fixed length.

    Reading an entry returns a writable view of the network's numbers. Assigning to an entry checks
    shape and values, and copies them.
    """

    def __init__(self, name: str, arrays: list[Floats], signs: Sequence[Floats] = ()) -> None:
        self._name, self._arrays, self._signs = name, arrays, signs

    @overload
    def __getitem__(self, i: int) -> Floats: ...
    @overload
    def __getitem__(self, i: slice) -> list[Floats]: ...
    def __getitem__(self, i: int | slice) -> Floats | list[Floats]:
        return self._arrays[i]

    def __len__(self) -> int:
        return len(self._arrays)

    def __setitem__(self, i: int, value: ArrayLike) -> None:  # type: ignore[override]
        view = self._arrays[i]
        if isinstance(i, slice):
            raise TypeError(f"assign {self._name} layer by layer, not by slice")
        array = checks.parameter(value, view.shape, view.dtype, f"{self._name}[{i}]")
        if self._signs:
            monotonic.check_signs(array, self._signs[i], f"{self._name}[{i}]")
        view[...] = array

    def __delitem__(self, i: int | slice) -> NoReturn:
        raise TypeError(f"{self._name} of a network cannot be deleted")

    def insert(self, i: int, value: object) -> NoReturn:
        raise TypeError(f"entries cannot be inserted into {self._name} of a network")

    def __repr__(self) -> str:
        return repr(self._arrays)
