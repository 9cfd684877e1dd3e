# Derivatives through what hidden layers compute between s_i and the next layer, and the way back.
#
# That is normalisation, activation and residual connection, for jets and for derivatives along a
# vector of the parameters' space, whose Net is `along`. All arrays of a layer have as many sets of
# rows as there are values of each unit. The equations are in docs/mathematics.md, "Derivatives of
# normalised layers".
#
# Sets of rows follow each other: values, K sets of first derivatives, and `seconds` sets of second
# ones. Of a normalised layer, NORMALIZED holds u = (x̂, r c'_k, r c''), where c is s without its
# mean, and INVERSE r, the first derivatives of the deviation divided by it, and the second ones.
# The twin of fastbp/backends/numba_/layer_jets.py and hidden_jets.py.


cdef inline real *scratch(Net *net) noexcept nogil:
    """Scratch space behind the workspace: 3 numbers for each unit of SLICE_ROWS rows."""
    cdef Py_ssize_t i, widest = FBP_LANES
    for i in range(net.m + 1):
        widest = max(widest, net.plan[i * COLUMNS + STRIDE])
    return zero_row(net) + widest


cdef inline void fill(real *p, Py_ssize_t n, real x) noexcept nogil:
    """p[:n] = x, for whole vectors."""
    cdef Py_ssize_t j
    check(p, n)
    for j from 0 <= j < n by FBP_LANES:
        store(p, j, splat(x))


cdef real *slopes(
    Net *net, Py_ssize_t i, Py_ssize_t at, Py_ssize_t n, Py_ssize_t order
) noexcept nogil:
    """The first, second and third derivatives of σ_i for n units from number `at` on.

    They follow each other in scratch space, up to the order.
    """
    cdef Py_ssize_t code = code_of(net.plan + i * COLUMNS)
    cdef real *d = scratch(net)
    cdef const real *s = of_block(net, i, S) + at
    cdef const real *h = of_block(net, i, H) + at
    fill(d, order * n, 1.0)
    multiply_by_derivative(code, s, h, d, n)
    if order > 1:
        multiply_by_second_derivative(code, s, h, d + n, n)
    if order > 2:
        multiply_by_third_derivative(code, s, h, d + 2 * n, n)
    return d


