"""The reference: backpropagation in plain NumPy, written to be obviously right.

It defines the results of the compiled backends, equation by equation, in the notation of
docs/mathematics.md. It is not optimised for speed. See interface.py for the arguments.
"""

import math
from typing import NamedTuple

import numpy as np

from ...basis import spec
from ...basis.layout import (
    ACTIVATION,
    DROPOUT,
    INPUTS,
    INVERSE,
    NORM,
    NORMALIZED,
    OUTPUT,
    RESIDUAL,
    ROUNDED,
    SIZE,
    SPARSE,
    TARGETS,
    TOUCHED,
    H,
    S,
    layer_view,
    views,
)
from ...basis.memory import VECTOR_BYTES
from . import bfloat16
from . import inputs as of_inputs
from .elementwise import ACTIVATIONS, activation_of
from .heads import take_sums
from .jets import (  # noqa: F401
    hessian_product,
    input_derivatives,
    jets,
    jets_backward,
    loss_deltas,
    sobolev_gradient,
)
from .losses import add_losses_of_heads, dense, loss_and_delta, output
from .losses import hessian_product as of_losses
from .optimizers import UPDATES
from .outputs import times_jacobian

# Added to a norm before dividing by it, as in PyTorch.
NORM_OFFSET = 1e-6

name = "numpy"
teams = False


def describe():
    """A short description of this backend."""
    return f"NumPy {np.__version__}, the reference"


def finite(array):
    return bool(np.isfinite(array).all())


def activation(code, s, out):
    functions = ACTIVATIONS[code]
    with np.errstate(all="ignore"):
        out[0] = functions.value(s)
        out[1] = functions.derivative(s, out[0])
        out[2] = functions.second_derivative(s, out[0])
        out[3] = functions.third_derivative(s, out[0])


def loss_hessian_product(model, s, y, v, out):
    n, targets = model.plan[-1, SIZE], model.plan[-1, TARGETS]
    if model.loss == spec.HEADS:  # these have no rows of targets at the outputs' stride
        out[...] = np.nan
        return
    with np.errstate(all="ignore"):
        out[:, n:] = 0
        out[:, :n] = of_losses(model, s[:, :n], y[:, :targets], v[:, :n])


def step(optimizer, hyper, rate, counters, layers, slots, learning, touched=None):
    """One step of all layers in the list `learning`, in place.

    `layers` holds each layer's arrays of parameters and of the gradient, `slots` those of each
    state array. The weights come first, which alone may decay. Of the first layer's weights, only
    the rows `touched` change, if these are given.
    """
    parameters, gradients = layers
    counters[0] += 1
    counters[1] *= hyper[1]
    counters[2] *= hyper[2]
    update = UPDATES[optimizer]
    hyper = [float(value) for value in hyper]  # NumPy's float64 would make float32 arrays float64
    for i in learning:
        arrays = zip(parameters[i], gradients[i], *(slot[i] for slot in slots), strict=True)
        for k, (w, g, *state) in enumerate(arrays):
            decay = 0.0 if k else hyper[4]
            if i == 0 and k == 0 and touched is not None:
                rows, of_rows = w[touched], [array[touched] for array in state]
                update(hyper, rate, counters, rows, g[touched], of_rows, decay)
                for array, changed in zip([w, *state], [rows, *of_rows], strict=True):
                    array[touched] = changed
            else:
                update(hyper, rate, counters, w, g, state, decay)


# The passes.


