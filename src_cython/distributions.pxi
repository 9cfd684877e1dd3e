# Losses of distributions: negative log likelihoods of one target a sample, from all its outputs.
#
# In rows of n numbers, `stride` apart, they replace pre-activations s by deltas, and targets y, the
# first number of each row, by losses. A vector has one number of each of as many rows as it has
# lanes. Factors 1 / σ are bounded, so that deltas are finite. Products of ∂²e/∂s∂s and vectors v go
# to `out`. The twin of fastbp/backends/numba_/distributions.py.

cdef extern from *:
    """
    #define HALF_LOG_2_PI 0.9189385332046727
    #define LOG_2 0.6931471805599453
    /* Half the largest exponent of exp, and a deviation whose square is finite. */
    #define LARGEST (FBP_SINGLE ? 44.0 : 354.0)
    #define FAR_AWAY (FBP_SINGLE ? 1e18 : 1e150)
    """
    const double HALF_LOG_2_PI, LOG_2, LARGEST, FAR_AWAY


cdef inline vec column(
    const real *p, Py_ssize_t r, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t j
) noexcept nogil:
    """The j-th numbers of rows r, r + 1, ...; behind the last row, those of the last one again."""
    cdef Py_ssize_t i
    cdef vec v = splat(0.0)
    for i in range(FBP_LANES):
        v = with_lane(v, i, p[min(r + i, rows - 1) * stride + j])
    return v


cdef inline void put_column(
    real *p, Py_ssize_t r, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t j, vec v
) noexcept nogil:
    """Write the j-th numbers of rows r, r + 1, ..."""
    cdef Py_ssize_t i
    for i in range(FBP_LANES):
        p[min(r + i, rows - 1) * stride + j] = lane(v, i)


cdef inline vec inverse_scale(vec log_scale) noexcept nogil:
    """exp(-log_scale), bounded."""
    return exp(at_most(-log_scale, <real>LARGEST))


cdef inline vec nearby(vec z) noexcept nogil:
    """z, at most FAR_AWAY in size."""
    return at_most(at_least(z, <real>-FAR_AWAY), <real>FAR_AWAY)


cdef void gaussian_loss(Py_ssize_t rows, Py_ssize_t stride, real *s, real *y) noexcept nogil:
    cdef Py_ssize_t r
    cdef vec log_variance, v, z, half
    for r from 0 <= r < rows by FBP_LANES:
        log_variance = column(s, r, rows, stride, 1)
        v = inverse_scale(<real>0.5 * log_variance)
        z = (column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)) * v
        half = <real>0.5 * log_variance + splat(<real>HALF_LOG_2_PI)
        put_column(y, r, rows, stride, 0, half + <real>0.5 * z * z)
        z = nearby(z)
        put_column(s, r, rows, stride, 0, -z * v)
        put_column(s, r, rows, stride, 1, <real>0.5 * (<real>1.0 - z * z))


cdef void gaussian_hessian_product(
    Py_ssize_t rows, Py_ssize_t stride, const real *s, const real *y, const real *v, real *out
) noexcept nogil:
    cdef Py_ssize_t r
    cdef vec u, z, a, b
    for r from 0 <= r < rows by FBP_LANES:
        u = inverse_scale(<real>0.5 * column(s, r, rows, stride, 1))
        z = nearby((column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)) * u)
        a, b = u * column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        put_column(out, r, rows, stride, 0, u * (a + z * b))
        put_column(out, r, rows, stride, 1, z * (a + <real>0.5 * z * b))


cdef void student_t(
    const double *numbers, Py_ssize_t rows, Py_ssize_t stride, real *s, real *y
) noexcept nogil:
    cdef Py_ssize_t r
    cdef double nu = numbers[0], constant = numbers[1], root = numbers[2], half_log = numbers[3]
    cdef vec log_scale, d, v, a, b, square, log_a, log_of_sum, slope, share
    cdef vec zero = splat(0.0), one = splat(1.0)
    for r from 0 <= r < rows by FBP_LANES:
        log_scale = column(s, r, rows, stride, 1)
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        v = inverse_scale(log_scale)
        a = absolute(d) * v * <real>(1.0 / root)
        b = select_lt(one, a, one / a, a)
        square = b * b
        log_a = log(absolute(d)) - log_scale - <real>half_log
        log_of_sum = log1p_unit(square) + select_lt(one, a, <real>2.0 * log_a, zero)
        put_column(
            y, r, rows, stride, 0,
            fma(splat(<real>(0.5 * (nu + 1.0))), log_of_sum, log_scale + <real>constant),
        )
        slope = <real>((nu + 1.0) / root) * v * (b / (<real>1.0 + square))
        put_column(s, r, rows, stride, 0, copysign(slope, -d))
        share = select_lt(one, a, one, square) / (<real>1.0 + square)
        put_column(s, r, rows, stride, 1, <real>1.0 - <real>(nu + 1.0) * share)


