# First and second derivatives of the outputs by the input, forward or back from each output.
#
# On the way back, rows that belong to the outputs of a row follow each other. See
# Backend.input_derivatives in fastbp/backends/interface.py. The twin of
# fastbp/backends/numba_/input_derivatives.py.


cdef void tangents(Net *net, Py_ssize_t K) noexcept nogil:
    """s'_ik of all hidden layers for the unit vectors, behind s_i; of layer 1, h'_1k only."""
    cdef Py_ssize_t rows = net.rows, i, stride, size, J, first, count, k, at, r, j
    cdef const int64_t *here
    cdef const int64_t *above
    cdef const real *W
    cdef const real *s
    cdef real *h
    cdef real *d
    cdef vec along
    for i in range(1, net.m - 1):
        here = net.plan + i * COLUMNS
        stride, J = here[STRIDE], padded(here[SIZE])
        size, W = rows * stride, net.parameters + here[WEIGHTS]
        for first from 0 <= first < rows by SLICE_ROWS:
            count, d = min(SLICE_ROWS, rows - first), scratch(net)
            if here[ACTIVATION] != IDENTITY:
                d = slopes(net, i, first * stride, count * stride, 1)
            else:
                fill(d, count * stride, 1.0)
            for k in range(1, K + 1):
                at = k * size + first * stride
                s, h = of_block(net, i, S) + at, of_block(net, i, H) + at
                check(h, count * stride)
                for r in range(count):
                    for j from r * stride <= j < r * stride + J by FBP_LANES:
                        if i > 1:
                            along = load(s, j)
                        else:
                            along = load(W, (k - 1) * stride + j - r * stride)
                        store(h, j, load(d, j) * along)
        above = net.plan + (i + 1) * COLUMNS
        product(
            of_block(net, i, H) + size, stride, 1, net.parameters + above[WEIGHTS], above[STRIDE],
            zero_row(net), 0, of_block(net, i + 1, S) + rows * above[STRIDE], above[STRIDE],
            K * rows, padded(above[SIZE]), here[SIZE],
        )


cdef void squares(Net *net, const real *WT, real *target) noexcept nogil:
    """The squares of the transposed weights of layer 1, in the same layout, and their row sums.

    Row u of the squares has the K numbers of unit u. The sums, one for each unit, come behind.
    """
    cdef Py_ssize_t n = net.plan[COLUMNS + SIZE], n_in = net.plan[SIZE], stride = net.plan[STRIDE]
    cdef Py_ssize_t u, k
    cdef const real *source = WT + net.plan[COLUMNS + TRANSPOSED]
    cdef real *sums = target + n * stride
    cdef real total
    cdef vec x
    check(target, n * stride)
    fill(sums, padded(n), 0.0)
    for u in range(n):
        for k from 0 <= k < padded(n_in) by FBP_LANES:
            x = load(source, u * stride + k)
            store(target, u * stride + k, x * x)
        total = 0.0
        for k in range(n_in):
            total += target[u * stride + k]
        sums[u] = total


