"""Gathering the samples of a block of rows, dense or sparse.

The twin of this file is ``src_cython/gather.pxi``.
"""

from ...basis.layout import COLUMNS, DROPOUT, EXTRAS, SIZE, STRIDE, WEIGHTS, S
from ._jit import call, inlined, inner
from .net import (
    drop_units,
    has_tables,
    is_sparse,
    of_own,
    padded,
    parts_of,
    row_of,
    single_output,
)
from .pieces import ENTRY_COLUMNS, EXPAND, GATHER_SPARSE, STARTS, VALUES
from .simd import lanes, offset, prefetch

# Samples are prefetched into the cache this many rows ahead.
AHEAD = 4


@inner
def gather(net, data, start):
    """The block's samples, from position `start` of the order on, and the stride between them.

    In natural order and without dropout, samples are used in place. Otherwise own rows are copied
    into the workspace as padded rows; also if layer 1 is a single output, since `dot` reads whole
    vectors, and if rows of this length would compete for the same places in the cache.

    Of sparse samples, s_1 is computed at once, see sparse.py. Learned inputs are always gathered.
    """
    if is_sparse(net, 1):
        gather_sparse(net, data, start)
        return offset(net.workspace, 0), 0
    n_in, single = net.plan[SIZE], single_output(net, 1)
    h, stride = offset(data.X, start * n_in), n_in
    dropped, compete = net.plan[DROPOUT] != 0, net.plan[STRIDE] > padded(data.X, n_in)
    if has_tables(net):
        h, stride = offset(net.workspace, 0), net.plan[STRIDE]
        expand(net, data, start)
    elif data.ordered or dropped or compete or single:
        h, stride = offset(net.workspace, 0), net.plan[STRIDE]
        target, last = offset(h, net.first * stride), start + net.first + net.rows
        for r in range(start + net.first, last):
            source = offset(data.X, row_of(data, r) * n_in)
            if r + AHEAD < last:
                for j in range(0, n_in, lanes(target)):
                    prefetch(data.X, row_of(data, r + AHEAD) * n_in + j)
            for j in range(n_in):
                target[j] = source[j]
            if single:  # kept memory may hold NaN, which `dot` would multiply by 0
                for j in range(n_in, padded(target, n_in)):
                    target[j] = 0.0
            target = offset(target, stride)
    if dropped:
        own = offset(h, net.first * stride)
        drop_units(net, 0, own, own)
    return h, stride


@inlined
def expand(net, data, start):
    """Write own rows of h_0, some of whose numbers are learned, to the workspace."""
    stride, ordered = net.plan[STRIDE], 1 if data.ordered else 0
    call(
        net.pieces[EXPAND],
        (
            *(data.X, data.order, ordered, start, net.first, net.rows),
            *(parts_of(net), net.parameters, net.workspace, net.block, stride, net.plan[SIZE]),
        ),
    )


@inner
def gather_sparse(net, data, start):
    """Write s_1 of own rows, and what `sparse_gradient` needs of them."""
    pieces, here = net.pieces, offset(net.plan, COLUMNS)
    ordered = 1 if data.ordered else 0
    call(
        pieces[GATHER_SPARSE],
        (
            *(pieces[VALUES], pieces[ENTRY_COLUMNS], pieces[STARTS]),
            *(data.order, ordered, start, net.start, net.key, net.plan[DROPOUT]),
            *(net.workspace, net.block, net.threads, net.plan[SIZE] + 1 + here[EXTRAS]),
            *(net.first, net.rows),
            *(offset(net.parameters, here[WEIGHTS]), net.plan[SIZE], here[SIZE], here[STRIDE]),
            of_own(net, 1, S),
        ),
    )
