# The Jacobian of the outputs by the input, back from each output.
#
# The rows of a row's outputs follow each other. See Backend.input_jacobian in
# fastbp/backends/interface.py. The twin of fastbp/backends/numba_/input_jacobian.py.


cdef void multiply_rows(
    Net *net, Py_ssize_t i, const real *source, Py_ssize_t row_step, real *d, Py_ssize_t times
) noexcept nogil:
    """Multiply `times` rows of numbers for each row of the block by its σ_i'(s_i).

    Row k of r is number r * `row_step` + k of `source`, and goes to r * `times` + k of `d`.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], J = padded(here[SIZE]), first, rows, r, k, j
    cdef real *slope = scratch(net)
    cdef const real *a
    cdef real *b
    check(d, net.rows * times * stride)
    for first from 0 <= first < net.rows by SLICE_ROWS:
        rows = min(SLICE_ROWS, net.rows - first)
        if here[ACTIVATION] != IDENTITY:
            slopes(net, i, first * stride, rows * stride, 1)
        else:
            fill(slope, rows * stride, 1.0)
        for r in range(rows):
            for k in range(times):
                a = source + ((first + r) * row_step + k) * stride
                b = d + ((first + r) * times + k) * stride
                for j from 0 <= j < J by FBP_LANES:
                    store(b, j, load(slope, r * stride + j) * load(a, j))


cdef void back_from_outputs(Net *net, const real *WT, real *out) noexcept nogil:
    """∂s_m/∂h_0 of the block's rows; those of a row's outputs follow each other."""
    cdef const int64_t *last = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n_out = last[SIZE], n_in = net.plan[SIZE], stride_in = net.plan[STRIDE]
    cdef Py_ssize_t rows = net.rows * n_out, r, i
    cdef const real *source = WT + last[TRANSPOSED]
    cdef real *d
    if single_output(net, net.m):
        source = net.parameters + last[WEIGHTS]
    if net.m == 1:
        for r in range(net.rows):
            copy_rows(source, stride_in, n_out, n_in, out + r * n_out * n_in, n_in)
        return
    multiply_rows(net, net.m - 1, source, 0, of_block(net, net.m - 1, DS), n_out)
    for i in range(net.m - 1, 1, -1):
        d = of_block(net, i - 1, DS)
        back_through_weights(net, i, of_block(net, i, DS), rows, WT, d, False)
        multiply_rows(net, i - 1, d, n_out, d, n_out)
    d = of_block(net, 0, H)
    back_through_weights(net, 1, of_block(net, 1, DS), rows, WT, d, False)
    copy_rows(d, stride_in, rows, n_in, out, n_in)


cdef void run_input_jacobian(
    Net *net, Data *data, Py_ssize_t n_samples, Py_ssize_t block, real *WT, real *s, real *out
) noexcept nogil:
    cdef const int64_t *last = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n_in = net.plan[SIZE], n_out = last[SIZE], start, stride_in
    cdef const real *h
    begin(net, WT, True)
    for start from 0 <= start < n_samples by block:
        take_rows(net, start, min(block, n_samples - start))
        h = gather(net, data, start, &stride_in)
        forward_pass(net, h, stride_in)
        copy_rows(
            of_block(net, net.m, S), last[STRIDE], net.rows, n_out, s + start * n_out, n_out
        )
        back_from_outputs(net, WT, out + start * n_out * n_in)
