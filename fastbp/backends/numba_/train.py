"""The training loop and the other passes over all samples.

A step takes the rows of a batch through the network in blocks. Per block it computes the forward
pass, the losses and output deltas, and the backward pass of the deltas. Then, for a few weight
rows at a time while they are in the cache, it computes the gradient over the rows, applies the
optimiser and updates the transposed copy.

Each thread of a team takes a share of the rows and then a share of the weights, with a barrier
after each; see shares.py. In a large batch of a small network, it instead takes whole groups of
blocks, whose gradients are then added up in the order of the groups. Blocks and groups depend only
on the network and the batch, and no other sum spans several threads, so their number changes no
bit. Sums over several blocks are in double precision.

See ``backends/interface.py`` for the arguments. The twin of this file is
``src_cython/train.pxi``.
"""

import math

from ...basis.layout import COLUMNS, DROPOUT, INPUTS, SIZE, STRIDE
from . import fields
from ._jit import call, inlined, inner
from .denormals import apart, control
from .dropout import step_key
from .gather import gather
from .gradients import COMPLETE, OF_GROUPS, accumulate
from .groups import (
    NO_LOSSES,
    add_losses,
    add_losses_of_heads,
    add_totals_of_heads,
    by_groups,
    loss_of_groups,
    part_of,
    prepare,
    regrouped,
    total_of,
    weight_total,
)
from .net import LOSSES, Data, Net, data_of, per_row, take_rows
from .passes import backward_pass, forward_pass, output_deltas, outputs, transpose
from .regularizers import lowest_learning, penalised, penalties
from .simd import at, lane, lanes, load, offset, pointer, splat, sum_lanes
from .steps import next_step, step
from .team import STOPPED, barrier
from .tile import copy_rows


@inner
def has_dropout(net):
    """Whether any layer has dropout."""
    found = False
    for i in range(net.m):
        found = found or net.plan[i * COLUMNS + DROPOUT] != 0
    return found


@inlined
def lowest_of(plan):
    """The first layer that gradients reach: 0 if some of the input is learned."""
    return 0 if plan[0, INPUTS] != 0 else 1


@inner
def alone(pieces, plan, loss, loss_parameter, function, parameters, block, workspace, outside):
    """The Net for a single thread."""
    nothing = pointer(plan)
    return Net(
        pointer(plan),
        plan.shape[0] - 1,
        pointer(pieces),
        lowest_of(plan),
        *(loss, loss_parameter, function, outside),
        pointer(parameters),
        block,
        pointer(workspace),
        *(nothing, 1, 0),
        *(pointer(parameters), 0, 0, 0, 0),  # no sums
        *(0, 0, 0, 0, 0),
    )


def activation(activate, by_derivative, by_second_derivative, by_third_derivative, s, out):
    """h = σ(s), and three rows of ones multiplied by σ'(s), σ''(s) and σ'''(s)."""
    h, n = pointer(out), s.size
    call(activate, (pointer(s), h, n))
    call(by_derivative, (pointer(s), h, offset(h, n), n))
    call(by_second_derivative, (pointer(s), h, offset(h, 2 * n), n))
    call(by_third_derivative, (pointer(s), h, offset(h, 3 * n), n))


def finite(array):
    """Whether all numbers are finite."""
    numbers, n = pointer(array), array.size
    whole = n // lanes(numbers) * lanes(numbers)
    rest, last = splat(numbers, 0.0), lane(splat(numbers, 0.0), 0)
    for i in range(0, whole, lanes(numbers)):
        v = load(numbers, i)
        rest = rest + (v - v)  # 0 if finite, else NaN, which persists
    for i in range(whole, n):
        last += numbers[i] - numbers[i]
    return sum_lanes(rest) + last == 0.0


@inner
def pass_forward(
    pieces, plan, loss, loss_parameter, function, parameters, X, block, workspace, out, outside
):
    """Write the network's outputs for X to `out`."""
    apart()
    net = alone(pieces, plan, loss, loss_parameter, function, parameters, block, workspace, outside)
    samples, none = pointer(X), pointer(plan)
    data = Data(samples, none, samples, samples, none, False, False, False)
    here, result = offset(pointer(plan), net.m * COLUMNS), pointer(out)
    n, stride = here[SIZE], here[STRIDE]
    for start in range(0, X.shape[0], block):
        net = take_rows(net, 0, start, min(block, X.shape[0] - start))
        h, stride_in = gather(net, data, start)
        forward_pass(net, h, stride_in)
        copy_rows(outputs(net), stride, net.rows, n, offset(result, start * n), n)


