"""The trace: every quantity of the derivation for given samples, with the same indices.

`Network.trace` computes it in one call of a backend; equations.py formats it.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.numpy_ import bfloat16, elementwise, inputs, losses
from ..basis import checks, spec
from ..basis.layout import OF_HIDDEN
from ..engine import output
from . import equations

if TYPE_CHECKING:
    from ..basis.annotations import Floats
    from ..engine.parameters import Gradient
    from .equations import Equations


@dataclass(frozen=True)
class Term:
    """One term of a sum: a product of named factors.

    Attributes
    ----------
    name : str
        The symbols of the factors, such as "h_0,2 w¹_2,0".
    factors : tuple of float
        The values of the factors, in the order of the name.
    value : float
        Their product.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 2, 1], activation="tanh", loss="squared_error", seed=0)
    >>> trace = net.trace([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
    >>> term = trace.node(1, 0).forward[0]
    >>> term.name, round(term.value, 6) == round(term.factors[0] * term.factors[1], 6)
    ('h_0,0 w¹_0,0', True)
    """

    name: str
    factors: tuple[float, ...]
    value: float


@dataclass(frozen=True)
class Normalized:
    """The normalisation of one unit's s for one sample.

    Attributes
    ----------
    mean : float or None
        μ of the layer's s; None for "rms".
    deviation : float
        √(ν + 1e-5) with their variance ν, or √(mean(s²) + 1e-5) for "rms".
    x : float
        x̂_{i,j} = (s_{i,j} - μ) / deviation.
    gamma, beta : float
        The unit's scale γ and shift β (0 for "rms").
    z, dz : float
        z_{i,j} = γ x̂_{i,j} + β, and ∂e/∂z_{i,j}.
    mean_error : float or None
        Mean of γ ∂e/∂z over the layer; None for "rms".
    mean_product : float
        Mean of γ ∂e/∂z x̂ over the layer. ∂e/∂s_{i,j} = (γ ∂e/∂z_{i,j} - mean_error - x̂_{i,j}
        mean_product) / deviation.

    Examples
    --------
    >>> import fastbp
    >>> how = dict(activation="tanh", loss="squared_error", norm="layer", dtype="float64", seed=0)
    >>> trace = fastbp.Network([2, 3, 1], **how).trace([[1.0, 0.0]], [0.5])
    >>> unit = trace.node(1, 0).normalized
    >>> bool(abs(unit.z - (trace.s[1][0, 0] - unit.mean) / unit.deviation) < 1e-12)
    True
    """

    mean: float | None
    deviation: float
    x: float
    gamma: float
    beta: float
    z: float
    dz: float
    mean_error: float | None
    mean_product: float


@dataclass(frozen=True)
class Node:
    """One unit for one sample: its values and the terms of their sums.

    Attributes
    ----------
    layer, unit, sample : int
        The layer, the unit's number in it, and the row of X.
    activation : str
        The name of σ_i.
    forward : list of Term
        The terms of s_{i,j}: h_{i-1,k} w^i_{k,j} for each k, and the bias last.
    s, h : float
        s_{i,j} and h_{i,j} = σ_i(s_{i,j}).
    backward : list of Term
        The terms of ∂e/∂h_{i,j}, equation (1): w^{i+1}_{j,k} σ'(s_{i+1,k}) ∂e/∂h_{i+1,k} for
        each unit k of the next layer. Each output of a softmax depends on all s, and so does each
        unit of a normalised layer; below them the terms are w^{i+1}_{j,k} ∂e/∂s_{i+1,k}. Below a
        residual layer ∂e/∂h_{i+1,j} comes last. Empty in the output layer, where ∂e/∂h comes from
        the loss, equation (6).
    dh : float
        ∂e/∂h_{i,j}.
    slope : float
        σ_i'(s_{i,j}), equation (2), or σ_i'(z_{i,j}); NaN for a softmax.
    ds : float
        ∂e/∂s_{i,j} = ∂e/∂h_{i,j} σ_i'(s_{i,j}).
    gradient : list of Term
        The sample's contributions to the gradient, equations (3)-(5): ∂e/∂s_{i,j} h_{i-1,k} for
        each weight, and ∂e/∂s_{i,j} for the bias, last.
    own : list of Term
        Its contributions to the derivatives by the unit's other parameters: γ, β, and prelu's a.
    normalized : Normalized or None
        How z_{i,j}, which σ_i gets instead of s_{i,j}, and ∂e/∂s_{i,j} come about in a normalised
        layer.
    added : float or None
        h_{i-1,j}, which a residual layer adds to σ_i.
    a : float or None
        prelu's slope.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 2, 1], activation="tanh", loss="squared_error", seed=0)
    >>> trace = net.trace([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
    >>> node = trace.node(2, 0, sample=1)
    >>> node.activation, [term.name for term in node.forward]
    ('identity', ['h_1,0 w²_0,0', 'h_1,1 w²_1,0', 'b_2,0'])
    >>> abs(node.s - sum(term.value for term in node.forward)) < 1e-6
    True
    """

    layer: int
    unit: int
    sample: int
    activation: str
    forward: list[Term]
    s: float
    h: float
    backward: list[Term]
    dh: float
    slope: float
    ds: float
    gradient: list[Term]
    own: list[Term]
    normalized: Normalized | None
    added: float | None
    a: float | None

    def __repr__(self):
        lines = [
            f"Unit {self.unit} of layer {self.layer} ({self.activation}), sample {self.sample}"
        ]
        for title, terms, total in self._sums():
            lines.append(f"  {title}" if total is None else f"  {title} = {total:.6g}")
            width = max((len(term.name) for term in terms), default=0)
            lines += [f"    {term.name.ljust(width)} = {term.value:.6g}" for term in terms]
        return "\n".join(lines)

    def _repr_html_(self):
        rows = []
        for title, terms, total in self._sums():
            value = "" if total is None else f"{total:.6g}"
            rows.append(f"<tr><th>{title}</th><th>{value}</th></tr>")
            rows += [f"<tr><td>{term.name}</td><td>{term.value:.6g}</td></tr>" for term in terms]
        caption = (
            f"Unit {self.unit} of layer {self.layer} ({self.activation}), sample {self.sample}"
        )
        return f"<table><caption>{caption}</caption>{''.join(rows)}</table>"

    def _sums(self):
        """(label, terms, value or None) for each sum of the unit."""
        place, z = f"{self.layer},{self.unit}", self.normalized
        name = "s" if z is None else "z"
        sums: list = [
            (f"s_{place}", self.forward, self.s),
            (f"z_{place}", [], z and z.z),
            (f"h_{place}", [], self.h),
            (f"∂e/∂h_{place}", self.backward, self.dh),
            (f"σ'({name}_{place})", [], self.slope),
            (f"∂e/∂z_{place}", [], z and z.dz),
            (f"∂e/∂s_{place}", [], self.ds),
            (f"∇w_{place}", self.gradient + self.own, None),
        ]
        return [line for line in sums if z is not None or "z_" not in line[0]]


@dataclass(frozen=True, repr=False)
class Trace:
    """Every quantity of backpropagation, as `Network.trace` returns it.

    Lists are indexed by layer; 0 is the input, as in the derivation.

    Attributes
    ----------
    activations : list of str
        The name of σ_i for each layer; entry 0 is None, the last is the output activation.
    loss_name : str
        The name of the loss.
    W, b : list of ndarray
        Copies of the weights and biases, of shapes (n_{i-1}, n_i) and (n_i,); entry 0 None.
    s, h : list of ndarray
        Pre-activations and activations of shape (n_samples, n_i). ``s[0]`` is None, and
        ``h[0]`` X, with vectors in place of codes if the network has learned inputs. In residual
        layers h is what the next layer gets.
    z : list of ndarray
        What σ_i gets: z_i in normalised layers, else s_i; entry 0 None.
    dh, ds : list of ndarray
        ∂e/∂h_i and ∂e/∂s_i of each sample's own loss e, of shape (n_samples, n_i); entry 0
        None. The last dh is infinite where an output was rounded to a probability of 0 or 1
        that contradicts the target.
    dW, db : list of ndarray
        The gradient of the mean loss, as `Network.loss_and_gradient` returns it; entry 0 None.
    gradient : Gradient
        The same with the derivatives by all other parameters.
    norm_weights, norm_biases, slopes : list of ndarray
        Copies of γ, β and prelu's a of each layer, None where a layer has none; entry 0 None.
    residual_layers : tuple of int
        The layers that add their input to their output.
    e : ndarray of shape (n_samples,)
        The samples' losses.
    loss : float
        Their mean.
    y : ndarray of shape (n_samples, n_m)
        The targets; labels are one-hot rows. Losses of distributions have one for all outputs.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 2, 1], activation="tanh", loss="squared_error", seed=0)
    >>> trace = net.trace([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
    >>> trace.activations, [None if s is None else s.shape for s in trace.s]
    ([None, 'tanh', 'identity'], [None, (2, 2), (2, 1)])
    >>> trace.node(1, 0).activation
    'tanh'
    """

    # Entry 0 is None. `| Any` covers it without requiring a check at each use.
    activations: list[str | Any]
    loss_name: str
    W: list[Floats | Any]
    b: list[Floats | Any]
    s: list[Floats | Any]
    h: list[Floats]
    z: list[Floats | Any]
    dh: list[Floats | Any]
    ds: list[Floats | Any]
    dW: list[Floats | Any]
    db: list[Floats | Any]
    gradient: Gradient
    norm_weights: list[Floats | Any]
    norm_biases: list[Floats | Any]
    slopes: list[Floats | Any]
    residual_layers: tuple[int, ...]
    e: Floats
    loss: float
    y: Floats

    def node(self, i: int, j: int, sample: int = 0) -> Node:
        """One unit for one sample, with the terms of the sums (1)-(6).

        Parameters
        ----------
        i : int
            The layer, from 1 to m.
        j : int
            The unit's number in its layer, from 0.
        sample : int, default=0
            The row of X.

        Returns
        -------
        Node

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 2, 1], activation="tanh", loss="squared_error", seed=0)
        >>> trace = net.trace([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
        >>> node = trace.node(2, 0)
        >>> [term.name for term in node.gradient]
        ['∂e/∂s_2,0 h_1,0', '∂e/∂s_2,0 h_1,1', '∂e/∂s_2,0']
        """
        i, j, r = self._place(i, j, sample)
        x, W, ds = self.h[i - 1][r], self.W[i][:, j], float(self.ds[i][r, j])
        forward = [
            Term(
                f"h_{i - 1},{k} w{equations.raised(i)}_{k},{j}",
                (float(x[k]), float(W[k])),
                float(x[k] * W[k]),
            )
            for k in range(len(x))
        ]
        bias = float(self.b[i][j])
        forward.append(Term(f"b_{i},{j}", (bias,), bias))
        gradient = [
            Term(f"∂e/∂s_{i},{j} h_{i - 1},{k}", (ds, float(x[k])), float(ds * x[k]))
            for k in range(len(x))
        ]
        gradient.append(Term(f"∂e/∂s_{i},{j}", (ds,), ds))
        normalized = self._normalized(i, j, r)
        return Node(
            i,
            j,
            r,
            self.activations[i],
            forward,
            float(self.s[i][r, j]),
            float(self.h[i][r, j]),
            self._backward(i, j, r),
            float(self.dh[i][r, j]),
            float(self.slope(i)[r, j]),
            ds,
            gradient,
            self._own(i, j, r, normalized),
            normalized,
            float(x[j]) if i in self.residual_layers else None,
            float(self.slopes[i][j]) if self.activations[i] == "prelu" else None,
        )

    def _normalized(self, i, j, r):
        """The `Normalized` of a unit, None if its layer is not normalised."""
        gamma, beta = self.norm_weights[i], self.norm_biases[i]
        if gamma is None:
            return None
        s = self.s[i][r].astype(np.float64)
        mean = float(s.mean()) if beta is not None else None
        centred = s - (mean or 0.0)
        deviation = float(np.sqrt((centred**2).mean() + spec.NORM_EPSILON))
        x, dz = centred / deviation, (self.dh[i][r] * self.slope(i)[r]).astype(np.float64)
        error = gamma * dz
        return Normalized(
            mean,
            deviation,
            float(x[j]),
            float(gamma[j]),
            float(beta[j]) if beta is not None else 0.0,
            float(self.z[i][r, j]),
            float(dz[j]),
            float(error.mean()) if beta is not None else None,
            float((error * x).mean()),
        )

    def _own(self, i, j, r, normalized):
        """The terms of the derivatives by a unit's parameters besides weights and bias."""
        terms = []
        if normalized is not None:
            dz, x, of_z = normalized.dz, normalized.x, f"∂e/∂z_{i},{j}"
            terms.append(Term(f"{of_z} x̂_{i},{j}", (dz, x), dz * x))
            if normalized.mean is not None:
                terms.append(Term(of_z, (dz,), dz))
        if self.activations[i] == "prelu":
            dh, below = float(self.dh[i][r, j]), min(float(self.z[i][r, j]), 0.0)
            name = "s" if normalized is None else "z"
            terms.append(Term(f"∂e/∂h_{i},{j} min({name}_{i},{j}, 0)", (dh, below), dh * below))
        return terms

    def equations(self, i: int, j: int, sample: int = 0) -> Equations:
        """The equations of one unit with the numbers filled in, as text and as LaTeX.

        Parameters
        ----------
        i : int
            The layer, from 1 to m.
        j : int
            The unit's number in its layer, from 0.
        sample : int, default=0
            The row of X.

        Returns
        -------
        Equations
            Prints as text. ``latex`` holds the LaTeX source, which notebooks render.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 2, 1], activation="tanh", loss="squared_error", seed=0)
        >>> trace = net.trace([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
        >>> print(trace.equations(2, 0).text.splitlines()[0])
        Unit 0 of layer 2 (identity), sample 0
        """
        node = self.node(i, j, sample)
        target = None
        if i == len(self.W) - 1:  # losses of distributions have one target for all outputs
            target = float(self.y[node.sample, j if self.y.shape[1] > 1 else 0])
        return equations.of_node(node, self.loss_name, target)

    def slope(self, i: int) -> Floats:
        """σ_i'(s_i), or σ_i'(z_i) in a normalised layer, of all samples, equation (2).

        Parameters
        ----------
        i : int
            The layer, from 1 to m.

        Returns
        -------
        ndarray of shape (n_samples, n_i)
            NaN for a softmax, where ∂h_k/∂s_j is a matrix.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 2, 1], activation="tanh", loss="squared_error", seed=0)
        >>> trace = net.trace([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
        >>> trace.slope(1).shape
        (2, 2)
        >>> bool(abs(trace.slope(1) - (1 - trace.h[1] ** 2)).max() < 1e-6)  # tanh' = 1 - h²
        True
        """
        i, _, _ = self._place(i, 0, 0)
        name, z, h = self.activations[i], self.z[i], self.h[i]
        if name == "softmax":
            return np.full_like(h, np.nan)
        functions = self._functions(i)
        with np.errstate(all="ignore"):
            if i in self.residual_layers:  # h is not σ alone
                h = functions.value(z)
            return np.asarray(functions.derivative(z, h), z.dtype)

    def _functions(self, i):
        """The functions of an elementwise activation."""
        name = self.activations[i]
        if name == "prelu":
            return elementwise.of_slopes(self.slopes[i])
        if isinstance(name, str):
            return output.functions_of(name)
        return elementwise.of_code(name.code, name._table(self.z[i].dtype))

    def _backward(self, i, j, r):
        if i == len(self.W) - 1:
            return []
        W, n = self.W[i + 1][j], equations.raised(i + 1)
        ds, dh = self.ds[i + 1][r], self.dh[i + 1][r]
        if self.activations[i + 1] == "softmax" or self.norm_weights[i + 1] is not None:
            terms = [
                Term(
                    f"w{n}_{j},{k} ∂e/∂s_{i + 1},{k}",
                    (float(W[k]), float(ds[k])),
                    float(W[k] * ds[k]),
                )
                for k in range(len(W))
            ]
        else:
            slope, terms = self.slope(i + 1)[r], []
            for k in range(len(W)):
                factors = (float(W[k]), float(slope[k]), float(dh[k]))
                name = f"w{n}_{j},{k} σ'(s_{i + 1},{k}) ∂e/∂h_{i + 1},{k}"
                # Computed from ∂e/∂s, which stays finite where equation (6) does not.
                terms.append(Term(name, factors, float(W[k] * ds[k])))
        if i + 1 in self.residual_layers:
            terms.append(Term(f"∂e/∂h_{i + 1},{j}", (float(dh[j]),), float(dh[j])))
        return terms

    def _place(self, i, j, sample):
        """Check layer, unit and sample."""
        m = len(self.W) - 1
        i = checks.whole_number("the layer i", i)
        if i > m:
            raise ValueError(f"the layer i must be in 1..{m}, got {i} (the input has no sums)")
        width, n = self.h[i].shape[1], len(self.h[i])
        j = checks.whole_number("the unit j", j, lowest=0)
        if j >= width:
            raise ValueError(f"layer {i} has the units 0..{width - 1}, got {j}")
        sample = checks.whole_number("sample", sample, lowest=0)
        if sample >= n:
            raise ValueError(f"the trace has the samples 0..{n - 1}, got {sample}")
        return i, j, sample

    def _table(self):
        """Rows of an overview table: the root mean square of each quantity by layer."""
        header = ["layer", "units", "activation", "s", "h", "∂e/∂h", "∂e/∂s", "∇W", "∇b"]
        rows = [["0", str(self.h[0].shape[1]), "input", "", _size(self.h[0]), "", "", "", ""]]
        for i in range(1, len(self.W)):
            arrays = [self.s, self.h, self.dh, self.ds, self.dW, self.db]
            sizes = [_size(of_layers[i]) for of_layers in arrays]
            rows.append([str(i), str(self.h[i].shape[1]), str(self.activations[i]), *sizes])
        return header, rows

    def _title(self):
        n = len(self.h[0])
        return f"Trace of {n} sample{'s' * (n > 1)}, {self.loss_name} {self.loss:.6g}"

    def __repr__(self):
        header, rows = self._table()
        widths = [max(len(line[c]) for line in [header, *rows]) for c in range(len(header))]
        lines = [self._title() + "; root mean square of:"]
        for line in [header, *rows]:
            cells = [
                cell.ljust(width) if c == 2 else cell.rjust(width)
                for c, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def _repr_html_(self):
        header, rows = self._table()
        head = "".join(f"<th>{cell}</th>" for cell in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        caption = html.escape(self._title()) + "; root mean squares"
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )


def _size(array):
    return f"{np.sqrt(np.mean(np.square(array, dtype=np.float64))):.3g}"


def output_errors(engine, h, y, ds):
    """∂e/∂h_m, equation (6) for any loss, from the output, the targets and ∂e/∂s_m."""
    loss = engine.loss_name
    with np.errstate(all="ignore"):
        if engine.layout.paired != "identity":  # the loss is a function of h
            plain = engine.model_of(replace(engine.layout, paired="identity"))
            return np.asarray(losses.loss_and_delta(plain, h, y)[1], h.dtype)
        # A term with target 0 vanishes, whatever h is.
        of_ones = np.where(y == 0, 0, y / h)
        if loss == "log_loss":
            return np.where(y == 1, 0, (1 - y) / (1 - h)) - of_ones
        if loss == "cross_entropy":
            return 0 - of_ones
        if loss == "poisson":
            return 1 - of_ones
    return ds.copy()


def trace(net, X, y):
    """The Trace of a network, see `Network.trace`."""
    engine = net._engine
    engine.check_one_loss("a trace", "trace networks that have one of its losses each")
    engine.check_finite()
    data = engine.data(X, y)
    loss, gradient = engine.gradient(data)
    found = engine.per_sample(data, losses=True, units=True)
    targets = data.targets
    if data.labels.size:
        targets = np.eye(net.layout.sizes[-1], dtype=net.layout.dtype)[data.labels]
    lists: dict[str, list] = {name: [None] for name in ("s", "h", "dh", "ds")}
    lists["h"] = [_of_input(net, data.X)]
    at = 0
    for n in net.layout.sizes[1:]:
        for name in ("s", "h", "dh", "ds"):
            lists[name].append(found.units[:, at : at + n].copy())
            at += n
    lists["dh"][-1] = output_errors(engine, lists["h"][-1], targets, lists["ds"][-1])
    lists["z"] = list(lists["s"])
    if net.layout.norm is not None:  # what the kernels have as s is z
        lists["s"][1:-1] = _before_normalisation(net, lists["h"])
    arrays, hidden = engine.arrays, range(len(net.layout.activations))
    own: dict[str, Any] = {
        name: [None, *(of_layers[i].copy() if of_layers else None for i in hidden), None]
        for name, of_layers in arrays._asdict().items()
        if name in OF_HIDDEN
    }
    return Trace(
        activations=[None, *net.layout.activations, engine.output_activation],
        loss_name=engine.loss_title,
        W=[None, *(w.copy() for w in net.weights)],
        b=[None, *(v.copy() for v in net.biases)],
        **lists,
        dW=[None, *gradient.weights],
        db=[None, *gradient.biases],
        e=found.losses,
        loss=loss,
        y=targets,
        gradient=gradient,
        **own,
        residual_layers=tuple(net.layout.residual_layers),
    )


def _of_input(net, X):
    """h_0, a copy of X with vectors and numbers in place of codes and NaN."""
    if net.layout.inputs:
        return inputs.gather(net.layout.plan, net._engine.arrays, X)
    return X.copy()


def _before_normalisation(net, h):
    """s_i of the hidden layers, which the kernels normalise in place, from the layers' inputs."""
    s = []
    with np.errstate(all="ignore"):
        for x, W, b in zip(h, net.weights[:-1], net.biases[:-1], strict=False):
            s.append(bfloat16.product(x, W, b) if net.compute_dtype else x @ W + b)
    return s
