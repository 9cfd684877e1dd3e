"""Products of the loss's Hessian by the parameters with a vector, and deltas at given outputs.

A block has two sets of rows: the values, and their derivatives along the vector. See
``Backend.hessian_product`` in interface.py. The twin of this file is ``src_cython/hessian.pxi``.
"""

from ...basis import spec
from ...basis.layout import (
    COLUMNS,
    DH,
    DS,
    INVERSE,
    NORM,
    NORMALIZED,
    OUTPUT,
    SIZE,
    STRIDE,
    TARGETS,
    WEIGHTS,
    H,
    S,
)
from ._jit import call, inner
from .denormals import control
from .gather import gather
from .heads import take_shares
from .jets import add_outer, back_through_weights, bias_gradient, fill, single_product
from .layer_jets import (
    back_through_hidden_along,
    scratch,
    sum_terms,
    through_hidden_along,
)
from .net import (
    LOSSES,
    SHARES,
    Data,
    clear,
    of_block,
    padded,
    per_row,
    row_of,
    set_constants,
    single_output,
    take_rows,
    target_rows,
)
from .passes import output_deltas, transpose
from .pieces import HEADS, HESSIAN
from .simd import keep_first, lane, lanes, load, offset, pointer, splat, store
from .tile import copy_rows, product
from .train import alone


@inner
def forward_along(net, along, x, stride_x):
    """s_i, h_i and their derivatives in all layers; the Net `along` has the vector as weights."""
    h, stride_in, n_in, rows = x, stride_x, net.plan[SIZE], net.rows
    for i in range(1, net.m + 1):
        here = offset(net.plan, i * COLUMNS)
        stride, s = here[STRIDE], of_block(net, i, S)
        W, V = offset(net.parameters, here[WEIGHTS]), offset(along.parameters, here[WEIGHTS])
        dh, ds = offset(h, rows * stride_in), offset(s, rows * stride)
        if single_output(net, i):
            at = padded(W, n_in)
            single_product(net, i, h, stride_in, W, rows, W[at], s, False)
            single_product(net, i, h, stride_in, V, rows, V[at], ds, False)
            if i > 1:
                single_product(net, i, dh, stride_in, W, rows, lane(splat(W, 0.0), 0), ds, True)
            return
        at, J = n_in * stride, padded(W, here[SIZE])
        product(h, stride_in, 1, W, stride, offset(W, at), 0, s, stride, rows, J, n_in)
        product(h, stride_in, 1, V, stride, offset(V, at), 0, ds, stride, rows, J, n_in)
        if i > 1:
            product(dh, stride_in, 1, W, stride, ds, stride, ds, stride, rows, J, n_in)
        if i < net.m:
            through_hidden_along(net, along, i)
        h, stride_in, n_in = of_block(net, i, OUTPUT), stride, here[SIZE]


@inner
def deltas_along(net, data, total):
    """δ_m and δ'_m of the rows."""
    here, rows = offset(net.plan, net.m * COLUMNS), net.rows
    n, stride = here[SIZE], here[STRIDE]
    s, d, y = of_block(net, net.m, S), of_block(net, net.m, DS), target_rows(net)
    found = scratch(net)  # the products of each row
    v, numbers = offset(s, rows * stride), (net.function, net.loss_parameter, rows, n, stride)
    if net.loss == spec.HEADS:
        part, half = of_block(net, net.m, H), padded(s, rows * stride)
        work = part, offset(part, half), y, offset(y, half), found
        arrays = data.targets, rows, stride, here[TARGETS], s, v
        call(net.pieces[HESSIAN], (net.function, offset(net.pieces, HEADS), *arrays, *work))
    else:
        if not data.has_labels:
            if stride > 1:
                fill(y, rows * stride, 0.0)
            copy_rows(data.targets, here[TARGETS], rows, here[TARGETS], y, stride)
        call(net.pieces[HESSIAN], (*numbers, s, y, v, found))
    output_deltas(net, data, 0, total)
    shares, along = per_row(net, SHARES), offset(d, rows * stride)
    if net.loss == spec.HEADS:  # the shares are those of the last head
        share, weighted, ordered = 1.0 / total if total != 0.0 else 0.0, data.weighted, data.ordered
        numbers = int(weighted), int(ordered), 0, share, rows
        take_shares(shares, data.weight, data.order, *numbers)
    for r in range(rows):
        if stride == 1:
            along[r] = found[r] * shares[r]
            continue
        share = splat(d, shares[r])
        for j in range(0, n, lanes(d)):
            scaled = load(found, r * stride + j) * share
            store(along, r * stride + j, keep_first(scaled, n - j, 0.0))
    if data.weighted:
        for r in range(rows):
            if data.weight[row_of(data, r)] == 0.0:
                leave_out_along(net, r)


