"""The Jacobian of the outputs by the input, back from each output.

The rows of a row's outputs follow each other. See ``Backend.input_jacobian`` in interface.py. The
twin of this file is ``src_cython/input_jacobian.pxi``.
"""

from ...basis import spec
from ...basis.layout import (
    ACTIVATION,
    COLUMNS,
    DS,
    SIZE,
    SLICE_ROWS,
    STRIDE,
    TRANSPOSED,
    WEIGHTS,
    H,
    S,
)
from ._jit import inner
from .denormals import control
from .jets import back_through_weights, fill, samples_of, scratch, slopes
from .passes import copy_rows, forward_pass, gather, of_block, padded, single_output, take_rows
from .per_sample import begin
from .simd import lanes, load, offset, pointer, store
from .train import alone


@inner
def multiply_rows(net, i, source, row_step, d, times):
    """Multiply `times` rows of numbers for each row of the block by its σ_i'(s_i).

    Row k of r is number r * `row_step` + k of `source`, and goes to r * `times` + k of `d`.
    """
    here = offset(net.plan, i * COLUMNS)
    stride, J, known = here[STRIDE], padded(d, here[SIZE]), here[ACTIVATION] != spec.IDENTITY
    for first in range(0, net.rows, SLICE_ROWS):
        rows, slope = min(SLICE_ROWS, net.rows - first), scratch(net)
        if known:
            slope = slopes(net, i, first * stride, rows * stride, 1)
        else:
            fill(slope, rows * stride, 1.0)
        for r in range(rows):
            for k in range(times):
                a = offset(source, ((first + r) * row_step + k) * stride)
                b = offset(d, ((first + r) * times + k) * stride)
                for j in range(0, J, lanes(d)):
                    store(b, j, load(slope, r * stride + j) * load(a, j))


@inner
def back_from_outputs(net, WT, out):
    """∂s_m/∂h_0 of the block's rows; those of a row's outputs follow each other."""
    n_out, n_in, stride_in = net.plan[net.m * COLUMNS + SIZE], net.plan[SIZE], net.plan[STRIDE]
    rows = net.rows * n_out
    source = offset(WT, net.plan[net.m * COLUMNS + TRANSPOSED])
    if single_output(net, net.m):
        source = offset(net.parameters, net.plan[net.m * COLUMNS + WEIGHTS])
    if net.m == 1:
        for r in range(net.rows):
            copy_rows(source, stride_in, n_out, n_in, offset(out, r * n_out * n_in), n_in)
        return
    multiply_rows(net, net.m - 1, source, 0, of_block(net, net.m - 1, DS), n_out)
    for i in range(net.m - 1, 1, -1):
        d = of_block(net, i - 1, DS)
        back_through_weights(net, i, of_block(net, i, DS), rows, WT, d, False)
        multiply_rows(net, i - 1, d, n_out, d, n_out)
    dh = of_block(net, 0, H)
    back_through_weights(net, 1, of_block(net, 1, DS), rows, WT, dh, False)
    copy_rows(dh, stride_in, rows, n_in, out, n_in)


def input_jacobian(
    pieces,
    plan,
    loss,
    loss_parameter,
    function,
    parameters,
    X,
    block,
    workspace,
    transposed,
    s,
    out,
):
    n, n_in = X.shape
    n_out, WT = s.shape[1], pointer(transposed)
    net = alone(
        *(pieces, plan, loss, loss_parameter, function, parameters),
        *(block * n_out, workspace, control()),
    )
    data = samples_of(X, pointer(plan))
    begin(net, WT, True)
    stride = net.plan[net.m * COLUMNS + STRIDE]
    for start in range(0, n, block):
        net = take_rows(net, 0, start, min(block, n - start))
        h, stride_in = gather(net, data, start)
        forward_pass(net, h, stride_in)
        target = offset(pointer(s), start * n_out)
        copy_rows(of_block(net, net.m, S), stride, net.rows, n_out, target, n_out)
        back_from_outputs(net, WT, offset(pointer(out), start * n_out * n_in))
