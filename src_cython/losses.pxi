# Losses with their output activations: a sample's loss e and its delta ∂e/∂s.
#
# Below each loss is the product of its Hessian ∂²e/∂s∂s and a vector v. All but cross_entropy treat
# each output by itself; their results for padding are not used. The twin of
# fastbp/backends/numba_/losses.py.

# The signature of a user's loss, see `function` in fastbp/backends/interface.py.
from libc.stdint cimport int64_t, uint64_t

ctypedef void (*LossFunction)(
    int64_t rows, int64_t n, int64_t stride, real *s, real *y, real *unwritten
) noexcept nogil


cdef void call_outside(
    LossFunction function, uint64_t outside, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride,
    real *s, real *y, real *unwritten
) noexcept nogil:
    """Call a user's loss with the floating-point control word of the kernel's caller."""
    cdef uint64_t inside = control()
    set_control(outside)
    function(rows, n, stride, s, y, unwritten)
    set_control(inside)


# Losses that treat each output by itself: in `size` numbers, they replace pre-activations s by deltas
# and targets y by losses. Their Hessians are diagonal, so the products are functions of vectors.


cdef void log_loss(double parameter, Py_ssize_t size, real *s, real *y) noexcept nogil:
    """A positive parameter clips the probabilities in the reported loss."""
    cdef Py_ssize_t i
    cdef vec x, t, h, u, p, least, most, zero = splat(0.0)
    if parameter > 0:
        least, most = splat(<real>parameter), splat(<real>(1 - parameter))
        for i from 0 <= i < size by FBP_LANES:
            h, t = sigmoid(load(s, i)), load(y, i)
            p = select_lt(splat(0.5), t, h, <real>1.0 - h)
            store(y, i, -log(select_lt(p, least, least, select_lt(most, p, most, p))))
            store(s, i, h - t)
        return
    for i from 0 <= i < size by FBP_LANES:
        x, t = load(s, i), load(y, i)
        u = exp(-absolute(x))
        h = select_lt(x, zero, u, splat(1.0)) / (<real>1.0 + u)
        store(y, i, fma(-x, t, select_lt(x, zero, zero, x)) + log1p_unit(u))
        store(s, i, h - t)


cdef inline vec log_loss_hessian_product(double parameter, vec s, vec y, vec v) noexcept nogil:
    """h (1 - h) = u / (1 + u)² with u = exp(-|s|), which keeps its digits where h is near 1."""
    cdef vec u = exp(-absolute(s)), a = <real>1.0 + u
    return u / (a * a) * v


cdef void squared_error(double parameter, Py_ssize_t size, real *s, real *y) noexcept nogil:
    """A positive parameter is a factor of the reported loss."""
    cdef Py_ssize_t i
    cdef vec d
    cdef real half = <real>(0.5 * (parameter if parameter > 0 else 1))
    for i from 0 <= i < size by FBP_LANES:
        d = load(s, i) - load(y, i)
        store(y, i, half * d * d)
        store(s, i, d)


cdef inline vec squared_error_hessian_product(
    double parameter, vec s, vec y, vec v
) noexcept nogil:
    return v


cdef inline vec no_curvature(double parameter, vec s, vec y, vec v) noexcept nogil:
    """The product for piecewise linear losses; their kinks count for nothing."""
    return splat(0.0)


cdef void absolute_error(double parameter, Py_ssize_t size, real *s, real *y) noexcept nogil:
    cdef Py_ssize_t i
    cdef vec d, upper, zero = splat(0.0)
    for i from 0 <= i < size by FBP_LANES:
        d = load(s, i) - load(y, i)
        store(y, i, absolute(d))
        upper = select_lt(zero, d, splat(1.0), zero)
        store(s, i, select_lt(d, zero, splat(-1.0), upper))


