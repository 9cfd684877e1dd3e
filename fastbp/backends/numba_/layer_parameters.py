"""What hidden layers compute between s_i and the next layer, forward and back.

That is normalisation, activation, dropout and residual connection. With LayerNorm (Ba, Kiros and
Hinton, arXiv:1607.06450) z = γ x̂ + β with x̂ = (s - mean(s)) r and r = 1 / √(var(s) + ε), where mean
and variance are over the units of a row. RMSNorm (Zhang and Sennrich, NeurIPS 2019) has neither
means nor shift: r = 1 / √(mean(s²) + ε), z = γ x̂. Then h = σ(z), and out = h, plus the out of the
layer below where there is a residual connection. In the workspace z takes the place of s; x̂ and r
stay until the backward pass.

A layer's own parameters follow its biases, a row each: γ and β, then the slopes of PReLU. The
backward pass leaves the terms of their gradients, a row for each sample, in TERMS; the gradients
are the sums over the rows, as for the biases. The twin of this file is
``src_cython/layer_parameters.pxi``; the reference is ``numpy_``.
"""

from ...basis import spec
from ...basis.layout import (
    ACTIVATION,
    COLUMNS,
    DH,
    DROPOUT,
    DS,
    EXTRAS,
    INVERSE,
    NORM,
    NORMALIZED,
    OUTPUT,
    RESIDUAL,
    SIZE,
    STRIDE,
    TERMS,
    WEIGHTS,
    H,
    S,
)
from ._jit import call, inlined, inner
from .net import drop_units, of_block, of_own
from .pieces import (
    ACTIVATE,
    MULTIPLY_BY_DERIVATIVE,
    NORMALIZE,
    NORMALIZE_BACK,
    PRELU,
    PRELU_BACK,
)
from .simd import lanes, load, offset, store


@inlined
def own_parameters(net, i):
    """The rows of layer i's parameters behind its biases."""
    here, n_in = offset(net.plan, i * COLUMNS), net.plan[(i - 1) * COLUMNS + SIZE]
    return offset(net.parameters, here[WEIGHTS] + (n_in + 1) * here[STRIDE])


@inlined
def terms_of(net, i, which):
    """The block's terms of the gradient of a row of layer i's parameters behind its biases."""
    return offset(of_block(net, i, TERMS), which * net.block * net.plan[i * COLUMNS + STRIDE])


@inner
def normalize(net, i):
    """Own rows of z_i from s_i, in place; x̂ and r are kept."""
    here, gamma, s = offset(net.plan, i * COLUMNS), own_parameters(net, i), of_own(net, i, S)
    beta, scales = offset(gamma, here[STRIDE]), of_block(net, i, INVERSE)
    arrays = (s, of_own(net, i, NORMALIZED), offset(scales, net.first * lanes(scales)), gamma, beta)
    numbers = (net.rows, here[SIZE], here[STRIDE], int(here[NORM] == spec.LAYER_NORM))
    call(net.pieces[NORMALIZE], (*arrays, *numbers))


@inner
def normalize_back(net, i):
    """Own rows of ∂e/∂s_i from ∂e/∂z_i, in place, and the terms of ∇γ and ∇β."""
    here, d, scales = offset(net.plan, i * COLUMNS), of_own(net, i, DS), of_block(net, i, INVERSE)
    first = net.first * here[STRIDE]
    of_gamma, of_beta = offset(terms_of(net, i, 0), first), offset(terms_of(net, i, 1), first)
    x, scales = of_own(net, i, NORMALIZED), offset(scales, net.first * lanes(scales))
    numbers = (net.rows, here[SIZE], here[STRIDE], int(here[NORM] == spec.LAYER_NORM))
    arrays = (d, x, scales, own_parameters(net, i), of_gamma, of_beta)
    call(net.pieces[NORMALIZE_BACK], (*arrays, *numbers))


@inlined
def slopes_of(net, i):
    """PReLU's slopes, the last row of layer i's parameters, and the row's number."""
    here = offset(net.plan, i * COLUMNS)
    which = here[EXTRAS] - 1
    return offset(own_parameters(net, i), which * here[STRIDE]), which


@inner
def prelu(net, i):
    """Own rows of h_i: z, or a z where z is not positive, with each unit's slope a."""
    here, (a, _) = offset(net.plan, i * COLUMNS), slopes_of(net, i)
    numbers = (net.rows, here[SIZE], here[STRIDE])
    call(net.pieces[PRELU], (of_own(net, i, S), of_own(net, i, H), a, *numbers))


@inner
def prelu_back(net, i):
    """Own rows of ∂e/∂z_i from ∂e/∂h_i, in place, and the terms of the gradient of the slopes."""
    here, (a, which) = offset(net.plan, i * COLUMNS), slopes_of(net, i)
    of_slopes = offset(terms_of(net, i, which), net.first * here[STRIDE])
    arrays = (of_own(net, i, S), of_own(net, i, DS), a, of_slopes)
    call(net.pieces[PRELU_BACK], (*arrays, net.rows, here[SIZE], here[STRIDE]))


@inner
def add_below(net, i):
    """Own rows of out_i = h_i, or what dropout leaves of it, plus out_{i-1}."""
    here = offset(net.plan, i * COLUMNS)
    h, out = of_own(net, i, H), of_own(net, i, OUTPUT)
    if here[DROPOUT] != 0:
        h = out
    below = of_own(net, i - 1, OUTPUT)
    for j in range(0, net.rows * here[STRIDE], lanes(h)):
        store(out, j, load(h, j) + load(below, j))


@inlined
def through_hidden(net, i):
    """Own rows of out_i of a hidden layer from s_i."""
    here, s, h = offset(net.plan, i * COLUMNS), of_own(net, i, S), of_own(net, i, H)
    if here[NORM] != spec.NO_NORM:
        normalize(net, i)
    if here[ACTIVATION] == spec.PRELU:
        prelu(net, i)
    elif here[ACTIVATION] != spec.IDENTITY:  # with identity, h is s
        call(net.pieces[ACTIVATE + here[ACTIVATION]], (s, h, net.rows * here[STRIDE]))
    if here[DROPOUT] != 0:
        drop_units(net, i, h, of_own(net, i, OUTPUT))
    if here[RESIDUAL] != 0:
        add_below(net, i)


@inlined
def back_through_hidden(net, i):
    """Own rows of ∂e/∂s_i of a hidden layer from those of ∂e/∂out_i."""
    here, s, h = offset(net.plan, i * COLUMNS), of_own(net, i, S), of_own(net, i, H)
    n, dh, d = net.rows * here[STRIDE], of_own(net, i, DH), of_own(net, i, DS)
    if here[DROPOUT] != 0:
        drop_units(net, i, dh, d)
    elif here[RESIDUAL] != 0:  # elsewhere d is dh
        for j in range(0, n, lanes(d)):
            store(d, j, load(dh, j))
    if here[ACTIVATION] == spec.PRELU:
        prelu_back(net, i)
    elif here[ACTIVATION] != spec.IDENTITY:
        call(net.pieces[MULTIPLY_BY_DERIVATIVE + here[ACTIVATION]], (s, h, d, n))
    if here[NORM] != spec.NO_NORM:
        normalize_back(net, i)
