"""The passes of backpropagation over a block of rows, layer by layer.

A `Net` is the network and its working memory; a `Data` is the samples. The plan gives the
offsets of layer i's arrays in the workspace (see ``fastbp/basis/layout.py``). The twin of this
file is ``src_cython/passes.pxi``; the reference is ``numpy_``.
"""

from collections import namedtuple

from ...basis import spec
from ...basis.layout import (
    ACTIVATION,
    COLUMNS,
    DROPOUT,
    DS,
    OUTPUT,
    PAIRED,
    ROUNDED,
    SIZE,
    SPARSE,
    STRIDE,
    TARGETS,
    TRANSPOSED,
    WEIGHTS,
    H,
    S,
)
from ._jit import call, inlined, inner
from .pieces import ACTIVATE, BFLOAT16, DROP, LOSS, MULTIPLY_BY_DERIVATIVE, SOFTMAX
from .pieces import OUTPUT as OUTPUT_ACTIVATION
from .shares import UNIT, share_of, share_start
from .simd import (
    fma,
    keep_first,
    lane,
    lanes,
    load,
    offset,
    pointer,
    splat,
    store,
    sum_lanes,
)
from .team import barrier
from .tile import product, transpose_block

# The network (m layers), its pieces and the lowest layer that learns; a custom loss and the control
# word that it is called with, which is that of the kernel's caller; the working memory; the array
# that the team's threads share (see team.py) and their number; this thread's rank; the key of the
# step's random numbers; the block's first row in the batch, and the number of all its rows; and the
# thread's own rows in the block, `rows` of them from `first` on. Before the key: `sums` has a line
# for each group of blocks, its gradient followed by its loss; the numbers in a line; the number of
# lines (0 if all batches are single blocks); the groups of this batch, at most as many; and, if
# there are groups, the numbers from a thread's workspace to the next one's.
Net = namedtuple(
    "Net",
    "plan m pieces lowest loss loss_parameter function outside parameters block workspace shared "
    "threads rank sums line lines groups apart key start all_rows first rows",
)
# The samples. Without labels, weights or an order, those pointers are not read.
Data = namedtuple("Data", "X labels targets weight order has_labels weighted ordered")

# The arrays of `per_row`: w e, w / Σ w, and for softmax max s and Σ exp(s - max).
LOSSES, SHARES, TOPS, TOTALS = range(4)


@inlined
def changed(net, workspace, threads, rank, sums, groups, key, start, all_rows):
    """The Net with other memory, another team, or another block, and its own rows of that."""
    first = share_start(all_rows, UNIT, rank, threads)
    last = share_start(all_rows, UNIT, rank + 1, threads)
    return Net(
        net.plan,
        net.m,
        net.pieces,
        net.lowest,
        net.loss,
        net.loss_parameter,
        net.function,
        net.outside,
        net.parameters,
        net.block,
        workspace,
        net.shared,
        threads,
        rank,
        sums,
        net.line,
        net.lines,
        groups,
        net.apart,
        key,
        start,
        all_rows,
        first,
        last - first,
    )


@inlined
def take_rows(net, key, start, rows):
    """The Net for a block of `rows` rows, which begins at row `start` of the batch."""
    return changed(
        net, net.workspace, net.threads, net.rank, net.sums, net.groups, key, start, rows
    )


@inlined
def data_of(X, labels, targets, sample_weight, order, order_size):
    """Data from the arrays of interface.py; `order` is a pointer to an epoch's order."""
    has_labels, weighted = labels.size > 0, sample_weight.size > 0
    weight = pointer(sample_weight)
    return Data(
        pointer(X),
        pointer(labels),
        pointer(targets),
        weight,
        order,
        has_labels,
        weighted,
        order_size > 0,
    )


@inlined
def padded(like, n):
    """n rounded up to whole vectors."""
    return (n + lanes(like) - 1) // lanes(like) * lanes(like)


