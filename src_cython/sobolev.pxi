# Training on known derivatives by the inputs: the gradient of the loss and of the slopes' squared
# errors, a block of rows after the other.
#
# See Backend.sobolev_gradient in fastbp/backends/interface.py. The twin of
# fastbp/backends/numba_/sobolev.py.
#
# By slopes, a block has a set of rows for the values, and behind it as many rows for each row as
# there are outputs: those of the outputs of a row follow each other. A hidden layer has there, one
# after the other, ∂s_m/∂h_i and h'_i behind h_i, s'_i and what comes back to h_i behind s_i, and
# ∂s_m/∂s_i behind ∂e/∂s_i. For the values, σ' takes the place of s_i, and σ'' that of ∂e/∂s_i.

# The known derivatives of all samples, NaN where they are unknown; the weight of their errors; and
# whether the Jacobian comes from the outputs back, or forward from each input.
cdef struct Known:
    const real *dy
    double weight
    bint back


cdef void keep_slopes(
    Net *net, Py_ssize_t i, const real *source, Py_ssize_t row_step, Py_ssize_t times
) noexcept nogil:
    """Go from ∂s_m/∂h_i to ∂s_m/∂s_i, and keep σ_i' and σ_i''.

    Row j of r is number r * `row_step` + j of `source`.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], J = padded(here[SIZE]), first, count, r, j, u
    cdef bint known = here[ACTIVATION] != IDENTITY
    cdef const real *a
    cdef const real *d
    cdef real *s
    cdef real *target
    check(of_block(net, i, DS), net.rows * (1 + times) * stride)
    for first from 0 <= first < net.rows by SLICE_ROWS:
        count, d = min(SLICE_ROWS, net.rows - first), scratch(net)
        if known:
            d = slopes(net, i, first * stride, count * stride, 2)
        for r in range(count):
            for j in range(times):
                a = source + ((first + r) * row_step + j) * stride
                target = of_block(net, i, DS) + (net.rows + (first + r) * times + j) * stride
                for u from 0 <= u < J by FBP_LANES:
                    if known:
                        store(target, u, load(d, r * stride + u) * load(a, u))
                    else:
                        store(target, u, load(a, u))
        if known:
            s, target = of_block(net, i, S) + first * stride, of_block(net, i, DS) + first * stride
            for u from 0 <= u < count * stride by FBP_LANES:
                store(s, u, load(d, u))
                store(target, u, load(d, count * stride + u))


cdef real *behind(Net *net, Py_ssize_t i, Py_ssize_t column) noexcept nogil:
    """What an array of layer i has behind the values."""
    return of_block(net, i, column) + net.rows * net.plan[i * COLUMNS + STRIDE]


cdef void slopes_back(Net *net, const real *WT) noexcept nogil:
    """The Jacobian ∂s_m/∂h_0 of the rows, written behind the samples."""
    cdef Py_ssize_t n_out = net.plan[net.m * COLUMNS + SIZE], stride = net.plan[STRIDE]
    cdef Py_ssize_t step = 0, i, r
    cdef const real *source = outputs_by_last(net, WT)
    for i in range(net.m - 1, 0, -1):
        keep_slopes(net, i, source, step, n_out)
        back_through_weights(
            net, i, behind(net, i, DS), net.rows * n_out, WT, behind(net, i - 1, H), False
        )
        source, step = behind(net, i - 1, H), n_out
    if net.m == 1:
        for r in range(net.rows):
            copy_rows(
                source, stride, n_out, net.plan[SIZE], behind(net, 0, H) + r * n_out * stride, stride
            )


cdef double errors_of_slopes(
    Net *net, Data *data, Known *known, Py_ssize_t start
) noexcept nogil:
    """Turn the Jacobian into G = λ w / Σ w (J - dy), and return Σ λ/2 w / Σ w (J - dy)²."""
    cdef Py_ssize_t n_in = net.plan[SIZE], n_out = net.plan[net.m * COLUMNS + SIZE]
    cdef Py_ssize_t stride = net.plan[STRIDE], r, j, k
    cdef const real *shares = per_row(net, SHARES)
    cdef const real *y
    cdef real *g = behind(net, 0, H)
    cdef real d, weight = <real>known.weight
    cdef double total = 0.0, squares
    for r in range(net.rows):
        squares = 0.0
        for j in range(n_out):
            y = known.dy + (row_of(data, start + r) * n_out + j) * n_in
            check(y, n_in)
            for k in range(n_in):
                d = g[k] - y[k]
                if y[k] != y[k]:
                    d = 0.0
                squares += <double>d * <double>d
                g[k] = weight * shares[r] * d
            g += stride
        total += <double>shares[r] * squares
    return known.weight / 2.0 * total


cdef void along_slopes(Net *net, const real *WT) noexcept nogil:
    """h'_i of the hidden layers along the directions G, and what σ'' adds to ∂e/∂s_i."""
    cdef Py_ssize_t n_out = net.plan[net.m * COLUMNS + SIZE], rows = net.rows * n_out
    cdef Py_ssize_t i, r, j, u, stride, J, row_step
    cdef const int64_t *above
    cdef const int64_t *here
    cdef const real *slope
    cdef const real *s
    cdef const real *by_h
    cdef real *h
    cdef real *curve
    cdef vec x, total
    for i in range(1, net.m):
        above, here = net.plan + (i - 1) * COLUMNS, net.plan + i * COLUMNS
        stride, J = here[STRIDE], padded(here[SIZE])
        product(
            behind(net, i - 1, H), above[STRIDE], 1, net.parameters + here[WEIGHTS], stride,
            zero_row(net), 0, behind(net, i, S), stride, rows, J, above[SIZE],
        )
        if here[ACTIVATION] == IDENTITY:  # h' is s'
            continue
        s, h, by_h, row_step = behind(net, i, S), behind(net, i, H), behind(net, i, H), n_out
        if i == net.m - 1:
            by_h, row_step = outputs_by_last(net, WT), 0
        slope, curve = of_block(net, i, S), of_block(net, i, DS)
        for r in range(net.rows):
            for u from 0 <= u < J by FBP_LANES:
                total = splat(0.0)
                for j in range(n_out):
                    x = load(s, (r * n_out + j) * stride + u)
                    total = fma(x, load(by_h, (r * row_step + j) * stride + u), total)
                    store(h, (r * n_out + j) * stride + u, load(slope, r * stride + u) * x)
                store(curve, r * stride + u, load(curve, r * stride + u) * total)


