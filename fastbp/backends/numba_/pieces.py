"""Pieces: kernels that are compiled one by one, when a network first needs them.

A network uses one loss and a few activations, and a training one optimiser. Each is a `Piece`,
which the passes call by its address. They read the addresses from a table, at the indices defined
here. Results are the same bits as with direct calls.
"""

import functools

import numpy as np
from numba import config

from ...basis import spec
from ...basis.heads import heads_at
from ...basis.inputs import table_at
from ...basis.layout import (
    ACTIVATION,
    COLUMNS,
    DROPOUT,
    FUNCTION,
    INPUTS,
    NORM,
    PAIRED,
    ROUNDED,
    SPARSE,
    TOUCHED,
)
from ...basis.memory import address, functions_at
from . import embeddings, heads, hidden, hidden_jets
from .bfloat16 import BFLOAT16_PRODUCT
from .dropout import DROP as DROP_UNITS
from .elementwise import ACTIVATIONS
from .losses import BEGIN_SOFTMAX, LOSSES
from .optimizers import KEEP_SIGNS, UPDATES
from .pairs import hessian_product
from .sparse import GATHER, SCATTER, STEP_TOUCHED

# Indices in the table. The pieces of an activation are at ACTIVATE and the four places below, plus
# its code; those of the user's own come from the plan. VALUES, ENTRY_COLUMNS and STARTS are not
# pieces, but where the arrays of sparse samples lie, see `with_samples`; nor is INPUT_TABLE, whose
# address comes from the plan.
DROP, LOSS, SOFTMAX, OUTPUT, UPDATE, BFLOAT16, HESSIAN, SIGNS = range(8)
GATHER_SPARSE, SCATTER_SPARSE, STEP_SPARSE, VALUES, ENTRY_COLUMNS, STARTS = range(8, 14)
NORMALIZE, NORMALIZE_BACK, PRELU, PRELU_BACK = range(14, 18)
NORMALIZE_JETS, NORMALIZE_JETS_BACK, NORMALIZE_ALONG, NORMALIZE_ALONG_BACK = range(18, 22)
PRELU_JETS, PRELU_JETS_BACK, PRELU_ALONG, PRELU_ALONG_BACK = range(22, 26)
EXPAND, SCATTER_INPUTS, INPUT_TABLE, ACTIVATE = range(26, 30)
MULTIPLY_BY_DERIVATIVE = ACTIVATE + spec.CODES
MULTIPLY_BY_SECOND_DERIVATIVE = MULTIPLY_BY_DERIVATIVE + spec.CODES
MULTIPLY_BY_THIRD_DERIVATIVE = MULTIPLY_BY_SECOND_DERIVATIVE + spec.CODES
HEADS = MULTIPLY_BY_THIRD_DERIVATIVE + spec.CODES  # where the pieces of heads begin
PLACES = HEADS + heads.PLACES


def losses_of(model):
    """The loss of a network as `table` takes it: its code, or the codes of its heads."""
    if model.loss != spec.HEADS:
        return model.loss
    return tuple(heads_at(model.function)[:, spec.HEAD_LOSS].astype(int).tolist())


@functools.lru_cache(maxsize=1024)
def table(
    dtype,
    plan,
    loss,
    output,
    deltas,
    optimizer=None,
    order=0,
    hessian=False,
    signed=False,
    adjoints=False,
    output_order=0,
):
    """Return the addresses that kernels need for a network.

    Parameters
    ----------
    dtype : numpy.dtype
    plan : bytes
        The network's plan; bytes are hashable, so the results can be cached.
    loss : int or tuple of int
        As `losses_of` returns it.
    output : bool
        Whether the network's output is computed.
    deltas : bool
        Whether deltas are computed, which the backward pass begins with.
    optimizer : int or None
        The optimiser's code, None if no steps are taken.
    order : int
        The highest derivative of the activations that is needed, besides that for `deltas`.
    hessian : bool
        Whether products with the loss's Hessian are computed.
    signed : bool
        Whether steps keep the signs of weights.
    adjoints : bool
        Whether the way back through jets is computed.
    output_order : int
        The highest derivative of the output activation that is needed, of an output that is
        computed.

    Returns
    -------
    int64 array
    """
    plan = np.frombuffer(plan, np.int64).reshape(-1, COLUMNS)
    pieces = {}
    paired = int(plan[-1, PAIRED])
    if paired != spec.IDENTITY and (output or deltas):
        pieces[ACTIVATE + paired] = ACTIVATIONS[paired].activate
        if deltas:
            pieces[MULTIPLY_BY_DERIVATIVE + paired] = ACTIVATIONS[paired].multiply_by_derivative
    if output_order > 0:
        pieces |= _slopes_of_output(loss, paired, output_order)
    own = plan[:, FUNCTION] != 0
    used = set(plan[1:-1, ACTIVATION][~own[1:-1]].tolist())
    for code in used - {spec.IDENTITY, spec.PRELU}:
        activation = ACTIVATIONS[code]
        pieces[ACTIVATE + code] = activation.activate
        if deltas or order > 0:
            pieces[MULTIPLY_BY_DERIVATIVE + code] = activation.multiply_by_derivative
        if order > 1:
            second = activation.multiply_by_second_derivative
            pieces[MULTIPLY_BY_SECOND_DERIVATIVE + code] = second
        if order > 2:
            third = activation.multiply_by_third_derivative
            pieces[MULTIPLY_BY_THIRD_DERIVATIVE + code] = third
    of_norm, of_prelu = _of_hidden_layers(order, hessian, adjoints)
    if plan[:, NORM].any():
        pieces |= of_norm
    if spec.PRELU in used:
        pieces |= of_prelu
    if plan[:, DROPOUT].any():
        pieces[DROP] = DROP_UNITS
    if plan[:, ROUNDED].any():
        pieces[BFLOAT16] = BFLOAT16_PRODUCT
    if plan[0, INPUTS]:
        pieces[EXPAND] = embeddings.EXPAND
        if deltas:
            pieces[SCATTER_INPUTS] = embeddings.SCATTER
    if plan[1, SPARSE]:
        pieces[GATHER_SPARSE] = GATHER
        if deltas:
            pieces[SCATTER_SPARSE] = SCATTER
        if plan[1, SPARSE] == TOUCHED:
            pieces[STEP_SPARSE] = STEP_TOUCHED
    if isinstance(loss, tuple):
        pieces.update(_of_heads(loss, output, deltas, hessian))
    else:
        if output and LOSSES[loss].output:
            pieces[OUTPUT] = LOSSES[loss].output
        if deltas:
            pieces[LOSS] = LOSSES[loss].losses_and_deltas
        if deltas and loss == spec.CROSS_ENTROPY:
            pieces[SOFTMAX] = BEGIN_SOFTMAX
        if hessian:
            pieces[HESSIAN] = hessian_product(loss, paired)
    if optimizer is not None:
        pieces[UPDATE] = UPDATES[optimizer]
    if signed:
        pieces[SIGNS] = KEEP_SIGNS
    addresses = np.zeros(PLACES, object if config.DISABLE_JIT else np.int64)
    for place, piece in pieces.items():
        addresses[place] = piece.address(dtype)
    if plan[0, INPUTS]:
        addresses[INPUT_TABLE] = place_of(table_at(plan[0, INPUTS]))
    for layer in plan[own]:
        addresses[ACTIVATE + layer[ACTIVATION] : HEADS : spec.CODES] = functions_at(layer[FUNCTION])
    return addresses


