# Jets: the outputs' derivatives along straight lines through each row, and the way back from them.
#
# A block of `rows` rows has a set of rows for the values, one for each of K first derivatives and
# one for each second derivative. The sets of a layer follow each other in the workspace, so that
# one product with the weights is enough for all. See Backend.jets in
# fastbp/backends/interface.py. The twin of fastbp/backends/numba_/jets.py.

# What a call wants: K directions t_k, of which k begins at `directions` + k * `apart`, or the unit
# vectors if that is NULL; and the number of second derivatives.
cdef struct Lines:
    const real *directions
    Py_ssize_t apart
    Py_ssize_t K
    Py_ssize_t seconds


cdef void single_product(
    Net *net, Py_ssize_t i, const real *h, Py_ssize_t stride_in, const real *W, Py_ssize_t rows,
    real bias, real *s, bint more
) noexcept nogil:
    """s = h W + bias for a single output i, added to s if `more`; W is padded with zeros."""
    cdef Py_ssize_t n_in = net.plan[(i - 1) * COLUMNS + SIZE], r
    cdef real x
    check(h, (rows - 1) * stride_in + padded(n_in))
    check(s, rows)
    for r in range(rows):
        x = dot(h + r * stride_in, W, n_in) + bias
        s[r] = s[r] + x if more else x


cdef void first_jets(Net *net, const real *x, Py_ssize_t stride_x, Lines *lines) noexcept nogil:
    """The jets of s_1."""
    cdef const int64_t *here = net.plan + COLUMNS
    cdef Py_ssize_t n_in = net.plan[SIZE], n = here[SIZE], stride = here[STRIDE], rows = net.rows
    cdef Py_ssize_t size = rows * stride, J = padded(n), k, r, j
    cdef const real *W = net.parameters + here[WEIGHTS]
    cdef real *s = of_block(net, 1, S)
    cdef bint single = single_output(net, 1), units = lines.directions == NULL
    check(s, (1 + lines.K + lines.seconds) * size)
    if single:
        single_product(net, 1, x, stride_x, W, rows, W[padded(n_in)], s, False)
    else:
        product(x, stride_x, 1, W, stride, W + n_in * stride, 0, s, stride, rows, J, n_in)
    for k in range(lines.K):
        s += size
        if units and single:
            for r in range(rows):
                s[r] = W[k]
        elif units:
            for r in range(rows):
                for j from 0 <= j < J by FBP_LANES:
                    store(s, r * stride + j, load(W, k * stride + j))
        elif single:
            single_product(
                net, 1, direction(net, lines, k), stride_x, W, rows, <real>0.0, s, False
            )
        else:
            product(
                lines.directions + k * lines.apart, n_in, 1, W, stride, zero_row(net), 0, s, stride,
                rows, J, n_in,
            )
    s += size
    if single:
        for r in range(lines.seconds * rows):
            s[r] = 0.0
    else:
        fill(s, lines.seconds * size, 0.0)


cdef real *direction(Net *net, Lines *lines, Py_ssize_t k) noexcept nogil:
    """Rows of direction k, copied to behind the samples in the workspace and padded with zeros."""
    cdef Py_ssize_t n_in = net.plan[SIZE], stride = net.plan[STRIDE], r, j
    cdef const real *source = lines.directions + k * lines.apart
    cdef real *target = net.workspace + (k + 1) * net.rows * stride
    check(source, net.rows * n_in)
    check(target, net.rows * stride)
    for r in range(net.rows):
        for j in range(n_in):
            target[r * stride + j] = source[r * n_in + j]
        for j in range(n_in, padded(n_in)):
            target[r * stride + j] = 0.0
    return target