cdef void activate_jets(Net *net, Py_ssize_t i, Py_ssize_t K, Py_ssize_t seconds) noexcept nogil:
    """The jets of h_i = σ_i(s_i) from those of s_i. With identity, h is s."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], size = net.rows * stride, at, n, r, k, j, t
    cdef const real *s
    cdef const real *s2
    cdef const real *d1
    cdef const real *d2
    cdef real *h
    cdef real *h2
    cdef vec x, slope
    if here[ACTIVATION] == IDENTITY:
        return
    check(of_block(net, i, S), (1 + K + seconds) * size)
    check(of_block(net, i, H), (1 + K + seconds) * size)
    for r from 0 <= r < net.rows by SLICE_ROWS:
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        s, h = of_block(net, i, S) + at, of_block(net, i, H) + at
        activate(code_of(here), s, h, n)
        d1 = slopes(net, i, at, n, 2 if seconds > 0 else 1)
        d2 = d1 + n
        for k in range(K):
            s, h = s + size, h + size
            t = K if seconds == K else K - k  # sets from the first to the second derivative
            s2, h2 = s + t * size, h + t * size
            if seconds == 0:
                for j from 0 <= j < n by FBP_LANES:
                    store(h, j, load(d1, j) * load(s, j))
            elif seconds == K or k == 0:
                for j from 0 <= j < n by FBP_LANES:
                    x, slope = load(s, j), load(d1, j)
                    store(h, j, slope * x)
                    store(h2, j, fma(load(d2, j), x * x, slope * load(s2, j)))
            else:
                for j from 0 <= j < n by FBP_LANES:
                    x = load(s, j)
                    store(h, j, load(d1, j) * x)
                    store(h2, j, fma(load(d2, j), x * x, load(h2, j)))


cdef void activate_adjoints(
    Net *net, Py_ssize_t i, Py_ssize_t K, Py_ssize_t seconds
) noexcept nogil:
    """The adjoints of the jets of s_i from those of h_i = σ_i(s_i), in place."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], size = net.rows * stride, at, n, r, k, j, t
    cdef const real *s
    cdef const real *s1
    cdef const real *s2
    cdef const real *d1
    cdef const real *d2
    cdef const real *d3
    cdef real *a
    cdef real *a1
    cdef real *a2
    cdef vec x, v, w, curve, bend, value, of_second
    if here[ACTIVATION] == IDENTITY:
        return
    check(of_block(net, i, S), (1 + K + seconds) * size)
    check(of_block(net, i, DS), (1 + K + seconds) * size)
    for r from 0 <= r < net.rows by SLICE_ROWS:
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        s, a = of_block(net, i, S) + at, of_block(net, i, DS) + at
        d1 = slopes(net, i, at, n, 3 if seconds > 0 else 2)
        d2, d3 = d1 + n, d1 + 2 * n
        for j from 0 <= j < n by FBP_LANES:
            store(a, j, load(d1, j) * load(a, j))
        for k in range(K):
            s1, a1 = s + (k + 1) * size, a + (k + 1) * size
            t = 1 + K + (k if seconds == K else 0)
            s2, a2 = s + t * size, a + t * size
            if seconds == 0:
                for j from 0 <= j < n by FBP_LANES:
                    x, v = load(s1, j), load(a1, j)
                    store(a, j, fma(load(d2, j) * x, v, load(a, j)))
                    store(a1, j, load(d1, j) * v)
            elif seconds == K:
                for j from 0 <= j < n by FBP_LANES:
                    x, v, w = load(s1, j), load(a1, j), load(a2, j)
                    curve = load(d2, j)
                    bend = curve * x
                    of_second = fma(load(d3, j), x * x, curve * load(s2, j))
                    store(a, j, fma(of_second, w, fma(bend, v, load(a, j))))
                    store(a1, j, fma(<real>2.0 * bend, w, load(d1, j) * v))
                    store(a2, j, load(d1, j) * w)
            else:
                for j from 0 <= j < n by FBP_LANES:
                    x, v, w = load(s1, j), load(a1, j), load(a2, j)
                    bend = load(d2, j) * x
                    value = fma(bend, v, load(a, j))
                    store(a, j, fma(load(d3, j) * (x * x), w, value))
                    store(a1, j, fma(<real>2.0 * bend, w, load(d1, j) * v))
        if seconds > 0 and seconds != K:
            s2, a2 = s + (1 + K) * size, a + (1 + K) * size
            for j from 0 <= j < n by FBP_LANES:
                w = load(a2, j)
                store(a, j, fma(load(d2, j) * load(s2, j), w, load(a, j)))
                store(a2, j, load(d1, j) * w)


cdef void deltas_through(Net *net, Py_ssize_t i) noexcept nogil:
    """δ_i and δ'_i of a hidden layer from ∂e/∂h_i and its derivative, in place."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], size = net.rows * stride, at, n, r, j
    cdef const real *ds
    cdef const real *d1
    cdef const real *d2
    cdef real *d
    cdef real *along
    cdef vec g, slope, bend
    if here[ACTIVATION] == IDENTITY:
        return
    for r from 0 <= r < net.rows by SLICE_ROWS:
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        ds = of_block(net, i, S) + size + at
        d = of_block(net, i, DS) + at
        along, d1 = d + size, slopes(net, i, at, n, 2)
        d2 = d1 + n
        for j from 0 <= j < n by FBP_LANES:
            g, slope = load(d, j), load(d1, j)
            bend = load(d2, j) * load(ds, j)
            store(d, j, slope * g)
            store(along, j, fma(bend, g, slope * load(along, j)))


# Normalised layers.

cdef inline vec mean_of(vec total, Py_ssize_t n) noexcept nogil:
    """The mean of n numbers in every lane, from the sums in the lanes."""
    return splat(sum_lanes(total)) / splat(n)


cdef inline vec row_mean(const real *s, Py_ssize_t n, bint centred) noexcept nogil:
    """The mean of a row's n numbers in every lane; 0 if rows are not centred."""
    cdef Py_ssize_t j
    cdef vec total = splat(0.0)
    if centred:
        for j from 0 <= j < n by FBP_LANES:
            total = total + load(s, j)
    return mean_of(total, n)


