# Large batches: sums over blocks of rows, and groups of blocks for the threads.
#
# Blocks and groups depend only on the network and the batch, so the number of threads changes no
# bit. Sums over several blocks are in double precision.
#
# The twin of fastbp/backends/numba_/groups.py.

cdef extern from *:
    """
    /* Another thread may write to *p at any time. */
    #define fbp_read_once(p) (*(const volatile int64_t *)(p))
    """
    int64_t read_once "fbp_read_once"(const int64_t *p) nogil


cdef double weight_total(Data *data, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """The sum of a batch's sample weights."""
    cdef double total = 0.0
    cdef Py_ssize_t r
    if data.weight == NULL:
        return rows
    for r in range(rows):
        total += data.weight[row_of(data, start + r)]
    return total


cdef struct Losses:
    # Running sums of the batch's losses by row number modulo 4. A single chain of additions would
    # be slow; going by row number makes the result independent of the blocks.
    double part[4]


cdef void add_losses(Losses *sums, const real *losses, Py_ssize_t rows) noexcept nogil:
    """Add a block's losses; all blocks but the last have a multiple of 4 rows."""
    cdef Py_ssize_t r, whole = rows // 4 * 4
    for r from 0 <= r < whole by 4:
        sums.part[0] += losses[r]
        sums.part[1] += losses[r + 1]
        sums.part[2] += losses[r + 2]
        sums.part[3] += losses[r + 3]
    for r in range(whole, rows):
        sums.part[r - whole] += losses[r]


cdef double total_of(Losses *sums) noexcept nogil:
    return (sums.part[0] + sums.part[1]) + (sums.part[2] + sums.part[3])


cdef inline void add_losses_of_heads(Net *net, Py_ssize_t group) noexcept nogil:
    """Add each head's losses in the block to its sum of a group of blocks, if that is wanted."""
    if rarely(net.loss == HEADS):
        sums_of_heads(net, group)


cdef Net detached(Net *net) noexcept nogil:
    """The Net of a thread that takes groups: with a workspace of its own, and no team."""
    cdef Net own = net[0]
    own.workspace += net.rank * net.apart
    own.rank, own.threads = 0, 1
    return own


cdef inline real *own_gradient(Net *net) noexcept nogil:
    """The gradient of a block, at the end of the workspace of a thread that takes groups."""
    return net.workspace + net.apart - (net.line - LOSS_PLACES)


cdef void prepare(Net *net) noexcept nogil:
    """Write what does not change in the workspace, and zeros into the padding of gradients."""
    cdef Net own = detached(net)
    cdef Py_ssize_t j
    if net.lines > 1:
        set_constants(&own)
        for j in range(net.line - LOSS_PLACES):
            own_gradient(&own)[j] = 0.0
    elif net.rank == 0:
        set_constants(net)


cdef void by_groups(
    Net *net, Data *data, Py_ssize_t start, Py_ssize_t end, double total, const real *transposed,
    bint gradients, const int64_t *stop
) noexcept nogil:
    """Write the losses of this thread's groups, and their gradients if wanted, to `sums`.

    The batch's rows in the order are start..end - 1. `stop` may be NULL.
    """
    cdef Net own = detached(net)
    cdef Py_ssize_t blocks = (end - start + net.block - 1) // net.block
    cdef Py_ssize_t group, block, first, last, at, stride
    cdef Losses sums
    cdef const real *h
    net.groups = min(net.lines, blocks)
    for group in range(
        net.groups * net.rank // net.threads, net.groups * (net.rank + 1) // net.threads
    ):
        own.sums = net.sums + group * net.line
        sums = Losses([0.0, 0.0, 0.0, 0.0])
        first, last = blocks * group // net.groups, blocks * (group + 1) // net.groups
        for block in range(first, last):
            if stop != NULL and read_once(stop) != 0:
                return
            at = start + block * net.block
            take_rows(&own, at - start, min(net.block, end - at))
            h = gather(&own, data, at, &stride)
            forward_pass(&own, h, stride)
            output_deltas(&own, data, at, total)
            add_losses(&sums, per_row(&own, LOSSES), own.rows)
            add_losses_of_heads(&own, group)
            if gradients:
                backward_pass(&own, transposed)
                accumulate(
                    &own, h, stride, own.rows, own_gradient(&own),
                    FIRST if block == first else NEXT,
                )
        own.sums[net.line - 1] = total_of(&sums)


cdef double loss_of_groups(Net *net) noexcept nogil:
    """The sum of the losses of all groups."""
    cdef double total = 0.0
    cdef Py_ssize_t group
    for group in range(net.groups):
        total += net.sums[group * net.line + net.line - 1]
    return total


cdef inline Py_ssize_t part_of(
    Py_ssize_t start, Py_ssize_t end, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """What the block start..end - 1 is for the gradient of the batch first..last - 1."""
    if start == first:
        return WHOLE if end == last else FIRST
    return LAST if end == last else NEXT
