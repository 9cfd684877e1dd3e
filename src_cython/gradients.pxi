# Gradients of the weights: of a block of rows, and of all blocks of a batch.
#
# The twin of fastbp/backends/numba_/gradients.py.

# What a block is for the gradient of its batch: all of it; the first, another, or the last of
# several blocks, whose gradients are added up in `sums`. With OF_GROUPS, all blocks are in `sums`;
# with COMPLETE, the gradient is there.
cdef enum:
    WHOLE, FIRST, NEXT, LAST, OF_GROUPS, COMPLETE


cdef void weight_gradient(
    Net *net, Py_ssize_t i, const real *h, Py_ssize_t stride_in, Py_ssize_t rows,
    real *gradient, Py_ssize_t part, Share own
) noexcept nogil:
    """A share of ∇W_i = h_{i-1}ᵀ ∂e/∂s_i, whose row n_{i-1} is ∇b_i; rows of TERMS come behind.

    The sums run over all `rows` of the block, not only own ones. `h` is the network's input,
    with rows `stride_in` apart. `part` says how the block's gradient becomes that of the batch.
    Layer 0 is the input, whose rows are pieces of its tables.
    """
    cdef const int64_t *above = net.plan + max(i - 1, 0) * COLUMNS
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_in = above[SIZE], stride = stride_of_rows(net, i)
    cdef Py_ssize_t of_weights = max(min(own.last, n_in) - own.first, 0)
    cdef Py_ssize_t width = own.right - own.left, row
    cdef Py_ssize_t at = here[WEIGHTS] + own.first * stride + own.left
    cdef Py_ssize_t pieces, piece, size
    cdef const real *d = of_block(net, i, DS) + own.left
    cdef real *target = gradient + at
    cdef const real *zeros = zero_row(net)
    if part == COMPLETE:
        return
    pieces, size = 1, (own.last - own.first) * stride
    if own.split:  # each row is a piece
        pieces, size = own.last - own.first, width
    if single_output(net, i):
        size = padded(n_in) + FBP_LANES
    if part == OF_GROUPS:
        for piece in range(pieces):
            collect(net, target + piece * stride, at + piece * stride, size)
        return
    if i > 1:
        h, stride_in = of_block(net, i - 1, OUTPUT), above[STRIDE]
    if rarely(i == 0):
        scatter(net, rows, own.first * stride, own.last * stride, target)
    elif rarely(here[SPARSE] != 0):
        sparse_gradient(net, rows, target, own)
    elif single_output(net, i):
        single_gradient(h, stride_in, d, rows, target, n_in, unit(net), zeros)
    else:
        if of_weights > 0:
            layer_product(
                net, i, h + own.first, 1, stride_in, d, stride, zeros, 0, target, stride,
                of_weights, width, rows,
            )
        for row in range(max(own.first, n_in), own.last):
            if rarely(row > n_in):
                d = terms_of(net, i, row - n_in - 1) + own.left
            product(
                unit(net), 0, 0, d, stride, zeros, 0, target + (row - own.first) * stride, stride,
                1, width, rows,
            )
    if part != WHOLE:
        for piece in range(pieces):
            add_block(target + piece * stride, net.sums + at + piece * stride, size, part)


cdef void add_block(real *g, double *sums, Py_ssize_t n, Py_ssize_t part) noexcept nogil:
    """Add a block's gradient g[:n] to the sums; the last block makes g the sums."""
    cdef Py_ssize_t j
    check(g, n)
    if part == FIRST:
        for j in range(n):
            sums[j] = g[j]
    elif part == NEXT:
        for j in range(n):
            sums[j] += g[j]
    else:
        for j in range(n):
            g[j] = <real>(sums[j] + g[j])


cdef void collect(Net *net, real *g, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    """g[:n] = the sum of all groups' gradients from `at` on, in the order of the groups."""
    cdef double *total = net.sums + at
    cdef double *other
    cdef Py_ssize_t group, j
    check(g, n)
    for group in range(1, net.groups):
        other = total + group * net.line
        for j in range(n):
            total[j] += other[j]
    for j in range(n):
        g[j] = <real>total[j]


cdef void single_gradient(
    const real *h, Py_ssize_t stride_in, const real *d, Py_ssize_t rows, real *G,
    Py_ssize_t n_in, const real *one, const real *zeros
) noexcept nogil:
    """The gradient of a single output: a row of weights, then a vector with the bias."""
    cdef Py_ssize_t width = padded(n_in), last = width - FBP_LANES
    product(d, 0, 1, h, stride_in, zeros, 0, G, 0, 1, width, rows)
    # h need not be zero in the padding: sigmoid(0) is not.
    store(G, last, keep_first(load(G, last), n_in - last, 0.0))
    product(d, 0, 1, one, 0, zeros, 0, G + width, 0, 1, FBP_LANES, rows)


cdef inline Py_ssize_t stride_of_rows(Net *net, Py_ssize_t i) noexcept nogil:
    """The distance between layer i's rows of parameters."""
    return TABLE_PIECE if rarely(i == 0) else net.plan[i * COLUMNS + STRIDE]


cdef inline Py_ssize_t rows_of(const int64_t *plan, Py_ssize_t i) noexcept nogil:
    """The number of layer i's rows of parameters: of weights, biases and what comes behind them.

    For the input (i = 0), the number of pieces of its tables.
    """
    if rarely(i == 0):
        return (<const int64_t *>plan[INPUTS])[TABLED] // TABLE_PIECE
    return plan[(i - 1) * COLUMNS + SIZE] + 1 + plan[i * COLUMNS + EXTRAS]


cdef inline Share weight_share(Net *net, Py_ssize_t i, bint by_columns) noexcept nogil:
    """This thread's share of layer i's rows of parameters."""
    cdef Py_ssize_t rows = rows_of(net.plan, i)
    cdef Py_ssize_t columns = TABLE_PIECE if i == 0 else padded(net.plan[i * COLUMNS + SIZE])
    if single_output(net, i):  # is not divided
        return Share(0, rows if net.rank == 0 else 0, 0, 1, False)
    if not by_columns or rarely(net.plan[i * COLUMNS + SPARSE] != 0 or i == 0):
        return Share(
            share_start(rows, UNIT, net.rank, net.threads),
            share_start(rows, UNIT, net.rank + 1, net.threads),
            0, columns, False,
        )
    return share_of(rows, columns, net.rank, net.threads)


cdef void accumulate(
    Net *net, const real *h, Py_ssize_t stride_in, Py_ssize_t rows, real *gradient,
    Py_ssize_t part
) noexcept nogil:
    """This thread's share of all layers' gradients, from a block's rows."""
    cdef Py_ssize_t i
    cdef Share own
    for i in range(net.m, bottom(net) - 1, -1):
        own = weight_share(net, i, True)
        if own.first < own.last and own.left < own.right:
            weight_gradient(net, i, h, stride_in, rows, gradient, part, own)