@inner
def leave_out_along(net, r):
    """Exclude the derivatives of a row along the vector, even if they overflowed."""
    if single_output(net, net.m):
        of_block(net, net.m, DS)[net.rows + r] = 0.0
    else:
        clear(net, net.m, DS, net.rows + r)
    for i in range(1, net.m):
        clear(net, i, S, net.rows + r)
        clear(net, i, H, net.rows + r)
        clear(net, i, OUTPUT, net.rows + r)
        if net.plan[i * COLUMNS + NORM] != spec.NO_NORM:
            clear(net, i, NORMALIZED, net.rows + r)
            scales = of_block(net, i, INVERSE)
            store(scales, (net.rows + r) * lanes(scales), splat(scales, 0.0))


@inner
def backward_along(net, along, x, stride_x, WT, VT, G):
    """The product, from δ_m and δ'_m."""
    rows = net.rows
    for i in range(net.m, 0, -1):
        d = of_block(net, i, DS)
        d_along = offset(d, rows * net.plan[i * COLUMNS + STRIDE])
        bias_gradient(net, i, d_along, rows, G)
        if i == 1:
            add_outer(net, 1, x, stride_x, d_along, rows, G, False)
            return
        stride_in = net.plan[(i - 1) * COLUMNS + STRIDE]
        h, target = of_block(net, i - 1, OUTPUT), of_block(net, i - 1, DH)
        add_outer(net, i, h, stride_in, d_along, rows, G, False)
        add_outer(net, i, offset(h, rows * stride_in), stride_in, d, rows, G, True)
        back_through_weights(net, i, d, 2 * rows, WT, target, False)
        back_through_weights(along, i, d, rows, VT, offset(target, rows * stride_in), True)
        back_through_hidden_along(net, along, i - 1)
        sum_terms(net, i - 1, rows, G)


def hessian_product(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    labels,
    targets,
    sample_weight,
    vector,
    total,
    workspace,
    transposed,
    out,
):
    n = X.shape[0]
    net = alone(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(2 * n, workspace, control()),
    )
    along = alone(
        *(pieces, plan, loss, loss_parameter, function, vector), *(2 * n, workspace, control())
    )
    WT = pointer(transposed)
    VT = offset(WT, transposed.size // 2)
    set_constants(net)
    transpose(net, WT)
    transpose(along, VT)
    net = take_rows(net, 0, 0, n)
    weighted = sample_weight.size > 0
    numbers = pointer(labels)
    data = Data(
        *(pointer(X), numbers, pointer(targets), pointer(sample_weight), numbers),
        *(labels.size > 0, weighted, False),
    )
    x, stride_x = gather(net, data, 0)
    forward_along(net, along, x, stride_x)
    deltas_along(net, data, total)
    backward_along(net, along, x, stride_x, WT, VT, pointer(out))


def loss_deltas(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    labels,
    targets,
    sample_weight,
    s,
    block,
    workspace,
    losses,
    deltas,
):
    net = alone(
        pieces, plan, loss, loss_parameter, function, parameters, block, workspace, control()
    )
    numbers, outputs = pointer(labels), pointer(s)
    data = Data(
        *(outputs, numbers, pointer(targets), outputs, numbers),
        *(labels.size > 0, False, False),
    )
    n = s.shape[1]
    stride = net.plan[net.m * COLUMNS + STRIDE]
    for start in range(0, s.shape[0], block):
        net = take_rows(net, 0, start, min(block, s.shape[0] - start))
        inside = of_block(net, net.m, S)
        if stride > 1:
            fill(inside, net.rows * stride, 0.0)
        copy_rows(offset(outputs, start * n), n, net.rows, n, inside, stride)
        output_deltas(net, data, start, 1.0)
        copy_rows(per_row(net, LOSSES), 1, net.rows, 1, offset(pointer(losses), start), 1)
        target = offset(pointer(deltas), start * n)
        copy_rows(of_block(net, net.m, DS), stride, net.rows, n, target, n)
