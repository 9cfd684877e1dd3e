"""L-BFGS through SciPy, on an objective that a source of samples computes."""

import warnings

import numpy as np

from ..basis import interrupts, monotonic, spec
from ..basis import progress as progress_
from ..training.derivatives import ALL_ROWS
from ..training.history import History, TrainingDiverged

# Beyond SciPy's defaults, with which it would stop long before the minimum.
OPTIONS = {"maxcor": 50, "ftol": 1e-15, "gtol": 1e-10, "maxls": 50}


def minimize(engine, samples, regularizers, iterations, progress):
    """Minimise the mean objective of all samples; the network ends at the minimum.

    Parameters
    ----------
    engine : Engine
    samples : training.derivatives.RowsByGradient
    regularizers : Regularizers
        Only l2 and frozen layers count.
    iterations : int
    progress : bool

    Returns
    -------
    History
        The objective at the start and after each iteration. If an exception comes before the end,
        the network is where the last iteration left it.
    """
    import scipy.optimize

    objective = Objective(engine, samples, regularizers.layer_rules[1:])
    history, reached = History(), objective.start()
    value, slope = objective(reached)
    if not (np.isfinite(value) and np.isfinite(slope).all()):
        what = f"the loss is {value:g}" if not np.isfinite(value) else "the gradient is not finite"
        raise TrainingDiverged(1, what, history)
    history.loss.append(float(value))
    with progress_.bar(progress, total=iterations, unit="iteration") as bar:

        def note(intermediate_result):
            nonlocal reached
            with interrupts.held():
                reached = intermediate_result.x.copy()
                history.loss.append(float(intermediate_result.fun))
            bar.update()

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
                        options={**OPTIONS, "maxiter": iterations, "maxfun": 20 * iterations},
                    )
            except KeyboardInterrupt:
                history.interrupted = True
            finally:
                objective.set(reached)
    if not history.interrupted and not np.isfinite(result.fun):
        raise TrainingDiverged(len(history.loss), f"the loss is {result.fun:g}", history)
    if history.interrupted:
        warnings.warn(
            f"training interrupted after {len(history.loss) - 1} of {iterations} iterations",
            RuntimeWarning,
            stacklevel=3,
        )
    return history


class Objective:
    """The objective and its gradient as functions of one vector, of all layers not frozen."""

    def __init__(self, engine, samples, layer_rules):
        self.engine, self.samples = engine, samples
        self.spare: dict = {}
        self.stop = np.zeros(1, np.int64)
        layout = engine.layout
        self.gradient = layout.zeros(layout.n_parameters)
        of_weights, of_biases, *_ = layout.views(self.gradient)
        free = [i for i, rules in enumerate(layer_rules) if not rules[spec.FROZEN]]
        self.free = free
        # (parameters, gradient, l2) of each array that may change.
        self.arrays = [(engine.weights[i], of_weights[i], layer_rules[i, spec.L2]) for i in free]
        self.arrays += [(engine.biases[i], of_biases[i], 0.0) for i in free]
        ends = np.cumsum([own.size for own, _, _ in self.arrays]).tolist()
        self.slices = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def start(self):
        """Where the network is now."""
        return np.concatenate([own.ravel() for own, _, _ in self.arrays], dtype=np.float64)

    def bounds(self):
        """SciPy's bounds of the parameters; None if no signs are required."""
        signs = self.engine.weight_signs
        if not signs:
            return None
        wanted = [signs[i].ravel() for i in self.free]
        wanted += [np.zeros(self.engine.biases[i].size) for i in self.free]
        return list(zip(*monotonic.bounds(np.concatenate(wanted)), strict=True))

    def set(self, x):
        """Move the network to x."""
        for (own, _, _), part in zip(self.arrays, self.slices, strict=True):
            own[...] = x[part].reshape(own.shape)

    def __call__(self, x):
        with np.errstate(over="ignore"):
            self.set(x)
            value, _ = self.samples.objective(
                self.engine, ALL_ROWS, self.gradient, self.spare, self.stop
            )
            slope = np.empty_like(x)
            for (own, gradient, l2), part in zip(self.arrays, self.slices, strict=True):
                W = own.astype(np.float64).ravel()
                slope[part] = gradient.ravel() + l2 * W
                value += l2 / 2 * float(W @ W)
        return value, slope