cdef inline void centre(
    const real *s, Py_ssize_t n, bint centred, vec scale, real *x
) noexcept nogil:
    """x = (s - mean) scale for a row."""
    cdef Py_ssize_t j
    cdef vec mean = row_mean(s, n, centred)
    for j from 0 <= j < n by FBP_LANES:
        store(x, j, keep_first(load(s, j) - mean, n - j, 0.0) * scale)


cdef inline void finish(real *d, Py_ssize_t n, bint centred, vec scale) noexcept nogil:
    """d = (d - mean) scale for a row."""
    cdef Py_ssize_t j
    cdef vec mean = row_mean(d, n, centred)
    for j from 0 <= j < n by FBP_LANES:
        store(d, j, keep_first((load(d, j) - mean) * scale, n - j, 0.0))


cdef void normalize_jets(Net *net, Py_ssize_t i, Py_ssize_t K, Py_ssize_t seconds) noexcept nogil:
    """The jets of z_i from those of s_i, in place."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], rows = net.rows
    cdef Py_ssize_t size = rows * stride, apart = rows * FBP_LANES, r, j, k, t
    cdef bint centred = here[NORM] == LAYER_NORM
    cdef const real *gamma = own_parameters(net, i)
    cdef const real *beta = gamma + stride
    cdef real *z
    cdef real *u
    cdef real *of_row
    cdef real *of_second
    cdef real *z1
    cdef real *u1
    cdef real *z2
    cdef real *u2
    cdef vec mean, squares, total, scale, growth, twice, d
    check(of_block(net, i, S), (1 + K + seconds) * size)
    check(of_block(net, i, NORMALIZED), (1 + K + seconds) * size)
    check(of_block(net, i, INVERSE), (1 + K + seconds) * apart)
    for r in range(rows):
        z, u = of_block(net, i, S) + r * stride, of_block(net, i, NORMALIZED) + r * stride
        of_row = of_block(net, i, INVERSE) + r * FBP_LANES
        mean, squares = row_mean(z, n, centred), splat(0.0)
        for j from 0 <= j < n by FBP_LANES:
            d = keep_first(load(z, j) - mean, n - j, 0.0)
            squares = fma(d, d, squares)
            store(u, j, d)
        scale = splat(1.0) / sqrt(mean_of(squares, n) + splat(NORM_EPSILON))
        store(of_row, 0, scale)
        for j from 0 <= j < n by FBP_LANES:
            d = load(u, j) * scale
            store(u, j, d)
            if centred:
                store(z, j, fma(load(gamma, j), d, load(beta, j)))
            else:
                store(z, j, load(gamma, j) * d)
        for t in range(K + 1, K + 1 + seconds):
            z2, u2 = z + t * size, u + t * size
            centre(z2, n, centred, scale, u2)
            total = splat(0.0)
            for j from 0 <= j < n by FBP_LANES:
                d = load(u2, j)
                total = fma(load(u, j), d, total)
                store(z2, j, d)
            store(of_row, t * apart, mean_of(total, n))
        for k in range(1, K + 1):
            z1, u1 = z + k * size, u + k * size
            t = K + k if seconds == K else K + 1
            z2, of_second = z + t * size, of_row + t * apart
            centre(z1, n, centred, scale, u1)
            total = squares = splat(0.0)
            for j from 0 <= j < n by FBP_LANES:
                d = load(u1, j)
                total, squares = fma(load(u, j), d, total), fma(d, d, squares)
            growth, squares = mean_of(total, n), mean_of(squares, n)
            store(of_row, k * apart, growth)
            if seconds > 0:
                store(of_second, 0, load(of_second, 0) + (squares - growth * growth))
            twice = growth + growth
            for j from 0 <= j < n by FBP_LANES:
                d = load(u1, j) - growth * load(u, j)
                store(z1, j, load(gamma, j) * d)
                if seconds > 0:
                    store(z2, j, load(z2, j) - twice * d)
        for t in range(K + 1, K + 1 + seconds):
            z2, growth = z + t * size, load(of_row, t * apart)
            for j from 0 <= j < n by FBP_LANES:
                store(z2, j, load(gamma, j) * (load(z2, j) - growth * load(u, j)))


cdef void normalize_adjoints(
    Net *net, Py_ssize_t i, Py_ssize_t K, Py_ssize_t seconds
) noexcept nogil:
    """The adjoints of the jets of s_i from those of z_i, in place."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], rows = net.rows
    cdef Py_ssize_t size = rows * stride, apart = rows * FBP_LANES, r, j, k, t
    cdef bint centred = here[NORM] == LAYER_NORM
    cdef const real *gamma = own_parameters(net, i)
    cdef const real *u
    cdef const real *u1
    cdef const real *u2
    cdef const real *of_row
    cdef real *a
    cdef real *a1
    cdef real *a2
    cdef real *for_gamma
    cdef real *for_beta
    cdef vec scale, of_second, of_growth, along, growth, twice, total, products, bend
    cdef vec dz, g, v, w, by_first, by_second, derivative
    check(of_block(net, i, DS), (1 + K + seconds) * size)
    check(terms_of(net, i, 0), size)
    for r in range(rows):
        a, u = of_block(net, i, DS) + r * stride, of_block(net, i, NORMALIZED) + r * stride
        of_row = of_block(net, i, INVERSE) + r * FBP_LANES
        for_gamma, for_beta = terms_of(net, i, 0) + r * stride, terms_of(net, i, 1) + r * stride
        scale = load(of_row, 0)
        of_second, along = splat(0.0), splat(0.0)
        for j from 0 <= j < n by FBP_LANES:
            dz = load(a, j)
            store(for_gamma, j, dz * load(u, j))
            if centred:
                store(for_beta, j, dz)
            store(a, j, dz * load(gamma, j))
        for k in range(1, K + 1):
            a1, u1, growth = a + k * size, u + k * size, load(of_row, k * apart)
            t = K + k if seconds == K else K + 1
            a2, u2 = a + t * size, u + t * size
            twice = growth + growth
            if seconds > 0 and (seconds == K or k == 1):
                total = splat(0.0)
                for j from 0 <= j < n by FBP_LANES:
                    total = fma(load(gamma, j) * load(a2, j), load(u, j), total)
                of_second = -mean_of(total, n)
            total = products = splat(0.0)
            for j from 0 <= j < n by FBP_LANES:
                g, by_first, v = load(gamma, j), load(a1, j), load(u, j)
                derivative = load(u1, j) - growth * v
                if seconds > 0:
                    by_second = load(a2, j)
                    by_first = by_first - twice * by_second
                    products = fma(g * by_second, derivative, products)
                store(for_gamma, j, fma(by_first, derivative, load(for_gamma, j)))
                by_first = g * by_first
                total = fma(by_first, v, total)
                store(a1, j, by_first)
            products = mean_of(products, n)
            of_growth = -(products + products + twice * of_second + mean_of(total, n))
            total, bend = splat(0.0), of_second + of_second
            for j from 0 <= j < n by FBP_LANES:
                by_first, w = load(a1, j), load(u1, j)
                store(a, j, load(a, j) + (of_growth * w - growth * by_first))
                by_first = by_first + fma(bend, w, of_growth * load(u, j))
                total = fma(by_first, w, total)
                store(a1, j, by_first)
            along = along + total
            finish(a1, n, centred, scale)
            if seconds > 0 and (seconds == K or k == K):
                growth, total = load(of_row, t * apart), splat(0.0)
                for j from 0 <= j < n by FBP_LANES:
                    by_second, v, w = load(a2, j), load(u, j), load(u2, j)
                    store(for_gamma, j, fma(by_second, w - growth * v, load(for_gamma, j)))
                    by_second = load(gamma, j) * by_second
                    store(a, j, load(a, j) + (of_second * w - growth * by_second))
                    by_second = by_second + of_second * v
                    total = fma(by_second, w, total)
                    store(a2, j, by_second)
                along = along + total
                finish(a2, n, centred, scale)
        for j from 0 <= j < n by FBP_LANES:
            along = fma(load(a, j), load(u, j), along)
        along = mean_of(along, n)
        for j from 0 <= j < n by FBP_LANES:
            store(a, j, load(a, j) - along * load(u, j))
        finish(a, n, centred, scale)


