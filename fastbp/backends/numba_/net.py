"""The network and its working memory, as kernels pass them on, and where things lie in it.

A `Net` is the network and its working memory; a `Data` is the samples. The plan gives the
offsets of layer i's arrays in the workspace (see ``fastbp/basis/layout.py``). The twin of this
file is ``src_cython/net.pxi``.
"""

from collections import namedtuple

from ...basis.layout import COLUMNS, DROPOUT, DS, INPUTS, ROUNDED, SIZE, SPARSE, STRIDE
from ._jit import call, inlined, inner
from .pieces import BFLOAT16, DROP, INPUT_TABLE
from .shares import UNIT, share_start
from .simd import integers_at, keep_first, lanes, offset, pointer, splat, store
from .tile import product

# The network (m layers), its pieces and the lowest layer that learns; a custom loss and the control
# word that it is called with, which is that of the kernel's caller; the working memory; the array
# that the team's threads share (see team.py) and their number; this thread's rank; the key of the
# step's random numbers; the block's first row in the batch, and the number of all its rows; and the
# thread's own rows in the block, `rows` of them from `first` on. Before the key: `sums` has a line
# for each group of blocks, its gradient followed by its loss; the numbers in a line; the number of
# lines (0 if all batches are single blocks); the groups of this batch, at most as many; and, if
# there are groups, the numbers from a thread's workspace to the next one's.
Net = namedtuple(
    "Net",
    "plan m pieces lowest loss loss_parameter function outside parameters block workspace shared "
    "threads rank sums line lines groups apart key start all_rows first rows",
)
# The samples. Without labels, weights or an order, those pointers are not read.
Data = namedtuple("Data", "X labels targets weight order has_labels weighted ordered")

# The arrays of `per_row`: w e, w / Σ w, and for softmax max s and Σ exp(s - max).
LOSSES, SHARES, TOPS, TOTALS = range(4)


@inlined
def changed(net, workspace, threads, rank, sums, groups, key, start, all_rows):
    """The Net with other memory, another team, or another block, and its own rows of that."""
    first = share_start(all_rows, UNIT, rank, threads)
    last = share_start(all_rows, UNIT, rank + 1, threads)
    return Net(
        net.plan,
        net.m,
        net.pieces,
        net.lowest,
        net.loss,
        net.loss_parameter,
        net.function,
        net.outside,
        net.parameters,
        net.block,
        workspace,
        net.shared,
        threads,
        rank,
        sums,
        net.line,
        net.lines,
        groups,
        net.apart,
        key,
        start,
        all_rows,
        first,
        last - first,
    )


@inlined
def take_rows(net, key, start, rows):
    """The Net for a block of `rows` rows, which begins at row `start` of the batch."""
    return changed(
        net, net.workspace, net.threads, net.rank, net.sums, net.groups, key, start, rows
    )


@inlined
def data_of(X, labels, targets, sample_weight, order, order_size):
    """Data from the arrays of interface.py; `order` is a pointer to an epoch's order."""
    has_labels, weighted = labels.size > 0, sample_weight.size > 0
    weight = pointer(sample_weight)
    return Data(
        pointer(X),
        pointer(labels),
        pointer(targets),
        weight,
        order,
        has_labels,
        weighted,
        order_size > 0,
    )


@inlined
def padded(like, n):
    """n rounded up to whole vectors."""
    return (n + lanes(like) - 1) // lanes(like) * lanes(like)


@inlined
def of_block(net, i, column):
    """The block's rows of layer i's H, S or DS."""
    return offset(net.workspace, net.block * net.plan[i * COLUMNS + column])


@inlined
def of_own(net, i, column):
    """The block's rows of layer i's H, S or DS, from the first own row on."""
    return offset(of_block(net, i, column), net.first * net.plan[i * COLUMNS + STRIDE])


@inlined
def single_output(net, i):
    """Whether layer i is a single output, which is laid out as a row."""
    return net.plan[i * COLUMNS + STRIDE] == 1


@inlined
def is_sparse(net, i):
    """Whether the input of layer i are sparse samples."""
    return net.plan[i * COLUMNS + SPARSE] != 0


@inlined
def has_tables(net):
    """Whether some of the input is learned."""
    return net.plan[INPUTS] != 0


@inlined
def parts_of(net):
    """The table of the input's parts, see basis/inputs.py."""
    return integers_at(net.pieces[INPUT_TABLE])


@inlined
def bottom(net):
    """The number of the lowest layer with parameters: 0, the input, if some of it is learned."""
    return 0 if has_tables(net) else 1


@inlined
def target_rows(net):
    """The block's targets, laid out like the outputs."""
    last = offset(net.plan, net.m * COLUMNS)
    outputs = max(last[STRIDE], lanes(net.workspace))
    return offset(net.workspace, net.block * (last[DS] + outputs))


@inlined
def per_row(net, which):
    """One of four arrays with one number per row of the block."""
    outputs = max(net.plan[net.m * COLUMNS + STRIDE], lanes(net.workspace))
    rows = padded(net.workspace, net.block)
    return offset(target_rows(net), net.block * outputs + which * rows)


@inlined
def unit(net):
    """The constant input 1 of the biases, zero-padded to a vector."""
    return per_row(net, 4)


@inlined
def zero_row(net):
    """The row of zeros at the end of the workspace."""
    return offset(unit(net), lanes(net.workspace))


@inlined
def layer_product(net, i, A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K):
    """C = init + A B, where layer i says whether the operands are rounded to bfloat16."""
    if net.plan[i * COLUMNS + ROUNDED] != 0:
        call(net.pieces[BFLOAT16], (A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K))
    else:
        product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K)


@inlined
def row_of(data, i):
    """The number of the i-th sample in the order."""
    return data.order[i] if data.ordered else i


@inner
def drop_units(net, i, source, target):
    """Drop units of layer i in own rows; `source` and `target` are laid out like h_i."""
    here = offset(net.plan, i * COLUMNS)
    n, start, threshold = padded(target, here[SIZE]), net.start + net.first, here[DROPOUT]
    call(
        net.pieces[DROP],
        (source, target, net.key, i, start, net.rows, n, here[STRIDE], threshold),
    )


@inner
def clear(net, i, column, r):
    """Zero the r-th own row of an array of layer i that is laid out like H."""
    here = offset(net.plan, i * COLUMNS)
    row = offset(of_own(net, i, column), r * here[STRIDE])
    for j in range(0, padded(row, here[SIZE]), lanes(row)):
        store(row, j, splat(row, 0.0))


@inlined
def put(p, i, n, x):
    """p[i] = x, one of n numbers that will be read as vectors.

    A single number is written as a whole vector. Otherwise, reading the vector right after
    writing a part of it would stall the processor.
    """
    if n == 1:
        store(p, 0, splat(p, x))
    else:
        p[i] = x


@inner
def set_constants(net):
    """Write the input of the biases and the row of zeros."""
    one, zeros, widest = unit(net), zero_row(net), 0
    for i in range(1 if is_sparse(net, 1) else 0, net.m + 1):
        widest = max(widest, padded(zeros, net.plan[i * COLUMNS + SIZE]))
    store(one, 0, keep_first(splat(one, 1.0), 1, 0.0))
    for j in range(0, widest, lanes(zeros)):
        store(zeros, j, splat(zeros, 0.0))