cdef void huber(double parameter, Py_ssize_t size, real *s, real *y) noexcept nogil:
    cdef Py_ssize_t i
    cdef vec d, linear_part, high = splat(<real>parameter), low = splat(<real>-parameter)
    for i from 0 <= i < size by FBP_LANES:
        d = load(s, i) - load(y, i)
        linear_part = high * absolute(d) - splat(<real>(0.5 * parameter * parameter))
        store(y, i, select_le(absolute(d), high, <real>0.5 * d * d, linear_part))
        store(s, i, select_lt(d, low, low, select_lt(high, d, high, d)))


cdef inline vec huber_hessian_product(double parameter, vec s, vec y, vec v) noexcept nogil:
    """v for |d| ≤ δ, the bounds included; 0 beyond."""
    return select_le(absolute(s - y), splat(<real>parameter), v, splat(0.0))


cdef void poisson(double parameter, Py_ssize_t size, real *s, real *y) noexcept nogil:
    cdef Py_ssize_t i
    cdef vec x, t, h, y_log_y
    for i from 0 <= i < size by FBP_LANES:
        x, t = load(s, i), load(y, i)
        h = exp(x)
        y_log_y = t * log(select_le(t, splat(0.0), splat(1.0), t))
        store(y, i, fma(-t, x, h) + (y_log_y - t))
        store(s, i, h - t)


cdef inline vec poisson_hessian_product(double parameter, vec s, vec y, vec v) noexcept nogil:
    return exp(s) * v


cdef inline vec not_negative(vec h) noexcept nogil:
    """NaN where h < 0."""
    return select_lt(h, splat(0.0), splat(NAN), h)


cdef void poisson_rate(double parameter, Py_ssize_t size, real *h, real *y) noexcept nogil:
    """The same as a function of h. It is NaN where h < 0; at 0 it is infinite unless y is 0."""
    cdef Py_ssize_t i
    cdef vec x, t, ratio, zero = splat(0.0)
    for i from 0 <= i < size by FBP_LANES:
        x, t = not_negative(load(h, i)), load(y, i)
        ratio = select_le(t, zero, splat(1.0), t / x)
        store(y, i, t * log(ratio) + (x - t))
        store(h, i, <real>1.0 - select_le(t, zero, <real>0.0 * x, t / x))


cdef inline vec poisson_rate_hessian_product(
    double parameter, vec h, vec y, vec v
) noexcept nogil:
    """y / h²; NaN where h < 0."""
    cdef vec x = not_negative(h)
    return select_le(y, splat(0.0), <real>0.0 * x, y / x / x) * v


cdef void quantile(double parameter, Py_ssize_t size, real *s, real *y) noexcept nogil:
    cdef Py_ssize_t i
    cdef vec d, slope, zero = splat(0.0)
    cdef vec above = splat(<real>(1.0 - parameter)), below = splat(<real>-parameter)
    for i from 0 <= i < size by FBP_LANES:
        d = load(s, i) - load(y, i)
        slope = select_lt(zero, d, above, select_lt(d, zero, below, zero))
        store(y, i, slope * d)
        store(s, i, slope)


cdef inline vec unknown(double parameter, vec s, vec y, vec v) noexcept nogil:
    """A function of the user's own gives no second derivative."""
    return splat(NAN)


cdef void custom(
    LossFunction function, uint64_t outside, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride,
    real *s, real *y, real *unwritten
) noexcept nogil:
    """Call a user's function with the floating-point control word `outside`.

    Losses that it has not written become NaN.
    """
    cdef Py_ssize_t r
    if rows == 0:
        return
    unwritten[0] = 1.0
    call = call_outside
    hide(&call)
    call(function, outside, rows, n, stride, s, y, unwritten)
    if unwritten[0] != 0.0:
        for r in range(rows):
            y[r * stride] = NAN


ctypedef void (*Pointwise)(double parameter, Py_ssize_t size, real *s, real *y) noexcept nogil
ctypedef vec (*Product)(double parameter, vec s, vec y, vec v) noexcept nogil

# The two operations over arrays of outputs.
cdef enum:
    LOSSES_AND_DELTAS, HESSIAN_PRODUCT


