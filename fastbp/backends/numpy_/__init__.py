"""The reference: backpropagation in plain NumPy, written to be obviously right.

It defines the results of the compiled backends, equation by equation, in the notation of
docs/mathematics.md. It is not optimised for speed. See interface.py for the arguments.
"""

import math

import numpy as np

from ...basis import spec
from ...basis.layout import DROPOUT, ROUNDED, SIZE, SPARSE, TOUCHED, H, S, layer_view, views
from . import bfloat16
from .elementwise import ACTIVATIONS, of_layer
from .jets import hessian_product, input_derivatives, jets, jets_backward, loss_deltas  # noqa: F401
from .losses import dense, loss_and_delta, output
from .losses import hessian_product as of_losses
from .optimizers import UPDATES

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
    n = model.plan[-1, SIZE]
    with np.errstate(all="ignore"):
        out[:, n:] = 0
        out[:, :n] = of_losses(model, s[:, :n], y[:, :n], v[:, :n])


def step(optimizer, hyper, rate, counters, layers, slots, learning, touched=None):
    """One step of all layers in the list `learning`, in place.

    `layers` holds the `views` of parameters and gradient, (weights, biases, dW, db); `slots`
    holds the views of each state array. Of the first layer's weights, only the rows `touched`
    change, if these are given.
    """
    weights, biases, dW, db = layers
    counters[0] += 1
    counters[1] *= hyper[1]
    counters[2] *= hyper[2]
    update = UPDATES[optimizer]
    hyper = [float(value) for value in hyper]  # NumPy's float64 would make float32 arrays float64
    for i in learning:
        of_weights = [slot[0][i] for slot in slots]
        of_biases = [slot[1][i] for slot in slots]
        if i == 0 and touched is not None:
            W, of_rows = weights[0][touched], [array[touched] for array in of_weights]
            update(hyper, rate, counters, W, dW[0][touched], of_rows, hyper[4])
            for array, changed in zip([weights[0], *of_weights], [W, *of_rows], strict=True):
                array[touched] = changed
        else:
            update(hyper, rate, counters, weights[i], dW[i], of_weights, hyper[4])
        update(hyper, rate, counters, biases[i], db[i], of_biases, 0.0)


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
    """Samples as a matrix of NumPy's or SciPy's."""
    return X if isinstance(X, np.ndarray) else X.matrix()


def _times(X, factors):
    """Samples times dropout factors."""
    if isinstance(X, np.ndarray) or np.isscalar(factors):
        return X * factors
    return X.multiply(factors).tocsr()


def _forward(model, X, factors):
    """Pre-activations, activations, and activations as the next layer gets them.

    Three lists by layer; index 0 is the input. `factors` are the dropout factors, 1 for none.
    """
    plan = model.plan
    weights, biases = views(plan, model.parameters)
    s, h, out = [None], [X], [_times(X, factors[0])]
    for i in range(1, len(plan)):
        s.append(_product(plan[i], out[-1], weights[i - 1], biases[i - 1]))
        h.append(of_layer(plan[i]).value(s[-1]).astype(X.dtype, copy=False))
        out.append(h[-1] * factors[i] if i < len(plan) - 1 else h[-1])
    return s, h, out


def _backward(model, s, h, out, factors, ds, gradient):
    """From the output's ∂e/∂s to ∂e/∂s_1, which is returned.

    Overwrites `gradient`, unless that is empty, with the gradient of all weights.
    """
    plan = model.plan
    weights, _ = views(plan, model.parameters)
    for i in range(len(weights), 0, -1):
        if gradient.size:
            dW, db = views(plan, gradient)
            dW[i - 1][...] = _product(plan[i], out[i - 1].T, ds)
            db[i - 1][...] = ds.sum(axis=0)
        if i > 1:
            dh = _product(plan[i], ds, weights[i - 1].T) * factors[i - 1]
            derivative = of_layer(plan[i - 1]).derivative
            ds = dh * derivative(s[i - 1], h[i - 1]).astype(dh.dtype, copy=False)
    return ds


def predict(model, X, block, workspace, out):
    plan, X = model.plan, _matrix(X)
    with np.errstate(all="ignore"):
        s, h, _ = _forward(model, X, [1] * len(plan))
        out[...] = output(model, s[-1])
    if X.shape[0] <= block:
        for i in range(1, len(plan)):  # h_i may take the place of s_i, and h_m is not kept
            layer_view(plan, workspace, block, i, S)[: len(s[i])] = s[i]
            if i < len(plan) - 1:
                layer_view(plan, workspace, block, i)[: len(h[i])] = h[i]


def forward(model, X, workspace, out):
    predict(model, X, len(X), workspace, out)


