# A step: the batch's gradient is finished and applied, a few weight rows at a time.
#
# The twin of fastbp/backends/numba_/steps.py.

# The number of weight rows whose gradient is computed, applied and transposed at a time; a
# multiple of the tiles' heights and of the vector length.
cdef enum:
    CHUNK = 48

# Sparse samples take more rows: each thread looks at all rows of the block for their entries. This
# many numbers of the gradient fit into the second-level cache.
cdef enum:
    CHUNK_NUMBERS = 65536

# The optimiser's hyper-parameters and state arrays, and this step's pace; the layers' rules and
# the factor of the penalties; the clipping norm and scratch array; the average and its decay; the
# signs of weights. Without clipping, averaging or signs, their arrays are NULL.
cdef struct Stepping:
    Py_ssize_t optimizer
    const double *hyper
    double *counters
    Pace pace
    real *first
    real *second
    const double *layer_rules
    double factor
    double clip_norm
    double *squares
    double decay
    real *average
    double keep
    const real *signs


cdef void next_step(Stepping *how, double rate) noexcept nogil:
    """Count a step and set its pace."""
    how.counters[0] += 1.0
    how.counters[1] *= how.hyper[1]
    how.counters[2] *= how.hyper[2]
    how.pace = pace_of(how.optimizer, how.hyper, rate, how.counters)
    how.keep = how.decay if how.counters[0] > 1.0 else 0.0


cdef void complete(
    Net *net, const real *h, Py_ssize_t stride_in, Py_ssize_t rows, Py_ssize_t part, real *gradient,
    Stepping *how
) noexcept nogil:
    """Finish the batch's gradient with its last block, add penalties, and sum its squares."""
    cdef Py_ssize_t i, n_in, stride, n, at
    cdef const int64_t *here
    cdef double l1, l2
    cdef Share own
    for i in range(bottom(net), net.m + 1):
        here = net.plan + i * COLUMNS
        n_in, stride = inputs_of(net, i), stride_of_rows(net, i)
        own = weight_share(net, i, False)  # of whole rows, whose squares are summed
        if own.first == own.last or is_frozen(how.layer_rules, i):
            continue
        weight_gradient(net, i, h, stride_in, rows, gradient, part, own)
        n = padded(n_in)
        if not single_output(net, i):
            n = max(min(own.last, n_in) - own.first, 0) * stride
        l1 = how.factor * how.layer_rules[i * RULES + L1]
        l2 = how.factor * how.layer_rules[i * RULES + L2]
        if l1 > 0.0 or l2 > 0.0:
            at = here[WEIGHTS] + own.first * stride
            add_penalties(net.parameters + at, gradient + at, n, l1, l2)
        note_squares(net, i, gradient, own.first, own.last, how.squares)


cdef inline Py_ssize_t inputs_of(Net *net, Py_ssize_t i) noexcept nogil:
    """The number of layer i's rows of weights."""
    return 0 if rarely(i == 0) else net.plan[(i - 1) * COLUMNS + SIZE]


cdef void apply(
    Net *net, Stepping *how, Py_ssize_t i, real *gradient, Py_ssize_t at, Py_ssize_t weights,
    Py_ssize_t biases, double factor
) noexcept nogil:
    """Step layer i's parameters from `at` on: `weights` numbers of weights, then `biases`.

    The latter are all that have no penalties: biases and what follows them.
    `factor` is the clipping factor. With clipping, the gradient already includes the penalties.
    """
    cdef real *w = net.parameters + at
    cdef real *g = gradient + at
    cdef double l1 = how.factor * how.layer_rules[i * RULES + L1]
    cdef double l2 = how.factor * how.layer_rules[i * RULES + L2]
    cdef double decay = how.hyper[4]
    cdef real *first = how.first + at
    cdef real *second = how.second + at
    if how.squares != NULL:
        l2 = 0.0
        if factor < 1.0:
            scale(g, weights + biases, factor)
    elif l1 > 0.0:
        add_penalties(w, g, weights, l1, l2)
        l2 = 0.0
    if l2 == 0.0 and decay == 0.0:  # weights and biases take the same step
        weights, biases = weights + biases, 0
    update(
        how.optimizer, how.hyper, how.pace, w, g, first, second, weights, l2, decay
    )
    if biases > 0:
        update(
            how.optimizer, how.hyper, how.pace, w + weights, g + weights, first + weights,
            second + weights, biases, 0.0, 0.0,
        )
    if how.signs != NULL:
        keep_signs(w, how.signs + at, weights + biases)
    if how.average != NULL:
        blend(how.average + at, w, weights + biases, how.keep)


cdef void step(
    Net *net, const real *h, Py_ssize_t stride_in, Py_ssize_t rows, Py_ssize_t part,
    real *transposed, real *gradient, Stepping *how
) noexcept nogil:
    """Finish the batch's gradient with its last block and apply it, a few weight rows at a time."""
    cdef Py_ssize_t i, n_in, stride, start, of_weights, pieces, piece, weights, biases, most
    cdef const int64_t *here
    cdef double factor = 1.0
    cdef Share own, chunk
    if how.squares != NULL:  # clipping needs the whole gradient first
        complete(net, h, stride_in, rows, part, gradient, how)
        barrier(net.shared, net.threads)
        factor = clip_factor(net, how.squares, how.clip_norm)
    for i in range(net.m, bottom(net) - 1, -1):
        here = net.plan + i * COLUMNS
        n_in, stride, start = inputs_of(net, i), stride_of_rows(net, i), here[WEIGHTS]
        own = weight_share(net, i, True)
        if own.first == own.last or own.left == own.right or is_frozen(how.layer_rules, i):
            continue
        if single_output(net, i):
            if how.squares == NULL:
                weight_gradient(net, i, h, stride_in, rows, gradient, part, own)
            apply(net, how, i, gradient, start, padded(n_in), FBP_LANES, factor)
            continue
        chunk, most = own, CHUNK
        if rarely(i == 0):
            most = own.last
        elif rarely(here[SPARSE] != 0):
            most = max(CHUNK, CHUNK_NUMBERS // stride)
            if here[SPARSE] == TOUCHED and part != COMPLETE:
                step_touched(
                    net, rows, own.first, own.last, gradient + start + own.first * stride, how
                )
                chunk.first = max(own.first, min(own.last, n_in))  # the biases and what follows them
        while chunk.first < own.last:
            chunk.last = min(chunk.first + most, own.last)
            if how.squares == NULL:
                weight_gradient(net, i, h, stride_in, rows, gradient, part, chunk)
            of_weights = max(min(chunk.last, n_in) - chunk.first, 0)
            pieces, weights = 1, of_weights * stride
            biases = (chunk.last - chunk.first) * stride - weights
            if own.split:  # each row is a piece, the last ones may be biases and what follows them
                pieces = chunk.last - chunk.first
            for piece in range(pieces):
                if own.split:
                    weights, biases = own.right - own.left, 0
                    if piece >= of_weights:
                        weights, biases = biases, weights
                apply(
                    net, how, i, gradient, start + (chunk.first + piece) * stride + own.left,
                    weights, biases, factor,
                )
            if i > bottom(net):
                transpose_rows(
                    net, i, transposed, chunk.first, chunk.first + of_weights, own.left, own.right
                )
            chunk.first = chunk.last