cdef void forward_jets(Net *net, const real *x, Py_ssize_t stride_x, Lines *lines) noexcept nogil:
    """The jets of all layers for the block's rows."""
    cdef Py_ssize_t rows = net.rows, rest = (lines.K + lines.seconds) * rows
    cdef Py_ssize_t i, n_in, stride_in, stride
    cdef const int64_t *above
    cdef const int64_t *here
    cdef const real *W
    cdef const real *h
    cdef real *s
    first_jets(net, x, stride_x, lines)
    for i in range(2, net.m + 1):
        through_hidden_jets(net, i - 1, lines.K, lines.seconds)
        above, here = net.plan + (i - 1) * COLUMNS, net.plan + i * COLUMNS
        n_in, stride_in, stride = above[SIZE], above[STRIDE], here[STRIDE]
        W, s, h = net.parameters + here[WEIGHTS], of_block(net, i, S), of_block(net, i - 1, OUTPUT)
        if single_output(net, i):
            single_product(net, i, h, stride_in, W, rows, W[padded(n_in)], s, False)
            single_product(
                net, i, h + rows * stride_in, stride_in, W, rest, <real>0.0, s + rows, False
            )
            continue
        product(
            h, stride_in, 1, W, stride, W + n_in * stride, 0, s, stride, rows, padded(here[SIZE]),
            n_in,
        )
        product(
            h + rows * stride_in, stride_in, 1, W, stride, zero_row(net), 0, s + rows * stride,
            stride, rest, padded(here[SIZE]), n_in,
        )


cdef void add_outer(
    Net *net, Py_ssize_t i, const real *h, Py_ssize_t stride_in, const real *d, Py_ssize_t rows,
    real *G, bint more
) noexcept nogil:
    """∇W_i = Σ h ⊗ d over the rows, added to what is there if `more`.

    For a single output, rows of h are padded to whole vectors.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_in = net.plan[(i - 1) * COLUMNS + SIZE], stride = here[STRIDE]
    cdef Py_ssize_t width = padded(n_in), last = width - FBP_LANES
    cdef real *target = G + here[WEIGHTS]
    cdef const real *init = target if more else zero_row(net)
    if single_output(net, i):
        product(d, 0, 1, h, stride_in, init, 0, target, 0, 1, width, rows)
        # h need not be zero in the padding: sigmoid(0) is not.
        store(target, last, keep_first(load(target, last), n_in - last, 0.0))
        return
    product(
        h, 1, stride_in, d, stride, init, stride if more else 0, target, stride, n_in,
        padded(here[SIZE]), rows,
    )


cdef void bias_gradient(
    Net *net, Py_ssize_t i, const real *d, Py_ssize_t rows, real *G
) noexcept nogil:
    """∇b_i = Σ d over the rows."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_in = net.plan[(i - 1) * COLUMNS + SIZE], stride = here[STRIDE]
    cdef real *W = G + here[WEIGHTS]
    cdef const real *zeros = zero_row(net)
    if single_output(net, i):
        product(d, 0, 1, unit(net), 0, zeros, 0, W + padded(n_in), 0, 1, FBP_LANES, rows)
    else:
        product(
            unit(net), 0, 0, d, stride, zeros, 0, W + n_in * stride, stride, 1, padded(here[SIZE]),
            rows,
        )


cdef void first_gradient(
    Net *net, const real *x, Py_ssize_t stride_x, Lines *lines, real *G
) noexcept nogil:
    """∇W_1 and ∇b_1 from the adjoints of the jets of s_1."""
    cdef const int64_t *here = net.plan + COLUMNS
    cdef Py_ssize_t n_in = net.plan[SIZE], stride = here[STRIDE], rows = net.rows, k, r
    cdef const real *d = of_block(net, 1, DS)
    cdef bint units = lines.directions == NULL
    cdef real *W = G + here[WEIGHTS]
    cdef real *row
    cdef real total
    add_outer(net, 1, x, stride_x, d, rows, G, False)
    bias_gradient(net, 1, d, rows, G)
    for k in range(lines.K):
        d += rows * stride
        if units and single_output(net, 1):
            total = W[k]
            for r in range(rows):
                total += d[r]
            W[k] = total
        elif units:
            row = W + k * stride
            product(
                unit(net), 0, 0, d, stride, row, 0, row, stride, 1, padded(here[SIZE]), rows
            )
        elif single_output(net, 1):
            add_outer(net, 1, direction(net, lines, k), stride_x, d, rows, G, True)
        else:
            add_outer(net, 1, lines.directions + k * lines.apart, n_in, d, rows, G, True)


