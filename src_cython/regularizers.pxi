# Penalties, frozen layers, clipping of gradients and averaging of weights.
#
# The twin of fastbp/backends/numba_/regularizers.py.

cdef extern from *:
    """
    /* Added to a norm before dividing by it, as in PyTorch. */
    static const double NORM_OFFSET = 1e-6;
    """
    const double NORM_OFFSET


cdef inline bint is_frozen(const double *layer_rules, Py_ssize_t i) noexcept nogil:
    """Return whether layer i is frozen."""
    return layer_rules[i * RULES + FROZEN] != 0.0


cdef Py_ssize_t lowest_learning(Net *net, const double *layer_rules) noexcept nogil:
    """Return the first layer that is not frozen; 0 if the input learns."""
    cdef Py_ssize_t i
    for i in range(bottom(net), net.m):
        if not is_frozen(layer_rules, i):
            return i
    return net.m


cdef bint penalised(const double *layer_rules, Py_ssize_t m) noexcept nogil:
    """Return whether any layer has a penalty."""
    cdef double largest = 0.0
    cdef Py_ssize_t i
    for i in range(1, m + 1):
        largest = max(largest, layer_rules[i * RULES + L1], layer_rules[i * RULES + L2])
    return largest > 0.0


cdef double penalties(Net *net, const double *layer_rules) noexcept nogil:
    """Return Σ l1 |W| + l2 / 2 W² over all weights, biases excluded."""
    cdef double total = 0.0, l1, half_l2
    cdef Py_ssize_t i, k, j, stride, rows, n
    cdef const int64_t *here
    cdef const real *W
    cdef vec w, squares, sizes
    for i in range(1, net.m + 1):
        l1, half_l2 = layer_rules[i * RULES + L1], 0.5 * layer_rules[i * RULES + L2]
        if l1 == 0.0 and half_l2 == 0.0:
            continue
        here = net.plan + i * COLUMNS
        W = net.parameters + here[WEIGHTS]
        rows, n, stride = net.plan[(i - 1) * COLUMNS + SIZE], here[SIZE], here[STRIDE]
        if single_output(net, i):
            rows, n = 1, rows
        for k in range(rows):
            squares, sizes = splat(0.0), splat(0.0)
            for j from 0 <= j < n by FBP_LANES:
                w = load(W, k * stride + j)
                squares = fma(w, w, squares)
                sizes = sizes + absolute(w)
            total += half_l2 * sum_lanes(squares)
            total += l1 * sum_lanes(sizes)
    return total


cdef void add_penalties(
    const real *w, real *g, Py_ssize_t n, double l1, double l2
) noexcept nogil:
    """g[:n] += l1 sign(w) + l2 w."""
    cdef Py_ssize_t i
    cdef vec x, share
    check(w, n)
    check(g, n)
    for i from 0 <= i < n by FBP_LANES:
        x = load(w, i)
        share = fma(splat(<real>l2), x, load(g, i))
        store(g, i, fma(splat(<real>l1), sign(x), share))


cdef void note_squares(
    Net *net, Py_ssize_t i, const real *gradient, Py_ssize_t first, Py_ssize_t last,
    double *squares
) noexcept nogil:
    """Write Σ g² of layer i's rows first..last - 1, biases included, to its part of `squares`.

    The part of the input's tables is the last.
    """
    cdef const int64_t *here = net.plan + i * COLUMNS
    cdef const real *G = gradient + here[WEIGHTS]
    cdef Py_ssize_t n = padded(here[SIZE]), stride = stride_of_rows(net, i), k, j
    cdef vec g, total
    if rarely(i == 0):
        n = stride
    for k in range(1, i if i > 0 else net.m + 1):
        squares += rows_of(net.plan, k)
    if single_output(net, i):  # one row, the bias in the vector behind it
        n = padded(net.plan[(i - 1) * COLUMNS + SIZE]) + FBP_LANES
        first, last = 0, 1
    for k in range(first, last):
        total = splat(0.0)
        for j from 0 <= j < n by FBP_LANES:
            g = load(G, k * stride + j)
            total = fma(g, g, total)
        squares[k] = sum_lanes(total)


cdef double clip_factor(Net *net, const double *squares, double norm) noexcept nogil:
    """Return the factor that scales the gradient's norm down to at most `norm`."""
    cdef Py_ssize_t i, k, rows = 0
    cdef double total = 0.0
    for i in range(bottom(net), net.m + 1):
        rows += rows_of(net.plan, i)
    for k in range(rows):
        total += squares[k]
    return min(1.0, norm / (sqrt_double(total) + NORM_OFFSET))


cdef void scale(real *g, Py_ssize_t n, double factor) noexcept nogil:
    """g[:n] *= factor."""
    cdef Py_ssize_t i
    check(g, n)
    for i from 0 <= i < n by FBP_LANES:
        store(g, i, splat(<real>factor) * load(g, i))


cdef void blend(real *average, const real *w, Py_ssize_t n, double keep) noexcept nogil:
    """average[:n] = keep average + (1 - keep) w."""
    cdef Py_ssize_t i
    cdef vec add = splat(<real>(1.0 - keep))
    check(average, n)
    for i from 0 <= i < n by FBP_LANES:
        store(average, i, fma(splat(<real>keep), load(average, i), add * load(w, i)))