cdef void normalize_along(Net *net, Net *along, Py_ssize_t i) noexcept nogil:
    """z_i from s_i and their derivatives along the vector, in place."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], size = net.rows * stride, r, j
    cdef bint centred = here[NORM] == LAYER_NORM
    cdef const real *gamma = own_parameters(along, i)
    cdef const real *beta = gamma + stride
    cdef const real *x = of_block(net, i, NORMALIZED)
    cdef real *of_z = of_block(net, i, S) + size
    cdef vec v
    normalize_jets(net, i, 1, 0)
    for r from 0 <= r < size by stride:
        for j from 0 <= j < n by FBP_LANES:
            v = load(gamma, j) * load(x, r + j)
            if centred:
                v = v + load(beta, j)
            store(of_z, r + j, load(of_z, r + j) + v)


cdef void normalize_back_along(Net *net, Net *along, Py_ssize_t i) noexcept nogil:
    """∂e/∂s_i from ∂e/∂z_i and their derivatives along the vector, in place.

    The terms are those of the derivatives of ∇γ and ∇β along the vector.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], rows = net.rows
    cdef Py_ssize_t size = rows * stride, apart = rows * FBP_LANES, r, j
    cdef bint centred = here[NORM] == LAYER_NORM
    cdef const real *gamma = own_parameters(net, i)
    cdef const real *gamma_along = own_parameters(along, i)
    cdef const real *u
    cdef const real *u1
    cdef const real *of_row
    cdef real *a
    cdef real *a1
    cdef real *of_gamma = terms_of(net, i, 0)
    cdef real *of_beta = terms_of(net, i, 1)
    cdef vec scale, growth, total, total_along, dz, dz1, g, g1, v, derivative
    check(of_block(net, i, DS), 2 * size)
    check(of_gamma, size)
    for r in range(rows):
        a, u = of_block(net, i, DS) + r * stride, of_block(net, i, NORMALIZED) + r * stride
        of_row = of_block(net, i, INVERSE) + r * FBP_LANES
        a1, u1 = a + size, u + size
        scale, growth = load(of_row, 0), load(of_row, apart)
        total = total_along = splat(0.0)
        for j from 0 <= j < n by FBP_LANES:
            dz, dz1, v = load(a, j), load(a1, j), load(u, j)
            derivative = load(u1, j) - growth * v
            store(of_gamma, r * stride + j, fma(dz, derivative, dz1 * v))
            if centred:
                store(of_beta, r * stride + j, dz1)
            g = load(gamma, j) * dz
            g1 = fma(load(gamma_along, j), dz, load(gamma, j) * dz1)
            total = fma(g, v, total)
            total_along = fma(g1, v, fma(g, derivative, total_along))
            store(a, j, g)
            store(a1, j, g1)
        total, total_along = mean_of(total, n), mean_of(total_along, n)
        for j from 0 <= j < n by FBP_LANES:
            v = load(u, j)
            derivative = load(u1, j) - growth * v
            store(a, j, load(a, j) - v * total)
            store(a1, j, load(a1, j) - fma(derivative, total, v * total_along))
        finish(a, n, centred, scale)
        finish(a1, n, centred, scale)
        for j from 0 <= j < n by FBP_LANES:
            store(a1, j, load(a1, j) - growth * load(a, j))


