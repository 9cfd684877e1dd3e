"""Sparse samples: the first layer by gather and scatter, at a cost that goes by their entries.

An entry is a number x with its column, stored row by row (CSR). The forward pass gathers the rows
`column` of W_1: s_1 = b_1 + Σ x W_1[column]. The gradient scatters: to row `column` of ∇W_1,
x ∂e/∂s_1 is added. Both are chains of fused multiply-adds in the order of the matrix products,
which would add zeros besides. So results are those of dense samples, bit by bit.

Threads share the rows of W_1. In each row of the block, every thread has a place of its own, from
which its entries are still to be added to the gradient. The places lie in the workspace, where
dense samples would be gathered.

The functions are pieces, which only trainings on sparse samples compile. The twin of this file is
``src_cython/sparse.pxi``.
"""

from numba import types

from ._jit import REALS, Piece, call, inlined, inner
from .dropout import GOLDEN, WORD, mix
from .shares import UNIT, share_start
from .simd import (
    fma,
    lane,
    lanes,
    load,
    offset,
    prefetch,
    splat,
    store,
    sum_lanes,
    with_lane,
    words,
)

# Weights are prefetched into the cache this many entries ahead.
ENTRIES_AHEAD = 8
# A step with TOUCHED takes this many rows of weights at a time: one for each bit of a word.
WORD_BITS = 64


@inlined
def places_of(workspace, block, rank):
    """Thread `rank`'s places in the block's rows; those of rank `threads` are the rows' ends."""
    return offset(words(workspace), rank * block)


@inner
def first_from(columns, first, last, column):
    """The first of the entries first..last - 1, which are sorted, from `column` on."""
    while first < last:
        middle = (first + last) // 2
        if columns[middle] < column:
            first = middle + 1
        else:
            last = middle
    return first


@inlined
def entry_of(values, columns, k, key, threshold, scale):
    """Entry k in all lanes, after dropout, whose numbers are those of `drop`."""
    x = splat(values, values[k])
    if threshold != 0:
        random = mix((key + int(columns[k]) * GOLDEN) & WORD)
        x = scale * x if random >= threshold else splat(values, 0.0)
    return x


@inlined
def row_key(key, row):
    """The key of the dropout of a row of the batch."""
    return mix(mix(key) ^ (row & WORD))


@inlined
def scale_of(like, threshold):
    """What dropout multiplies the entries by that it keeps."""
    return splat(like, 1.0 / (1.0 - threshold * 2.0**-32))


