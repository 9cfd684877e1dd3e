"""Training on differential equations: the residual of an equation is made small at given points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.numpy_.elementwise import ACTIVATIONS, zero
from ..basis import checks, interrupts, spec
from ..basis.data import Data
from ..basis.names import keywords
from ..engine import jets
from ..network.network import Network, check_network
from ..rules.regularizers import regularizers_of
from ..training import control as control_
from ..training import fitting, sources
from ..training.derivatives import ALL_ROWS, RowsByGradient
from .lbfgs import minimize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import ByLayer, Samples
    from ..rules.optimizers import Optimizer
    from ..rules.regularizers import EMA, SWA
    from ..rules.schedules import Schedule
    from ..training.callbacks import CallbackLike
    from ..training.history import History

LBFGS = "lbfgs"
# The arguments of a residual by which it returns partial derivatives.
NAMES = ("h", "dh", "d2h")
RETURNS = "residual must return (r, its derivatives by h, by dh and by d2h), each an array or None"
# The partial derivatives are compared with differences at this many points.
CHECKED_POINTS = 8
STEP = 6e-6  # of the differences, relative to the argument; about the cube root of epsilon
TOLERANCE = 1e-5


@keywords
def fit_residual(
    net: Network,
    points: ArrayLike,
    residual: Callable[..., tuple[NDArray[Any], Any, Any, Any]],
    *,
    boundary: Samples | None = None,
    boundary_weight: float = 1.0,
    optimizer: Optimizer | str | None = None,
    schedule: Schedule | str | None = None,
    epochs: int = 1000,
    batch_size: int | None = None,
    l1: ByLayer = 0.0,
    l2: ByLayer = 0.0,
    clip_norm: float | None = None,
    average: EMA | SWA | None = None,
    frozen: Sequence[int] = (),
    callbacks: Sequence[CallbackLike] = (),
    shuffle: bool = True,
    progress: bool = False,
    check: bool = True,
) -> History:
    r"""Train a network to solve a differential equation (a physics-informed neural network).

    The equation is r(x, h, ∂h/∂x, ∂²h/∂x²) = 0 for the outputs h(x) of the network. The weights
    are changed in place to minimise

    1/n Σ_x ½ Σ_k r_k² + boundary_weight · (mean loss on the boundary),

    where the first sum is over the n points of a step, and the mean loss is the network's own.

    Parameters
    ----------
    net : Network
        Its hidden activations should be smooth, such as tanh; the second derivatives of relu,
        leaky_relu and prelu are 0.
    points : array-like of shape (n_points, n_0)
        Where the equation is to hold.
    residual : callable
        Called as ``residual(x, h, dh, d2h)`` with arrays of some points: x of shape (n, n_0), the
        outputs h of shape (n, n_m), their derivatives dh with ``dh[r, m, j]`` = ∂h_m/∂x_j, and the
        second derivatives d2h with ``d2h[r, m, j]`` = ∂²h_m/∂x_j², both of shape (n, n_m, n_0).
        It must return the residuals r of shape (n, k), for k equations, and its partial
        derivatives by h, of shape (n, k, n_m), by dh and by d2h, both of shape
        (n, k, n_m, n_0). In each of the three, an axis may have length 1 where all its entries
        are equal, and None stands for zeros. Each row must depend only on the same row of the
        arguments. The arrays are copies, of the network's dtype. A function compiled by
        ``numba.njit`` will do, as any other.
    boundary : (X, y) or (X, y, sample_weight), optional
        Values that h should have, at the boundary or anywhere else. All of them are used in each
        step.
    boundary_weight : float, default=1.0
        How much the loss on the boundary counts.
    optimizer : Optimizer or str, default=Adam()
        As for `Network.fit`. Or "lbfgs", SciPy's L-BFGS-B on all points at once. It often gets much
        further than the others, best after some epochs of Adam, and in float64.
    schedule : Schedule or str, optional
        As for `Network.fit`.
    epochs : int, default=1000
        Number of passes through the points; of iterations at most for "lbfgs".
    batch_size : int or None, default=None
        Number of points per step; None for all.
    l1, l2, clip_norm, average, frozen, callbacks, shuffle
        As for `Network.fit`.
    progress : bool, default=False
        Show a progress bar.
    check : bool, default=True
        Before training, compare the partial derivatives that `residual` returns with finite
        differences at a few points, in float64.

    Returns
    -------
    History
        ``loss`` is the objective by epoch, penalties included; for "lbfgs" at the start and after
        each iteration. After Ctrl-C, there is a warning, and the network has the weights of the
        last step.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, and where the partial derivatives are wrong; the network is unchanged.
    TrainingDiverged
        If the objective or the weights are not finite.

    See Also
    --------
    Network.fit : Training on samples, also with known derivatives (``dy``).
    Network.input_hessian_diagonal : The derivatives that `residual` is given.

    Notes
    -----
    There are no mixed second derivatives ∂²h/∂x_i∂x_j. With "lbfgs", schedule, batch_size, l1,
    clip_norm, average and callbacks are refused.

    References
    ----------
    Raissi, Perdikaris and Karniadakis, "Physics-informed neural networks", Journal of
    Computational Physics 378, 2019.

    Examples
    --------
    h' = h with h(0) = 1, whose solution is exp(x):

    >>> import numpy as np, fastbp
    >>> def residual(x, h, dh, d2h):
    ...     return dh[:, :, 0] - h, -np.ones((1, 1, 1)), np.ones((1, 1, 1, 1)), None
    >>> net = fastbp.Network(
    ...     [1, 16, 1], activation="tanh", loss="squared_error", dtype="float64", seed=0
    ... )
    >>> x = np.linspace(0, 1, 30).reshape(-1, 1)
    >>> history = fastbp.fit_residual(
    ...     net, x, residual, boundary=([[0.0]], [1.0]), optimizer="lbfgs"
    ... )
    >>> bool(np.abs(net.predict(x) - np.exp(x)).max() < 1e-3)
    True
    """
    check_network("net", net)
    engine = net._engine
    engine.check_one_loss("fit_residual")
    engine.check_finite()
    if not callable(residual):
        raise TypeError(f"residual must be a function, got {residual!r}")
    data = None
    if boundary is not None:
        names = ("boundary X", "boundary y", "boundary sample_weight")
        data = engine.data(*sources.parts("boundary", boundary), names=names)
    weight = checks.real_number("boundary_weight", boundary_weight)
    if boundary is None and weight != 1:
        raise ValueError("boundary_weight is that of known values; pass boundary, too")
    X = engine.apart(engine.samples(points, "points"))
    samples = Points(X, engine.layout.sizes[-1], residual, data, weight, batch_size, shuffle)
    regularizers = regularizers_of(
        len(net.weights), l1=l1, l2=l2, frozen=frozen, clip_norm=clip_norm, average=average
    )
    samples.begin(engine, checks.flag("check", check))
    options: dict[str, Any] = dict(optimizer=optimizer, schedule=schedule, callbacks=callbacks)
    by_lbfgs = isinstance(optimizer, str) and optimizer.lower() == LBFGS
    if by_lbfgs:
        others = dict(l1=l1, clip_norm=clip_norm, average=average, batch_size=batch_size)
        _check_for_lbfgs(schedule=schedule, callbacks=callbacks, **others)
        options["optimizer"] = None
    control = control_.control(net, epochs=epochs, progress=progress, **options)
    if control.checkpoints:
        raise ValueError("fit_residual cannot resume a training, so Checkpoint is of no use to it")
    samples.begin(engine, checks.flag("check", check))
    if by_lbfgs:
        return minimize(engine, samples, regularizers, control.epochs, progress)
    return fitting.fit(net, samples, control, regularizers, None)


def _check_for_lbfgs(**options):
    """Refuse options that are not at their defaults."""
    for name, value in options.items():
        if value is not None and np.size(value) and np.any(value):
            raise ValueError(f'optimizer="lbfgs" takes no {name}, got {value!r}')


class Points(RowsByGradient):
    """Points with the residual of an equation, as a source of samples.

    Parameters
    ----------
    X : real array of shape (n, n_0)
    n_outputs : int
    residual : callable
        As for `fit_residual`.
    boundary : Data or None
    boundary_weight : float
    batch_size, shuffle
        As for `Rows`.
    """

    def __init__(self, X, n_outputs, residual, boundary, boundary_weight, batch_size, shuffle):
        no_targets = np.zeros((len(X), n_outputs), X.dtype)
        data = Data(X, checks.NO_LABELS, no_targets, np.empty(0, X.dtype))
        super().__init__(data, batch_size, shuffle)
        self.residual = residual
        self.boundary, self.boundary_weight = boundary, boundary_weight

    def objective(self, engine, rows, gradient, spare, stop):
        X = self.data.X if rows is ALL_ROWS else self.data.X[rows]
        n, n_inputs = X.shape
        p = jets.JetPass(engine, X, n_inputs, spare=spare)
        r, by_h, by_dh, by_d2h = self.call(X.copy(), *arguments(p.h))
        with np.errstate(all="ignore"):
            mean = float(np.square(r, dtype=np.float64).sum()) / (2 * n)
            shares, adjoints = r / n, np.zeros_like(p.h)
            if by_h is not None:
                adjoints[0] = np.einsum("rk,rkm->rm", shares, by_h)
            if by_dh is not None:
                adjoints[1 : 1 + n_inputs] = np.einsum("rk,rkmj->jrm", shares, by_dh)
            if by_d2h is not None:
                adjoints[1 + n_inputs :] = np.einsum("rk,rkmj->jrm", shares, by_d2h)
            gradient[...] = p.backward(by_h=adjoints)
            if self.boundary is not None:
                of_boundary = np.zeros_like(gradient)
                loss = engine.loss_and_gradient(self.boundary, of_boundary)
                mean += self.boundary_weight * loss
                gradient += self.boundary_weight * of_boundary
        return mean, float(n)

    def call(self, x, h, dh, d2h):
        """What the residual returns, with the shapes checked; None stays None."""
        with interrupts.released():
            found = self.residual(x, h, dh, d2h)
        if not isinstance(found, (tuple, list)) or len(found) != 4:
            what = f"{len(found)} values" if isinstance(found, (tuple, list)) else repr(found)
            raise TypeError(f"{RETURNS}, got {what}")
        n, n_outputs = h.shape
        r = checks.real_numbers("the first value that residual returned", found[0])
        if r.ndim != 2 or len(r) != n or not r.shape[1]:
            raise ValueError(f"residual must return r of shape ({n}, k), got {r.shape}")
        r = r.astype(np.result_type(r, h), copy=False)  # r may be of int, bool or float16
        whole = (n, r.shape[1], n_outputs, x.shape[1])
        partials = []
        for name, value in zip(NAMES, found[1:], strict=True):
            if value is not None:
                shape = whole[:3] if name == "h" else whole
                value = checks.real_numbers(f"the derivative of r by {name}", value)
                pairs = zip(value.shape, shape, strict=False)
                if value.ndim != len(shape) or any(a not in (1, b) for a, b in pairs):
                    raise ValueError(
                        f"residual must return the derivative of r by {name} of shape {shape}, "
                        f"where an axis may have length 1, got {value.shape}"
                    )
                value = np.broadcast_to(value, shape)
            partials.append(value)
        return r, *partials

    def begin(self, engine, check):
        """Call the residual at a few points, to find errors before training.

        With `check`, compare the partial derivatives with central differences there.
        """
        X = self.data.X
        few = np.unique(np.linspace(0, len(X) - 1, CHECKED_POINTS).astype(int))
        of_outputs = jets.JetPass(engine, X[few], X.shape[1]).h
        found = self.call(X[few], *arguments(of_outputs))
        for name, array in zip(("residual", *NAMES), found, strict=True):
            if array is not None and not np.isfinite(array).all():
                what = name if name == "residual" else f"derivative of r by {name}"
                raise ValueError(checks.not_finite(f"the {what}", array))
        if found[-1] is not None and _is_piecewise_linear(engine):
            raise ValueError(
                "the residual depends on second derivatives, but the second derivatives of this "
                f"network are 0 everywhere, since its activations are {_listed(engine)}; use "
                'smooth ones, such as activation="tanh"'
            )
        if check:
            x, *given = (np.array(a, np.float64) for a in (X[few], *arguments(of_outputs)))
            self._compare(few, x, given)

    def _compare(self, few, x, given):
        """Compare the partial derivatives at (x, h, dh, d2h) with central differences."""

        def call():
            # Copies on both sides: the residual may write to its arguments, and return the same
            # arrays each time.
            found = self.call(x.copy(), *(array.copy() for array in given))
            return [None if array is None else array.copy() for array in found]

        r, *partials = call()
        for name, array, partial in zip(NAMES, given, partials, strict=True):
            for index in np.ndindex(array.shape[1:]):
                comp = np.zeros_like(r) if partial is None else partial[:, :, *index]
                entries = array[:, *index]
                kept = entries.copy()
                step = STEP * np.maximum(1, np.abs(kept))
                sides = []
                for sign in (1, -1):
                    entries[...] = kept + sign * step
                    sides.append(call()[0])
                entries[...] = kept
                ref = (sides[0] - sides[1]) / (2 * step[:, None])
                scale = max(np.abs(ref).max(), np.abs(comp).max())
                rounding = 1e-14 * np.abs(r).max() / step.min()
                wrong = ~(np.abs(comp - ref) <= TOLERANCE * scale + rounding)
                if wrong.any():
                    row, k = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                    place = ", ".join(["r", str(k), *map(str, index)])
                    raise ValueError(
                        f"residual returns a wrong derivative by {name}: at points[{few[row]}], "
                        f"the entry [{place}] is {comp[row, k]:.6g}, but the difference quotient "
                        f"of r is {ref[row, k]:.6g}. Each row may depend only on its own row of "
                        "the arguments. At a kink the two may differ; check=False skips this"
                    )


def _is_piecewise_linear(engine):
    """Whether the second derivatives of the network by its inputs are 0."""
    layout = engine.layout
    names = {*layout.activations, engine.output_activation} - {"prelu"}
    if layout.norm or layout.own_activations or not names <= {*spec.ACTIVATIONS}:  # exp or softmax
        return False
    return all(ACTIVATIONS[spec.ACTIVATIONS[n].code].second_derivative is zero for n in names)


def _listed(engine):
    return " and ".join(sorted(set(map(str, engine.layout.activations)))) or "none"


def arguments(jets_of_outputs):
    """h, dh and d2h in the shapes in which a residual gets them."""
    n_inputs = len(jets_of_outputs) // 2
    parts = jets_of_outputs[1 : 1 + n_inputs], jets_of_outputs[1 + n_inputs :]
    h = jets_of_outputs[0].copy()
    return h, *(np.ascontiguousarray(part.transpose(1, 2, 0)) for part in parts)
