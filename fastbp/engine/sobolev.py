"""The mean loss of samples with known derivatives by the inputs, and its gradient.

Rows are divided into blocks, and those into groups, by the network and the size of batches only. So
the number of threads changes no bit.
"""

import numpy as np

from ..basis import teams
from ..basis.layout import BLOCK_BYTES, SUMS_BYTES
from .jets import MOST_GROUPS, block_rows

# The workspace of a block takes about this many bytes.
PASS_BYTES = 2 * BLOCK_BYTES
ALL_IN_ORDER = np.empty(0, np.int64)


def in_one_call(engine):
    """Whether the kernels compute the objective: that of outputs that are the pre-activations."""
    return engine.output_activation == "identity"


class Sobolev:
    """The mean of e + λ/2 Σ (∂h_m/∂h_0 - dy)² over batches of samples, with its gradient.

    Memory and all that is the same in each step is prepared once.

    Parameters
    ----------
    engine : Engine
    data : Data
    dy : real array of shape (n, n_m, n_0), C-contiguous
    derivative_weight : float
        λ.
    batch_size : int
        The most rows of a batch.
    """

    def __init__(self, engine, data, dy, derivative_weight, batch_size):
        self._engine, layout = engine, engine.layout.for_derivatives
        n_in, n_out = layout.sizes[0], layout.sizes[-1]
        back = n_out < n_in and not layout.special
        sets = 1 + (n_out if back else n_in)
        block = block_rows(layout, batch_size, sets, True, PASS_BYTES)
        self._groups, self._threads = 0, 1
        if batch_size > block:
            most = min(MOST_GROUPS, SUMS_BYTES // (8 * layout.line))
            self._groups = max(1, min(-(-batch_size // block), most))
        if self._groups > 1 and engine.backend.teams:
            flops = layout.flops_per_row * sets * batch_size
            self._threads = teams.automatic(flops, 0, self._groups)
        self._rows = batch_size * sets  # as many take as long in a training without derivatives
        self._sums = layout.sums(self._groups)
        self._what = engine.model_of(layout), data, dy
        self._how, self._block = (derivative_weight, back), block
        # Of each thread: its workspace, transposed weights, and gradient of a block.
        self._memory = [
            (
                layout.zeros(layout.jet_workspace_size(block, sets)),
                layout.zeros(layout.n_all_transposed),
                layout.zeros(layout.n_parameters * (rank > 0)),
            )
            for rank in range(self._threads)
        ]

    def __call__(self, order, total, gradient, stop):
        """The mean over a batch, whose gradient is written; NaN if `stop` was set meanwhile.

        The arguments are as for `Backend.sobolev_gradient`.
        """
        engine, sums, groups, threads = self._engine, self._sums, self._groups, self._threads

        def member(rank):
            workspace, transposed, own = self._memory[rank]
            return engine.backend.sobolev_gradient(
                *(*self._what, order, *self._how, total, self._block, workspace, transposed),
                *(own if rank else gradient, sums),
                *(groups * rank // threads, groups * (rank + 1) // threads, stop),
            )

        def call():
            return member(0) if threads == 1 else teams.run(member, threads)

        mean = engine.run(call, self._rows, stop)
        if groups:
            with np.errstate(all="ignore"):
                total_of_groups = sums[0]
                for line in sums[1:]:
                    total_of_groups += line
                gradient[...] = total_of_groups[: gradient.size]
            mean = np.nan if stop[0] else float(total_of_groups[-1])
        if engine.in_python:
            engine.raise_of_activations()
        return mean
