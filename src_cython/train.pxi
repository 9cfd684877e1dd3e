# The training loop and the other passes over all samples.
#
# A step takes the rows of a batch through the network in blocks. Per block it computes the forward
# pass, the losses and output deltas, and the backward pass of the deltas. Then, for a few weight
# rows at a time while they are in the cache, it computes the gradient over the rows, applies the
# optimiser and updates the transposed copy.
#
# Each thread of a team takes a share of the rows and then a share of the weights, with a barrier
# after each; see shares.pxi. In a large batch of a small network, it instead takes whole groups of
# blocks, whose gradients are then added up in the order of the groups. Blocks and groups depend only
# on the network and the batch, and no other sum spans several threads, so their number changes no
# bit. Sums over several blocks are in double precision.
#
# See fastbp/backends/interface.py for the arguments. The twin of
# fastbp/backends/numba_/train.py.

from libc.math cimport isfinite


cdef bint run_finite(const real *numbers, Py_ssize_t n) noexcept nogil:
    """Whether all numbers are finite."""
    cdef vec rest = splat(0.0), v
    cdef real last = 0.0
    cdef Py_ssize_t i, whole = n // FBP_LANES * FBP_LANES
    check(numbers, n)
    for i from 0 <= i < whole by FBP_LANES:
        v = load(numbers, i)
        rest = rest + (v - v)  # 0 if finite, else NaN, which persists
    for i in range(whole, n):
        last += numbers[i] - numbers[i]
    return sum_lanes(rest) + last == 0.0


cdef bint has_dropout(Net *net) noexcept nogil:
    """Whether any layer has dropout."""
    cdef Py_ssize_t i
    for i in range(net.m):
        if net.plan[i * COLUMNS + DROPOUT] != 0:
            return True
    return False


cdef void run_predict(
    Net *net, Data *data, Py_ssize_t n_samples, real *out
) noexcept nogil:
    cdef Py_ssize_t start, stride_in
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE]
    cdef const real *h
    for start from 0 <= start < n_samples by net.block:
        take_rows(net, start, min(net.block, n_samples - start))
        h = gather(net, data, start, &stride_in)
        forward_pass(net, h, stride_in)
        copy_rows(outputs(net), stride, net.rows, n, out + start * n, n)


cdef double run_loss_and_gradient(
    Net *net, Data *data, Py_ssize_t n_samples, real *transposed, real *gradient,
    const int64_t *stop
) noexcept nogil:
    """Return the mean loss; fill `gradient` unless it is NULL."""
    cdef double total = weight_total(data, 0, n_samples)
    cdef Losses sums = Losses([0.0, 0.0, 0.0, 0.0])
    cdef Py_ssize_t start, stride, rows
    cdef const real *h
    prepare(net)
    if gradient != NULL:
        transpose(net, transposed)
    if net.lines > 1:
        barrier(net.shared, net.threads)
        by_groups(net, data, 0, n_samples, total, transposed, gradient != NULL, stop)
        barrier(net.shared, net.threads)
        if read_once(stop) != 0:
            return NAN
        if gradient != NULL:
            accumulate(net, NULL, 0, 0, gradient, OF_GROUPS)
        return loss_of_groups(net) / total if total != 0.0 else 0.0
    barrier(net.shared, net.threads)
    for start from 0 <= start < n_samples by net.block:
        rows = min(net.block, n_samples - start)
        take_rows(net, start, rows)
        h = gather(net, data, start, &stride)
        forward_pass(net, h, stride)
        output_deltas(net, data, start, total)
        if gradient != NULL:
            backward_pass(net, transposed)
        if net.rank == 0:
            net.shared[STOPPED] = read_once(stop)
        barrier(net.shared, net.threads)
        if net.shared[STOPPED] != 0:
            return NAN
        add_losses(&sums, per_row(net, LOSSES), rows)
        if net.rank == 0:
            add_losses_of_heads(net, 0)
        if gradient != NULL:
            accumulate(
                net, h, stride, rows, gradient, part_of(start, start + rows, 0, n_samples)
            )
        barrier(net.shared, net.threads)
    return total_of(&sums) / total if total != 0.0 else 0.0


cdef inline double penalty_factor(bint sklearn_penalties, double total) noexcept nogil:
    """The factor of the penalties in a batch with Σ w = `total`."""
    if not sklearn_penalties:
        return 1.0
    return 1.0 / total if total != 0.0 else 0.0


