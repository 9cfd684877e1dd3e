"""L-BFGS through SciPy on scikit-learn's objective, and its way of reporting losses."""

import math

import numpy as np

from ..basis import interrupts, monotonic
from ..basis.spec import FROZEN


def report_as_scikit_learn(network, exactly=False):
    """Make the network report losses as scikit-learn does; its gradients stay as they are.

    -ln p is clipped where the probability p is below the machine epsilon, unless `exactly`. The
    squared error is averaged over the outputs; its gradient is that of the sum.
    """
    engine = network._engine
    epsilon = float(np.finfo(engine.layout.dtype).eps)
    if engine.loss_name == "log_loss":
        engine.reporting = 0.0 if exactly else epsilon
    elif engine.loss_name == "cross_entropy":
        engine.reporting = 0.0 if exactly else -math.log(epsilon)
    elif engine.loss_name == "squared_error":
        engine.reporting = 1 / engine.layout.sizes[-1]


def minimize(network, samples, regularizers, alpha, *, tol, max_iter, max_fun):
    """Minimise scikit-learn's objective by L-BFGS; the network ends at the minimum.

    If an exception comes before, it ends where the last iteration left it.

    The objective is the mean loss over all samples plus α/2 Σ W² / Σ w; of the regularizers only
    the frozen layers count.

    Returns
    -------
    scipy.optimize.OptimizeResult
    """
    import scipy.optimize

    objective = Objective(network, samples, alpha, regularizers.layer_rules[1:, FROZEN])
    reached = objective.start()

    def note(x):
        nonlocal reached
        reached = x.copy()

    with interrupts.held():
        try:
            with interrupts.released():
                result = scipy.optimize.minimize(
                    objective,
                    reached,
                    method="L-BFGS-B",
                    jac=True,
                    bounds=objective.bounds(),
                    callback=note,
                    options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
                )
            reached = result.x
        finally:
            objective.set(reached)
    return result


class Objective:
    """The objective and its gradient as functions of one vector: all weights, then all others."""

    def __init__(self, network, samples, alpha, frozen):
        self.network, self.samples = network, samples
        layout = network.layout
        arrays = network._engine.arrays
        self.parameters = arrays.all
        self.gradient = layout.zeros(layout.n_parameters)
        self.gradients = layout.views(self.gradient).all
        ends = np.cumsum([view.size for view in self.parameters]).tolist()
        self.slices = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.n_weights = ends[len(arrays.weights) - 1]
        layers = [i for kind in arrays for i in range(len(kind))]
        self.frozen = [part for part, i in zip(self.slices, layers, strict=True) if frozen[i]]
        self.total = samples.total()
        if self.total == 0:  # of weights of both signs; as scikit-learn says it
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        self.penalty = alpha / self.total
        self.data = samples.data(layout.dtype)

    def start(self):
        """Where the network is now."""
        return np.concatenate([np.ravel(view) for view in self.parameters], dtype=np.float64)

    def bounds(self):
        """SciPy's bounds of the parameters; None if no signs are required."""
        signs = self.network._engine.weight_signs
        if not signs:
            return None
        n_biases = self.slices[-1].stop - self.n_weights
        wanted = [*(array.ravel() for array in signs), np.zeros(n_biases)]
        return list(zip(*monotonic.bounds(np.concatenate(wanted)), strict=True))

    def set(self, x):
        """Move the network to x."""
        for view, part in zip(self.parameters, self.slices, strict=True):
            view[...] = x[part].reshape(view.shape)

    def __call__(self, x):
        self.set(x)
        W = x[: self.n_weights]
        loss = self.penalty / 2 * float(W @ W)
        slope = np.zeros_like(x)
        slope[: self.n_weights] = self.penalty * W
        loss += self.network._engine.loss_and_gradient(self.data, self.gradient)
        for part, gradient in zip(self.slices, self.gradients, strict=True):
            slope[part] += gradient.ravel()
        for part in self.frozen:
            slope[part] = 0
        return loss, slope