cdef void student_t_hessian_product(
    const double *numbers, Py_ssize_t rows, Py_ssize_t stride, const real *s, const real *y,
    const real *v, real *out
) noexcept nogil:
    cdef Py_ssize_t r
    cdef double nu = numbers[0], root = numbers[2]
    cdef vec d, w, t, least, square, share, p, q, f, a, b, one = splat(1.0)
    for r from 0 <= r < rows by FBP_LANES:
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        w = inverse_scale(column(s, r, rows, stride, 1)) * <real>(1.0 / root)
        t = absolute(d) * w
        least = select_lt(one, t, one / t, t)
        square = least * least
        share = one / (<real>1.0 + square)
        p, q = select_lt(one, t, one, square) * share, select_lt(one, t, square, one) * share
        f = copysign(least * share, d)
        a, b = w * column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        put_column(
            out, r, rows, stride, 0,
            <real>(nu + 1.0) * (w * q) * ((q - p) * a + <real>2.0 * f * b),
        )
        put_column(
            out, r, rows, stride, 1, <real>(2.0 * (nu + 1.0)) * q * (f * a + p * b)
        )


cdef void laplace(Py_ssize_t rows, Py_ssize_t stride, real *s, real *y) noexcept nogil:
    cdef Py_ssize_t r
    cdef vec log_scale, d, v, z, zero = splat(0.0)
    for r from 0 <= r < rows by FBP_LANES:
        log_scale = column(s, r, rows, stride, 1)
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        v = inverse_scale(log_scale)
        z = absolute(d) * v
        put_column(y, r, rows, stride, 0, log_scale + <real>LOG_2 + z)
        put_column(
            s, r, rows, stride, 0, select_lt(zero, d, -v, select_lt(d, zero, v, zero))
        )
        put_column(s, r, rows, stride, 1, <real>1.0 - nearby(z))


cdef void laplace_hessian_product(
    Py_ssize_t rows, Py_ssize_t stride, const real *s, const real *y, const real *v, real *out
) noexcept nogil:
    cdef Py_ssize_t r
    cdef vec u, d, slope, a, b, zero = splat(0.0)
    for r from 0 <= r < rows by FBP_LANES:
        u = inverse_scale(column(s, r, rows, stride, 1))
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        slope = select_lt(zero, d, u, select_lt(d, zero, -u, zero))
        a, b = column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        put_column(out, r, rows, stride, 0, slope * b)
        put_column(out, r, rows, stride, 1, slope * a + nearby(absolute(d) * u) * b)


cdef inline vec slope_of_dispersion(
    vec first, vec k, vec t, vec of_mean, vec of_k, vec slope_k, vec slope_both
) noexcept nogil:
    """The derivative of a count's loss by the log dispersion."""
    cdef real small = <real>0.05 if sizeof(real) == 4 else <real>1e-3  # numpy_/distributions.py has why
    cdef vec series, excess, share
    series = fma(first, splat(<real>(-5.0 / 6.0)), splat(<real>0.8))
    series = fma(-first, series, splat(<real>0.75))
    series = fma(-first, series, splat(<real>(2.0 / 3.0)))
    series = fma(-first, series, splat(<real>0.5))
    series = k * (-first * first * series)
    excess = select_lt(absolute(first), splat(small), series, of_mean - k * of_k)
    share = splat(1.0) / (k + t)
    return excess + <real>0.5 * t * share + k * share * slope_both - slope_k


