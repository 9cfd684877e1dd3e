"""The Numba backend: ``@njit`` kernels, compiled on first use and cached on disk.

Files, from the inside out: simd (pointers and vectors), vmath (exp, log, tanh, ...), tile
(matrix product), team (threads), dropout, elementwise, losses, optimizers, pieces (those, called by
address), passes, regularizers, train and per_sample (the entry points).
"""

name = "numba"

try:
    import numba
    from numba import types

    from . import per_sample as of_samples
    from . import train as kernels
    from ._jit import entry
    from .pieces import table
except ImportError as error:  # pragma: no cover - numba is a dependency
    from .. import BackendUnavailable

    raise BackendUnavailable(
        f"the Numba backend cannot be loaded ({error}); install it with: pip install numba"
    ) from error


# Where the optimiser's code stands in what `train` takes behind X.
OPTIMIZER = 7

# Kernels that run as plain Python do not wait for each other.
teams = not numba.config.DISABLE_JIT


def describe():
    """What would compute, in a few words."""
    from llvmlite import binding

    return f"Numba {numba.__version__} for {binding.get_host_cpu_name()}"


def _signatures(make):
    return {"float32": make(types.float32), "float64": make(types.float64)}


def _read(dtype, ndim):
    """An array that is only read; writable ones fit too."""
    return types.Array(dtype, ndim, "C", readonly=True)


def _written(dtype, ndim):
    return types.Array(dtype, ndim, "C")


def _data(real):
    """Pieces, plan, loss, its parameter and function, parameters (written by train), samples."""
    return (
        _read(types.int64, 1),
        _read(types.int64, 2),
        types.int64,
        types.float64,
        types.int64,
        _written(real, 1),
        _read(real, 2),
        _read(types.int64, 1),
        _read(real, 2),
        _read(real, 1),
    )


_finite = entry(kernels.finite, _signatures(lambda real: types.boolean(_read(real, 1))))

_predict = entry(
    kernels.predict,
    _signatures(
        lambda real: types.void(
            _read(types.int64, 1),
            _read(types.int64, 2),
            types.int64,
            _written(real, 1),
            _read(real, 2),
            types.int64,
            _written(real, 1),
            _written(real, 2),
        )
    ),
)

_loss_and_gradient = entry(
    kernels.loss_and_gradient,
    _signatures(
        lambda real: types.float64(
            *_data(real),
            types.int64,
            _written(real, 1),
            _written(real, 1),
            _written(real, 1),
            _read(types.int64, 1),
        )
    ),
)

_per_sample = entry(
    of_samples.per_sample,
    _signatures(
        lambda real: types.void(
            *_data(real)[:-1],
            _read(real, 2),
            types.int64,
            _written(real, 1),
            _written(real, 1),
            _written(real, 1),
            _written(real, 2),
            _written(real, 2),
            _written(real, 2),
        )
    ),
)

_train = entry(
    kernels.train,
    _signatures(
        lambda real: types.int64(
            *_data(real),
            _read(types.int64, 2),
            types.int64,
            _read(types.float64, 1),
            types.int64,
            types.int64,
            _read(types.float64, 1),
            _read(types.float64, 2),
            types.int64,
            types.float64,
            _written(types.float64, 1),
            types.float64,
            _written(real, 1),
            types.int64,
            _written(types.float64, 2),
            _written(real, 2),
            types.int64,
            _written(real, 1),
            _written(real, 1),
            _written(real, 1),
            _written(types.float64, 1),
            _read(types.int64, 1),
            _written(types.int64, 1),
            types.int64,
        )
    ),
)


def finite(array):
    return _finite(array.dtype)(array.reshape(-1))


def predict(plan, loss, parameters, X, block, workspace, out):
    pieces = table(X.dtype, plan.tobytes(), loss, True, False)
    _predict(X.dtype)(pieces, plan, loss, parameters, X, block, workspace, out)


def loss_and_gradient(plan, loss, loss_parameter, function, parameters, X, *rest):
    pieces = table(X.dtype, plan.tobytes(), loss, False, True)
    return _loss_and_gradient(X.dtype)(
        pieces, plan, loss, loss_parameter, function, parameters, X, *rest
    )


def per_sample(plan, loss, loss_parameter, function, parameters, X, *rest):
    pieces = table(X.dtype, plan.tobytes(), loss, True, True)
    _per_sample(X.dtype)(pieces, plan, loss, loss_parameter, function, parameters, X, *rest)


def train(plan, loss, loss_parameter, function, parameters, X, *rest):
    pieces = table(X.dtype, plan.tobytes(), loss, False, True, rest[OPTIMIZER])
    return _train(X.dtype)(pieces, plan, loss, loss_parameter, function, parameters, X, *rest)
