"""The derivatives of each sample's own loss, and the quantities that lead to them.

The passes that train compute them, without sample weights and without means over samples.
`from_deltas` takes a function f by its derivatives ∂f/∂s_m, and sums over the samples.
See ``backends/interface.py`` for the arguments. The twin of this file is
``src_cython/per_sample.pxi``.
"""

from ...basis.layout import COLUMNS, DS, EXTRAS, OUTPUT, ROUNDED, SIZE, STRIDE, H, S
from ._jit import inner
from .bfloat16 import rounded_times
from .denormals import apart, control
from .gather import gather
from .gradients import WHOLE, accumulate
from .layer_parameters import terms_of
from .net import LOSSES, Data, of_own, per_row, set_constants, single_output, take_rows
from .passes import (
    backward_pass,
    forward_pass,
    output_deltas,
    outputs,
    pass_back,
    put_deltas,
    transpose,
    transpose_rows,
)
from .simd import offset, pointer
from .tile import copy_rows
from .train import alone


@inner
def copy_units(net, units, width):
    """Write s_m and h_m of the rows, before s_m is overwritten; destroys ds_m."""
    here = offset(net.plan, net.m * COLUMNS)
    n, stride, at = here[SIZE], here[STRIDE], 0
    for i in range(1, net.m):
        at += 4 * net.plan[i * COLUMNS + SIZE]
    copy_rows(of_own(net, net.m, S), stride, net.rows, n, offset(units, at), width)
    copy_rows(outputs(net), stride, net.rows, n, offset(units, at + n), width)


@inner
def copy_errors(net, transposed, units, width):
    """Write s_i, h_i, ∂e/∂h_i of the hidden layers and ∂e/∂s_i of all; destroys s_i."""
    at = 0
    for i in range(1, net.m + 1):
        here = offset(net.plan, i * COLUMNS)
        n, stride = here[SIZE], here[STRIDE]
        if i < net.m:
            s = of_own(net, i, S)
            copy_rows(s, stride, net.rows, n, offset(units, at), width)
            copy_rows(of_own(net, i, OUTPUT), stride, net.rows, n, offset(units, at + n), width)
            pass_back(net, i + 1, transposed, s, 0)
            copy_rows(s, stride, net.rows, n, offset(units, at + 2 * n), width)
        copy_rows(of_own(net, i, DS), stride, net.rows, n, offset(units, at + 3 * n), width)
        at += 4 * n


@inner
def outer_products(net, h, stride_in, gradients, width):
    """∇W_i = h_{i-1} ∂e/∂s_i, ∇b_i = ∂e/∂s_i, ... of each row, layer by layer.

    `h` is the network's input, with rows `stride_in` apart.
    """
    n_in, at = net.plan[SIZE], 0
    for i in range(1, net.m + 1):
        here = offset(net.plan, i * COLUMNS)
        n, stride, ds, rounded = here[SIZE], here[STRIDE], of_own(net, i, DS), here[ROUNDED] != 0
        for r in range(net.rows):
            target = offset(gradients, r * width + at)
            for k in range(n_in):
                a = h[r * stride_in + k]
                for j in range(n):
                    b = ds[r * stride + j]
                    target[k * n + j] = rounded_times(ds, a, b) if rounded else a * b
            for j in range(n):
                target[n_in * n + j] = ds[r * stride + j]
        at += (n_in + 1) * n
        for extra in range(here[EXTRAS]):
            terms = offset(terms_of(net, i, extra), net.first * stride)
            copy_rows(terms, stride, net.rows, n, offset(gradients, at), width)
            at += n
        h, stride_in, n_in = of_own(net, i, OUTPUT), stride, n


@inner
def begin(net, transposed, errors):
    """Write the constants and the transposed weights; layer 1's only if `errors` is true."""
    set_constants(net)
    transpose(net, transposed)
    if errors and not single_output(net, 1):
        transpose_rows(net, 1, transposed, 0, net.plan[SIZE], 0, net.plan[COLUMNS + SIZE])


@inner
def copy_input_errors(net, transposed, errors):
    """Write ∂e/∂h_0 of the rows; destroys the gathered input."""
    n_in, dh = net.plan[SIZE], of_own(net, 0, H)
    pass_back(net, 1, transposed, dh, 0)
    copy_rows(dh, net.plan[STRIDE], net.rows, n_in, errors, n_in)


def per_sample(
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
    deltas,
    block,
    workspace,
    transposed,
    losses,
    gradients,
    errors,
    units,
):
    net = alone(
        pieces, plan, loss, loss_parameter, function, parameters, block, workspace, control()
    )
    samples, numbers = pointer(X), pointer(labels)
    has_labels = labels.size > 0
    data = Data(samples, numbers, pointer(targets), samples, numbers, has_labels, False, False)
    WT = pointer(transposed)
    begin(net, WT, errors.size > 0)
    for start in range(0, X.shape[0], block):
        net = take_rows(net, 0, start, min(block, X.shape[0] - start))
        h, stride = gather(net, data, start)
        forward_pass(net, h, stride)
        row_of_units = offset(pointer(units), start * units.shape[1])
        if units.size > 0:
            copy_units(net, row_of_units, units.shape[1])
        if deltas.size > 0:
            put_deltas(net, offset(pointer(deltas), start * deltas.shape[1]))
        else:
            output_deltas(net, data, start, 1.0)
            if losses.size > 0:
                copy_rows(per_row(net, LOSSES), 1, net.rows, 1, offset(pointer(losses), start), 1)
        backward_pass(net, WT)
        if gradients.size > 0:
            width = gradients.shape[1]
            outer_products(net, h, stride, offset(pointer(gradients), start * width), width)
        if units.size > 0:
            copy_errors(net, WT, row_of_units, units.shape[1])
        if errors.size > 0:
            copy_input_errors(net, WT, offset(pointer(errors), start * X.shape[1]))


@inner
def from_deltas(
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
    outside,
):
    apart()
    n = X.shape[0]
    net = alone(pieces, plan, loss, loss_parameter, function, parameters, n, workspace, outside)
    samples, none = pointer(X), pointer(plan)
    data = Data(samples, none, samples, samples, none, False, False, False)
    WT = pointer(transposed)
    begin(net, WT, errors.size > 0)
    net = take_rows(net, 0, 0, n)
    h, stride = gather(net, data, 0)
    put_deltas(net, pointer(deltas))
    backward_pass(net, WT)
    if gradient.size > 0:
        accumulate(net, h, stride, n, pointer(gradient), WHOLE)
    if errors.size > 0:
        copy_input_errors(net, WT, pointer(errors))