# PReLU.

cdef inline const real *slopes_of(Net *net, Py_ssize_t i) noexcept nogil:
    """PReLU's slopes, the last row of layer i's parameters."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    return own_parameters(net, i) + slopes_row(here) * here[STRIDE]


cdef void prelu_jets(Net *net, Py_ssize_t i, Py_ssize_t sets) noexcept nogil:
    """The jets of h_i from those of z_i, with slopes."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], size = net.rows * stride, at, r, j
    cdef const real *a = slopes_of(net, i)
    cdef const real *z = of_block(net, i, S)
    cdef real *h = of_block(net, i, H)
    cdef vec v
    check(z, sets * size)
    check(h, sets * size)
    for at from 0 <= at < sets * size by size:
        for r from 0 <= r < size by stride:
            for j from 0 <= j < n by FBP_LANES:
                v = load(z, at + r + j)
                store(h, at + r + j, select_le(load(z, r + j), splat(0.0), load(a, j) * v, v))


cdef void prelu_adjoints(Net *net, Py_ssize_t i, Py_ssize_t sets) noexcept nogil:
    """The adjoints of the jets of z_i from those of h_i, in place."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], size = net.rows * stride, at, r, j
    cdef const real *a = slopes_of(net, i)
    cdef const real *z = of_block(net, i, S)
    cdef real *d = of_block(net, i, DS)
    cdef real *of_slopes = terms_of(net, i, slopes_row(here))
    cdef vec x, dh, slope, total, zero = splat(0.0)
    check(d, sets * size)
    check(of_slopes, size)
    for r from 0 <= r < size by stride:
        for j from 0 <= j < n by FBP_LANES:
            x, slope, total = load(z, r + j), load(a, j), zero
            for at from r + j <= at < sets * size by size:
                dh = load(d, at)
                total = fma(dh, load(z, at), total)
                store(d, at, select_le(x, zero, dh * slope, dh))
            store(of_slopes, r + j, select_le(x, zero, total, zero))


cdef void prelu_along(Net *net, Net *along, Py_ssize_t i) noexcept nogil:
    """h_i from z_i and their derivatives along the vector."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], size = net.rows * stride, r, j
    cdef const real *a = slopes_of(net, i)
    cdef const real *a_along = slopes_of(along, i)
    cdef const real *z = of_block(net, i, S)
    cdef real *h = of_block(net, i, H)
    cdef vec x, v, below, zero = splat(0.0)
    check(h, 2 * size)
    for r from 0 <= r < size by stride:
        for j from 0 <= j < n by FBP_LANES:
            x, v = load(z, r + j), load(z, size + r + j)
            below = fma(load(a_along, j), x, load(a, j) * v)
            store(h, r + j, select_le(x, zero, load(a, j) * x, x))
            store(h, size + r + j, select_le(x, zero, below, v))


