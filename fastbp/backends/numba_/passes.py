"""The passes of backpropagation over a block of rows, layer by layer.

The twin of this file is ``src_cython/passes.pxi``; the reference is ``numpy_``.
"""

from ...basis import spec
from ...basis.inputs import LEARNED
from ...basis.layout import (
    COLUMNS,
    DH,
    DROPOUT,
    DS,
    INVERSE,
    NORM,
    NORMALIZED,
    OUTPUT,
    PAIRED,
    RESIDUAL,
    SIZE,
    STRIDE,
    TARGETS,
    TRANSPOSED,
    WEIGHTS,
    H,
    S,
)
from ._jit import call, inlined, inner
from .layer_parameters import back_through_hidden, through_hidden
from .losses import sum_outputs
from .net import (
    LOSSES,
    SHARES,
    TOPS,
    TOTALS,
    bottom,
    clear,
    drop_units,
    is_sparse,
    layer_product,
    of_block,
    of_own,
    padded,
    parts_of,
    per_row,
    put,
    row_of,
    single_output,
    target_rows,
    zero_row,
)
from .pieces import (
    ACTIVATE,
    HEADS,
    LOSS,
    MULTIPLY_BY_DERIVATIVE,
    SOFTMAX,
)
from .pieces import OUTPUT as OUTPUT_ACTIVATION
from .shares import UNIT, share_of, share_start
from .simd import (
    fma,
    lane,
    lanes,
    load,
    offset,
    splat,
    store,
    sum_lanes,
)
from .team import barrier
from .tile import copy_rows, transpose_block


@inner
def transpose_rows(net, i, transposed, first, last, left, right):
    """Copy columns left..right - 1 of the weight rows first..last - 1 of layer i.

    They become rows left..right - 1 of the transposed copy, without those for padding. `first` and
    `left` are multiples of the vector length.
    """
    here = offset(net.plan, i * COLUMNS)
    end, stride = min(here[SIZE], right), here[STRIDE]
    stride_in = net.plan[(i - 1) * COLUMNS + STRIDE]
    W = offset(net.parameters, here[WEIGHTS])
    WT = offset(transposed, here[TRANSPOSED])
    width = lanes(W)
    for k in range(first, last, width):
        for j in range(left, end, width):
            transpose_block(
                offset(W, k * stride + j),
                stride,
                min(last - k, width),
                offset(WT, j * stride_in + k),
                stride_in,
                min(end - j, width),
            )


@inner
def transpose(net, transposed):
    """Copy this thread's share of the weight rows that deltas are passed back through."""
    for i in range(bottom(net) + 1, net.m + 1):
        if not single_output(net, i):
            n_in = net.plan[(i - 1) * COLUMNS + SIZE]
            first = share_start(n_in, UNIT, net.rank, net.threads)
            last = share_start(n_in, UNIT, net.rank + 1, net.threads)
            transpose_rows(net, i, transposed, first, last, 0, net.plan[i * COLUMNS + SIZE])


@inlined
def dot(a, b, n):
    """Σ a b over rows padded to whole vectors."""
    total = splat(a, 0.0)
    for j in range(0, n, lanes(a)):
        total = fma(load(a, j), load(b, j), total)
    return sum_lanes(total)


@inlined
def product_of_block(net, i, A, lda, B, ldb, init, ldi, C, ldc, J, K):
    """C = init + A B for this thread's share of the block's rows; see `product` for `init`.

    If threads divide the columns, they wait for the rows of A, and for the others' parts of C.
    """
    own = share_of(net.all_rows, J, lanes(C), net.rank, net.threads)
    if own.split:
        barrier(net.shared, net.threads)
    A, B = offset(A, own.first * lda), offset(B, own.left)
    init = offset(init, own.first * ldi + own.left)
    C, rows, columns = (
        offset(C, own.first * ldc + own.left),
        own.last - own.first,
        own.right - own.left,
    )
    layer_product(net, i, A, lda, 1, B, ldb, init, ldi, C, ldc, rows, columns, K)
    if own.split:
        barrier(net.shared, net.threads)