cdef void back_by_slopes(
    Net *net, const real *x, Py_ssize_t stride_x, const real *WT, real *G
) noexcept nogil:
    """The gradient, from ∂e/∂s_m and the directions."""
    cdef Py_ssize_t n_out = net.plan[net.m * COLUMNS + SIZE], rows = net.rows
    cdef Py_ssize_t stride = net.plan[net.m * COLUMNS + STRIDE], i, r, j, u
    cdef real *d = behind(net, net.m, DS)
    cdef real *s
    cdef real *back
    cdef const int64_t *above
    if stride == 1:
        for r in range(rows):
            d[r] = 1.0
    else:
        fill(d, rows * n_out * stride, 0.0)
        for r in range(rows):
            for j in range(n_out):
                d[(r * n_out + j) * stride + j] = 1.0
    for i in range(net.m, 1, -1):
        above, d = net.plan + (i - 1) * COLUMNS, of_block(net, i, DS)
        stride = above[STRIDE]
        add_outer(net, i, of_block(net, i - 1, H), stride, d, (1 + n_out) * rows, G, False)
        bias_gradient(net, i, d, rows, G)
        if above[ACTIVATION] == IDENTITY:
            back_through_weights(net, i, d, rows, WT, of_block(net, i - 1, DS), False)
            continue
        back = behind(net, i - 1, S)
        back_through_weights(net, i, d, rows, WT, back, False)
        s, d = of_block(net, i - 1, S), of_block(net, i - 1, DS)
        for r in range(rows):
            for u from r * stride <= u < r * stride + padded(above[SIZE]) by FBP_LANES:
                store(d, u, fma(load(s, u), load(back, u), load(d, u)))
    d = of_block(net, 1, DS)
    add_outer(net, 1, x, stride_x, d, rows, G, False)
    bias_gradient(net, 1, d, rows, G)
    add_outer(net, 1, behind(net, 0, H), net.plan[STRIDE], behind(net, 1, DS), rows * n_out, G, True)