cdef void prelu_back_along(Net *net, Net *along, Py_ssize_t i) noexcept nogil:
    """∂e/∂z_i from ∂e/∂h_i and their derivatives along the vector, in place.

    The terms are those of the derivative of the slopes' gradient along the vector.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], size = net.rows * stride, r, j
    cdef const real *a = slopes_of(net, i)
    cdef const real *a_along = slopes_of(along, i)
    cdef const real *z = of_block(net, i, S)
    cdef real *d = of_block(net, i, DS)
    cdef real *of_slopes = terms_of(net, i, slopes_row(here))
    cdef vec x, dh, dh1, slope, of_slope, below, zero = splat(0.0)
    check(d, 2 * size)
    check(of_slopes, size)
    for r from 0 <= r < size by stride:
        for j from 0 <= j < n by FBP_LANES:
            x, slope = load(z, r + j), load(a, j)
            dh, dh1 = load(d, r + j), load(d, size + r + j)
            of_slope = fma(dh1, x, dh * load(z, size + r + j))
            below = fma(load(a_along, j), dh, slope * dh1)
            store(of_slopes, r + j, select_le(x, zero, of_slope, zero))
            store(d, r + j, select_le(x, zero, dh * slope, dh))
            store(d, size + r + j, select_le(x, zero, below, dh1))


# Hidden layers.

cdef void add_below_jets(Net *net, Py_ssize_t i, Py_ssize_t sets) noexcept nogil:
    """The jets of out_i = h_i + out_{i-1}."""
    cdef Py_ssize_t n = sets * net.rows * net.plan[i * COLUMNS + STRIDE], j
    cdef const real *h = of_block(net, i, H)
    cdef const real *below = of_block(net, i - 1, OUTPUT)
    cdef real *out = of_block(net, i, OUTPUT)
    check(out, n)
    for j from 0 <= j < n by FBP_LANES:
        store(out, j, load(h, j) + load(below, j))


cdef void begin_adjoints(Net *net, Py_ssize_t i, Py_ssize_t sets) noexcept nogil:
    """Copy what comes back to layer i, which the residual connection needs, too."""
    cdef Py_ssize_t n = sets * net.rows * net.plan[i * COLUMNS + STRIDE], j
    cdef const real *dh = of_block(net, i, DH)
    cdef real *d = of_block(net, i, DS)
    check(d, n)
    for j from 0 <= j < n by FBP_LANES:
        store(d, j, load(dh, j))


cdef inline void through_hidden_jets(
    Net *net, Py_ssize_t i, Py_ssize_t K, Py_ssize_t seconds
) noexcept nogil:
    """The jets of out_i of a hidden layer from those of s_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    if rarely(here[NORM] != NO_NORM):
        normalize_jets(net, i, K, seconds)
    if rarely(here[ACTIVATION] == PRELU):
        prelu_jets(net, i, 1 + K + seconds)
    else:
        activate_jets(net, i, K, seconds)
    if rarely(here[RESIDUAL] != 0):
        add_below_jets(net, i, 1 + K + seconds)


