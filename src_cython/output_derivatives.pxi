# Output activations h_m = σ_m(s_m) in calls for derivatives: the chain rule forward and back. The twin
# of fastbp/backends/numba_/output_derivatives.py.


cdef inline Py_ssize_t output_code(Net *net) noexcept nogil:
    """The code of σ_m, if it is elementwise and neither identity nor exp; else IDENTITY."""
    return SIGMOID if net.loss == LOG_LOSS else net.plan[net.m * COLUMNS + PAIRED]


cdef inline bint ends_in_identity(Net *net) noexcept nogil:
    """Whether h_m is s_m."""
    return output_code(net) == IDENTITY and net.loss != CROSS_ENTROPY and net.loss != POISSON


cdef void slopes_of_outputs(
    Net *net, Py_ssize_t order, const real **first, const real **second
) noexcept nogil:
    """σ_m' of the block's rows, and σ_m'' if `order` is 2; both are laid out like s_m."""
    cdef const real *s = of_block(net, net.m, S)
    cdef const real *h = outputs(net)
    cdef real *d1 = target_rows(net)
    cdef Py_ssize_t code = output_code(net)
    cdef Py_ssize_t n = padded(net.rows * net.plan[net.m * COLUMNS + STRIDE])
    if net.loss == POISSON:
        first[0] = second[0] = h
        return
    fill(d1, order * n, 1.0)
    multiply_by_derivative(code, s, h, d1, n)
    if order > 1:
        multiply_by_second_derivative(code, s, h, d1 + n, n)
    first[0], second[0] = d1, d1 + n


cdef real sum_of_squares(const real *x, Py_ssize_t n) noexcept nogil:
    """Σ x² of n numbers."""
    cdef Py_ssize_t whole = n // FBP_LANES * FBP_LANES, j
    cdef vec v, total = splat(0.0)
    cdef real found
    for j from 0 <= j < whole by FBP_LANES:
        v = load(x, j)
        total = fma(v, v, total)
    found = sum_lanes(total)
    for j in range(whole, n):
        found += x[j] * x[j]
    return found


cdef void subtract_means(
    const real *p, real *x, Py_ssize_t n, Py_ssize_t K, real *means
) noexcept nogil:
    """x_jk -= Σ_i p_i x_ik, for n rows of K numbers; `means` has space for a row."""
    cdef Py_ssize_t j, k
    cdef real mean, factor
    cdef real *row
    check(x, n * K)
    check(means, K)
    if K == 1:
        mean = p[0] * x[0]
        for j in range(1, n):
            mean += p[j] * x[j]
        for j in range(n):
            x[j] -= mean
        return
    for k in range(K):
        means[k] = p[0] * x[k]
    for j in range(1, n):
        factor, row = p[j], x + j * K
        for k in range(K):
            means[k] += factor * row[k]
    for j in range(n):
        row = x + j * K
        for k in range(K):
            row[k] -= means[k]


cdef void scale_by(const real *p, real *x, Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    """x_jk *= p_j, for n rows of K numbers."""
    cdef Py_ssize_t j, k
    cdef real factor
    cdef real *row
    for j in range(n):
        factor, row = p[j], x + j * K
        for k in range(K):
            row[k] *= factor


cdef void add_squares(
    const real *x, Py_ssize_t n, Py_ssize_t K, real *target, Py_ssize_t width
) noexcept nogil:
    """Add x_jk², or their sums over k to a `width` of 1."""
    cdef Py_ssize_t j, k
    check(target, n * width)
    if width == K:
        for k in range(n * K):
            target[k] += x[k] * x[k]
    else:
        for j in range(n):
            target[j] += sum_of_squares(x + j * K, K)


cdef void through_softmax(
    Net *net, real *first, real *second, Py_ssize_t K, Py_ssize_t width
) noexcept nogil:
    """`through_outputs` for softmax. With p = h_m and u_k = s'_k - <p, s'_k>, p'_k = p ∘ u_k.

    With v_k = u_k² + s''_k, p''_k = p ∘ (v_k - <p, v_k>), or the sum of these over k.
    """
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], r
    cdef const real *p = outputs(net)
    cdef real *means = scratch(net)
    for r in range(net.rows):
        subtract_means(p, first, n, K, means)
        if width == 0:
            scale_by(p, first, n, K)
        else:
            add_squares(first, n, K, second, width)
            subtract_means(p, second, n, width, means)
            scale_by(p, second, n, width)
            second += n * width
        p += stride
        first += n * K