def gather(
    values,
    columns,
    starts,
    order,
    ordered,
    start,
    in_batch,
    key,
    threshold,
    workspace,
    block,
    threads,
    shared,
    first,
    rows,
    W,
    n_in,
    n,
    stride,
    s,
):
    """Write s_1 of own rows, and the threads' places in them.

    The threads share `shared` rows of parameters.
    `start` is the block's position in the order, `in_batch` that of its first row in the batch;
    `rows` own rows begin with the block's row `first`, and their s_1 at `s`.
    """
    scale, width_of_parts = scale_of(W, threshold), 4 * lanes(W)
    width = (n + lanes(W) - 1) // lanes(W) * lanes(W)
    of_row = 0
    for r in range(first, first + rows):
        row = order[start + r] if ordered != 0 else start + r
        begin, end = starts[row], starts[row + 1]
        place = begin
        for rank in range(threads):
            place = first_from(columns, place, end, share_start(shared, UNIT, rank, threads))
            places_of(workspace, block, rank)[r] = place
        places_of(workspace, block, threads)[r] = end
        if threshold != 0:
            of_row = row_key(key, in_batch + r)
        if stride == 1:
            total = splat(W, 0.0)
            for k in range(begin, end):
                j = int(columns[k])
                x = lane(entry_of(values, columns, k, of_row, threshold, scale), 0)
                x = with_lane(splat(W, 0.0), j % lanes(W), x)
                total = fma(x, splat(W, W[j]), total)
            x = sum_lanes(total) + W[(n_in + lanes(W) - 1) // lanes(W) * lanes(W)]
            if rows == 1:
                store(s, 0, splat(s, x))
            else:
                s[r - first] = x
            continue
        h, j = offset(s, (r - first) * stride), 0
        while j + width_of_parts <= width:
            w = offset(W, n_in * stride + j)
            a, b = load(w, 0), load(w, lanes(W))
            c, d = load(w, 2 * lanes(W)), load(w, 3 * lanes(W))
            for k in range(begin, end):
                if k + ENTRIES_AHEAD < end:
                    w = offset(W, int(columns[k + ENTRIES_AHEAD]) * stride + j)
                    prefetch(w, 0)
                    prefetch(w, lanes(W))
                    prefetch(w, 2 * lanes(W))
                    prefetch(w, 3 * lanes(W))
                w = offset(W, int(columns[k]) * stride + j)
                x = entry_of(values, columns, k, of_row, threshold, scale)
                a, b = fma(x, load(w, 0), a), fma(x, load(w, lanes(W)), b)
                c = fma(x, load(w, 2 * lanes(W)), c)
                d = fma(x, load(w, 3 * lanes(W)), d)
            store(h, j, a)
            store(h, j + lanes(W), b)
            store(h, j + 2 * lanes(W), c)
            store(h, j + 3 * lanes(W), d)
            j += width_of_parts
        while j < width:
            a = load(W, n_in * stride + j)
            for k in range(begin, end):
                if k + ENTRIES_AHEAD < end:
                    prefetch(W, int(columns[k + ENTRIES_AHEAD]) * stride + j)
                x = entry_of(values, columns, k, of_row, threshold, scale)
                a = fma(x, load(W, int(columns[k]) * stride + j), a)
            store(h, j, a)
            j += lanes(W)


def scatter(
    values,
    columns,
    in_batch,
    key,
    threshold,
    workspace,
    block,
    threads,
    rank,
    rows,
    first,
    last,
    deltas,
    n_in,
    n,
    stride,
    target,
):
    """Write the rows first..last - 1 of ∇W_1 to `target`, from all `rows` of the block.

    Calls for a block are made in the order of the rows of W_1.
    """
    size, scale = max(0, min(last, n_in) - first) * stride, scale_of(target, threshold)
    places, ends = places_of(workspace, block, rank), places_of(workspace, block, threads)
    width, of_row = (n + lanes(target) - 1) // lanes(target) * lanes(target), 0
    if stride == 1:
        size = (n_in + lanes(target) - 1) // lanes(target) * lanes(target)
    for j in range(0, size, lanes(target)):
        store(target, j, splat(target, 0.0))
    for r in range(rows):
        place, end = places[r], ends[r]
        if threshold != 0:
            of_row = row_key(key, in_batch + r)
        while place < end and columns[place] < last:
            column = int(columns[place]) - first
            x = entry_of(values, columns, place, of_row, threshold, scale)
            if stride == 1:
                g = offset(target, column // lanes(target) * lanes(target))
                x = with_lane(splat(target, 0.0), column % lanes(target), lane(x, 0))
                store(g, 0, fma(x, splat(target, deltas[r]), load(g, 0)))
            else:
                g = offset(target, column * stride)
                for j in range(0, width, lanes(target)):
                    store(g, j, fma(x, load(deltas, r * stride + j), load(g, j)))
            place += 1
        places[r] = place


def step_touched(
    values,
    columns,
    in_batch,
    key,
    threshold,
    workspace,
    block,
    threads,
    rank,
    rows,
    first,
    last,
    deltas,
    n_in,
    n,
    stride,
    scratch,
    update,
    hyper,
    rate,
    corrected,
    epsilon,
    W,
    first_state,
    second_state,
    keep_signs,
    signs,
):
    """Step those of the rows first..last - 1 of W_1 for whose column the block has an entry.

    `scratch` has room for as many rows; WORD_BITS are enough.
    """
    scale, of_row = scale_of(scratch, threshold), 0
    places, ends = places_of(workspace, block, rank), places_of(workspace, block, threads)
    width = (n + lanes(scratch) - 1) // lanes(scratch) * lanes(scratch)
    last = min(last, n_in)
    nearest = last
    for r in range(rows):
        if places[r] < ends[r]:
            nearest = min(nearest, int(columns[places[r]]))
    while nearest < last:
        first, limit, nearest = nearest, min(nearest + WORD_BITS, last), last
        touched = 0
        for r in range(rows):
            place, end = places[r], ends[r]
            if place >= end:
                continue
            column = int(columns[place])
            if column < limit:
                if threshold != 0:
                    of_row = row_key(key, in_batch + r)
                while column < limit:
                    x = entry_of(values, columns, place, of_row, threshold, scale)
                    column -= first
                    g, bit = offset(scratch, column * stride), 1 << column
                    if touched & bit == 0:
                        touched |= bit
                        at = (first + column) * stride
                        for j in range(0, width, lanes(scratch)):
                            prefetch(W, at + j)
                            prefetch(first_state, at + j)
                            prefetch(second_state, at + j)
                            d = load(deltas, r * stride + j)
                            store(g, j, fma(x, d, splat(scratch, 0.0)))
                    else:
                        for j in range(0, width, lanes(scratch)):
                            store(g, j, fma(x, load(deltas, r * stride + j), load(g, j)))
                    place += 1
                    if place == end:
                        column = last
                        break
                    column = int(columns[place])
                places[r] = place
            nearest = min(nearest, column)
        for r in range(limit - first):
            if touched >> r & 1:
                at = (first + r) * stride
                w, g = offset(W, at), offset(scratch, r * stride)
                one, two = offset(first_state, at), offset(second_state, at)
                call(update, (hyper, rate, corrected, epsilon, w, g, one, two, width, 0.0, 0.0))
                if keep_signs != 0:
                    call(keep_signs, (w, offset(signs, at), width))


_COLUMNS, _PLACES = types.CPointer(types.int32), types.CPointer(types.int64)
_OF_BLOCK = (REALS, *[types.intp] * 2)  # workspace, block, threads
GATHER = Piece(
    gather,
    *(REALS, _COLUMNS, _PLACES, _PLACES, *[types.intp] * 5),
    *(*_OF_BLOCK, *[types.intp] * 3, REALS, *[types.intp] * 3, REALS),
)
_SCATTER = (
    *(REALS, _COLUMNS, *[types.intp] * 3, *_OF_BLOCK, *[types.intp] * 4),
    *(REALS, *[types.intp] * 3, REALS),
)
SCATTER = Piece(scatter, *_SCATTER)
STEP_TOUCHED = Piece(
    step_touched,
    *(*_SCATTER, types.int64, types.CPointer(types.float64), *[types.float64] * 3, *[REALS] * 3),
    *(types.int64, REALS),
)
