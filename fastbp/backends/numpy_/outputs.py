"""Output activations h_m = σ_m(s_m) in the reference: the chain rule for calls for derivatives."""

from ...basis import spec
from ...basis.layout import PAIRED
from .elementwise import ACTIVATIONS, EXP
from .losses import output

# Output activations that their loss implies, but for identity and softmax.
IMPLIED = {spec.LOG_LOSS: ACTIVATIONS[spec.SIGMOID], spec.POISSON: EXP}


def _functions(model):
    """σ_m and its derivatives, for any output activation but softmax."""
    paired = int(model.plan[-1, PAIRED])
    if paired != spec.IDENTITY:
        return ACTIVATIONS[paired]
    return IMPLIED.get(model.loss, ACTIVATIONS[spec.IDENTITY])


def times_jacobian(model, s, v):
    """(∂h_m/∂s_m) v of each row; the matrices are symmetric."""
    h = output(model, s)
    if model.loss == spec.CROSS_ENTROPY:
        return h * (v - (h * v).sum(axis=1, keepdims=True))
    return (v * _functions(model).derivative(s, h)).astype(s.dtype, copy=False)


def first_derivatives(model, s, first):
    """Turn first derivatives of s_m into derivatives of h_m; the last axis counts directions."""
    if model.loss == spec.CROSS_ENTROPY:
        p = output(model, s)[:, :, None]
        return p * (first - _mean(p, first))
    return first * _functions(model).derivative(s, output(model, s))[:, :, None]


def second_derivatives(model, s, first, second):
    """The same of second order. `second` has one for each direction, or their sum.

    For softmax, with p = h, u_k = s'_k - <p, s'_k> and v_k = u_k² + s''_k,
    p''_k = p ∘ (v_k - <p, v_k>), or the sum of these over k.
    """
    if model.loss == spec.CROSS_ENTROPY:
        p = output(model, s)[:, :, None]
        v = second + _sum_to(second, (first - _mean(p, first)) ** 2)
        return p * (v - _mean(p, v))
    functions, h = _functions(model), output(model, s)
    slope, curve = functions.derivative(s, h), functions.second_derivative(s, h)
    return slope[:, :, None] * second + curve[:, :, None] * _sum_to(second, first * first)


def _sum_to(like, a):
    """`a`, or its sums over the last axis if `like` has length 1 there."""
    return a if like.shape == a.shape else a.sum(axis=2, keepdims=True)


def _mean(p, a):
    """Σ_j p_j a_jk of each row, of shape (n, 1, K)."""
    return (p * a).sum(axis=1, keepdims=True)