cdef inline void back_through_hidden_jets(
    Net *net, Py_ssize_t i, Py_ssize_t K, Py_ssize_t seconds
) noexcept nogil:
    """The adjoints of the jets of s_i of a hidden layer from those of out_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    if rarely(here[RESIDUAL] != 0):
        begin_adjoints(net, i, 1 + K + seconds)
    if rarely(here[ACTIVATION] == PRELU):
        prelu_adjoints(net, i, 1 + K + seconds)
    else:
        activate_adjoints(net, i, K, seconds)
    if rarely(here[NORM] != NO_NORM):
        normalize_adjoints(net, i, K, seconds)


cdef inline void through_hidden_along(Net *net, Net *along, Py_ssize_t i) noexcept nogil:
    """out_i of a hidden layer and its derivative along the vector, from those of s_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    if rarely(here[NORM] != NO_NORM):
        normalize_along(net, along, i)
    if rarely(here[ACTIVATION] == PRELU):
        prelu_along(net, along, i)
    else:
        activate_jets(net, i, 1, 0)
    if rarely(here[RESIDUAL] != 0):
        add_below_jets(net, i, 2)


cdef inline void back_through_hidden_along(Net *net, Net *along, Py_ssize_t i) noexcept nogil:
    """∂e/∂s_i of a hidden layer and its derivative along the vector, from those of out_i."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    if rarely(here[RESIDUAL] != 0):
        begin_adjoints(net, i, 2)
    if rarely(here[ACTIVATION] == PRELU):
        prelu_back_along(net, along, i)
    else:
        deltas_through(net, i)
    if rarely(here[NORM] != NO_NORM):
        normalize_back_along(net, along, i)


cdef void sum_terms(Net *net, Py_ssize_t i, Py_ssize_t rows, real *G) noexcept nogil:
    """The gradients of layer i's parameters behind its biases: sums of the rows' terms."""
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef Py_ssize_t n_in = net.plan[(i - 1) * COLUMNS + SIZE], stride = here[STRIDE], which
    cdef real *target = G + here[WEIGHTS] + (n_in + 1) * stride
    for which in range(here[EXTRAS]):
        product(
            unit(net), 0, 0, terms_of(net, i, which), stride, zero_row(net), 0,
            target + which * stride, stride, 1, padded(here[SIZE]), rows,
        )
