"""A step: the batch's gradient is finished and applied, a few weight rows at a time.

The twin of this file is ``src_cython/steps.pxi``.
"""

from collections import namedtuple

from ...basis.layout import COLUMNS, SIZE, SPARSE, STRIDE, TOUCHED, WEIGHTS
from ...basis.spec import L1, L2, RULES
from . import fields
from ._jit import call, inlined, inner
from .gradients import COMPLETE, of_sparse, stride_of_rows, weight_gradient, weight_share
from .net import bottom, is_sparse, padded, single_output
from .optimizers import pace_of
from .passes import transpose_rows
from .pieces import SIGNS, STEP_SPARSE, UPDATE
from .regularizers import add_penalties, blend, clip_factor, is_frozen, note_squares, scale
from .shares import Share
from .simd import at, lanes, offset, pointer
from .team import barrier

# The number of weight rows whose gradient is computed, applied and transposed at a time; a
# multiple of the tiles' heights and of the vector length.
CHUNK = 48
# Sparse samples take more rows: each thread looks at all rows of the block for their entries. This
# many numbers of the gradient fit into the second-level cache.
CHUNK_NUMBERS = 65536

# The optimiser's hyper-parameters and state arrays, and this step's pace; the layers' rules and
# the factor of the penalties; the clipping norm and scratch array; the average and its decay; the
# signs of weights.
Stepping = namedtuple(
    "Stepping",
    "hyper pace first second layer_rules factor clipping clip_norm squares averaging average keep "
    "signed signs",
)


@inner
def next_step(job, reals, like, counts, rate, factor):
    """Count a step in `counts`; return its Stepping. `factor` is that of the penalties."""
    hyper = at(job, fields.HYPER, pointer(reals))
    counts[0] += 1.0
    counts[1] *= hyper[1]
    counts[2] *= hyper[2]
    return Stepping(
        hyper,
        pace_of(job[fields.OPTIMIZER], hyper, rate, counts),
        at(job, fields.FIRST, like),
        at(job, fields.SECOND, like),
        at(job, fields.LAYER_RULES, pointer(reals)),
        factor,
        job[fields.CLIPPING] != 0,
        reals[fields.CLIP_NORM],
        at(job, fields.SQUARES, pointer(reals)),
        job[fields.AVERAGING] != 0,
        at(job, fields.AVERAGE, like),
        reals[fields.DECAY] if counts[0] > 1.0 else 0.0,
        job[fields.SIGNED] != 0,
        at(job, fields.SIGNS, like),
    )


@inlined
def layer_penalties(how, i):
    """The factors of layer i's penalties in this step."""
    of_layer = offset(how.layer_rules, i * RULES)
    return how.factor * of_layer[L1], how.factor * of_layer[L2]


@inner
def complete(net, h, stride_in, rows, part, gradient, how):
    """Finish the batch's gradient with its last block, add penalties, and sum its squares."""
    for i in range(bottom(net), net.m + 1):
        here = offset(net.plan, i * COLUMNS)
        n_in, stride = inputs_of(net, i), stride_of_rows(net, i)
        own = weight_share(net, i, False)  # of whole rows, whose squares are summed
        if own.first == own.last or is_frozen(how.layer_rules, i):
            continue
        weight_gradient(net, i, h, stride_in, rows, gradient, part, own)
        n = max(0, min(own.last, n_in) - own.first) * stride
        if single_output(net, i):
            n = padded(gradient, n_in)
        l1, l2 = layer_penalties(how, i)
        if l1 > 0.0 or l2 > 0.0:
            at = here[WEIGHTS] + own.first * stride
            add_penalties(offset(net.parameters, at), offset(gradient, at), n, l1, l2)
        note_squares(net, i, gradient, own.first, own.last, how.squares)


@inlined
def inputs_of(net, i):
    """The number of layer i's rows of weights."""
    return 0 if i == 0 else net.plan[(i - 1) * COLUMNS + SIZE]


@inlined
def update(net, how, w, g, first, second, n, l2, decay):
    """Apply one step of the optimiser to w[:n], see optimizers.py."""
    pace = how.pace
    call(
        net.pieces[UPDATE],
        (
            *(how.hyper, pace.rate, pace.corrected, pace.epsilon),
            *(w, g, first, second, n, l2, decay),
        ),
    )


