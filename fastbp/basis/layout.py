"""The memory layout of a network: one flat parameter buffer and one workspace.

Layer i's weights are a matrix of n_{i-1} rows followed by one row of biases. A row holds
n_i numbers and is padded with zeros to whole 64-byte vectors, so that kernels need no
remainder loops. The padding stays zero under every optimiser because its gradient is zero. The
distance between rows is the *stride*: the padded length, plus one vector if the rows would
otherwise compete for the same few sets of the processor's cache. The backward pass multiplies
by the transposed weights. A transposed copy is kept for it, with n_i rows and the stride of
layer i-1.

A single output would waste all but one lane of every vector, so it is laid out as a row: its
weights are one padded row followed by a vector that holds the bias, and its pre-activations and
deltas are vectors over the samples (stride 1). It needs no transposed copy.

A hidden layer may have further parameters, one for each unit: those of its normalisation, and the
slopes of prelu. They are rows behind the row of biases, in the order of PARAMETERS. Tables of
learned inputs follow the last layer, see inputs.py.

The compiled kernels get the layout as a table of integers, the *plan*. It has one row per layer
(row 0 is the input) and the columns named below.
"""

import operator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from . import spec
from .inputs import (
    CATEGORY,
    MARKED,
    TABLE_KINDS,
    TABLE_PIECE,
    TABLED,
    table,
    table_at,
    table_places,
)
from .memory import VECTOR_BYTES, address, zeros

# Rows at a distance that is a multiple of this share only a few sets of the first-level cache.
CONFLICT_BYTES = 1024
# The workspace of a block of rows of a small network.
BLOCK_BYTES = 384 * 1024
# Large batches are divided into groups of blocks of at most GROUP_ROWS rows, if there are at least
# FEWEST_GROUPS; at most MOST_GROUPS, and as many as have room in SUMS_BYTES.
GROUP_ROWS = 256
FEWEST_GROUPS = 8
MOST_GROUPS = 256
SUMS_BYTES = 1 << 24
# Numbers behind a group's gradient, so that the next one begins on a vector; the last is its loss.
LOSS_PLACES = 8
NO_SUMS = np.empty((0, LOSS_PLACES))

# Derivatives of activations along directions are computed for this many rows at a time.
SLICE_ROWS = 16

# Columns of the plan. Offsets count elements. H, S and DS are offsets per row of the block:
# with a block of R rows, the array starts at R times that number.
SIZE = 0  # n_i
STRIDE = 1  # distance between rows: n_i rounded up to whole vectors, or more; 1 if n_m = 1
WEIGHTS = 2  # start of layer i's weights in the parameter buffer; of the input, of its tables
TRANSPOSED = 3  # start of their transposed copy; the optional one of the first layer comes last
ACTIVATION = 4  # code of σ_i of a hidden layer; IDENTITY for the output layer, see PAIRED
H = 5  # activation h_i in the workspace
S = 6  # pre-activation s_i; equal to H where h_i may overwrite s_i
DS = 7  # ∂e/∂s_i
DROPOUT = 8  # the share of units that training drops, in units of 2**-32
OUTPUT = 9  # h_i as the next layer gets it; equal to H without dropout
ROUNDED = 10  # 1 if products with layer i's weights round their operands to bfloat16, else 0
FUNCTION = 11  # address of the table of C functions, if σ_i is of the user's own, else 0
PAIRED = 12  # of the output layer, the code of σ_m; IDENTITY where the loss implies σ_m
TARGETS = 13  # of the output layer, the number of targets of a sample
SPARSE = 14  # of layer 1, STORED or TOUCHED if the samples are sparse, else 0
NORM = 15  # code of the normalisation of s_i, which σ_i then gets as z_i
RESIDUAL = 16  # 1 if the layer's input is added to its output, else 0
EXTRAS = 17  # number of rows of parameters behind the row of biases
NORMALIZED = 18  # with a normalisation, x̂_i, which scale and shift make z_i in the place of s_i
INVERSE = 19  # with a normalisation, 1 / √(variance + ε) of each row, in all lanes of a vector
DH = 20  # the error that comes back from the layers above; equal to DS unless RESIDUAL
TERMS = 21  # as many arrays as EXTRAS, each laid out like h_i: each row's derivatives by them
INPUTS = 22  # of the input, the address of the table that inputs.py describes; 0 if h_0 is X
COLUMNS = 23

