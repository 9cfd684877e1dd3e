# The passes of backpropagation over a block of rows, layer by layer.
#
# A Net is the network and its working memory; a Data is the samples. The plan gives the offsets
# of layer i's arrays in the workspace (see fastbp/basis/layout.py). The twin of
# fastbp/backends/numba_/passes.py.

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


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    """n rounded up to whole vectors."""
    return (n + FBP_LANES - 1) // FBP_LANES * FBP_LANES


cdef void take_rows(Net *net, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """Set this thread's own rows to its share of a block's `rows`."""
    net.start, net.all_rows = start, rows
    net.first = share_start(rows, UNIT, net.rank, net.threads)
    net.rows = share_start(rows, UNIT, net.rank + 1, net.threads) - net.first


cdef inline real *of_block(Net *net, Py_ssize_t i, Py_ssize_t column) noexcept nogil:
    """The block's rows of layer i's H, S or DS."""
    return net.workspace + net.block * net.plan[i * COLUMNS + column]


cdef inline real *of_own(Net *net, Py_ssize_t i, Py_ssize_t column) noexcept nogil:
    """The block's rows of layer i's H, S or DS, from the first own row on."""
    return of_block(net, i, column) + net.first * net.plan[i * COLUMNS + STRIDE]


cdef inline bint single_output(Net *net, Py_ssize_t i) noexcept nogil:
    """Whether layer i is a single output, which is laid out as a row."""
    return net.plan[i * COLUMNS + STRIDE] == 1


cdef inline real *target_rows(Net *net) noexcept nogil:
    """The block's targets, laid out like the outputs."""
    cdef const int64_t *last = net.plan + net.m * COLUMNS
    return net.workspace + net.block * (last[DS] + max(last[STRIDE], FBP_LANES))


# The arrays of `per_row`: w e, w / Σ w, and for softmax max s and Σ exp(s - max).
cdef enum:
    LOSSES, SHARES, TOPS, TOTALS


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


cdef void drop_units(Net *net, Py_ssize_t i, const real *source, real *target) noexcept nogil:
    """Drop units of layer i in own rows; `source` and `target` are laid out like h_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    drop(
        source, target, net.key, i, net.start + net.first, net.rows, padded(here[SIZE]),
        here[STRIDE], here[DROPOUT],
    )


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


cdef void transpose_rows(
    Net *net, Py_ssize_t i, real *transposed, Py_ssize_t first, Py_ssize_t last,
    Py_ssize_t left, Py_ssize_t right
) noexcept nogil:
    """Copy columns left..right - 1 of the weight rows first..last - 1 of layer i.

    They become rows left..right - 1 of the transposed copy, without those for padding. `first` and
    `left` are multiples of the vector length.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t end = min(here[SIZE], right), stride = here[STRIDE]
    cdef Py_ssize_t stride_in = net.plan[(i - 1) * COLUMNS + STRIDE]
    cdef const real *W = net.parameters + here[WEIGHTS]
    cdef real *WT = transposed + here[TRANSPOSED]
    cdef Py_ssize_t j, k
    if last > first:
        check(W + first * stride, (last - first) * stride)
        check(WT, (end - 1) * stride_in + padded(last))
    for k from first <= k < last by FBP_LANES:
        for j from left <= j < end by FBP_LANES:
            transpose_block(
                W + k * stride + j, stride, min(last - k, FBP_LANES),
                WT + j * stride_in + k, stride_in, min(end - j, FBP_LANES),
            )


cdef void transpose(Net *net, real *transposed) noexcept nogil:
    """Copy this thread's share of the weight rows that deltas are passed back through."""
    cdef Py_ssize_t i, n_in
    for i in range(2, net.m + 1):
        if not single_output(net, i):
            n_in = net.plan[(i - 1) * COLUMNS + SIZE]
            transpose_rows(
                net, i, transposed, share_start(n_in, UNIT, net.rank, net.threads),
                share_start(n_in, UNIT, net.rank + 1, net.threads), 0, net.plan[i * COLUMNS + SIZE],
            )


cdef inline Py_ssize_t row_of(Data *data, Py_ssize_t i) noexcept nogil:
    """The number of the i-th sample in the order."""
    return data.order[i] if data.order != NULL else i


cdef inline void put(real *p, Py_ssize_t i, Py_ssize_t n, real x) noexcept nogil:
    """p[i] = x, one of n numbers that will be read as vectors.

    A single number is written as a whole vector. Otherwise, reading the vector right after
    writing a part of it would stall the processor.
    """
    if n == 1:
        store(p, 0, splat(x))
    else:
        p[i] = x


cdef inline real dot(const real *a, const real *b, Py_ssize_t n) noexcept nogil:
    """Σ a b over rows padded to whole vectors."""
    cdef Py_ssize_t j
    cdef vec total = splat(0.0)
    for j from 0 <= j < n by FBP_LANES:
        total = fma(load(a, j), load(b, j), total)
    return sum_lanes(total)


cdef inline void product_of_block(
    Net *net, Py_ssize_t i, const real *A, Py_ssize_t lda, const real *B, Py_ssize_t ldb,
    const real *init, real *C, Py_ssize_t ldc, Py_ssize_t J, Py_ssize_t K
) noexcept nogil:
    """C = init + A B for this thread's share of the block's rows; each row begins with `init`.

    If threads divide the columns, they wait for the rows of A, and for the others' parts of C.
    """
    cdef Share own = share_of(net.all_rows, J, net.rank, net.threads)
    if own.split:
        barrier(net.shared, net.threads)
    layer_product(
        net, i, A + own.first * lda, lda, 1, B + own.left, ldb, init + own.left, 0,
        C + own.first * ldc + own.left, ldc, own.last - own.first, own.right - own.left, K,
    )
    if own.split:
        barrier(net.shared, net.threads)


cdef void forward_pass(Net *net, const real *h, Py_ssize_t stride_in) noexcept nogil:
    """s_i = h_{i-1} W_i + b_i and h_i = σ_i(s_i) for i = 1..m, except for σ_m.

    `h` is the block's input, with rows `stride_in` apart. Sparse samples' s_1 is there already.
    """
    cdef Py_ssize_t i, r, stride, n_in = net.plan[SIZE]
    cdef const int64_t *here
    cdef const real *W
    cdef real *s
    for i in range(1, net.m + 1):
        here = net.plan + i * COLUMNS
        stride = here[STRIDE]
        W = net.parameters + here[WEIGHTS]
        s = of_own(net, i, S)
        if single_output(net, i):
            if rarely(here[SPARSE] != 0):
                return
            h += net.first * stride_in
            check(h, (net.rows - 1) * stride_in + padded(n_in))
            check(s, net.rows)
            for r in range(net.rows):
                put(s, r, net.rows, dot(h + r * stride_in, W, n_in) + W[padded(n_in)])
            return
        if not rarely(here[SPARSE] != 0):
            product_of_block(
                net, i, h, stride_in, W, stride, W + n_in * stride, of_block(net, i, S), stride,
                padded(here[SIZE]), n_in,
            )
        activate(code_of(here), s, of_own(net, i, H), net.rows * stride)
        if here[DROPOUT] != 0:
            drop_units(net, i, of_own(net, i, H), of_own(net, i, OUTPUT))
        h = of_block(net, i, OUTPUT)
        n_in, stride_in = here[SIZE], stride


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


cdef real *outputs(Net *net) noexcept nogil:
    """h_m of own rows, laid out like s_m. It takes the place of ds_m, so s_m stays."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    return output_activation(
        net.loss, here[PAIRED], of_own(net, net.m, S), of_own(net, net.m, DS), per_row(net, TOPS),
        per_row(net, TOTALS), net.rows, here[SIZE], here[STRIDE],
    )


cdef void put_deltas(Net *net, const real *deltas) noexcept nogil:
    """Write given ∂e/∂s_m of own rows, without padding, to ds_m."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], r
    if stride > 1:
        for r in range(net.rows):
            clear(net, net.m, DS, r)
    copy_rows(deltas + net.first * n, n, net.rows, n, of_own(net, net.m, DS), stride)


cdef void output_deltas(
    Net *net, Data *data, Py_ssize_t start, double total
) noexcept nogil:
    """For own rows, write w e to the block's losses and ∂e/∂s_m w / `total` to ds_m.

    `start` is the block's position in the order.
    """
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], rows = net.rows, r, j, row
    cdef Py_ssize_t targets = here[TARGETS]
    cdef real *s = of_own(net, net.m, S)
    cdef real *of_loss = of_own(net, net.m, H)  # s, unless the loss is computed from the output
    cdef real *d = of_own(net, net.m, DS)
    cdef real *y = target_rows(net) + net.first * stride
    cdef real *losses = per_row(net, LOSSES) + net.first
    cdef real *shares = per_row(net, SHARES) + net.first
    cdef real *tops = per_row(net, TOPS) + net.first
    cdef real *totals = per_row(net, TOTALS) + net.first
    cdef double share = 1.0 / total if total != 0.0 else 0.0
    cdef real of_targets, e, t, weight
    start += net.first
    check(d, rows * stride)
    check(s, rows * stride)
    check(y, rows * stride)
    check(losses, rows)
    for r from 0 <= r < rows by FBP_LANES:
        store(shares, r, splat(<real>share))
    if data.weight != NULL:
        for r in range(rows):
            shares[r] = <real>(data.weight[row_of(data, start + r)] * share)

    if net.loss == CROSS_ENTROPY:
        exp_rows(s, d, tops, totals, rows, n, stride)
        for r in range(rows):
            row = row_of(data, start + r)
            if data.labels != NULL:
                y[r] = 1.0
                losses[r] = tops[r] - s[r * stride + data.labels[row]]
                continue
            e, of_targets = 0.0, 0.0
            for j in range(n):
                t = data.targets[row * n + j]
                of_targets += t
                e += t * (tops[r] - s[r * stride + j])
            losses[r], y[r] = e, of_targets
        cross_entropy(net.loss_parameter, losses, y, totals, shares, rows)
        scale_rows(d, totals, rows, n, stride)
        for r in range(rows):
            row = row_of(data, start + r)
            if data.labels != NULL:
                d[r * stride + data.labels[row]] -= shares[r]
                continue
            for j in range(n):
                d[r * stride + j] -= shares[r] * data.targets[row * n + j]
    else:
        for r in range(rows):
            row = row_of(data, start + r)
            if stride == 1:
                put(y, r, rows, data.targets[row])
                continue
            for j in range(targets):
                y[r * stride + j] = data.targets[row * targets + j]
            for j in range(targets, n):
                y[r * stride + j] = 0.0
        if rarely(here[PAIRED] != IDENTITY):
            activate(here[PAIRED], s, d, rows * stride)
            for j from 0 <= j < rows * stride by FBP_LANES:
                store(of_loss, j, load(d, j))
        pointwise(
            net.loss, net.function, net.outside, net.loss_parameter, rows, n, stride, of_loss, y,
            losses,
        )
        if rarely(here[PAIRED] != IDENTITY):
            multiply_by_derivative(here[PAIRED], s, d, of_loss, rows * stride)
        if stride == 1:
            for r from 0 <= r < rows by FBP_LANES:
                store(d, r, load(of_loss, r) * load(shares, r))
                store(losses, r, load(y, r))
        else:
            sum_outputs(of_loss, y, d, losses, shares, rows, n, stride)

    if data.weight != NULL:
        for r in range(rows):
            weight = data.weight[row_of(data, start + r)]
            losses[r] *= weight
            if weight == 0.0:
                leave_out(net, r)


