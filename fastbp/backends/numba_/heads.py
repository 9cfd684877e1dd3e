"""Several heads: each has a slice of the outputs, with its own targets, loss and weight.

`function` is the address of a table of numbers that describes them, see Model in interface.py. A
loss works on a copy of its slice, which is laid out like the outputs of a network with this loss
alone. The passes give memory for it: `part`, in h_m, which the network does not need, and `y`, in
the place of the targets. The twin of this file is ``src_cython/heads.pxi``.
"""

from numba import types

from ...basis import spec
from ._jit import REALS, Piece, call, inner
from .losses import WHOLE, sum_outputs
from .simd import fma, lane, lanes, load, numbers_at, offset, splat, store
from .tile import copy_rows

# Indices in the table of the pieces of heads: by the code of a loss, that of its output and that of
# its Hessian.
LOSSES, OUTPUTS, HESSIANS = 0, spec.HEADS, 2 * spec.HEADS
SOFTMAX, SUMS, TOTALS, PLACES = range(3 * spec.HEADS, 3 * spec.HEADS + 4)


@inner
def stride_of(like, n):
    """The distance between rows of a part of n outputs."""
    return 1 if n == 1 else (n + lanes(like) - 1) // lanes(like) * lanes(like)


@inner
def take_part(source, n, r, rows, part, stride):
    """Copy n numbers to row r of a part, and zeros behind them."""
    if rows == 1 and stride == 1:
        store(part, 0, splat(part, source[0]))  # read as a vector, see `put`
        return
    for j in range(n):
        part[r * stride + j] = source[j]
    for j in range(n, stride):
        part[r * stride + j] = 0.0


@inner
def clear_padding(d, rows, n, stride):
    """Zero what no head writes."""
    if stride > 1:
        for r in range(rows):
            for j in range(n, stride):
                d[r * stride + j] = 0.0


@inner
def take_shares(shares, weight, order, weighted, ordered, start, share, rows):
    """Each row's weight times `share`."""
    for r in range(0, rows, lanes(shares)):
        store(shares, r, splat(shares, share))
    if weighted != 0:
        for r in range(rows):
            shares[r] = weight[order[start + r] if ordered != 0 else start + r] * share


@inner
def keep_losses(losses, weight, order, weighted, ordered, start, rows, s, stride):
    """Write w e of each row to a column of s that is not needed any more."""
    for r in range(rows):
        s[r * stride] = losses[r]
        if weighted != 0:
            w = weight[order[start + r] if ordered != 0 else start + r]
            s[r * stride] *= w
            if w == 0.0:  # the loss may have overflowed, and 0 * inf is NaN
                s[r * stride] = 0.0


def deltas_of_heads(
    function,
    outside,
    pieces,
    targets,
    weight,
    order,
    weighted,
    ordered,
    start,
    share,
    rows,
    n_all,
    stride_all,
    n_targets,
    s,
    part,
    y,
    d,
    losses,
    shares,
    tops,
    totals,
):
    """Write Σ_k w_k e_k of each row to `losses`, and its derivatives by s times shares to d.

    The rows begin at `start` in the order; `share` is 1 / Σ w of the samples' weights. If sums of
    the heads' losses are wanted, w e_k takes the place of the head's first output in s.
    """
    numbers = numbers_at(function)
    for r in range(0, rows, lanes(s)):
        store(losses, r, splat(s, 0.0))
    for k in range(int(numbers[0])):
        line = 1 + k * spec.HEAD_COLUMNS
        first, n = int(numbers[line + spec.HEAD_FIRST]), int(numbers[line + spec.HEAD_WIDTH])
        first_target = int(numbers[line + spec.HEAD_FIRST_TARGET])
        loss, head_weight = int(numbers[line + spec.HEAD_LOSS]), numbers[line + spec.HEAD_WEIGHT]
        parameter, stride = numbers[line + spec.HEAD_PARAMETER], stride_of(s, n)
        of_head = share * head_weight
        take_shares(shares, weight, order, weighted, ordered, start, of_head, rows)
        for r in range(rows):
            take_part(offset(s, r * stride_all + first), n, r, rows, part, stride)
        if loss == spec.CROSS_ENTROPY:
            call(pieces[SOFTMAX], (part, y, tops, totals, rows, n, stride))
            for r in range(rows):
                row = order[start + r] if ordered != 0 else start + r
                at = row * n_targets + first_target
                e = of_targets = lane(splat(s, 0.0), 0)
                for j in range(n):
                    t = targets[at + j]
                    of_targets += t
                    e += t * (tops[r] - s[r * stride_all + first + j])
                tops[r], part[r] = e, of_targets
            call(pieces[LOSSES + loss], (0.0, tops, part, y, totals, shares, rows, n, stride))
            for r in range(rows):
                row = order[start + r] if ordered != 0 else start + r
                at = row * n_targets + first_target
                for j in range(n):
                    slope = y[r * stride + j] - shares[r] * targets[at + j]
                    d[r * stride_all + first + j] = slope
        else:
            own = int(numbers[line + spec.HEAD_TARGETS])
            for r in range(rows):
                row = order[start + r] if ordered != 0 else start + r
                source = offset(targets, row * n_targets + first_target)
                take_part(source, own, r, rows, y, stride)
            own_numbers = function + 8 * int(numbers[line + spec.HEAD_NUMBERS])
            arguments = (own_numbers, outside, parameter, rows, n, stride, part, y, totals)
            call(pieces[LOSSES + loss], arguments)
            if stride == 1:
                for r in range(0, rows, lanes(s)):
                    store(part, r, load(part, r) * load(shares, r))
                    store(tops, r, load(y, r))
            else:
                sum_outputs(part, y, part, tops, shares, rows, n, stride)
            copy_rows(part, stride, rows, n, offset(d, first), stride_all)
        for r in range(0, rows, lanes(s)):
            store(losses, r, fma(splat(s, head_weight), load(tops, r), load(losses, r)))
        if numbers[line + spec.HEAD_SUMS] != 0.0:
            own_s = offset(s, first)
            keep_losses(tops, weight, order, weighted, ordered, start, rows, own_s, stride_all)
    clear_padding(d, rows, n_all, stride_all)