cdef inline void over_outputs(
    Py_ssize_t operation, Pointwise losses_and_deltas, Product product, double parameter,
    Py_ssize_t size, real *s, real *y, const real *v, real *out
) noexcept nogil:
    """Inlined with the functions of one loss, so that the calls of `product` do not remain."""
    cdef Py_ssize_t i
    if operation == LOSSES_AND_DELTAS:
        losses_and_deltas(parameter, size, s, y)
    else:
        for i from 0 <= i < size by FBP_LANES:
            store(out, i, product(parameter, load(s, i), load(y, i), load(v, i)))


cdef void of_outputs(
    Py_ssize_t loss, Py_ssize_t operation, double parameter, Py_ssize_t size, real *s, real *y,
    const real *v, real *out
) noexcept nogil:
    """All losses but cross_entropy and, unless for products, custom ones."""
    if loss == LOG_LOSS:
        over_outputs(
            operation, log_loss, log_loss_hessian_product, parameter, size, s, y, v, out
        )
    elif loss == SQUARED_ERROR:
        over_outputs(
            operation, squared_error, squared_error_hessian_product, parameter, size, s, y, v, out
        )
    elif loss == ABSOLUTE_ERROR:
        over_outputs(operation, absolute_error, no_curvature, parameter, size, s, y, v, out)
    elif loss == HUBER:
        over_outputs(operation, huber, huber_hessian_product, parameter, size, s, y, v, out)
    elif loss == POISSON:
        over_outputs(operation, poisson, poisson_hessian_product, parameter, size, s, y, v, out)
    elif loss == QUANTILE:
        over_outputs(operation, quantile, no_curvature, parameter, size, s, y, v, out)
    elif loss == POISSON_RATE:
        over_outputs(
            operation, poisson_rate, poisson_rate_hessian_product, parameter, size, s, y, v, out
        )
    else:
        over_outputs(HESSIAN_PRODUCT, NULL, unknown, parameter, size, s, y, v, out)


cdef void pointwise(
    Py_ssize_t loss, LossFunction function, uint64_t outside, double parameter, Py_ssize_t rows,
    Py_ssize_t n, Py_ssize_t stride, real *s, real *y, real *unwritten
) noexcept nogil:
    """In rows of n numbers, padded to `stride`, replace pre-activations s by deltas and targets y
    by losses. For custom losses, `outside` is the control word to call them with, and `unwritten`
    a number of scratch space.
    """
    check(s, rows * stride)
    check(y, rows * stride)
    if loss == CUSTOM:
        custom(function, outside, rows, n, stride, s, y, unwritten)
    elif GAUSSIAN <= loss <= QUANTILES:
        of_distribution(loss, <const double *><void *>function, rows, n, stride, s, y)
    else:
        of_outputs(loss, LOSSES_AND_DELTAS, parameter, rows * stride, s, y, NULL, NULL)