@inner
def forward_pass(net, h, stride_in):
    """s_i = h_{i-1} W_i + b_i and h_i = σ_i(s_i) for i = 1..m, except for σ_m.

    `h` is the block's input, with rows `stride_in` apart. Sparse samples' s_1 is there already.
    """
    n_in = net.plan[SIZE]
    for i in range(1, net.m + 1):
        here = offset(net.plan, i * COLUMNS)
        stride = here[STRIDE]
        W = offset(net.parameters, here[WEIGHTS])
        s = of_own(net, i, S)
        if single_output(net, i):
            if is_sparse(net, i):
                return
            h = offset(h, net.first * stride_in)
            for r in range(net.rows):
                x = dot(offset(h, r * stride_in), W, n_in) + W[padded(W, n_in)]
                put(s, r, net.rows, x)
            return
        bias, J = offset(W, n_in * stride), padded(W, here[SIZE])
        s_of_block = of_block(net, i, S)
        if not is_sparse(net, i):
            product_of_block(net, i, h, stride_in, W, stride, bias, 0, s_of_block, stride, J, n_in)
        through_hidden(net, i)
        h = of_block(net, i, OUTPUT)
        n_in, stride_in = here[SIZE], stride


@inner
def outputs(net):
    """h_m of own rows, laid out like s_m. It takes the place of ds_m, so s_m stays."""
    here = offset(net.plan, net.m * COLUMNS)
    n, stride, s = here[SIZE], here[STRIDE], of_own(net, net.m, S)
    h = of_own(net, net.m, DS)
    if here[PAIRED] != spec.IDENTITY:
        call(net.pieces[ACTIVATE + here[PAIRED]], (s, h, net.rows * stride))
        return h
    if net.pieces[OUTPUT_ACTIVATION] == 0:  # with identity, h is s
        return s
    tops, totals = per_row(net, TOPS), per_row(net, TOTALS)
    if net.loss == spec.HEADS:
        tops, totals = offset(tops, net.first), offset(totals, net.first)
        part, y = of_own(net, net.m, H), offset(target_rows(net), net.first * stride)
        numbers = net.function, offset(net.pieces, HEADS), net.rows, n, stride
        call(net.pieces[OUTPUT_ACTIVATION], (*numbers, s, part, y, h, tops, totals))
        return h
    call(net.pieces[OUTPUT_ACTIVATION], (s, h, tops, totals, net.rows, n, stride))
    return h


@inner
def put_deltas(net, deltas):
    """Write given ∂e/∂s_m of own rows, without padding, to ds_m."""
    here = offset(net.plan, net.m * COLUMNS)
    n, stride, d = here[SIZE], here[STRIDE], of_own(net, net.m, DS)
    if stride > 1:
        for r in range(net.rows):
            clear(net, net.m, DS, r)
    copy_rows(offset(deltas, net.first * n), n, net.rows, n, d, stride)


