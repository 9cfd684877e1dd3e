# Activations on vectors: each h = σ(s), followed by its derivative σ'(s).
#
# The twin of fastbp/backends/numba_/elementwise.py.

cdef extern from *:
    """
    static const double INV_SQRT_2PI = 0.3989422804014327;
    """
    const double INV_SQRT_2PI


cdef inline vec sigmoid_derivative(vec s, vec h) noexcept nogil:
    return h * (<real>1.0 - h)


cdef inline vec tanh_derivative(vec s, vec h) noexcept nogil:
    return <real>1.0 - h * h


cdef inline vec relu(vec s) noexcept nogil:
    return select_le(s, splat(0.0), splat(0.0), s)


cdef inline vec relu_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(1.0), splat(0.0))


cdef inline vec leaky_relu(vec s) noexcept nogil:
    return select_le(s, splat(0.0), <real>LEAKY_SLOPE * s, s)


cdef inline vec leaky_relu_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(1.0), splat(LEAKY_SLOPE))


cdef inline vec elu(vec s) noexcept nogil:
    return select_le(s, splat(0.0), expm1_nonpositive(-absolute(s)), s)


cdef inline vec elu_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(1.0), h + <real>1.0)


cdef inline vec softplus(vec s) noexcept nogil:
    return select_lt(s, splat(0.0), splat(0.0), s) + log1p_unit(exp(-absolute(s)))


cdef inline vec softplus_derivative(vec s, vec h) noexcept nogil:
    return -expm1_nonpositive(-h)


cdef inline vec silu(vec s) noexcept nogil:
    return s * sigmoid(s)


cdef inline vec silu_derivative(vec s, vec h) noexcept nogil:
    cdef vec p = sigmoid(s)
    return p + h * (<real>1.0 - p)


cdef inline vec gelu(vec s) noexcept nogil:
    return s * normal_cdf(s, gaussian(s))


cdef inline vec gelu_derivative(vec s, vec h) noexcept nogil:
    cdef vec e = gaussian(s)
    return normal_cdf(s, e) + s * e * <real>INV_SQRT_2PI


cdef void activate(Py_ssize_t code, const real *s, real *h, Py_ssize_t n) noexcept nogil:
    """h[:n] = σ(s[:n]); n is a multiple of the vector length, h may be s."""
    cdef Py_ssize_t i
    check(s, n)
    check(h, n)
    if code == SIGMOID:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, sigmoid(load(s, i)))
    elif code == TANH:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, tanh(load(s, i)))
    elif code == RELU:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, relu(load(s, i)))
    elif code == LEAKY_RELU:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, leaky_relu(load(s, i)))
    elif code == ELU:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, elu(load(s, i)))
    elif code == SOFTPLUS:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, softplus(load(s, i)))
    elif code == SILU:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, silu(load(s, i)))
    elif code == GELU:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, gelu(load(s, i)))
    # identity: h is s


cdef void multiply_by_derivative(
    Py_ssize_t code, const real *s, const real *h, real *d, Py_ssize_t n
) noexcept nogil:
    """d[:n] *= σ'(s[:n]), which turns ∂e/∂h into ∂e/∂s."""
    cdef Py_ssize_t i
    check(s, n)
    check(h, n)
    check(d, n)
    if code == SIGMOID:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * sigmoid_derivative(load(s, i), load(h, i)))
    elif code == TANH:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * tanh_derivative(load(s, i), load(h, i)))
    elif code == RELU:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * relu_derivative(load(s, i), load(h, i)))
    elif code == LEAKY_RELU:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * leaky_relu_derivative(load(s, i), load(h, i)))
    elif code == ELU:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * elu_derivative(load(s, i), load(h, i)))
    elif code == SOFTPLUS:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * softplus_derivative(load(s, i), load(h, i)))
    elif code == SILU:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * silu_derivative(load(s, i), load(h, i)))
    elif code == GELU:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * gelu_derivative(load(s, i), load(h, i)))
