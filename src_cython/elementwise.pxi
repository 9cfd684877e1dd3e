# Activations on vectors: each h = σ(s), then its first three derivatives.
#
# The twin of fastbp/backends/numba_/elementwise.py.

cdef extern from *:
    """
    static const double INV_SQRT_2PI = 0.3989422804014327;
    """
    const double INV_SQRT_2PI


cdef inline vec zero(vec s, vec h) noexcept nogil:
    """The higher derivatives of piecewise linear functions."""
    return splat(0.0)


cdef inline vec sigmoid_derivative(vec s, vec h) noexcept nogil:
    return h * (<real>1.0 - h)


cdef inline vec sigmoid_second_derivative(vec s, vec h) noexcept nogil:
    return h * (<real>1.0 - h) * (<real>1.0 - <real>2.0 * h)


cdef inline vec sigmoid_third_derivative(vec s, vec h) noexcept nogil:
    cdef vec d = h * (<real>1.0 - h)
    return d * (<real>1.0 - <real>6.0 * d)


cdef inline vec tanh_derivative(vec s, vec h) noexcept nogil:
    return <real>1.0 - h * h


cdef inline vec tanh_second_derivative(vec s, vec h) noexcept nogil:
    return <real>-2.0 * h * (<real>1.0 - h * h)


cdef inline vec tanh_third_derivative(vec s, vec h) noexcept nogil:
    cdef vec d = <real>1.0 - h * h
    return d * (<real>4.0 - <real>6.0 * d)


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


cdef inline vec elu_second_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(0.0), h + <real>1.0)


cdef inline vec elu_third_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(0.0), h + <real>1.0)


cdef inline vec softplus(vec s) noexcept nogil:
    return select_lt(s, splat(0.0), splat(0.0), s) + log1p_unit(exp(-absolute(s)))


cdef inline vec softplus_derivative(vec s, vec h) noexcept nogil:
    return -expm1_nonpositive(-h)


cdef inline vec softplus_second_derivative(vec s, vec h) noexcept nogil:
    """p (1 - p) with p = σ(s) = 1 - exp(-h)."""
    return -expm1_nonpositive(-h) * exp(-h)


cdef inline vec softplus_third_derivative(vec s, vec h) noexcept nogil:
    """p q (q - p) with p = σ(s) = 1 - exp(-h) and q = 1 - p."""
    cdef vec p = -expm1_nonpositive(-h), q = exp(-h)
    return p * q * (q - p)


cdef inline vec silu(vec s) noexcept nogil:
    return s * sigmoid(s)


cdef inline vec silu_derivative(vec s, vec h) noexcept nogil:
    cdef vec p = sigmoid(s)
    return p + h * (<real>1.0 - p)


cdef inline vec silu_second_derivative(vec s, vec h) noexcept nogil:
    cdef vec p = sigmoid(s)
    return p * (<real>1.0 - p) * (<real>2.0 + s * (<real>1.0 - <real>2.0 * p))


cdef inline vec silu_third_derivative(vec s, vec h) noexcept nogil:
    cdef vec p = sigmoid(s)
    cdef vec d = p * (<real>1.0 - p)
    return d * (<real>3.0 * (<real>1.0 - <real>2.0 * p) + s * (<real>1.0 - <real>6.0 * d))


cdef inline vec gelu(vec s) noexcept nogil:
    return s * normal_cdf(s, gaussian(s))


cdef inline vec gelu_derivative(vec s, vec h) noexcept nogil:
    cdef vec e = gaussian(s)
    return normal_cdf(s, e) + s * e * <real>INV_SQRT_2PI


cdef inline vec gelu_second_derivative(vec s, vec h) noexcept nogil:
    cdef vec e = gaussian(s) * <real>INV_SQRT_2PI
    return <real>2.0 * e - e * s * s  # (2 - s²) e, which would be NaN where s² overflows


cdef inline vec gelu_third_derivative(vec s, vec h) noexcept nogil:
    cdef vec e = gaussian(s) * <real>INV_SQRT_2PI
    return s * (e * s * s - <real>4.0 * e)


cdef inline vec sin_derivative(vec s, vec h) noexcept nogil:
    return cos(s)


cdef inline vec sin_second_derivative(vec s, vec h) noexcept nogil:
    return -h


