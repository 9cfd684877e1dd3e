"""The Levenberg-Marquardt algorithm, which solves small regression problems to full precision.

SciPy's solvers choose the steps; the compiled backends compute residuals and Jacobians.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..basis import checks, inputs, interrupts, monotonic, spec
from ..basis.layout import PARAMETERS
from ..basis.names import keywords
from ..engine import output
from ..engine.parameters import Gradient
from ..network.network import Network, check_network
from ..rules.regularizers import indices, regularizers_of
from ..training.history import History, TrainingDiverged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from ..basis.annotations import ByLayer


@dataclass
class LeastSquares(History):
    """Result of `levenberg_marquardt`.

    Attributes
    ----------
    loss : list of float
        The loss at the start and after each accepted step, including penalties.
    validation_loss, scores, learning_rate, best_epoch
        Not used: empty, or None.
    interrupted : bool
        Whether Ctrl-C ended the search early.
    head_losses
        Not used: empty.
    converged : bool
        Whether a tolerance was met. If not, the maximum number of evaluations was reached.
    message : str
        The reason why the search ended.
    evaluations : int
        Number of evaluations of the residuals.
    standard_errors : Gradient
        Standard errors of the parameters, in their shapes: from the inverse of JᵀJ and
        the residual variance, as in nonlinear regression. 0 for frozen parameters; NaN if there
        are no more residuals than parameters.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.linspace(-1, 1, 20).reshape(-1, 1)
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> result = fastbp.levenberg_marquardt(net, X, 3 * X - 1)
    >>> result.converged, net.weights[0].round(6).item(), net.biases[0].round(6).item()
    (True, 3.0, -1.0)
    >>> result.standard_errors.weights[0].shape
    (1, 1)
    """

    converged: bool = False
    message: str = ""
    evaluations: int = 0
    standard_errors: Gradient = field(default_factory=lambda: Gradient([], []))


@keywords
def levenberg_marquardt(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    l2: ByLayer = 0.0,
    frozen: Sequence[int] = (),
    frozen_biases: Sequence[int] = (),
    tolerance: float = 1e-8,
    max_evaluations: int | None = None,
) -> LeastSquares:
    """Fit a network with loss "squared_error" by nonlinear least squares.

    The algorithm suits up to a few hundred parameters, and data whose Jacobian fits into memory
    (n_samples n_m rows, and a column for each parameter). On such problems it reaches a minimum
    in tens of steps, which the optimisers of `Network.fit` only approach in thousands.

    Parameters
    ----------
    net : Network
        The search starts at its parameters; they are changed in place.
    X : array-like of shape (n_samples, n_0)
    y : array-like of shape (n_samples,) or (n_samples, n_m)
    sample_weight : array-like of shape (n_samples,), optional
        Weights w ≥ 0, not all zero.
    l2 : float or sequence of float, default=0.0
        Add l2 / 2 Σ W² over weights, not biases, to the loss; a number for all layers, or one
        for each.
    frozen : sequence of int, default=()
        Indices of the entries of ``weights`` and ``biases`` to keep unchanged.
    frozen_biases : sequence of int, default=()
        Indices of the entries of ``biases`` to keep unchanged.
    tolerance : float, default=1e-8
        Stop when the relative change of the loss or of the parameters is below this, or when the
        residuals are orthogonal to the Jacobian's columns to within this cosine.
    max_evaluations : int, optional
        Maximum number of evaluations of the residuals. By default SciPy's limit, 100 times the
        number of parameters.

    Returns
    -------
    LeastSquares

    Raises
    ------
    TypeError, ValueError
        For bad arguments; the network is unchanged.
    TrainingDiverged
        If the residuals overflow; the network is unchanged.

    Notes
    -----
    All computations are in float64 for a network of any dtype. If there are at least as many
    residuals as parameters, the solver is ``scipy.optimize.least_squares(method="lm")`` (MINPACK's
    lmder), else its trust-region method "trf". A network with ``monotonic_cst`` needs "trf", too,
    which keeps weights within bounds; the standard errors are those without the bounds.

    References
    ----------
    Moré, "The Levenberg-Marquardt Algorithm: Implementation and Theory", Numerical Analysis,
    Lecture Notes in Mathematics 630, 1978.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> net = fastbp.Network([1, 4, 1], activation="tanh", loss="squared_error", seed=0)
    >>> found = fastbp.levenberg_marquardt(net, X, np.sin(3 * X))
    >>> found.loss[0] > 0.1, found.loss[-1] < 1e-4
    (True, True)
    """
    check_network("net", net)
    net._engine.check_one_loss("levenberg_marquardt")
    if net._engine.loss_name != "squared_error":
        raise ValueError(f"levenberg_marquardt requires the loss 'squared_error', got {net.loss!r}")
    inputs.refuse(net.layout, "levenberg_marquardt")
    tolerance = checks.real_number("tolerance", tolerance, np.finfo(float).eps, 1.0)
    if max_evaluations is not None:
        max_evaluations = checks.whole_number("max_evaluations", max_evaluations)
    problem = Problem(net, X, y, sample_weight, l2, frozen, frozen_biases)
    return problem.solve(net, tolerance, max_evaluations)


class Problem:
    """The residuals √(w / Σw) (h - y) and √l2 W as a function of the parameters not frozen."""

    def __init__(self, net, X, y, sample_weight, l2, frozen, frozen_biases):
        net._engine.check_finite()
        m = len(net.weights)
        layer_rules = regularizers_of(m, l2=l2, frozen=frozen).layer_rules[1:]
        frozen_biases = indices("frozen_biases", frozen_biases, m)
        self.twin = net._engine.converted("float64", net.backend)
        self.data = self.twin.data(X, y, sample_weight).with_weight()
        n_parameters = net.layout.n_numbers
        self.all = np.empty(n_parameters)  # in the order W_1, b_1, W_2, ...
        penalties, free = np.zeros(n_parameters), np.ones(n_parameters, bool)
        places, factors = self.twin.by_layer(free), self.twin.by_layer(penalties)
        for there, array in zip(self._views(), net._engine.arrays.all, strict=True):
            there[...] = array
        for i in range(m):
            factors.weights[i][...] = np.sqrt(layer_rules[i, spec.L2])
            if layer_rules[i, spec.FROZEN]:
                for kind in PARAMETERS:
                    for place in getattr(places, kind)[i : i + 1]:
                        place[...] = False
            elif i + 1 in frozen_biases:
                places.biases[i][...] = False
        self.free = free
        self.bounds = monotonic.bounds(self._signs()[free])
        self.penalties = np.where(free, penalties, 0)
        self.penalised = np.flatnonzero(self.penalties)
        w = self.data.sample_weight if self.data.sample_weight.size else np.ones(len(self.data.X))
        self.shares = np.sqrt(w / w.sum())
        self.history = LeastSquares()
        self.loss = np.inf
        self.accepted = self.all[self.free]

    def _signs(self):
        """The signs that the parameters must have, in the order of `all`; 0 for any."""
        signs = np.zeros(self.all.size)
        for array, wanted in zip(
            self.twin.by_layer(signs).weights, self.twin.weight_signs, strict=False
        ):
            array[...] = wanted
        return signs

    def _views(self):
        """The arrays of `all`, in the order of ``Arrays.all``."""
        here = self.twin.by_layer(self.all)
        return [array for kind in PARAMETERS for array in getattr(here, kind)]

    def move(self, x):
        """Set the free parameters to x."""
        self.all[self.free] = x
        for view, numbers in zip(self.twin.arrays.all, self._views(), strict=True):
            view[...] = numbers

    def residuals(self, x):
        self.move(x)
        of_data = (self.twin.outputs(self.data.X) - self.data.targets) * self.shares[:, None]
        of_penalties = self.penalties[self.penalised] * self.all[self.penalised]
        r = np.concatenate([of_data.ravel(), of_penalties])
        self.loss = float(r @ r) / 2
        self.history.evaluations += 1
        return r

    def jacobian(self, x):
        """Return the Jacobian at x; SciPy calls this only at the point of the last residuals."""
        with interrupts.held():
            self.history.loss.append(self.loss)
            self.accepted = x.copy()
        of_data = output.jacobian_by_parameters(self.twin, self.data.X) * self.shares[:, None, None]
        of_data = of_data.reshape(-1, self.all.size)
        of_penalties = np.zeros((self.penalised.size, self.all.size))
        rows = np.arange(self.penalised.size)
        of_penalties[rows, self.penalised] = self.penalties[self.penalised]
        return np.concatenate([of_data, of_penalties])[:, self.free]

    def solve(self, net, tolerance, max_evaluations):
        import scipy.optimize

        history, start = self.history, self.all[self.free]
        n_residuals = self.data.targets.size + self.penalised.size
        bounded = self.twin.signs.size > 0
        try:
            result = scipy.optimize.least_squares(
                self.residuals,
                start,
                self.jacobian,
                method="lm" if n_residuals >= start.size and not bounded else "trf",
                bounds=self.bounds,
                x_scale=1.0,  # SciPy's default, the norms of J's columns, fails at flat starts
                ftol=tolerance,
                xtol=tolerance,
                gtol=tolerance,
                max_nfev=max_evaluations,
            )
        except KeyboardInterrupt:
            history.interrupted = True
            self.move(self.accepted)
            warnings.warn(
                f"interrupted after {len(history.loss)} steps", RuntimeWarning, stacklevel=3
            )
        else:
            if not np.isfinite(result.cost):
                raise TrainingDiverged(len(history.loss), "the residuals overflow", history)
            history.converged, history.message = result.status > 0, result.message
            history.loss.append(float(result.cost))
            history.standard_errors = self.standard_errors(result)
            self.move(result.x)
        with interrupts.held():
            for kind, arrays in self.twin.arrays._asdict().items():
                own = getattr(net, kind)
                for i, array in enumerate(arrays):
                    own[i] = array
        return history

    def standard_errors(self, result):
        """Compute standard errors from the residuals of the data, not of the penalties."""
        errors = np.zeros(self.all.size)
        n = self.data.targets.size
        J, degrees = result.jac[:n], n - result.x.size
        errors[self.free] = np.nan
        if degrees > 0:
            variance = result.fun[:n] @ result.fun[:n] / degrees
            with np.errstate(invalid="ignore"):
                errors[self.free] = np.sqrt(np.diag(np.linalg.pinv(J.T @ J)) * variance)
        return self.twin.by_layer(errors)
