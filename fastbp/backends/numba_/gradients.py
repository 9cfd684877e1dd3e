"""Gradients of the weights: of a block of rows, and of all blocks of a batch.

The twin of this file is ``src_cython/gradients.pxi``; the reference is ``numpy_``.
"""

from ...basis.inputs import TABLE_PIECE, TABLED
from ...basis.layout import COLUMNS, DH, DROPOUT, DS, EXTRAS, OUTPUT, SIZE, STRIDE, WEIGHTS
from ._jit import call, inlined, inner
from .layer_parameters import terms_of
from .net import (
    bottom,
    is_sparse,
    layer_product,
    of_block,
    padded,
    parts_of,
    single_output,
    unit,
    zero_row,
)
from .pieces import ENTRY_COLUMNS, SCATTER_INPUTS, SCATTER_SPARSE, VALUES
from .shares import UNIT, Share, share_of, share_start
from .simd import keep_first, lanes, load, offset, store
from .tile import product

# What a block is for the gradient of its batch: all of it; the first, another, or the last of
# several blocks, whose gradients are added up in `sums`. With OF_GROUPS, all blocks are in `sums`;
# with COMPLETE, the gradient is there.
WHOLE, FIRST, NEXT, LAST, OF_GROUPS, COMPLETE = range(6)


@inlined
def weight_gradient(net, i, h, stride_in, rows, gradient, part, own):
    """A share of ∇W_i = h_{i-1}ᵀ ∂e/∂s_i, whose row n_{i-1} is ∇b_i, with rows of others behind.

    The sums run over all `rows` of the block, not only own ones. `h` is the network's input,
    with rows `stride_in` apart. `part` says how the block's gradient becomes that of the batch.
    Layer 0 is the input, whose rows are pieces of its tables.
    """
    above, here = offset(net.plan, max(i - 1, 0) * COLUMNS), offset(net.plan, i * COLUMNS)
    n_in, stride, width = above[SIZE], stride_of_rows(net, i), own.right - own.left
    if part == COMPLETE:
        return
    at = here[WEIGHTS] + own.first * stride + own.left
    target = offset(gradient, at)
    pieces, size = 1, (own.last - own.first) * stride
    if own.split:  # each row is a piece
        pieces, size = own.last - own.first, width
    if single_output(net, i):
        size = padded(gradient, n_in) + lanes(gradient)
    if part == OF_GROUPS:
        for piece in range(pieces):
            collect(net, offset(target, piece * stride), at + piece * stride, size)
        return
    if i > 1:
        h, stride_in = of_block(net, i - 1, OUTPUT), above[STRIDE]
    d, zeros = offset(of_block(net, i, DS), own.left), zero_row(net)
    of_weights = max(0, min(own.last, n_in) - own.first)
    if i == 0:
        arrays = (parts_of(net), net.workspace, net.block, of_block(net, 0, DH), here[STRIDE])
        first, last = own.first * stride, own.last * stride
        call(net.pieces[SCATTER_INPUTS], (*arrays, rows, target, first, last))
    elif is_sparse(net, i):
        sparse_gradient(net, rows, target, own.first, own.last)
    elif single_output(net, i):
        single_gradient(h, stride_in, d, rows, target, n_in, unit(net), zeros)
    else:
        if of_weights > 0:
            A = offset(h, own.first)
            layer_product(
                *(net, i, A, 1, stride_in, d, stride, zeros, 0),
                *(target, stride, of_weights, width, rows),
            )
        for row in range(max(own.first, n_in), own.last):
            if row > n_in:
                d = offset(terms_of(net, i, row - n_in - 1), own.left)
            sums = offset(target, (row - own.first) * stride)
            product(unit(net), 0, 0, d, stride, zeros, 0, sums, stride, 1, width, rows)
    if part != WHOLE:
        for piece in range(pieces):
            sums = offset(net.sums, at + piece * stride)
            add_block(offset(target, piece * stride), sums, size, part)


@inner
def add_block(g, sums, n, part):
    """Add a block's gradient g[:n] to the sums; the last block makes g the sums."""
    if part == FIRST:
        for j in range(n):
            sums[j] = g[j]
    elif part == NEXT:
        for j in range(n):
            sums[j] += g[j]
    else:
        for j in range(n):
            g[j] = sums[j] + g[j]