def backward(model, X, deltas, workspace, transposed, gradient, errors):
    plan, n = model.plan, len(X)
    s, h = (
        [X, *(layer_view(plan, workspace, n, i, column).copy() for i in range(1, len(plan)))]
        for column in (S, H)
    )
    with np.errstate(all="ignore"):
        ds = _backward(model, s, h, h, [1] * len(plan), deltas, gradient)
        if errors.size:
            errors[...] = _product(plan[1], ds, views(plan, model.parameters)[0][0].T)


def _weights(n, sample_weight):
    """Weights of n rows in float64."""
    return sample_weight.astype(np.float64) if sample_weight.size else np.ones(n)


def _gradient(model, X, y, w, gradient, factors=None):
    """Σ w e over the rows, and the gradient of Σ w e / Σ w."""
    total = w.sum()
    factors = factors or [1] * len(model.plan)
    s, h, out = _forward(model, X, factors)
    e, ds = loss_and_delta(model, s[-1], y)
    share = w / total if total != 0 else np.zeros_like(w)
    ds = (ds * share[:, None]).astype(X.dtype, copy=False)
    e = w * e
    left_out = w == 0
    if left_out.any():  # these rows may have overflowed, and 0 * inf is NaN
        for array in (e, ds, *s[1:], *h[1:], *out[1 if model.plan[1, SPARSE] else 0 :]):
            array[left_out] = 0
    if gradient.size:
        _backward(model, s, h, out, factors, ds, gradient)
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
    weights, _ = views(plan, model.parameters)
    n, m = len(X), len(weights)
    with np.errstate(all="ignore"):
        s, h, _ = _forward(model, X, [1] * len(plan))
        ds, dh = [None] * m + [deltas], [None] * (m + 1)
        if not deltas.size:
            y = dense(data.labels, data.targets, plan[-1, SIZE], X.dtype)
            e, ds[m] = loss_and_delta(model, s[m], y)
            if losses.size:
                losses[...] = e
        h[m] = output(model, s[m])
        for i in range(m, 0, -1):
            dh[i - 1] = _product(plan[i], ds[i], weights[i - 1].T)
            if i > 1:
                derivative = of_layer(plan[i - 1]).derivative
                ds[i - 1] = dh[i - 1] * derivative(s[i - 1], h[i - 1])
    if errors.size:
        errors[...] = dh[0]
    if gradients.size:
        of_layers = []
        for i in range(1, m + 1):
            times = bfloat16.times if plan[i, ROUNDED] else np.multiply
            dW = times(h[i - 1][:, :, None], ds[i][:, None, :])
            of_layers += [dW.reshape(n, -1), ds[i]]
        gradients[...] = np.concatenate(of_layers, axis=1)
    if units.size:
        at = 0
        for i in range(1, m + 1):
            for array in (s[i], h[i], dh[i], ds[i]):
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
            views(model.plan, array) for array in (model.parameters, gradient)
        )
        self.slots = [views(model.plan, slot) for slot in state]
        self.averages = views(model.plan, average) if average.size else ()
        self.signs = views(model.plan, signs)[0] if signs.size else []
        self.take(data)

    def take(self, data):
        self.data = data

    @np.errstate(all="ignore")
    def run(self, order, epochs, rates, losses, rank):
        plan, X = self.model.plan, _matrix(self.data.X)
        n = order.shape[1] if order.size else len(self.data.X)
        y = dense(self.data.labels, self.data.targets, plan[-1, SIZE], X.dtype)
        w = _weights(len(self.data.X), self.data.sample_weight)
        steps = 0
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
                    losses[epoch] = batch
                    return epoch
                factor = self._factor(total)
                penalty += factor * count * penalties(self.layer_rules, self.parameters[0])
                numerator += batch * factor * count if self.sklearn_penalties else batch
                denominator += count if self.sklearn_penalties else total
                touched = np.unique(X[rows].indices) if plan[1, SPARSE] == TOUCHED else None
                self._step(float(rates[steps if rates.size > 1 else 0]), factor, touched)
                steps += 1
            losses[epoch] = (numerator / denominator if denominator > 0 else 0.0) + penalty / n
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
        (weights, biases), (dW, db) = self.parameters, self.gradients
        learning = [i for i, rule in enumerate(self.layer_rules[1:]) if not rule[spec.FROZEN]]
        for i in learning:
            l1, l2 = (float(factor * self.layer_rules[i + 1, rule]) for rule in (spec.L1, spec.L2))
            dW[i][...] += l2 * weights[i] + l1 * np.sign(weights[i])
        if self.clipping:
            _clip([array[i] for i in learning for array in (dW, db)], self.clip_norm)
        layers = weights, biases, dW, db
        how = self.optimizer, self.hyper, rate, self.counters
        step(*how, layers, self.slots, learning, touched)
        for i in learning if self.signs else ():
            weights[i][self.signs[i] * weights[i] < 0] = 0
        keep = self.decay if self.counters[0] > 1 else 0.0
        for averaged, arrays in zip(self.averages, self.parameters, strict=False):
            for i in learning:
                averaged[i][...] = keep * averaged[i] + (1 - keep) * arrays[i]


job = Job
