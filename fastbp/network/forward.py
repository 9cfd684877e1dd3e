"""Forward passes that are kept, to go back through the network from a gradient outside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import numpy as np

from ..basis import checks
from ..basis import inputs as inputs_
from ..basis.layout import S, layer_view
from ..engine import buffers, heads, output
from ..engine.parameters import Gradient

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats
    from ..engine.engine import Engine

OUTPUT, PREACTIVATION = "output", "preactivation"


class ForwardPass:
    """What `Network.forward` keeps of a pass: the output, and all that `backward` needs.

    Attributes
    ----------
    output : ndarray of shape (n_samples, n_m)
        h_m, a copy for the user, which may be written to.

    Notes
    -----
    A pass has a copy of X, of the weights and of the output, and the activations of all its rows.
    It belongs to one thread at a time, and cannot be copied or pickled.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0], [3.0]]
    >>> p = net.forward([[1, 1]])
    >>> p.output
    array([[5.]])
    >>> p.backward([[1.0]])[1]
    array([[2., 3.]])
    """

    output: Floats
    # Whether a call of the backend has the workspace, or the last one was broken off.
    _in_use = True

    def __init__(self, engine: Engine, X: np.ndarray) -> None:
        layout, n = engine.layout, len(X)
        self._engine, self._layout, self._model = engine, layout, engine.model
        self._X = np.array(X)
        self._weights = buffers.take(layout, layout.n_parameters)
        self._workspace = buffers.take(layout, layout.workspace_size(n))
        self._weights[...] = engine.parameters
        h = np.empty((n, layout.sizes[-1]), layout.dtype)
        self._call(engine.backend.forward, self._workspace, h)
        self._h = h
        self.output = h.copy()

    def __del__(self, give: Any = buffers.give) -> None:
        if not self._in_use:
            give(self._weights, self._workspace)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "a ForwardPass cannot be copied or pickled, since it belongs to the network that made "
            "it; call Network.forward again"
        )

    def _call(self, function, *arrays):
        self._in_use = True
        self._engine.run(lambda: function(self._model, self._X, *arrays), len(self._X))
        self._in_use = False
        self._engine.raise_of_activations()

    @overload
    def backward(
        self,
        dL_dh: ArrayLike,
        *,
        wrt: Literal["output", "preactivation"] = "output",
        parameters: Literal[True] = True,
        inputs: Literal[True] = True,
    ) -> tuple[Gradient, Floats]: ...

    @overload
    def backward(
        self,
        dL_dh: ArrayLike,
        *,
        wrt: Literal["output", "preactivation"] = "output",
        parameters: Literal[False],
        inputs: Literal[True] = True,
    ) -> tuple[None, Floats]: ...

    @overload
    def backward(
        self,
        dL_dh: ArrayLike,
        *,
        wrt: Literal["output", "preactivation"] = "output",
        parameters: Literal[True] = True,
        inputs: Literal[False],
    ) -> tuple[Gradient, None]: ...

    def backward(
        self,
        dL_dh: ArrayLike,
        *,
        wrt: Literal["output", "preactivation"] = "output",
        parameters: bool = True,
        inputs: bool = True,
    ) -> tuple[Gradient | None, Floats | None]:
        r"""Compute the gradient of L from its derivatives by the outputs, by the chain rule.

        L is any function of the outputs h_m of all rows. The network's own loss plays no part. With
        J_r = ∂h_m/∂s_m of row r, the derivatives by the last pre-activations are
        ∂L/∂s_m = J_rᵀ ∂L/∂h_m; then, for i = m, ..., 1, with the outer product ⊗,

        ∂L/∂W_i = Σ_r h_{i-1} ⊗ ∂L/∂s_i, ∂L/∂b_i = Σ_r ∂L/∂s_i, and
        ∂L/∂h_{i-1} = W_i ∂L/∂s_i, ∂L/∂s_{i-1} = σ'(s_{i-1}) ∂L/∂h_{i-1}.

        Nothing is divided by the number of rows: for a mean over rows, the factor 1 / n must be in
        `dL_dh`. The weights do not change. It may be called several times.

        Parameters
        ----------
        dL_dh : array-like of shape (n_samples, n_m)
            ∂L/∂h_m; with one output, (n_samples,) will do. With heads, a tuple of arrays of shape
            (n_samples, n_outputs of the head) will do, too.
        wrt : {"output", "preactivation"}, default="output"
            "preactivation" says that `dL_dh` holds ∂L/∂s_m instead, the derivatives by the last
            pre-activation (logits). This is more accurate where the output activation saturates.
        parameters, inputs : bool, default=True
            Whether to compute the gradient, and ∂L/∂X. What is not wanted costs no time, and None
            takes its place.

        Returns
        -------
        gradient : Gradient or None
            ∂L/∂W_i and ∂L/∂b_i, arrays of the same shapes as the network's. They are infinite or
            NaN if they overflow.
        dL_dX : ndarray of shape (n_samples, n_0) or None
            ∂L/∂X.

        Raises
        ------
        TypeError, ValueError
            For bad arguments.
        RuntimeError
            If the network's weights or biases have changed since the forward pass.

        See Also
        --------
        Network.apply_gradient : A step with the gradient; its example chains two networks.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> p = net.forward([[1.0, 1.0], [0.0, 2.0]])
        >>> gradient, dL_dX = p.backward(p.output)  # L = ½ Σ h²
        >>> gradient.weights[0].ravel(), gradient.biases[0]
        (array([ 5., 17.]), array([11.]))
        >>> dL_dX
        array([[10., 15.],
               [12., 18.]])
        """
        layout, n = self._layout, len(self._X)
        if not isinstance(wrt, str) or wrt not in (OUTPUT, PREACTIVATION):
            raise ValueError(f'wrt must be "output" or "preactivation", got {wrt!r}')
        if not checks.flag("parameters", parameters) | checks.flag("inputs", inputs):
            raise ValueError("parameters and inputs are both False; nothing would be computed")
        if inputs:
            inputs_.refuse(layout, "ForwardPass.backward with inputs=True")
        shape = self._h.shape
        if self._engine.heads:
            dL_dh = heads.side_by_side(self._engine.heads, dL_dh, n, "dL_dh")  # type: ignore[arg-type]
        if shape[1] == 1 and np.shape(dL_dh) == (n,):
            dL_dh = np.reshape(dL_dh, shape)
        finite = self._engine.backend.finite
        deltas = checks.parameter(dL_dh, shape, layout.dtype, "dL_dh", finite)
        self._check_unchanged()
        if wrt == OUTPUT:
            deltas = self._through_output(deltas)
        gradient = layout.zeros(layout.n_parameters if parameters else 0)
        errors = np.empty((n if inputs else 0, layout.sizes[0]), layout.dtype)
        size = layout.n_all_transposed if inputs else layout.n_transposed
        transposed = buffers.take(layout, size)
        backward = self._engine.backend.backward
        self._call(backward, deltas, self._workspace, transposed, gradient, errors)
        buffers.give(transposed)
        found = Gradient(*layout.lists(gradient)) if parameters else None
        return found, errors if inputs else None

    def _check_unchanged(self):
        """Compare the weights bit by bit, since their views may be written to at any time."""
        if not buffers.equal(self._engine.parameters, self._weights):
            raise RuntimeError(
                "the network's weights or biases have changed since the forward pass, so its "
                "activations are out of date; call Network.forward again"
            )

    def _through_output(self, dh):
        """∂L/∂s_m = Jᵀ ∂L/∂h_m, from the output h_m and s_m."""
        if self._engine.output_activation == "identity":  # J = 1: the usual case
            return dh
        layout, last = self._layout, len(self._layout.sizes) - 1
        s = layer_view(layout.plan, self._workspace, len(self._X), last, S)
        return output.pass_back(self._engine, s, self._h, dh)