cdef void negative_binomial(Py_ssize_t rows, Py_ssize_t stride, real *s, real *y) noexcept nogil:
    cdef Py_ssize_t r
    cdef vec log_mean, t, log_dispersion, m, k, x, log_t, u, first, second, nearest, of_k, of_t
    cdef vec error_k, slope_k, error_t, slope_t, error_both, slope_both, spread, likely, of_mean
    cdef vec zero = splat(0.0), quarter = splat(0.25)
    cdef real most = <real>(2.0 * LARGEST - 8.0)
    for r from 0 <= r < rows by FBP_LANES:
        log_mean, t = column(s, r, rows, stride, 0), column(y, r, rows, stride, 0)
        log_dispersion = at_most(at_least(column(s, r, rows, stride, 1), -most), most)
        m, k = exp(at_most(log_mean, most)), exp(-log_dispersion)
        x, log_t = log_mean + log_dispersion, log(t)
        u = log_t + log_dispersion
        first = (m - t) / (k + t)
        second = -first * exp(-x)
        nearest = select_lt(absolute(first), absolute(second), absolute(second), absolute(first))
        of_k = select_le(nearest, quarter, log_sum(zero, first), softplus(x) - softplus(u))
        of_t = select_le(
            nearest, quarter, log_sum(zero, second), softplus(-x) - softplus(-u)
        )
        error_k = stirling_error(k, &slope_k)
        error_t = stirling_error(t, &slope_t)
        error_both = stirling_error(k + t, &slope_both)
        spread = <real>0.5 * (log_t + softplus(u)) + <real>HALF_LOG_2_PI
        likely = error_k + error_t - error_both + spread + k * of_k + t * of_t
        put_column(y, r, rows, stride, 0, select_lt(zero, t, likely, k * of_k))
        of_mean = (m - t) * (k / (m + k))
        put_column(s, r, rows, stride, 0, of_mean)
        put_column(
            s, r, rows, stride, 1,
            slope_of_dispersion(first, k, t, of_mean, of_k, slope_k, slope_both),
        )


cdef void negative_binomial_hessian_product(
    Py_ssize_t rows, Py_ssize_t stride, const real *s, const real *y, const real *v, real *out
) noexcept nogil:
    cdef Py_ssize_t r
    cdef vec log_mean, t, log_dispersion, m, k, u, first, second, nearest, apart, of_k
    cdef vec slope_k, slope_both, of_mean, slope, share, both, g, w, rest, curve, mixed, a, b
    cdef vec zero = splat(0.0), quarter = splat(0.25)
    cdef real most = <real>(2.0 * LARGEST - 8.0)
    for r from 0 <= r < rows by FBP_LANES:
        log_mean, t = column(s, r, rows, stride, 0), column(y, r, rows, stride, 0)
        log_dispersion = at_most(at_least(column(s, r, rows, stride, 1), -most), most)
        m, k = exp(at_most(log_mean, most)), exp(-log_dispersion)
        u = log(t) + log_dispersion
        first = (m - t) / (k + t)
        second = -first * exp(-(log_mean + log_dispersion))
        nearest = select_lt(absolute(first), absolute(second), absolute(second), absolute(first))
        apart = softplus(log_mean + log_dispersion) - softplus(u)
        of_k = select_le(nearest, quarter, log_sum(zero, first), apart)
        stirling_error(k, &slope_k)
        stirling_error(k + t, &slope_both)
        of_mean = (m - t) * (k / (m + k))
        slope = slope_of_dispersion(first, k, t, of_mean, of_k, slope_k, slope_both)
        share, both = splat(1.0) / (k + t), m * (k / (m + k))
        g, w = (m - t) / (m + k), t * share
        rest = <real>1.0 - w
        curve = stirling_curve(k) - rest * rest * stirling_curve(k + t) - k * (k * share) * (g * g)
        curve = <real>0.5 * w * (<real>2.0 - w) + curve - slope
        mixed = -g * both
        a, b = column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        put_column(out, r, rows, stride, 0, both * ((k + t) / (m + k)) * a + mixed * b)
        put_column(out, r, rows, stride, 1, mixed * a + curve * b)


cdef struct Component:
    vec logit
    vec z
    vec v  # 1 / σ
    vec likelihood  # its logarithm, but for a constant


cdef inline Component of_component(
    const real *s, Py_ssize_t r, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t k, Py_ssize_t j,
    vec t
) noexcept nogil:
    """What the losses of mixtures need of component j."""
    cdef Component c
    cdef vec log_scale = column(s, r, rows, stride, 2 * k + j)
    c.logit = column(s, r, rows, stride, j)
    c.v = inverse_scale(log_scale)
    c.z = nearby((t - column(s, r, rows, stride, k + j)) * c.v)
    c.likelihood = c.logit - log_scale - <real>0.5 * c.z * c.z
    return c


