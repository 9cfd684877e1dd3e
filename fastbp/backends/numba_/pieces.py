"""Pieces: kernels that are compiled one by one, when a network first needs them.

A network has one loss and a few activations, a training one optimiser, of all there are. Each is a
`Piece`, which the passes call by its address. They find the addresses in a table, in the places
named here. To a kernel that is one more way to call a function: bits do not depend on it.
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

# Places in the table. σ and σ' of an activation are at ACTIVATE and DERIVE plus its code.
DROP, LOSS, SOFTMAX, OUTPUT, UPDATE, ACTIVATE = range(6)
DERIVE = ACTIVATE + len(spec.ACTIVATIONS)
PLACES = DERIVE + len(spec.ACTIVATIONS)

if config.DISABLE_JIT:

    def call(function, arguments):
        if isinstance(function, int):  # the address of a loss of the user's own
            kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 3)
            function = kind(function)
            arguments = (*arguments[:3], *(array.ctypes.data for array in arguments[3:]))
        function(*arguments)

else:

    @intrinsic
    def call(typingctx, address, arguments):
        """Call a piece with a tuple of pointers, whole numbers and float64 numbers."""
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
    """Call a loss of the user's own; its losses are NaN if it has not written them."""
    unwritten[0] = 1.0
    call(function, (rows, n, stride, s, y, unwritten))
    if unwritten[0] != 0.0:
        for r in range(rows):
            y[r * stride] = np.nan


@functools.lru_cache(maxsize=1024)
def table(dtype, plan, loss, output, deltas, optimizer=None):
    """The addresses that kernels need for a network.

    Parameters
    ----------
    dtype : numpy.dtype
    plan : bytes
        The network's plan, as what it holds can be looked up fast.
    loss : int
        The loss's code.
    output : bool
        Whether the network's output is wanted.
    deltas : bool
        Whether deltas are wanted, on which everything behind the forward pass depends.
    optimizer : int or None
        The code of the optimiser, if there will be steps.

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