# A step on sparse samples changes all weights, or only those whose column has entries in the batch.
STORED, TOUCHED = 1, 2

# The arrays of parameters, in the order in which a layer has them. Their initial values; weights
# are drawn.
PARAMETERS = {
    "weights": None,
    "biases": 0.0,
    "norm_weights": 1.0,
    "norm_biases": 0.0,
    "slopes": 0.25,
    "embeddings": None,
    "missing": 0.0,
}
# Those that hidden layers have behind their biases.
OF_HIDDEN = ("norm_weights", "norm_biases", "slopes")


class Arrays(NamedTuple):
    """The parameters of all layers, or numbers laid out like them: a list for each kind.

    The first two lists have one array for each layer, of shapes (n_{i-1}, n_i) and (n_i,). The
    next three are empty if no layer has such parameters, else they have one array for each hidden
    layer, of shape (n_i,) or (0,). The last two have one array for each `Categorical` of the
    inputs, of shape (n_categories + 1, dimension), and for each `Numeric` with missing numbers, of
    shape (n_columns,).
    """

    weights: list
    biases: list
    norm_weights: list
    norm_biases: list
    slopes: list
    embeddings: list
    missing: list

    @property
    def all(self):
        """All arrays in one list: all weights, then all biases, and so on."""
        return [array for arrays in self for array in arrays]

    @property
    def layers(self):
        """Of each layer, the list of its arrays. Learned inputs belong to the first one."""
        extras = [arrays for name in OF_HIDDEN if (arrays := getattr(self, name))]
        each = []
        for i, pair in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = i < len(self.weights) - 1
            each.append([*pair, *(arrays[i] for arrays in extras if hidden and arrays[i].size)])
        each[0] += [*self.embeddings, *self.missing]
        return each


def extras_of(norm, activation):
    """The kinds of a hidden layer's parameters behind the biases, for two codes of its plan."""
    kinds = ["norm_weights"] if norm != spec.NO_NORM else []
    if norm == spec.LAYER_NORM:
        kinds.append("norm_biases")
    return [*kinds, "slopes"] if activation == spec.PRELU else kinds


