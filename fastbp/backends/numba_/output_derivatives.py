"""Output activations h_m = σ_m(s_m) in calls for derivatives: the chain rule forward and back.

The twin of this file is ``src_cython/output_derivatives.pxi``.
"""

from ...basis import spec
from ...basis.layout import COLUMNS, DS, PAIRED, SIZE, STRIDE, S
from ._jit import call, inlined, inner
from .denormals import apart
from .gather import gather
from .gradients import WHOLE, accumulate
from .jets import fill, samples_of
from .layer_jets import scratch
from .net import of_block, padded, take_rows, target_rows
from .passes import backward_pass, forward_pass, outputs, put_deltas
from .per_sample import begin, copy_input_errors
from .pieces import MULTIPLY_BY_DERIVATIVE, MULTIPLY_BY_SECOND_DERIVATIVE
from .simd import fma, keep_first, lanes, load, offset, pointer, splat, store, sum_lanes
from .tile import copy_rows
from .train import alone


@inlined
def output_code(net):
    """The code of σ_m, if it is elementwise and neither identity nor exp; else IDENTITY."""
    code = net.plan[net.m * COLUMNS + PAIRED]
    return spec.SIGMOID if net.loss == spec.LOG_LOSS else code


@inlined
def ends_in_identity(net):
    """Whether h_m is s_m."""
    known = net.loss == spec.CROSS_ENTROPY or net.loss == spec.POISSON
    return output_code(net) == spec.IDENTITY and not known


@inner
def slopes_of_outputs(net, order):
    """σ_m' of the block's rows, and σ_m'' if `order` is 2; both are laid out like s_m."""
    s, h, d1 = of_block(net, net.m, S), outputs(net), target_rows(net)
    if net.loss == spec.POISSON:
        return h, h
    code, n = output_code(net), padded(s, net.rows * net.plan[net.m * COLUMNS + STRIDE])
    d2 = offset(d1, n)
    fill(d1, order * n, 1.0)
    call(net.pieces[MULTIPLY_BY_DERIVATIVE + code], (s, h, d1, n))
    if order > 1:
        call(net.pieces[MULTIPLY_BY_SECOND_DERIVATIVE + code], (s, h, d2, n))
    return d1, d2


@inner
def sum_of_squares(x, n):
    """Σ x² of n numbers."""
    whole, total = n // lanes(x) * lanes(x), splat(x, 0.0)
    for j in range(0, whole, lanes(x)):
        v = load(x, j)
        total = fma(v, v, total)
    found = sum_lanes(total)
    for j in range(whole, n):
        found += x[j] * x[j]
    return found


@inner
def subtract_means(p, x, n, K, means):
    """x_jk -= Σ_i p_i x_ik, for n rows of K numbers; `means` has space for a row."""
    if K == 1:
        mean = p[0] * x[0]
        for j in range(1, n):
            mean += p[j] * x[j]
        for j in range(n):
            x[j] -= mean
        return
    for k in range(K):
        means[k] = p[0] * x[k]
    for j in range(1, n):
        factor, row = p[j], offset(x, j * K)
        for k in range(K):
            means[k] += factor * row[k]
    for j in range(n):
        row = offset(x, j * K)
        for k in range(K):
            row[k] -= means[k]


@inner
def scale_by(p, x, n, K):
    """x_jk *= p_j, for n rows of K numbers."""
    for j in range(n):
        factor, row = p[j], offset(x, j * K)
        for k in range(K):
            row[k] *= factor


@inner
def add_squares(x, n, K, target, width):
    """Add x_jk², or their sums over k to a `width` of 1."""
    if width == K:
        for k in range(n * K):
            target[k] += x[k] * x[k]
    else:
        for j in range(n):
            target[j] += sum_of_squares(offset(x, j * K), K)


