"""The training loop and the other entry points: what a call of the backend runs.

A step takes the rows of a batch through the network in blocks. Per block: forward through
all layers, loss and output delta, deltas back through all layers. Then, a few weight rows at
a time while they are hot: gradient over the rows, optimiser, transposed copy.

See ``backends/interface.py`` for the arguments. The twin of this file is
``src_cython/train.pxi``.
"""

import math

from ...layout import COLUMNS, SIZE, STRIDE, WEIGHTS, S
from ._jit import inner
from .losses import output_activation
from .optimizers import update
from .passes import (
    Net,
    accumulate,
    backward,
    data_of,
    forward,
    gather,
    output_deltas,
    row_of,
    set_constants,
    transpose,
    transpose_rows,
    weight_gradient,
)
from .simd import fma, lanes, load, offset, pointer, splat, sum_lanes

# Weight rows whose gradient is computed, applied and transposed before the next ones; a
# multiple of the tiles' heights.
CHUNK = 24


@inner
def weight_total(data, start, rows):
    """The sum of the weights of a batch."""
    if not data.weighted:
        return 1.0 * rows
    total = 0.0
    for r in range(rows):
        total += data.weight[row_of(data, start + r)]
    return total


@inner
def sum_of_squares(net):
    """Σ W² over all weights, biases left out."""
    total = 0.0
    for i in range(1, net.m + 1):
        here = offset(net.plan, i * COLUMNS)
        W = offset(net.parameters, here[WEIGHTS])
        stride = here[STRIDE]
        for k in range(net.plan[(i - 1) * COLUMNS + SIZE]):
            squares = splat(W, 0.0)
            for j in range(0, stride, lanes(W)):
                w = load(W, k * stride + j)
                squares = fma(w, w, squares)
            total += sum_lanes(squares)
    return total


@inner
def step(
    net, h, stride_in, rows, adding, transposed, gradient, optimizer, hyper, l2, counters, state
):
    """Finish the batch's gradient with its last block and apply it, a few weight rows at a time."""
    slots = state.shape[0]
    size = state.shape[1]
    first_state = pointer(state)
    second_state = offset(first_state, size if slots > 1 else 0)
    for i in range(net.m, 0, -1):
        here = offset(net.plan, i * COLUMNS)
        n_in, stride, start = net.plan[(i - 1) * COLUMNS + SIZE], here[STRIDE], here[WEIGHTS]
        for first in range(0, n_in + 1, CHUNK):
            last = min(first + CHUNK, n_in + 1)
            weight_gradient(net, i, h, stride_in, rows, gradient, adding, first, last)
            of_weights = min(last, n_in) - first
            at = start + first * stride
            update(
                optimizer,
                hyper,
                counters,
                offset(net.parameters, at),
                offset(gradient, at),
                offset(first_state, at),
                offset(second_state, at),
                of_weights * stride,
                l2,
                hyper[4],
            )
            if last > n_in:
                at = start + n_in * stride
                update(
                    optimizer,
                    hyper,
                    counters,
                    offset(net.parameters, at),
                    offset(gradient, at),
                    offset(first_state, at),
                    offset(second_state, at),
                    stride,
                    0.0,
                    0.0,
                )
            if i > 1:
                transpose_rows(net, i, transposed, first, first + of_weights)


def predict(plan, loss, parameters, X, block, workspace, out):
    plan_of, m = pointer(plan), plan.shape[0] - 1
    net = Net(plan_of, m, loss, pointer(parameters), block, pointer(workspace))
    samples, result = pointer(X), pointer(out)
    n_in = plan_of[SIZE]
    here = offset(plan_of, m * COLUMNS)
    n, stride = here[SIZE], here[STRIDE]
    for start in range(0, X.shape[0], block):
        rows = min(block, X.shape[0] - start)
        forward(net, offset(samples, start * n_in), n_in, rows)
        s = offset(net.workspace, block * here[S])
        output_activation(loss, s, rows, n, stride)
        for r in range(rows):
            for j in range(n):
                result[(start + r) * n + j] = s[r * stride + j]


def loss_and_gradient(
    plan,
    loss,
    parameters,
    X,
    labels,
    targets,
    sample_weight,
    block,
    workspace,
    transposed,
    gradient,
):
    net = Net(
        pointer(plan), plan.shape[0] - 1, loss, pointer(parameters), block, pointer(workspace)
    )
    data = data_of(X, labels, targets, sample_weight, pointer(labels), 0)
    wanted = gradient.size > 0
    set_constants(net)
    if wanted:
        transpose(net, pointer(transposed))
    total = weight_total(data, 0, X.shape[0])
    numerator = 0.0
    for start in range(0, X.shape[0], block):
        rows = min(block, X.shape[0] - start)
        h, stride = gather(net, data, start, rows)
        forward(net, h, stride, rows)
        numerator = output_deltas(net, data, start, rows, total, numerator)
        if wanted:
            backward(net, pointer(transposed), rows)
            accumulate(net, h, stride, rows, pointer(gradient), start > 0)
    return numerator / total if total > 0.0 else 0.0


def train(
    plan,
    loss,
    parameters,
    X,
    labels,
    targets,
    sample_weight,
    order,
    epochs,
    batch_size,
    optimizer,
    hyper,
    l2,
    counters,
    state,
    block,
    workspace,
    transposed,
    gradient,
    losses,
    stop,
):
    net = Net(
        pointer(plan), plan.shape[0] - 1, loss, pointer(parameters), block, pointer(workspace)
    )
    WT, G = pointer(transposed), pointer(gradient)
    n = X.shape[0]
    set_constants(net)
    transpose(net, WT)
    for epoch in range(epochs):
        here = epoch * n if order.size > 0 else 0
        data = data_of(X, labels, targets, sample_weight, offset(pointer(order), here), order.size)
        numerator = denominator = penalty = 0.0
        for batch in range(0, n, batch_size):
            if stop[0] != 0:
                return epoch
            in_batch = min(batch_size, n - batch)
            total = weight_total(data, batch, in_batch)
            batch_loss = 0.0
            start, end = batch, batch + in_batch
            h, stride = gather(net, data, start, min(block, end - start))
            while True:
                rows = min(block, end - start)
                forward(net, h, stride, rows)
                batch_loss = output_deltas(net, data, start, rows, total, batch_loss)
                backward(net, WT, rows)
                if start + rows == end:
                    break
                accumulate(net, h, stride, rows, G, start > batch)
                start += rows
                h, stride = gather(net, data, start, min(block, end - start))
            if not math.isfinite(batch_loss):
                losses[epoch] = batch_loss
                return epoch
            if l2 > 0.0:
                penalty += 0.5 * l2 * sum_of_squares(net) * in_batch
            numerator += batch_loss
            denominator += total
            counters[0] += 1.0
            counters[1] *= hyper[1]
            counters[2] *= hyper[2]
            step(
                net,
                h,
                stride,
                end - start,
                start > batch,
                WT,
                G,
                optimizer,
                hyper,
                l2,
                counters,
                state,
            )
        losses[epoch] = (numerator / denominator if denominator > 0.0 else 0.0) + penalty / n
    return epochs
