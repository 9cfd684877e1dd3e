"""Integrated gradients: shares of the inputs in the difference of two outputs.

The integral along the straight line from the baseline to a row is divided into panels. Panels end
where a unit passes a kink of its activation. Between kinks, a network of relu and its like has
constant derivatives, and the others have smooth ones, for which a Gauss-Kronrod rule is accurate to
many digits. Panels whose error is too large are halved. So are panels in which a smooth unit goes
so far that its whole step may lie between two nodes of the rule, where no error would show.
"""

import warnings
from typing import NamedTuple

import numpy as np

from ..basis import checks, inputs, tables
from ..basis.layout import S, layer_view
from . import buffers, jets

# Where the activations have kinks; elu and selu have them in the second derivative.
KINKS = {
    "relu": (0.0,),
    "prelu": (0.0,),
    "leaky_relu": (0.0,),
    "elu": (0.0,),
    "selu": (0.0,),
    "hard_tanh": (-1.0, 1.0),
}
# Those whose derivatives are constant between kinks.
PIECEWISE_LINEAR = ("identity", "relu", "leaky_relu", "prelu", "hard_tanh")
# The error of all panels and of one, relative to the integral of the derivatives' sizes.
TOLERANCE = 1e-6
PANEL_TOLERANCE = 1e-9
# A smooth activation bends where abs(s) is at most BENT; s goes at most so far there in a panel.
BENT = 20.0
FARTHEST = 16.0
ROUNDING = 1e-14  # what is lost of the outputs' digits
SMALLEST_SHARE = 1 / 64  # of a row's tolerance that a panel may use, however short it is
SHORTEST = 1e-13  # a panel that is shorter is left out, and a kink that near an end is none
MOST_PANELS = 2000  # of a row; beyond, panels are not halved any more
# The search for a kink ends if s is that near to it, relative to s at the ends of the panel.
CLOSE = 1e-13
MOST_ROUNDS = 20
# Arrays have about so many numbers, with that many panels a row.
MOST_NUMBERS = 1 << 22
EXPECTED_PANELS = 64

# The nodes and weights of the 15-point Kronrod rule on [-1, 1], and the weights of the 7-point
# Gauss rule that has every second of the nodes (Piessens et al., QUADPACK, 1983, routine qk15).
_NODES = [
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691693013,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
    0.0,
]
_KRONROD = [
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
    0.209482141084727828012999174891714,
]
_GAUSS = [
    *(0.0, 0.129484966168869693270611432679082, 0.0, 0.279705391489276667901467771423780),
    *(0.0, 0.381830050505118944950369775488975, 0.0, 0.417959183673469387755102040816327),
]


class Rule(NamedTuple):
    """A quadrature rule on [0, 1], and weights of a coarser one, which tell the error."""

    nodes: np.ndarray
    weights: np.ndarray
    coarse: np.ndarray


def _kronrod():
    both = [np.array([*half, *half[-2::-1]]) / 2 for half in (_NODES, _KRONROD, _GAUSS)]
    nodes, weights, coarse = both
    nodes[len(_NODES) :] *= -1
    return Rule(0.5 - nodes, weights, coarse)


MIDPOINT = Rule(np.array([0.5]), np.ones(1), np.ones(1))
KRONROD = _kronrod()


class Panels(NamedTuple):
    """Parts of the lines: the row of each, and where it begins and ends on the line from 0 to 1."""

    row: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def at(self, chosen):
        return Panels(*(array[chosen] for array in self))


