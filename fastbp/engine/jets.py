"""Derivatives of the outputs by the inputs, and of functions of them by the parameters.

Rows are divided into blocks whose size depends on the network and on what is asked for only. So the
number of threads changes no bit: rows do not depend on each other, and gradients of blocks are
added in their order, in double precision.
"""

import numpy as np

from ..basis import inputs, interrupts, teams
from ..basis.layout import BLOCK_BYTES, SUMS_BYTES, S, layer_view
from . import buffers, output, output_jets
from .engine import ALL_ROWS, SLICE_FLOPS

# Products of fewer rows are slow.
FEWEST_ROWS = 64
# Threads add up the gradients of blocks in at most so many groups.
MOST_GROUPS = 16
# The blocks of a `JetPass`, whose calls come in both directions, take about this many bytes.
PASS_BYTES = 8 * BLOCK_BYTES
# The activation of a unit takes about as long as so many products with weights.
ELEMENTWISE = 8
# A `JetPass` keeps its workspaces if they have at most this many bytes.
KEPT_BYTES = 1 << 28
# What messages call it.
BY_INPUTS = "derivatives by X"


def input_jvp(engine, X, t):
    """J t for the Jacobian J = ∂h_m/∂h_0 of each row; t has the shape of X."""
    inputs.refuse(engine.layout, BY_INPUTS)
    if engine.heads:
        return np.einsum("rkj,rj->rk", _jacobian_by_outputs(engine, X), t)
    return _by_inputs(engine, X, False, direction=t)[:, :, 0]


def input_vjp(engine, X, v, gradient=None):
    """vᵀ J of each row, of the shape of X; v has shape (n, n_m).

    ∂f/∂parameters of f = Σ v h_m is written to `gradient`, if given. It is laid out like the
    parameters, and zero on entry.
    """
    inputs.refuse(engine.layout, BY_INPUTS)
    layout, n = engine.layout.for_derivatives, len(X)
    model, backend = engine.model_of(layout), engine.backend
    errors = np.empty_like(X)
    block = block_rows(layout, n, 1, gradient is not None)
    nothing = np.empty(0, layout.dtype)

    def call(rows, gradient):
        x, count = X[rows], len(X[rows])
        workspace = buffers.take(layout, layout.workspace_size(count))
        transposed = buffers.take(layout, layout.n_all_transposed)
        if engine.heads:
            h = np.empty((count, layout.sizes[-1]), layout.dtype)
            backend.forward(model, x, workspace, h)
            s = layer_view(layout.plan, workspace, count, -1, S)
            deltas = output.pass_back(engine, s, h, v[rows])
            backend.backward(model, x, deltas, workspace, transposed, gradient, errors[rows])
        else:
            backend.input_vjp(model, x, v[rows], workspace, transposed, gradient, errors[rows])
        buffers.give(workspace, transposed)

    if gradient is None:
        _in_blocks(engine, n, block, 2, lambda rows: call(rows, nothing))
    else:
        _summed(engine, n, block, 3, call, gradient)
    return errors


def input_jacobian(engine, X):
    """∂h_m/∂h_0 of each row, of shape (n, n_m, n_0)."""
    inputs.refuse(engine.layout, BY_INPUTS)
    if engine.heads:
        return _jacobian_by_outputs(engine, X)
    back = _back_is_less_work(engine.layout.sizes, True, 0)
    if back and engine.layout.special:
        return _jacobian_by_outputs(engine, X)
    return _by_inputs(engine, X, back)


def _jacobian_by_outputs(engine, X):
    """The same, by a pass back for each output, which goes through all kinds of networks."""
    n_out = engine.layout.sizes[-1]
    found = np.empty((len(X), n_out, X.shape[1]), X.dtype)
    for k in range(n_out):
        v = np.zeros((len(X), n_out), X.dtype)
        v[:, k] = 1
        found[:, k] = input_vjp(engine, X, v)
    return found


def input_hessian_diagonal(engine, X):
    """∂²h_mj/∂h_0k² of each row, of shape (n, n_m, n_0)."""
    return _second_derivatives(engine, X, X.shape[1])


