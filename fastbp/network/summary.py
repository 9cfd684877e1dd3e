"""The summary of a network: its layers, and how many parameters and bytes they have."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..basis.inputs import Categorical, Numeric


@dataclass(frozen=True, repr=False)
class Summary:
    """What `Network.summary` returns; prints as a table, and is one in a notebook.

    Attributes
    ----------
    sizes : tuple of int
        Number of features, then of units of each layer.
    activations : tuple of str
        Activation of each layer, the output layer's last.
    n_parameters : int
        Number of weights, biases and all other parameters.
    n_bytes : int
        Memory of the parameters in the network's dtype, without padding.
    title : str
        The loss, the dtype and the backend.
    layer_parameters : tuple of int
        Number of parameters of each layer, without those of inputs.
    norm : str or None
        Normalisation of the hidden layers.
    residual_layers : tuple of int
        Numbers of the layers, counted from 1, that add their input to their output.
    inputs : tuple of Numeric and Categorical
        The inputs, if some of them are learned, else empty.

    Examples
    --------
    >>> import fastbp
    >>> summary = fastbp.Network([64, 32, 10], loss="cross_entropy").summary()
    >>> summary.activations, summary.n_parameters, summary.n_bytes
    (('relu', 'softmax'), 2410, 9640)
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    n_parameters: int
    n_bytes: int
    title: str
    layer_parameters: tuple[int, ...]
    norm: str | None
    residual_layers: tuple[int, ...]
    inputs: tuple[Numeric | Categorical, ...]

    def _rows(self):
        """A heading and a row for each layer, as text: layer, units, activation, parameters."""
        rows = [("layer", "units", "activation", "weights", "parameters")]
        for item in self.inputs:
            n, k = item._rows, item._width
            table = (f"{n} x {k}", f"{n * k:,}") if n else ("", "")
            rows.append((repr(item), f"{k:,}", "", *table))
        rows.append(("input", f"{self.sizes[0]:,}", "", "", ""))
        for i, activation in enumerate(self.activations, start=1):
            n, k = self.sizes[i - 1 : i + 1]
            name = "output" if i == len(self.activations) else str(i)
            if self.norm is not None and name != "output":
                activation = f"{self.norm} norm, {activation}"
            if i in self.residual_layers:
                activation += " + input"
            parameters = f"{self.layer_parameters[i - 1]:,}"
            rows.append((name, f"{k:,}", activation, f"{n} x {k}", parameters))
        return rows

    def _total(self):
        return f"{self.n_parameters:,} parameters, {_size(self.n_bytes)}"

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        left = (True, False, True, True, False)
        lines = [
            "  ".join(
                cell.ljust(width) if to_left else cell.rjust(width)
                for cell, width, to_left in zip(row, widths, left, strict=True)
            ).rstrip()
            for row in rows
        ]
        return "\n".join([self.title, *lines, self._total()])

    def _repr_html_(self) -> str:
        heading, *rows = self._rows()
        cells = "".join(f"<th>{cell}</th>" for cell in heading)
        for row in rows:
            cells += "</tr><tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        title = html.escape(self.title)
        return f"<table><caption>{title}; {self._total()}</caption><tr>{cells}</tr></table>"


def _size(n_bytes):
    """A number of bytes in the unit that suits it."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes} bytes"


def summary(network, output_activation):
    """The `Summary` of a network."""
    layout = network.layout
    sizes = layout.sizes
    counts = [sum(array.size for array in arrays) for arrays in network._engine.arrays.layers]
    counts[0] -= sum(item._rows * item._width for item in layout.inputs)
    loss = "no loss" if network.loss is None else f"loss {network._engine.loss_title}"
    rounding = f", products in {network.compute_dtype}" if network.compute_dtype else ""
    constrained = np.count_nonzero(network.monotonic_cst or ())
    monotonic = f", monotonic in {constrained} of {sizes[0]} features" if constrained else ""
    return Summary(
        sizes,
        (*map(str, layout.activations), output_activation),
        layout.n_numbers,
        layout.n_numbers * layout.dtype.itemsize,
        f"Network, {loss}, {layout.dtype.name}{rounding}{monotonic}, backend {network.backend}",
        tuple(counts),
        layout.norm,
        tuple(layout.residual_layers),
        layout.inputs,
    )
