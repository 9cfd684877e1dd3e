"""Engine: a network as numbers, and its calls of a backend.

`Network` is the public face: it checks and explains. All other code works with the engine.
"""

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np

from .. import backends
from ..backends.interface import SHARED_SIZE, Derivatives, Model
from ..basis import (
    checks,
    initial,
    inputs,
    interrupts,
    monotonic,
    sample_weights,
    sparse,
    spec,
    teams,
)
from ..basis.data import Data
from ..basis.heads import heads_of
from ..basis.layout import layer_view
from ..basis.memory import address
from ..basis.sparse import SparseRows
from ..rules import regularizers
from . import bfloat16, buffers, distributions, heads
from .activation import ORDERS
from .custom import CustomLoss
from .loss import OfLoss
from .parameters import Gradient, Parameters, begin, by_layer, check_alike
from .work import dense_rows, flops_per_row, layout_for

# A call estimated to run longer than this many seconds runs in a thread of its own, so that
# Ctrl-C can stop it. Estimated at a rate that any machine reaches.
INLINE_SECONDS = 0.2
FLOPS_PER_SECOND = 1e9
# Calls without a thread of their own are divided into slices of SLICE_FLOPS operations, and Ctrl-C
# comes between two slices. A slice has at least SLICE_ROWS rows: products of fewer rows are slow.
SLICE_FLOPS = 2e9
SLICE_ROWS = 64
MANY_STEPS = 1000  # stands for an unknown number of steps
# Predictions of at most this many rows share workspaces of one size.
FEW_ROWS = 16
# What messages call the samples.
NAMES = ("X", "y", "sample_weight")
ALL_ROWS = slice(None)
NO_STOP = np.zeros(1, np.int64)  # for calls that Ctrl-C does not end early
# Made anew for each copy.
NOT_COPIED = (
    *("backend", "code", "custom", "distribution", "function", "heads", "in_python", "loss_spec"),
    *("number", "numbers", "signs"),
)


