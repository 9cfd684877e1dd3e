# Sparse samples: the first layer by gather and scatter, at a cost that goes by their entries.
#
# An entry is a number x with its column, stored row by row (CSR). The forward pass gathers the rows
# `column` of W_1: s_1 = b_1 + Σ x W_1[column]. The gradient scatters: to row `column` of ∇W_1,
# x ∂e/∂s_1 is added. Both are chains of fused multiply-adds in the order of the matrix products,
# which would add zeros besides. So results are those of dense samples, bit by bit.
#
# Threads share the rows of W_1. In each row of the block, every thread has a place of its own, from
# which its entries are still to be added to the gradient. The places lie in the workspace, where
# dense samples would be gathered.
#
# The twin of fastbp/backends/numba_/sparse.py.

# Weights are prefetched into the cache this many entries ahead.
cdef enum:
    ENTRIES_AHEAD = 8

# A step with TOUCHED takes this many rows of weights at a time: one for each bit of a word.
cdef enum:
    WORD_BITS = 64


cdef inline int64_t *places_of(Net *net, Py_ssize_t rank) noexcept nogil:
    """Thread `rank`'s places in the block's rows; those of rank `threads` are the rows' ends."""
    return <int64_t *>net.workspace + rank * net.block


cdef inline Py_ssize_t first_from(
    const int32_t *columns, Py_ssize_t first, Py_ssize_t last, Py_ssize_t column
) noexcept nogil:
    """The first of the entries first..last - 1, which are sorted, from `column` on."""
    cdef Py_ssize_t middle
    while first < last:
        middle = (first + last) // 2
        if columns[middle] < column:
            first = middle + 1
        else:
            last = middle
    return first


cdef inline real entry_of(
    const real *values, const int32_t *columns, Py_ssize_t k, uint32_t key, int64_t threshold,
    real scale
) noexcept nogil:
    """Entry k after dropout, whose numbers are those of `drop`."""
    cdef uint32_t x
    if threshold == 0:
        return values[k]
    x = mix(key + <uint32_t>columns[k] * <uint32_t>0x9E3779B9)
    return scale * values[k] if x >= <uint32_t>threshold else 0.0


cdef inline uint32_t row_key(Net *net, Py_ssize_t r) noexcept nogil:
    """The key of the dropout of the block's row r."""
    return mix(mix(net.key ^ <uint32_t>0) ^ <uint32_t>(net.start + r))


