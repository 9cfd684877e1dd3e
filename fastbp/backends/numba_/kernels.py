"""The kernels of a training: each runs its body in the mode that takes denormal numbers for zeros.

See ``backends/interface.py`` for the arguments. In the twin, ``src_cython/kernels.pxi``, the entry
points do the same.
"""

from . import output_derivatives, per_sample, sobolev
from . import train as training
from .denormals import flush, set_control


def forward(pieces, plan, loss, loss_parameter, function, parameters, X, block, workspace, out):
    outside = flush()
    training.pass_forward(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(X, block, workspace, out, outside),
    )
    set_control(outside)


def backward(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    deltas,
    workspace,
    transposed,
    gradient,
    errors,
):
    outside = flush()
    per_sample.from_deltas(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(X, deltas, workspace, transposed, gradient, errors, outside),
    )
    set_control(outside)


def input_vjp(
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
):
    outside = flush()
    output_derivatives.vjp(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(X, v, workspace, transposed, gradient, errors, outside),
    )
    set_control(outside)


def loss_and_gradient(
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
    block,
    workspace,
    transposed,
    gradient,
    sums,
    stop,
    shared,
    threads,
    rank,
):
    outside = flush()
    mean = training.loss_and_gradient(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(X, labels, targets, sample_weight),
        *(block, workspace, transposed, gradient, sums, stop),
        *(shared, threads, rank, outside),
    )
    set_control(outside)
    return mean


def sobolev_gradient(
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
    dy,
    order,
    derivative_weight,
    back,
    total,
    block,
    workspace,
    transposed,
    gradient,
    sums,
    first,
    last,
    stop,
):
    outside = flush()
    mean = sobolev.sobolev_gradient(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(X, labels, targets, sample_weight, dy, order, derivative_weight, back, total),
        *(block, workspace, transposed, gradient, sums, first, last, stop, outside),
    )
    set_control(outside)
    return mean


def train(job, reals, X, labels, targets, sample_weight, order, epochs, rates, losses, rank):
    outside = flush()
    finished = training.train(
        *(job, reals, X, labels, targets, sample_weight),
        *(order, epochs, rates, losses, rank, outside),
    )
    set_control(outside)
    return finished


def apply_gradient(job, reals, parameters, rate, total):
    outside = flush()
    training.apply_gradient(job, reals, parameters, rate, total, outside)
    set_control(outside)
