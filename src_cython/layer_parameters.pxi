# What hidden layers compute between s_i and the next layer: normalisation, activation, dropout and
# residual connection, forward and back.
#
# With LayerNorm (Ba, Kiros and Hinton, arXiv:1607.06450) z = γ x̂ + β with x̂ = (s - mean(s)) r and
# r = 1 / sqrt(var(s) + ε), where mean and variance are over the units of a row. RMSNorm (Zhang and
# Sennrich, NeurIPS 2019) has neither means nor shift: r = 1 / sqrt(mean(s²) + ε), z = γ x̂. Then
# h = σ(z), and out = h, plus the out of the layer below where there is a residual connection. In the
# workspace z takes the place of s; x̂ and r stay until the backward pass.
#
# A layer's own parameters follow its biases, a row each: γ and β, then the slopes of PReLU. The
# backward pass leaves the terms of their gradients, a row for each sample, in TERMS; the gradients
# are the sums over the rows, as for the biases. The twin of
# fastbp/backends/numba_/layer_parameters.py.


cdef inline const real *own_parameters(Net *net, Py_ssize_t i) noexcept nogil:
    """The rows of layer i's parameters behind its biases."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    return net.parameters + here[WEIGHTS] + (net.plan[(i - 1) * COLUMNS + SIZE] + 1) * here[STRIDE]


cdef inline real *terms_of(Net *net, Py_ssize_t i, Py_ssize_t which) noexcept nogil:
    """The block's terms of the gradient of a row of layer i's parameters behind its biases."""
    return of_block(net, i, TERMS) + which * net.block * net.plan[i * COLUMNS + STRIDE]


cdef void normalize(Net *net, Py_ssize_t i) noexcept nogil:
    """Own rows of z_i from s_i, in place; x̂ and r are kept."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], r, j
    cdef bint centred = here[NORM] == LAYER_NORM
    cdef const real *gamma = own_parameters(net, i)
    cdef const real *beta = gamma + stride
    cdef real *s = of_own(net, i, S)
    cdef real *x = of_own(net, i, NORMALIZED)
    cdef real *scales = of_block(net, i, INVERSE) + net.first * FBP_LANES
    cdef vec total, mean, squares, scale, d, count = splat(n)
    check(s, net.rows * stride)
    check(x, net.rows * stride)
    check(scales, net.rows * FBP_LANES)
    for r in range(net.rows):
        mean = splat(0.0)
        if centred:
            total = splat(0.0)
            for j from 0 <= j < n by FBP_LANES:
                total = total + load(s, j)
            mean = splat(sum_lanes(total)) / count
        squares = splat(0.0)
        for j from 0 <= j < n by FBP_LANES:
            d = keep_first(load(s, j) - mean, n - j, 0.0)
            squares = fma(d, d, squares)
            store(x, j, d)
        scale = splat(1.0) / sqrt(splat(sum_lanes(squares)) / count + splat(NORM_EPSILON))
        store(scales, r * FBP_LANES, scale)
        for j from 0 <= j < n by FBP_LANES:
            d = load(x, j) * scale
            store(x, j, d)
            if centred:
                store(s, j, fma(load(gamma, j), d, load(beta, j)))
            else:
                store(s, j, load(gamma, j) * d)
        s, x = s + stride, x + stride