@inlined
def of_block(net, i, column):
    """The block's rows of layer i's H, S or DS."""
    return offset(net.workspace, net.block * net.plan[i * COLUMNS + column])


@inlined
def of_own(net, i, column):
    """The block's rows of layer i's H, S or DS, from the first own row on."""
    return offset(of_block(net, i, column), net.first * net.plan[i * COLUMNS + STRIDE])


@inlined
def single_output(net, i):
    """Whether layer i is a single output, which is laid out as a row."""
    return net.plan[i * COLUMNS + STRIDE] == 1


@inlined
def is_sparse(net, i):
    """Whether the input of layer i are sparse samples."""
    return net.plan[i * COLUMNS + SPARSE] != 0


@inlined
def target_rows(net):
    """The block's targets, laid out like the outputs."""
    last = offset(net.plan, net.m * COLUMNS)
    outputs = max(last[STRIDE], lanes(net.workspace))
    return offset(net.workspace, net.block * (last[DS] + outputs))


@inlined
def per_row(net, which):
    """One of four arrays with one number per row of the block."""
    outputs = max(net.plan[net.m * COLUMNS + STRIDE], lanes(net.workspace))
    rows = padded(net.workspace, net.block)
    return offset(target_rows(net), net.block * outputs + which * rows)


@inlined
def unit(net):
    """The constant input 1 of the biases, zero-padded to a vector."""
    return per_row(net, 4)


@inlined
def zero_row(net):
    """The row of zeros at the end of the workspace."""
    return offset(unit(net), lanes(net.workspace))


@inlined
def layer_product(net, i, A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K):
    """C = init + A B, where layer i says whether the operands are rounded to bfloat16."""
    if net.plan[i * COLUMNS + ROUNDED] != 0:
        call(net.pieces[BFLOAT16], (A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K))
    else:
        product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K)


@inner
def drop_units(net, i, source, target):
    """Drop units of layer i in own rows; `source` and `target` are laid out like h_i."""
    here = offset(net.plan, i * COLUMNS)
    n, start, threshold = padded(target, here[SIZE]), net.start + net.first, here[DROPOUT]
    call(
        net.pieces[DROP],
        (source, target, net.key, i, start, net.rows, n, here[STRIDE], threshold),
    )


@inner
def set_constants(net):
    """Write the input of the biases and the row of zeros."""
    one, zeros, widest = unit(net), zero_row(net), 0
    for i in range(1 if is_sparse(net, 1) else 0, net.m + 1):
        widest = max(widest, padded(zeros, net.plan[i * COLUMNS + SIZE]))
    store(one, 0, keep_first(splat(one, 1.0), 1, 0.0))
    for j in range(0, widest, lanes(zeros)):
        store(zeros, j, splat(zeros, 0.0))


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
    for i in range(2, net.m + 1):
        if not single_output(net, i):
            n_in = net.plan[(i - 1) * COLUMNS + SIZE]
            first = share_start(n_in, UNIT, net.rank, net.threads)
            last = share_start(n_in, UNIT, net.rank + 1, net.threads)
            transpose_rows(net, i, transposed, first, last, 0, net.plan[i * COLUMNS + SIZE])


@inlined
def row_of(data, i):
    """The number of the i-th sample in the order."""
    return data.order[i] if data.ordered else i


@inlined
def put(p, i, n, x):
    """p[i] = x, one of n numbers that will be read as vectors.

    A single number is written as a whole vector. Otherwise, reading the vector right after
    writing a part of it would stall the processor.
    """
    if n == 1:
        store(p, 0, splat(p, x))
    else:
        p[i] = x


@inlined
def dot(a, b, n):
    """Σ a b over rows padded to whole vectors."""
    total = splat(a, 0.0)
    for j in range(0, n, lanes(a)):
        total = fma(load(a, j), load(b, j), total)
    return sum_lanes(total)


