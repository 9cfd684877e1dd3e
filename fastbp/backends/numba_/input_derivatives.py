"""First and second derivatives of the outputs by the input, forward or back from each output.

On the way back, rows that belong to the outputs of a row follow each other. See
``Backend.input_derivatives`` in interface.py. The twin of this file is
``src_cython/input_derivatives.pxi``.
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
from ._jit import inlined, inner
from .denormals import control
from .gather import gather
from .jets import back_through_weights, fill, forward_jets, samples_of
from .layer_jets import scratch, slopes
from .net import (
    of_block,
    padded,
    set_constants,
    single_output,
    take_rows,
    zero_row,
)
from .output_derivatives import through_outputs
from .passes import forward_pass
from .per_sample import begin
from .simd import fma, lane, lanes, load, offset, pointer, splat, store, sum_lanes
from .tile import copy_rows, product
from .train import alone


@inner
def tangents(net, K):
    """s'_ik of all hidden layers for the unit vectors, behind s_i; of layer 1, h'_1k only."""
    zeros, rows = zero_row(net), net.rows
    for i in range(1, net.m - 1):
        here = offset(net.plan, i * COLUMNS)
        stride = here[STRIDE]
        size, J, W = rows * stride, padded(zeros, here[SIZE]), offset(net.parameters, here[WEIGHTS])
        known = here[ACTIVATION] != spec.IDENTITY
        for first in range(0, rows, SLICE_ROWS):
            count, d = min(SLICE_ROWS, rows - first), scratch(net)
            if known:
                d = slopes(net, i, first * stride, count * stride, 1)
            else:
                fill(d, count * stride, 1.0)
            for k in range(1, K + 1):
                at = k * size + first * stride
                s, h = offset(of_block(net, i, S), at), offset(of_block(net, i, H), at)
                for r in range(count):
                    for j in range(r * stride, r * stride + J, lanes(d)):
                        along = load(s, j) if i > 1 else load(W, (k - 1) * stride + j - r * stride)
                        store(h, j, load(d, j) * along)
        above = offset(net.plan, (i + 1) * COLUMNS)
        stride_above = above[STRIDE]
        product(
            *(offset(of_block(net, i, H), size), stride, 1),
            *(offset(net.parameters, above[WEIGHTS]), stride_above, zeros, 0),
            *(offset(of_block(net, i + 1, S), rows * stride_above), stride_above),
            *(K * rows, padded(zeros, above[SIZE]), here[SIZE]),
        )


@inner
def squares(net, WT, target):
    """The squares of the transposed weights of layer 1, in the same layout, and their row sums.

    Row u of the squares has the K numbers of unit u. The sums, one for each unit, come behind.
    """
    n, n_in, stride = net.plan[COLUMNS + SIZE], net.plan[SIZE], net.plan[STRIDE]
    source, sums = offset(WT, net.plan[COLUMNS + TRANSPOSED]), offset(target, n * stride)
    fill(sums, padded(sums, n), 0.0)
    for u in range(n):
        for k in range(0, padded(target, n_in), lanes(target)):
            x = load(source, u * stride + k)
            store(target, u * stride + k, x * x)
        total = lane(splat(target, 0.0), 0)
        for k in range(n_in):
            total += target[u * stride + k]
        sums[u] = total


@inner
def add_curves(net, i, source, row_step, d, first, rows, times, K, second, width):
    """Add Σ_u A σ_i'' s'_k² to the second derivatives of some rows, or its sum over k to width 1.

    `source` has the rows A of ∂s_m/∂h_i, as for `multiply_rows`; `d` has σ_i'' of the rows from
    `first` on.
    """
    here = offset(net.plan, i * COLUMNS)
    stride, J = here[STRIDE], padded(d, here[SIZE])
    size = net.rows * stride
    for r in range(rows):
        tangent = offset(of_block(net, i, S), size + (first + r) * stride)
        for j in range(times):
            a = offset(source, ((first + r) * row_step + j) * stride)
            out = offset(second, ((first + r) * times + j) * width)
            total = splat(d, 0.0)
            for k in range(K):
                if width > 1:
                    total = splat(d, 0.0)
                for u in range(0, J, lanes(d)):
                    x = load(tangent, k * size + u)
                    total = fma(load(a, u) * load(d, r * stride + u), x * x, total)
                if width > 1:
                    out[k] += sum_lanes(total)
            if width == 1:
                out[0] += sum_lanes(total)


@inner
def bend_rows(net, source, row_step, d, first, rows, times, target):
    """Row A σ_1'' for each row A of ∂s_m/∂h_1, to `target`; the arguments are as above."""
    stride, J = net.plan[COLUMNS + STRIDE], padded(d, net.plan[COLUMNS + SIZE])
    for r in range(rows):
        for j in range(times):
            a = offset(source, ((first + r) * row_step + j) * stride)
            b = offset(target, ((first + r) * times + j) * stride)
            for u in range(0, J, lanes(d)):
                store(b, u, load(a, u) * load(d, r * stride + u))


@inner
def add_first_curves(net, bent, square, times, second, width):
    """Add the second derivatives that layer 1 bends, from the rows that `bend_rows` wrote."""
    n, stride, n_in = net.plan[COLUMNS + SIZE], net.plan[COLUMNS + STRIDE], net.plan[SIZE]
    stride_in, rows = net.plan[STRIDE], net.rows * times
    if width == 1:
        sums = offset(square, n * stride_in)
        for r in range(rows):
            total = splat(bent, 0.0)
            for u in range(0, padded(bent, n), lanes(bent)):
                total = fma(load(bent, r * stride + u), load(sums, u), total)
            second[r] += sum_lanes(total)
        return
    found, J = of_block(net, 0, H), padded(bent, n_in)
    product(bent, stride, 1, square, stride_in, zero_row(net), 0, found, stride_in, rows, J, n)
    for r in range(rows):
        for k in range(n_in):
            second[r * n_in + k] += found[r * stride_in + k]


@inner
def back_through_layer(net, i, source, row_step, times, curved, K, second, width):
    """Go from ∂s_m/∂h_i, `times` rows for each row of the block, to ∂s_m/∂s_i in ds_i.

    Row j of r is number r * `row_step` + j of `source`. If `curved`, what σ_i'' adds to the second
    derivatives is added; for layer 1, A σ_1'' is left behind h_1.
    """
    here, target = offset(net.plan, i * COLUMNS), of_block(net, i, DS)
    stride, J, known = here[STRIDE], padded(target, here[SIZE]), here[ACTIVATION] != spec.IDENTITY
    bent = offset(of_block(net, i, H), net.rows * stride)
    for first in range(0, net.rows, SLICE_ROWS):
        rows, d = min(SLICE_ROWS, net.rows - first), scratch(net)
        n = rows * stride
        if known:
            d = slopes(net, i, first * stride, n, 2 if curved else 1)
        else:
            fill(d, n, 1.0)
        if curved and known and i > 1:
            d2 = offset(d, n)
            add_curves(net, i, source, row_step, d2, first, rows, times, K, second, width)
        elif curved and known:
            bend_rows(net, source, row_step, offset(d, n), first, rows, times, bent)
        for r in range(rows):
            for j in range(times):
                a = offset(source, ((first + r) * row_step + j) * stride)
                b = offset(target, ((first + r) * times + j) * stride)
                for u in range(0, J, lanes(d)):
                    store(b, u, load(d, r * stride + u) * load(a, u))


@inlined
def outputs_by_last(net, WT):
    """The rows of ∂s_m/∂h_{m-1}, which are the same for all rows: the transposed W_m."""
    last = offset(net.plan, net.m * COLUMNS)
    if single_output(net, net.m):
        return offset(net.parameters, last[WEIGHTS])
    return offset(WT, last[TRANSPOSED])


@inner
def back_from_outputs(net, WT, square, jacobian, first, K, second, width):
    """The derivatives of the block's rows: `first` if `jacobian`, `second` if `width` is not 0."""
    n_out, n_in, stride_in = net.plan[net.m * COLUMNS + SIZE], net.plan[SIZE], net.plan[STRIDE]
    rows, curved, source, step = net.rows * n_out, width > 0, outputs_by_last(net, WT), 0
    for r in range(rows * width):
        second[r] = 0.0
    for i in range(net.m - 1, 0, -1):
        back_through_layer(net, i, source, step, n_out, curved, K, second, width)
        if i > 1:
            source, step = of_block(net, i - 1, DS), n_out
            back_through_weights(net, i, of_block(net, i, DS), rows, WT, source, False)
    if curved and net.m > 1 and net.plan[COLUMNS + ACTIVATION] != spec.IDENTITY:
        bent = offset(of_block(net, 1, H), net.rows * net.plan[COLUMNS + STRIDE])
        add_first_curves(net, bent, square, n_out, second, width)
    if jacobian and net.m == 1:
        for r in range(net.rows):
            copy_rows(source, stride_in, n_out, n_in, offset(first, r * n_out * n_in), n_in)
    elif jacobian and n_in == stride_in:
        back_through_weights(net, 1, of_block(net, 1, DS), rows, WT, first, False)
    elif jacobian:
        dh = of_block(net, 0, H)
        back_through_weights(net, 1, of_block(net, 1, DS), rows, WT, dh, False)
        copy_rows(dh, stride_in, rows, n_in, first, n_in)