@inlined
def apply(net, how, i, gradient, at, weights, biases, factor):
    """Step layer i's parameters from `at` on: `weights` numbers of weights, then `biases`.

    `factor` is the clipping factor. With clipping, the gradient already includes the penalties.
    """
    w, g = offset(net.parameters, at), offset(gradient, at)
    l1, l2 = layer_penalties(how, i)
    decay = how.hyper[4]
    first, second = offset(how.first, at), offset(how.second, at)
    if how.clipping:
        l2 = 0.0
        if factor < 1.0:
            scale(g, weights + biases, factor)
    elif l1 > 0.0:
        add_penalties(w, g, weights, l1, l2)
        l2 = 0.0
    if l2 == 0.0 and decay == 0.0:  # weights and biases take the same step
        weights, biases = weights + biases, 0
    update(net, how, w, g, first, second, weights, l2, decay)
    if biases > 0:
        after, g = offset(w, weights), offset(g, weights)
        first, second = offset(first, weights), offset(second, weights)
        update(net, how, after, g, first, second, biases, 0.0, 0.0)
    if how.signed:
        call(net.pieces[SIGNS], (w, offset(how.signs, at), weights + biases))
    if how.averaging:
        blend(offset(how.average, at), w, weights + biases, how.keep)


@inner
def step_touched(net, rows, first, last, gradient, how):
    """Step those of some rows of W_1 for whose column the block has an entry."""
    start, pace = net.plan[COLUMNS + WEIGHTS], how.pace
    scratch = offset(gradient, start + first * net.plan[COLUMNS + STRIDE])
    call(
        net.pieces[STEP_SPARSE],
        (
            *of_sparse(net, rows, first, last),
            *(scratch, net.pieces[UPDATE]),
            *(how.hyper, pace.rate, pace.corrected, pace.epsilon),
            *(offset(net.parameters, start), offset(how.first, start), offset(how.second, start)),
            *(net.pieces[SIGNS], how.signs),
        ),
    )


@inner
def step(net, h, stride_in, rows, part, transposed, gradient, how):
    """Finish the batch's gradient with its last block and apply it, a few weight rows at a time."""
    factor = 1.0
    if how.clipping:  # clipping needs the whole gradient first
        complete(net, h, stride_in, rows, part, gradient, how)
        barrier(net.shared, net.threads)
        factor = clip_factor(net, how.squares, how.clip_norm)
    for i in range(net.m, bottom(net) - 1, -1):
        here = offset(net.plan, i * COLUMNS)
        n_in, stride, start = inputs_of(net, i), stride_of_rows(net, i), here[WEIGHTS]
        own = weight_share(net, i, True)
        if own.first == own.last or own.left == own.right or is_frozen(how.layer_rules, i):
            continue
        if single_output(net, i):
            if not how.clipping:
                weight_gradient(net, i, h, stride_in, rows, gradient, part, own)
            width = padded(gradient, n_in)
            apply(net, how, i, gradient, start, width, lanes(gradient), factor)
            continue
        begin, most = own.first, CHUNK
        if i == 0:
            most = own.last
        elif is_sparse(net, i):
            most = max(CHUNK, CHUNK_NUMBERS // stride)
            if here[SPARSE] == TOUCHED and part != COMPLETE:
                step_touched(net, rows, own.first, own.last, gradient, how)
                begin = max(own.first, min(own.last, n_in))  # the biases, ...
        for first in range(begin, own.last, most):
            last = min(first + most, own.last)
            if not how.clipping:
                chunk = Share(first, last, own.left, own.right, own.split)
                weight_gradient(net, i, h, stride_in, rows, gradient, part, chunk)
            of_weights = max(0, min(last, n_in) - first)
            pieces, weights = 1, of_weights * stride
            biases = (last - first) * stride - weights
            if own.split:  # each row is a piece, the last ones may not be weights
                pieces = last - first
            for piece in range(pieces):
                if own.split:
                    weights, biases = own.right - own.left, 0
                    if piece >= of_weights:
                        weights, biases = biases, weights
                at = start + (first + piece) * stride + own.left
                apply(net, how, i, gradient, at, weights, biases, factor)
            if i > bottom(net):
                end = first + of_weights
                transpose_rows(net, i, transposed, first, end, own.left, own.right)