cdef void gather_sparse(Net *net, Data *data, Py_ssize_t start) noexcept nogil:
    """Write s_1 of own rows, and the threads' places in them.

    `start` is the block's position in the order.
    """
    cdef const int64_t *here = net.plan + COLUMNS
    cdef Py_ssize_t n_in = net.plan[SIZE], stride = here[STRIDE], width = padded(here[SIZE])
    cdef Py_ssize_t r, row, rank, first, last, place, j, k
    cdef int64_t threshold = net.plan[DROPOUT]
    cdef real scale = <real>(1.0 / (1.0 - threshold * 2.0**-32))
    cdef const real *W = net.parameters + here[WEIGHTS]
    cdef const real *w
    cdef real *s = of_own(net, 1, S)
    cdef bint single = single_output(net, 1)
    cdef uint32_t key = 0
    cdef vec x, a, b, c, d
    net.values, net.columns = data.X, data.columns
    check(W, (n_in + 1) * stride)
    check(places_of(net, 0), (net.threads + 1) * net.block)
    for r in range(net.first, net.first + net.rows):
        row = row_of(data, start + r)
        check(data.starts + row, 2)
        first, last = data.starts[row], data.starts[row + 1]
        check(data.X + first, last - first)
        check(data.columns + first, last - first)
        place = first
        for rank in range(net.threads):
            place = first_from(
                data.columns, place, last,
                share_start(rows_of(net.plan, 1), UNIT, rank, net.threads),
            )
            places_of(net, rank)[r] = place
        places_of(net, net.threads)[r] = last
        if threshold != 0:
            key = row_key(net, r)
        if single:
            a = splat(0.0)
            for k in range(first, last):
                j = data.columns[k]
                x = with_lane(
                    splat(0.0), j % FBP_LANES,
                    entry_of(data.X, data.columns, k, key, threshold, scale),
                )
                a = fma(x, splat(W[j]), a)
            put(s, r - net.first, net.rows, sum_lanes(a) + W[padded(n_in)])
            continue
        check(s, width)
        j = 0
        while j + 4 * FBP_LANES <= width:
            w = W + n_in * stride + j
            a, b = load(w, 0), load(w, FBP_LANES)
            c, d = load(w, 2 * FBP_LANES), load(w, 3 * FBP_LANES)
            for k in range(first, last):
                if k + ENTRIES_AHEAD < last:
                    w = W + data.columns[k + ENTRIES_AHEAD] * stride + j
                    prefetch(w, 0)
                    prefetch(w, FBP_LANES)
                    prefetch(w, 2 * FBP_LANES)
                    prefetch(w, 3 * FBP_LANES)
                w = W + data.columns[k] * stride + j
                x = splat(entry_of(data.X, data.columns, k, key, threshold, scale))
                a, b = fma(x, load(w, 0), a), fma(x, load(w, FBP_LANES), b)
                c = fma(x, load(w, 2 * FBP_LANES), c)
                d = fma(x, load(w, 3 * FBP_LANES), d)
            store(s, j, a)
            store(s, j + FBP_LANES, b)
            store(s, j + 2 * FBP_LANES, c)
            store(s, j + 3 * FBP_LANES, d)
            j += 4 * FBP_LANES
        while j < width:
            a = load(W, n_in * stride + j)
            for k in range(first, last):
                if k + ENTRIES_AHEAD < last:
                    prefetch(W, data.columns[k + ENTRIES_AHEAD] * stride + j)
                x = splat(entry_of(data.X, data.columns, k, key, threshold, scale))
                a = fma(x, load(W, data.columns[k] * stride + j), a)
            store(s, j, a)
            j += FBP_LANES
        s += stride


cdef void scatter_sparse(
    Net *net, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last, real *target
) noexcept nogil:
    """Write the rows first..last - 1 of ∇W_1 to `target`, from all `rows` of the block.

    Calls for a block are made in the order of the rows of W_1.
    """
    cdef const int64_t *here = net.plan + COLUMNS
    cdef Py_ssize_t n_in = net.plan[SIZE], stride = here[STRIDE], width = padded(here[SIZE])
    cdef Py_ssize_t r, j, column, size = max(min(last, n_in) - first, 0) * stride
    cdef int64_t threshold = net.plan[DROPOUT], place, end
    cdef real scale = <real>(1.0 / (1.0 - threshold * 2.0**-32))
    cdef const real *deltas = of_block(net, 1, DS)
    cdef int64_t *places = places_of(net, net.rank)
    cdef const int64_t *ends = places_of(net, net.threads)
    cdef bint single = single_output(net, 1)
    cdef uint32_t key = 0
    cdef real value
    cdef vec x
    cdef real *g
    if single:
        size = padded(n_in)
    check(target, size)
    check(places, rows)
    check(deltas, rows if single else rows * stride)
    for j from 0 <= j < size by FBP_LANES:
        store(target, j, splat(0.0))
    for r in range(rows):
        place, end = places[r], ends[r]
        if threshold != 0:
            key = row_key(net, r)
        while place < end and net.columns[place] < last:
            column = net.columns[place] - first
            value = entry_of(net.values, net.columns, place, key, threshold, scale)
            if single:
                g = target + column // FBP_LANES * FBP_LANES
                x = with_lane(splat(0.0), column % FBP_LANES, value)
                store(g, 0, fma(x, splat(deltas[r]), load(g, 0)))
            else:
                g, x = target + column * stride, splat(value)
                for j from 0 <= j < width by FBP_LANES:
                    store(g, j, fma(x, load(deltas, r * stride + j), load(g, j)))
            place += 1
        places[r] = place