cdef Py_ssize_t run_train(
    Net *net, Data *data, Py_ssize_t n, Py_ssize_t epochs, Py_ssize_t batch_size,
    Stepping *how, const double *rates, bint many_rates, bint sklearn_penalties, int64_t seed,
    real *transposed, real *gradient, double *losses, Py_ssize_t line, const int64_t *stop
) noexcept nogil:
    """Train; `losses` has a line of numbers for each epoch, more than one if heads' are wanted."""
    cdef Py_ssize_t epoch, batch, rows, start, end, stride, part, k, steps = 0
    cdef double numerator, denominator, penalty, total, batch_loss
    cdef bint leading = net.rank == 0
    cdef bint dropping = has_dropout(net)
    cdef bint penalise = leading and penalised(how.layer_rules, net.m)
    cdef Losses sums
    cdef double *of_epoch
    cdef const real *h
    cdef const int64_t *order = data.order
    net.lowest = lowest_learning(net, how.layer_rules)
    prepare(net)
    if leading:
        net.shared[STOPPED] = read_once(stop)
    transpose(net, transposed)
    barrier(net.shared, net.threads)
    for epoch in range(epochs):
        if order != NULL:
            data.order = order + epoch * n
        numerator = denominator = penalty = 0.0
        of_epoch = losses + epoch * line
        for k in range(1, line if leading else 1):
            of_epoch[k] = 0.0
        for batch from 0 <= batch < n by batch_size:
            if net.shared[STOPPED] != 0:
                return epoch
            start, end = batch, min(batch + batch_size, n)
            total = weight_total(data, batch, end - batch)
            how.factor = penalty_factor(sklearn_penalties, total)
            if penalise:
                penalty += how.factor * penalties(net, how.layer_rules) * (end - batch)
            if dropping:
                net.key = step_key(seed, <Py_ssize_t>how.counters[0])
            sums = Losses([0.0, 0.0, 0.0, 0.0])
            h, stride, rows, part = NULL, 0, 0, OF_GROUPS
            if net.lines > 1:
                by_groups(net, data, start, end, total, transposed, True, NULL)
                barrier(net.shared, net.threads)
                start = end
            while start < end:
                rows = min(net.block, end - start)
                part = part_of(start, start + rows, batch, end)
                take_rows(net, start - batch, rows)
                h = gather(net, data, start, &stride)
                forward_pass(net, h, stride)
                output_deltas(net, data, start, total)
                backward_pass(net, transposed)
                barrier(net.shared, net.threads)
                add_losses(&sums, per_row(net, LOSSES), rows)
                if leading and line > 1:
                    add_losses_of_heads(net, 0)
                start += rows
                if start < end:
                    accumulate(net, h, stride, rows, gradient, part)
                    barrier(net.shared, net.threads)
            batch_loss = loss_of_groups(net) if part == OF_GROUPS else total_of(&sums)
            if not isfinite(batch_loss):
                if leading:
                    of_epoch[0] = batch_loss
                return epoch
            if leading and line > 1:
                totals_of_heads(net, of_epoch + 1)
            if sklearn_penalties:
                numerator += batch_loss * how.factor * (end - batch)
                denominator += 1.0 * (end - batch)
            else:
                numerator += batch_loss
                denominator += total
            next_step(how, rates[steps if many_rates else 0])
            steps += 1
            step(net, h, stride, rows, part, transposed, gradient, how)
            if leading:
                net.shared[STOPPED] = read_once(stop)
            barrier(net.shared, net.threads)
        if leading:
            of_epoch[0] = (numerator / denominator if denominator > 0.0 else 0.0) + penalty / n
            for k in range(1, line):
                of_epoch[k] = of_epoch[k] / denominator if denominator > 0.0 else 0.0
    return epochs


cdef void run_update(
    Net *net, Stepping *how, double rate, bint sklearn_penalties, double total,
    real *transposed, real *gradient
) noexcept nogil:
    cdef Py_ssize_t i
    how.factor = penalty_factor(sklearn_penalties, total)
    next_step(how, rate)
    for i in range(3, 3 * net.threads):
        how.counters[i] = how.counters[i - 3]
    net.threads = 1
    step(net, NULL, 0, 0, COMPLETE, transposed, gradient, how)