cdef void sum_outputs(
    const real *delta, const real *e, real *d, real *losses, const real *shares,
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    """d = share * delta, and the sums of e over each row, without padding."""
    cdef Py_ssize_t r, j
    cdef vec sum, share
    for r in range(rows):
        sum, share = splat(0.0), splat(shares[r])
        for j from 0 <= j < n by FBP_LANES:
            store(d, r * stride + j, keep_first(load(delta, r * stride + j) * share, n - j, 0.0))
            sum = sum + keep_first(load(e, r * stride + j), n - j, 0.0)
        losses[r] = sum_lanes(sum)


cdef inline vec row_max(const real *s, Py_ssize_t n) noexcept nogil:
    """The largest of the first n numbers of a padded row, in every lane."""
    cdef Py_ssize_t j
    cdef vec v, top = splat(-INFINITY)
    for j from 0 <= j < n by FBP_LANES:
        v = keep_first(load(s, j), n - j, -INFINITY)
        top = select_lt(top, v, v, top)
    return splat(max_lanes(top))


cdef inline vec sum_of_four(const real *h, Py_ssize_t k, Py_ssize_t stride) noexcept nogil:
    """h[k] + h[k + 4] + ..., vectors `stride` apart, added like lanes in `sum_lanes`."""
    cdef vec low = load(h, k * stride), high = load(h, (k + 4) * stride)
    if FBP_SINGLE:
        low = low + load(h, (k + 8) * stride)
        high = high + load(h, (k + 12) * stride)
    return low + high


cdef void exp_of_lanes(
    const real *s, real *h, real *top, real *total, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    """`exp_rows` for as many rows as a vector has lanes: each lane works on a row of its own.

    So no lanes have to be combined, which takes longer than exp. The rows, of n <= lanes numbers,
    are transposed into h. Sums are added up in the order of `sum_lanes`, so the bits are the same.
    """
    cdef Py_ssize_t j
    cdef vec v, even, odd, largest = splat(-INFINITY)
    transpose_block(s, stride, FBP_LANES, h, stride, n)
    for j in range(n):
        v = load(h, j * stride)
        largest = select_lt(largest, v, v, largest)
    for j in range(n):
        store(h, j * stride, exp(load(h, j * stride) - largest))
    for j in range(n, FBP_LANES):
        store(h, j * stride, splat(0.0))
    even = sum_of_four(h, 0, stride) + sum_of_four(h, 2, stride)
    odd = sum_of_four(h, 1, stride) + sum_of_four(h, 3, stride)
    store(top, 0, largest)
    store(total, 0, even + odd)
    transpose_block(h, stride, FBP_LANES, h, stride, FBP_LANES)


cdef void exp_rows(
    const real *s, real *h, real *top, real *total, Py_ssize_t rows, Py_ssize_t n,
    Py_ssize_t stride
) noexcept nogil:
    """h = exp(s - max s), with the maximum and the sum of each row in `top` and `total`."""
    cdef Py_ssize_t r, j, together = 0
    cdef vec v, largest, sum
    check(s, rows * stride)
    check(h, rows * stride)
    check(top, rows)
    check(total, rows)
    if n <= FBP_LANES:
        together = rows // FBP_LANES * FBP_LANES
    for r from 0 <= r < together by FBP_LANES:
        exp_of_lanes(s + r * stride, h + r * stride, top + r, total + r, n, stride)
    for r in range(together, rows):
        largest = row_max(s + r * stride, n)
        sum = splat(0.0)
        for j from 0 <= j < n by FBP_LANES:
            v = keep_first(exp(load(s, r * stride + j) - largest), n - j, 0.0)
            store(h, r * stride + j, v)
            sum = sum + v
        top[r] = lane(largest, 0)
        total[r] = sum_lanes(sum)


cdef void cross_entropy(
    double parameter, real *losses, const real *targets, real *total, const real *shares,
    Py_ssize_t rows
) noexcept nogil:
    """Turn Σ y (max - s) into losses, given Σ y; replace the sum Σ exp(s - max) by share / sum.

    e = Σ y (ln Σ exp(s - max) - (s - max)), h = exp(s - max) / Σ exp(s - max).
    """
    cdef Py_ssize_t r
    cdef vec sum, e, limit = splat(<real>(parameter if parameter > 0 else INFINITY))
    check(losses, rows)
    check(total, rows)
    for r from 0 <= r < rows by FBP_LANES:
        sum = load(total, r)
        e = fma(load(targets, r), log(sum), load(losses, r))
        store(losses, r, select_lt(limit, e, limit, e))
        store(total, r, load(shares, r) / sum)


cdef void scale_rows(
    real *h, const real *factor, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    """Multiply each row of n numbers by its factor."""
    cdef Py_ssize_t r, j
    cdef vec f
    for r in range(rows):
        f = splat(factor[r])
        for j from 0 <= j < n by FBP_LANES:
            store(h, r * stride + j, load(h, r * stride + j) * f)


cdef void cross_entropy_hessian_product(
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, const real *s, const real *v, real *out
) noexcept nogil:
    """out = p ∘ v - p (p · v) with p = softmax(s)."""
    cdef Py_ssize_t r, j, row
    cdef vec e, largest, total, weighted, mean
    for r in range(rows):
        row = r * stride
        largest = row_max(s + row, n)
        total = weighted = splat(0.0)
        for j from row <= j < row + n by FBP_LANES:
            e = keep_first(exp(load(s, j) - largest), row + n - j, 0.0)
            store(out, j, e)
            total = total + e
            weighted = fma(e, load(v, j), weighted)
        total = splat(sum_lanes(total))
        mean = splat(sum_lanes(weighted)) / total
        for j from row <= j < row + n by FBP_LANES:
            store(out, j, load(out, j) / total * (load(v, j) - mean))


cdef void pair_hessian_product(
    Py_ssize_t loss, Py_ssize_t activation, double parameter, Py_ssize_t size, const real *s,
    const real *y, const real *v, real *out
) noexcept nogil:
    """out = e''(h) σ'(s)² v + e'(h) σ''(s) v, where the loss is computed from h = σ(s)."""
    cdef real h[16]  # a vector has at most 16 numbers
    cdef real first[16]
    cdef real second[16]
    cdef real targets[16]
    cdef Py_ssize_t i
    for i from 0 <= i < size by FBP_LANES:
        store(first, 0, load(v, i))
        store(second, 0, load(v, i))
        store(targets, 0, load(y, i))
        elementwise(activation, ACTIVATE, s + i, h, NULL, FBP_LANES)
        elementwise(activation, MULTIPLY_BY_DERIVATIVE, s + i, h, first, FBP_LANES)
        elementwise(activation, MULTIPLY_BY_DERIVATIVE, s + i, h, first, FBP_LANES)
        elementwise(activation, MULTIPLY_BY_SECOND_DERIVATIVE, s + i, h, second, FBP_LANES)
        of_outputs(loss, HESSIAN_PRODUCT, parameter, FBP_LANES, h, targets, first, out + i)
        of_outputs(loss, LOSSES_AND_DELTAS, parameter, FBP_LANES, h, targets, NULL, NULL)
        store(out, i, load(out, i) + load(h, 0) * load(second, 0))


cdef void hessian_product_of_rows(
    Py_ssize_t loss, Py_ssize_t activation, LossFunction function, double parameter,
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, const real *s, const real *y, const real *v,
    real *out
) noexcept nogil:
    """out = (∂²e/∂s∂s) v for rows of n numbers, padded to `stride`.

    `activation` is the code of an output activation that the loss does not imply, or IDENTITY.
    """
    check(s, rows * stride)
    check(y, rows * stride)
    check(v, rows * stride)
    check(out, rows * stride)
    if loss == CROSS_ENTROPY:
        cross_entropy_hessian_product(rows, n, stride, s, v, out)
    elif activation != IDENTITY and loss != CUSTOM:
        pair_hessian_product(loss, activation, parameter, rows * stride, s, y, v, out)
    elif GAUSSIAN <= loss <= QUANTILES:
        distribution_hessian_product(
            loss, <const double *><void *>function, rows, n, stride, s, y, v, out
        )
    else:
        of_outputs(loss, HESSIAN_PRODUCT, parameter, rows * stride, <real *>s, <real *>y, v, out)


cdef real *output_activation(
    Py_ssize_t loss, Py_ssize_t activation, real *s, real *h, real *top, real *total,
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    """Write the network's output for rows of pre-activations s to h, and return h.

    With identity, h is s. `activation` is as in `hessian_product`; `top` and `total` are scratch
    space.
    """
    cdef Py_ssize_t i, r, size = rows * stride
    check(s, size)
    check(h, size)
    if activation != IDENTITY:
        activate(activation, s, h, size)
    elif loss == LOG_LOSS:
        for i from 0 <= i < size by FBP_LANES:
            store(h, i, sigmoid(load(s, i)))
    elif loss == POISSON:
        for i from 0 <= i < size by FBP_LANES:
            store(h, i, exp(load(s, i)))
    elif loss == CROSS_ENTROPY:
        exp_rows(s, h, top, total, rows, n, stride)
        for r from 0 <= r < rows by FBP_LANES:
            store(total, r, splat(1.0) / load(total, r))
        scale_rows(h, total, rows, n, stride)
    else:
        return s
    return h