def mix(x):
    """32-bit numbers with all bits mixed (Chris Wellons' lowbias32)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


@np.errstate(over="ignore")  # 32-bit products wrap around
def dropout_factors(plan, seed, step, n, dtype):
    """The dropout factors of a batch of n rows, by layer; activations are multiplied by them.

    A factor is 1 / (1 - rate) or 0. The random number depends on seed, step, layer, row and unit.
    """
    low, high, step = (np.uint32(x & 0xFFFFFFFF) for x in (seed, seed >> 32, step))
    key = mix(mix(low ^ mix(step)) ^ high)
    factors = []
    for i, layer in enumerate(plan[:-1]):
        rate = layer[DROPOUT] / 2**32
        rows = mix(mix(key ^ np.uint32(i)) ^ np.arange(n, dtype=np.uint32))
        units = np.arange(layer[SIZE], dtype=np.uint32) * np.uint32(0x9E3779B9)
        kept = mix(rows[:, None] + units) >= layer[DROPOUT]
        factors.append(np.where(kept, 1 / (1 - rate), 0).astype(dtype))
    return factors


def _product(layer, A, B, bias=None):
    """A B, or A B + bias, where the layer says whether A and B are rounded to bfloat16."""
    if layer[ROUNDED]:
        return bfloat16.product(A, B, 0.0 if bias is None else bias)
    return A @ B if bias is None else A @ B + bias


def _matrix(X):
    """Samples as a NumPy array or a sparse matrix of SciPy."""
    return X if isinstance(X, np.ndarray) else X.matrix()


def _times(X, factors):
    """Samples times dropout factors."""
    if isinstance(X, np.ndarray) or np.isscalar(factors):
        return X * factors
    return X.multiply(factors).tocsr()


class Pass(NamedTuple):
    """What a forward pass leaves: lists by layer, whose index 0 is the input.

    Attributes
    ----------
    s : list
        What σ_i gets: pre-activations, or z_i after a normalisation.
    h : list
        σ_i of these.
    out : list
        Activations as the next layer gets them, after dropout and the addition of the input.
    normalized, inverse : list
        x̂_i, and 1 / √(variance + ε) of each row; None without a normalisation.
    """

    s: list
    h: list
    out: list
    normalized: list
    inverse: list


def _normalize(layer, s):
    """Each row of s without its mean and divided by its deviation; and one over that."""
    if layer[NORM] == spec.LAYER_NORM:
        s = s - s.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt((s * s).mean(axis=1, keepdims=True) + s.dtype.type(spec.NORM_EPSILON))
    return s * inverse, inverse


def _forward(model, X, factors):
    """The `Pass` of the rows X. `factors` are the dropout factors, 1 for none."""
    plan = model.plan
    arrays = views(plan, model.parameters)
    if plan[0, INPUTS]:
        X = of_inputs.gather(plan, arrays, X)
    found = Pass([None], [X], [_times(X, factors[0])], [None], [None])
    for i in range(1, len(plan)):
        s = _product(plan[i], found.out[-1], arrays.weights[i - 1], arrays.biases[i - 1])
        normalized = inverse = None
        if plan[i, NORM]:
            normalized, inverse = _normalize(plan[i], s)
            s = arrays.norm_weights[i - 1] * normalized
            if plan[i, NORM] == spec.LAYER_NORM:
                s = s + arrays.norm_biases[i - 1]
        h = activation_of(plan, arrays, i).value(s).astype(X.dtype, copy=False)
        out = h * factors[i] if i < len(plan) - 1 else h
        if plan[i, RESIDUAL]:
            out = out + found.out[-1]
        for array, of_layers in zip((s, h, out, normalized, inverse), found, strict=True):
            of_layers.append(array)
    return found


class Errors(NamedTuple):
    """What a backward pass finds: lists by layer.

    Attributes
    ----------
    dh, ds : list
        ∂e/∂h_i as the next layer gets it, and ∂e/∂s_i before a normalisation.
    terms : list
        Of each layer, each row's derivatives by its parameters behind the biases.
    """

    dh: list
    ds: list
    terms: list


def _backward(model, found, factors, ds):
    """The `Errors` from the output's ∂e/∂s down to ∂e/∂s_1."""
    plan, m = model.plan, len(model.plan) - 1
    arrays = views(plan, model.parameters)
    errors = Errors([None] * (m + 1), [None] * m + [ds], [[] for _ in range(m + 1)])
    for i in range(m, 1, -1):
        dh = _product(plan[i], errors.ds[i], arrays.weights[i - 1].T)
        if plan[i, RESIDUAL]:
            dh = dh + errors.dh[i]
        errors.dh[i - 1] = dh
        _through_units(plan, arrays, i - 1, found, dh * factors[i - 1], errors)
    return errors