@dataclass(frozen=True)
class Layout:
    """The sizes, offsets and strides of one network.

    Parameters
    ----------
    sizes : tuple of int
        n_0 (features), the widths of the hidden layers, n_m (outputs).
    activations : tuple of str or Activation
        One name, or function of the user's own, per hidden layer, ``len(sizes) - 2`` in all.
    dtype : numpy.dtype
        float32 or float64.
    dropout : tuple of float, default=()
        The dropout rates of the input and of each hidden layer; empty for no dropout. They
        change the workspace, not the parameters.
    separate : bool, default=False
        Whether the workspace keeps s_i beside h_i in all hidden layers, or only where the
        derivative needs it. This affects only offsets in the workspace.
    compute_dtype : {None, "bfloat16"}, default=None
        The precision to which matrix products round their operands; None for that of `dtype`.
        A single output has no matrix products.
    paired : str, default="identity"
        The output activation, if the loss is computed from the output; "identity" if the loss
        implies the activation.
    one_target : bool, default=False
        Whether a sample has one target, whatever the number of outputs.
    sparse : int, default=0
        The number of threads in which sparse samples are read; 0 for dense samples. It changes the
        workspace, not the parameters.
    touched : bool, default=False
        Whether steps on sparse samples change only those weights of layer 1 whose columns have
        entries in the batch.
    norm : {None, "layer", "rms"}, default=None
        The normalisation of the hidden layers' pre-activations.
    residual : bool, default=False
        Whether hidden layers as wide as the hidden layer before them add their input to their
        output.
    inputs : tuple of Numeric and Categorical, default=()
        What makes h_0 of the columns of X, if some of it is learned.
    head_targets : int, default=0
        The number of targets of a sample if the network has heads, else 0. Kernels then compute the
        losses apart from s.
    """

    sizes: tuple
    activations: tuple
    dtype: np.dtype
    dropout: tuple = ()
    separate: bool = False
    compute_dtype: str | None = None
    paired: str = "identity"
    one_target: bool = False
    sparse: int = 0
    touched: bool = False
    norm: str | None = None
    residual: bool = False
    inputs: tuple = ()
    head_targets: int = 0

    @cached_property
    def lanes(self):
        """The number of elements in a vector."""
        return VECTOR_BYTES // self.dtype.itemsize

    def padded(self, n):
        """n rounded up to whole vectors."""
        return -(-n // self.lanes) * self.lanes

    def stride(self, n):
        """The distance between rows of n numbers."""
        length = self.padded(n)
        return length + self.lanes * (length * self.dtype.itemsize % CONFLICT_BYTES == 0)

    def __getstate__(self):
        # What is computed from these may have addresses of this process.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def own_activations(self):
        """The user's own activation functions, each once."""
        return list(dict.fromkeys(x for x in self.activations if not isinstance(x, str)))

    @cached_property
    def single(self):
        """Whether the network has a single output, laid out as a row."""
        return self.sizes[-1] == 1

    @cached_property
    def n_features(self):
        """The number of columns of X."""
        return sum(item._columns for item in self.inputs) if self.inputs else self.sizes[0]

    @property
    def given_sizes(self):
        """The sizes as `Network` takes them: with the inputs, if some of them are learned."""
        return [list(self.inputs) if self.inputs else self.sizes[0], *self.sizes[1:]]

    @cached_property
    def n_targets(self):
        """The number of targets of a sample: one, or one for each output, or those of all heads."""
        return self.head_targets or (1 if self.one_target else self.sizes[-1])

    def parameters_of(self, i):
        """The number of elements that layer i takes in the parameter buffer."""
        n_in = self.sizes[i - 1]
        if self.single and i == len(self.sizes) - 1:
            return self.padded(n_in) + self.lanes
        return (n_in + 1 + len(self.extras[i - 1])) * self.stride(self.sizes[i])

    @cached_property
    def extras(self):
        """Of each layer, the kinds of its parameters besides weights and biases."""
        norm = spec.NORMS[self.norm]
        codes = [spec.activation_of(item).code for item in self.activations]
        return [*(extras_of(norm, code) for code in codes), []]

    @cached_property
    def special(self):
        """What the hidden layers have besides weights, biases and elementwise functions."""
        names = [f"norm={self.norm!r}"] if self.norm else []
        names += ["residual=True"] if self.residual else []
        return [*names, "the activation prelu"] if "prelu" in self.activations else names

    @cached_property
    def residual_layers(self):
        """The numbers of the layers that add their input to their output."""
        hidden = range(2, len(self.sizes) - 1) if self.residual else ()
        return [i for i in hidden if self.sizes[i] == self.sizes[i - 1]]

    def transposed_of(self, i):
        """The number of elements that layer i takes in the transposed copy."""
        if (i == 1 and not self.inputs) or (self.single and i == len(self.sizes) - 1):
            return 0  # training passes no errors back into inputs that are not learned
        return self.sizes[i] * self.stride(self.sizes[i - 1])

    @cached_property
    def plan(self):
        """The table for the kernels, int64 of shape (number of layers + 1, COLUMNS).

        Its memory ends with the table of the inputs.
        """
        size = len(self.sizes) * COLUMNS
        memory = np.zeros(size + self.input_table.size, np.int64)
        plan = memory[:size].reshape(-1, COLUMNS)
        plan[1:, EXTRAS] = [len(kinds) for kinds in self.extras]
        plan[self.residual_layers, RESIDUAL] = 1
        plan[1:-1, NORM] = spec.NORMS[self.norm]
        plan[:, SIZE] = self.sizes
        plan[:, STRIDE] = [self.stride(n) for n in self.sizes]
        if self.sparse:  # a place in each row for every thread, and the row's end
            plan[0, STRIDE] = self.padded((self.sparse + 1) * 8 // self.dtype.itemsize)
            plan[1, SPARSE] = TOUCHED if self.touched else STORED
        for i, rate in enumerate(self.dropout):
            plan[i, DROPOUT] = int(rate * 2**32)
        parameters = transposed = 0
        per_row = plan[0, STRIDE]  # the gathered input, h_0, comes first
        if self.inputs:
            memory[size:] = self.input_table.ravel()
            plan[0, INPUTS] = address(memory[size:])
            plan[0, WEIGHTS] = self._n_of_layers
            plan[0, DS] = plan[0, DH] = per_row
            per_row = plan[0, DH] + plan[0, STRIDE] + self.padded(int(self.input_table[0, MARKED]))
        for i in range(1, len(self.sizes)):
            stride = plan[i, STRIDE]
            plan[i, WEIGHTS] = parameters
            parameters += self.parameters_of(i)
            plan[i, TRANSPOSED] = transposed if i > 1 else self._transposed_behind
            transposed += self.transposed_of(i) if i > 1 else 0
            plan[i, H] = plan[i, S] = plan[i, OUTPUT] = per_row
            per_row += stride
            if i < len(self.sizes) - 1:
                activation = spec.activation_of(self.activations[i - 1])
                plan[i, ACTIVATION] = activation.code
                if activation in self.own_activations:
                    plan[i, ACTIVATION] += self.own_activations.index(activation)
                    plan[i, FUNCTION] = activation._table(self.dtype)
                kept = self.separate and activation.code != spec.IDENTITY  # identity: h_i is s_i
                if activation.uses_preactivation or kept:
                    plan[i, S] = per_row
                    per_row += stride
                if plan[i, DROPOUT] or plan[i, RESIDUAL]:
                    plan[i, OUTPUT] = per_row
                    per_row += stride
                if plan[i, NORM]:
                    plan[i, NORMALIZED] = per_row
                    plan[i, INVERSE] = per_row + stride
                    per_row += stride + self.lanes
                plan[i, TERMS] = per_row
                per_row += plan[i, EXTRAS] * stride
            elif self.paired != "identity" or self.head_targets:
                plan[i, S] = per_row  # the loss takes the place of h
                per_row += stride
            plan[i, DS] = plan[i, DH] = per_row
            per_row += stride
            if plan[i, RESIDUAL]:
                plan[i, DH] = per_row
                per_row += stride
        plan[1:, ROUNDED] = self.compute_dtype is not None
        plan[-1, PAIRED] = spec.ACTIVATIONS[self.paired].code
        plan[-1, TARGETS] = self.n_targets
        if self.single:
            plan[-1, STRIDE], plan[-1, ROUNDED] = 1, 0
        plan.flags.writeable = False
        return plan

    @cached_property
    def separated(self):
        """The same layout, with a workspace that keeps s beside h in all hidden layers."""
        return replace(self, separate=True)

    @cached_property
    def for_derivatives(self):
        """As `separated`, for derivatives by the inputs and products with Hessians.

        Products are not rounded: the derivative of a rounding is 0 or undefined.
        """
        return replace(self, separate=True, dropout=(), compute_dtype=None)

    @cached_property
    def for_sparse(self):
        """The same layout, with a workspace for sparse samples that one thread reads."""
        return replace(self, sparse=1)

    @cached_property
    def input_table(self):
        """The table of the inputs, see inputs.py; empty if h_0 is X."""
        if not self.inputs:
            return np.zeros((0, 0), np.int64)
        marks = 2 * self.stride(self.sizes[0])  # behind h_0 and the derivatives by it
        return table(self.inputs, self.lanes, self._n_of_layers, marks)

    @cached_property
    def _n_of_layers(self):
        """Where the layers' parameters end."""
        return sum(self.parameters_of(i) for i in range(1, len(self.sizes)))

    @cached_property
    def n_parameters(self):
        """Length of the parameter buffer, padding included."""
        tables = int(self.input_table[0, TABLED]) if self.inputs else 0
        return self._n_of_layers + tables

    @cached_property
    def n_numbers(self):
        """The number of parameters, without padding."""
        rows = (n + 1 + len(kinds) for n, kinds in zip(self.sizes, self.extras, strict=False))
        tables = sum(item._rows * item._width for item in self.inputs)
        return sum(map(operator.mul, rows, self.sizes[1:])) + tables

    @cached_property
    def n_rows(self):
        """The number of rows of parameters in all layers, and of pieces of the tables."""
        pieces = (self.n_parameters - self._n_of_layers) // TABLE_PIECE
        return int(self.plan[:-1, SIZE].sum() + (1 + self.plan[1:, EXTRAS]).sum()) + pieces

    @cached_property
    def n_transposed(self):
        """Length of the buffer of transposed weights."""
        return self._transposed_behind + self.transposed_of(1)

    @cached_property
    def _transposed_behind(self):
        """The same without the first layer, whose copy comes last."""
        return sum(self.transposed_of(i) for i in range(2, len(self.sizes)))

    @cached_property
    def n_all_transposed(self):
        """The same including the first layer, for errors passed back into the input."""
        return self._transposed_behind + self.sizes[1] * self.stride(self.sizes[0])

    @cached_property
    def n_transposed_and_squares(self):
        """The same, and the squares of the first layer's weights with a sum for each unit."""
        n = self.sizes[1]
        return self.n_all_transposed + n * self.stride(self.sizes[0]) + self.padded(n)

    @cached_property
    def flops_per_row(self):
        """Operations of a training step per row: 4 n_0 n_1, and 6 n_{i-1} n_i per later layer.

        The forward pass and the weight gradient take 2 n_{i-1} n_i each. Passing the error back
        takes as many, and the first layer does not need it, unless its inputs are learned.
        """
        products = [a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False)]
        return (6 if self.inputs else 4) * products[0] + 6 * sum(products[1:])

    @cached_property
    def divisible_weights(self):
        """The largest number of weights in a layer that threads share: not of a single output."""
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return max((n_in * n_out for n_in, n_out in pairs if n_out > 1), default=0)

    def block_rows(self, rows):
        """How many of `rows` rows go through the network at a time.

        A block's activations should fit into the cache. But each block also passes over the
        whole gradient, so larger networks get larger blocks.
        """
        fitting = self._fitting_rows
        if self.touched:  # the columns of the whole batch are needed at once
            return rows
        return rows if rows <= fitting else max(fitting // 16 * 16, 16)

    def prediction_rows(self, rows):
        """How many of `rows` rows a prediction takes at a time: as few as the matrix products need.

        A small workspace is in the cache, and in memory that calls keep.
        """
        per_row = self.workspace_size(1) * self.dtype.itemsize
        return min(rows, max(BLOCK_BYTES // per_row // 16 * 16, 64))

    def partition(self, rows):
        """How a batch of `rows` rows is divided: rows of a block, and number of groups of blocks.

        0 groups means a single block. Threads take whole groups, if there are some; else they
        share the rows and the weights of each block, which pays for larger networks.
        """
        block = self.block_rows(rows)
        if rows <= block:
            return block, 0
        small = min(block, GROUP_ROWS)
        groups = min(-(-rows // small), MOST_GROUPS, SUMS_BYTES // (8 * self.line))
        return (small, groups) if groups >= FEWEST_GROUPS else (block, 1)

    @cached_property
    def line(self):
        """The numbers in the sums of a group of blocks: a gradient, and places for a loss."""
        return self.n_parameters + LOSS_PLACES

    def sums(self, groups, gradients=True):
        """Space for the sums of that many groups, without gradients only for their losses."""
        width = self.line if gradients else LOSS_PLACES
        return np.empty((groups, width)) if groups else NO_SUMS

    def team_workspace_size(self, block, groups, threads, gradients=True):
        """The number of workspace elements for batches that are divided like that.

        Threads that take groups have one each, with the gradient of a block at its end.
        """
        size = self.workspace_size(block)
        return size if groups < 2 else threads * (size + gradients * self.n_parameters)

    @cached_property
    def _fitting_rows(self):
        per_row = self.workspace_size(1) * self.dtype.itemsize
        budget = max(BLOCK_BYTES, 4 * self.n_parameters * self.dtype.itemsize)
        return max(budget // per_row, 1)

    def workspace_size(self, rows):
        """The number of workspace elements for a block of `rows` rows.

        The layers' arrays are followed by the block's targets, laid out like the outputs; four
        numbers per row for the loss; a vector that begins with the constant input 1 of the
        biases; and a row of zeros.
        """
        per_row, besides = self._workspace
        return rows * per_row + 4 * self.padded(rows) + besides

    def jet_workspace_size(self, rows, sets):
        """The number of workspace elements for `sets` values of each unit in `rows` rows.

        The workspace of as many rows is followed by scratch space: three numbers for each unit of
        SLICE_ROWS rows of the widest layer, and one for each output.
        """
        widest, of_output = self._jet_scratch
        scratch = 3 * SLICE_ROWS * widest + self.padded(rows) * of_output
        return self.workspace_size(rows * sets) + scratch

    @cached_property
    def _jet_scratch(self):
        """The widest layer's stride, and the output layer's."""
        return max(map(self.stride, self.sizes)), self.stride(self.sizes[-1])

    @cached_property
    def _workspace(self):
        """The workspace's elements for each row, and for all rows together."""
        per_row = int(self.plan[-1, DS]) + 2 * self.stride(self.sizes[-1])
        return per_row, self.lanes + max(map(self.stride, self.sizes[self.sparse > 0 :]))

    def clear_padding(self, parameters):
        """Zero the padding of a parameter buffer, in place."""
        for n_in, n_out, stride, start, bias, extras in self._layers:
            if stride == 1:
                parameters[start + n_in : bias] = 0
                parameters[bias + 1 : bias + self.lanes] = 0
            elif n_out < stride:
                end = bias + stride * (1 + len(extras))
                parameters[start:end].reshape(-1, stride)[:, n_out:] = 0
        ends = [*(start for *_, start in self._tables[1:]), self.n_parameters]
        for (_, rows, width, start), end in zip(self._tables, ends, strict=False):
            parameters[start + rows * width : end] = 0

    def views(self, buffer):
        """The function `views` with this layout's plan, for a buffer of the layout's dtype."""
        return Arrays(*self.lists(buffer))

    def lists(self, buffer):
        """The same views as a tuple of lists, in a shorter time."""
        return _views(self._spots, buffer)

    @property
    def shapes(self):
        """The shapes of the arrays of all layers, as `Arrays`; no memory is allocated."""
        pairs = list(pairwise(self.sizes))
        extras = dict.fromkeys(kind for kinds in self.extras for kind in kinds)
        found = Arrays(pairs, [(n,) for n in self.sizes[1:]], [], [], [], [], [])
        for kind in extras:
            for n, kinds in zip(self.sizes[1:-1], self.extras, strict=False):
                getattr(found, kind).append((n if kind in kinds else 0,))
        for item in self.inputs:
            if item._rows:
                shape = (item._rows, item._width)
                getattr(found, TABLE_KINDS[item._kind]).append(shape[-item._dimensions :])
        return found

    @cached_property
    def _layers(self):
        return _places(self.plan, self.lanes)

    @cached_property
    def _tables(self):
        return table_places(self.input_table) if self.inputs else ()

    @cached_property
    def _spots(self):
        return _spots(self._layers, self._tables, self.dtype.itemsize)

    def zeros(self, size):
        """A zeroed 1-D buffer that starts on a vector boundary."""
        return zeros(size, self.dtype)


def views(plan, buffer):
    """The layers' parameters as unpadded views of a flat parameter buffer, as `Arrays`."""
    places = _places(plan, VECTOR_BYTES // buffer.itemsize)
    tables = table_places(table_at(plan[0, INPUTS])) if plan[0, INPUTS] else ()
    return Arrays(*_views(_spots(places, tables, buffer.itemsize), buffer))


def _places(plan, lanes):
    """Where each layer's numbers lie: the shape and start of its weights, and start of its biases.

    Behind them are the kinds of its other parameters.
    """
    places = []
    for previous, layer in pairwise(plan.tolist()):
        n_in, n_out, stride, start = previous[SIZE], layer[SIZE], layer[STRIDE], layer[WEIGHTS]
        bias = start + (-(-n_in // lanes) * lanes if stride == 1 else n_in * stride)
        extras = extras_of(layer[NORM], layer[ACTIVATION])
        places.append((n_in, n_out, stride, start, bias, extras))
    return places


def _spots(places, tables, itemsize):
    """Where the arrays of all layers lie in the parameter buffer: weights, biases, and all others.

    A matrix is given by its shape, and by its start and strides in bytes; a row by a slice. The
    others are a list for each kind, but an empty tuple if there are none.
    """
    spots = Arrays([], [], [], [], [], [], [])
    for n_in, n_out, stride, start, bias, _ in places:
        strides = stride * itemsize, itemsize
        spots.weights.append(((n_in, n_out), start * itemsize, strides))
        spots.biases.append(slice(bias, bias + n_out))
    for kind, n, width, start in tables:
        if kind == CATEGORY:
            strides = width * itemsize, itemsize
            spots.embeddings.append(((n, width), start * itemsize, strides))
        else:
            spots.missing.append(slice(start, start + width))
    for kind in {kind: None for place in places for kind in place[-1]}:
        for _, n_out, stride, _, bias, extras in places[:-1]:
            found = kind in extras
            at = bias + (extras.index(kind) + 1) * stride if found else bias
            getattr(spots, kind).append(slice(at, at + n_out * found))
    return spots.weights, spots.biases, spots[2:] if any(spots[2:]) else ()


def _views(spots, buffer):
    # Loops, since comprehensions would take twice as long for such short lists.
    ndarray, dtype = np.ndarray, buffer.dtype
    matrices, rows, others = spots
    weights: list = []
    for shape, at, strides in matrices:
        weights.append(ndarray(shape, dtype, buffer, at, strides))
    biases: list = []
    for place in rows:
        biases.append(buffer[place])
    if not others:  # the usual case
        return weights, biases, [], [], [], [], []
    *of_hidden, tables, missing = others
    embeddings = [ndarray(shape, dtype, buffer, *place) for shape, *place in tables]
    *of_hidden, missing = ([buffer[place] for place in places] for places in (*of_hidden, missing))
    return weights, biases, *of_hidden, embeddings, missing


def layer_view(plan, workspace, block, i, column=OUTPUT):
    """What the next layer gets of a hidden layer, as a view of shape (block, n_i) of a workspace.

    With the column S, s_i of any layer, as `forward` of a backend leaves it.
    """
    start, stride = plan[i, column] * block, plan[i, STRIDE]
    return workspace[start : start + block * stride].reshape(block, stride)[:, : plan[i, SIZE]]
