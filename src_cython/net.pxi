# The network and its working memory, as kernels pass them on, and where things lie in it.
#
# A Net is the network and its working memory; a Data is the samples. The plan gives the offsets
# of layer i's arrays in the workspace (see fastbp/basis/layout.py). The twin of
# fastbp/backends/numba_/net.py.

from libc.stdint cimport int32_t, int64_t

# The network, its working memory, the team of threads, the batch's partial sums, and this thread's
# own rows in the block: `rows` of them from `first` on.
cdef struct Net:
    const int64_t *plan
    Py_ssize_t m  # number of layers
    Py_ssize_t lowest  # the lowest layer that learns
    Py_ssize_t loss
    double loss_parameter
    LossFunction function
    uint64_t outside  # the floating-point control word of the kernel's caller
    real *parameters
    Py_ssize_t block
    real *workspace
    int64_t *shared  # by the team of threads, see team.h
    Py_ssize_t threads
    Py_ssize_t rank
    double *sums  # a line for each group of blocks: its gradient, its loss at the end
    Py_ssize_t line  # numbers in a line of `sums`
    Py_ssize_t lines  # lines of `sums`; 0 if all batches are single blocks
    Py_ssize_t groups  # of this batch, at most `lines`
    Py_ssize_t apart  # numbers from a thread's workspace to the next one's, if there are groups
    uint32_t key  # of the step's random numbers
    Py_ssize_t start  # the block's first row in the batch
    Py_ssize_t all_rows  # of the block
    Py_ssize_t first
    Py_ssize_t rows
    const real *values  # of sparse samples, with their columns
    const int32_t *columns

# The samples. Missing labels, weights and orders are NULL. The numbers X of sparse samples have
# columns, and row r begins at starts[r]; else those are NULL.
cdef struct Data:
    const real *X
    const int64_t *labels
    const real *targets
    const real *weight
    const int64_t *order
    const int32_t *columns
    const int64_t *starts

# The arrays of `per_row`: w e, w / Σ w, and for softmax max s and Σ exp(s - max).
cdef enum:
    LOSSES, SHARES, TOPS, TOTALS


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    """n rounded up to whole vectors."""
    return (n + FBP_LANES - 1) // FBP_LANES * FBP_LANES


cdef void take_rows(Net *net, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """Set this thread's own rows to its share of a block's `rows`."""
    net.start, net.all_rows = start, rows
    net.first = share_start(rows, UNIT, net.rank, net.threads)
    net.rows = share_start(rows, UNIT, net.rank + 1, net.threads) - net.first


cdef inline real *of_block(Net *net, Py_ssize_t i, Py_ssize_t column) noexcept nogil:
    """The block's rows of one of layer i's arrays."""
    return net.workspace + net.block * net.plan[i * COLUMNS + column]


cdef inline real *of_own(Net *net, Py_ssize_t i, Py_ssize_t column) noexcept nogil:
    """The same from the first own row on, of an array laid out like h_i."""
    return of_block(net, i, column) + net.first * net.plan[i * COLUMNS + STRIDE]


cdef inline bint single_output(Net *net, Py_ssize_t i) noexcept nogil:
    """Whether layer i is a single output, which is laid out as a row."""
    return net.plan[i * COLUMNS + STRIDE] == 1


cdef inline bint has_tables(Net *net) noexcept nogil:
    """Whether the input has learned vectors."""
    return rarely(net.plan[INPUTS] != 0)


cdef inline const int64_t *parts_of(Net *net) noexcept nogil:
    """The header of the table of the input's parts, which follow it."""
    return <const int64_t *>net.plan[INPUTS]


cdef inline Py_ssize_t bottom(Net *net) noexcept nogil:
    """The number of the lowest layer with parameters: 0, the input, if some of it is learned."""
    return 0 if has_tables(net) else 1


cdef inline real *target_rows(Net *net) noexcept nogil:
    """The block's targets, laid out like the outputs."""
    cdef const int64_t *last = net.plan + net.m * COLUMNS
    return net.workspace + net.block * (last[DS] + max(last[STRIDE], FBP_LANES))


cdef inline real *per_row(Net *net, Py_ssize_t which) noexcept nogil:
    """One of four arrays with one number per row of the block."""
    cdef Py_ssize_t outputs = max(net.plan[net.m * COLUMNS + STRIDE], FBP_LANES)
    return target_rows(net) + net.block * outputs + which * padded(net.block)


cdef inline real *unit(Net *net) noexcept nogil:
    """The constant input 1 of the biases, zero-padded to a vector."""
    return per_row(net, 4)


cdef inline real *zero_row(Net *net) noexcept nogil:
    """The row of zeros at the end of the workspace."""
    return unit(net) + FBP_LANES


cdef inline void layer_product(
    Net *net, Py_ssize_t i, const real *A, Py_ssize_t row_step, Py_ssize_t k_step, const real *B,
    Py_ssize_t ldb, const real *init, Py_ssize_t ldi, real *C, Py_ssize_t ldc, Py_ssize_t M,
    Py_ssize_t J, Py_ssize_t K
) noexcept nogil:
    """C = init + A B, where layer i says whether the operands are rounded to bfloat16."""
    if rarely(net.plan[i * COLUMNS + ROUNDED] != 0):
        bfloat16_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K)
    else:
        product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K)


