# Losses with their output activations: a sample's loss e and its delta ∂e/∂s.
#
# All but cross_entropy treat each output by itself and work on outputs without padding.
# The twin of fastbp/backends/numba_/losses.py.

cdef void pointwise(Py_ssize_t loss, real *s, real *y, Py_ssize_t n) noexcept nogil:
    """From pre-activations s[:n] and targets y[:n] to deltas (in s) and losses (in y)."""
    cdef Py_ssize_t i
    cdef vec x, t, zero = splat(0.0), u, h, d, upper, high, low, linear_part, y_log_y
    cdef real delta = HUBER_DELTA
    check(s, n)
    check(y, n)
    if loss == LOG_LOSS:
        for i from 0 <= i < n by FBP_LANES:
            x, t = load(s, i), load(y, i)
            u = exp(-absolute(x))
            h = select_lt(x, zero, u, splat(1.0)) / (<real>1.0 + u)
            store(y, i, fma(-x, t, select_lt(x, zero, zero, x)) + log1p_unit(u))
            store(s, i, h - t)
    elif loss == SQUARED_ERROR:
        for i from 0 <= i < n by FBP_LANES:
            d = load(s, i) - load(y, i)
            store(y, i, <real>0.5 * d * d)
            store(s, i, d)
    elif loss == ABSOLUTE_ERROR:
        for i from 0 <= i < n by FBP_LANES:
            d = load(s, i) - load(y, i)
            store(y, i, absolute(d))
            upper = select_lt(zero, d, splat(1.0), zero)
            store(s, i, select_lt(d, zero, splat(-1.0), upper))
    elif loss == HUBER:
        high, low = splat(delta), splat(-delta)
        for i from 0 <= i < n by FBP_LANES:
            d = load(s, i) - load(y, i)
            linear_part = delta * absolute(d) - <real>0.5 * delta * delta
            store(y, i, select_le(absolute(d), high, <real>0.5 * d * d, linear_part))
            store(s, i, select_lt(d, low, low, select_lt(high, d, high, d)))
    elif loss == POISSON:
        for i from 0 <= i < n by FBP_LANES:
            x, t = load(s, i), load(y, i)
            h = exp(x)
            y_log_y = t * log(select_le(t, zero, splat(1.0), t))
            store(y, i, fma(-t, x, h) + (y_log_y - t))
            store(s, i, h - t)


cdef inline vec row_max(const real *s, Py_ssize_t n, Py_ssize_t stride) noexcept nogil:
    """The largest of the first n numbers of a padded row, in every lane."""
    cdef Py_ssize_t j
    cdef vec v, top = splat(-INFINITY)
    for j from 0 <= j < stride by FBP_LANES:
        v = keep_first(load(s, j), n - j, -INFINITY)
        top = select_lt(top, v, v, top)
    return splat(max_lanes(top))


cdef inline void softmax(real *s, Py_ssize_t n, Py_ssize_t stride) noexcept nogil:
    """h = exp(s - max) / Σ exp(s - max) for one padded row, in place."""
    cdef Py_ssize_t j
    cdef vec v, inverse, total = splat(0.0), top = row_max(s, n, stride)
    for j from 0 <= j < stride by FBP_LANES:
        v = keep_first(exp(load(s, j) - top), n - j, 0.0)
        store(s, j, v)
        total = total + v
    inverse = splat(1.0) / splat(sum_lanes(total))
    for j from 0 <= j < stride by FBP_LANES:
        store(s, j, load(s, j) * inverse)


cdef inline real cross_entropy(
    real *s, real *d, Py_ssize_t n, Py_ssize_t stride, real share
) noexcept nogil:
    """One padded row: targets in d become share * delta; returns the row's loss.

    e = Σ y (ln Σ exp(s - max) - (s - max)); s is destroyed.
    """
    cdef Py_ssize_t j
    cdef vec t, shifted, v, all_exp, inverse, scale
    cdef vec top = row_max(s, n, stride)
    cdef vec total = splat(0.0)
    cdef vec targets = splat(0.0)  # Σ y, 1 up to rounding
    cdef vec dot = splat(0.0)  # Σ y (s - max)
    check(s, stride)
    check(d, stride)
    for j from 0 <= j < stride by FBP_LANES:
        t = load(d, j)
        shifted = load(s, j) - top
        v = keep_first(exp(shifted), n - j, 0.0)
        store(s, j, v)
        total = total + v
        targets = targets + t
        dot = fma(t, shifted, dot)
    all_exp = splat(sum_lanes(total))
    inverse = splat(share) / all_exp
    scale = splat(share)
    for j from 0 <= j < stride by FBP_LANES:
        store(d, j, fma(load(s, j), inverse, -(scale * load(d, j))))
    return lane(splat(sum_lanes(targets)) * log(all_exp) - splat(sum_lanes(dot)), 0)


cdef inline void output_activation(
    Py_ssize_t loss, real *s, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    """Turn padded rows of pre-activations into the network's output, in place."""
    cdef Py_ssize_t i, r
    if loss == LOG_LOSS:
        for i from 0 <= i < rows * stride by FBP_LANES:
            store(s, i, sigmoid(load(s, i)))
    elif loss == POISSON:
        for i from 0 <= i < rows * stride by FBP_LANES:
            store(s, i, exp(load(s, i)))
    elif loss == CROSS_ENTROPY:
        for r in range(rows):
            softmax(s + r * stride, n, stride)
