# The derivatives of each sample's own loss, and everything on the way to them.
#
# They come from the passes that train, run without weights or means; here is what is written
# out. See fastbp/backends/interface.py for the arguments. The twin of
# fastbp/backends/numba_/per_sample.py.

# Where to write what is wanted, NULL for what is not; how wide the rows are.
cdef struct Wanted:
    real *losses
    real *gradients
    Py_ssize_t gradient_width
    real *errors
    real *units
    Py_ssize_t unit_width


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


cdef void copy_units(Net *net, real *units, Py_ssize_t width) noexcept nogil:
    """Write s_m and h_m of the rows; to be called while s_m is there, destroys ds_m."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], at = 0, i
    cdef real *s = of_own(net, net.m, S)
    cdef real *h = of_own(net, net.m, DS)
    for i in range(1, net.m):
        at += 4 * net.plan[i * COLUMNS + SIZE]
    copy_rows(s, stride, net.rows, n, units + at, width)
    copy_rows(s, stride, net.rows, n, h, stride)
    output_activation(
        net.loss, h, per_row(net, TOPS), per_row(net, TOTALS), net.rows, n, stride
    )
    copy_rows(h, stride, net.rows, n, units + at + n, width)


cdef void copy_errors(
    Net *net, const real *transposed, real *units, Py_ssize_t width
) noexcept nogil:
    """Write s_i, h_i, ∂e/∂h_i of the hidden layers and ∂e/∂s_i of all; destroys s_i."""
    cdef const int64_t *here
    cdef Py_ssize_t i, n, stride, at = 0
    cdef real *s
    for i in range(1, net.m + 1):
        here = net.plan + i * COLUMNS
        n, stride = here[SIZE], here[STRIDE]
        if i < net.m:
            s = of_own(net, i, S)
            copy_rows(s, stride, net.rows, n, units + at, width)
            copy_rows(of_own(net, i, H), stride, net.rows, n, units + at + n, width)
            pass_back(net, i + 1, transposed, s)
            copy_rows(s, stride, net.rows, n, units + at + 2 * n, width)
        copy_rows(of_own(net, i, DS), stride, net.rows, n, units + at + 3 * n, width)
        at += 4 * n


cdef void outer_products(
    Net *net, const real *h, Py_ssize_t stride_in, real *gradients, Py_ssize_t width
) noexcept nogil:
    """∇W_i = h_{i-1} ∂e/∂s_i and ∇b_i = ∂e/∂s_i of each row, layer by layer.

    `h` is the network's input, with rows `stride_in` apart.
    """
    cdef const int64_t *here
    cdef const real *ds
    cdef real *target
    cdef Py_ssize_t i, r, k, j, n, stride, n_in = net.plan[SIZE], at = 0
    check(gradients, net.rows * width)
    for i in range(1, net.m + 1):
        here = net.plan + i * COLUMNS
        n, stride, ds = here[SIZE], here[STRIDE], of_own(net, i, DS)
        check(h, (net.rows - 1) * stride_in + n_in)
        for r in range(net.rows):
            target = gradients + r * width + at
            for k in range(n_in):
                for j in range(n):
                    target[k * n + j] = h[r * stride_in + k] * ds[r * stride + j]
            for j in range(n):
                target[n_in * n + j] = ds[r * stride + j]
        at += (n_in + 1) * n
        h, stride_in, n_in = of_own(net, i, H), stride, n


cdef void run_per_sample(
    Net *net, Data *data, Py_ssize_t n_samples, const real *deltas, real *transposed,
    Wanted *wanted
) noexcept nogil:
    cdef Py_ssize_t m = net.m, n_in = net.plan[SIZE], start, stride
    cdef Py_ssize_t n_out = net.plan[m * COLUMNS + SIZE]
    cdef Py_ssize_t stride_out = net.plan[m * COLUMNS + STRIDE]
    cdef const real *h
    cdef real *row_of_units = NULL
    cdef real *dh
    set_constants(net)
    transpose(net, transposed)
    if wanted.errors != NULL and not single_output(net, 1):
        transpose_rows(net, 1, transposed, 0, n_in)
    for start from 0 <= start < n_samples by net.block:
        take_rows(net, start, min(net.block, n_samples - start))
        h = gather(net, data, start, &stride)
        forward(net, h, stride)
        if wanted.units != NULL:
            row_of_units = wanted.units + start * wanted.unit_width
            copy_units(net, row_of_units, wanted.unit_width)
        if deltas != NULL:
            copy_rows(
                deltas + start * n_out, n_out, net.rows, n_out, of_own(net, m, DS), stride_out
            )
        else:
            output_deltas(net, data, start, 1.0)
            if wanted.losses != NULL:
                copy_rows(per_row(net, LOSSES), 1, net.rows, 1, wanted.losses + start, 1)
        backward(net, transposed)
        if wanted.gradients != NULL:
            outer_products(
                net, h, stride, wanted.gradients + start * wanted.gradient_width,
                wanted.gradient_width,
            )
        if wanted.units != NULL:
            copy_errors(net, transposed, row_of_units, wanted.unit_width)
        if wanted.errors != NULL:
            dh = of_own(net, 0, H)
            pass_back(net, 1, transposed, dh)
            copy_rows(
                dh, net.plan[STRIDE], net.rows, n_in, wanted.errors + start * n_in, n_in
            )
