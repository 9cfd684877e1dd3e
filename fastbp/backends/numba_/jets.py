"""Jets: the outputs' derivatives along straight lines through each row, and the way back from them.

A block of `rows` rows has a set of rows for the values, one for each of K first derivatives and one
for each second derivative. The sets of a layer follow each other in the workspace, so that one
product with the weights is enough for all. See ``Backend.jets`` in interface.py. The twin of this
file is ``src_cython/jets.pxi``.
"""

from ...basis import spec
from ...basis.layout import (
    ACTIVATION,
    COLUMNS,
    DS,
    SIZE,
    SLICE_ROWS,
    STRIDE,
    TRANSPOSED,
    WEIGHTS,
    H,
    S,
)
from ._jit import call, inlined, inner
from .denormals import control
from .gather import gather
from .net import (
    Data,
    copy_rows,
    of_block,
    padded,
    set_constants,
    single_output,
    take_rows,
    unit,
    zero_row,
)
from .passes import dot, transpose
from .pieces import (
    ACTIVATE,
    MULTIPLY_BY_DERIVATIVE,
    MULTIPLY_BY_SECOND_DERIVATIVE,
    MULTIPLY_BY_THIRD_DERIVATIVE,
)
from .simd import fma, keep_first, lane, lanes, load, offset, pointer, splat, store
from .tile import product
from .train import alone


@inlined
def scratch(net):
    """Scratch space behind the workspace: 3 numbers for each unit of SLICE_ROWS rows."""
    zeros, widest = zero_row(net), lanes(net.workspace)
    for i in range(net.m + 1):
        widest = max(widest, net.plan[i * COLUMNS + STRIDE])
    return offset(zeros, widest)


@inner
def slopes(net, i, at, n, order):
    """The first, second and third derivatives of σ_i for n units from number `at` on.

    They follow each other in scratch space, up to the order.
    """
    code, d = net.plan[i * COLUMNS + ACTIVATION], scratch(net)
    s, h = offset(of_block(net, i, S), at), offset(of_block(net, i, H), at)
    for j in range(0, order * n, lanes(d)):
        store(d, j, splat(d, 1.0))
    call(net.pieces[MULTIPLY_BY_DERIVATIVE + code], (s, h, d, n))
    if order > 1:
        call(net.pieces[MULTIPLY_BY_SECOND_DERIVATIVE + code], (s, h, offset(d, n), n))
    if order > 2:
        call(net.pieces[MULTIPLY_BY_THIRD_DERIVATIVE + code], (s, h, offset(d, 2 * n), n))
    return d


@inner
def activate_jets(net, i, K, seconds):
    """The jets of h_i = σ_i(s_i) from those of s_i. With identity, h is s."""
    here = offset(net.plan, i * COLUMNS)
    if here[ACTIVATION] == spec.IDENTITY:
        return
    stride = here[STRIDE]
    size = net.rows * stride
    for r in range(0, net.rows, SLICE_ROWS):
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        s, h = offset(of_block(net, i, S), at), offset(of_block(net, i, H), at)
        call(net.pieces[ACTIVATE + here[ACTIVATION]], (s, h, n))
        d1 = slopes(net, i, at, n, 2 if seconds > 0 else 1)
        d2 = offset(d1, n)
        for k in range(K):
            s, h = offset(s, size), offset(h, size)
            t = K if seconds == K else K - k  # sets from the first to the second derivative
            s2, h2 = offset(s, t * size), offset(h, t * size)
            if seconds == 0:
                for j in range(0, n, lanes(s)):
                    store(h, j, load(d1, j) * load(s, j))
            elif seconds == K or k == 0:
                for j in range(0, n, lanes(s)):
                    x, slope = load(s, j), load(d1, j)
                    store(h, j, slope * x)
                    store(h2, j, fma(load(d2, j), x * x, slope * load(s2, j)))
            else:
                for j in range(0, n, lanes(s)):
                    x = load(s, j)
                    store(h, j, load(d1, j) * x)
                    store(h2, j, fma(load(d2, j), x * x, load(h2, j)))


@inner
def activate_adjoints(net, i, K, seconds):
    """The adjoints of the jets of s_i from those of h_i = σ_i(s_i), in place."""
    here = offset(net.plan, i * COLUMNS)
    if here[ACTIVATION] == spec.IDENTITY:
        return
    stride = here[STRIDE]
    size = net.rows * stride
    for r in range(0, net.rows, SLICE_ROWS):
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        s, a = offset(of_block(net, i, S), at), offset(of_block(net, i, DS), at)
        d1 = slopes(net, i, at, n, 3 if seconds > 0 else 2)
        d2, d3 = offset(d1, n), offset(d1, 2 * n)
        for j in range(0, n, lanes(a)):
            store(a, j, load(d1, j) * load(a, j))
        for k in range(K):
            s1, a1 = offset(s, (k + 1) * size), offset(a, (k + 1) * size)
            t = 1 + K + (k if seconds == K else 0)
            s2, a2 = offset(s, t * size), offset(a, t * size)
            if seconds == 0:
                for j in range(0, n, lanes(a)):
                    x, v = load(s1, j), load(a1, j)
                    store(a, j, fma(load(d2, j) * x, v, load(a, j)))
                    store(a1, j, load(d1, j) * v)
            elif seconds == K:
                for j in range(0, n, lanes(a)):
                    x, v, w = load(s1, j), load(a1, j), load(a2, j)
                    curve = load(d2, j)
                    bend = curve * x
                    of_second = fma(load(d3, j), x * x, curve * load(s2, j))
                    store(a, j, fma(of_second, w, fma(bend, v, load(a, j))))
                    store(a1, j, fma(2.0 * bend, w, load(d1, j) * v))
                    store(a2, j, load(d1, j) * w)
            else:
                for j in range(0, n, lanes(a)):
                    x, v, w = load(s1, j), load(a1, j), load(a2, j)
                    bend = load(d2, j) * x
                    value = fma(bend, v, load(a, j))
                    store(a, j, fma(load(d3, j) * (x * x), w, value))
                    store(a1, j, fma(2.0 * bend, w, load(d1, j) * v))
        if seconds > 0 and seconds != K:
            s2, a2 = offset(s, (1 + K) * size), offset(a, (1 + K) * size)
            for j in range(0, n, lanes(a)):
                w = load(a2, j)
                store(a, j, fma(load(d2, j) * load(s2, j), w, load(a, j)))
                store(a2, j, load(d1, j) * w)


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
        activate_jets(net, i - 1, K, seconds)
        above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
        n_in, stride_in, stride = above[SIZE], above[STRIDE], here[STRIDE]
        W, s, h = (
            offset(net.parameters, here[WEIGHTS]),
            of_block(net, i, S),
            of_block(net, i - 1, H),
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
    """Write d W_iᵀ to `target`, added to what is there if `more`; W_i of `net`."""
    above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
    stride_in, WT = above[STRIDE], offset(transposed, here[TRANSPOSED])
    if single_output(net, i):
        WT = offset(net.parameters, here[WEIGHTS])
    init, ldi, J = zero_row(net), 0, padded(target, above[SIZE])
    if more:
        init, ldi = target, stride_in
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
            of_block(net, i - 1, H),
            net.plan[(i - 1) * COLUMNS + STRIDE],
        )
        add_outer(net, i, h, stride_in, d, sets * rows, G, False)
        bias_gradient(net, i, d, rows, G)
        back_through_weights(net, i, d, sets * rows, WT, of_block(net, i - 1, DS), False)
        activate_adjoints(net, i - 1, K, seconds)
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
