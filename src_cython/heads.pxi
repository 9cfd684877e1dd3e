# Several heads: each has a slice of the outputs, with its own targets, loss and weight.
#
# `net.function` is the address of a table of numbers that describes them, see Model in
# fastbp/backends/interface.py. A loss works on a copy of its slice, which is laid out like the
# outputs of a network with this loss alone: in h_m, which the network does not need, and in the
# place of the targets. The twin of fastbp/backends/numba_/heads.py.

cdef struct Head:
    Py_ssize_t first  # of its outputs
    Py_ssize_t n
    Py_ssize_t stride  # of the copies
    Py_ssize_t first_target
    Py_ssize_t targets
    Py_ssize_t loss
    Py_ssize_t sums  # where the sums of its losses begin in the table, or 0
    real weight
    double share  # weight / Σ w
    double parameter
    LossFunction numbers  # of the loss, as `pointwise` takes them


cdef inline const double *table_of_heads(Net *net) noexcept nogil:
    return <const double *><void *>net.function


cdef inline Py_ssize_t number_of_heads(Net *net) noexcept nogil:
    return <Py_ssize_t>table_of_heads(net)[0]


cdef Head head_of(Net *net, Py_ssize_t k, double share) noexcept nogil:
    """Head k, where a sample's share in the gradient is `share`."""
    cdef const double *row = table_of_heads(net) + 1 + k * HEAD_COLUMNS
    cdef Py_ssize_t n = <Py_ssize_t>row[HEAD_WIDTH]
    return Head(
        <Py_ssize_t>row[HEAD_FIRST], n, padded(n) if n > 1 else 1,
        <Py_ssize_t>row[HEAD_FIRST_TARGET], <Py_ssize_t>row[HEAD_TARGETS],
        <Py_ssize_t>row[HEAD_LOSS], <Py_ssize_t>row[HEAD_SUMS], <real>row[HEAD_WEIGHT],
        share * row[HEAD_WEIGHT],
        row[HEAD_PARAMETER],
        <LossFunction><void *>(table_of_heads(net) + <Py_ssize_t>row[HEAD_NUMBERS]),
    )


cdef void take_part(
    const real *source, Py_ssize_t n, Py_ssize_t r, Py_ssize_t rows, real *part, Py_ssize_t stride
) noexcept nogil:
    """Copy n numbers to row r of a part, and zeros behind them."""
    cdef Py_ssize_t j
    check(part + r * stride, stride)
    if stride == 1:
        put(part, r, rows, source[0])
        return
    for j in range(n):
        part[r * stride + j] = source[j]
    for j in range(n, stride):
        part[r * stride + j] = 0.0


cdef void clear_padding(Net *net) noexcept nogil:
    """Zero the padding of own rows of ds_m, which the heads do not write."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef real *d = of_own(net, net.m, DS)
    cdef Py_ssize_t stride = here[STRIDE], r, j
    if stride > 1:
        check(d, net.rows * stride)
        for r in range(net.rows):
            for j in range(here[SIZE], stride):
                d[r * stride + j] = 0.0


cdef void softmax_of_head(
    Net *net, Data *data, Py_ssize_t start, const Head *head
) noexcept nogil:
    """Write ∂e/∂s_m w / Σ w of a head with cross_entropy to ds_m, and e to TOPS."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = head.n, stride = here[STRIDE], rows = net.rows, r, j
    cdef const real *s = of_own(net, net.m, S) + head.first
    cdef const real *shares = per_row(net, SHARES) + net.first
    cdef const real *t
    cdef real *part = of_own(net, net.m, H)
    cdef real *h = target_rows(net) + net.first * stride
    cdef real *d = of_own(net, net.m, DS) + head.first
    cdef real *tops = per_row(net, TOPS) + net.first
    cdef real *totals = per_row(net, TOTALS) + net.first
    cdef real e, of_targets
    exp_rows(part, h, tops, totals, rows, n, head.stride)
    for r in range(rows):
        t = data.targets + row_of(data, start + r) * here[TARGETS] + head.first_target
        e, of_targets = 0.0, 0.0
        for j in range(n):
            of_targets += t[j]
            e += t[j] * (tops[r] - s[r * stride + j])
        tops[r], part[r] = e, of_targets
    cross_entropy(0.0, tops, part, totals, shares, rows)
    scale_rows(h, totals, rows, n, head.stride)
    for r in range(rows):
        t = data.targets + row_of(data, start + r) * here[TARGETS] + head.first_target
        for j in range(n):
            d[r * stride + j] = h[r * head.stride + j] - shares[r] * t[j]


cdef void pointwise_of_head(
    Net *net, Data *data, Py_ssize_t start, const Head *head
) noexcept nogil:
    """The same for the other losses."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], rows = net.rows, r
    cdef const real *shares = per_row(net, SHARES) + net.first
    cdef real *part = of_own(net, net.m, H)
    cdef real *y = target_rows(net) + net.first * stride
    cdef real *tops = per_row(net, TOPS) + net.first
    cdef real *totals = per_row(net, TOTALS) + net.first
    for r in range(rows):
        take_part(
            data.targets + row_of(data, start + r) * here[TARGETS] + head.first_target,
            head.targets, r, rows, y, head.stride,
        )
    pointwise(
        head.loss, head.numbers, net.outside, head.parameter, rows, head.n, head.stride, part, y,
        totals,
    )
    if head.stride == 1:
        for r from 0 <= r < rows by FBP_LANES:
            store(part, r, load(part, r) * load(shares, r))
            store(tops, r, load(y, r))
    else:
        sum_outputs(part, y, part, tops, shares, rows, head.n, head.stride)
    copy_rows(part, head.stride, rows, head.n, of_own(net, net.m, DS) + head.first, stride)


cdef void keep_losses(Net *net, Data *data, Py_ssize_t start, const Head *head) noexcept nogil:
    """Write w e of own rows to the head's first column of s_m, which is not needed any more."""
    cdef Py_ssize_t stride = net.plan[net.m * COLUMNS + STRIDE], r
    cdef real *s = of_own(net, net.m, S) + head.first
    cdef const real *losses = per_row(net, TOPS) + net.first
    cdef real w
    for r in range(net.rows):
        s[r * stride] = losses[r]
        if data.weight != NULL:
            w = data.weight[row_of(data, start + r)]
            s[r * stride] *= w
            if w == 0.0:  # the loss may have overflowed, and 0 * inf is NaN
                s[r * stride] = 0.0