cdef inline Py_ssize_t row_of(Data *data, Py_ssize_t i) noexcept nogil:
    """The number of the i-th sample in the order."""
    return data.order[i] if data.order != NULL else i


cdef void drop_units(Net *net, Py_ssize_t i, const real *source, real *target) noexcept nogil:
    """Drop units of layer i in own rows; `source` and `target` are laid out like h_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    drop(
        source, target, net.key, i, net.start + net.first, net.rows, padded(here[SIZE]),
        here[STRIDE], here[DROPOUT],
    )


cdef void clear(Net *net, Py_ssize_t i, Py_ssize_t column, Py_ssize_t r) noexcept nogil:
    """Zero the r-th own row of one of layer i's arrays, which is laid out like h_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef real *row = of_own(net, i, column) + r * here[STRIDE]
    cdef Py_ssize_t j, n = padded(here[SIZE])
    check(row, n)
    for j from 0 <= j < n by FBP_LANES:
        store(row, j, splat(0.0))


cdef void copy_rows(
    const real *source, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t n, real *target,
    Py_ssize_t width
) noexcept nogil:
    """Copy rows of n numbers, `stride` apart, to where they are `width` apart."""
    cdef Py_ssize_t r, j
    check(source, (rows - 1) * stride + n)
    check(target, (rows - 1) * width + n)
    for r in range(rows):
        for j in range(n):
            target[r * width + j] = source[r * stride + j]


cdef inline void put(real *p, Py_ssize_t i, Py_ssize_t n, real x) noexcept nogil:
    """p[i] = x, one of n numbers that will be read as vectors.

    A single number is written as a whole vector. Otherwise, reading the vector right after
    writing a part of it would stall the processor.
    """
    if n == 1:
        store(p, 0, splat(x))
    else:
        p[i] = x


cdef void set_constants(Net *net) noexcept nogil:
    """Write the input of the biases and the row of zeros."""
    cdef real *zeros = zero_row(net)
    cdef Py_ssize_t i, j, widest = 0
    for i in range(net.plan[COLUMNS + SPARSE] != 0, net.m + 1):
        widest = max(widest, padded(net.plan[i * COLUMNS + SIZE]))
    check(unit(net), FBP_LANES)
    check(zeros, widest)
    store(unit(net), 0, keep_first(splat(1.0), 1, 0.0))
    for j from 0 <= j < widest by FBP_LANES:
        store(zeros, j, splat(0.0))
