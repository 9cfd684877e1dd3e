"""The Numba backend: ``@njit`` kernels, compiled on first use and cached on disk.

Files, from the inside out: simd (pointers and vectors), vmath (exp, log, tanh, ...),
trigonometry (sin and cos), tile (matrix product), team (threads), denormals, bfloat16 (products of
rounded matrices), dropout, sparse, elementwise, hidden (normalisation and PReLU), hidden_jets
(their derivatives), losses, pairs (of an output activation and a loss), optimizers, pieces (the
functions of the last six, called by address), net (what kernels pass on), layer_parameters, passes,
gather, gradients, groups, regularizers, train, per_sample, layer_jets, jets, output_derivatives,
input_derivatives, sobolev, hessian, kernels (entry points that train), jobs.
"""

name = "numba"

try:
    import numba
    import numpy as np
    from numba import types

    from ...basis import spec
    from ...basis.layout import PAIRED, SIZE
    from . import hessian, kernels, losses, pairs, train
    from . import input_derivatives as backward
    from . import jets as of_lines
    from . import per_sample as of_samples
    from ._jit import by_precision, entry, read, written
    from .bfloat16 import BFLOAT16_PRODUCT
    from .elementwise import ACTIVATIONS
    from .jobs import Job
    from .pieces import dense_part, losses_of, table, with_samples
except ImportError as error:  # pragma: no cover - numba is a dependency
    from .. import BackendUnavailable

    raise BackendUnavailable(
        f"the Numba backend cannot be loaded ({error}); install it with: pip install numba"
    ) from error


# Kernels that run as plain Python do not wait for each other.
teams = not numba.config.DISABLE_JIT


def describe():
    """What would compute, in a few words."""
    from llvmlite import binding

    return f"Numba {numba.__version__} for {binding.get_host_cpu_name()}"


def _model(real):
    """Pieces, plan, loss, its parameter and function, parameters."""
    return (
        read(types.int64, 1),
        read(types.int64, 2),
        types.int64,
        types.float64,
        types.int64,
        written(real, 1),
    )


def _data(real):
    """Samples, labels, targets, sample weights."""
    return read(real, 2), read(types.int64, 1), read(real, 2), read(real, 1)


_finite = entry(train.finite, by_precision(lambda real: types.boolean(read(real, 1))))

_activation = entry(
    train.activation,
    by_precision(
        lambda real: types.void(
            *(types.int64, types.int64, types.int64, types.int64, read(real, 1), written(real, 2))
        )
    ),
)

_loss_hessian_product = entry(
    losses.loss_hessian_product,
    by_precision(
        lambda real: types.void(
            *(types.int64, types.int64, types.float64, types.int64),
            *(read(real, 2), read(real, 2), read(real, 2), written(real, 2)),
        )
    ),
)

_of_outputs = by_precision(
    lambda real: types.void(
        *_model(real), read(real, 2), types.int64, written(real, 1), written(real, 2)
    )
)
_predict = entry(train.predict, _of_outputs)
_forward = entry(kernels.forward, _of_outputs)

_loss_and_gradient = entry(
    kernels.loss_and_gradient,
    by_precision(
        lambda real: types.float64(
            *_model(real),
            *_data(real),
            types.int64,
            written(real, 1),
            written(real, 1),
            written(real, 1),
            written(types.float64, 2),
            read(types.int64, 1),
            written(types.int64, 1),
            types.int64,
            types.int64,
        )
    ),
)

_per_sample = entry(
    of_samples.per_sample,
    by_precision(
        lambda real: types.void(
            *_model(real),
            *_data(real),
            read(real, 2),
            types.int64,
            written(real, 1),
            written(real, 1),
            written(real, 1),
            written(real, 2),
            written(real, 2),
            written(real, 2),
        )
    ),
)

_backward = entry(
    kernels.backward,
    by_precision(
        lambda real: types.void(
            *_model(real),
            read(real, 2),
            read(real, 2),
            written(real, 1),
            written(real, 1),
            written(real, 1),
            written(real, 2),
        )
    ),
)

_input_vjp = entry(
    kernels.input_vjp,
    by_precision(
        lambda real: types.void(
            *_model(real),
            *(read(real, 2), read(real, 2)),
            *(written(real, 1), written(real, 1), written(real, 1), written(real, 2)),
        )
    ),
)

_jets = entry(
    of_lines.jets,
    by_precision(
        lambda real: types.void(
            *_model(real),
            *(read(real, 2), read(real, 3), types.int64, types.int64),
            *(written(real, 1), written(real, 3)),
        )
    ),
)

_jets_backward = entry(
    of_lines.jets_backward,
    by_precision(
        lambda real: types.void(
            *_model(real),
            *(read(real, 2), read(real, 3), types.int64, read(real, 3)),
            *(written(real, 1), written(real, 1), written(real, 1)),
        )
    ),
)

_input_derivatives = entry(
    backward.input_derivatives,
    by_precision(
        lambda real: types.void(
            *_model(real),
            *(read(real, 2), read(real, 2), types.int64, types.int64),
            *(written(real, 1), written(real, 1), written(real, 3), written(real, 3)),
        )
    ),
)

_sobolev_gradient = entry(
    kernels.sobolev_gradient,
    by_precision(
        lambda real: types.float64(
            *_model(real),
            *_data(real),
            *(read(real, 3), read(types.int64, 1), types.float64, types.boolean, types.float64),
            *(types.int64, written(real, 1), written(real, 1), written(real, 1)),
            *(written(types.float64, 2), types.int64, types.int64, read(types.int64, 1)),
        )
    ),
)

