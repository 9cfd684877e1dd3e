# Losses with their output activations: a sample's loss e and its delta ∂e/∂s.
#
# All but cross_entropy treat each output by itself; their results for padding are not used.
# The twin of fastbp/backends/numba_/losses.py.

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


cdef void pointwise(
    Py_ssize_t loss, LossFunction function, uint64_t outside, double parameter, Py_ssize_t rows,
    Py_ssize_t n, Py_ssize_t stride, real *s, real *y, real *unwritten
) noexcept nogil:
    """In rows of n numbers, padded to `stride`, replace pre-activations s by deltas and targets y
    by losses. For custom losses, `outside` is the control word to call them with, and `unwritten`
    a number of scratch space.
    """
    cdef Py_ssize_t i, size = rows * stride
    cdef vec x, t, zero = splat(0.0), u, h, d, upper, high, low, linear_part, y_log_y
    cdef vec above, below, slope, p, least, most
    cdef real half
    check(s, size)
    check(y, size)
    if loss == LOG_LOSS and parameter > 0:
        least, most = splat(<real>parameter), splat(<real>(1 - parameter))
        for i from 0 <= i < size by FBP_LANES:
            h, t = sigmoid(load(s, i)), load(y, i)
            p = select_lt(splat(0.5), t, h, <real>1.0 - h)
            store(y, i, -log(select_lt(p, least, least, select_lt(most, p, most, p))))
            store(s, i, h - t)
    elif loss == LOG_LOSS:
        for i from 0 <= i < size by FBP_LANES:
            x, t = load(s, i), load(y, i)
            u = exp(-absolute(x))
            h = select_lt(x, zero, u, splat(1.0)) / (<real>1.0 + u)
            store(y, i, fma(-x, t, select_lt(x, zero, zero, x)) + log1p_unit(u))
            store(s, i, h - t)
    elif loss == SQUARED_ERROR:
        half = <real>(0.5 * (parameter if parameter > 0 else 1))
        for i from 0 <= i < size by FBP_LANES:
            d = load(s, i) - load(y, i)
            store(y, i, half * d * d)
            store(s, i, d)
    elif loss == ABSOLUTE_ERROR:
        for i from 0 <= i < size by FBP_LANES:
            d = load(s, i) - load(y, i)
            store(y, i, absolute(d))
            upper = select_lt(zero, d, splat(1.0), zero)
            store(s, i, select_lt(d, zero, splat(-1.0), upper))
    elif loss == HUBER:
        high, low = splat(<real>parameter), splat(<real>-parameter)
        for i from 0 <= i < size by FBP_LANES:
            d = load(s, i) - load(y, i)
            linear_part = high * absolute(d) - splat(<real>(0.5 * parameter * parameter))
            store(y, i, select_le(absolute(d), high, <real>0.5 * d * d, linear_part))
            store(s, i, select_lt(d, low, low, select_lt(high, d, high, d)))
    elif loss == POISSON:
        for i from 0 <= i < size by FBP_LANES:
            x, t = load(s, i), load(y, i)
            h = exp(x)
            y_log_y = t * log(select_le(t, zero, splat(1.0), t))
            store(y, i, fma(-t, x, h) + (y_log_y - t))
            store(s, i, h - t)
    elif loss == QUANTILE:
        above, below = splat(<real>(1.0 - parameter)), splat(<real>-parameter)
        for i from 0 <= i < size by FBP_LANES:
            d = load(s, i) - load(y, i)
            slope = select_lt(zero, d, above, select_lt(d, zero, below, zero))
            store(y, i, slope * d)
            store(s, i, slope)
    elif rows > 0:  # a custom loss; losses that it has not written become NaN
        unwritten[0] = 1.0
        call = call_outside
        hide(&call)
        call(function, outside, rows, n, stride, s, y, unwritten)
        if unwritten[0] != 0.0:
            for i in range(rows):
                y[i * stride] = NAN


cdef inline vec row_max(const real *s, Py_ssize_t n) noexcept nogil:
    """The largest of the first n numbers of a padded row, in every lane."""
    cdef Py_ssize_t j
    cdef vec v, top = splat(-INFINITY)
    for j from 0 <= j < n by FBP_LANES:
        v = keep_first(load(s, j), n - j, -INFINITY)
        top = select_lt(top, v, v, top)
    return splat(max_lanes(top))


cdef void exp_rows(
    const real *s, real *h, real *top, real *total, Py_ssize_t rows, Py_ssize_t n,
    Py_ssize_t stride
) noexcept nogil:
    """h = exp(s - max s), with the maximum and the sum of each row in `top` and `total`."""
    cdef Py_ssize_t r, j
    cdef vec v, largest, sum
    check(s, rows * stride)
    check(h, rows * stride)
    check(top, rows)
    check(total, rows)
    for r in range(rows):
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


cdef real *output_activation(
    Py_ssize_t loss, real *s, real *h, real *top, real *total, Py_ssize_t rows, Py_ssize_t n,
    Py_ssize_t stride
) noexcept nogil:
    """Write the network's output for rows of pre-activations s to h, and return h.

    With identity, h is s. `top` and `total` are scratch space.
    """
    cdef Py_ssize_t i, r, size = rows * stride
    check(s, size)
    check(h, size)
    if loss == LOG_LOSS:
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
