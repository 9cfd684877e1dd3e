# Gathering the samples of a block of rows, dense or sparse.
#
# The twin of fastbp/backends/numba_/gather.py.

# Samples are prefetched into the cache this many rows ahead.
cdef enum:
    AHEAD = 4


cdef const real *gather(
    Net *net, Data *data, Py_ssize_t start, Py_ssize_t *stride
) noexcept nogil:
    """The block's samples, from position `start` of the order on, and the stride between them.

    In natural order and without dropout, samples are used in place. Otherwise own rows are copied
    into the workspace as padded rows; also if layer 1 is a single output, since `dot` reads whole
    vectors, and if rows of this length would compete for the same places in the cache.

    Of sparse samples, s_1 is computed at once, see sparse.pxi. Learned vectors of the input always
    go into the workspace, see embeddings.pxi.
    """
    cdef Py_ssize_t n_in = net.plan[SIZE], r, j
    cdef Py_ssize_t last = start + net.first + net.rows
    cdef const real *source
    cdef real *target
    cdef bint dropped = net.plan[DROPOUT] != 0
    cdef bint apart = net.plan[STRIDE] > padded(n_in), single = single_output(net, 1)
    if rarely(net.plan[COLUMNS + SPARSE] != 0):
        stride[0] = 0
        gather_sparse(net, data, start)
        return net.workspace
    if has_tables(net):
        stride[0] = net.plan[STRIDE]
        expand(net, data, start)
        return net.workspace
    if data.order == NULL and not dropped and not apart and not single:
        stride[0] = n_in
        check(data.X + start * n_in, (net.first + net.rows) * n_in)
        return data.X + start * n_in
    stride[0] = net.plan[STRIDE]
    target = net.workspace + net.first * stride[0]
    check(target, net.rows * stride[0])
    for r in range(start + net.first, last):
        source = data.X + row_of(data, r) * n_in
        check(source, n_in)
        if r + AHEAD < last:
            for j from 0 <= j < n_in by FBP_LANES:
                prefetch(data.X, row_of(data, r + AHEAD) * n_in + j)
        for j in range(n_in):
            target[j] = source[j]
        if single:  # kept memory may hold NaN, which `dot` would multiply by 0
            for j in range(n_in, padded(n_in)):
                target[j] = 0.0
        target += stride[0]
    if dropped:
        target = net.workspace + net.first * stride[0]
        drop_units(net, 0, target, target)
    return net.workspace