cdef void mixture_density(
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, real *s, real *y
) noexcept nogil:
    cdef Py_ssize_t r, j, k = n // 3
    cdef Component c
    cdef vec t, top, best, nearest, total, found, e, share, one = splat(1.0)
    for r from 0 <= r < rows by FBP_LANES:
        t = column(y, r, rows, stride, 0)
        top = best = splat(-INFINITY)
        nearest = splat(INFINITY)
        for j in range(k):
            c = of_component(s, r, rows, stride, k, j, t)
            top = select_lt(top, c.logit, c.logit, top)
            best = select_lt(best, c.likelihood, c.likelihood, best)
            nearest = select_lt(absolute(c.z), nearest, absolute(c.z), nearest)
        total = found = splat(0.0)
        for j in range(k):
            c = of_component(s, r, rows, stride, k, j, t)
            total = total + exp(c.logit - top)
            found = found + exp(c.likelihood - best)
        e = (top + log(total)) - (best + log(found)) + <real>HALF_LOG_2_PI
        e = select_lt(nearest, splat(<real>FAR_AWAY), e, splat(INFINITY))
        put_column(y, r, rows, stride, 0, e)
        total, found = one / total, one / found
        for j in range(k):
            c = of_component(s, r, rows, stride, k, j, t)
            share = exp(c.likelihood - best) * found
            put_column(s, r, rows, stride, j, exp(c.logit - top) * total - share)
            put_column(s, r, rows, stride, k + j, -share * c.z * c.v)
            put_column(s, r, rows, stride, 2 * k + j, share * (<real>1.0 - c.z * c.z))


cdef struct Along:
    vec logit
    vec scale
    vec of_z  # -∂z along the vector


cdef inline Along of_vector(
    const real *v, Py_ssize_t r, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t k, Py_ssize_t j,
    Component c
) noexcept nogil:
    """The parts of a vector for component j: of the logit, of the log scale, and -∂z along it."""
    cdef Along a
    a.logit, a.scale = column(v, r, rows, stride, j), column(v, r, rows, stride, 2 * k + j)
    a.of_z = c.v * column(v, r, rows, stride, k + j) + c.z * a.scale
    return a


cdef void mixture_density_hessian_product(
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, const real *s, const real *y, const real *v,
    real *out
) noexcept nogil:
    cdef Py_ssize_t r, j, k = n // 3
    cdef Component c
    cdef Along a
    cdef vec t, top, best, total, found, mean, mean_found, share, along, one = splat(1.0)
    for r from 0 <= r < rows by FBP_LANES:
        t = column(y, r, rows, stride, 0)
        top = best = splat(-INFINITY)
        for j in range(k):
            c = of_component(s, r, rows, stride, k, j, t)
            top = select_lt(top, c.logit, c.logit, top)
            best = select_lt(best, c.likelihood, c.likelihood, best)
        total = found = mean = mean_found = splat(0.0)
        for j in range(k):
            c = of_component(s, r, rows, stride, k, j, t)
            a = of_vector(v, r, rows, stride, k, j, c)
            share = exp(c.logit - top)
            total, mean = total + share, fma(share, a.logit, mean)
            share = exp(c.likelihood - best)
            found = found + share
            mean_found = fma(share, a.logit - a.scale + c.z * a.of_z, mean_found)
        total, found = one / total, one / found
        mean, mean_found = mean * total, mean_found * found
        for j in range(k):
            c = of_component(s, r, rows, stride, k, j, t)
            a = of_vector(v, r, rows, stride, k, j, c)
            along = (a.logit - a.scale + c.z * a.of_z) - mean_found
            share = exp(c.likelihood - best) * found
            put_column(
                out, r, rows, stride, j,
                exp(c.logit - top) * total * (a.logit - mean) - share * along,
            )
            put_column(
                out, r, rows, stride, k + j, share * c.v * (a.of_z + c.z * (a.scale - along))
            )
            put_column(
                out, r, rows, stride, 2 * k + j,
                share * (along * (<real>1.0 - c.z * c.z) + <real>2.0 * c.z * a.of_z),
            )


