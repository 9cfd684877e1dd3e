"""Inspection of a network: hidden activations, derivatives of each sample's loss, Jacobians.

Users call these as methods of `Network`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..basis import checks
from ..basis.layout import Layout, activation, views
from ..engine.parameters import Gradient
from ..training.run import Data, run, slices

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats
    from .trace import Trace


class Derivatives(NamedTuple):
    """What `per_sample` of a backend writes, see backends/interface.py; empty if not wanted."""

    losses: np.ndarray
    gradients: np.ndarray
    errors: np.ndarray
    units: np.ndarray


class Inspection:
    """The methods of `Network` that look at each sample by itself."""

    # Of Network.
    layout: Layout
    loss: Any
    _backend: Any
    _loss: Any
    _loss_parameter: float
    _function: int
    _parameters: np.ndarray
    _check_parameters: Callable
    _data: Callable
    _loss_and_gradient: Callable
    _outputs: Callable
    _raise_error: Callable

    def layer_outputs(self, X: ArrayLike) -> list[Floats]:
        """The output of each layer for X, including the hidden activations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        list of ndarray
            h_1, ..., h_m, of shapes (n_samples, n_i); the last one is what `predict` returns.
        """
        layout, plan = self.layout, self.layout.plan
        samples = checks.samples(X, layout.sizes[0], layout.dtype, finite=self._backend.finite)
        self._check_parameters()
        n_samples = len(samples)
        block = layout.block_rows(n_samples)
        workspace = layout.zeros(layout.workspace_size(block))
        results = [np.empty((n_samples, n), layout.dtype) for n in layout.sizes[1:]]
        for start in range(0, n_samples, block):
            rows = slice(start, start + block)
            part, out = samples[rows], results[-1][rows]
            self._backend.predict(
                plan, self._loss.code, self._parameters, part, block, workspace, out
            )
            for i, result in enumerate(results[:-1], start=1):
                result[rows] = activation(plan, workspace, block, i)[: len(part)]
        return results

    def per_sample_gradients(self, X: ArrayLike, y: ArrayLike) -> Gradient:
        """The gradient of each sample's own loss, in one compiled call.

        Its mean over the samples is the gradient of `loss_and_gradient`, up to rounding.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.

        Returns
        -------
        Gradient
            ``weights[i - 1]`` of shape (n_samples, n_{i-1}, n_i) and ``biases[i - 1]`` of shape
            (n_samples, n_i) for layer i. Mind the memory: as many numbers as the network has
            parameters, for each sample.
        """
        data = self._checked(X, y)
        return self._by_layer(self._per_sample(data, gradients=True).gradients)

    def input_gradient(self, X: ArrayLike, y: ArrayLike) -> Floats:
        """∂e/∂X: how each sample's own loss changes with its features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.

        Returns
        -------
        ndarray of shape (n_samples, n_0)
        """
        return self._per_sample(self._checked(X, y), errors=True).errors

    def jacobian(self, X: ArrayLike) -> Gradient:
        """How each output changes with each weight and bias: ∂h_m/∂W_i and ∂h_m/∂b_i.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        Gradient
            ``weights[i - 1]`` of shape (n_samples, n_m, n_{i-1}, n_i) and ``biases[i - 1]`` of
            shape (n_samples, n_m, n_i) for layer i.
        """
        X = checks.samples(X, self.layout.sizes[0], self.layout.dtype, finite=self._backend.finite)
        self._check_parameters()
        return self._by_layer(self._jacobian(X))

    def trace(self, X: ArrayLike, y: ArrayLike) -> Trace:
        """Every quantity of the derivation for these samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.

        Returns
        -------
        Trace
            s_i, h_i, ∂e/∂h_i, ∂e/∂s_i, ∇W_i and ∇b_i of every layer, and what they are made of.
        """
        from .trace import trace

        return trace(self, X, y)

    def _checked(self, X, y, sample_weight=None):
        self._check_parameters()
        return self._data(X, y, sample_weight)

    def _loss_name(self):
        """The loss's name, that of the function for one of the user's own."""
        return self.loss if isinstance(self.loss, str) else getattr(self.loss, "__name__", "custom")

    def _gradient(self, data):
        """The gradient of the mean loss on checked data."""
        gradient = self.layout.zeros(self.layout.n_parameters)
        self._loss_and_gradient(data, gradient)
        return Gradient(*views(self.layout.plan, gradient))

    def _per_sample(
        self, data, deltas=None, *, losses=False, gradients=False, errors=False, units=False
    ):
        """The derivatives wanted, for checked data; of the loss, or from given ∂/∂s_m."""
        layout = self.layout
        n, sizes, dtype = len(data.X), layout.sizes, layout.dtype
        plan = Layout(sizes, layout.activations, dtype, separate=True)
        block = plan.block_rows(n)
        n_parameters = sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
        found = Derivatives(
            np.empty(n if losses else 0, dtype),
            np.empty((n if gradients else 0, n_parameters), dtype),
            np.empty((n if errors else 0, sizes[0]), dtype),
            np.zeros((n if units else 0, 4 * sum(sizes[1:])), dtype),
        )
        if deltas is None:
            deltas = np.empty((0, sizes[-1]), dtype)
        workspace = plan.zeros(plan.workspace_size(block))
        transposed = plan.zeros(plan.n_all_transposed)

        def call(rows):
            self._backend.per_sample(
                plan.plan,
                self._loss.code,
                self._loss_parameter,
                self._function,
                self._parameters,
                *(array[rows] for array in (data.X, data.labels, data.targets, deltas)),
                block,
                workspace,
                transposed,
                *(array[rows] for array in found),
            )

        for rows in slices(self, n):
            run(self, lambda stop, rows=rows: call(rows), 0)
        if not all(np.isfinite(part).all() for part in found):
            self._raise_error(data)
        return found

    def _by_layer(self, rows):
        """Views of numbers in the order W_1, b_1, W_2, ... (last axis) as arrays by layer."""
        weights, biases, at = [], [], 0
        for n_in, n_out in zip(self.layout.sizes, self.layout.sizes[1:], strict=False):
            of_weights = rows[..., at : at + n_in * n_out]
            weights.append(of_weights.reshape(*rows.shape[:-1], n_in, n_out))
            at += n_in * n_out
            biases.append(rows[..., at : at + n_out])
            at += n_out
        return Gradient(weights, biases)

    def _jacobian(self, X):
        """The Jacobian for checked X, of shape (n, n_m, number of parameters)."""
        n_out, dtype = self.layout.sizes[-1], self.layout.dtype
        data = Data(X, checks.NO_LABELS, np.empty((0, n_out), dtype), np.empty(0, dtype))
        slopes = output_slopes(self._loss.output_activation, self._outputs(X))
        parts = [
            self._per_sample(data, np.ascontiguousarray(slopes[:, k]), gradients=True).gradients
            for k in range(n_out)
        ]
        return np.stack(parts, axis=1)


def output_slopes(output_activation, h):
    """∂h_{m,k}/∂s_{m,j} of shape (n, n_m, n_m), from the output h of shape (n, n_m)."""
    one = np.eye(h.shape[1], dtype=h.dtype)
    if output_activation == "softmax":
        return h[:, :, None] * (one - h[:, None, :])
    derivative = {
        "identity": np.ones_like(h),
        "sigmoid": h * (1 - h),
        "exp": h,
    }[output_activation]
    return derivative[:, :, None] * one


def in_double(net, backend):
    """A float64 copy of a network on a backend."""
    return net._converted("float64", backend)
