# Products of the loss's Hessian by the parameters with a vector, and deltas at given outputs.
#
# A block has two sets of rows: the values, and their derivatives along the vector. See
# Backend.hessian_product in fastbp/backends/interface.py. The twin of
# fastbp/backends/numba_/hessian.py.


cdef void forward_along(Net *net, Net *along, const real *x, Py_ssize_t stride_x) noexcept nogil:
    """s_i, h_i and their derivatives in all layers; the Net `along` has the vector as weights."""
    cdef Py_ssize_t stride_in = stride_x, n_in = net.plan[SIZE], rows = net.rows
    cdef Py_ssize_t i, stride, at, J
    cdef const int64_t *here
    cdef const real *h = x
    cdef const real *dh
    cdef const real *W
    cdef const real *V
    cdef real *s
    cdef real *ds
    for i in range(1, net.m + 1):
        here = net.plan + i * COLUMNS
        stride, s = here[STRIDE], of_block(net, i, S)
        W, V = net.parameters + here[WEIGHTS], along.parameters + here[WEIGHTS]
        dh, ds = h + rows * stride_in, s + rows * stride
        if single_output(net, i):
            at = padded(n_in)
            single_product(net, i, h, stride_in, W, rows, W[at], s, False)
            single_product(net, i, h, stride_in, V, rows, V[at], ds, False)
            if i > 1:
                single_product(net, i, dh, stride_in, W, rows, <real>0.0, ds, True)
            return
        at, J = n_in * stride, padded(here[SIZE])
        product(h, stride_in, 1, W, stride, W + at, 0, s, stride, rows, J, n_in)
        product(h, stride_in, 1, V, stride, V + at, 0, ds, stride, rows, J, n_in)
        if i > 1:
            product(dh, stride_in, 1, W, stride, ds, stride, ds, stride, rows, J, n_in)
        if i < net.m:
            through_hidden_along(net, along, i)
        h, stride_in, n_in = of_block(net, i, OUTPUT), stride, here[SIZE]


cdef void deltas_along(Net *net, Data *data, double total) noexcept nogil:
    """δ_m and δ'_m of the rows."""
    cdef const int64_t *here = net.plan + net.m * COLUMNS
    cdef Py_ssize_t n = here[SIZE], stride = here[STRIDE], rows = net.rows, r, j
    cdef real *s = of_block(net, net.m, S)
    cdef real *along = of_block(net, net.m, DS) + rows * stride
    cdef real *y = target_rows(net)
    cdef real *found = scratch(net)  # the products of each row
    cdef const real *shares = per_row(net, SHARES)
    cdef vec share
    if rarely(net.loss == HEADS):
        hessian_product_of_heads(net, data, found)
    else:
        if data.labels == NULL:
            if stride > 1:
                fill(y, rows * stride, 0.0)
            copy_rows(data.targets, here[TARGETS], rows, here[TARGETS], y, stride)
        hessian_product_of_rows(
            net.loss, here[PAIRED], net.function, net.loss_parameter, rows, n, stride, s, y,
            s + rows * stride, found,
        )
    output_deltas(net, data, 0, total)
    if rarely(net.loss == HEADS):  # the shares are those of the last head
        take_shares(net, data, 0, 1.0 / total if total != 0.0 else 0.0)
    check(along, rows * stride)
    for r in range(rows):
        if stride == 1:
            along[r] = found[r] * shares[r]
            continue
        share = splat(shares[r])
        for j from 0 <= j < n by FBP_LANES:
            store(
                along, r * stride + j, keep_first(load(found, r * stride + j) * share, n - j, 0.0)
            )
    if data.weight != NULL:
        for r in range(rows):
            if data.weight[row_of(data, r)] == 0.0:
                leave_out_along(net, r)


cdef void leave_out_along(Net *net, Py_ssize_t r) noexcept nogil:
    """Exclude the derivatives of a row along the vector, even if they overflowed."""
    cdef Py_ssize_t i
    if single_output(net, net.m):
        of_block(net, net.m, DS)[net.rows + r] = 0.0
    else:
        clear(net, net.m, DS, net.rows + r)
    for i in range(1, net.m):
        clear(net, i, S, net.rows + r)
        clear(net, i, H, net.rows + r)
        clear(net, i, OUTPUT, net.rows + r)
        if rarely(net.plan[i * COLUMNS + NORM] != NO_NORM):
            clear(net, i, NORMALIZED, net.rows + r)
            store(of_block(net, i, INVERSE), (net.rows + r) * FBP_LANES, splat(0.0))


cdef void backward_along(
    Net *net, Net *along, const real *x, Py_ssize_t stride_x, const real *WT, const real *VT, real *G
) noexcept nogil:
    """The product, from δ_m and δ'_m."""
    cdef Py_ssize_t rows = net.rows, i, stride_in
    cdef const real *d
    cdef const real *d_along
    cdef const real *h
    cdef real *target
    for i in range(net.m, 0, -1):
        d = of_block(net, i, DS)
        d_along = d + rows * net.plan[i * COLUMNS + STRIDE]
        bias_gradient(net, i, d_along, rows, G)
        if i == 1:
            add_outer(net, 1, x, stride_x, d_along, rows, G, False)
            return
        stride_in = net.plan[(i - 1) * COLUMNS + STRIDE]
        h, target = of_block(net, i - 1, OUTPUT), of_block(net, i - 1, DH)
        add_outer(net, i, h, stride_in, d_along, rows, G, False)
        add_outer(net, i, h + rows * stride_in, stride_in, d, rows, G, True)
        back_through_weights(net, i, d, 2 * rows, WT, target, False)
        back_through_weights(along, i, d, rows, VT, target + rows * stride_in, True)
        back_through_hidden_along(net, along, i - 1)
        sum_terms(net, i - 1, rows, G)


cdef void run_hessian_product(
    Net *net, Data *data, real *vector, double total, Py_ssize_t n, real *WT, real *VT, real *G
) noexcept nogil:
    cdef Net along = net[0]
    cdef Py_ssize_t stride_x
    cdef const real *x
    along.parameters = vector
    set_constants(net)
    transpose(net, WT)
    transpose(&along, VT)
    take_rows(net, 0, n)
    x = gather(net, data, 0, &stride_x)
    forward_along(net, &along, x, stride_x)
    deltas_along(net, data, total)
    backward_along(net, &along, x, stride_x, WT, VT, G)


cdef void run_loss_deltas(
    Net *net, Data *data, const real *s, Py_ssize_t n_samples, real *losses, real *deltas
) noexcept nogil:
    cdef Py_ssize_t n = net.plan[net.m * COLUMNS + SIZE], start
    cdef Py_ssize_t stride = net.plan[net.m * COLUMNS + STRIDE]
    cdef real *inside = of_block(net, net.m, S)
    for start from 0 <= start < n_samples by net.block:
        take_rows(net, start, min(net.block, n_samples - start))
        if stride > 1:
            fill(inside, net.rows * stride, 0.0)
        copy_rows(s + start * n, n, net.rows, n, inside, stride)
        output_deltas(net, data, start, 1.0)
        copy_rows(per_row(net, LOSSES), 1, net.rows, 1, losses + start, 1)
        copy_rows(of_block(net, net.m, DS), stride, net.rows, n, deltas + start * n, n)
