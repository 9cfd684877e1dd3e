"""Jets: the outputs' derivatives along straight lines through each row, and the way back from them.

A block of `rows` rows has a set of rows for the values, one for each of K first derivatives and one
for each second derivative. The sets of a layer follow each other in the workspace, so that one
product with the weights is enough for all. See ``Backend.jets`` in interface.py. The twin of this
file is ``src_cython/jets.pxi``.
"""

from ...basis.layout import (
    COLUMNS,
    DH,
    DS,
    OUTPUT,
    RESIDUAL,
    SIZE,
    STRIDE,
    TRANSPOSED,
    WEIGHTS,
    S,
)
from ._jit import inlined, inner
from .denormals import control
from .gather import gather
from .layer_jets import back_through_hidden_jets, sum_terms, through_hidden_jets
from .net import (
    Data,
    of_block,
    padded,
    set_constants,
    single_output,
    take_rows,
    unit,
    zero_row,
)
from .passes import dot, transpose
from .simd import keep_first, lane, lanes, load, offset, pointer, splat, store
from .tile import copy_rows, product
from .train import alone


@inlined
def fill(p, n, x):
    """p[:n] = x, for whole vectors."""
    for j in range(0, n, lanes(p)):
        store(p, j, splat(p, x))


@inner
def single_product(net, i, h, stride_in, W, rows, bias, s, more):
    """s = h W + bias for a single output i, added to s if `more`; W is padded with zeros."""
    n_in = net.plan[(i - 1) * COLUMNS + SIZE]
    for r in range(rows):
        x = dot(offset(h, r * stride_in), W, n_in) + bias
        s[r] = s[r] + x if more else x


@inner
def first_jets(net, x, stride_x, directions, apart, units, K, seconds):
    """The jets of s_1. Direction k begins at k * `apart`, if the directions are not units."""
    here, n_in = offset(net.plan, COLUMNS), net.plan[SIZE]
    n, stride, rows = here[SIZE], here[STRIDE], net.rows
    W, s, zeros = offset(net.parameters, here[WEIGHTS]), of_block(net, 1, S), zero_row(net)
    size, J, no_bias = rows * stride, padded(W, n), lane(splat(W, 0.0), 0)
    single = single_output(net, 1)
    if single:
        single_product(net, 1, x, stride_x, W, rows, W[padded(W, n_in)], s, False)
    else:
        bias = offset(W, n_in * stride)
        product(x, stride_x, 1, W, stride, bias, 0, s, stride, rows, J, n_in)
    for k in range(K):
        s = offset(s, size)
        if units and single:
            for r in range(rows):
                s[r] = W[k]
        elif units:
            row = offset(W, k * stride)
            for r in range(rows):
                for j in range(0, J, lanes(s)):
                    store(s, r * stride + j, load(row, j))
        elif single:
            t = direction(net, directions, apart, k)
            single_product(net, 1, t, stride_x, W, rows, no_bias, s, False)
        else:
            t = offset(directions, k * apart)
            product(t, n_in, 1, W, stride, zeros, 0, s, stride, rows, J, n_in)
    s = offset(s, size)
    if single:
        for r in range(seconds * rows):
            s[r] = 0.0
    else:
        fill(s, seconds * size, 0.0)


@inner
def direction(net, directions, apart, k):
    """Rows of direction k, copied to behind the samples in the workspace and padded with zeros."""
    n_in, stride, source = net.plan[SIZE], net.plan[STRIDE], offset(directions, k * apart)
    target = offset(net.workspace, (k + 1) * net.rows * stride)
    for r in range(net.rows):
        for j in range(n_in):
            target[r * stride + j] = source[r * n_in + j]
        for j in range(n_in, padded(target, n_in)):
            target[r * stride + j] = 0.0
    return target


