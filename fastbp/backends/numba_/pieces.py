"""Pieces: kernels that are compiled one by one, when a network first needs them.

A network uses one loss and a few activations, and a training one optimiser. Each is a `Piece`,
which the passes call by its address. They read the addresses from a table, at the indices defined
here. Results are the same bits as with direct calls.
"""

import ctypes
import functools

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ...basis import spec
from ...basis.layout import ACTIVATION, COLUMNS, DROPOUT
from ._jit import inner
from .dropout import DROP as DROP_UNITS
from .elementwise import ACTIVATIONS
from .losses import BEGIN_SOFTMAX, CROSS_ENTROPY, OUTPUTS, POINTWISE
from .optimizers import UPDATES

# Indices in the table. σ and σ' of an activation are at ACTIVATE and DERIVE plus its code.
DROP, LOSS, SOFTMAX, OUTPUT, UPDATE, ACTIVATE = range(6)
DERIVE = ACTIVATE + len(spec.ACTIVATIONS)
PLACES = DERIVE + len(spec.ACTIVATIONS)

if config.DISABLE_JIT:

    def call(function, arguments):
        if isinstance(function, int):  # the address of a custom loss
            kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 3)
            function = kind(function)
            arguments = (*arguments[:3], *(array.ctypes.data for array in arguments[3:]))
        function(*arguments)

else:

    @intrinsic
    def call(typingctx, address, arguments):
        """Call the function at an address with a tuple of pointers, integers and float64s."""
        kinds = [types.unliteral(kind) for kind in arguments]
        kinds = [types.intp if isinstance(kind, types.Integer) else kind for kind in kinds]

        def codegen(context, builder, signature, args):
            address, values = args[0], cgutils.unpack_tuple(builder, args[1])
            values = [
                context.cast(builder, value, given, kind)
                for value, given, kind in zip(values, arguments, kinds, strict=True)
            ]
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
            builder.call(builder.inttoptr(address, kind.as_pointer()), values)
            return context.get_dummy_value()

        return types.void(types.int64, arguments), codegen


@inner
def call_function(function, rows, n, stride, s, y, unwritten):
    """Call a custom loss; set its losses to NaN if it has not written them."""
    unwritten[0] = 1.0
    call(function, (rows, n, stride, s, y, unwritten))
    if unwritten[0] != 0.0:
        for r in range(rows):
            y[r * stride] = np.nan


@functools.lru_cache(maxsize=1024)
def table(dtype, plan, loss, output, deltas, optimizer=None):
    """Return the addresses that kernels need for a network.

    Parameters
    ----------
    dtype : numpy.dtype
    plan : bytes
        The network's plan; bytes are hashable, so the results can be cached.
    loss : int
        The loss's code.
    output : bool
        Whether the network's output is computed.
    deltas : bool
        Whether deltas are computed, which the backward pass begins with.
    optimizer : int or None
        The optimiser's code, None if no steps are taken.

    Returns
    -------
    int64 array
    """
    plan = np.frombuffer(plan, np.int64).reshape(-1, COLUMNS)
    pieces = {}
    for code in set(plan[1:-1, ACTIVATION].tolist()) - {spec.IDENTITY}:
        pieces[ACTIVATE + code], derivative = ACTIVATIONS[code]
        if deltas:
            pieces[DERIVE + code] = derivative
    if plan[:, DROPOUT].any():
        pieces[DROP] = DROP_UNITS
    if output and loss in OUTPUTS:
        pieces[OUTPUT] = OUTPUTS[loss]
    if deltas and loss == spec.CROSS_ENTROPY:
        pieces[SOFTMAX], pieces[LOSS] = BEGIN_SOFTMAX, CROSS_ENTROPY
    elif deltas and loss != spec.CUSTOM:
        pieces[LOSS] = POINTWISE[loss]
    if optimizer is not None:
        pieces[UPDATE] = UPDATES[optimizer]
    addresses = np.zeros(PLACES, object if config.DISABLE_JIT else np.int64)
    for place, piece in pieces.items():
        addresses[place] = piece.address(dtype)
    return addresses