@inner
def through_softmax(net, first, second, K, width):
    """`through_outputs` for softmax. With p = h_m and u_k = s'_k - <p, s'_k>, p'_k = p ∘ u_k.

    With v_k = u_k² + s''_k, p''_k = p ∘ (v_k - <p, v_k>), or the sum of these over k.
    """
    here = offset(net.plan, net.m * COLUMNS)
    n, stride, h, means = here[SIZE], here[STRIDE], outputs(net), scratch(net)
    for r in range(net.rows):
        p, x, v = offset(h, r * stride), offset(first, r * n * K), offset(second, r * n * width)
        subtract_means(p, x, n, K, means)
        if width == 0:
            scale_by(p, x, n, K)
        else:
            add_squares(x, n, K, v, width)
            subtract_means(p, v, n, width, means)
            scale_by(p, v, n, width)


@inner
def through_outputs(net, first, second, K, width):
    """Turn derivatives of s_m by the inputs into derivatives of h_m, in place.

    For each output of a row, `first` has K first derivatives, and `second` as many second ones,
    their sum for a `width` of 1, or none for 0. With second ones, the first ones may get lost.
    """
    if ends_in_identity(net):
        return
    if net.loss == spec.CROSS_ENTROPY:
        through_softmax(net, first, second, K, width)
        return
    here = offset(net.plan, net.m * COLUMNS)
    n, stride = here[SIZE], here[STRIDE]
    d1, d2 = slopes_of_outputs(net, 2 if width > 0 else 1)
    for r in range(net.rows):
        for j in range(n):
            slope, curve = d1[r * stride + j], d2[r * stride + j]
            x, z = offset(first, (r * n + j) * K), offset(second, (r * n + j) * width)
            if width == 0:
                for k in range(K):
                    x[k] *= slope
            elif width == K:
                for k in range(K):
                    z[k] = slope * z[k] + curve * (x[k] * x[k])
            else:
                z[0] = slope * z[0] + curve * sum_of_squares(x, K)


@inner
def back_through_outputs(net, v):
    """∂f/∂s_m of the block's rows, from ∂f/∂h_m without padding, to ds_m."""
    if ends_in_identity(net):
        put_deltas(net, v)
        return
    here = offset(net.plan, net.m * COLUMNS)
    n, stride, s, dh = here[SIZE], here[STRIDE], of_block(net, net.m, S), target_rows(net)
    size, d = padded(s, net.rows * stride), of_block(net, net.m, DS)
    fill(dh, size, 0.0)
    copy_rows(v, n, net.rows, n, dh, stride)
    h = outputs(net)  # in the place of d
    if net.loss == spec.CROSS_ENTROPY:
        for r in range(0, net.rows * stride, stride):
            total = splat(d, 0.0)
            for j in range(r, r + n, lanes(d)):
                total = fma(load(h, j), load(dh, j), total)
            mean = splat(d, sum_lanes(total))
            for j in range(r, r + n, lanes(d)):
                store(d, j, keep_first(load(h, j) * (load(dh, j) - mean), r + n - j, 0.0))
    elif net.loss == spec.POISSON:
        for j in range(0, size, lanes(d)):
            store(d, j, load(h, j) * load(dh, j))
    else:
        call(net.pieces[MULTIPLY_BY_DERIVATIVE + output_code(net)], (s, h, dh, size))
        for j in range(0, size, lanes(d)):
            store(d, j, load(dh, j))


@inner
def vjp(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    v,
    workspace,
    transposed,
    gradient,
    errors,
    outside,
):
    apart()
    n = X.shape[0]
    net = alone(pieces, plan, loss, loss_parameter, function, parameters, n, workspace, outside)
    data, WT = samples_of(X, pointer(plan)), pointer(transposed)
    begin(net, WT, errors.size > 0)
    net = take_rows(net, 0, 0, n)
    h, stride = gather(net, data, 0)
    forward_pass(net, h, stride)
    back_through_outputs(net, pointer(v))
    backward_pass(net, WT)
    if gradient.size > 0:
        accumulate(net, h, stride, n, pointer(gradient), WHOLE)
    if errors.size > 0:
        copy_input_errors(net, WT, pointer(errors))