cdef void back_through_weights(
    Net *net, Py_ssize_t i, const real *d, Py_ssize_t rows, const real *transposed, real *target,
    bint more
) noexcept nogil:
    """Write d W_iᵀ to `target`, added to what is there if `more`; W_i of `net`.

    Else a layer that adds its input to its output adds what comes back to its output.
    """
    cdef const int64_t *above = net.plan + (i - 1) * COLUMNS
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride_in = above[STRIDE]
    cdef const real *WT = transposed + here[TRANSPOSED]
    cdef const real *init = zero_row(net)
    cdef Py_ssize_t step = 0
    if single_output(net, i):
        WT = net.parameters + here[WEIGHTS]
    if more:
        init, step = target, stride_in
    elif rarely(here[RESIDUAL] != 0):
        init, step = of_block(net, i, DH), here[STRIDE]
    product(
        d, here[STRIDE], 1, WT, stride_in, init, step, target, stride_in, rows,
        padded(above[SIZE]), here[SIZE],
    )


cdef void backward_jets(
    Net *net, const real *x, Py_ssize_t stride_x, Lines *lines, const real *WT, real *G
) noexcept nogil:
    """The gradient, from the adjoints of the jets of s_m in ds_m."""
    cdef Py_ssize_t sets = 1 + lines.K + lines.seconds, rows = net.rows, i, stride_in
    cdef const real *d
    for i in range(net.m, 1, -1):
        d, stride_in = of_block(net, i, DS), net.plan[(i - 1) * COLUMNS + STRIDE]
        add_outer(net, i, of_block(net, i - 1, OUTPUT), stride_in, d, sets * rows, G, False)
        bias_gradient(net, i, d, rows, G)
        back_through_weights(net, i, d, sets * rows, WT, of_block(net, i - 1, DH), False)
        back_through_hidden_jets(net, i - 1, lines.K, lines.seconds)
        sum_terms(net, i - 1, rows, G)
    first_gradient(net, x, stride_x, lines, G)


cdef void run_jets(
    Net *net, Data *data, Py_ssize_t n_samples, Py_ssize_t block, Lines *lines, real *out
) noexcept nogil:
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n_in = net.plan[SIZE], n_out = here[SIZE], stride = here[STRIDE]
    cdef Py_ssize_t start, stride_x, k
    cdef const real *x
    cdef Lines own = lines[0]
    set_constants(net)
    for start from 0 <= start < n_samples by block:
        take_rows(net, start, min(block, n_samples - start))
        x = gather(net, data, start, &stride_x)
        if lines.directions != NULL:
            own.directions = lines.directions + start * n_in
        forward_jets(net, x, stride_x, &own)
        for k in range(1 + lines.K + lines.seconds):
            copy_rows(
                of_block(net, net.m, S) + k * net.rows * stride, stride, net.rows, n_out,
                out + (k * n_samples + start) * n_out, n_out,
            )


cdef void run_jets_backward(
    Net *net, Data *data, Py_ssize_t rows, Lines *lines, const real *adjoints, real *WT, real *G
) noexcept nogil:
    """The gradient, from the adjoints of the jets of s_m."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t sets = 1 + lines.K + lines.seconds, stride_x
    cdef real *d = of_block(net, net.m, DS)
    cdef const real *x
    transpose(net, WT)
    take_rows(net, 0, rows)
    x = gather(net, data, 0, &stride_x)
    if here[STRIDE] > 1:
        fill(d, sets * rows * here[STRIDE], 0.0)
    copy_rows(adjoints, here[SIZE], sets * rows, here[SIZE], d, here[STRIDE])
    backward_jets(net, x, stride_x, lines, WT, G)