cdef inline vec sin_third_derivative(vec s, vec h) noexcept nogil:
    return -cos(s)


cdef inline vec hard_tanh(vec s) noexcept nogil:
    return at_most(at_least(s, -1.0), 1.0)


cdef inline vec hard_tanh_derivative(vec s, vec h) noexcept nogil:
    return select_lt(absolute(h), splat(1.0), splat(1.0), splat(0.0))


cdef inline vec selu(vec s) noexcept nogil:
    cdef vec below = <real>SELU_DEPTH * expm1_nonpositive(-absolute(s))
    return select_le(s, splat(0.0), below, <real>SELU_SCALE * s)


cdef inline vec selu_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(SELU_SCALE), h + <real>SELU_DEPTH)


cdef inline vec selu_second_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(0.0), h + <real>SELU_DEPTH)


cdef inline vec selu_third_derivative(vec s, vec h) noexcept nogil:
    return select_lt(splat(0.0), h, splat(0.0), h + <real>SELU_DEPTH)


cdef inline vec tanh_of_softplus(vec s) noexcept nogil:
    """tanh(ln(1 + exp(s))) = ((1 + exp(s))² - 1) / ((1 + exp(s))² + 1), in powers of exp(-|s|)."""
    cdef vec u = exp(-absolute(s))
    cdef vec above = select_lt(s, splat(0.0), u * (u + <real>2.0), <real>1.0 + <real>2.0 * u)
    return above / (above + select_lt(s, splat(0.0), splat(2.0), <real>2.0 * u * u))


cdef inline vec mish(vec s) noexcept nogil:
    return s * tanh_of_softplus(s)


cdef inline vec mish_derivative(vec s, vec h) noexcept nogil:
    """t + s d with t = tanh(ln(1 + exp(s))), d = t' = (1 - t²) p and p = 1 / (1 + exp(-s))."""
    cdef vec t = tanh_of_softplus(s)
    return t + s * ((<real>1.0 - t * t) * sigmoid(s))


cdef inline vec mish_second_derivative(vec s, vec h) noexcept nogil:
    """2 d + s d a with a = d' / d."""
    cdef vec t = tanh_of_softplus(s), p = sigmoid(s)
    cdef vec d = (<real>1.0 - t * t) * p
    return <real>2.0 * d + s * d * (<real>1.0 - p - <real>2.0 * t * p)


cdef inline vec mish_third_derivative(vec s, vec h) noexcept nogil:
    """3 d a + s d (a² + a')."""
    cdef vec t = tanh_of_softplus(s), p = sigmoid(s)
    cdef vec d = (<real>1.0 - t * t) * p
    cdef vec a = <real>1.0 - p - <real>2.0 * t * p
    cdef vec slope = a * a - p * (<real>1.0 - p) * (<real>1.0 + <real>2.0 * t) - <real>2.0 * d * p
    return <real>3.0 * d * a + s * d * slope


ctypedef vec (*Value)(vec s) noexcept nogil
ctypedef vec (*Derivative)(vec s, vec h) noexcept nogil

# The operations over arrays of units.
cdef enum:
    ACTIVATE, MULTIPLY_BY_DERIVATIVE, MULTIPLY_BY_SECOND_DERIVATIVE, MULTIPLY_BY_THIRD_DERIVATIVE


cdef inline void over_units(
    Py_ssize_t operation, const real *s, real *h, real *d, Py_ssize_t n,
    Value value, Derivative derivative, Derivative second_derivative, Derivative third_derivative
) noexcept nogil:
    """Inlined with the functions of one activation, so that none of the calls remains."""
    cdef Py_ssize_t i
    if operation == ACTIVATE:
        for i from 0 <= i < n by FBP_LANES:
            store(h, i, value(load(s, i)))
    elif operation == MULTIPLY_BY_DERIVATIVE:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * derivative(load(s, i), load(h, i)))
    elif operation == MULTIPLY_BY_SECOND_DERIVATIVE:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * second_derivative(load(s, i), load(h, i)))
    else:
        for i from 0 <= i < n by FBP_LANES:
            store(d, i, load(d, i) * third_derivative(load(s, i), load(h, i)))