@inner
def put_sets(net, first, K, target):
    """Write K sets of s_m, from set `first` on, as K numbers for each output of a row."""
    here = offset(net.plan, net.m * COLUMNS)
    n, stride = here[SIZE], here[STRIDE]
    for k in range(K):
        s = offset(of_block(net, net.m, S), (first + k) * net.rows * stride)
        for r in range(net.rows):
            for j in range(n):
                target[(r * n + j) * K + k] = s[r * stride + j]


def input_derivatives(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    direction,
    back,
    block,
    workspace,
    transposed,
    first,
    second,
):
    n, n_in = X.shape
    n_out, K, WT, width = first.shape[1], first.shape[2], pointer(transposed), 0
    if second.size > 0:
        width = second.shape[2]
    sets = 1 + K + width
    if back != 0:
        sets = 1 + max(n_out, n_in if width > 0 else 0)
    net = alone(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(block * sets, workspace, control()),
    )
    data = samples_of(X, pointer(plan))
    of_layer = net.plan[COLUMNS + SIZE] * net.plan[STRIDE]
    square = offset(WT, net.plan[COLUMNS + TRANSPOSED] + of_layer)
    if back != 0:
        begin(net, WT, True)
        if width > 0 and net.m > 1:
            squares(net, WT, square)
    else:
        set_constants(net)
    for start in range(0, n, block):
        net = take_rows(net, 0, start, min(block, n - start))
        h, stride_in = gather(net, data, start)
        of_first = offset(pointer(first), start * n_out * K)
        of_second = offset(pointer(second), start * n_out * width)
        if back != 0:
            forward_pass(net, h, stride_in)
            if width > 0:
                tangents(net, n_in)
            wanted = first.size > 0
            back_from_outputs(net, WT, square, wanted, of_first, n_in, of_second, width)
        else:
            t = offset(pointer(direction), start * n_in)
            forward_jets(net, h, stride_in, t, 0, direction.size == 0, K, width)
            if first.size > 0:
                put_sets(net, 1, K, of_first)
            put_sets(net, 1 + K, width, of_second)
        through_outputs(net, of_first, of_second, K, width)