def predict(pieces, plan, loss, loss_parameter, function, parameters, X, block, workspace, out):
    pass_forward(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(X, block, workspace, out, control()),
    )


@inner
def loss_and_gradient(
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
    block,
    workspace,
    transposed,
    gradient,
    sums,
    stop,
    shared,
    threads,
    rank,
    outside,
):
    apart()
    net = Net(
        pointer(plan),
        plan.shape[0] - 1,
        pointer(pieces),
        lowest_of(plan),
        *(loss, loss_parameter, function, outside),
        pointer(parameters),
        block,
        pointer(workspace),
        *(pointer(shared), threads, rank),
        *(pointer(sums), sums.shape[1], sums.shape[0], 0, workspace.size // threads),
        *(0, 0, 0, 0, 0),
    )
    data = data_of(X, labels, targets, sample_weight, pointer(labels), 0)
    wanted, WT, n = gradient.size > 0, pointer(transposed), X.shape[0]
    prepare(net)
    if wanted:
        transpose(net, WT)
    total = weight_total(data, 0, n)
    if net.lines > 1:
        barrier(net.shared, threads)
        net = regrouped(net, n)
        by_groups(net, 0, data, 0, n, total, WT, wanted, pointer(stop), True)
        barrier(net.shared, threads)
        if stop[0] != 0:
            return math.nan
        if wanted:
            accumulate(net, net.workspace, 0, 0, pointer(gradient), OF_GROUPS)
        return loss_of_groups(net) / total if total != 0.0 else 0.0
    barrier(net.shared, threads)
    of_rows = NO_LOSSES
    for start in range(0, n, block):
        rows = min(block, n - start)
        net = take_rows(net, 0, start, rows)
        h, stride = gather(net, data, start)
        forward_pass(net, h, stride)
        output_deltas(net, data, start, total)
        if wanted:
            backward_pass(net, WT)
        if rank == 0:
            shared[STOPPED] = stop[0]
        barrier(net.shared, threads)
        if shared[STOPPED] != 0:
            return math.nan
        of_rows = add_losses(of_rows, per_row(net, LOSSES), rows)
        if rank == 0:
            add_losses_of_heads(net, 0)
        if wanted:
            part = part_of(start, start + rows, 0, n)
            accumulate(net, h, stride, rows, pointer(gradient), part)
        barrier(net.shared, threads)
    return total_of(of_rows) / total if total != 0.0 else 0.0


@inner
def net_of(job, reals, like, threads, rank, outside):
    """The Net of a job; `like` is a pointer to numbers of the network's precision."""
    layer_rules = at(job, fields.LAYER_RULES, pointer(reals))
    whole = pointer(job)
    return Net(
        at(job, fields.PLAN, whole),
        job[fields.LAYERS],
        at(job, fields.PIECES, whole),
        lowest_learning(at(job, fields.PLAN, whole), layer_rules, job[fields.LAYERS]),
        job[fields.LOSS],
        reals[fields.LOSS_PARAMETER],
        job[fields.FUNCTION],
        outside,
        at(job, fields.PARAMETERS, like),
        job[fields.BLOCK],
        at(job, fields.WORKSPACE, like),
        at(job, fields.SHARED, whole),
        threads,
        rank,
        at(job, fields.SUMS, pointer(reals)),
        job[fields.LINE],
        job[fields.LINES],
        0,
        job[fields.APART],
        *(0, 0, 0, 0, 0),
    )


@inner
def penalty_factor(job, total):
    """The factor of the penalties in a batch with Σ w = `total`."""
    if job[fields.SKLEARN_PENALTIES] == 0:
        return 1.0
    return 1.0 / total if total != 0.0 else 0.0


@inner
def train(
    job, reals, X, labels, targets, sample_weight, order, epochs, rates, losses, rank, outside
):
    apart()
    threads, batch_size, block = job[fields.THREADS], job[fields.BATCH_SIZE], job[fields.BLOCK]
    leading, sklearn_penalties, like = rank == 0, job[fields.SKLEARN_PENALTIES] != 0, pointer(X)
    net = net_of(job, reals, like, threads, rank, outside)
    layer_rules = at(job, fields.LAYER_RULES, pointer(reals))
    stop = at(job, fields.STOP, pointer(job))
    shared = net.shared
    counts = offset(at(job, fields.COUNTERS, pointer(reals)), 3 * rank)
    penalise = leading and penalised(layer_rules, net.m)
    steps = key = 0
    line = losses.size // epochs  # more than 1 if the losses of heads are wanted
    dropping = has_dropout(net)
    WT, G = at(job, fields.TRANSPOSED, like), at(job, fields.GRADIENT, like)
    n = order.shape[1] if order.size > 0 else X.shape[0]
    prepare(net)
    if leading:
        shared[STOPPED] = stop[0]
    transpose(net, WT)
    barrier(shared, threads)
    for epoch in range(epochs):
        here = epoch * n if order.size > 0 else 0
        data = data_of(X, labels, targets, sample_weight, offset(pointer(order), here), order.size)
        numerator = denominator = penalty = 0.0
        of_epoch = offset(pointer(losses), epoch * line)
        for k in range(1, line if leading else 1):
            of_epoch[k] = 0.0
        for batch in range(0, n, batch_size):
            if shared[STOPPED] != 0:
                return epoch
            start, end = batch, min(batch + batch_size, n)
            total = weight_total(data, batch, end - batch)
            factor = penalty_factor(job, total)
            if penalise:
                penalty += factor * penalties(net, layer_rules) * (end - batch)
            if dropping:
                key = step_key(job[fields.SEED], int(counts[0]))
            sums = NO_LOSSES
            h, stride, rows, part = net.workspace, 0, 0, OF_GROUPS
            if net.lines > 1:
                net = regrouped(net, end - start)
                by_groups(net, key, data, start, end, total, WT, True, stop, False)
                barrier(shared, threads)
                start = end
            while start < end:
                rows = min(block, end - start)
                part = part_of(start, start + rows, batch, end)
                net = take_rows(net, key, start - batch, rows)
                h, stride = gather(net, data, start)
                forward_pass(net, h, stride)
                output_deltas(net, data, start, total)
                backward_pass(net, WT)
                barrier(shared, threads)
                sums = add_losses(sums, per_row(net, LOSSES), rows)
                if leading and line > 1:
                    add_losses_of_heads(net, 0)
                start += rows
                if start < end:
                    accumulate(net, h, stride, rows, G, part)
                    barrier(shared, threads)
            batch_loss = loss_of_groups(net) if part == OF_GROUPS else total_of(sums)
            if not math.isfinite(batch_loss):
                if leading:
                    of_epoch[0] = batch_loss
                return epoch
            if leading and line > 1:
                add_totals_of_heads(net, offset(of_epoch, 1))
            numerator += batch_loss * factor * (end - batch) if sklearn_penalties else batch_loss
            denominator += 1.0 * (end - batch) if sklearn_penalties else total
            rate = rates[steps if rates.size > 1 else 0]
            steps += 1
            how = next_step(job, reals, like, counts, rate, factor)
            step(net, h, stride, rows, part, WT, G, how)
            if leading:
                shared[STOPPED] = stop[0]
            barrier(shared, threads)
        if leading:
            of_epoch[0] = (numerator / denominator if denominator > 0.0 else 0.0) + penalty / n
            for k in range(1, line):
                of_epoch[k] = of_epoch[k] / denominator if denominator > 0.0 else 0.0
    return epochs


@inner
def apply_gradient(job, reals, parameters, rate, total, outside):
    apart()
    like = pointer(parameters)
    net = net_of(job, reals, like, 1, 0, outside)
    counters = at(job, fields.COUNTERS, pointer(reals))
    how = next_step(job, reals, like, counters, rate, penalty_factor(job, total))
    for i in range(3, 3 * job[fields.THREADS]):
        counters[i] = counters[i - 3]
    WT, G = at(job, fields.TRANSPOSED, like), at(job, fields.GRADIENT, like)
    step(net, net.workspace, 0, 0, COMPLETE, WT, G, how)