@inlined
def product_of_block(net, i, A, lda, B, ldb, init, C, ldc, J, K):
    """C = init + A B for this thread's share of the block's rows; each row begins with `init`.

    If threads divide the columns, they wait for the rows of A, and for the others' parts of C.
    """
    own = share_of(net.all_rows, J, lanes(C), net.rank, net.threads)
    if own.split:
        barrier(net.shared, net.threads)
    A, B, init = offset(A, own.first * lda), offset(B, own.left), offset(init, own.left)
    C, rows, columns = (
        offset(C, own.first * ldc + own.left),
        own.last - own.first,
        own.right - own.left,
    )
    layer_product(net, i, A, lda, 1, B, ldb, init, 0, C, ldc, rows, columns, K)
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
            product_of_block(net, i, h, stride_in, W, stride, bias, s_of_block, stride, J, n_in)
        own = of_own(net, i, H)
        if here[ACTIVATION] != spec.IDENTITY:  # with identity, h is s
            call(net.pieces[ACTIVATE + here[ACTIVATION]], (s, own, net.rows * stride))
        if here[DROPOUT] != 0:
            drop_units(net, i, own, of_own(net, i, OUTPUT))
        h = of_block(net, i, OUTPUT)
        n_in, stride_in = here[SIZE], stride


@inner
def copy_rows(source, stride, rows, n, target, width):
    """Copy rows of n numbers, `stride` apart, to where they are `width` apart."""
    for r in range(rows):
        for j in range(n):
            target[r * width + j] = source[r * stride + j]


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

    if net.loss == spec.CROSS_ENTROPY:
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


@inner
def clear(net, i, column, r):
    """Zero the r-th own row of layer i's H, S, DS or OUTPUT."""
    here = offset(net.plan, i * COLUMNS)
    row = offset(of_own(net, i, column), r * here[STRIDE])
    for j in range(0, padded(row, here[SIZE]), lanes(row)):
        store(row, j, splat(row, 0.0))


@inner
def sum_outputs(delta, e, d, losses, shares, rows, n, stride):
    """d = share * delta, and the sums of e over each row, without padding."""
    for r in range(rows):
        total, share = splat(d, 0.0), splat(d, shares[r])
        for j in range(0, n, lanes(d)):
            scaled = load(delta, r * stride + j) * share
            store(d, r * stride + j, keep_first(scaled, n - j, 0.0))
            total = total + keep_first(load(e, r * stride + j), n - j, 0.0)
        losses[r] = sum_lanes(total)


@inlined
def pass_back(net, i, transposed, target):
    """Write ∂e/∂h_{i-1} = ∂e/∂s_i W_iᵀ of own rows to `target`, the block's rows of a layer."""
    above, here = offset(net.plan, (i - 1) * COLUMNS), offset(net.plan, i * COLUMNS)
    stride, stride_in = here[STRIDE], above[STRIDE]
    WT = offset(transposed, here[TRANSPOSED])
    if single_output(net, i):
        WT = offset(net.parameters, here[WEIGHTS])
    d, zeros, J = of_block(net, i, DS), zero_row(net), padded(target, above[SIZE])
    product_of_block(net, i, d, stride, WT, stride_in, zeros, target, stride_in, J, here[SIZE])


@inner
def backward_pass(net, transposed):
    """∂e/∂s_{i-1} = (∂e/∂s_i W_iᵀ) σ'(s_{i-1}) of own rows, down to the lowest learning layer."""
    for i in range(net.m, net.lowest, -1):
        above = offset(net.plan, (i - 1) * COLUMNS)
        s, h, d = of_own(net, i - 1, S), of_own(net, i - 1, H), of_own(net, i - 1, DS)
        pass_back(net, i, transposed, of_block(net, i - 1, DS))
        if above[DROPOUT] != 0:
            drop_units(net, i - 1, d, d)
        if above[ACTIVATION] != spec.IDENTITY:
            numbers = net.rows * above[STRIDE]
            call(net.pieces[MULTIPLY_BY_DERIVATIVE + above[ACTIVATION]], (s, h, d, numbers))
