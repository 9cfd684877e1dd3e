# Optimisers: one elementwise update of weights from gradients, which knows nothing of layers. The
# signs that weights must keep are restored behind it.
#
# Rules and sources are in fastbp/rules/optimizers.py. The twin of
# fastbp/backends/numba_/optimizers.py.

cdef extern from "<math.h>" nogil:
    double sqrt_double "sqrt"(double x)


cdef inline vec sign(vec v) noexcept nogil:
    """-1, 0 or 1."""
    cdef vec zero = splat(0.0)
    return select_lt(v, zero, splat(-1.0), select_lt(zero, v, splat(1.0), zero))


# A step's learning rate, and the rate and epsilon after Adam's bias corrections.
cdef struct Pace:
    double rate
    double corrected
    double epsilon


cdef Pace pace_of(
    Py_ssize_t optimizer, const double *hyper, double learning_rate, const double *counters
) noexcept nogil:
    """The Pace of a step that `counters` already counts."""
    cdef double correction
    cdef Pace pace = Pace(learning_rate, learning_rate, hyper[3])
    if optimizer == ADAM or optimizer == ADAMW:
        # η m̂ / (√v̂ + ε) = (η c / (1 - β1^t)) m / (√v + c ε) with c = √(1 - β2^t); ε̂ = c ε.
        correction = sqrt_double(1.0 - counters[2])
        pace.corrected = learning_rate * correction / (1.0 - counters[1])
        if hyper[5] == 0.0:
            pace.epsilon = hyper[3] * correction
    return pace


cdef void update(
    Py_ssize_t optimizer, const double *hyper, Pace pace, real *w, const real *g, real *first,
    real *second, Py_ssize_t n, double l2, double decay
) noexcept nogil:
    """One step of w[:n] for gradients g[:n] and the state arrays `first` and `second`.

    n is a whole number of vectors; `l2` and `decay` apply to these weights (0 for
    biases).
    """
    cdef Py_ssize_t i
    cdef vec x, d, v, m, step, mu, keep, add, keep_1, add_1, keep_2, add_2, shrink
    cdef vec zero = splat(0.0), one = splat(1.0), minus, plus, smallest, largest
    cdef vec agreement, factor
    cdef vec rate = splat(<real>pace.rate)
    cdef vec minus_rate = splat(<real>(-pace.rate))
    cdef vec penalty = splat(<real>l2)
    cdef vec epsilon = splat(<real>pace.epsilon)
    check(w, n)
    check(g, n)
    if optimizer != SGD:
        check(first, n)
        check(second, n)
    if optimizer == SGD:
        for i from 0 <= i < n by FBP_LANES:
            x = load(w, i)
            store(w, i, fma(minus_rate, fma(penalty, x, load(g, i)), x))
    elif optimizer == MOMENTUM:
        mu = splat(<real>hyper[1])
        for i from 0 <= i < n by FBP_LANES:
            x = load(w, i)
            v = fma(mu, load(first, i), minus_rate * fma(penalty, x, load(g, i)))
            store(first, i, v)
            store(w, i, x + v)
    elif optimizer == NESTEROV:
        mu = splat(<real>hyper[1])
        for i from 0 <= i < n by FBP_LANES:
            x = load(w, i)
            step = minus_rate * fma(penalty, x, load(g, i))
            v = fma(mu, load(first, i), step)
            store(first, i, v)
            store(w, i, x + fma(mu, v, step))
    elif optimizer == RMSPROP:
        keep, add = splat(<real>hyper[1]), splat(<real>(1.0 - hyper[1]))
        for i from 0 <= i < n by FBP_LANES:
            x = load(w, i)
            d = fma(penalty, x, load(g, i))
            v = fma(keep, load(first, i), add * d * d)
            store(first, i, v)
            store(w, i, x - rate * d * reciprocal(sqrt(v) + epsilon))
    elif optimizer == ADAGRAD:
        for i from 0 <= i < n by FBP_LANES:
            x = load(w, i)
            d = fma(penalty, x, load(g, i))
            v = fma(d, d, load(first, i))
            store(first, i, v)
            store(w, i, x - rate * d * reciprocal(sqrt(v) + epsilon))
    elif optimizer == ADAM or optimizer == ADAMW:
        rate = splat(<real>pace.corrected)
        keep_1, add_1 = splat(<real>hyper[1]), splat(<real>(1.0 - hyper[1]))
        keep_2, add_2 = splat(<real>hyper[2]), splat(<real>(1.0 - hyper[2]))
        shrink = splat(<real>(1.0 - pace.rate * decay))
        for i from 0 <= i < n by FBP_LANES:
            x = load(w, i)
            d = fma(penalty, x, load(g, i))
            m = fma(keep_1, load(first, i), add_1 * d)
            v = fma(keep_2, load(second, i), add_2 * d * d)
            store(first, i, m)
            store(second, i, v)
            store(w, i, shrink * x - rate * m * reciprocal(sqrt(v) + epsilon))
    elif optimizer == RPROP:
        minus, plus = splat(<real>hyper[1]), splat(<real>hyper[2])
        smallest, largest = splat(<real>hyper[3]), splat(<real>hyper[4])
        for i from 0 <= i < n by FBP_LANES:
            x = load(w, i)
            d = fma(penalty, x, load(g, i))
            # The product of the signs; the product of the numbers could underflow.
            agreement = sign(d) * sign(load(first, i))
            factor = select_lt(zero, agreement, plus, select_lt(agreement, zero, minus, one))
            step = load(second, i) * factor
            step = select_lt(step, smallest, smallest, select_lt(largest, step, largest, step))
            d = select_lt(agreement, zero, zero, d)
            store(first, i, d)
            store(second, i, step)
            store(w, i, x - sign(d) * step)


cdef void keep_signs(real *w, const real *signs, Py_ssize_t n) noexcept nogil:
    """w[:n] = 0 where it has not the sign that `signs` demands; 0 there demands none."""
    cdef Py_ssize_t i
    cdef vec x, zero = splat(0.0)
    check(w, n)
    check(signs, n)
    for i from 0 <= i < n by FBP_LANES:
        x = load(w, i)
        store(w, i, select_lt(load(signs, i) * x, zero, zero, x))
