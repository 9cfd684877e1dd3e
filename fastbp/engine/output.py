"""Output activations in NumPy: derivatives of the output h_m by the last pre-activations s_m.

The kernels of training have their own; all here is arithmetic on the few numbers of the outputs.
"""

import numpy as np

from ..backends.numpy_ import elementwise
from ..basis import checks, spec
from ..basis.data import Data
from ..basis.layout import S, layer_view
from . import buffers


def functions_of(activation):
    """σ and functions of (s, h) that give its derivatives, of any output activation but softmax."""
    if activation == "exp":
        return elementwise.EXP
    return elementwise.ACTIVATIONS[spec.ACTIVATIONS[activation].code]


def derivative(activation, s, h):
    """σ'(s) of an elementwise output activation, in the dtype of h."""
    with np.errstate(all="ignore"):
        return np.asarray(functions_of(activation).derivative(s, h), h.dtype)


def pass_back(engine, s, h, dh):
    """∂L/∂s_m = Jᵀ ∂L/∂h_m for each row, with J = ∂h_m/∂s_m; arrays of shape (n, n_m)."""
    if not engine.heads:
        return pass_back_through(engine.output_activation, s, h, dh)
    parts = [
        pass_back_through(head.row.output_activation, *(x[:, head.outputs] for x in (s, h, dh)))
        for head in engine.heads
    ]
    return np.concatenate(parts, axis=1)


def pass_back_through(activation, s, h, dh):
    """The same with one output activation, whose J is symmetric."""
    if activation == "identity":
        return dh
    with np.errstate(all="ignore"):
        if activation == "softmax":
            return h * (dh - (dh * h).sum(axis=1, keepdims=True))
        return dh * derivative(activation, s, h)


def jacobian(engine, s, h):
    """∂h_{m,k}/∂s_{m,j}, of shape (n, n_m, n_m)."""
    if not engine.heads:
        return _jacobian(engine.output_activation, s, h)
    found = np.zeros((*h.shape, h.shape[1]), h.dtype)
    for head in engine.heads:
        k = head.outputs
        found[:, k, k] = _jacobian(head.row.output_activation, s[:, k], h[:, k])
    return found


def _jacobian(activation, s, h):
    one = np.eye(h.shape[1], dtype=h.dtype)
    if activation == "softmax":
        return h[:, :, None] * (one - h[:, None, :])
    return derivative(activation, s, h)[:, :, None] * one


def jacobian_by_parameters(engine, X):
    """∂h_m/∂parameters for checked X, of shape (n, n_m, number of parameters)."""
    layout, n, n_out, dtype = engine.layout, len(X), engine.layout.sizes[-1], engine.layout.dtype
    data = Data(X, checks.NO_LABELS, np.empty((0, n_out), dtype), np.empty(0, dtype))
    workspace = buffers.take(layout, layout.workspace_size(n))
    h = np.empty((n, n_out), dtype)
    engine.backend.predict(engine.model, X, n, workspace, h)
    s = layer_view(layout.plan, workspace, n, len(layout.sizes) - 1, S)
    slopes = jacobian(engine, s, h)
    buffers.give(workspace)
    parts = [
        engine.per_sample(data, np.ascontiguousarray(slopes[:, k]), gradients=True).gradients
        for k in range(n_out)
    ]
    return np.stack(parts, axis=1)