def _of_input(model, errors):
    """∂e/∂h_0."""
    return _product(model.plan[1], errors.ds[1], views(model.plan, model.parameters).weights[0].T)


def _through_units(plan, arrays, i, found, dh, errors):
    """From ∂e/∂h_i, without dropped units, to ∂e/∂s_i of a hidden layer."""
    s, h, x, terms = found.s[i], found.h[i], found.normalized[i], errors.terms[i]
    ds = dh * activation_of(plan, arrays, i).derivative(s, h).astype(dh.dtype, copy=False)
    if plan[i, NORM]:
        terms.append(ds * x)
        if plan[i, NORM] == spec.LAYER_NORM:
            terms.append(ds)
        dx = ds * arrays.norm_weights[i - 1]
        through = x * (dx * x).mean(axis=1, keepdims=True)
        if plan[i, NORM] == spec.LAYER_NORM:
            through = through + dx.mean(axis=1, keepdims=True)
        ds = found.inverse[i] * (dx - through)
    if plan[i, ACTIVATION] == spec.PRELU:
        terms.append(dh * np.minimum(s, 0))
    errors.ds[i] = ds


def _sum(model, X, found, errors, gradient, factors):
    """Overwrite `gradient` with that of all parameters, from the errors of all rows of X."""
    plan, arrays = model.plan, views(model.plan, gradient)
    for i, (dW, db, *others) in enumerate(arrays.layers, start=1):
        dW[...] = _product(plan[i], found.out[i - 1].T, errors.ds[i])
        of_units = [errors.ds[i], *errors.terms[i]]
        for target, terms in zip([db, *others], of_units, strict=i > 1):
            target[...] = terms.sum(axis=0)
    if plan[0, INPUTS]:
        of_inputs.scatter(plan, arrays, X, _of_input(model, errors) * factors[0])


def predict(model, X, block, workspace, out):
    plan, X = model.plan, _matrix(X)
    with np.errstate(all="ignore"):
        found = _forward(model, X, [1] * len(plan))
        out[...] = output(model, found.s[-1])
    if X.shape[0] > block:
        return
    for i in range(1, len(plan)):  # h_i may take the place of s_i, and h_m is not kept
        layer_view(plan, workspace, block, i, S)[: X.shape[0]] = found.s[i]
        if i < len(plan) - 1:
            layer_view(plan, workspace, block, i, H)[: X.shape[0]] = found.h[i]
            layer_view(plan, workspace, block, i)[: X.shape[0]] = found.out[i]
        if plan[i, NORM]:
            layer_view(plan, workspace, block, i, NORMALIZED)[: X.shape[0]] = found.normalized[i]
            _inverse_view(plan, workspace, block, i)[: X.shape[0]] = found.inverse[i]


def _inverse_view(plan, workspace, block, i):
    """1 / √(variance + ε) of each row of a hidden layer, in all lanes of a vector."""
    start, lanes = plan[i, INVERSE] * block, VECTOR_BYTES // workspace.itemsize
    return workspace[start : start + block * lanes].reshape(block, lanes)


def forward(model, X, workspace, out):
    predict(model, X, len(X), workspace, out)


def backward(model, X, deltas, workspace, transposed, gradient, errors):
    plan, n = model.plan, len(X)
    inputs = of_inputs.gather(plan, views(plan, model.parameters), X) if plan[0, INPUTS] else X
    s, h, out, normalized = (
        [inputs, *(layer_view(plan, workspace, n, i, column).copy() for i in range(1, len(plan)))]
        for column in (S, H, OUTPUT, NORMALIZED)
    )
    inverse = [_inverse_view(plan, workspace, n, i)[:, :1].copy() for i in range(len(plan))]
    found = Pass(s, h, out, normalized, inverse)
    with np.errstate(all="ignore"):
        _back_to_all(model, X, found, deltas, gradient, errors)


def input_vjp(model, X, v, workspace, transposed, gradient, errors):
    with np.errstate(all="ignore"):
        found = _forward(model, X, [1] * len(model.plan))
        _back_to_all(model, X, found, times_jacobian(model, found.s[-1], v), gradient, errors)