cdef inline vec slope_of_quantile(vec d, double level, Py_ssize_t n) noexcept nogil:
    """The derivative by one of n quantiles, whose distance from the target is d."""
    cdef vec zero = splat(0.0)
    cdef vec above = splat(<real>((1.0 - level) / n)), below = splat(<real>(-level / n))
    return select_lt(zero, d, above, select_lt(d, zero, below, zero))


cdef void quantiles(
    const double *levels, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, real *s, real *y
) noexcept nogil:
    """The slope of each quantile is kept where the row has no target."""
    cdef Py_ssize_t r, j
    cdef vec t, quantile, e, step, d, slope, rest, zero = splat(0.0)
    for r from 0 <= r < rows by FBP_LANES:
        t = column(y, r, rows, stride, 0)
        quantile = e = zero
        for j in range(n):
            step = column(s, r, rows, stride, j)
            quantile = step if j == 0 else quantile + softplus(step)
            d = quantile - t
            slope = slope_of_quantile(d, levels[j], n)
            e = fma(slope, d, e)
            put_column(y, r, rows, stride, j, slope)
        rest = zero
        for j in range(n - 1, 0, -1):
            rest = rest + column(y, r, rows, stride, j)
            put_column(y, r, rows, stride, j, zero)
            step = column(s, r, rows, stride, j)
            put_column(s, r, rows, stride, j, rest * sigmoid(step))
        put_column(s, r, rows, stride, 0, rest + column(y, r, rows, stride, 0))
        put_column(y, r, rows, stride, 0, e)


cdef void quantiles_hessian_product(
    const double *levels, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, const real *s,
    const real *y, const real *v, real *out
) noexcept nogil:
    """The slope of each quantile is kept in `out` for a while."""
    cdef Py_ssize_t r, j
    cdef vec t, quantile, step, rest, p
    for r from 0 <= r < rows by FBP_LANES:
        t, rest = column(y, r, rows, stride, 0), splat(0.0)
        quantile = rest
        for j in range(n):
            step = column(s, r, rows, stride, j)
            quantile = step if j == 0 else quantile + softplus(step)
            put_column(out, r, rows, stride, j, slope_of_quantile(quantile - t, levels[j], n))
        for j in range(n - 1, 0, -1):
            rest = rest + column(out, r, rows, stride, j)
            p = sigmoid(column(s, r, rows, stride, j))
            put_column(
                out, r, rows, stride, j,
                rest * p * (<real>1.0 - p) * column(v, r, rows, stride, j),
            )
        put_column(out, r, rows, stride, 0, splat(0.0))


cdef void of_distribution(
    Py_ssize_t loss, const double *numbers, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride,
    real *s, real *y
) noexcept nogil:
    """Deltas and losses by the code of the loss; `numbers` are its parameters, if it has some."""
    if loss == GAUSSIAN:
        gaussian_loss(rows, stride, s, y)
    elif loss == STUDENT_T:
        student_t(numbers, rows, stride, s, y)
    elif loss == LAPLACE:
        laplace(rows, stride, s, y)
    elif loss == NEGATIVE_BINOMIAL:
        negative_binomial(rows, stride, s, y)
    elif loss == MIXTURE_DENSITY:
        mixture_density(rows, n, stride, s, y)
    else:
        quantiles(numbers, rows, n, stride, s, y)


cdef void distribution_hessian_product(
    Py_ssize_t loss, const double *numbers, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride,
    const real *s, const real *y, const real *v, real *out
) noexcept nogil:
    """out = (∂²e/∂s∂s) v by the code of the loss."""
    if loss == GAUSSIAN:
        gaussian_hessian_product(rows, stride, s, y, v, out)
    elif loss == STUDENT_T:
        student_t_hessian_product(numbers, rows, stride, s, y, v, out)
    elif loss == LAPLACE:
        laplace_hessian_product(rows, stride, s, y, v, out)
    elif loss == NEGATIVE_BINOMIAL:
        negative_binomial_hessian_product(rows, stride, s, y, v, out)
    elif loss == MIXTURE_DENSITY:
        mixture_density_hessian_product(rows, n, stride, s, y, v, out)
    else:
        quantiles_hessian_product(numbers, rows, n, stride, s, y, v, out)