cdef void sparse_gradient(
    Net *net, Py_ssize_t rows, real *target, Share own
) noexcept nogil:
    """A share of ∇W_1, with ∇b_1 and rows of TERMS behind the last row."""
    cdef Py_ssize_t n_in = net.plan[SIZE], stride = net.plan[COLUMNS + STRIDE]
    cdef Py_ssize_t width = padded(net.plan[COLUMNS + SIZE])
    cdef Py_ssize_t row
    cdef const real *deltas = of_block(net, 1, DS)
    scatter_sparse(net, rows, own.first, own.last, target)
    if single_output(net, 1):
        product(
            deltas, 0, 1, unit(net), 0, zero_row(net), 0, target + padded(n_in), 0, 1, FBP_LANES,
            rows,
        )
        return
    for row in range(max(own.first, n_in), own.last):
        if row > n_in:
            deltas = terms_of(net, 1, row - n_in - 1)
        product(
            unit(net), 0, 0, deltas, stride, zero_row(net), 0, target + (row - own.first) * stride,
            stride, 1, width, rows,
        )


cdef void step_touched(
    Net *net, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last, real *scratch, Stepping *how
) noexcept nogil:
    """Step those of the rows first..last - 1 of W_1 for whose column the block has an entry.

    `scratch` has room for as many rows; WORD_BITS are enough.
    """
    cdef const int64_t *here = net.plan + COLUMNS
    cdef Py_ssize_t stride = here[STRIDE], width = padded(here[SIZE])
    cdef Py_ssize_t r, j, at, limit, nearest, column
    cdef int64_t threshold = net.plan[DROPOUT], place, end
    cdef real scale = <real>(1.0 / (1.0 - threshold * 2.0**-32))
    cdef const real *deltas = of_block(net, 1, DS)
    cdef int64_t *places = places_of(net, net.rank)
    cdef const int64_t *ends = places_of(net, net.threads)
    cdef uint64_t touched, bit
    cdef uint32_t key = 0
    cdef vec x
    cdef real *g
    last = min(last, net.plan[SIZE])
    nearest = last
    check(places, rows)
    check(deltas, rows * stride)
    check(scratch, min(last - first, WORD_BITS) * stride)
    for r in range(rows):
        if places[r] < ends[r]:
            nearest = min(nearest, net.columns[places[r]])
    while nearest < last:
        first, limit, nearest = nearest, min(nearest + WORD_BITS, last), last
        touched = 0
        for r in range(rows):
            place, end = places[r], ends[r]
            if place >= end:
                continue
            column = net.columns[place]
            if column < limit:
                if threshold != 0:
                    key = row_key(net, r)
                while column < limit:
                    x = splat(entry_of(net.values, net.columns, place, key, threshold, scale))
                    column -= first
                    g, bit = scratch + column * stride, <uint64_t>1 << column
                    if touched & bit == 0:
                        touched |= bit
                        at = here[WEIGHTS] + (first + column) * stride
                        for j from 0 <= j < width by FBP_LANES:
                            prefetch(net.parameters, at + j)
                            prefetch(how.first, at + j)
                            prefetch(how.second, at + j)
                            store(g, j, fma(x, load(deltas, r * stride + j), splat(0.0)))
                    else:
                        for j from 0 <= j < width by FBP_LANES:
                            store(g, j, fma(x, load(deltas, r * stride + j), load(g, j)))
                    place += 1
                    if place == end:
                        column = last
                        break
                    column = net.columns[place]
                places[r] = place
            nearest = min(nearest, column)
        for r in range(limit - first):
            if touched >> r & 1:
                at = here[WEIGHTS] + (first + r) * stride
                update(
                    how.optimizer, how.hyper, how.pace, net.parameters + at, scratch + r * stride,
                    how.first + at, how.second + at, width, 0.0, 0.0,
                )
                if how.signs != NULL:
                    keep_signs(net.parameters + at, how.signs + at, width)