def _slopes_of_output(loss, paired, order):
    """The pieces for σ_m' and, of order 2, σ_m''; softmax, exp and identity have none."""
    code = spec.SIGMOID if loss == spec.LOG_LOSS else paired
    if code == spec.IDENTITY:
        return {}
    _, first, second, *_ = ACTIVATIONS[code]
    found = {MULTIPLY_BY_DERIVATIVE + code: first}
    return found | ({MULTIPLY_BY_SECOND_DERIVATIVE + code: second} if order > 1 else {})


def _of_hidden_layers(order, hessian, adjoints):
    """The pieces of normalised layers, and those of prelu; the arguments are as for `table`."""
    if hessian:
        return {
            NORMALIZE_JETS: hidden_jets.NORMALIZE_JETS,
            NORMALIZE_ALONG: hidden_jets.NORMALIZE_ALONG,
            NORMALIZE_ALONG_BACK: hidden_jets.NORMALIZE_ALONG_BACK,
        }, {
            PRELU_ALONG: hidden_jets.PRELU_ALONG,
            PRELU_ALONG_BACK: hidden_jets.PRELU_ALONG_BACK,
        }
    if order > 0:
        of_norm = {NORMALIZE_JETS: hidden_jets.NORMALIZE_JETS}
        of_prelu = {PRELU_JETS: hidden_jets.PRELU_JETS}
        if adjoints:
            of_norm[NORMALIZE_JETS_BACK] = hidden_jets.NORMALIZE_JETS_BACK
            of_prelu[PRELU_JETS_BACK] = hidden_jets.PRELU_JETS_BACK
        return of_norm, of_prelu
    return (
        {NORMALIZE: hidden.NORMALIZE, NORMALIZE_BACK: hidden.NORMALIZE_BACK},
        {PRELU: hidden.PRELU, PRELU_BACK: hidden.PRELU_BACK},
    )


def _of_heads(losses, output, deltas, hessian):
    """The pieces that heads with these losses need, by place."""
    pieces = {}
    if output:
        pieces[OUTPUT] = heads.OUTPUT
    if deltas:
        pieces[LOSS] = heads.DELTAS
        pieces[HEADS + heads.SUMS] = heads.SUMS_OF_LOSSES
        pieces[HEADS + heads.TOTALS] = heads.TOTALS_OF_LOSSES
    if hessian:
        pieces[HESSIAN] = heads.HESSIAN
    for code in losses:
        if output and LOSSES[code].output:
            pieces[HEADS + heads.OUTPUTS + code] = LOSSES[code].output
        if deltas:
            pieces[HEADS + heads.LOSSES + code] = LOSSES[code].losses_and_deltas
        if deltas and code == spec.CROSS_ENTROPY:
            pieces[HEADS + heads.SOFTMAX] = BEGIN_SOFTMAX
        if hessian:
            pieces[HEADS + heads.HESSIANS + code] = LOSSES[code].hessian_product
    return pieces


def dense_part(X):
    """Samples as kernels take them: sparse ones without numbers, which are in the table."""
    return X if isinstance(X, np.ndarray) else np.empty((len(X), 0), X.dtype)


def with_samples(table, X):
    """Return a table with the addresses of sparse samples; for dense ones the same table."""
    if isinstance(X, np.ndarray):
        return table
    table = table.copy()
    for place, array in (VALUES, X.values), (ENTRY_COLUMNS, X.columns), (STARTS, X.starts):
        table[place] = place_of(array)
    return table


def place_of(array):
    """The address of an array; for kernels that run as plain Python, the array as a flat view."""
    return array.reshape(-1) if config.DISABLE_JIT else address(array)
