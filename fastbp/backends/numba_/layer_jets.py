"""Derivatives through what hidden layers compute between s_i and the next layer, and the way back.

That is normalisation, activation and residual connection, for jets and for derivatives along a
vector of the parameters' space, whose Net is `along`. All arrays of a layer have as many sets of
rows as there are values of each unit. A layer without normalisation, PReLU and residual connection
only has the activation. The twin of this file is ``src_cython/layer_jets.pxi``.
"""

from ...basis import spec
from ...basis.layout import (
    ACTIVATION,
    COLUMNS,
    DH,
    DS,
    EXTRAS,
    INVERSE,
    NORM,
    NORMALIZED,
    OUTPUT,
    RESIDUAL,
    SIZE,
    SLICE_ROWS,
    STRIDE,
    WEIGHTS,
    H,
    S,
)
from ._jit import call, inlined, inner
from .layer_parameters import own_parameters, slopes_of, terms_of
from .net import of_block, padded, unit, zero_row
from .pieces import (
    ACTIVATE,
    MULTIPLY_BY_DERIVATIVE,
    MULTIPLY_BY_SECOND_DERIVATIVE,
    MULTIPLY_BY_THIRD_DERIVATIVE,
    NORMALIZE_ALONG,
    NORMALIZE_ALONG_BACK,
    NORMALIZE_JETS,
    NORMALIZE_JETS_BACK,
    PRELU_ALONG,
    PRELU_ALONG_BACK,
    PRELU_JETS,
    PRELU_JETS_BACK,
)
from .simd import fma, lanes, load, offset, splat, store
from .tile import product


@inlined
def scratch(net):
    """Scratch space behind the workspace: 3 numbers for each unit of SLICE_ROWS rows."""
    zeros, widest = zero_row(net), lanes(net.workspace)
    for i in range(net.m + 1):
        widest = max(widest, net.plan[i * COLUMNS + STRIDE])
    return offset(zeros, widest)


@inner
def slopes(net, i, at, n, order):
    """The first, second and third derivatives of σ_i for n units from number `at` on.

    They follow each other in scratch space, up to the order.
    """
    code, d = net.plan[i * COLUMNS + ACTIVATION], scratch(net)
    s, h = offset(of_block(net, i, S), at), offset(of_block(net, i, H), at)
    for j in range(0, order * n, lanes(d)):
        store(d, j, splat(d, 1.0))
    call(net.pieces[MULTIPLY_BY_DERIVATIVE + code], (s, h, d, n))
    if order > 1:
        call(net.pieces[MULTIPLY_BY_SECOND_DERIVATIVE + code], (s, h, offset(d, n), n))
    if order > 2:
        call(net.pieces[MULTIPLY_BY_THIRD_DERIVATIVE + code], (s, h, offset(d, 2 * n), n))
    return d


@inner
def activate_jets(net, i, K, seconds):
    """The jets of h_i = σ_i(s_i) from those of s_i. With identity, h is s."""
    here = offset(net.plan, i * COLUMNS)
    if here[ACTIVATION] == spec.IDENTITY:
        return
    stride = here[STRIDE]
    size = net.rows * stride
    for r in range(0, net.rows, SLICE_ROWS):
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        s, h = offset(of_block(net, i, S), at), offset(of_block(net, i, H), at)
        call(net.pieces[ACTIVATE + here[ACTIVATION]], (s, h, n))
        d1 = slopes(net, i, at, n, 2 if seconds > 0 else 1)
        d2 = offset(d1, n)
        for k in range(K):
            s, h = offset(s, size), offset(h, size)
            t = K if seconds == K else K - k  # sets from the first to the second derivative
            s2, h2 = offset(s, t * size), offset(h, t * size)
            if seconds == 0:
                for j in range(0, n, lanes(s)):
                    store(h, j, load(d1, j) * load(s, j))
            elif seconds == K or k == 0:
                for j in range(0, n, lanes(s)):
                    x, slope = load(s, j), load(d1, j)
                    store(h, j, slope * x)
                    store(h2, j, fma(load(d2, j), x * x, slope * load(s2, j)))
            else:
                for j in range(0, n, lanes(s)):
                    x = load(s, j)
                    store(h, j, load(d1, j) * x)
                    store(h2, j, fma(load(d2, j), x * x, load(h2, j)))