@inner
def output_deltas(net, data, start, total):
    """For own rows, write w e to the block's losses and ∂e/∂s_m w / `total` to ds_m.

    `start` is the block's position in the order.
    """
    here = offset(net.plan, net.m * COLUMNS)
    n, stride, rows = here[SIZE], here[STRIDE], net.rows
    s, d = of_own(net, net.m, S), of_own(net, net.m, DS)
    y = offset(target_rows(net), net.first * stride)
    losses, shares = (
        offset(per_row(net, LOSSES), net.first),
        offset(per_row(net, SHARES), net.first),
    )
    tops, totals = offset(per_row(net, TOPS), net.first), offset(per_row(net, TOTALS), net.first)
    share = 1.0 / total if total != 0.0 else 0.0
    start += net.first
    for r in range(0, rows, lanes(s)):
        store(shares, r, splat(s, share))
    if data.weighted:
        for r in range(rows):
            shares[r] = data.weight[row_of(data, start + r)] * share

    if net.loss == spec.HEADS:
        arrays = data.targets, data.weight, data.order, int(data.weighted), int(data.ordered)
        numbers = start, share, rows, n, stride, here[TARGETS]
        work = s, of_own(net, net.m, H), y, d, losses, shares, tops, totals
        pieces = offset(net.pieces, HEADS)
        call(net.pieces[LOSS], (net.function, net.outside, pieces, *arrays, *numbers, *work))
    elif net.loss == spec.CROSS_ENTROPY:
        call(net.pieces[SOFTMAX], (s, d, tops, totals, rows, n, stride))
        for r in range(rows):
            row = row_of(data, start + r)
            if data.has_labels:
                y[r] = 1.0
                losses[r] = tops[r] - s[r * stride + data.labels[row]]
                continue
            e = of_targets = lane(splat(s, 0.0), 0)
            for j in range(n):
                t = data.targets[row * n + j]
                of_targets += t
                e += t * (tops[r] - s[r * stride + j])
            losses[r], y[r] = e, of_targets
        numbers = (net.loss_parameter, losses, y, d, totals, shares, rows, n, stride)
        call(net.pieces[LOSS], numbers)
        for r in range(rows):
            row = row_of(data, start + r)
            if data.has_labels:
                d[r * stride + data.labels[row]] -= shares[r]
                continue
            for j in range(n):
                d[r * stride + j] -= shares[r] * data.targets[row * n + j]
    else:
        targets = here[TARGETS]
        for r in range(rows):
            row = row_of(data, start + r)
            if stride == 1:
                put(y, r, rows, data.targets[row])
                continue
            for j in range(targets):
                y[r * stride + j] = data.targets[row * targets + j]
            for j in range(targets, n):
                y[r * stride + j] = 0.0
        code, of_loss = here[PAIRED], of_own(net, net.m, H)
        if code != spec.IDENTITY:  # else of_loss is s
            call(net.pieces[ACTIVATE + code], (s, d, rows * stride))
            for j in range(0, rows * stride, lanes(s)):
                store(of_loss, j, load(d, j))
        numbers = (net.function, net.outside, net.loss_parameter, rows, n, stride)
        call(net.pieces[LOSS], (*numbers, of_loss, y, losses))
        if code != spec.IDENTITY:
            call(net.pieces[MULTIPLY_BY_DERIVATIVE + code], (s, d, of_loss, rows * stride))
        if stride == 1:
            for r in range(0, rows, lanes(s)):
                store(d, r, load(of_loss, r) * load(shares, r))
                store(losses, r, load(y, r))
        else:
            sum_outputs(of_loss, y, d, losses, shares, rows, n, stride)

    if data.weighted:
        for r in range(rows):
            weight = data.weight[row_of(data, start + r)]
            losses[r] *= weight
            if weight == 0.0:
                leave_out(net, r)


@inner
def leave_out(net, r):
    """Exclude the r-th own row from loss and gradient, even if its numbers overflowed.

    0 * inf is NaN, so every value that is multiplied later is set to 0.
    """
    per_row(net, LOSSES)[net.first + r] = 0.0
    if single_output(net, net.m):
        of_own(net, net.m, DS)[r] = 0.0
    else:
        clear(net, net.m, DS, r)
    for i in range(1 if is_sparse(net, 1) else 0, net.m):
        clear(net, i, S, r)
        clear(net, i, H, r)
        clear(net, i, OUTPUT, r)
        if net.plan[i * COLUMNS + NORM] != spec.NO_NORM:
            clear(net, i, NORMALIZED, r)
            scales = of_block(net, i, INVERSE)
            store(scales, (net.first + r) * lanes(scales), splat(scales, 0.0))


@inlined
def pass_back(net, i, transposed, target, left):
    """Write ∂e/∂h_{i-1} = ∂e/∂s_i W_iᵀ of own rows to `target`, the block's rows of a layer.

    A layer that adds its input to its output adds ∂e/∂h_i. Of the first layer, columns before
    `left`, which are whole vectors, are not written.
    """
    above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
    stride, stride_in = here[STRIDE], above[STRIDE]
    WT = offset(transposed, here[TRANSPOSED])
    if single_output(net, i):
        WT = offset(net.parameters, here[WEIGHTS])
    d, init, ldi, J = of_block(net, i, DS), zero_row(net), 0, padded(target, above[SIZE])
    if here[RESIDUAL] != 0:
        init, ldi = of_block(net, i, DH), stride
    WT, target, J = offset(WT, left), offset(target, left), J - left
    product_of_block(net, i, d, stride, WT, stride_in, init, ldi, target, stride_in, J, here[SIZE])


@inner
def backward_pass(net, transposed):
    """∂e/∂s_{i-1} = (∂e/∂s_i W_iᵀ) σ'(s_{i-1}) of own rows, down to the lowest learning layer.

    If the input learns, down to ∂e/∂h_0.
    """
    for i in range(net.m, net.lowest, -1):
        left = 0 if i > 1 else parts_of(net)[LEARNED]
        pass_back(net, i, transposed, of_block(net, i - 1, DH), left)
        if i > 1:
            back_through_hidden(net, i - 1)
        elif net.plan[DROPOUT] != 0:
            drop_units(net, 0, of_own(net, 0, DH), of_own(net, 0, DH))