cdef void leave_out(Net *net, Py_ssize_t r) noexcept nogil:
    """Exclude the r-th own row from loss and gradient, even if its numbers overflowed.

    0 * inf is NaN, so every value that is multiplied later is set to 0.
    """
    cdef Py_ssize_t i
    per_row(net, LOSSES)[net.first + r] = 0.0
    if single_output(net, net.m):
        of_own(net, net.m, DS)[r] = 0.0
    else:
        clear(net, net.m, DS, r)
    for i in range(net.plan[COLUMNS + SPARSE] != 0, net.m):
        clear(net, i, S, r)
        clear(net, i, H, r)
        clear(net, i, OUTPUT, r)


cdef void clear(Net *net, Py_ssize_t i, Py_ssize_t column, Py_ssize_t r) noexcept nogil:
    """Zero the r-th own row of layer i's H, S, DS or OUTPUT."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef real *row = of_own(net, i, column) + r * here[STRIDE]
    cdef Py_ssize_t j, n = padded(here[SIZE])
    check(row, n)
    for j from 0 <= j < n by FBP_LANES:
        store(row, j, splat(0.0))


cdef void sum_outputs(
    const real *delta, const real *e, real *d, real *losses, const real *shares,
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    """d = share * delta, and the sums of e over each row, without padding."""
    cdef Py_ssize_t r, j
    cdef vec sum, share
    for r in range(rows):
        sum, share = splat(0.0), splat(shares[r])
        for j from 0 <= j < n by FBP_LANES:
            store(d, r * stride + j, keep_first(load(delta, r * stride + j) * share, n - j, 0.0))
            sum = sum + keep_first(load(e, r * stride + j), n - j, 0.0)
        losses[r] = sum_lanes(sum)


cdef void pass_back(
    Net *net, Py_ssize_t i, const real *transposed, real *target
) noexcept nogil:
    """Write ∂e/∂h_{i-1} = ∂e/∂s_i W_iᵀ of own rows to `target`, the block's rows of a layer."""
    cdef const int64_t *above = net.plan + (i - 1) * COLUMNS
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_in = above[SIZE], stride = here[STRIDE], stride_in = above[STRIDE]
    cdef const real *WT = transposed + here[TRANSPOSED]
    if single_output(net, i):
        WT = net.parameters + here[WEIGHTS]
    product_of_block(
        net, i, of_block(net, i, DS), stride, WT, stride_in, zero_row(net), target, stride_in,
        padded(n_in), here[SIZE],
    )


cdef void backward_pass(Net *net, const real *transposed) noexcept nogil:
    """∂e/∂s_{i-1} = (∂e/∂s_i W_iᵀ) σ'(s_{i-1}) of own rows, down to the lowest learning layer."""
    cdef Py_ssize_t i
    cdef const int64_t *above
    for i in range(net.m, net.lowest, -1):
        above = net.plan + (i - 1) * COLUMNS
        pass_back(net, i, transposed, of_block(net, i - 1, DS))
        if above[DROPOUT] != 0:
            drop_units(net, i - 1, of_own(net, i - 1, DS), of_own(net, i - 1, DS))
        multiply_by_derivative(
            code_of(above), of_own(net, i - 1, S), of_own(net, i - 1, H),
            of_own(net, i - 1, DS), net.rows * above[STRIDE],
        )