@inner
def activate_adjoints(net, i, K, seconds):
    """The adjoints of the jets of s_i from those of h_i = σ_i(s_i), in place."""
    here = offset(net.plan, i * COLUMNS)
    if here[ACTIVATION] == spec.IDENTITY:
        return
    stride = here[STRIDE]
    size = net.rows * stride
    for r in range(0, net.rows, SLICE_ROWS):
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        s, a = offset(of_block(net, i, S), at), offset(of_block(net, i, DS), at)
        d1 = slopes(net, i, at, n, 3 if seconds > 0 else 2)
        d2, d3 = offset(d1, n), offset(d1, 2 * n)
        for j in range(0, n, lanes(a)):
            store(a, j, load(d1, j) * load(a, j))
        for k in range(K):
            s1, a1 = offset(s, (k + 1) * size), offset(a, (k + 1) * size)
            t = 1 + K + (k if seconds == K else 0)
            s2, a2 = offset(s, t * size), offset(a, t * size)
            if seconds == 0:
                for j in range(0, n, lanes(a)):
                    x, v = load(s1, j), load(a1, j)
                    store(a, j, fma(load(d2, j) * x, v, load(a, j)))
                    store(a1, j, load(d1, j) * v)
            elif seconds == K:
                for j in range(0, n, lanes(a)):
                    x, v, w = load(s1, j), load(a1, j), load(a2, j)
                    curve = load(d2, j)
                    bend = curve * x
                    of_second = fma(load(d3, j), x * x, curve * load(s2, j))
                    store(a, j, fma(of_second, w, fma(bend, v, load(a, j))))
                    store(a1, j, fma(2.0 * bend, w, load(d1, j) * v))
                    store(a2, j, load(d1, j) * w)
            else:
                for j in range(0, n, lanes(a)):
                    x, v, w = load(s1, j), load(a1, j), load(a2, j)
                    bend = load(d2, j) * x
                    value = fma(bend, v, load(a, j))
                    store(a, j, fma(load(d3, j) * (x * x), w, value))
                    store(a1, j, fma(2.0 * bend, w, load(d1, j) * v))
        if seconds > 0 and seconds != K:
            s2, a2 = offset(s, (1 + K) * size), offset(a, (1 + K) * size)
            for j in range(0, n, lanes(a)):
                w = load(a2, j)
                store(a, j, fma(load(d2, j) * load(s2, j), w, load(a, j)))
                store(a2, j, load(d1, j) * w)


@inner
def deltas_through(net, i):
    """δ_i and δ'_i of a hidden layer from ∂e/∂h_i and its derivative, in place."""
    here = offset(net.plan, i * COLUMNS)
    if here[ACTIVATION] == spec.IDENTITY:
        return
    stride = here[STRIDE]
    size = net.rows * stride
    for r in range(0, net.rows, SLICE_ROWS):
        at, n = r * stride, min(SLICE_ROWS, net.rows - r) * stride
        ds = offset(of_block(net, i, S), size + at)
        d = offset(of_block(net, i, DS), at)
        along, d1 = offset(d, size), slopes(net, i, at, n, 2)
        d2 = offset(d1, n)
        for j in range(0, n, lanes(d)):
            g, slope = load(d, j), load(d1, j)
            bend = load(d2, j) * load(ds, j)
            store(d, j, slope * g)
            store(along, j, fma(bend, g, slope * load(along, j)))


@inlined
def numbers_of(net, i):
    """Rows, units, stride, and whether the normalisation of layer i subtracts means."""
    here = offset(net.plan, i * COLUMNS)
    return net.rows, here[SIZE], here[STRIDE], int(here[NORM] == spec.LAYER_NORM)


@inlined
def normalized(net, i):
    """What is kept of layer i's normalisation, and the terms of the gradients of γ and β."""
    kept = of_block(net, i, NORMALIZED), of_block(net, i, INVERSE)
    return kept, (terms_of(net, i, 0), terms_of(net, i, 1))


@inlined
def scales_of(net, i):
    """γ and β of layer i."""
    gamma = own_parameters(net, i)
    return gamma, offset(gamma, net.plan[i * COLUMNS + STRIDE])


@inner
def normalize_jets(net, i, K, seconds):
    """The jets of z_i from those of s_i, in place."""
    kept, _ = normalized(net, i)
    arrays = (of_block(net, i, S), *kept, *scales_of(net, i))
    call(net.pieces[NORMALIZE_JETS], (*arrays, *numbers_of(net, i), K, seconds))


@inner
def normalize_adjoints(net, i, K, seconds):
    """The adjoints of the jets of s_i from those of z_i, in place."""
    kept, terms = normalized(net, i)
    arrays = (of_block(net, i, DS), *kept, own_parameters(net, i), *terms)
    call(net.pieces[NORMALIZE_JETS_BACK], (*arrays, *numbers_of(net, i), K, seconds))


@inner
def normalize_along(net, along, i):
    """z_i from s_i and their derivatives along the vector, in place."""
    normalize_jets(net, i, 1, 0)
    arrays = (of_block(net, i, S), of_block(net, i, NORMALIZED), *scales_of(along, i))
    call(net.pieces[NORMALIZE_ALONG], (*arrays, *numbers_of(net, i)))


@inner
def normalize_back_along(net, along, i):
    """∂e/∂s_i from ∂e/∂z_i and their derivatives along the vector, in place."""
    kept, terms = normalized(net, i)
    scales = own_parameters(net, i), own_parameters(along, i)
    arrays = (of_block(net, i, DS), *kept, *scales, *terms)
    call(net.pieces[NORMALIZE_ALONG_BACK], (*arrays, *numbers_of(net, i)))


@inner
def prelu_jets(net, i, sets):
    """The jets of h_i from those of z_i, with slopes."""
    here, (a, _) = offset(net.plan, i * COLUMNS), slopes_of(net, i)
    arrays = (of_block(net, i, S), of_block(net, i, H), a)
    call(net.pieces[PRELU_JETS], (*arrays, net.rows, here[SIZE], here[STRIDE], sets))


