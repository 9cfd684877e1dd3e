"""Public views of a network's weights, biases and gradients."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn, overload

import numpy as np

from ..basis import checks, monotonic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats


class Gradient(NamedTuple):
    """Derivatives of a function by weights and biases, with the shapes of the network's arrays.

    The function is mostly the mean loss; the method that returns a gradient says which it is.

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

    weights: list[Floats]
    biases: list[Floats]


def by_layer(sizes, numbers):
    """A Gradient of views of numbers in the order W_1, b_1, W_2, ... (last axis)."""
    weights, biases, at = [], [], 0
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        of_weights = numbers[..., at : at + n_in * n_out]
        weights.append(of_weights.reshape(*numbers.shape[:-1], n_in, n_out))
        at += n_in * n_out
        biases.append(numbers[..., at : at + n_out])
        at += n_out
    return Gradient(weights, biases)


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
    for field, arrays, places in zip(
        gradient._fields, gradient, layout.views(numbers), strict=True
    ):
        many = checks.is_sequence(arrays)
        if not many or len(arrays) != len(places):
            raise ValueError(
                f"{name}.{field} must be a list of {len(places)} arrays, one for each layer, "
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


class Parameters(MutableSequence["Floats"]):
    """The weights (or biases) of all layers: a list of views of fixed length.

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