def sums_of_heads(function, rows, stride, s, group):
    """Add each head's Σ w e over a block's rows, from s, to its sum of a group of blocks."""
    numbers = numbers_at(function)
    for k in range(int(numbers[0])):
        line = 1 + k * spec.HEAD_COLUMNS
        first, place = int(numbers[line + spec.HEAD_FIRST]), int(numbers[line + spec.HEAD_SUMS])
        if place != 0:
            total = 0.0
            for r in range(rows):
                total += s[r * stride + first]
            numbers[place + group] += total


def totals_of_heads(function, groups, totals):
    """Add each head's sums of all groups to its total, and begin them anew."""
    numbers = numbers_at(function)
    for k in range(int(numbers[0])):
        place = int(numbers[1 + k * spec.HEAD_COLUMNS + spec.HEAD_SUMS])
        for group in range(groups if place != 0 else 0):
            totals[k] += numbers[place + group]
            numbers[place + group] = 0.0


def outputs_of_heads(function, pieces, rows, n_all, stride_all, s, part, y, d, tops, totals):
    """Write the outputs of all heads to d."""
    numbers = numbers_at(function)
    for k in range(int(numbers[0])):
        line = 1 + k * spec.HEAD_COLUMNS
        first, n = int(numbers[line + spec.HEAD_FIRST]), int(numbers[line + spec.HEAD_WIDTH])
        loss, stride = int(numbers[line + spec.HEAD_LOSS]), stride_of(s, n)
        for r in range(rows):
            take_part(offset(s, r * stride_all + first), n, r, rows, part, stride)
        if pieces[OUTPUTS + loss] == 0:  # the output is s
            copy_rows(part, stride, rows, n, offset(d, first), stride_all)
        else:
            call(pieces[OUTPUTS + loss], (part, y, tops, totals, rows, n, stride))
            copy_rows(y, stride, rows, n, offset(d, first), stride_all)
    clear_padding(d, rows, n_all, stride_all)


def hessian_product_of_heads(
    function, pieces, targets, rows, stride_all, n_targets, s, v, part, part_v, y, part_out, out
):
    """Write (∂²e/∂s∂s) v to `out`; no two heads meet in it."""
    numbers = numbers_at(function)
    for k in range(int(numbers[0])):
        line = 1 + k * spec.HEAD_COLUMNS
        first, n = int(numbers[line + spec.HEAD_FIRST]), int(numbers[line + spec.HEAD_WIDTH])
        first_target = int(numbers[line + spec.HEAD_FIRST_TARGET])
        own, loss = int(numbers[line + spec.HEAD_TARGETS]), int(numbers[line + spec.HEAD_LOSS])
        parameter, stride = numbers[line + spec.HEAD_PARAMETER], stride_of(s, n)
        for r in range(rows):
            at = r * stride_all + first
            take_part(offset(s, at), n, r, rows, part, stride)
            take_part(offset(v, at), n, r, rows, part_v, stride)
            take_part(offset(targets, r * n_targets + first_target), own, r, rows, y, stride)
        own_numbers = function + 8 * int(numbers[line + spec.HEAD_NUMBERS])
        arguments = (own_numbers, parameter, rows, n, stride, part, y, part_v, part_out)
        call(pieces[HESSIANS + loss], arguments)
        weight = splat(s, numbers[line + spec.HEAD_WEIGHT])
        for i in range(0, rows * stride, lanes(s)):
            store(part_out, i, weight * load(part_out, i))
        copy_rows(part_out, stride, rows, n, offset(out, first), stride_all)


_NUMBERS = types.CPointer(types.int64)
HESSIAN = Piece(
    hessian_product_of_heads, types.int64, _NUMBERS, REALS, WHOLE, WHOLE, WHOLE, *[REALS] * 7
)
DELTAS = Piece(
    deltas_of_heads,
    *(types.int64, types.int64, _NUMBERS, REALS, REALS, _NUMBERS),
    *(WHOLE, WHOLE, WHOLE, types.float64, WHOLE, WHOLE, WHOLE, WHOLE),
    *[REALS] * 8,
)
OUTPUT = Piece(outputs_of_heads, types.int64, _NUMBERS, WHOLE, WHOLE, WHOLE, *[REALS] * 6)
SUMS_OF_LOSSES = Piece(sums_of_heads, types.int64, WHOLE, WHOLE, REALS, WHOLE)
TOTALS_OF_LOSSES = Piece(totals_of_heads, types.int64, WHOLE, types.CPointer(types.float64))