@inner
def prelu_adjoints(net, i, sets):
    """The adjoints of the jets of z_i from those of h_i, in place."""
    here, (a, which) = offset(net.plan, i * COLUMNS), slopes_of(net, i)
    arrays = (of_block(net, i, S), of_block(net, i, DS), a, terms_of(net, i, which))
    call(net.pieces[PRELU_JETS_BACK], (*arrays, net.rows, here[SIZE], here[STRIDE], sets))


@inner
def prelu_along(net, along, i):
    """h_i from z_i and their derivatives along the vector."""
    here, (a, _), (v, _) = offset(net.plan, i * COLUMNS), slopes_of(net, i), slopes_of(along, i)
    arrays = (of_block(net, i, S), of_block(net, i, H), a, v)
    call(net.pieces[PRELU_ALONG], (*arrays, net.rows, here[SIZE], here[STRIDE]))


@inner
def prelu_back_along(net, along, i):
    """∂e/∂z_i from ∂e/∂h_i and their derivatives along the vector, in place."""
    here, (a, which), (v, _) = offset(net.plan, i * COLUMNS), slopes_of(net, i), slopes_of(along, i)
    arrays = (of_block(net, i, S), of_block(net, i, DS), a, v, terms_of(net, i, which))
    call(net.pieces[PRELU_ALONG_BACK], (*arrays, net.rows, here[SIZE], here[STRIDE]))


@inner
def add_below_jets(net, i, sets):
    """The jets of out_i = h_i + out_{i-1}."""
    h, out, below = of_block(net, i, H), of_block(net, i, OUTPUT), of_block(net, i - 1, OUTPUT)
    for j in range(0, sets * net.rows * net.plan[i * COLUMNS + STRIDE], lanes(h)):
        store(out, j, load(h, j) + load(below, j))


@inner
def begin_adjoints(net, i, sets):
    """Copy what comes back to layer i, which the residual connection needs, too."""
    dh, d = of_block(net, i, DH), of_block(net, i, DS)
    for j in range(0, sets * net.rows * net.plan[i * COLUMNS + STRIDE], lanes(d)):
        store(d, j, load(dh, j))


@inlined
def through_hidden_jets(net, i, K, seconds):
    """The jets of out_i of a hidden layer from those of s_i."""
    here = offset(net.plan, i * COLUMNS)
    if here[NORM] != spec.NO_NORM:
        normalize_jets(net, i, K, seconds)
    if here[ACTIVATION] == spec.PRELU:
        prelu_jets(net, i, 1 + K + seconds)
    else:
        activate_jets(net, i, K, seconds)
    if here[RESIDUAL] != 0:
        add_below_jets(net, i, 1 + K + seconds)


@inlined
def back_through_hidden_jets(net, i, K, seconds):
    """The adjoints of the jets of s_i of a hidden layer from those of out_i."""
    here = offset(net.plan, i * COLUMNS)
    if here[RESIDUAL] != 0:
        begin_adjoints(net, i, 1 + K + seconds)
    if here[ACTIVATION] == spec.PRELU:
        prelu_adjoints(net, i, 1 + K + seconds)
    else:
        activate_adjoints(net, i, K, seconds)
    if here[NORM] != spec.NO_NORM:
        normalize_adjoints(net, i, K, seconds)


@inlined
def through_hidden_along(net, along, i):
    """out_i of a hidden layer and its derivative along the vector, from those of s_i."""
    here = offset(net.plan, i * COLUMNS)
    if here[NORM] != spec.NO_NORM:
        normalize_along(net, along, i)
    if here[ACTIVATION] == spec.PRELU:
        prelu_along(net, along, i)
    else:
        activate_jets(net, i, 1, 0)
    if here[RESIDUAL] != 0:
        add_below_jets(net, i, 2)


@inlined
def back_through_hidden_along(net, along, i):
    """∂e/∂s_i of a hidden layer and its derivative along the vector, from those of out_i."""
    here = offset(net.plan, i * COLUMNS)
    if here[RESIDUAL] != 0:
        begin_adjoints(net, i, 2)
    if here[ACTIVATION] == spec.PRELU:
        prelu_back_along(net, along, i)
    else:
        deltas_through(net, i)
    if here[NORM] != spec.NO_NORM:
        normalize_back_along(net, along, i)


@inner
def sum_terms(net, i, rows, G):
    """The gradients of layer i's parameters behind its biases: sums of the rows' terms."""
    here, n_in = offset(net.plan, i * COLUMNS), net.plan[(i - 1) * COLUMNS + SIZE]
    stride, zeros = here[STRIDE], zero_row(net)
    target = offset(G, here[WEIGHTS] + (n_in + 1) * stride)
    for which in range(here[EXTRAS]):
        product(
            *(unit(net), 0, 0, terms_of(net, i, which), stride, zeros, 0),
            *(offset(target, which * stride), stride, 1, padded(G, here[SIZE]), rows),
        )