cdef void add_curves(
    Net *net, Py_ssize_t i, const real *source, Py_ssize_t row_step, const real *d,
    Py_ssize_t first, Py_ssize_t rows, Py_ssize_t times, Py_ssize_t K, real *second,
    Py_ssize_t width
) noexcept nogil:
    """Add Σ_u A σ_i'' s'_k² to the second derivatives of some rows, or its sum over k to width 1.

    `source` has the rows A of ∂s_m/∂h_i, as for back_through_layer; `d` has σ_i'' of the rows from
    `first` on.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], J = padded(here[SIZE]), size = net.rows * stride
    cdef Py_ssize_t r, j, k, u
    cdef const real *tangent
    cdef const real *a
    cdef real *out
    cdef vec x, total
    for r in range(rows):
        tangent = of_block(net, i, S) + size + (first + r) * stride
        for j in range(times):
            a = source + ((first + r) * row_step + j) * stride
            out = second + ((first + r) * times + j) * width
            check(out, width)
            total = splat(0.0)
            for k in range(K):
                if width > 1:
                    total = splat(0.0)
                for u from 0 <= u < J by FBP_LANES:
                    x = load(tangent, k * size + u)
                    total = fma(load(a, u) * load(d, r * stride + u), x * x, total)
                if width > 1:
                    out[k] += sum_lanes(total)
            if width == 1:
                out[0] += sum_lanes(total)


cdef void bend_rows(
    Net *net, const real *source, Py_ssize_t row_step, const real *d, Py_ssize_t first,
    Py_ssize_t rows, Py_ssize_t times, real *target
) noexcept nogil:
    """Row A σ_1'' for each row A of ∂s_m/∂h_1, to `target`; the arguments are as above."""
    cdef Py_ssize_t stride = net.plan[COLUMNS + STRIDE], J = padded(net.plan[COLUMNS + SIZE])
    cdef Py_ssize_t r, j, u
    cdef const real *a
    cdef real *b
    for r in range(rows):
        for j in range(times):
            a = source + ((first + r) * row_step + j) * stride
            b = target + ((first + r) * times + j) * stride
            check(b, J)
            for u from 0 <= u < J by FBP_LANES:
                store(b, u, load(a, u) * load(d, r * stride + u))


cdef void add_first_curves(
    Net *net, const real *bent, const real *square, Py_ssize_t times, real *second,
    Py_ssize_t width
) noexcept nogil:
    """Add the second derivatives that layer 1 bends, from the rows that `bend_rows` wrote."""
    cdef Py_ssize_t n = net.plan[COLUMNS + SIZE], stride = net.plan[COLUMNS + STRIDE]
    cdef Py_ssize_t n_in = net.plan[SIZE], stride_in = net.plan[STRIDE], rows = net.rows * times
    cdef Py_ssize_t r, u, k
    cdef const real *sums = square + n * stride_in
    cdef real *found
    cdef vec total
    check(second, rows * width)
    if width == 1:
        for r in range(rows):
            total = splat(0.0)
            for u from 0 <= u < padded(n) by FBP_LANES:
                total = fma(load(bent, r * stride + u), load(sums, u), total)
            second[r] += sum_lanes(total)
        return
    found = of_block(net, 0, H)
    product(
        bent, stride, 1, square, stride_in, zero_row(net), 0, found, stride_in, rows, padded(n_in),
        n,
    )
    for r in range(rows):
        for k in range(n_in):
            second[r * n_in + k] += found[r * stride_in + k]


cdef void back_through_layer(
    Net *net, Py_ssize_t i, const real *source, Py_ssize_t row_step, Py_ssize_t times, bint curved,
    Py_ssize_t K, real *second, Py_ssize_t width
) noexcept nogil:
    """Go from ∂s_m/∂h_i, `times` rows for each row of the block, to ∂s_m/∂s_i in ds_i.

    Row j of r is number r * `row_step` + j of `source`. If `curved`, what σ_i'' adds to the second
    derivatives is added; for layer 1, A σ_1'' is left behind h_1.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], J = padded(here[SIZE]), first, rows, n, r, j, u
    cdef bint known = here[ACTIVATION] != IDENTITY
    cdef real *target = of_block(net, i, DS)
    cdef real *bent = of_block(net, i, H) + net.rows * stride
    cdef real *d
    cdef const real *a
    cdef real *b
    check(target, net.rows * times * stride)
    for first from 0 <= first < net.rows by SLICE_ROWS:
        rows, d = min(SLICE_ROWS, net.rows - first), scratch(net)
        n = rows * stride
        if known:
            d = slopes(net, i, first * stride, n, 2 if curved else 1)
        else:
            fill(d, n, 1.0)
        if curved and known and i > 1:
            add_curves(net, i, source, row_step, d + n, first, rows, times, K, second, width)
        elif curved and known:
            bend_rows(net, source, row_step, d + n, first, rows, times, bent)
        for r in range(rows):
            for j in range(times):
                a = source + ((first + r) * row_step + j) * stride
                b = target + ((first + r) * times + j) * stride
                for u from 0 <= u < J by FBP_LANES:
                    store(b, u, load(d, r * stride + u) * load(a, u))


cdef inline const real *outputs_by_last(Net *net, const real *WT) noexcept nogil:
    """The rows of ∂s_m/∂h_{m-1}, which are the same for all rows: the transposed W_m."""
    cdef const int64_t *last = net.plan + net.m * COLUMNS
    if single_output(net, net.m):
        return net.parameters + last[WEIGHTS]
    return WT + last[TRANSPOSED]


