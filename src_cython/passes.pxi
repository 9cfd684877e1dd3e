# The passes of backpropagation over a block of rows, layer by layer. The twin of
# fastbp/backends/numba_/passes.py.

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
    for i in range(bottom(net) + 1, net.m + 1):
        if not single_output(net, i):
            n_in = net.plan[(i - 1) * COLUMNS + SIZE]
            transpose_rows(
                net, i, transposed, share_start(n_in, UNIT, net.rank, net.threads),
                share_start(n_in, UNIT, net.rank + 1, net.threads), 0, net.plan[i * COLUMNS + SIZE],
            )




cdef inline real dot(const real *a, const real *b, Py_ssize_t n) noexcept nogil:
    """Σ a b over rows padded to whole vectors."""
    cdef Py_ssize_t j
    cdef vec total = splat(0.0)
    for j from 0 <= j < n by FBP_LANES:
        total = fma(load(a, j), load(b, j), total)
    return sum_lanes(total)


cdef inline void product_of_block(
    Net *net, Py_ssize_t i, const real *A, Py_ssize_t lda, const real *B, Py_ssize_t ldb,
    const real *init, Py_ssize_t ldi, real *C, Py_ssize_t ldc, Py_ssize_t J, Py_ssize_t K
) noexcept nogil:
    """C = init + A B for this thread's share of the block's rows; rows of init are `ldi` apart.

    If threads divide the columns, they wait for the rows of A, and for the others' parts of C.
    """
    cdef Share own = share_of(net.all_rows, J, net.rank, net.threads)
    if own.split:
        barrier(net.shared, net.threads)
    layer_product(
        net, i, A + own.first * lda, lda, 1, B + own.left, ldb,
        init + own.first * ldi + own.left, ldi, C + own.first * ldc + own.left, ldc, own.last - own.first, own.right - own.left, K,
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
                net, i, h, stride_in, W, stride, W + n_in * stride, 0, of_block(net, i, S), stride,
                padded(here[SIZE]), n_in,
            )
        if i < net.m:
            through_hidden(net, i)
        h = of_block(net, i, OUTPUT)
        n_in, stride_in = here[SIZE], stride


cdef real *outputs(Net *net) noexcept nogil:
    """h_m of own rows, laid out like s_m. It takes the place of ds_m, so s_m stays."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    if rarely(net.loss == HEADS):
        return outputs_of_heads(net)
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


cdef inline void take_shares(
    Net *net, Data *data, Py_ssize_t start, double share
) noexcept nogil:
    """Write each own row's weight times `share` to SHARES; the rows begin at `start`."""
    cdef real *shares = per_row(net, SHARES) + net.first
    cdef Py_ssize_t r
    check(shares, net.rows)
    for r from 0 <= r < net.rows by FBP_LANES:
        store(shares, r, splat(<real>share))
    if data.weight != NULL:
        for r in range(net.rows):
            shares[r] = <real>(data.weight[row_of(data, start + r)] * share)


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
    take_shares(net, data, start, share)

    if rarely(net.loss == HEADS):
        deltas_of_heads(net, data, start, share)
    elif net.loss == CROSS_ENTROPY:
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
        if rarely(net.plan[i * COLUMNS + NORM] != NO_NORM):
            clear(net, i, NORMALIZED, r)
            store(of_block(net, i, INVERSE), (net.first + r) * FBP_LANES, splat(0.0))


cdef void pass_back(
    Net *net, Py_ssize_t i, const real *transposed, real *target, Py_ssize_t left
) noexcept nogil:
    """Write ∂e/∂h_{i-1} = ∂e/∂s_i W_iᵀ of own rows to `target`, the block's rows of a layer.

    Columns before `left`, which are whole vectors, are left out. With a residual connection around
    layer i, ∂e/∂h_i is added.
    """
    cdef const int64_t *above = net.plan + (i - 1) * COLUMNS
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_in = above[SIZE], stride = here[STRIDE], stride_in = above[STRIDE]
    cdef const real *WT = transposed + here[TRANSPOSED]
    cdef const real *init = zero_row(net)
    cdef Py_ssize_t step = 0
    if single_output(net, i):
        WT = net.parameters + here[WEIGHTS]
    if rarely(here[RESIDUAL] != 0):
        init, step = of_block(net, i, DH), stride
    product_of_block(
        net, i, of_block(net, i, DS), stride, WT + left, stride_in, init + left, step, target + left,
        stride_in, padded(n_in) - left, here[SIZE],
    )


cdef void backward_pass(Net *net, const real *transposed) noexcept nogil:
    """∂e/∂s_{i-1} = (∂e/∂s_i W_iᵀ) σ'(s_{i-1}) of own rows, down to the lowest learning layer.

    The lowest layer 0 is an input with tables that learn.
    """
    cdef Py_ssize_t i
    for i in range(net.m, max(net.lowest, 1), -1):
        pass_back(net, i, transposed, of_block(net, i - 1, DH), 0)
        back_through_hidden(net, i - 1)
    if rarely(net.lowest == 0):
        back_to_inputs(net, transposed)
