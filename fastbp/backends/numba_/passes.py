"""The passes of backpropagation over a block of rows, layer by layer.

A `Net` is the network with the memory to run it in, a `Data` the samples. Layer i's arrays lie
in the workspace where the plan says (see ``fastbp/layout.py``). The twin of this file is
``src_cython/passes.pxi``; the reference is ``numpy_.py``.
"""

from collections import namedtuple

from ... import spec
from ...layout import ACTIVATION, COLUMNS, DS, SIZE, STRIDE, TRANSPOSED, WEIGHTS, H, S
from ._jit import inner
from .elementwise import activate, multiply_by_derivative
from .losses import cross_entropy, pointwise
from .simd import lanes, offset, pointer, splat, store
from .tile import product

# The network and the memory to run it in; m is the number of layers.
Net = namedtuple("Net", "plan m loss parameters block workspace")
# The samples. Without labels, weights or an order, those pointers are not read.
Data = namedtuple("Data", "X labels targets weight order has_labels weighted ordered")


@inner
def data_of(X, labels, targets, sample_weight, order, order_size):
    """Data from the arrays of interface.py; `order` is a pointer to an epoch's order."""
    has_labels, weighted = labels.size > 0, sample_weight.size > 0
    weight = pointer(sample_weight)
    return Data(
        pointer(X),
        pointer(labels),
        pointer(targets),
        weight,
        order,
        has_labels,
        weighted,
        order_size > 0,
    )


@inner
def padded(like, n):
    """n rounded up to whole vectors."""
    return (n + lanes(like) - 1) // lanes(like) * lanes(like)


@inner
def scratch(net, arrays_of_outputs):
    """Start of the workspace behind the layers' arrays and some arrays of outputs."""
    last = offset(net.plan, net.m * COLUMNS)
    outputs = padded(net.workspace, net.block * last[SIZE])
    start = net.block * (last[DS] + last[STRIDE])
    return offset(net.workspace, start + arrays_of_outputs * outputs)


@inner
def unit(net):
    """The unit that is always 1, whose weights are the biases."""
    return offset(scratch(net, 2), padded(net.workspace, net.block))


@inner
def zero_row(net):
    """The row of zeros at the end of the workspace."""
    return offset(unit(net), lanes(net.workspace))


@inner
def set_constants(net):
    """Write the one and the zeros."""
    one, zeros, widest = unit(net), zero_row(net), 0
    for i in range(net.m + 1):
        widest = max(widest, net.plan[i * COLUMNS + STRIDE])
    store(one, 0, splat(one, 1.0))
    for j in range(0, widest, lanes(zeros)):
        store(zeros, j, splat(zeros, 0.0))


@inner
def transpose_rows(net, i, transposed, first, last):
    """Copy the weight rows first..last - 1 of layer i into columns of the transposed copy."""
    here = offset(net.plan, i * COLUMNS)
    n_out, stride = here[SIZE], here[STRIDE]
    stride_in = net.plan[(i - 1) * COLUMNS + STRIDE]
    W = offset(net.parameters, here[WEIGHTS])
    WT = offset(transposed, here[TRANSPOSED])
    for j in range(n_out):
        for k in range(first, last):
            WT[j * stride_in + k] = W[k * stride + j]


@inner
def transpose(net, transposed):
    """Copy all weights that deltas are passed back through."""
    for i in range(2, net.m + 1):
        transpose_rows(net, i, transposed, 0, net.plan[(i - 1) * COLUMNS + SIZE])


@inner
def row_of(data, i):
    """The number of the sample that comes i-th."""
    return data.order[i] if data.ordered else i


@inner
def gather(net, data, start, rows):
    """The samples start..start + rows - 1 of the order, and the stride between them.

    They are copied into the workspace as padded rows, or in natural order used in place.
    """
    n_in = net.plan[SIZE]
    h, stride = offset(data.X, start * n_in), n_in
    if data.ordered:
        h, stride = offset(net.workspace, 0), net.plan[STRIDE]
        for r in range(rows):
            source, target = offset(data.X, row_of(data, start + r) * n_in), offset(h, r * stride)
            for j in range(n_in):
                target[j] = source[j]
    return h, stride


@inner
def forward(net, h, stride_in, rows):
    """s_i = h_{i-1} W_i + b_i and h_i = σ_i(s_i) for i = 1..m; the output is left at s_m."""
    n_in = net.plan[SIZE]
    for i in range(1, net.m + 1):
        here = offset(net.plan, i * COLUMNS)
        stride = here[STRIDE]
        W = offset(net.parameters, here[WEIGHTS])
        bias = offset(W, n_in * stride)
        s = offset(net.workspace, net.block * here[S])
        product(h, stride_in, 1, W, stride, bias, 0, s, stride, rows, stride, n_in)
        h = offset(net.workspace, net.block * here[H])
        activate(here[ACTIVATION], s, h, rows * stride)
        n_in, stride_in = here[SIZE], stride


