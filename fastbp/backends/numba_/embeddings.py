"""Learned inputs: vectors of categories, and numbers in place of missing ones.

The forward pass gathers h_0 from the columns of X and from tables. The gradient scatters: the
errors ∂e/∂h_0 of a row are added to those rows of the tables from which its h_0 came. The workspace
keeps which these are, in `marks`. See ``basis/inputs.py`` for the table of the parts of the input.

The functions are pieces, which only networks with such inputs compile. In the twin,
``src_cython/embeddings.pxi``, they are in one file with those that call them.
"""

from numba import types

from ...basis.inputs import (
    CATEGORIES,
    CATEGORY,
    COLUMN,
    FILLED,
    KIND,
    MARK,
    MARKED,
    MARKS,
    PART_COLUMNS,
    PARTS,
    PLACE,
    PLAIN,
    TABLE,
    TABLE_STRIDE,
    TABLES,
    WIDTH,
    X_WIDTH,
)
from ._jit import REALS, Piece, inner
from .simd import lanes, offset, prefetch, splat, store

# Rows of tables are prefetched into the cache this many samples ahead.
AHEAD = 4


@inner
def row_of_table(part, x):
    """Where the row of a category's code lies in the parameter buffer, and the row's number."""
    row = part[CATEGORIES]
    if x >= 0.0 and x < row:  # not for NaN
        row = int(x)
    return part[TABLE] + row * part[TABLE_STRIDE], row


@inner
def prefetch_rows(x, parts, parameters):
    """Prefetch the rows of tables for a sample."""
    for k in range(1, parts[PARTS] + 1):
        part = offset(parts, k * PART_COLUMNS)
        if part[KIND] == CATEGORY:
            at, _ = row_of_table(part, x[part[COLUMN]])
            for j in range(0, part[WIDTH], lanes(parameters)):
                prefetch(parameters, at + j)


def expand(
    X, order, ordered, start, first, rows, parts, parameters, workspace, block, stride, n_in
):
    """Write own rows of h_0, with zeros in the padding, and their marks.

    `start` is the block's position in the order; `rows` own rows begin with its row `first`.
    """
    h = offset(workspace, first * stride)
    marks = offset(workspace, block * parts[MARKS] + first * parts[MARKED])
    for r in range(start + first, start + first + rows):
        row = order[r] if ordered != 0 else r
        x = offset(X, row * parts[X_WIDTH])
        if r + AHEAD < start + first + rows:
            ahead = order[r + AHEAD] if ordered != 0 else r + AHEAD
            prefetch_rows(offset(X, ahead * parts[X_WIDTH]), parts, parameters)
        for k in range(1, parts[PARTS] + 1):
            part = offset(parts, k * PART_COLUMNS)
            target, source = offset(h, part[PLACE]), offset(x, part[COLUMN])
            if part[KIND] == CATEGORY:
                at, found = row_of_table(part, source[0])
                marks[part[MARK]] = found
                source = offset(parameters, at)
            for j in range(part[WIDTH]):
                target[j] = source[j]
            if part[KIND] == FILLED:
                for j in range(part[WIDTH]):
                    missing = source[j] != source[j]
                    marks[part[MARK] + j] = 1.0 if missing else 0.0
                    if missing:
                        target[j] = parameters[part[TABLE] + j]
        for j in range(n_in, (n_in + lanes(h) - 1) // lanes(h) * lanes(h)):
            h[j] = 0.0
        h, marks = offset(h, stride), offset(marks, parts[MARKED])


def scatter(parts, workspace, block, errors, stride, rows, gradient, first, last):
    """Write numbers first..last - 1 of the gradient of the tables, from all rows of the block.

    `errors` are the block's ∂e/∂h_0. The number `first` is written to the beginning of `gradient`.
    """
    marks = offset(workspace, block * parts[MARKS])
    for j in range(0, last - first, lanes(gradient)):
        store(gradient, j, splat(gradient, 0.0))
    for k in range(1, parts[PARTS] + 1):
        part = offset(parts, k * PART_COLUMNS)
        if part[KIND] == PLAIN:
            continue
        width, begin = part[WIDTH], part[TABLE] - parts[TABLES]
        end = begin + width
        if part[KIND] == CATEGORY:
            end += part[CATEGORIES] * part[TABLE_STRIDE]
        if end <= first or begin >= last:
            continue
        d, chosen = offset(errors, part[PLACE]), offset(marks, part[MARK])
        for _ in range(rows):
            if part[KIND] == FILLED:
                for j in range(max(first - begin, 0), min(last - begin, width)):
                    if chosen[j] != 0.0:
                        gradient[begin + j - first] += d[j]
            else:
                at = begin + int(chosen[0]) * part[TABLE_STRIDE] - first
                for j in range(max(-at, 0), min(last - first - at, width)):
                    gradient[at + j] += d[j]
            d, chosen = offset(d, stride), offset(chosen, parts[MARKED])


_INTEGERS = types.CPointer(types.int64)
EXPAND = Piece(
    expand,
    *(REALS, _INTEGERS, *[types.intp] * 4, _INTEGERS),
    *(REALS, REALS, *[types.intp] * 3),
)
SCATTER = Piece(
    scatter,
    *(_INTEGERS, REALS, types.intp, REALS, *[types.intp] * 2, REALS, *[types.intp] * 2),
)
