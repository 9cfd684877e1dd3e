"""Training on known derivatives by the inputs: the gradient of the loss and of slopes' errors.

By slopes, a block has a set of rows for the values, and behind it as many rows for each row as
there are outputs: those of the outputs of a row follow each other. A hidden layer has there, one
after the other, ∂s_m/∂h_i and h'_i behind h_i, s'_i and what comes back to h_i behind s_i, and
∂s_m/∂s_i behind ∂e/∂s_i. For the values, σ' takes the place of s_i, and σ'' that of ∂e/∂s_i.
See ``Backend.sobolev_gradient`` in interface.py. The twin of this file is
``src_cython/sobolev.pxi``.
"""

import math

import numpy as np

from ...basis import spec
from ...basis.layout import (
    ACTIVATION,
    COLUMNS,
    DS,
    LOSS_PLACES,
    SIZE,
    SLICE_ROWS,
    STRIDE,
    WEIGHTS,
    H,
    S,
)
from ._jit import inlined, inner
from .denormals import apart
from .gather import gather
from .input_derivatives import outputs_by_last
from .jets import add_outer, back_through_weights, backward_jets, bias_gradient, fill, forward_jets
from .layer_jets import scratch, slopes
from .net import (
    LOSSES,
    SHARES,
    data_of,
    of_block,
    padded,
    per_row,
    row_of,
    single_output,
    take_rows,
    zero_row,
)
from .passes import forward_pass, output_deltas
from .per_sample import begin
from .simd import fma, lane, lanes, load, offset, pointer, splat, store
from .tile import copy_rows, product
from .train import alone


@inner
def keep_slopes(net, i, source, row_step, times):
    """Go from ∂s_m/∂h_i to ∂s_m/∂s_i, and keep σ_i' and σ_i''.

    Row j of r is number r * `row_step` + j of `source`.
    """
    here, of_errors = offset(net.plan, i * COLUMNS), of_block(net, i, DS)
    stride, J, known = here[STRIDE], padded(source, here[SIZE]), here[ACTIVATION] != spec.IDENTITY
    for first in range(0, net.rows, SLICE_ROWS):
        count, d = min(SLICE_ROWS, net.rows - first), scratch(net)
        if known:
            d = slopes(net, i, first * stride, count * stride, 2)
        for r in range(count):
            for j in range(times):
                a = offset(source, ((first + r) * row_step + j) * stride)
                target = offset(of_errors, (net.rows + (first + r) * times + j) * stride)
                for u in range(0, J, lanes(d)):
                    if known:
                        store(target, u, load(d, r * stride + u) * load(a, u))
                    else:
                        store(target, u, load(a, u))
        if known:
            s, target = (
                offset(of_block(net, i, S), first * stride),
                offset(of_errors, first * stride),
            )
            for u in range(0, count * stride, lanes(d)):
                store(s, u, load(d, u))
                store(target, u, load(d, count * stride + u))


@inlined
def behind(net, i, column):
    """What an array of layer i has behind the values."""
    return offset(of_block(net, i, column), net.rows * net.plan[i * COLUMNS + STRIDE])


@inner
def slopes_back(net, WT):
    """The Jacobian ∂s_m/∂h_0 of the rows, written behind the samples."""
    n_out, stride, source, step = (
        net.plan[net.m * COLUMNS + SIZE],
        net.plan[STRIDE],
        outputs_by_last(net, WT),
        0,
    )
    for i in range(net.m - 1, 0, -1):
        keep_slopes(net, i, source, step, n_out)
        d, target = behind(net, i, DS), behind(net, i - 1, H)
        back_through_weights(net, i, d, net.rows * n_out, WT, target, False)
        source, step = target, n_out
    if net.m == 1:
        for r in range(net.rows):
            target = offset(behind(net, 0, H), r * n_out * stride)
            copy_rows(source, stride, n_out, net.plan[SIZE], target, stride)