_hessian_product = entry(
    hessian.hessian_product,
    by_precision(
        lambda real: types.void(
            *_model(real),
            *_data(real),
            *(read(real, 1), types.float64),
            *(written(real, 1), written(real, 1), written(real, 1)),
        )
    ),
)

_loss_deltas = entry(
    hessian.loss_deltas,
    by_precision(
        lambda real: types.void(
            *_model(real),
            *_data(real),
            *(read(real, 2), types.int64),
            *(written(real, 1), written(real, 1), written(real, 2)),
        )
    ),
)


def use_product(address):
    """Let networks made from now on call another product of matrices rounded to bfloat16.

    It is a C function, such as that of the Cython kernels, which uses the processor's tiles.
    """
    if not numba.config.DISABLE_JIT and BFLOAT16_PRODUCT.elsewhere != address:
        BFLOAT16_PRODUCT.elsewhere = address
        table.cache_clear()


def finite(array):
    return _finite(array.dtype)(array.reshape(-1))


def activation(code, s, out):
    out[0], out[1], out[2:] = s, 1, code != spec.IDENTITY
    if code != spec.IDENTITY:
        _activation(s.dtype)(*(piece.address(s.dtype) for piece in ACTIVATIONS[code][:-1]), s, out)


def loss_hessian_product(model, s, y, v, out):
    if model.loss == spec.HEADS:
        out[...] = np.nan
        return
    n, activation = int(model.plan[-1, SIZE]), int(model.plan[-1, PAIRED])
    piece = pairs.hessian_product(model.loss, activation).address(s.dtype)
    numbers = model.function, model.loss_parameter, n
    _loss_hessian_product(s.dtype)(piece, *numbers, s, y, v, out)


def predict(model, X, block, workspace, out):
    pieces = with_samples(table(X.dtype, model.plan.tobytes(), losses_of(model), True, False), X)
    _predict(X.dtype)(pieces, *model, dense_part(X), block, workspace, out)


def forward(model, X, workspace, out):
    pieces = table(X.dtype, model.plan.tobytes(), losses_of(model), True, False)
    _forward(X.dtype)(pieces, *model, X, len(X), workspace, out)


def backward(model, X, deltas, workspace, transposed, gradient, errors):
    pieces = table(X.dtype, model.plan.tobytes(), losses_of(model), False, True)
    _backward(X.dtype)(pieces, *model, X, deltas, workspace, transposed, gradient, errors)


def input_vjp(model, X, v, workspace, transposed, gradient, errors):
    what = X.dtype, model.plan.tobytes(), losses_of(model), True, True
    pieces = table(*what, output_order=1)
    _input_vjp(X.dtype)(pieces, *model, X, v, workspace, transposed, gradient, errors)


def loss_and_gradient(model, data, *rest):
    X, dtype = data.X, data.X.dtype
    pieces = with_samples(table(dtype, model.plan.tobytes(), losses_of(model), False, True), X)
    return _loss_and_gradient(dtype)(pieces, *model, dense_part(X), *data[1:], *rest)


def per_sample(model, data, deltas, block, workspace, transposed, losses, gradients, errors, units):
    dtype = data.X.dtype
    pieces = table(dtype, model.plan.tobytes(), losses_of(model), True, True)
    _per_sample(dtype)(
        *(pieces, *model, *data, deltas, block, workspace, transposed),
        *(losses, gradients, errors, units),
    )


def _pieces_of_jets(model, order, adjoints=False):
    """The pieces for derivatives along lines, with the activations' derivatives up to an order."""
    dtype, plan = model.parameters.dtype, model.plan.tobytes()
    return table(dtype, plan, losses_of(model), False, False, None, order, adjoints=adjoints)


def jets(model, X, directions, seconds, block, workspace, out):
    pieces = _pieces_of_jets(model, 2 if seconds else 1)
    _jets(X.dtype)(pieces, *model, X, directions, seconds, block, workspace, out)


def jets_backward(model, X, directions, seconds, adjoints, workspace, transposed, gradient):
    pieces = _pieces_of_jets(model, 3 if seconds else 2, True)
    _jets_backward(X.dtype)(
        *(pieces, *model, X, directions, seconds, adjoints, workspace, transposed, gradient)
    )


def input_derivatives(model, X, direction, back, block, workspace, transposed, first, second):
    order = 2 if second.size else 1
    what = X.dtype, model.plan.tobytes(), losses_of(model), True, False, None, order
    pieces = table(*what, output_order=order)
    _input_derivatives(X.dtype)(
        *(pieces, *model, X, direction, back, block, workspace, transposed, first, second)
    )


def sobolev_gradient(
    model,
    data,
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
    dtype, plan = dy.dtype, model.plan.tobytes()
    pieces = table(dtype, plan, losses_of(model), False, True, None, 2, adjoints=True)
    return _sobolev_gradient(dtype)(
        *(pieces, *model, *data, dy, order, derivative_weight, back, total, block, workspace),
        *(transposed, gradient, sums, first, last, stop),
    )


def hessian_product(model, data, vector, total, workspace, transposed, out):
    dtype = vector.dtype
    pieces = table(dtype, model.plan.tobytes(), losses_of(model), False, True, None, 2, True)
    _hessian_product(dtype)(*(pieces, *model, *data, vector, total, workspace, transposed, out))


def loss_deltas(model, data, s, block, workspace, losses, deltas):
    pieces = table(s.dtype, model.plan.tobytes(), losses_of(model), False, True)
    _loss_deltas(s.dtype)(pieces, *model, *data, s, block, workspace, losses, deltas)


job = Job