@inner
def forward_jets(net, x, stride_x, directions, apart, units, K, seconds):
    """The jets of all layers for the block's rows."""
    first_jets(net, x, stride_x, directions, apart, units, K, seconds)
    rows, sets, zeros = net.rows, 1 + K + seconds, zero_row(net)
    for i in range(2, net.m + 1):
        through_hidden_jets(net, i - 1, K, seconds)
        above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
        n_in, stride_in, stride = above[SIZE], above[STRIDE], here[STRIDE]
        W, s, h = (
            offset(net.parameters, here[WEIGHTS]),
            of_block(net, i, S),
            of_block(net, i - 1, OUTPUT),
        )
        others, rest = offset(h, rows * stride_in), (sets - 1) * rows
        if single_output(net, i):
            no_bias = lane(splat(W, 0.0), 0)
            single_product(net, i, h, stride_in, W, rows, W[padded(W, n_in)], s, False)
            single_product(net, i, others, stride_in, W, rest, no_bias, offset(s, rows), False)
            continue
        bias, J = offset(W, n_in * stride), padded(W, here[SIZE])
        product(h, stride_in, 1, W, stride, bias, 0, s, stride, rows, J, n_in)
        target = offset(s, rows * stride)
        product(others, stride_in, 1, W, stride, zeros, 0, target, stride, rest, J, n_in)


@inner
def add_outer(net, i, h, stride_in, d, rows, G, more):
    """∇W_i = Σ h ⊗ d over the rows, added to what is there if `more`.

    For a single output, rows of h are padded to whole vectors.
    """
    here, n_in = offset(net.plan, i * COLUMNS), net.plan[(i - 1) * COLUMNS + SIZE]
    stride, target, zeros = here[STRIDE], offset(G, here[WEIGHTS]), zero_row(net)
    if single_output(net, i):
        width = padded(G, n_in)
        last = width - lanes(G)
        init = target if more else zeros
        product(d, 0, 1, h, stride_in, init, 0, target, 0, 1, width, rows)
        # h need not be zero in the padding: sigmoid(0) is not.
        store(target, last, keep_first(load(target, last), n_in - last, 0.0))
        return
    init, ldi, J = zeros, 0, padded(G, here[SIZE])
    if more:
        init, ldi = target, stride
    product(h, 1, stride_in, d, stride, init, ldi, target, stride, n_in, J, rows)


@inner
def bias_gradient(net, i, d, rows, G):
    """∇b_i = Σ d over the rows."""
    here, n_in = offset(net.plan, i * COLUMNS), net.plan[(i - 1) * COLUMNS + SIZE]
    stride, W, zeros = here[STRIDE], offset(G, here[WEIGHTS]), zero_row(net)
    if single_output(net, i):
        product(d, 0, 1, unit(net), 0, zeros, 0, offset(W, padded(G, n_in)), 0, 1, lanes(G), rows)
    else:
        J, target = padded(G, here[SIZE]), offset(W, n_in * stride)
        product(unit(net), 0, 0, d, stride, zeros, 0, target, stride, 1, J, rows)


@inner
def first_gradient(net, x, stride_x, directions, apart, units, K, G):
    """∇W_1 and ∇b_1 from the adjoints of the jets of s_1."""
    here, rows, d = offset(net.plan, COLUMNS), net.rows, of_block(net, 1, DS)
    stride, W, n_in = here[STRIDE], offset(G, here[WEIGHTS]), net.plan[SIZE]
    add_outer(net, 1, x, stride_x, d, rows, G, False)
    bias_gradient(net, 1, d, rows, G)
    for k in range(K):
        d = offset(d, rows * stride)
        if units and single_output(net, 1):
            total = W[k]
            for r in range(rows):
                total += d[r]
            W[k] = total
        elif units:
            row = offset(W, k * stride)
            product(unit(net), 0, 0, d, stride, row, 0, row, stride, 1, padded(G, here[SIZE]), rows)
        elif single_output(net, 1):
            t = direction(net, directions, apart, k)
            add_outer(net, 1, t, stride_x, d, rows, G, True)
        else:
            add_outer(net, 1, offset(directions, k * apart), n_in, d, rows, G, True)