@inner
def errors_of_slopes(net, data, dy, derivative_weight, start):
    """Turn the Jacobian into G = λ w / Σ w (J - dy), and return Σ λ/2 w / Σ w (J - dy)²."""
    n_in, n_out, stride = net.plan[SIZE], net.plan[net.m * COLUMNS + SIZE], net.plan[STRIDE]
    shares, g, total = per_row(net, SHARES), behind(net, 0, H), 0.0
    weight, zero = lane(splat(g, derivative_weight), 0), lane(splat(g, 0.0), 0)
    for r in range(net.rows):
        squares = 0.0
        for j in range(n_out):
            y = offset(dy, (row_of(data, start + r) * n_out + j) * n_in)
            for k in range(n_in):
                d = g[k] - y[k]
                if y[k] != y[k]:
                    d = zero
                squares += np.float64(d) * np.float64(d)
                g[k] = weight * shares[r] * d
            g = offset(g, stride)
        total += np.float64(shares[r]) * squares
    return derivative_weight / 2.0 * total


@inner
def along_slopes(net, WT):
    """h'_i of the hidden layers along the directions G, and what σ'' adds to ∂e/∂s_i."""
    n_out, zeros = net.plan[net.m * COLUMNS + SIZE], zero_row(net)
    for i in range(1, net.m):
        above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
        stride, J, W = (
            here[STRIDE],
            padded(zeros, here[SIZE]),
            offset(net.parameters, here[WEIGHTS]),
        )
        s, h = behind(net, i, S), behind(net, i, H)
        product(
            *(behind(net, i - 1, H), above[STRIDE], 1, W, stride, zeros, 0, s, stride),
            *(net.rows * n_out, J, above[SIZE]),
        )
        if here[ACTIVATION] == spec.IDENTITY:  # h' is s'
            continue
        by_h, row_step = h, n_out
        if i == net.m - 1:
            by_h, row_step = outputs_by_last(net, WT), 0
        slope, curve = of_block(net, i, S), of_block(net, i, DS)
        for r in range(net.rows):
            for u in range(0, J, lanes(s)):
                total = splat(s, 0.0)
                for j in range(n_out):
                    x = load(s, (r * n_out + j) * stride + u)
                    total = fma(x, load(by_h, (r * row_step + j) * stride + u), total)
                    store(h, (r * n_out + j) * stride + u, load(slope, r * stride + u) * x)
                store(curve, r * stride + u, load(curve, r * stride + u) * total)


@inner
def back_by_slopes(net, x, stride_x, WT, G):
    """The gradient, from ∂e/∂s_m and the directions."""
    last, rows, ones = offset(net.plan, net.m * COLUMNS), net.rows, behind(net, net.m, DS)
    n_out, width, one = last[SIZE], last[STRIDE], lane(splat(ones, 1.0), 0)
    if width == 1:
        for r in range(rows):
            ones[r] = one
    else:
        fill(ones, rows * n_out * width, 0.0)
        for r in range(rows):
            for j in range(n_out):
                ones[(r * n_out + j) * width + j] = one
    for i in range(net.m, 1, -1):
        above, d = offset(net.plan, (i - 1) * COLUMNS), of_block(net, i, DS)
        stride = above[STRIDE]
        add_outer(net, i, of_block(net, i - 1, H), stride, d, (1 + n_out) * rows, G, False)
        bias_gradient(net, i, d, rows, G)
        target = of_block(net, i - 1, DS)
        if above[ACTIVATION] == spec.IDENTITY:
            back_through_weights(net, i, d, rows, WT, target, False)
            continue
        back, s = behind(net, i - 1, S), of_block(net, i - 1, S)
        back_through_weights(net, i, d, rows, WT, back, False)
        for r in range(rows):
            for u in range(r * stride, r * stride + padded(s, above[SIZE]), lanes(s)):
                store(target, u, fma(load(s, u), load(back, u), load(target, u)))
    d, along = of_block(net, 1, DS), behind(net, 0, H)
    add_outer(net, 1, x, stride_x, d, rows, G, False)
    bias_gradient(net, 1, d, rows, G)
    add_outer(net, 1, along, net.plan[STRIDE], behind(net, 1, DS), rows * n_out, G, True)