cdef double errors_of_jets(
    Net *net, Data *data, Known *known, Py_ssize_t start, Py_ssize_t K
) noexcept nogil:
    """Write the adjoints of s'_m, and return Σ λ/2 w / Σ w (s'_m - dy)²."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n_out = here[SIZE], stride = here[STRIDE], r, j, k, at
    cdef const real *shares = per_row(net, SHARES)
    cdef const real *s = behind(net, net.m, S)
    cdef const real *y
    cdef real *d = behind(net, net.m, DS)
    cdef real difference, weight = <real>known.weight
    cdef double total = 0.0, squares
    if stride > 1:
        fill(d, K * net.rows * stride, 0.0)
    for r in range(net.rows):
        squares = 0.0
        for j in range(n_out):
            y = known.dy + (row_of(data, start + r) * n_out + j) * K
            check(y, K)
            for k in range(K):
                at = (k * net.rows + r) * stride + j
                difference = s[at] - y[k]
                if y[k] != y[k]:
                    difference = 0.0
                squares += <double>difference * <double>difference
                d[at] = weight * shares[r] * difference
        total += <double>shares[r] * squares
    return known.weight / 2.0 * total


cdef double sobolev_rows(
    Net *net, Data *data, Known *known, Py_ssize_t start, double total, const real *WT, real *G
) noexcept nogil:
    """The block's part of the objective, and its gradient."""
    cdef Py_ssize_t stride_x, r
    cdef const real *x = gather(net, data, start, &stride_x)
    cdef const real *losses = per_row(net, LOSSES)
    cdef Lines lines = Lines(NULL, 0, net.plan[SIZE], 0)
    cdef bint single = single_output(net, net.m)
    cdef double mean, of_losses = 0.0
    cdef vec next_set = splat(0.0)
    if known.back:
        forward_pass(net, x, stride_x)
        output_deltas(net, data, start, total)
        slopes_back(net, WT)
        mean = errors_of_slopes(net, data, known, start)
        along_slopes(net, WT)
        back_by_slopes(net, x, stride_x, WT, G)
    else:
        forward_jets(net, x, stride_x, &lines)
        # The deltas of a single output are whole vectors, which reach into the next set.
        if single:
            next_set = load(of_block(net, net.m, S), net.rows)
        output_deltas(net, data, start, total)
        if single:
            store(of_block(net, net.m, S), net.rows, next_set)
        mean = errors_of_jets(net, data, known, start, lines.K)
        backward_jets(net, x, stride_x, &lines, WT, G)
    for r in range(net.rows):
        of_losses += losses[r]
    return mean + of_losses / total


cdef double run_sobolev_gradient(
    Net *net, Data *data, Known *known, Py_ssize_t n, Py_ssize_t rows_a_block, double total,
    Py_ssize_t first, Py_ssize_t last, real *WT, real *G, const int64_t *stop
) noexcept nogil:
    cdef Py_ssize_t blocks = (n + rows_a_block - 1) // rows_a_block, group, block, start, j
    cdef double *sums
    cdef double mean = 0.0
    begin(net, WT, known.back)
    if net.lines == 0:
        take_rows(net, 0, n)
        return sobolev_rows(net, data, known, 0, total, WT, G)
    for group in range(first, last):
        sums = net.sums + group * net.line
        for j in range(net.line):
            sums[j] = 0.0
        mean = 0.0
        for block in range(blocks * group // net.lines, blocks * (group + 1) // net.lines):
            if read_once(stop) != 0:
                return NAN
            start = block * rows_a_block
            take_rows(net, start, min(rows_a_block, n - start))
            mean += sobolev_rows(net, data, known, start, total, WT, G)
            for j in range(net.line - LOSS_PLACES):
                sums[j] += G[j]
        sums[net.line - 1] = mean
    return mean