cdef void deltas_of_heads(
    Net *net, Data *data, Py_ssize_t start, double share
) noexcept nogil:
    """Write the own rows' Σ_k w_k e_k to the block's losses and its derivatives to ds_m.

    The own rows begin at `start` in the order; `share` is 1 / Σ w of the samples' weights. If sums
    of the heads' losses are wanted, w e_k takes the place of the head's first output in s_m.
    """
    cdef Py_ssize_t stride = net.plan[net.m * COLUMNS + STRIDE], rows = net.rows, k, r
    cdef const real *s = of_own(net, net.m, S)
    cdef real *part = of_own(net, net.m, H)
    cdef real *losses = per_row(net, LOSSES) + net.first
    cdef real *tops = per_row(net, TOPS) + net.first
    cdef Head head
    for r from 0 <= r < rows by FBP_LANES:
        store(losses, r, splat(0.0))
    for k in range(number_of_heads(net)):
        head = head_of(net, k, share)
        take_shares(net, data, start, head.share)
        for r in range(rows):
            take_part(s + r * stride + head.first, head.n, r, rows, part, head.stride)
        if head.loss == CROSS_ENTROPY:
            softmax_of_head(net, data, start, &head)
        else:
            pointwise_of_head(net, data, start, &head)
        for r from 0 <= r < rows by FBP_LANES:
            store(losses, r, fma(splat(head.weight), load(tops, r), load(losses, r)))
        if head.sums != 0:
            keep_losses(net, data, start, &head)
    clear_padding(net)


cdef void sums_of_heads(Net *net, Py_ssize_t group) noexcept nogil:
    """Add each head's Σ w e over the block's rows, from s_m, to its sum of a group of blocks."""
    cdef Py_ssize_t stride = net.plan[net.m * COLUMNS + STRIDE], k, r
    cdef const real *s = of_block(net, net.m, S)
    cdef double *numbers = <double *>table_of_heads(net)
    cdef double total
    cdef Head head
    for k in range(number_of_heads(net)):
        head = head_of(net, k, 0.0)
        if head.sums != 0:
            total = 0.0
            for r in range(net.all_rows):
                total += s[r * stride + head.first]
            numbers[head.sums + group] += total


cdef void totals_of_heads(Net *net, double *totals) noexcept nogil:
    """Add each head's sums of all groups to its total, and begin them anew."""
    cdef double *numbers = <double *>table_of_heads(net)
    cdef Py_ssize_t k, group
    cdef Head head
    for k in range(number_of_heads(net)):
        head = head_of(net, k, 0.0)
        if head.sums != 0:
            for group in range(max(net.lines, 1)):
                totals[k] += numbers[head.sums + group]
                numbers[head.sums + group] = 0.0


cdef void hessian_product_of_heads(Net *net, Data *data, real *out) noexcept nogil:
    """Write (∂²e/∂s∂s) v to `out`, with v behind s_m; no two heads meet in it."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], rows = net.rows, half = padded(rows * stride), k, r, i
    cdef const real *s = of_block(net, net.m, S)
    cdef const real *v = s + rows * stride
    cdef real *part = of_block(net, net.m, H)
    cdef real *part_v = part + half
    cdef real *y = target_rows(net)
    cdef real *found = y + half
    cdef Head head
    for k in range(number_of_heads(net)):
        head = head_of(net, k, 0.0)
        for r in range(rows):
            take_part(s + r * stride + head.first, head.n, r, rows, part, head.stride)
            take_part(v + r * stride + head.first, head.n, r, rows, part_v, head.stride)
            take_part(
                data.targets + r * here[TARGETS] + head.first_target, head.targets, r, rows, y,
                head.stride,
            )
        hessian_product_of_rows(
            head.loss, IDENTITY, head.numbers, head.parameter, rows, head.n, head.stride, part, y,
            part_v, found,
        )
        for i from 0 <= i < rows * head.stride by FBP_LANES:
            store(found, i, splat(head.weight) * load(found, i))
        copy_rows(found, head.stride, rows, head.n, out + head.first, stride)


cdef real *outputs_of_heads(Net *net) noexcept nogil:
    """`outputs` of a network with several heads."""
    cdef Py_ssize_t stride = net.plan[net.m * COLUMNS + STRIDE], rows = net.rows, k, r
    cdef const real *s = of_own(net, net.m, S)
    cdef real *part = of_own(net, net.m, H)
    cdef real *d = of_own(net, net.m, DS)
    cdef const real *h
    cdef Head head
    for k in range(number_of_heads(net)):
        head = head_of(net, k, 0.0)
        for r in range(rows):
            take_part(s + r * stride + head.first, head.n, r, rows, part, head.stride)
        h = output_activation(
            head.loss, IDENTITY, part, target_rows(net) + net.first * stride,
            per_row(net, TOPS) + net.first, per_row(net, TOTALS) + net.first, rows, head.n,
            head.stride,
        )
        copy_rows(h, head.stride, rows, head.n, d + head.first, stride)
    clear_padding(net)
    return d