@inner
def errors_of_jets(net, data, dy, derivative_weight, start, K):
    """Write the adjoints of s'_m, and return Σ λ/2 w / Σ w (s'_m - dy)²."""
    here = offset(net.plan, net.m * COLUMNS)
    n_out, stride, shares, total = here[SIZE], here[STRIDE], per_row(net, SHARES), 0.0
    s, d = behind(net, net.m, S), behind(net, net.m, DS)
    weight, zero = lane(splat(d, derivative_weight), 0), lane(splat(d, 0.0), 0)
    if stride > 1:
        fill(d, K * net.rows * stride, 0.0)
    for r in range(net.rows):
        squares = 0.0
        for j in range(n_out):
            y = offset(dy, (row_of(data, start + r) * n_out + j) * K)
            for k in range(K):
                at = (k * net.rows + r) * stride + j
                difference = s[at] - y[k]
                if y[k] != y[k]:
                    difference = zero
                squares += np.float64(difference) * np.float64(difference)
                d[at] = weight * shares[r] * difference
        total += np.float64(shares[r]) * squares
    return derivative_weight / 2.0 * total


@inner
def of_rows(net, data, dy, derivative_weight, back, start, total, WT, G):
    """The block's part of the objective, and its gradient."""
    x, stride_x = gather(net, data, start)
    losses, K, of_losses = per_row(net, LOSSES), net.plan[SIZE], 0.0
    if back:
        forward_pass(net, x, stride_x)
        output_deltas(net, data, start, total)
        slopes_back(net, WT)
        mean = errors_of_slopes(net, data, dy, derivative_weight, start)
        along_slopes(net, WT)
        back_by_slopes(net, x, stride_x, WT, G)
    else:
        forward_jets(net, x, stride_x, x, 0, True, K, 0)
        # The deltas of a single output are whole vectors, which reach into the next set.
        s, single = of_block(net, net.m, S), single_output(net, net.m)
        next_set = load(s, net.rows)
        output_deltas(net, data, start, total)
        if single:
            store(s, net.rows, next_set)
        mean = errors_of_jets(net, data, dy, derivative_weight, start, K)
        backward_jets(net, x, stride_x, x, 0, True, K, 0, WT, G)
    for r in range(net.rows):
        of_losses += np.float64(losses[r])
    return mean + of_losses / total


@inner
def sobolev_gradient(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    labels,
    targets,
    sample_weight,
    dy,
    order,
    derivative_weight,
    back,
    total,
    block,
    workspace,
    transposed,
    gradient,
    sums,
    first,
    last,
    stop,
    outside,
):
    apart()
    sets = 1 + (dy.shape[1] if back else X.shape[1])
    net = alone(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(block * sets, workspace, outside),
    )
    data = data_of(X, labels, targets, sample_weight, pointer(order), order.size)
    WT, G, known = pointer(transposed), pointer(gradient), pointer(dy)
    n = order.size if order.size > 0 else X.shape[0]
    begin(net, WT, back)
    if sums.shape[0] == 0:
        net = take_rows(net, 0, 0, n)
        return of_rows(net, data, known, derivative_weight, back, 0, total, WT, G)
    blocks, groups, size, mean = (n + block - 1) // block, sums.shape[0], sums.shape[1], 0.0
    for group in range(first, last):
        line, mean = offset(pointer(sums), group * size), 0.0
        for j in range(size):
            line[j] = 0.0
        for b in range(blocks * group // groups, blocks * (group + 1) // groups):
            if stop[0] != 0:
                return math.nan
            start = b * block
            net = take_rows(net, 0, start, min(block, n - start))
            mean += of_rows(net, data, known, derivative_weight, back, start, total, WT, G)
            for j in range(size - LOSS_PLACES):
                line[j] += G[j]
        line[size - 1] = mean
    return mean