def input_laplacian(engine, X):
    """Σ_k ∂²h_mj/∂h_0k² of each row, of shape (n, n_m)."""
    return _second_derivatives(engine, X, 1)[:, :, 0]


def _second_derivatives(engine, X, width):
    """∂²h_mj/∂h_0k² of each row, of shape (n, n_m, n_0), or their sum over k if `width` is 1."""
    inputs.refuse(engine.layout, BY_INPUTS)
    engine.check_one_loss("a second derivative by the inputs")
    engine.check_activations(2, "second derivatives by the inputs")
    slopes = engine.output_activation != "identity"
    back = not engine.layout.special and _back_is_less_work(engine.layout.sizes, slopes, width)
    return _by_inputs(engine, X, back, width)


def _back_is_less_work(sizes, slopes, width):
    """Whether derivatives by the inputs take fewer operations from the outputs back than forward.

    `slopes` tells whether slopes are needed on the way back; forward, there are some in any case.
    """
    products = [a * b for a, b in zip(sizes, sizes[1:], strict=False)]
    first, inner, of_units = products[0], sum(products[1:-1]), ELEMENTWISE * sum(sizes[1:-1])
    forward = (sizes[0] + width) * (sum(products[1:]) + of_units)
    back = sizes[-1] * (inner + of_units + first * (slopes + (width > 1)))
    if width:
        back += sizes[0] * inner
    return back <= forward


def hessian_product(engine, data, vector):
    """The Hessian of the mean loss by the parameters, times a vector in the parameters' layout."""
    inputs.refuse(engine.layout, "products with the Hessian")
    engine.check_activations(2, "products with the Hessian")
    layout, total = engine.layout.for_derivatives, data.total_weight()
    model = engine.model_of(layout)
    product = layout.zeros(layout.n_parameters)

    def call(rows, product):
        part = data if rows is ALL_ROWS else data.rows(rows)
        workspace = buffers.take(layout, layout.jet_workspace_size(len(part.X), 2))
        transposed = buffers.take(layout, 2 * layout.n_transposed)
        engine.backend.hessian_product(model, part, vector, total, workspace, transposed, product)
        buffers.give(workspace, transposed)

    n = len(data.X)
    _summed(engine, n, block_rows(layout, n, 2, True), 6, call, product)
    return product


def loss_deltas(engine, data, s):
    """(e, ∂e/∂s_m) of each row for given s_m; neither samples nor weights are read."""
    layout, n = engine.layout.for_derivatives, len(s)
    losses, deltas = np.empty(n, layout.dtype), np.empty_like(s)
    block = layout.block_rows(n)
    workspace = buffers.take(layout, layout.workspace_size(block))

    def call():
        engine.backend.loss_deltas(
            engine.model_of(layout), data, s, block, workspace, losses, deltas
        )

    engine.run(call, 0)
    buffers.give(workspace)
    return losses, deltas