# C functions of the user's own: for the value, and for its derivatives.
ctypedef void (*OwnValue)(const real *s, real *h, Py_ssize_t n) noexcept nogil
ctypedef void (*OwnDerivative)(const real *s, const real *h, real *d, Py_ssize_t n) noexcept nogil


cdef inline Py_ssize_t code_of(const int64_t *layer) noexcept nogil:
    """What the functions below take as code of a layer, which is a row of the plan.

    For a function of the user's own, that is the address of its table of C functions.
    """
    return layer[FUNCTION] if layer[FUNCTION] != 0 else layer[ACTIVATION]


cdef void elementwise(
    Py_ssize_t code, Py_ssize_t operation, const real *s, real *h, real *d, Py_ssize_t n
) noexcept nogil:
    """All activations but identity, for which h is s."""
    cdef void **functions
    if code >= CODES:
        functions = <void **>code
        if operation == ACTIVATE:
            (<OwnValue>functions[0])(s, h, n)
        else:
            (<OwnDerivative>functions[operation])(s, h, d, n)
    elif code == SIGMOID:
        over_units(
            operation, s, h, d, n,
            sigmoid, sigmoid_derivative, sigmoid_second_derivative, sigmoid_third_derivative
        )
    elif code == TANH:
        over_units(
            operation, s, h, d, n,
            tanh, tanh_derivative, tanh_second_derivative, tanh_third_derivative
        )
    elif code == RELU:
        over_units(operation, s, h, d, n, relu, relu_derivative, zero, zero)
    elif code == LEAKY_RELU:
        over_units(operation, s, h, d, n, leaky_relu, leaky_relu_derivative, zero, zero)
    elif code == ELU:
        over_units(
            operation, s, h, d, n,
            elu, elu_derivative, elu_second_derivative, elu_third_derivative
        )
    elif code == SOFTPLUS:
        over_units(
            operation, s, h, d, n,
            softplus, softplus_derivative, softplus_second_derivative, softplus_third_derivative
        )
    elif code == SILU:
        over_units(
            operation, s, h, d, n,
            silu, silu_derivative, silu_second_derivative, silu_third_derivative
        )
    elif code == GELU:
        over_units(
            operation, s, h, d, n,
            gelu, gelu_derivative, gelu_second_derivative, gelu_third_derivative
        )
    elif code == SIN:
        over_units(
            operation, s, h, d, n,
            sin, sin_derivative, sin_second_derivative, sin_third_derivative
        )
    elif code == HARD_TANH:
        over_units(operation, s, h, d, n, hard_tanh, hard_tanh_derivative, zero, zero)
    elif code == SELU:
        over_units(
            operation, s, h, d, n,
            selu, selu_derivative, selu_second_derivative, selu_third_derivative
        )
    elif code == MISH:
        over_units(
            operation, s, h, d, n,
            mish, mish_derivative, mish_second_derivative, mish_third_derivative
        )


cdef void activate(Py_ssize_t code, const real *s, real *h, Py_ssize_t n) noexcept nogil:
    """h[:n] = σ(s[:n]); n is a multiple of the vector length, h may be s."""
    check(s, n)
    check(h, n)
    elementwise(code, ACTIVATE, s, h, NULL, n)


cdef void multiply_by_derivative(
    Py_ssize_t code, const real *s, const real *h, real *d, Py_ssize_t n
) noexcept nogil:
    """d[:n] *= σ'(s[:n]), which turns ∂e/∂h into ∂e/∂s."""
    check(s, n)
    check(h, n)
    check(d, n)
    elementwise(code, MULTIPLY_BY_DERIVATIVE, s, <real *>h, d, n)


cdef void multiply_by_second_derivative(
    Py_ssize_t code, const real *s, const real *h, real *d, Py_ssize_t n
) noexcept nogil:
    """d[:n] *= σ''(s[:n])."""
    check(s, n)
    check(h, n)
    check(d, n)
    elementwise(code, MULTIPLY_BY_SECOND_DERIVATIVE, s, <real *>h, d, n)


cdef void multiply_by_third_derivative(
    Py_ssize_t code, const real *s, const real *h, real *d, Py_ssize_t n
) noexcept nogil:
    """d[:n] *= σ'''(s[:n])."""
    check(s, n)
    check(h, n)
    check(d, n)
    elementwise(code, MULTIPLY_BY_THIRD_DERIVATIVE, s, <real *>h, d, n)