def _back_to_all(model, X, found, deltas, gradient, errors):
    """Write the derivatives by the parameters and the input, unless the arrays are empty."""
    ones = [1] * len(model.plan)
    back = _backward(model, found, ones, deltas)
    if gradient.size:
        _sum(model, X, found, back, gradient, ones)
    if errors.size:
        errors[...] = _of_input(model, back)


def _weights(n, sample_weight):
    """Weights of n rows in float64."""
    return sample_weight.astype(np.float64) if sample_weight.size else np.ones(n)


def _gradient(model, X, y, w, gradient, factors=None):
    """Σ w e over the rows, and the gradient of Σ w e / Σ w."""
    total = w.sum()
    factors = factors or [1] * len(model.plan)
    found = _forward(model, X, factors)
    e, ds = loss_and_delta(model, found.s[-1], y)
    add_losses_of_heads(model, found.s[-1], y, w)
    share = w / total if total != 0 else np.zeros_like(w)
    ds = (ds * share[:, None]).astype(X.dtype, copy=False)
    e = w * e
    left_out = w == 0
    if left_out.any():  # these rows may have overflowed, and 0 * inf is NaN
        first = 1 if model.plan[1, SPARSE] else 0
        for array in (e, ds, *found.out[first:1], *(a for arrays in found for a in arrays[1:])):
            if array is not None:
                array[left_out] = 0
    if gradient.size:
        _sum(model, X, found, _backward(model, found, factors, ds), gradient, factors)
    return float(e.sum())


def loss_and_gradient(
    model, data, block, workspace, transposed, gradient, sums, stop, shared, threads, rank
):
    X = _matrix(data.X)
    y = dense(data.labels, data.targets, model.plan[-1, SIZE], X.dtype)
    w = _weights(len(data.X), data.sample_weight)
    total = w.sum()
    with np.errstate(all="ignore"):
        numerator = _gradient(model, X, y, w, gradient)
    return float(numerator / total) if total != 0 else 0.0


def per_sample(model, data, deltas, block, workspace, transposed, losses, gradients, errors, units):
    plan, X = model.plan, data.X
    n, m = len(X), len(plan) - 1
    ones = [1] * len(plan)
    with np.errstate(all="ignore"):
        found = _forward(model, X, ones)
        if not deltas.size:
            y = dense(data.labels, data.targets, plan[-1, SIZE], X.dtype)
            e, deltas = loss_and_delta(model, found.s[m], y)
            if losses.size:
                losses[...] = e
        found.out[m] = output(model, found.s[m])
        back = _backward(model, found, ones, deltas)
        if errors.size:
            errors[...] = _of_input(model, back)
    if gradients.size:
        of_layers = []
        for i in range(1, m + 1):
            times = bfloat16.times if plan[i, ROUNDED] else np.multiply
            dW = times(found.out[i - 1][:, :, None], back.ds[i][:, None, :])
            of_layers += [dW.reshape(n, -1), back.ds[i], *back.terms[i]]
        gradients[...] = np.concatenate(of_layers, axis=1)
    if units.size:
        at = 0
        for i in range(1, m + 1):
            for array in (found.s[i], found.out[i], back.dh[i], back.ds[i]):
                if array is not None:
                    units[:, at : at + plan[i, SIZE]] = array
                at += plan[i, SIZE]


def penalties(layer_rules, weights):
    """Σ l1 |W| + l2 / 2 W² over the weights of all layers."""
    total = 0.0
    for (l1, l2, _), W in zip(layer_rules[1:], weights, strict=True):
        W = W.astype(np.float64)
        total += float(l1 * np.abs(W).sum() + l2 / 2 * (W * W).sum())
    return total