@inner
def output_deltas(net, data, start, rows, total, numerator):
    """Add w e of some rows to `numerator`; their ∂e/∂s_m, times w / `total`, goes to ds_m."""
    here = offset(net.plan, net.m * COLUMNS)
    n, stride = here[SIZE], here[STRIDE]
    s, d = offset(net.workspace, net.block * here[S]), offset(net.workspace, net.block * here[DS])
    y, packed, shares = scratch(net, 0), scratch(net, 1), scratch(net, 2)
    zero = splat(d, 0.0)
    for i in range(0, rows * stride, lanes(d)):
        store(d, i, zero)
    for r in range(rows):
        weight = 1.0
        if data.weighted:
            weight = 1.0 * data.weight[row_of(data, start + r)]
        shares[r] = weight / total if total > 0.0 else 0.0

    if net.loss == spec.CROSS_ENTROPY:
        for r in range(rows):
            row = row_of(data, start + r)
            target = offset(d, r * stride)
            if data.has_labels:
                target[data.labels[row]] = 1.0
            else:
                for j in range(n):
                    target[j] = data.targets[row * n + j]
            e = cross_entropy(offset(s, r * stride), target, n, stride, shares[r])
            numerator += e * (data.weight[row] if data.weighted else 1.0)
        return numerator

    for r in range(rows):
        row = row_of(data, start + r)
        for j in range(n):
            y[r * n + j] = data.targets[row * n + j]
            packed[r * n + j] = s[r * stride + j]
    pointwise(net.loss, packed, y, padded(y, rows * n))
    for r in range(rows):
        e = 0.0
        for j in range(n):
            d[r * stride + j] = packed[r * n + j] * shares[r]
            e += y[r * n + j]
        if data.weighted:
            e *= data.weight[row_of(data, start + r)]
        numerator += e
    return numerator


@inner
def backward(net, transposed, rows):
    """∂e/∂s_{i-1} = (∂e/∂s_i W_iᵀ) σ'(s_{i-1}) for i = m..2."""
    for i in range(net.m, 1, -1):
        above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
        stride, stride_in = here[STRIDE], above[STRIDE]
        d, d_in = (
            offset(net.workspace, net.block * here[DS]),
            offset(net.workspace, net.block * above[DS]),
        )
        WT = offset(transposed, here[TRANSPOSED])
        zeros = zero_row(net)
        product(d, stride, 1, WT, stride_in, zeros, 0, d_in, stride_in, rows, stride_in, here[SIZE])
        s = offset(net.workspace, net.block * above[S])
        h = offset(net.workspace, net.block * above[H])
        multiply_by_derivative(above[ACTIVATION], s, h, d_in, rows * stride_in)


@inner
def weight_gradient(net, i, h, stride_in, rows, gradient, adding, first, last):
    """∇W_i = h_{i-1}ᵀ ∂e/∂s_i for its rows first..last - 1, of which row n_{i-1} is ∇b_i.

    `h` and `stride_in` are those of the network's input. `adding` continues the sums of
    earlier rows of the batch.
    """
    above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
    n_in, stride = above[SIZE], here[STRIDE]
    if i > 1:
        h, stride_in = offset(net.workspace, net.block * above[H]), above[STRIDE]
    d = offset(net.workspace, net.block * here[DS])
    G = offset(gradient, here[WEIGHTS])
    init, ldi = zero_row(net), 0
    of_weights = min(last, n_in) - first
    if of_weights > 0:
        target = offset(G, first * stride)
        if adding:
            init, ldi = target, stride
        source = offset(h, first)
        product(
            source, 1, stride_in, d, stride, init, ldi, target, stride, of_weights, stride, rows
        )
    if last > n_in:
        target = offset(G, n_in * stride)
        if adding:
            init = target
        product(unit(net), 0, 0, d, stride, init, 0, target, stride, 1, stride, rows)


@inner
def accumulate(net, h, stride_in, rows, gradient, adding):
    """The gradient of all layers from a block's rows."""
    for i in range(net.m, 0, -1):
        last = net.plan[(i - 1) * COLUMNS + SIZE] + 1
        weight_gradient(net, i, h, stride_in, rows, gradient, adding, 0, last)