@inlined
def back_through_weights(net, i, d, rows, transposed, target, more):
    """Write d W_iᵀ to `target`, added to what is there if `more`; W_i of `net`.

    Else a layer that adds its input to its output adds what comes back to its output.
    """
    above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
    stride_in, WT = above[STRIDE], offset(transposed, here[TRANSPOSED])
    if single_output(net, i):
        WT = offset(net.parameters, here[WEIGHTS])
    init, ldi, J = zero_row(net), 0, padded(target, above[SIZE])
    if more:
        init, ldi = target, stride_in
    elif here[RESIDUAL] != 0:
        init, ldi = of_block(net, i, DH), here[STRIDE]
    product(
        *(d, here[STRIDE], 1, WT, stride_in, init, ldi, target, stride_in),
        *(rows, J, here[SIZE]),
    )


@inner
def backward_jets(net, x, stride_x, directions, apart, units, K, seconds, WT, G):
    """The gradient, from the adjoints of the jets of s_m in ds_m."""
    rows, sets = net.rows, 1 + K + seconds
    for i in range(net.m, 1, -1):
        d, h, stride_in = (
            of_block(net, i, DS),
            of_block(net, i - 1, OUTPUT),
            net.plan[(i - 1) * COLUMNS + STRIDE],
        )
        add_outer(net, i, h, stride_in, d, sets * rows, G, False)
        bias_gradient(net, i, d, rows, G)
        back_through_weights(net, i, d, sets * rows, WT, of_block(net, i - 1, DH), False)
        back_through_hidden_jets(net, i - 1, K, seconds)
        sum_terms(net, i - 1, rows, G)
    first_gradient(net, x, stride_x, directions, apart, units, K, G)


@inlined
def samples_of(X, none):
    """Data that are samples in their order, without anything else."""
    return Data(pointer(X), none, pointer(X), pointer(X), none, False, False, False)


def jets(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    directions,
    seconds,
    block,
    workspace,
    out,
):
    n, n_in = X.shape
    units = directions.size == 0
    K = n_in if units else directions.shape[0]
    sets = 1 + K + seconds
    net = alone(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(block * sets, workspace, control()),
    )
    data = samples_of(X, pointer(plan))
    set_constants(net)
    here = offset(net.plan, net.m * COLUMNS)
    n_out, stride = here[SIZE], here[STRIDE]
    for start in range(0, n, block):
        net = take_rows(net, 0, start, min(block, n - start))
        x, stride_x = gather(net, data, start)
        t = offset(pointer(directions), start * n_in)
        forward_jets(net, x, stride_x, t, n * n_in, units, K, seconds)
        for k in range(sets):
            s = offset(of_block(net, net.m, S), k * net.rows * stride)
            target = offset(pointer(out), (k * n + start) * n_out)
            copy_rows(s, stride, net.rows, n_out, target, n_out)


def jets_backward(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    directions,
    seconds,
    adjoints,
    workspace,
    transposed,
    gradient,
):
    n, n_in = X.shape
    units, sets, WT = directions.size == 0, adjoints.shape[0], pointer(transposed)
    net = alone(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(n * sets, workspace, control()),
    )
    data = samples_of(X, pointer(plan))
    transpose(net, WT)
    net = take_rows(net, 0, 0, n)
    x, stride_x = gather(net, data, 0)
    here, d = offset(net.plan, net.m * COLUMNS), of_block(net, net.m, DS)
    n_out, stride = here[SIZE], here[STRIDE]
    if stride > 1:
        fill(d, sets * n * stride, 0.0)
    copy_rows(pointer(adjoints), n_out, sets * n, n_out, d, stride)
    backward_jets(
        *(net, x, stride_x, pointer(directions), n * n_in, units),
        *(sets - 1 - seconds, seconds, WT, pointer(gradient)),
    )