cdef void through_outputs(
    Net *net, real *first, real *second, Py_ssize_t K, Py_ssize_t width
) noexcept nogil:
    """Turn derivatives of s_m by the inputs into derivatives of h_m, in place.

    For each output of a row, `first` has K first derivatives, and `second` as many second ones,
    their sum for a `width` of 1, or none for 0. With second ones, the first ones may get lost.
    """
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], r, j, k
    cdef const real *d1
    cdef const real *d2
    cdef real *x
    cdef real *z
    cdef real slope, curve
    if ends_in_identity(net):
        return
    if net.loss == CROSS_ENTROPY:
        through_softmax(net, first, second, K, width)
        return
    slopes_of_outputs(net, 2 if width > 0 else 1, &d1, &d2)
    check(first, net.rows * n * K)
    check(second, net.rows * n * width)
    for r in range(net.rows):
        for j in range(n):
            slope, x = d1[r * stride + j], first + (r * n + j) * K
            if width == 0:
                for k in range(K):
                    x[k] *= slope
                continue
            curve, z = d2[r * stride + j], second + (r * n + j) * width
            if width == K:
                for k in range(K):
                    z[k] = slope * z[k] + curve * (x[k] * x[k])
            else:
                z[0] = slope * z[0] + curve * sum_of_squares(x, K)


cdef void back_through_outputs(Net *net, const real *v) noexcept nogil:
    """∂f/∂s_m of the block's rows, from ∂f/∂h_m without padding, to ds_m."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], size = padded(net.rows * stride), r, j
    cdef const real *s = of_block(net, net.m, S)
    cdef const real *h
    cdef real *dh = target_rows(net)
    cdef real *d = of_block(net, net.m, DS)
    cdef vec total, mean
    if ends_in_identity(net):
        put_deltas(net, v)
        return
    fill(dh, size, 0.0)
    copy_rows(v, n, net.rows, n, dh, stride)
    h = outputs(net)  # in the place of d
    if net.loss == CROSS_ENTROPY:
        for r from 0 <= r < net.rows * stride by stride:
            total = splat(0.0)
            for j from r <= j < r + n by FBP_LANES:
                total = fma(load(h, j), load(dh, j), total)
            mean = splat(sum_lanes(total))
            for j from r <= j < r + n by FBP_LANES:
                store(d, j, keep_first(load(h, j) * (load(dh, j) - mean), r + n - j, 0.0))
    elif net.loss == POISSON:
        for j from 0 <= j < size by FBP_LANES:
            store(d, j, load(h, j) * load(dh, j))
    else:
        multiply_by_derivative(output_code(net), s, h, dh, size)
        for j from 0 <= j < size by FBP_LANES:
            store(d, j, load(dh, j))


cdef void run_input_vjp(
    Net *net, Data *data, const real *v, real *transposed, real *gradient, real *errors
) noexcept nogil:
    """Fill `gradient` and `errors`, unless they are NULL."""
    cdef Py_ssize_t stride
    cdef const real *h
    begin(net, transposed, errors != NULL)
    take_rows(net, 0, net.block)
    h = gather(net, data, 0, &stride)
    forward_pass(net, h, stride)
    back_through_outputs(net, v)
    backward_pass(net, transposed)
    if gradient != NULL:
        accumulate(net, h, stride, net.rows, gradient, WHOLE)
    if errors != NULL:
        copy_input_errors(net, transposed, errors)