@inner
def collect(net, g, at, n):
    """g[:n] = the sum of all groups' gradients from `at` on, in the order of the groups."""
    total = offset(net.sums, at)
    for group in range(1, net.groups):
        other = offset(total, group * net.line)
        for j in range(n):
            total[j] += other[j]
    for j in range(n):
        g[j] = total[j]


@inlined
def single_gradient(h, stride_in, d, rows, G, n_in, one, zeros):
    """The gradient of a single output: a row of weights, then a vector with the bias."""
    width = padded(G, n_in)
    last, bias = width - lanes(G), offset(G, width)
    product(d, 0, 1, h, stride_in, zeros, 0, G, 0, 1, width, rows)
    # h need not be zero in the padding: sigmoid(0) is not.
    store(G, last, keep_first(load(G, last), n_in - last, 0.0))
    product(d, 0, 1, one, 0, zeros, 0, bias, 0, 1, lanes(G), rows)


@inlined
def of_sparse(net, rows, first, last):
    """The arguments of the pieces that go through the entries of some rows of W_1."""
    here = offset(net.plan, COLUMNS)
    return (
        *(net.pieces[VALUES], net.pieces[ENTRY_COLUMNS], net.start, net.key, net.plan[DROPOUT]),
        *(net.workspace, net.block, net.threads, net.rank, rows, first, last),
        *(of_block(net, 1, DS), net.plan[SIZE], here[SIZE], here[STRIDE]),
    )


@inner
def sparse_gradient(net, rows, target, first, last):
    """Rows first..last - 1 of ∇W_1, with ∇b_1 and rows of TERMS behind the last row."""
    n_in, n, stride = net.plan[SIZE], net.plan[COLUMNS + SIZE], net.plan[COLUMNS + STRIDE]
    d, zeros = of_block(net, 1, DS), zero_row(net)
    call(net.pieces[SCATTER_SPARSE], (*of_sparse(net, rows, first, last), target))
    if single_output(net, 1):
        bias = offset(target, padded(target, n_in))
        product(d, 0, 1, unit(net), 0, zeros, 0, bias, 0, 1, lanes(target), rows)
        return
    width = padded(target, n)
    for row in range(max(first, n_in), last):
        if row > n_in:
            d = terms_of(net, 1, row - n_in - 1)
        sums = offset(target, (row - first) * stride)
        product(unit(net), 0, 0, d, stride, zeros, 0, sums, stride, 1, width, rows)


@inlined
def accumulate(net, h, stride_in, rows, gradient, part):
    """This thread's share of all layers' gradients, from a block's rows."""
    for i in range(net.m, bottom(net) - 1, -1):
        own = weight_share(net, i, True)
        if own.first < own.last and own.left < own.right:
            weight_gradient(net, i, h, stride_in, rows, gradient, part, own)


@inlined
def stride_of_rows(net, i):
    """The distance between layer i's rows of parameters."""
    return TABLE_PIECE if i == 0 else net.plan[i * COLUMNS + STRIDE]


@inlined
def rows_of(net, i):
    """The number of layer i's rows of parameters: of weights, biases, and others.

    For the input (i = 0), the number of pieces of its tables.
    """
    if i == 0:
        return parts_of(net)[TABLED] // TABLE_PIECE
    return net.plan[(i - 1) * COLUMNS + SIZE] + 1 + net.plan[i * COLUMNS + EXTRAS]


@inlined
def weight_share(net, i, by_columns):
    """This thread's share of layer i's rows of parameters."""
    rows = rows_of(net, i)
    columns = TABLE_PIECE if i == 0 else padded(net.workspace, net.plan[i * COLUMNS + SIZE])
    if single_output(net, i):  # is not divided
        return Share(0, rows if net.rank == 0 else 0, 0, 1, False)
    if not by_columns or is_sparse(net, i) or i == 0:
        first = share_start(rows, UNIT, net.rank, net.threads)
        return Share(first, share_start(rows, UNIT, net.rank + 1, net.threads), 0, columns, False)
    return share_of(rows, columns, lanes(net.workspace), net.rank, net.threads)