class Engine(OfLoss):
    """A network's parameters, loss and backend.

    Parameters
    ----------
    layout : Layout
    loss : str, callable, tuple or None
        None for a network without a loss; a tuple of `Head.given` for one with heads.
    loss_parameter : float or None
        Checked for that loss.
    random : numpy.random.Generator
        Draws the initial weights, the order of training and the seeds of dropout.
    backend : str or None
        As for `Network`.
    output_activation : str or None
        As for `Network`; the layout's `paired` belongs to it.
    monotonic_cst : tuple of int, default=()
        As `monotonic.constraint` returns it.
    loss_weights : tuple of float or None, default=None
        The weight of each head's loss; None for a single loss.

    Attributes
    ----------
    parameters : ndarray of shape (layout.n_parameters,)
        Weights and biases, see basis/layout.py.
    signs : ndarray of shape (layout.n_parameters,) or (0,)
        The signs that weights must have, see `monotonic.signs`.
    backend : module
        An implementation of `backends.interface.Backend`.
    output_activation : str
        The name of σ_m.
    loss_spec : spec.Loss
    code : int
        The code of the loss for the kernels, see spec.Pair.
    custom : CustomLoss or None
        The user's loss function, if the loss is one.
    distribution : Distribution or None
        What the outputs stand for, if they are parameters of a distribution.
    heads : tuple of Head
        Empty if the network has a single loss.
    number : float or None
        The parameter, if it is a single number.
    numbers : ndarray of float64
        What the kernels need of the parameter otherwise.
    function : int
        The address of the C function of `custom`, or of `numbers`, or 0.
    in_python : list of Activation
        The user's activations that are not compiled.
    reporting : float
        How the loss is reported: the `loss_parameter` of backends/interface.py for the losses
        that have no parameter. Gradients do not depend on it.
    """

    def __init__(
        self,
        layout,
        loss,
        loss_parameter,
        random,
        backend,
        output_activation=None,
        monotonic_cst=(),
        loss_weights=None,
    ):
        self.loss, self.loss_parameter, self.loss_weights = loss, loss_parameter, loss_weights
        self.monotonic_cst = monotonic_cst
        pair = spec.pair_of(loss, output_activation, loss_parameter)
        self.output_activation = pair.output_activation
        self.reporting = 0.0
        self.random = random
        self._allocate(layout)
        self.use(backend)
        self._begin()
        begin(self.arrays, initial.bounds(layout), random)
        if self.signs.size:
            monotonic.constrain(self.weights, self.biases, self.weight_signs, random)
        if self.distribution is not None:
            self.distribution.begin(self.weights[-1], self.biases[-1])
        heads.begin(self.heads, self.weights[-1], self.biases[-1])

    def _allocate(self, layout):
        self.layout = layout
        self.parameters = layout.zeros(layout.n_parameters)
        self.signs = monotonic.signs(layout, self.monotonic_cst)

    def use(self, backend):
        """Compute with the backend of that name."""
        self.backend: Any = backends.get(backend)
        if self.layout.compute_dtype is not None:
            bfloat16.prepare(self.backend)

    def _begin(self):
        """Set up the attributes that depend on the others."""
        parameter = self.loss_parameter
        self.loss_spec = spec.loss_of(self.loss, parameter)
        self.code = spec.pair_of(self.loss, self.output_activation, parameter).loss
        self.distribution = distributions.distribution_of(self.loss, parameter)
        self.heads = heads_of(self.loss, self.loss_weights, self.layout.sizes[-1])
        if self.heads:
            self.numbers = heads.numbers_of(self.heads)
        else:
            self.numbers = distributions.numbers_of(self.loss, parameter)
        self.number = 0.0 if self.numbers.size else parameter
        self.custom = None
        if self.loss_spec is spec.CUSTOM_LOSS:
            self.custom = CustomLoss(self.loss, self.layout.sizes[-1], self.layout.dtype)
        self.function = self.custom.address if self.custom else address(self.numbers)
        self.in_python = [own for own in self.layout.own_activations if not own._compiled]

    # Copies. Each owns what training changes: the parameters and the random generator.

    def __getstate__(self):
        state = {key: value for key, value in vars(self).items() if key not in NOT_COPIED}
        return {**state, "backend_name": self.backend.name}

    def __setstate__(self, state):
        # The parameters are another engine's if copied, and may be read-only if unpickled.
        state = dict(state)
        parameters, backend = state["parameters"], state.pop("backend_name")
        vars(self).update(state)
        self.random = copy.deepcopy(self.random)
        self._allocate(replace(self.layout))
        self.parameters[...] = parameters
        self.use(backend)
        self._begin()

    def converted(self, dtype, backend):
        """A copy in another precision, in which it also computes, and on another backend."""
        other = copy.copy(self)
        other._allocate(replace(self.layout, dtype=np.dtype(dtype), compute_dtype=None))
        for name, arrays in self.arrays._asdict().items():
            checked = Parameters(name, getattr(other.arrays, name))
            for i, array in enumerate(arrays):
                checked[i] = array
        other.use(backend)
        other._begin()
        return other

    # Parameters.

    @property
    def arrays(self):
        """The parameters of all layers, as writable views."""
        return self.layout.views(self.parameters)

    @property
    def weights(self):
        """The weights of all layers, as writable views."""
        return self.arrays.weights

    @property
    def biases(self):
        """The biases of all layers, as writable views."""
        return self.arrays.biases

    @property
    def weight_signs(self):
        """The signs that the weights of each layer must have; empty without constraints."""
        return monotonic.by_layer(self.layout, self.signs)

    def finite(self):
        """Whether the parameters hold neither NaN nor infinities."""
        return self.backend.finite(self.parameters)

    def check_finite(self, whose="the network"):
        """Refuse parameters that are not finite, and weights against the constraints."""
        if not self.finite():
            for name, arrays in self.arrays._asdict().items():
                for i, array in enumerate(arrays):
                    if not checks.all_finite(array):
                        raise ValueError(checks.not_finite(f"{whose}'s {name}[{i}]", array))
            raise ValueError(f"the padding of {whose}'s parameters has NaN or infinite values")
        self.check_signs(whose)

    def check_signs(self, whose):
        """Refuse weights against the monotonic constraints."""
        if not self.signs.size:  # the usual case
            return
        for i, (weights, signs) in enumerate(zip(self.weights, self.weight_signs, strict=True)):
            monotonic.check_signs(weights, signs, f"{whose}'s weights[{i}]")

    def blend(self, other, tau):
        """Go from the own parameters the share `tau` of the way to another engine's."""
        check_alike(self.layout, other.layout)
        self.check_finite()
        other.check_finite("the other network")
        own = self.parameters
        with np.errstate(over="ignore", invalid="ignore"):
            step = other.parameters - own
            # From the nearer end, so that both ends, and equal parameters, are exact.
            blended = own + tau * step if tau < 0.5 else other.parameters - (1 - tau) * step
        if not self.backend.finite(blended):
            raise ValueError(
                f"the difference of the two networks' weights is too large for {own.dtype}; "
                "nothing was changed"
            )
        if self.signs.size and (self.signs * blended).min() < 0:
            raise ValueError(
                "the other network's weights are against this network's monotonic_cst "
                f"{list(self.monotonic_cst)}; make the other one with the same monotonic_cst"
            )
        own[...] = blended

    def clear_padding(self):
        """Zero the padding of the parameters, where 0 * inf may have left NaN."""
        self.layout.clear_padding(self.parameters)

    def apart(self, array):
        """The array, or a copy if it lies in the parameters, which training changes."""
        return array.copy() if np.may_share_memory(array, self.parameters) else array

    # Functions of the user's.

    def check_activations(self, order, what):
        """Refuse user-defined functions without the derivative of that order, for `what`."""
        needed = ORDERS[order]
        for activation in self.layout.own_activations:
            if getattr(activation, needed) is None:
                raise ValueError(
                    f"the activation {activation.name!r} has no {needed}, which {what} need; pass "
                    f"it: fastbp.Activation(value, derivative, {'..., ' * (order - 2)}{needed})"
                )

    @property
    def failed(self):
        """Whether a user-defined function has raised an exception that was not reported yet."""
        failed = self.custom is not None and self.custom.failed
        return failed or any(own._failed for own in self.in_python)

    def raise_error(self, data):
        """Raise the exception of a function of the user's, if one raised."""
        self.raise_of_activations()
        if self.custom:
            self.custom.raise_error(self.outputs(data.X), data.targets)

    def raise_of_activations(self):
        """Raise the exception of an activation in Python, if one raised."""
        for own in self.in_python:
            own._raise_error()

    # Samples.

    def samples(self, X, name="X", may_be_sparse=False):
        """Checked samples of the network's dtype: an array, or SparseRows if they may be sparse."""
        layout = self.layout
        if layout.inputs:
            return inputs.samples(X, layout, name)
        if may_be_sparse and sparse.is_sparse(X):
            return sparse.samples(X, layout, name)
        return checks.samples(X, layout.sizes[0], layout.dtype, name, self.backend.finite)

    def data(
        self,
        X,
        y,
        sample_weight=None,
        *,
        names=NAMES,
        class_weight=None,
        label_smoothing=0.0,
        rows=None,
        part=False,
        may_be_sparse=False,
    ):
        """Checked samples as `Data`.

        Parameters
        ----------
        X, y, sample_weight, class_weight, label_smoothing
            As for `Network.fit`.
        names : tuple of str
            What messages call X, y and sample_weight.
        rows : ndarray of int64, optional
            The rows that count for ``class_weight="balanced"``; all by default.
        part : bool
            Whether these are only a part of the samples, which may have weight 0 throughout.
        may_be_sparse : bool
            Whether X may be a sparse matrix.
        """
        self.check_loss()
        layout, name = self.layout, self.loss_name
        n_outputs, dtype = layout.n_targets, layout.dtype
        X = self.samples(X, names[0], may_be_sparse)
        if self.heads:
            labels = checks.NO_LABELS
            finite = self.backend.finite
            targets = heads.targets(self.heads, y, len(X), dtype, names[1], finite)
        else:
            labels, targets = checks.targets(
                y, len(X), n_outputs, name, self.loss_spec, dtype, names[1], self.backend.finite
            )
        weight = sample_weights.checked(sample_weight, len(X), dtype, names[2], part)
        if class_weight is not None:
            self.check_one_loss("class_weight", "pass sample_weight instead")
            factors = sample_weights.of_classes(class_weight, name, labels, targets, rows)
            weight = factors * weight if weight.size else factors
            weight = sample_weights.checked(weight, len(X), dtype, "class_weight", part)
        if type(label_smoothing) is not float or label_smoothing != 0:
            if label_smoothing != 0:
                self.check_one_loss("label_smoothing", "pass smoothed rows as targets")
            labels, targets = regularizers.smooth(
                (labels, targets), n_outputs, name, label_smoothing
            )
        if isinstance(X, SparseRows):
            return Data(X, *map(self.apart, (labels, targets, weight)))
        if X.base is labels.base is targets.base is weight.base is None:
            return Data(X, labels, targets, weight)  # the usual case
        return Data(*map(self.apart, (X, labels, targets, weight)))

    # Calls of the backend.

    @property
    def model(self):
        """The network as the backends take it."""
        return self.model_of(self.layout)

    def model_of(self, layout):
        """The same with another layout of the workspace."""
        return Model(
            layout.plan,
            self.code,
            self.number or self.reporting,
            self.function,
            self.parameters,
        )

    def may_run_inline(self, rows, changing):
        """Whether a call of the backend with `rows` rows may run in the calling thread.

        If that is the main thread, Python handles signals only after the call. So a long call may
        not, nor a loss function in Python, in which a handler's exception would be lost, nor NumPy
        while it is `changing` arrays, since it would be interrupted between them.
        """
        if self.in_python or (self.custom is not None and not self.custom.compiled):
            return False
        if not self.backend.teams:
            return not changing
        return self.layout.flops_per_row * rows <= INLINE_SECONDS * FLOPS_PER_SECOND

    def run(self, call, rows, stop=None, changing=False):
        """Return ``call()``, which passes `rows` rows to the backend.

        Ctrl-C raises its exception here once the call has ended. Before, it sets ``stop[0]`` to 1;
        a call that can end early reads that.
        """
        if self.may_run_inline(rows, changing):
            return call()
        with interrupts.held(stop):
            return interrupts.in_thread(call)

    def slices(self, n, threads=1, X=None):
        """Slices of n rows, each short enough for Ctrl-C to come after it; maybe ALL_ROWS."""
        rows = threads * max(SLICE_ROWS, int(SLICE_FLOPS / flops_per_row(self.layout, X)))
        return [ALL_ROWS] if n <= rows else [slice(i, i + rows) for i in range(0, n, rows)]

    def team_size(self, threads, batch_size, steps=None, X=None):
        """Return the number of threads for a call of `steps` steps; None if that is unknown.

        It is `threads`, or by default (None) as many threads as are worth starting.
        """
        if not self.backend.teams:
            return 1
        if threads is not None:
            return threads
        layout = layout_for(self.layout, X)
        flops, (_, groups) = flops_per_row(layout, X) * batch_size, layout.partition(batch_size)
        return teams.automatic(flops, layout.divisible_weights, groups, steps or MANY_STEPS)

    def outputs(self, X):
        """h_m for checked X."""
        layout, n = layout_for(self.layout, X), len(X)
        out = np.empty((n, layout.sizes[-1]), layout.dtype)
        if n <= FEW_ROWS:
            self._predict(X, FEW_ROWS, out)
            self.raise_of_activations()
            return out
        block, threads = layout.prediction_rows(n), 1
        blocks = -(-n // block)
        if blocks > 1 and self.backend.teams:
            flops = flops_per_row(layout, X) * n / 3  # a third of a training step
            threads = teams.automatic(flops, 0, blocks)
        for rows in self.slices(n, threads, X):
            self._predict_in_threads(X[rows], block, out[rows], threads)
        self.raise_of_activations()
        return out

    def predictions(self, X):
        """What `Network.predict` returns for checked X: h_m, or the center of a distribution.

        With heads, a tuple of these.
        """
        outputs = self.outputs(X)
        if self.heads:
            return heads.predictions(self.heads, outputs)
        if self.distribution is None:
            return outputs
        return self.distribution.center(outputs).astype(outputs.dtype)[:, None]

    def _predict(self, X, block, out):
        layout = layout_for(self.layout, X)
        workspace = buffers.take(layout, layout.workspace_size(block))
        self.backend.predict(self.model_of(layout), X, block, workspace, out)
        buffers.give(workspace)

    def _predict_in_threads(self, X, block, out, threads):
        """As `_predict`, in threads that take blocks each."""
        blocks = -(-len(X) // block)

        def member(rank):
            first, last = (block * (blocks * k // threads) for k in (rank, rank + 1))
            self._predict(X[first:last], block, out[first:last])

        if threads == 1:
            member(0)
        else:
            teams.run(member, threads)

    def layer_outputs(self, X):
        """h_1, ..., h_m for checked X."""
        layout, plan = self.layout, self.layout.plan
        block = layout.block_rows(len(X))
        workspace = buffers.take(layout, layout.workspace_size(block))
        results = [np.empty((len(X), n), layout.dtype) for n in layout.sizes[1:]]
        for start in range(0, len(X), block):
            rows = slice(start, start + block)
            part, out = X[rows], results[-1][rows]
            self.backend.predict(self.model, part, block, workspace, out)
            for i, result in enumerate(results[:-1], start=1):
                result[rows] = layer_view(plan, workspace, block, i)[: len(part)]
        buffers.give(workspace)
        self.raise_of_activations()
        return results

    def loss_and_gradient(self, data, gradient, of_heads=None):
        """The mean loss; fills `gradient` unless that is empty.

        If `of_heads` is given, an array, each head's Σ w e is added to it.
        """
        X, n, wanted = data.X, len(data.X), gradient.size > 0
        rows = dense_rows(self.layout, X)
        inline = self.may_run_inline(rows, False)
        threads = 1 if inline else self.team_size(None, n, 1, X)  # such calls are too short for two
        layout = layout_for(self.layout, X, threads)
        block, groups = layout.partition(n)
        size = layout.team_workspace_size(block, groups, threads, wanted)
        workspace = buffers.take(layout, size)
        transposed = buffers.take(layout, layout.n_transposed)
        sums = layout.sums(groups, wanted)
        shared = np.zeros(SHARED_SIZE, np.int64)
        model = self.model_of(layout)
        if of_heads is not None:
            numbers, places = heads.with_sums(self.numbers, len(self.heads), groups)
            model = model._replace(function=address(numbers))
        arguments = model, data, block, workspace, transposed, gradient, sums
        if inline:
            loss = self.backend.loss_and_gradient(*arguments, NO_STOP, shared, 1, 0)
        else:
            stop = np.zeros(1, np.int64)

            def member(rank):
                return self.backend.loss_and_gradient(*arguments, stop, shared, threads, rank)

            loss = self.run(lambda: teams.run(member, threads), rows, stop)
        buffers.give(workspace, transposed)
        self.raise_of_activations()
        if not math.isfinite(loss):
            self.raise_error(data)
        if of_heads is not None:
            of_heads += places.sum(axis=1)
        return loss

    def gradient(self, data):
        """The mean loss and its gradient, as (float, Gradient)."""
        gradient = self.layout.zeros(self.layout.n_parameters)
        loss = self.loss_and_gradient(data, gradient)
        return loss, Gradient(*self.layout.lists(gradient))

    def mean_loss(self, data, of_heads=None):
        """The mean loss, slice by slice.

        If `of_heads` is given, an array, the mean loss of each head is written to it.
        """
        nothing = np.empty(0, self.layout.dtype)
        numerator = denominator = 0.0
        if of_heads is not None:
            of_heads[...] = 0
        for rows in self.slices(len(data.X), 1, data.X):
            part = data if rows is ALL_ROWS else data.rows(rows)
            total = part.total_weight()
            numerator += total * self.loss_and_gradient(part, nothing, of_heads)
            denominator += total
        if of_heads is not None:
            of_heads /= denominator
        return float(numerator / denominator)

    def per_sample(
        self, data, deltas=None, *, losses=False, gradients=False, errors=False, units=False
    ):
        """Each row's own derivatives, as `Derivatives`.

        They are derivatives of the loss or, if `deltas` are given as ∂f/∂s_m, of another
        function f of the outputs.
        """
        if gradients or errors:
            inputs.refuse(self.layout, "derivatives of single samples' losses or outputs")
        n, layout = len(data.X), self.layout.separated
        sizes, dtype = layout.sizes, layout.dtype
        block = layout.block_rows(n)
        nothing = np.empty((0, sizes[-1]), dtype)
        found = Derivatives(
            np.empty(n if losses else 0, dtype),
            np.empty((n, layout.n_numbers), dtype) if gradients else nothing,
            np.empty((n, sizes[0]), dtype) if errors else nothing,
            np.zeros((n, 4 * sum(sizes[1:])), dtype) if units else nothing,
        )
        if deltas is None:
            deltas = nothing
        workspace = buffers.take(layout, layout.workspace_size(block))
        transposed = buffers.take(layout, layout.n_all_transposed)
        model = self.model_of(layout)

        def call(data, deltas, found):
            self.backend.per_sample(model, data, deltas, block, workspace, transposed, *found)

        for rows in self.slices(n):
            part: tuple = data, deltas, found
            if rows is not ALL_ROWS:
                part = data.rows(rows), deltas[rows], [array[rows] for array in found]
            self.run(lambda part=part: call(*part), 0)
        buffers.give(workspace, transposed)
        self.raise_of_activations()
        if self.custom and not all(np.isfinite(x).all() for x in found):
            self.raise_error(data)
        return found

    def by_layer(self, numbers):
        """A Gradient of views of numbers in the order W_1, b_1, W_2, ... (last axis).

        A layer's other parameters follow its biases.
        """
        return by_layer(self.layout, numbers)