def _clip(gradients, norm):
    """Scale the gradient down to at most a norm, in place."""
    total = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients))
    if total + NORM_OFFSET > norm:
        for g in gradients:
            g *= norm / (total + NORM_OFFSET)


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
        self.model, self.batch_size, self.gradient = model, batch_size, gradient
        self.optimizer, self.hyper = optimizer, hyper
        self.layer_rules, self.sklearn_penalties = layer_rules, sklearn_penalties
        self.clipping, self.clip_norm, self.decay = squares.size > 0, clip_norm, decay
        self.seed, self.stop = seed, stop
        (self.counters,) = counters  # this backend has no teams
        # The reference takes whole batches, and needs neither the workspace nor transposed copies.
        self.parameters, self.gradients = (
            views(model.plan, array).layers for array in (model.parameters, gradient)
        )
        self.slots = [views(model.plan, slot).layers for slot in state]
        self.averages = views(model.plan, average).layers if average.size else None
        self.signs = views(model.plan, signs).weights if signs.size else []
        self.take(data)

    def take(self, data):
        self.data = data

    @np.errstate(all="ignore")
    def run(self, order, epochs, rates, losses, rank):
        plan, X = self.model.plan, _matrix(self.data.X)
        n = order.shape[1] if order.size else len(self.data.X)
        y = dense(self.data.labels, self.data.targets, plan[-1, SIZE], X.dtype)
        w = _weights(len(self.data.X), self.data.sample_weight)
        steps, losses = 0, losses.reshape(epochs, -1)
        for epoch in range(epochs):
            numerator = denominator = penalty = 0.0
            for start in range(0, n, self.batch_size):
                if self.stop[0]:
                    return epoch
                rows = slice(start, start + self.batch_size)
                if order.size:
                    rows = order[epoch, rows]
                count, total = len(w[rows]), float(w[rows].sum())
                factors = None
                if plan[:, DROPOUT].any():
                    factors = dropout_factors(
                        plan, self.seed, int(self.counters[0]), count, X.dtype
                    )
                batch = _gradient(self.model, X[rows], y[rows], w[rows], self.gradient, factors)
                if not math.isfinite(batch):
                    losses[epoch, 0] = batch
                    return epoch
                factor = self._factor(total)
                penalty += (
                    factor * count * penalties(self.layer_rules, [W for W, *_ in self.parameters])
                )
                numerator += batch * factor * count if self.sklearn_penalties else batch
                denominator += count if self.sklearn_penalties else total
                touched = np.unique(X[rows].indices) if plan[1, SPARSE] == TOUCHED else None
                self._step(float(rates[steps if rates.size > 1 else 0]), factor, touched)
                steps += 1
            losses[epoch, 0] = (numerator / denominator if denominator > 0 else 0.0) + penalty / n
            if losses.shape[1] > 1:
                sums = np.array(take_sums(self.model.function))
                losses[epoch, 1:] = sums / denominator if denominator > 0 else 0.0
        return epochs

    @np.errstate(all="ignore")
    def update(self, rate, total=1.0):
        self._step(rate, self._factor(total))

    def _factor(self, total):
        """The factor of the penalties in a batch with Σ w = `total`."""
        if not self.sklearn_penalties:
            return 1.0
        return 1 / total if total != 0 else 0.0

    def _step(self, rate, factor, touched=None):
        """Take one step with the gradient, of all rows of W_1 or of those `touched`."""
        parameters, gradients = self.parameters, self.gradients
        learning = [i for i, rule in enumerate(self.layer_rules[1:]) if not rule[spec.FROZEN]]
        for i in learning:
            l1, l2 = (float(factor * self.layer_rules[i + 1, rule]) for rule in (spec.L1, spec.L2))
            W, dW = parameters[i][0], gradients[i][0]
            dW[...] += l2 * W + l1 * np.sign(W)
        if self.clipping:
            _clip([array for i in learning for array in gradients[i]], self.clip_norm)
        how = self.optimizer, self.hyper, rate, self.counters
        step(*how, (parameters, gradients), self.slots, learning, touched)
        for i in learning if self.signs else ():
            W = parameters[i][0]
            W[self.signs[i] * W < 0] = 0
        if self.averages is None:
            return
        keep = self.decay if self.counters[0] > 1 else 0.0
        for i in learning:
            for averaged, array in zip(self.averages[i], parameters[i], strict=True):
                averaged[...] = keep * averaged + (1 - keep) * array


job = Job
