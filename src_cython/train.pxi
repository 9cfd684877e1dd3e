# The training loop and the other entry points: what a call of the backend runs.
#
# A step takes the rows of a batch through the network in blocks. Per block: forward through
# all layers, loss and output delta, deltas back through all layers. Then, a few weight rows at
# a time while they are hot: gradient over the rows, optimiser, transposed copy.
#
# See fastbp/backends/interface.py for the arguments. The twin of
# fastbp/backends/numba_/train.py.

# Weight rows whose gradient is computed, applied and transposed before the next ones; a
# multiple of the tiles' heights.
cdef enum:
    CHUNK = 24

from libc.math cimport isfinite

cdef extern from *:
    """
    /* Another thread may write to it at any time. */
    #define fbp_read_once(p) (*(const volatile int64_t *)(p))
    """
    int64_t read_once "fbp_read_once"(const int64_t *p) nogil

# The optimiser and its arrays.
cdef struct Stepping:
    Py_ssize_t optimizer
    const double *hyper
    double l2
    double *counters
    real *first
    real *second


cdef double weight_total(Data *data, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """The sum of the weights of a batch."""
    cdef double total = 0.0
    cdef Py_ssize_t r
    if data.weight == NULL:
        return rows
    for r in range(rows):
        total += data.weight[row_of(data, start + r)]
    return total


cdef double sum_of_squares(Net *net) noexcept nogil:
    """Σ W² over all weights, biases left out."""
    cdef double total = 0.0
    cdef Py_ssize_t i, k, j, stride
    cdef const int64_t *here
    cdef const real *W
    cdef vec w, squares
    for i in range(1, net.m + 1):
        here = net.plan + i * COLUMNS
        W = net.parameters + here[WEIGHTS]
        stride = here[STRIDE]
        for k in range(net.plan[(i - 1) * COLUMNS + SIZE]):
            squares = splat(0.0)
            for j from 0 <= j < stride by FBP_LANES:
                w = load(W, k * stride + j)
                squares = fma(w, w, squares)
            total += sum_lanes(squares)
    return total


cdef void step(
    Net *net, const real *h, Py_ssize_t stride_in, Py_ssize_t rows, bint adding,
    real *transposed, real *gradient, Stepping *how
) noexcept nogil:
    """Finish the batch's gradient with its last block and apply it, a few weight rows at a time."""
    cdef Py_ssize_t i, n_in, stride, start, first, last, of_weights, at
    cdef const int64_t *here
    for i in range(net.m, 0, -1):
        here = net.plan + i * COLUMNS
        n_in, stride, start = net.plan[(i - 1) * COLUMNS + SIZE], here[STRIDE], here[WEIGHTS]
        for first from 0 <= first < n_in + 1 by CHUNK:
            last = min(first + CHUNK, n_in + 1)
            weight_gradient(net, i, h, stride_in, rows, gradient, adding, first, last)
            of_weights = min(last, n_in) - first
            at = start + first * stride
            update(
                how.optimizer, how.hyper, how.counters, net.parameters + at, gradient + at,
                how.first + at, how.second + at, of_weights * stride, how.l2, how.hyper[4],
            )
            if last > n_in:
                at = start + n_in * stride
                update(
                    how.optimizer, how.hyper, how.counters, net.parameters + at, gradient + at,
                    how.first + at, how.second + at, stride, 0.0, 0.0,
                )
            if i > 1:
                transpose_rows(net, i, transposed, first, first + of_weights)


cdef void run_predict(
    Net *net, const real *X, Py_ssize_t n_samples, real *out
) noexcept nogil:
    cdef Py_ssize_t n_in = net.plan[SIZE], start, rows, r, j
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE]
    cdef real *s = net.workspace + net.block * here[S]
    for start from 0 <= start < n_samples by net.block:
        rows = min(net.block, n_samples - start)
        forward(net, X + start * n_in, n_in, rows)
        output_activation(net.loss, s, rows, n, stride)
        check(out + start * n, rows * n)
        for r in range(rows):
            for j in range(n):
                out[(start + r) * n + j] = s[r * stride + j]


cdef double run_loss_and_gradient(
    Net *net, Data *data, Py_ssize_t n_samples, real *transposed, real *gradient
) noexcept nogil:
    """The mean loss; fills `gradient` unless that is NULL."""
    cdef double total = weight_total(data, 0, n_samples), numerator = 0.0
    cdef Py_ssize_t start, rows, stride
    cdef const real *h
    set_constants(net)
    if gradient != NULL:
        transpose(net, transposed)
    for start from 0 <= start < n_samples by net.block:
        rows = min(net.block, n_samples - start)
        h = gather(net, data, start, rows, &stride)
        forward(net, h, stride, rows)
        numerator = output_deltas(net, data, start, rows, total, numerator)
        if gradient != NULL:
            backward(net, transposed, rows)
            accumulate(net, h, stride, rows, gradient, start > 0)
    return numerator / total if total > 0.0 else 0.0


cdef Py_ssize_t run_train(
    Net *net, Data *data, Py_ssize_t n, Py_ssize_t epochs, Py_ssize_t batch_size,
    Stepping *how, real *transposed, real *gradient, double *losses, const int64_t *stop
) noexcept nogil:
    cdef Py_ssize_t epoch, batch, in_batch, start, end, rows, stride
    cdef double numerator, denominator, penalty, total, batch_loss
    cdef const real *h
    cdef const int64_t *order = data.order
    set_constants(net)
    transpose(net, transposed)
    for epoch in range(epochs):
        if order != NULL:
            data.order = order + epoch * n
        numerator = denominator = penalty = 0.0
        for batch from 0 <= batch < n by batch_size:
            if read_once(stop) != 0:
                return epoch
            in_batch = min(batch_size, n - batch)
            total = weight_total(data, batch, in_batch)
            batch_loss = 0.0
            start, end = batch, batch + in_batch
            h = gather(net, data, start, min(net.block, end - start), &stride)
            while True:
                rows = min(net.block, end - start)
                forward(net, h, stride, rows)
                batch_loss = output_deltas(net, data, start, rows, total, batch_loss)
                backward(net, transposed, rows)
                if start + rows == end:
                    break
                accumulate(net, h, stride, rows, gradient, start > batch)
                start += rows
                h = gather(net, data, start, min(net.block, end - start), &stride)
            if not isfinite(batch_loss):
                losses[epoch] = batch_loss
                return epoch
            if how.l2 > 0.0:
                penalty += 0.5 * how.l2 * sum_of_squares(net) * in_batch
            numerator += batch_loss
            denominator += total
            how.counters[0] += 1.0
            how.counters[1] *= how.hyper[1]
            how.counters[2] *= how.hyper[2]
            step(net, h, stride, end - start, start > batch, transposed, gradient, how)
        losses[epoch] = (numerator / denominator if denominator > 0.0 else 0.0) + penalty / n
    return epochs