class JetPass:
    """The outputs of rows with their derivatives, and the way back from them.

    Parameters
    ----------
    engine : Engine
    X : ndarray of shape (n, n_0)
        Checked samples.
    seconds : int
        K for the second derivatives in each direction, 1 for their sum, 0 for none.
    directions : ndarray of shape (K, n, n_0), optional
        K directions for each row; by default the K = n_0 unit vectors.
    spare : dict, optional
        Takes the workspaces by their sizes once they are free, for the next of many passes alike.

    Attributes
    ----------
    s, h : ndarray of shape (P, n, n_m)
        Jets of the last pre-activations and of the outputs: values, K sets of first derivatives
        and the second ones.
    """

    def __init__(self, engine, X, seconds, directions=None, spare=None):
        what = "trainings on derivatives by the inputs"
        inputs.refuse(engine.layout, what)
        engine.check_one_loss("a training on derivatives by the inputs")
        engine.check_activations(3 if seconds else 2, what)
        self._engine, self._X, self._seconds = engine, X, seconds
        self._directions, self._spare = directions, spare
        self._layout = layout = engine.layout.for_derivatives
        self._K = X.shape[1] if directions is None else len(directions)
        n, self._sets = len(X), 1 + self._K + seconds
        self._block = block_rows(layout, n, self._sets, True, PASS_BYTES)
        self._workspaces = {}
        size = layout.jet_workspace_size(self._block, self._sets) * layout.dtype.itemsize
        self._keeping = -(-n // self._block) * size <= KEPT_BYTES
        self.s = np.empty((self._sets, n, layout.sizes[-1]), layout.dtype)
        _in_blocks(engine, n, self._block, self._sets, self._forward, every=True)
        self.h = output_jets.jets(self._activation, self.s, self._K)

    @property
    def _activation(self):
        return self._engine.output_activation

    def _forward(self, rows):
        """Write the jets of a block, and keep its workspace."""
        workspace = self._run(rows, self.s)
        if self._keeping:
            self._workspaces[rows.start or 0] = workspace
        else:
            self._give(workspace)

    def _run(self, rows, s):
        engine, layout, X = self._engine, self._layout, self._X[rows]
        workspace = self._take(layout.jet_workspace_size(len(X), self._sets))
        out = s if rows is ALL_ROWS else np.empty_like(s[:, rows])
        directions = self._of_rows(rows)
        engine.backend.jets(
            *(engine.model_of(layout), X, directions, self._seconds, len(X), workspace, out)
        )
        if out is not s:
            s[:, rows] = out
        return workspace

    def _of_rows(self, rows):
        """The directions of some rows, for the backends."""
        if self._directions is None:
            return _unit_vectors(self._X[rows])
        return np.ascontiguousarray(self._directions[:, rows])

    def _take(self, size):
        """A workspace of that size."""
        free = self._spare.get(size) if self._spare else None
        return free.pop() if free else buffers.take(self._layout, size)

    def _give(self, workspace):
        if self._spare is None:
            buffers.give(workspace)
        else:
            self._spare.setdefault(workspace.size, []).append(workspace)

    def backward(self, by_s=None, by_h=None):
        """∂f/∂parameters, flat, of a function f of the jets; it may be called once.

        Parameters
        ----------
        by_s : ndarray of shape (n, n_m), optional
            ∂f/∂s_m by the values of the pre-activations, such as ``loss_deltas`` gives.
        by_h : ndarray of shape (P, n, n_m), optional
            ∂f/∂h by the jets of the outputs.
        """
        engine, layout, s = self._engine, self._layout, self.s
        if by_h is None:
            adjoints = np.zeros_like(s)
        else:
            adjoints = output_jets.adjoints(self._activation, s, self.h, self._K, by_h)
        if by_s is not None:
            adjoints = adjoints.copy() if adjoints is by_h else adjoints
            adjoints[0] += by_s
        model = engine.model_of(layout)
        gradient = layout.zeros(layout.n_parameters)

        def call(rows, gradient):
            X = self._X[rows]
            workspace = self._workspaces.pop(rows.start or 0, None)
            if workspace is None:
                workspace = self._run(rows, np.empty_like(s))
            transposed = buffers.take(layout, layout.n_transposed)
            engine.backend.jets_backward(
                *(model, X, self._of_rows(rows), self._seconds),
                *(np.ascontiguousarray(adjoints[:, rows]), workspace, transposed, gradient),
            )
            self._give(workspace)
            buffers.give(transposed)

        _summed(engine, len(self._X), self._block, 2 * self._sets, call, gradient)
        return gradient


def _unit_vectors(X):
    """Directions for the backends: the unit vectors."""
    return np.empty((0, *X.shape), X.dtype)


def _by_inputs(engine, X, back, width=0, direction=None):
    """Derivatives of h_m by each input or along a direction, of shape (n, n_m, K).

    With a `width`, second ones instead: by each input, or their sum for 1. They go `back` from the
    outputs or forward.
    """
    layout, (n, n_in) = engine.layout.for_derivatives, X.shape
    model, n_out, dtype = engine.model_of(layout), layout.sizes[-1], layout.dtype
    K, t = (n_in, np.empty((0, n_in), dtype)) if direction is None else (1, direction)
    sets = 1 + K + width
    if back:
        sets = 1 + max(n_out, n_in if width else 0)
    block = block_rows(layout, n, sets)
    size = layout.jet_workspace_size(block, sets)
    slopes = not width or engine.output_activation != "identity"
    first = np.empty((n if slopes else 0, n_out, K), dtype)
    second = np.empty((n if width else 0, n_out, width or 1), dtype)

    def call(rows):
        workspace = buffers.take(layout, size)
        transposed = buffers.take(layout, layout.n_transposed_and_squares if back else 0)
        part = X, t, first, second
        if rows is not ALL_ROWS:
            part = X[rows], t[rows], first[rows], second[rows]
        x, along, *found = part
        engine.backend.input_derivatives(
            model, x, along, int(back), block, workspace, transposed, *found
        )
        buffers.give(workspace, transposed)

    _in_blocks(engine, n, block, sets, call)
    return second if width else first


def block_rows(layout, n, sets, gradient=False, size=BLOCK_BYTES):
    """How many of n rows go through the network at a time, with `sets` values of each unit.

    As in ``Layout.block_rows``, blocks are larger if each passes over a large gradient.
    """
    numbers = sets * layout.workspace_size(1)
    most = size // layout.dtype.itemsize
    if gradient:
        most = max(most, 4 * layout.n_parameters)
    return min(n, max(most // numbers, -(-FEWEST_ROWS // sets)))


def _plan(engine, n, block, passes, most):
    """(number of threads, rows between two looks for Ctrl-C), for n rows in blocks.

    A row takes as many operations as that many forward passes. At most `most` threads have work.
    """
    flops, threads = engine.layout.flops_per_row * passes / 3, 1
    if most > 1 and engine.backend.teams:
        threads = teams.automatic(flops * n, 0, most)
    return threads, threads * block * max(1, int(SLICE_FLOPS / (flops * block)))


def _in_blocks(engine, n, block, passes, call, every=False):
    """Call ``call(rows)`` for all rows, in threads if that pays.

    `rows` is ALL_ROWS, or a slice of some blocks; with `every`, of a single one.
    """
    if n <= block:
        call(ALL_ROWS)
        engine.raise_of_activations()
        return
    blocks = -(-n // block)
    threads, size = _plan(engine, n, block, passes, blocks)

    def run(first, last):
        step = block if every else last - first
        for start in range(first, last, step):
            call(slice(start, min(start + step, last)))

    for first in range(0, n, size):
        last = min(n, first + size)
        count = -(-(last - first) // block)

        def member(rank, first=first, last=last, count=count):
            start, end = (first + block * (count * k // threads) for k in (rank, rank + 1))
            if start < last and start < end:
                run(start, min(end, last))

        if threads == 1:
            run(first, last)
        else:
            teams.run(member, threads)
        engine.raise_of_activations()


def _summed(engine, n, block, passes, call, gradient):
    """Sum the gradients that ``call(rows, gradient)`` writes for each block of rows."""
    if n <= block:
        call(ALL_ROWS, gradient)
        engine.raise_of_activations()
        return
    blocks, size = -(-n // block), gradient.size
    groups = max(1, min(blocks, MOST_GROUPS, SUMS_BYTES // (8 * size)))
    threads, _ = _plan(engine, n, block, passes, groups)
    sums, stop = np.empty((groups, size)), np.zeros(1, np.int64)

    def member(rank):
        own = buffers.take(engine.layout, size, zeroed=True)
        for group in range(groups * rank // threads, groups * (rank + 1) // threads):
            total = sums[group]
            total[...] = 0
            for b in range(blocks * group // groups, blocks * (group + 1) // groups):
                if stop[0]:
                    return
                call(slice(b * block, min((b + 1) * block, n)), own)
                total += own
        buffers.give(own)

    if threads == 1:
        member(0)
    else:
        with interrupts.held(stop):
            teams.run(member, threads)
    for line in sums[1:]:
        sums[0] += line
    gradient[...] = sums[0]
    engine.raise_of_activations()
