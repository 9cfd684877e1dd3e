# The derivatives of each sample's own loss, and the quantities that lead to them.
#
# The passes that train compute them, without sample weights and without means over samples.
# run_from_deltas takes a function f by its derivatives ∂f/∂s_m, and sums over the samples.
# See fastbp/backends/interface.py for the arguments. The twin of
# fastbp/backends/numba_/per_sample.py.

# Where to write each result, NULL if it is not wanted, and the width of its rows.
cdef struct Wanted:
    real *losses
    real *gradients
    Py_ssize_t gradient_width
    real *errors
    real *units
    Py_ssize_t unit_width


cdef void copy_units(Net *net, real *units, Py_ssize_t width) noexcept nogil:
    """Write s_m and h_m of the rows, before s_m is overwritten; destroys ds_m."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], at = 0, i
    for i in range(1, net.m):
        at += 4 * net.plan[i * COLUMNS + SIZE]
    copy_rows(of_own(net, net.m, S), stride, net.rows, n, units + at, width)
    copy_rows(outputs(net), stride, net.rows, n, units + at + n, width)


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
            copy_rows(of_own(net, i, OUTPUT), stride, net.rows, n, units + at + n, width)
            pass_back(net, i + 1, transposed, s, 0)
            copy_rows(s, stride, net.rows, n, units + at + 2 * n, width)
        copy_rows(of_own(net, i, DS), stride, net.rows, n, units + at + 3 * n, width)
        at += 4 * n


cdef void outer_products(
    Net *net, const real *h, Py_ssize_t stride_in, real *gradients, Py_ssize_t width
) noexcept nogil:
    """∇W_i = h_{i-1} ∂e/∂s_i, ∇b_i = ∂e/∂s_i and what comes behind, of each row, layer by layer.

    `h` is the network's input, with rows `stride_in` apart.
    """
    cdef const int64_t *here
    cdef const real *ds
    cdef real *target
    cdef real a, b
    cdef bint rounded
    cdef Py_ssize_t i, r, k, j, n, stride, n_in = net.plan[SIZE], at = 0
    check(gradients, net.rows * width)
    for i in range(1, net.m + 1):
        here = net.plan + i * COLUMNS
        n, stride, ds, rounded = here[SIZE], here[STRIDE], of_own(net, i, DS), here[ROUNDED] != 0
        check(h, (net.rows - 1) * stride_in + n_in)
        for r in range(net.rows):
            target = gradients + r * width + at
            for k in range(n_in):
                a = h[r * stride_in + k]
                for j in range(n):
                    b = ds[r * stride + j]
                    target[k * n + j] = rounded_times(a, b) if rounded else a * b
            for j in range(n):
                target[n_in * n + j] = ds[r * stride + j]
        at += (n_in + 1) * n
        for k in range(here[EXTRAS]):
            copy_rows(terms_of(net, i, k), stride, net.rows, n, gradients + at, width)
            at += n
        h, stride_in, n_in = of_own(net, i, OUTPUT), stride, n


cdef void begin(Net *net, real *transposed, bint errors) noexcept nogil:
    """Write the constants and the transposed weights; layer 1's only if `errors` is true."""
    set_constants(net)
    transpose(net, transposed)
    if errors and not single_output(net, 1):
        transpose_rows(net, 1, transposed, 0, net.plan[SIZE], 0, net.plan[COLUMNS + SIZE])


cdef void copy_input_errors(Net *net, const real *transposed, real *errors) noexcept nogil:
    """Write ∂e/∂h_0 of the rows; destroys the gathered input."""
    cdef Py_ssize_t n_in = net.plan[SIZE]
    cdef real *dh = of_own(net, 0, H)
    pass_back(net, 1, transposed, dh, 0)
    copy_rows(dh, net.plan[STRIDE], net.rows, n_in, errors, n_in)


cdef void run_per_sample(
    Net *net, Data *data, Py_ssize_t n_samples, const real *deltas, real *transposed,
    Wanted *wanted
) noexcept nogil:
    cdef Py_ssize_t n_in = net.plan[SIZE], n_out = net.plan[net.m * COLUMNS + SIZE]
    cdef Py_ssize_t start, stride
    cdef const real *h
    cdef real *row_of_units = NULL
    begin(net, transposed, wanted.errors != NULL)
    for start from 0 <= start < n_samples by net.block:
        take_rows(net, start, min(net.block, n_samples - start))
        h = gather(net, data, start, &stride)
        forward_pass(net, h, stride)
        if wanted.units != NULL:
            row_of_units = wanted.units + start * wanted.unit_width
            copy_units(net, row_of_units, wanted.unit_width)
        if deltas != NULL:
            put_deltas(net, deltas + start * n_out)
        else:
            output_deltas(net, data, start, 1.0)
            if wanted.losses != NULL:
                copy_rows(per_row(net, LOSSES), 1, net.rows, 1, wanted.losses + start, 1)
        backward_pass(net, transposed)
        if wanted.gradients != NULL:
            outer_products(
                net, h, stride, wanted.gradients + start * wanted.gradient_width,
                wanted.gradient_width,
            )
        if wanted.units != NULL:
            copy_errors(net, transposed, row_of_units, wanted.unit_width)
        if wanted.errors != NULL:
            copy_input_errors(net, transposed, wanted.errors + start * n_in)


cdef void run_from_deltas(
    Net *net, Data *data, const real *deltas, real *transposed, real *gradient, real *errors
) noexcept nogil:
    """Fill `gradient` and `errors`, unless they are NULL; the workspace is as `forward` left it."""
    cdef Py_ssize_t stride
    cdef const real *h
    begin(net, transposed, errors != NULL)
    take_rows(net, 0, net.block)
    h = gather(net, data, 0, &stride)
    put_deltas(net, deltas)
    backward_pass(net, transposed)
    if gradient != NULL:
        accumulate(net, h, stride, net.rows, gradient, WHOLE)
    if errors != NULL:
        copy_input_errors(net, transposed, errors)