cdef void normalize_back(Net *net, Py_ssize_t i) noexcept nogil:
    """Own rows of ∂e/∂s_i from ∂e/∂z_i, in place, and the terms of ∇γ and ∇β.

    With g = γ ∂e/∂z, ∂e/∂s = r (g - mean(g) - x̂ mean(g x̂)); RMSNorm lacks mean(g).
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], r, j
    cdef bint centred = here[NORM] == LAYER_NORM
    cdef const real *gamma = own_parameters(net, i)
    cdef const real *x = of_own(net, i, NORMALIZED)
    cdef const real *scales = of_block(net, i, INVERSE) + net.first * FBP_LANES
    cdef real *d = of_own(net, i, DS)
    cdef real *of_gamma = terms_of(net, i, 0) + net.first * stride
    cdef real *of_beta = terms_of(net, i, 1) + net.first * stride
    cdef vec dz, g, of_sum, of_products, mean, product_mean, scale
    cdef vec count = splat(n)
    check(d, net.rows * stride)
    check(of_gamma, net.rows * stride)
    for r in range(net.rows):
        of_sum = of_products = splat(0.0)
        for j from 0 <= j < n by FBP_LANES:
            dz = load(d, j)
            g = dz * load(gamma, j)
            of_sum = of_sum + g
            of_products = fma(g, load(x, j), of_products)
            store(of_gamma, j, dz * load(x, j))
            if centred:
                store(of_beta, j, dz)
            store(d, j, g)
        mean = splat(sum_lanes(of_sum)) / count
        product_mean = splat(sum_lanes(of_products)) / count
        scale = load(scales, r * FBP_LANES)
        for j from 0 <= j < n by FBP_LANES:
            if centred:
                g = load(d, j) - fma(load(x, j), product_mean, mean)
            else:
                g = load(d, j) - load(x, j) * product_mean
            store(d, j, keep_first(scale * g, n - j, 0.0))
        d, x = d + stride, x + stride
        of_gamma, of_beta = of_gamma + stride, of_beta + stride


cdef inline Py_ssize_t slopes_row(const int64_t *here) noexcept nogil:
    """The number of the row of PReLU's slopes behind a layer's biases."""
    return here[EXTRAS] - 1


cdef void prelu(Net *net, Py_ssize_t i) noexcept nogil:
    """Own rows of h_i: z, or a z where z is not positive, with each unit's slope a."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], r, j
    cdef const real *a = own_parameters(net, i) + slopes_row(here) * stride
    cdef const real *z = of_own(net, i, S)
    cdef real *h = of_own(net, i, H)
    cdef vec x
    check(z, net.rows * stride)
    check(h, net.rows * stride)
    for r in range(net.rows):
        for j from 0 <= j < n by FBP_LANES:
            x = load(z, r * stride + j)
            store(h, r * stride + j, select_le(x, splat(0.0), load(a, j) * x, x))


cdef void prelu_back(Net *net, Py_ssize_t i) noexcept nogil:
    """Own rows of ∂e/∂z_i from ∂e/∂h_i, in place, and the terms of the gradient of the slopes."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], r, j, at
    cdef const real *a = own_parameters(net, i) + slopes_row(here) * stride
    cdef const real *z = of_own(net, i, S)
    cdef real *d = of_own(net, i, DS)
    cdef real *of_slopes = terms_of(net, i, slopes_row(here)) + net.first * stride
    cdef vec x, dh, zero = splat(0.0)
    check(d, net.rows * stride)
    check(of_slopes, net.rows * stride)
    for r in range(net.rows):
        for j from 0 <= j < n by FBP_LANES:
            at = r * stride + j
            x, dh = load(z, at), load(d, at)
            store(of_slopes, at, select_le(x, zero, dh * x, zero))
            store(d, at, select_le(x, zero, dh * load(a, j), dh))


cdef void add_below(Net *net, Py_ssize_t i) noexcept nogil:
    """Own rows of out_i = h_i, or what dropout leaves of it, plus out_{i-1}."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t j, n = net.rows * here[STRIDE]
    cdef const real *h = of_own(net, i, OUTPUT if here[DROPOUT] != 0 else H)
    cdef const real *below = of_own(net, i - 1, OUTPUT)
    cdef real *out = of_own(net, i, OUTPUT)
    check(out, n)
    for j from 0 <= j < n by FBP_LANES:
        store(out, j, load(h, j) + load(below, j))


cdef inline void through_hidden(Net *net, Py_ssize_t i) noexcept nogil:
    """Own rows of out_i of a hidden layer from s_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    if rarely(here[NORM] != NO_NORM):
        normalize(net, i)
    if rarely(here[ACTIVATION] == PRELU):
        prelu(net, i)
    else:
        activate(code_of(here), of_own(net, i, S), of_own(net, i, H), net.rows * here[STRIDE])
    if here[DROPOUT] != 0:
        drop_units(net, i, of_own(net, i, H), of_own(net, i, OUTPUT))
    if rarely(here[RESIDUAL] != 0):
        add_below(net, i)


cdef inline void back_through_hidden(Net *net, Py_ssize_t i) noexcept nogil:
    """Own rows of ∂e/∂s_i of a hidden layer from those of ∂e/∂out_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = net.rows * here[STRIDE], j
    cdef const real *dh = of_own(net, i, DH)
    cdef real *d = of_own(net, i, DS)
    if here[DROPOUT] != 0:
        drop_units(net, i, dh, d)
    elif rarely(here[RESIDUAL] != 0):  # elsewhere d is dh
        check(dh, n)
        check(d, n)
        for j from 0 <= j < n by FBP_LANES:
            store(d, j, load(dh, j))
    if rarely(here[ACTIVATION] == PRELU):
        prelu_back(net, i)
    else:
        multiply_by_derivative(code_of(here), of_own(net, i, S), of_own(net, i, H), d, n)
    if rarely(here[NORM] != NO_NORM):
        normalize_back(net, i)
