# The passes of backpropagation over a block of rows, layer by layer.
#
# A Net is the network with the memory to run it in, a Data the samples. Layer i's arrays lie in
# the workspace where the plan says (see fastbp/layout.py). The twin of
# fastbp/backends/numba_/passes.py.

from libc.stdint cimport int64_t

# The network and the memory to run it in; m is the number of layers.
cdef struct Net:
    const int64_t *plan
    Py_ssize_t m
    Py_ssize_t loss
    real *parameters
    Py_ssize_t block
    real *workspace

# The samples. Labels, weights and an order that are not there are NULL.
cdef struct Data:
    const real *X
    const int64_t *labels
    const real *targets
    const real *weight
    const int64_t *order


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    """n rounded up to whole vectors."""
    return (n + FBP_LANES - 1) // FBP_LANES * FBP_LANES


cdef inline real *scratch(Net *net, Py_ssize_t arrays_of_outputs) noexcept nogil:
    """Start of the workspace behind the layers' arrays and some arrays of outputs."""
    cdef const int64_t *last = net.plan + net.m * COLUMNS
    cdef Py_ssize_t outputs = padded(net.block * last[SIZE])
    cdef Py_ssize_t start = net.block * (last[DS] + last[STRIDE])
    return net.workspace + start + arrays_of_outputs * outputs


cdef inline real *unit(Net *net) noexcept nogil:
    """The unit that is always 1, whose weights are the biases."""
    return scratch(net, 2) + padded(net.block)


cdef inline real *zero_row(Net *net) noexcept nogil:
    """The row of zeros at the end of the workspace."""
    return unit(net) + FBP_LANES


cdef void set_constants(Net *net) noexcept nogil:
    """Write the one and the zeros."""
    cdef real *zeros = zero_row(net)
    cdef Py_ssize_t i, j, widest = 0
    for i in range(net.m + 1):
        widest = max(widest, net.plan[i * COLUMNS + STRIDE])
    check(unit(net), FBP_LANES)
    check(zeros, widest)
    store(unit(net), 0, splat(1.0))
    for j from 0 <= j < widest by FBP_LANES:
        store(zeros, j, splat(0.0))