cdef void back_from_outputs(
    Net *net, const real *WT, const real *square, real *first, Py_ssize_t K, real *second,
    Py_ssize_t width
) noexcept nogil:
    """The derivatives of the block's rows; `first` is written unless NULL, `second` if `width`."""
    cdef Py_ssize_t n_out = net.plan[net.m * COLUMNS + SIZE], n_in = net.plan[SIZE]
    cdef Py_ssize_t stride_in = net.plan[STRIDE], rows = net.rows * n_out, step = 0, r, i
    cdef bint curved = width > 0
    cdef const real *source = outputs_by_last(net, WT)
    cdef real *dh
    for r in range(rows * width):
        second[r] = 0.0
    for i in range(net.m - 1, 0, -1):
        back_through_layer(net, i, source, step, n_out, curved, K, second, width)
        if i > 1:
            dh, step = of_block(net, i - 1, DS), n_out
            back_through_weights(net, i, of_block(net, i, DS), rows, WT, dh, False)
            source = dh
    if curved and net.m > 1 and net.plan[COLUMNS + ACTIVATION] != IDENTITY:
        add_first_curves(
            net, of_block(net, 1, H) + net.rows * net.plan[COLUMNS + STRIDE], square, n_out, second,
            width,
        )
    if first != NULL and net.m == 1:
        for r in range(net.rows):
            copy_rows(source, stride_in, n_out, n_in, first + r * n_out * n_in, n_in)
    elif first != NULL and n_in == stride_in:
        back_through_weights(net, 1, of_block(net, 1, DS), rows, WT, first, False)
    elif first != NULL:
        dh = of_block(net, 0, H)
        back_through_weights(net, 1, of_block(net, 1, DS), rows, WT, dh, False)
        copy_rows(dh, stride_in, rows, n_in, first, n_in)


cdef void put_sets(Net *net, Py_ssize_t first, Py_ssize_t K, real *target) noexcept nogil:
    """Write K sets of s_m, from set `first` on, as K numbers for each output of a row."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], k, r, j
    cdef const real *s
    check(target, net.rows * n * K)
    for k in range(K):
        s = of_block(net, net.m, S) + (first + k) * net.rows * stride
        for r in range(net.rows):
            for j in range(n):
                target[(r * n + j) * K + k] = s[r * stride + j]


cdef void run_forward(
    Net *net, Data *data, Py_ssize_t n_samples, Py_ssize_t block, Lines *lines, real *first,
    real *second
) noexcept nogil:
    """The derivatives of all rows by the way forward, as `jets`."""
    cdef Py_ssize_t n_in = net.plan[SIZE], n_out = net.plan[net.m * COLUMNS + SIZE]
    cdef Py_ssize_t K = lines.K, width = lines.seconds, start, stride_in
    cdef const real *h
    cdef Lines own = lines[0]
    set_constants(net)
    for start from 0 <= start < n_samples by block:
        take_rows(net, start, min(block, n_samples - start))
        h = gather(net, data, start, &stride_in)
        if lines.directions != NULL:
            own.directions = lines.directions + start * n_in
        forward_jets(net, h, stride_in, &own)
        if first != NULL:
            put_sets(net, 1, K, first)
        put_sets(net, 1 + K, width, second)
        through_outputs(net, first, second, K, width)
        if first != NULL:
            first += net.rows * n_out * K
        if second != NULL:
            second += net.rows * n_out * width


cdef void run_back(
    Net *net, Data *data, Py_ssize_t n_samples, Py_ssize_t block, real *WT, real *first,
    real *second, Py_ssize_t width
) noexcept nogil:
    """The same by the way back from each output."""
    cdef Py_ssize_t n_in = net.plan[SIZE], n_out = net.plan[net.m * COLUMNS + SIZE]
    cdef Py_ssize_t start, stride_in
    cdef const real *h
    cdef real *square = WT + net.plan[COLUMNS + TRANSPOSED]
    square += net.plan[COLUMNS + SIZE] * net.plan[STRIDE]
    begin(net, WT, True)
    if width > 0 and net.m > 1:
        squares(net, WT, square)
    for start from 0 <= start < n_samples by block:
        take_rows(net, start, min(block, n_samples - start))
        h = gather(net, data, start, &stride_in)
        forward_pass(net, h, stride_in)
        if width > 0:
            tangents(net, n_in)
        back_from_outputs(net, WT, square, first, n_in, second, width)
        through_outputs(net, first, second, n_in, width)
        if first != NULL:
            first += net.rows * n_out * n_in
        if second != NULL:
            second += net.rows * n_out * width