def integrated_gradients(engine, X, baseline=None, output=None):
    """(x_j - x'_j) ∫ ∂h_k/∂x_j dα along the line from x' to x, in float64.

    Parameters
    ----------
    engine : Engine
        Of any dtype; a copy in float64 computes.
    X : array-like of shape (n, n_0)
        x of each row.
    baseline : array-like of shape (n_0,) or (n, n_0), optional
        x', by default 0.
    output : int, optional
        k, by default all outputs.

    Returns
    -------
    float64 array of shape (n, n_m, n_0), or (n, n_0) with an output.
    """
    inputs.refuse(engine.layout, "integrated_gradients")
    if engine.layout.dtype != np.float64:
        engine = engine.converted(np.float64, engine.backend.name)
    X = engine.samples(X)
    n, n_in = X.shape
    n_out = engine.layout.sizes[-1]
    if output is not None:
        output = checks.whole_number("output", output, 0, n_out - 1)
        n_out = 1
    baseline = checked_baseline(baseline, n, n_in)
    baseline = (
        np.zeros_like(X)
        if baseline is None
        else np.ascontiguousarray(np.broadcast_to(baseline, X.shape))
    )
    found, size = np.zeros((n, n_out, n_in)), np.zeros((n, n_out))
    widest = max(n_in * n_out, 2 * sum(engine.layout.sizes[1:]))
    rows = max(1, MOST_NUMBERS // (EXPECTED_PANELS * widest))
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        lines = Lines(engine, X[part], baseline[part], output)
        found[part], size[part] = lines.integrals()
    _check_sums(found, size, *(_outputs(engine, array, output) for array in (X, baseline)))
    return found if output is None else found[:, 0]


def checked_baseline(baseline, n, n_features):
    """Return a baseline for n rows as a finite float64 array of one or two dimensions, or None."""
    if baseline is None:
        return None
    array = checks.real_numbers("baseline", baseline, tables.ENCODED)
    if array.shape not in ((n_features,), (n, n_features)):
        raise ValueError(
            f"baseline must have shape ({n_features},) or ({n}, {n_features}), got {array.shape}"
        )
    return checks.parameter(array, array.shape, np.float64, "baseline")


def _outputs(engine, X, output):
    h = engine.outputs(X)
    return h if output is None else h[:, [output]]


def _check_sums(found, size, of_X, of_baseline):
    """Warn where integrals do not add up to the difference of the outputs."""
    with np.errstate(invalid="ignore"):
        rise = of_X - of_baseline
        errors = np.abs(found.sum(axis=2) - rise)
        missed = ~(errors <= TOLERANCE * np.maximum(size, np.abs(rise)))
    if missed.any():
        warnings.warn(
            f"the integrated gradients of {missed.any(axis=1).sum()} of {len(found)} rows do not "
            "add up to the difference of the outputs; the largest error is "
            f"{np.max(errors[missed]):.2g} after at most {MOST_PANELS} panels a row",
            RuntimeWarning,
            stacklevel=4,
        )


class Kinked(NamedTuple):
    """A layer whose activation has kinks."""

    number: int
    kinks: tuple
    linear: bool  # whether its pre-activations are linear between the kinks of the layers below


class Lines:
    """The lines from the baselines to some rows."""

    def __init__(self, engine, X, baseline, output):
        self._engine, self._baseline, self._step = engine, baseline, X - baseline
        self._output = output
        self._n_out = engine.layout.sizes[-1] if output is None else 1
        names = [*engine.layout.activations, engine.output_activation]
        straight = engine.layout.norm is None  # a normalisation is a curve
        self._kinked: list[Kinked] = []
        # Hidden layers that are smooth but not linear. The output's step shows in the outputs.
        self._bending = [i + 1 for i, name in enumerate(names[:-1]) if name not in PIECEWISE_LINEAR]
        for i, name in enumerate(names):
            if name in KINKS:
                linear = straight and all(below in PIECEWISE_LINEAR for below in names[:i])
                self._kinked.append(Kinked(i + 1, KINKS[name], linear))
        linear = straight and all(name in PIECEWISE_LINEAR for name in names)
        self._rule = MIDPOINT if linear else KRONROD

    def _points(self, row, place):
        """The points at these places of the lines."""
        return self._baseline[row] + place[:, None] * self._step[row]

    def integrals(self):
        """The integrals of x_j' ∂h/∂x_j, and of the sum of their sizes."""
        n, n_in = self._step.shape
        found, size = np.zeros((n, self._n_out, n_in)), np.zeros((n, self._n_out))
        panels = Panels(np.arange(n), np.zeros(n), np.ones(n))
        count = np.ones(n, np.int64)
        while len(panels.row):
            panels, cut = self._cut_at_kinks(panels)
            count += np.bincount(cut.row, minlength=n)
            whole, of_panels, errors, rounding = self._of_panels(panels)
            # Of a row, what is settled and what is not yet.
            here = size.copy()
            np.add.at(here, panels.row, of_panels)
            share = np.maximum(panels.end - panels.start, SMALLEST_SHARE)
            allowed = PANEL_TOLERANCE * share[:, None] * here[panels.row] + rounding
            done = ~(errors > allowed).any(axis=1)  # NaN, too: no panel would be better
            done &= ~self._go_far(panels)
            done |= (count[panels.row] >= MOST_PANELS) | (panels.end - panels.start < SHORTEST)
            np.add.at(found, panels.row[done], whole[done])
            np.add.at(size, panels.row[done], of_panels[done])
            halves = panels.at(~done)
            middle = (halves.start + halves.end) / 2
            count += np.bincount(halves.row, minlength=n)
            panels = Panels(
                np.concatenate([halves.row, halves.row, cut.row]),
                np.concatenate([halves.start, middle, cut.start]),
                np.concatenate([middle, halves.end, cut.end]),
            )
        return found, size

    def _cut_at_kinks(self, panels):
        """(panels without kinks, parts of the others), cut at the first layer that has some."""
        n = len(panels.row)
        if not self._kinked:
            return panels, panels.at(slice(0, 0))
        ends = self._at_ends(panels, [layer.number for layer in self._kinked])
        free = np.ones(n, bool)
        which, where = [np.arange(n), np.arange(n)], [panels.start, panels.end]
        for layer, s in zip(self._kinked, ends, strict=True):
            still = free.copy()
            for kink in layer.kinks:
                before, after = s[:n] - kink, s[n:] - kink
                crosses = (before < 0) & (after > 0) | (before > 0) & (after < 0)
                panel, unit = np.nonzero(crosses & still[:, None])
                crossed = panels.at(panel)
                place = self._crossings(
                    crossed, layer, unit, kink, before[panel, unit], after[panel, unit]
                )
                inside = (place > crossed.start + SHORTEST) & (place < crossed.end - SHORTEST)
                free[panel[inside]] = False
                which.append(panel[inside])
                where.append(place[inside])
        owner, place = np.concatenate(which), np.concatenate(where)
        order = np.lexsort((place, owner))
        owner, place = owner[order], place[order]
        parts = (owner[:-1] == owner[1:]) & ~free[owner[:-1]] & (np.diff(place) >= SHORTEST)
        rows = panels.row[owner[:-1][parts]]
        return panels.at(free), Panels(rows, place[:-1][parts], place[1:][parts])

    def _crossings(self, panels, layer, unit, kink, before, after):
        """Where s of one unit for each panel passes a kink.

        s - kink is `before` at the start and `after` at the end, of different signs. In between it
        is linear, or else the false position method in the Illinois version finds the zero.
        """
        start, end = panels.start.copy(), panels.end.copy()
        place = start + (end - start) * (before / (before - after))
        if layer.linear:
            return place
        before, after = before.copy(), after.copy()
        last = np.zeros(len(unit))  # the end that has moved: -1, 1, or 0 for none
        close = CLOSE * (np.abs(before) + np.abs(after))
        active = np.arange(len(unit))
        for _ in range(MOST_ROUNDS):
            if not len(active):
                break
            x = place[active]
            (s,) = self._preactivations(panels.row[active], x, [layer.number])
            f = s[np.arange(len(active)), unit[active]] - kink
            moved = np.where((f > 0) & (before[active] > 0) | (f < 0) & (before[active] < 0), -1, 1)
            again = active[moved == last[active]]
            left, right = active[moved < 0], active[moved > 0]
            after[again[last[again] < 0]] /= 2
            before[again[last[again] > 0]] /= 2
            start[left], before[left] = x[moved < 0], f[moved < 0]
            end[right], after[right] = x[moved > 0], f[moved > 0]
            last[active] = moved
            active = active[np.abs(f) > close[active]]
            place[active] = start[active] + (end[active] - start[active]) * (
                before[active] / (before[active] - after[active])
            )
        return place

    def _go_far(self, panels):
        """Which panels have a unit whose s goes far where its activation bends."""
        far = np.zeros(len(panels.row), bool)
        for s in self._at_ends(panels, self._bending) if self._bending and far.size else ():
            low, high = np.sort(s.reshape(2, len(far), -1), axis=0)
            with np.errstate(over="ignore", invalid="ignore"):
                far |= ((high - low > FARTHEST) & (low < BENT) & (high > -BENT)).any(axis=1)
        return far

    def _at_ends(self, panels, layers):
        """s of these layers at all starts of the panels, and then at all ends."""
        places = np.concatenate([panels.start, panels.end])
        return self._preactivations(np.tile(panels.row, 2), places, layers)

    def _preactivations(self, row, place, layers):
        """s of these layers at these points: a list of arrays of shape (points, n_i)."""
        engine, layout = self._engine, self._engine.layout.for_derivatives
        model, sizes = engine.model_of(layout), layout.sizes
        found = [np.empty((len(row), sizes[i])) for i in layers]
        block = layout.block_rows(len(row))
        workspace = buffers.take(layout, layout.workspace_size(block))
        for start in range(0, len(row), block):
            rows = slice(start, start + block)
            X = np.ascontiguousarray(self._points(row[rows], place[rows]))
            n = len(X)
            h = np.empty((n, sizes[-1]))
            engine.backend.predict(model, X, n, workspace, h)
            for i, array in zip(layers, found, strict=True):
                view = layer_view(layout.plan, workspace, n, i, S)
                array[rows] = view.reshape(n, -1)[:, : sizes[i]]
        buffers.give(workspace)
        engine.raise_of_activations()
        return found

    def _of_panels(self, panels):
        """Each panel's integrals, the integral of the sum of their sizes, error and rounding.

        The error is what a coarser rule or, for kinks between the nodes, the outputs at the ends
        say.
        """
        n, n_in = len(panels.row), self._step.shape[1]
        whole, errors = np.empty((n, self._n_out, n_in)), np.empty((n, self._n_out))
        size = np.empty((n, self._n_out))
        nodes, weights, coarse = self._rule
        most = max(1, MOST_NUMBERS // (len(nodes) * n_in * self._n_out))
        for start in range(0, n, most):
            part = panels.at(slice(start, start + most))
            length = part.end - part.start
            place = part.start[:, None] + length[:, None] * nodes
            X = self._points(np.repeat(part.row, len(nodes)), place.ravel())
            slopes = self._slopes(np.ascontiguousarray(X))
            slopes = slopes.reshape(len(length), len(nodes), self._n_out, n_in)
            with np.errstate(all="ignore"):
                slopes = slopes * (length[:, None] * self._step[part.row])[:, None, None]
                rows = slice(start, start + most)
                whole[rows] = np.einsum("q,pqkj->pkj", weights, slopes)
                difference = np.einsum("q,pqkj->pkj", weights - coarse, slopes)
                errors[rows] = np.abs(difference).sum(axis=2)
                size[rows] = np.einsum("q,pqkj->pk", weights, np.abs(slopes))
        first, last = (
            _outputs(self._engine, self._points(panels.row, place), self._output)
            for place in (panels.start, panels.end)
        )
        with np.errstate(invalid="ignore"):
            errors = np.maximum(errors, np.abs(whole.sum(axis=2) - (last - first)))
            rounding = ROUNDING * (np.abs(first) + np.abs(last))
        return whole, size, errors, rounding

    def _slopes(self, X):
        """∂h/∂x at the points, of shape (points, n_out, n_0)."""
        if self._output is None:
            return jets.input_jacobian(self._engine, X)
        v = np.zeros((len(X), self._engine.layout.sizes[-1]))
        v[:, self._output] = 1
        return jets.input_vjp(self._engine, X, v)[:, None]