cdef void transpose_rows(
    Net *net, Py_ssize_t i, real *transposed, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """Copy the weight rows first..last - 1 of layer i into columns of the transposed copy."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_out = here[SIZE], stride = here[STRIDE]
    cdef Py_ssize_t stride_in = net.plan[(i - 1) * COLUMNS + STRIDE]
    cdef const real *W = net.parameters + here[WEIGHTS]
    cdef real *WT = transposed + here[TRANSPOSED]
    cdef Py_ssize_t j, k
    if last > first:
        check(W + first * stride, (last - first) * stride)
        check(WT, (n_out - 1) * stride_in + last)
    for j in range(n_out):
        for k in range(first, last):
            WT[j * stride_in + k] = W[k * stride + j]


cdef void transpose(Net *net, real *transposed) noexcept nogil:
    """Copy all weights that deltas are passed back through."""
    cdef Py_ssize_t i
    for i in range(2, net.m + 1):
        transpose_rows(net, i, transposed, 0, net.plan[(i - 1) * COLUMNS + SIZE])


cdef inline Py_ssize_t row_of(Data *data, Py_ssize_t i) noexcept nogil:
    """The number of the sample that comes i-th."""
    return data.order[i] if data.order != NULL else i


cdef const real *gather(
    Net *net, Data *data, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t *stride
) noexcept nogil:
    """The samples start..start + rows - 1 of the order, and the stride between them.

    They are copied into the workspace as padded rows, or in natural order used in place.
    """
    cdef Py_ssize_t n_in = net.plan[SIZE], r, j
    cdef const real *source
    cdef real *target
    if data.order == NULL:
        stride[0] = n_in
        check(data.X + start * n_in, rows * n_in)
        return data.X + start * n_in
    stride[0] = net.plan[STRIDE]
    check(net.workspace, rows * stride[0])
    for r in range(rows):
        source = data.X + row_of(data, start + r) * n_in
        target = net.workspace + r * stride[0]
        check(source, n_in)
        for j in range(n_in):
            target[j] = source[j]
    return net.workspace


cdef void forward(
    Net *net, const real *h, Py_ssize_t stride_in, Py_ssize_t rows
) noexcept nogil:
    """s_i = h_{i-1} W_i + b_i and h_i = σ_i(s_i) for i = 1..m; the output is left at s_m."""
    cdef Py_ssize_t i, stride, n_in = net.plan[SIZE]
    cdef const int64_t *here
    cdef const real *W
    cdef const real *bias
    cdef real *s
    for i in range(1, net.m + 1):
        here = net.plan + i * COLUMNS
        stride = here[STRIDE]
        W = net.parameters + here[WEIGHTS]
        bias = W + n_in * stride
        s = net.workspace + net.block * here[S]
        product(h, stride_in, 1, W, stride, bias, 0, s, stride, rows, stride, n_in)
        h = net.workspace + net.block * here[H]
        activate(here[ACTIVATION], s, <real *>h, rows * stride)
        n_in, stride_in = here[SIZE], stride


cdef double output_deltas(
    Net *net, Data *data, Py_ssize_t start, Py_ssize_t rows, double total, double numerator
) noexcept nogil:
    """Add w e of some rows to `numerator`; their ∂e/∂s_m, times w / `total`, goes to ds_m."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], i, r, j, row
    cdef real *s = net.workspace + net.block * here[S]
    cdef real *d = net.workspace + net.block * here[DS]
    cdef real *y = scratch(net, 0)
    cdef real *packed = scratch(net, 1)
    cdef real *shares = scratch(net, 2)
    cdef real *target
    cdef double weight, e
    check(d, rows * stride)
    check(s, rows * stride)
    check(shares, rows)
    for i from 0 <= i < rows * stride by FBP_LANES:
        store(d, i, splat(0.0))
    for r in range(rows):
        weight = data.weight[row_of(data, start + r)] if data.weight != NULL else 1.0
        shares[r] = <real>(weight / total) if total > 0.0 else <real>0.0

    if net.loss == CROSS_ENTROPY:
        for r in range(rows):
            row = row_of(data, start + r)
            target = d + r * stride
            if data.labels != NULL:
                target[data.labels[row]] = 1.0
            else:
                for j in range(n):
                    target[j] = data.targets[row * n + j]
            e = cross_entropy(s + r * stride, target, n, stride, shares[r])
            if data.weight != NULL:
                e = e * data.weight[row]
            numerator += e
        return numerator

    for r in range(rows):
        row = row_of(data, start + r)
        for j in range(n):
            y[r * n + j] = data.targets[row * n + j]
            packed[r * n + j] = s[r * stride + j]
    pointwise(net.loss, packed, y, padded(rows * n))
    for r in range(rows):
        e = 0.0
        for j in range(n):
            d[r * stride + j] = packed[r * n + j] * shares[r]
            e += y[r * n + j]
        if data.weight != NULL:
            e *= data.weight[row_of(data, start + r)]
        numerator += e
    return numerator


cdef void backward(Net *net, const real *transposed, Py_ssize_t rows) noexcept nogil:
    """∂e/∂s_{i-1} = (∂e/∂s_i W_iᵀ) σ'(s_{i-1}) for i = m..2."""
    cdef Py_ssize_t i, stride, stride_in
    cdef const int64_t *above
    cdef const int64_t *here
    cdef const real *WT
    cdef real *d
    cdef real *d_in
    for i in range(net.m, 1, -1):
        above, here = net.plan + (i - 1) * COLUMNS, net.plan + i * COLUMNS
        stride, stride_in = here[STRIDE], above[STRIDE]
        d = net.workspace + net.block * here[DS]
        d_in = net.workspace + net.block * above[DS]
        WT = transposed + here[TRANSPOSED]
        product(
            d, stride, 1, WT, stride_in, zero_row(net), 0, d_in, stride_in, rows, stride_in,
            here[SIZE],
        )
        multiply_by_derivative(
            above[ACTIVATION],
            net.workspace + net.block * above[S],
            net.workspace + net.block * above[H],
            d_in,
            rows * stride_in,
        )


cdef void weight_gradient(
    Net *net, Py_ssize_t i, const real *h, Py_ssize_t stride_in, Py_ssize_t rows,
    real *gradient, bint adding, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """∇W_i = h_{i-1}ᵀ ∂e/∂s_i for its rows first..last - 1, of which row n_{i-1} is ∇b_i.

    `h` and `stride_in` are those of the network's input. `adding` continues the sums of
    earlier rows of the batch.
    """
    cdef const int64_t *above = net.plan + (i - 1) * COLUMNS
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_in = above[SIZE], stride = here[STRIDE], ldi = 0
    cdef Py_ssize_t of_weights = min(last, n_in) - first
    cdef const real *d = net.workspace + net.block * here[DS]
    cdef real *G = gradient + here[WEIGHTS]
    cdef real *target
    cdef const real *init = zero_row(net)
    if i > 1:
        h, stride_in = net.workspace + net.block * above[H], above[STRIDE]
    if of_weights > 0:
        target = G + first * stride
        if adding:
            init, ldi = target, stride
        product(
            h + first, 1, stride_in, d, stride, init, ldi, target, stride, of_weights, stride, rows
        )
    if last > n_in:
        target = G + n_in * stride
        if adding:
            init = target
        product(unit(net), 0, 0, d, stride, init, 0, target, stride, 1, stride, rows)


cdef void accumulate(
    Net *net, const real *h, Py_ssize_t stride_in, Py_ssize_t rows, real *gradient,
    bint adding
) noexcept nogil:
    """The gradient of all layers from a block's rows."""
    cdef Py_ssize_t i, last
    for i in range(net.m, 0, -1):
        last = net.plan[(i - 1) * COLUMNS + SIZE] + 1
        weight_gradient(net, i, h, stride_in, rows, gradient, adding, 0, last)
