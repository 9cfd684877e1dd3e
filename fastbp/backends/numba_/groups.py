"""Large batches: sums over blocks of rows, and groups of blocks for the threads.

Blocks and groups depend only on the network and the batch, so the number of threads changes no
bit. Sums over several blocks are in double precision.

The twin of this file is ``src_cython/groups.pxi``.
"""

from ...basis import spec
from ...basis.layout import COLUMNS, LOSS_PLACES, STRIDE, S
from ._jit import call, inlined, inner
from .gather import gather
from .gradients import FIRST, LAST, NEXT, WHOLE, accumulate
from .heads import SUMS, TOTALS
from .net import LOSSES, changed, of_block, per_row, row_of, set_constants, take_rows
from .passes import backward_pass, forward_pass, output_deltas
from .pieces import HEADS
from .simd import offset


@inlined
def weight_total(data, start, rows):
    """The sum of a batch's sample weights."""
    if not data.weighted:
        return 1.0 * rows
    total = 0.0
    for r in range(rows):
        total += data.weight[row_of(data, start + r)]
    return total


# Running sums of the batch's losses by row number modulo 4. A single chain of additions would be
# slow; going by row number makes the result independent of the blocks.
NO_LOSSES = (0.0, 0.0, 0.0, 0.0)


@inlined
def add_losses(sums, losses, rows):
    """Add a block's losses; all blocks but the last have a multiple of 4 rows."""
    a, b, c, d = sums
    whole = rows // 4 * 4
    for r in range(0, whole, 4):
        a += losses[r]
        b += losses[r + 1]
        c += losses[r + 2]
        d += losses[r + 3]
    if rows - whole > 0:
        a += losses[whole]
    if rows - whole > 1:
        b += losses[whole + 1]
    if rows - whole > 2:
        c += losses[whole + 2]
    return a, b, c, d


@inlined
def total_of(sums):
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


@inlined
def add_losses_of_heads(net, group):
    """Add each head's losses in the block to its sum of a group of blocks, if that is wanted."""
    if net.loss == spec.HEADS:
        s, stride = of_block(net, net.m, S), net.plan[net.m * COLUMNS + STRIDE]
        call(net.pieces[HEADS + SUMS], (net.function, net.all_rows, stride, s, group))


@inlined
def add_totals_of_heads(net, totals):
    """Add each head's losses in a batch to its total."""
    call(net.pieces[HEADS + TOTALS], (net.function, max(net.lines, 1), totals))


@inlined
def detached(net, sums):
    """The Net of a thread that takes groups: with a workspace of its own, and no team."""
    workspace = offset(net.workspace, net.rank * net.apart)
    return changed(net, workspace, 1, 0, sums, 0, net.key, net.start, net.all_rows)


@inlined
def regrouped(net, rows):
    """The Net with the number of groups for a batch of `rows` rows."""
    groups = min(net.lines, (rows + net.block - 1) // net.block)
    return changed(
        net, net.workspace, net.threads, net.rank, net.sums, groups, net.key, net.start, rows
    )


@inlined
def own_gradient(net):
    """The gradient of a block, at the end of the workspace of a thread that takes groups."""
    return offset(net.workspace, net.apart - (net.line - LOSS_PLACES))


@inner
def prepare(net):
    """Write what does not change in the workspace, and zeros into the padding of gradients."""
    if net.lines > 1:
        own = detached(net, net.sums)
        set_constants(own)
        gradient = own_gradient(own)
        for j in range(net.line - LOSS_PLACES):
            gradient[j] = 0.0
    elif net.rank == 0:
        set_constants(net)


@inner
def by_groups(net, key, data, start, end, total, transposed, gradients, stop, stoppable):
    """Write the losses of this thread's groups, and their gradients if wanted, to `sums`.

    The batch's rows in the order are start..end - 1.
    """
    blocks, groups = (end - start + net.block - 1) // net.block, net.groups
    gradient = own_gradient(detached(net, net.sums))
    for group in range(groups * net.rank // net.threads, groups * (net.rank + 1) // net.threads):
        line, sums = offset(net.sums, group * net.line), NO_LOSSES
        own = detached(net, line)
        first, last = blocks * group // groups, blocks * (group + 1) // groups
        for block in range(first, last):
            if stoppable and stop[0] != 0:
                return
            begin = start + block * net.block
            own = take_rows(own, key, begin - start, min(net.block, end - begin))
            h, stride = gather(own, data, begin)
            forward_pass(own, h, stride)
            output_deltas(own, data, begin, total)
            sums = add_losses(sums, per_row(own, LOSSES), own.rows)
            add_losses_of_heads(own, group)
            if gradients:
                backward_pass(own, transposed)
                part = FIRST if block == first else NEXT
                accumulate(own, h, stride, own.rows, gradient, part)
        line[net.line - 1] = total_of(sums)


@inner
def loss_of_groups(net):
    """The sum of the losses of all groups."""
    total = 0.0
    for group in range(net.groups):
        total += net.sums[group * net.line + net.line - 1]
    return total


@inlined
def part_of(start, end, first, last):
    """What the block start..end - 1 is for the gradient of the batch first..last - 1."""
    if start == first:
        return WHOLE if end == last else FIRST
    return LAST if end == last else NEXT
