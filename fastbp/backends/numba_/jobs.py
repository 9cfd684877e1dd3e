"""The job of a training: its numbers and addresses in two arrays, gathered once.

A kernel that is called with all of them would look at each array anew in every call.
"""

import numpy as np
from numba import config, types

from . import fields, kernels
from ._jit import by_precision, entry, read, written
from .pieces import dense_part, losses_of, place_of, table, with_samples


def _of_job(real):
    return read(types.int64, 1), read(types.float64, 1)


_train = entry(
    kernels.train,
    by_precision(
        lambda real: types.int64(
            *_of_job(real),
            *(read(real, 2), read(types.int64, 1), read(real, 2), read(real, 1)),
            read(types.int64, 2),
            types.int64,
            read(types.float64, 1),
            written(types.float64, 1),
            types.int64,
        )
    ),
)

_apply_gradient = entry(
    kernels.apply_gradient,
    by_precision(
        lambda real: types.void(*_of_job(real), written(real, 1), types.float64, types.float64)
    ),
)


class Job:
    """A training; see `interface.Job`."""

    def __init__(
        self,
        model,
        data,
        *,
        batch_size,
        optimizer,
        hyper,
        layer_rules,
        sklearn_penalties,
        clip_norm,
        squares,
        decay,
        average,
        signs,
        seed,
        counters,
        state,
        block,
        workspace,
        transposed,
        gradient,
        sums,
        stop,
        shared,
    ):
        dtype = model.parameters.dtype
        plan, signed = model.plan.tobytes(), signs.size > 0
        pieces = table(dtype, plan, losses_of(model), False, True, optimizer, signed=signed)
        # An optimiser with fewer slots does not look at the others.
        slots = state if len(state) else model.parameters.reshape(1, -1)
        arrays = {
            fields.PLAN: model.plan,
            fields.PIECES: pieces,
            fields.PARAMETERS: model.parameters,
            fields.WORKSPACE: workspace,
            fields.SHARED: shared,
            fields.HYPER: hyper,
            fields.LAYER_RULES: layer_rules,
            fields.SQUARES: squares,
            fields.AVERAGE: average,
            fields.SIGNS: signs,
            fields.COUNTERS: counters,
            fields.FIRST: slots[0],
            fields.SECOND: slots[-1],
            fields.TRANSPOSED: transposed,
            fields.GRADIENT: gradient,
            fields.STOP: stop,
            fields.SUMS: sums,
        }
        self._kept = arrays  # their addresses are good for as long as they live
        kind = object if config.DISABLE_JIT else np.int64
        self._numbers, self._reals = np.empty(fields.WHOLE_NUMBERS, kind), np.empty(fields.REALS)
        for field, value in {
            fields.LAYERS: len(model.plan) - 1,
            fields.LOSS: model.loss,
            fields.FUNCTION: model.function,
            fields.BLOCK: block,
            fields.THREADS: len(counters),
            fields.BATCH_SIZE: batch_size,
            fields.OPTIMIZER: optimizer,
            fields.SKLEARN_PENALTIES: sklearn_penalties,
            fields.CLIPPING: squares.size > 0,
            fields.AVERAGING: average.size > 0,
            fields.SIGNED: signs.size > 0,
            fields.SEED: seed,
            fields.LINE: sums.shape[1],
            fields.LINES: sums.shape[0],
            fields.APART: workspace.size // len(counters),
            **{field: place_of(array) for field, array in arrays.items()},
        }.items():
            self._numbers[field] = value
        self._reals[fields.LOSS_PARAMETER] = model.loss_parameter
        self._reals[fields.CLIP_NORM] = clip_norm
        self._reals[fields.DECAY] = decay
        self._pieces, self._train = pieces, _train(dtype)
        self.take(data)

    def take(self, data):
        self._samples, self._data = data, data._replace(X=dense_part(data.X))
        if self._data.X is not data.X:  # sparse
            self._kept[fields.PIECES] = pieces = with_samples(self._pieces, data.X)
            self._numbers[fields.PIECES] = place_of(pieces)

    def run(self, order, epochs, rates, losses, rank):
        return self._train(
            self._numbers, self._reals, *self._data, order, epochs, rates, losses, rank
        )

    def update(self, rate, total=1.0):
        parameters = self._kept[fields.PARAMETERS]
        _apply_gradient(parameters.dtype)(self._numbers, self._reals, parameters, rate, total)
