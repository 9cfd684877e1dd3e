"""A network's passes as nodes of PyTorch's autograd graph; imported only when PyTorch is needed."""

try:
    import torch
    from torch.autograd import Function
except ImportError as error:
    raise ImportError("torch_function needs torch: pip install torch") from error

from ..basis.layout import PARAMETERS


def leaves_of(arrays):
    """Leaves of the graph, whose gradients autograd adds up; they share the arrays' memory."""
    return [torch.from_numpy(array).requires_grad_() for array in arrays]


def output(network, X, leaves):
    """h_m as a tensor, in the graph if gradients are recorded."""
    _check(X, getattr(torch, network.layout.dtype.name))
    recorded = torch.is_grad_enabled() and (X.requires_grad or bool(leaves))
    return Pass.apply(network, recorded, X, *leaves)


def _check(X, dtype):
    if not isinstance(X, torch.Tensor):
        raise TypeError(
            f"X must be a torch.Tensor, got {type(X).__name__} (Network.forward and "
            "Network.predict take other arrays)"
        )
    if X.device.type != "cpu":
        raise ValueError(f"X is on {X.device}, but fastbp computes on the CPU; pass X.cpu()")
    if X.layout != torch.strided:
        raise ValueError(f"X is sparse ({X.layout}); pass X.to_dense()")
    if X.dtype != dtype:
        raise TypeError(
            f"X is {X.dtype}, but the network computes in {dtype}; pass X.to({dtype}), through "
            "which gradients flow, too"
        )


class Pass(Function):
    """A forward pass of a network, and the way back."""

    @staticmethod
    def forward(ctx, network, recorded, X, *leaves):
        array = X.numpy(force=True)
        if not recorded:
            engine = network._engine
            engine.check_finite()
            return torch.from_numpy(engine.outputs(engine.samples(array)))
        ctx.kept = network.forward(array)
        ctx.save_for_backward(X, *leaves)
        return torch.from_numpy(ctx.kept.output)

    @staticmethod
    def backward(ctx, dL_dh):
        _, _, by_X, *by_leaves = ctx.needs_input_grad
        wanted = {"parameters": bool(by_leaves), "inputs": by_X}
        gradient, dL_dX = ctx.kept.backward(dL_dh.numpy(force=True), **wanted)
        arrays = [dL_dX] if by_X else []
        if by_leaves:
            arrays += [array for name in PARAMETERS for array in getattr(gradient, name)]
        found = [torch.from_numpy(array) for array in arrays]
        if torch.is_grad_enabled():  # create_graph=True
            found = NoSecondDerivative.apply(len(found), *found, dL_dh, *ctx.saved_tensors)
        return None, None, *([] if by_X else [None]), *found


class NoSecondDerivative(Function):
    """The identity of the first tensors, whose own backward pass is an error.

    The others are what they depend on: autograd goes back only along the ways that lead to what it
    is asked for. ``torch.autograd.function.once_differentiable`` knows no such ways, and the second
    derivatives of some functions would silently be zero.
    """

    @staticmethod
    def forward(ctx, n_results, *tensors):
        return tuple(tensor.view_as(tensor) for tensor in tensors[:n_results])

    @staticmethod
    def backward(ctx, *gradients):
        raise RuntimeError(
            "a torch_function of fastbp has no second derivatives; for these, use the module that "
            "Network.to_torch returns"
        )
