"""Networks as functions of PyTorch tensors; PyTorch is imported only when one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..engine.parameters import Gradient
from .network import check_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from ..basis.annotations import ByLayer
    from ..rules.optimizers import Optimizer
    from .network import Network


def torch_function(network: Network, *, parameters: bool = True) -> TorchFunction:
    """Return a network as a function of PyTorch tensors, with gradients by autograd.

    The forward pass is that of `Network.forward`, and the backward pass that of
    `ForwardPass.backward`. The network keeps its weights, and takes its steps by fastbp's
    optimisers.

    Parameters
    ----------
    network : Network
        It is not copied: steps change it.
    parameters : bool, default=True
        Whether a backward pass computes the gradient by weights and biases, too. With False they
        count as constants, as those of a critic do while an actor is trained.

    Returns
    -------
    TorchFunction
        ``f(X)`` computes h_m from a tensor X of shape (n_samples, n_0).

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If ``network`` is not a Network, or ``parameters`` not a bool.

    Examples
    --------
    A layer of PyTorch's, then a network; each is trained by its own optimiser:

    >>> import torch
    >>> import fastbp
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(64, 3)
    >>> y = X[:, :1] * X[:, 1:2]
    >>> layer = torch.nn.Linear(3, 8)
    >>> of_layer = torch.optim.Adam(layer.parameters(), lr=0.01)
    >>> net = fastbp.Network([8, 32, 1], loss="squared_error", seed=0)
    >>> f = fastbp.torch_function(net)
    >>> losses = []
    >>> for _ in range(200):
    ...     loss = torch.nn.functional.mse_loss(f(layer(X)), y)
    ...     of_layer.zero_grad()
    ...     loss.backward()
    ...     of_layer.step()
    ...     f.step(optimizer=fastbp.Adam(0.01), clip_norm=1.0)
    ...     losses.append(loss.item())
    >>> losses[-1] < 0.1 * losses[0]
    True
    """
    check_network("network", network)
    if not isinstance(parameters, bool):
        raise TypeError(f"parameters must be True or False, got {parameters!r}")
    return TorchFunction(network, parameters)


class TorchFunction:
    """A network as a function of PyTorch tensors, made by `torch_function`.

    Attributes
    ----------
    network : Network
        The network itself.
    parameters : bool
        As passed.

    Notes
    -----
    It is no ``torch.nn.Module``: modules that use it do not list its weights among their
    parameters or in their state_dict; `Network.save` keeps these. A copy begins without a gradient.

    As PyTorch's own functions do, it adds up the gradients of several calls, also of calls in one
    graph, and of several backward passes. The weights must not change between the call and the
    backward pass. There are no second derivatives.

    Examples
    --------
    >>> import fastbp, torch
    >>> net = fastbp.Network([2, 1], loss="squared_error")
    >>> net.weights[0] = [[2.0], [3.0]]
    >>> f = fastbp.torch_function(net)
    >>> f(torch.tensor([[1.0, 1.0]])).sum().backward()
    >>> f.gradient.weights[0].ravel()
    array([1., 1.], dtype=float32)
    """

    network: Network
    parameters: bool

    def __init__(self, network: Network, parameters: bool) -> None:
        from ..exchange.autograd import leaves_of

        self.network, self.parameters = network, parameters
        self._leaves = leaves_of(network._engine.arrays.all if parameters else [])

    def __reduce__(self) -> Any:
        return TorchFunction, (self.network, self.parameters)

    def __repr__(self):
        constant = "" if self.parameters else ", parameters=False"
        return f"torch_function({self.network!r}{constant})"

    def __call__(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the network's output.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, n_0)
            On the CPU, and of the network's dtype. It is copied.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_m)
            h_m. Where gradients are not recorded, as under ``torch.no_grad()``, it is the result of
            `Network.predict`.

        Raises
        ------
        TypeError, ValueError
            For an X that is no such tensor, or not finite.

        Notes
        -----
        A backward pass raises ValueError if the derivatives by the output are not finite, and
        RuntimeError if the weights have changed since the call, or if second derivatives are asked
        for.
        """
        from ..exchange.autograd import output

        return output(self.network, X, self._leaves)

    @property
    def gradient(self) -> Gradient | None:
        """∂L/∂ all parameters, added up over the backward passes since the last step.

        None if there has been none. The arrays have the shapes of the network's; the next backward
        pass adds to them.

        Examples
        --------
        >>> import fastbp, torch
        >>> net = fastbp.Network([2, 1], loss="squared_error")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> f = fastbp.torch_function(net)
        >>> f(torch.tensor([[1.0, 1.0]])).sum().backward()
        >>> f.gradient.weights[0].ravel(), f.gradient.biases[0]
        (array([1., 1.], dtype=float32), array([1.], dtype=float32))
        """
        found = [leaf.grad for leaf in self._leaves]
        if not found or found[0] is None:
            return None
        arrays = iter([grad.detach().numpy() for grad in found if grad is not None])
        kinds = self.network._engine.arrays
        return Gradient(*([next(arrays) for _ in of_layers] for of_layers in kinds))

    def zero_grad(self) -> None:
        """Forget the gradient, without a step.

        Examples
        --------
        >>> import fastbp, torch
        >>> net = fastbp.Network([2, 1], loss="squared_error")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> f = fastbp.torch_function(net)
        >>> f(torch.tensor([[1.0, 1.0]])).sum().backward()
        >>> f.zero_grad()
        >>> f.gradient is None
        True
        """
        for leaf in self._leaves:
            leaf.grad = None

    def step(
        self,
        *,
        optimizer: Optimizer | str | None = None,
        clip_norm: float | None = None,
        l1: ByLayer = 0.0,
        l2: ByLayer = 0.0,
        frozen: Sequence[int] = (),
    ) -> None:
        """Take one training step of the network with `gradient`, and forget that.

        Parameters
        ----------
        optimizer, clip_norm, l1, l2, frozen
            As for `Network.apply_gradient`.

        Raises
        ------
        RuntimeError
            If there is no gradient.
        TypeError, ValueError
            For bad arguments, also a gradient that is not finite; network and gradient are
            unchanged.
        TrainingDiverged
            If the weights are not finite after the step.

        Examples
        --------
        >>> import fastbp, torch
        >>> net = fastbp.Network([2, 1], loss="squared_error")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> f = fastbp.torch_function(net)
        >>> f(torch.tensor([[1.0, 1.0]])).sum().backward()
        >>> f.step(optimizer=fastbp.SGD(0.5))
        >>> net.weights[0].ravel()
        array([1.5, 2.5], dtype=float32)
        """
        gradient = self.gradient
        if gradient is None:
            why = "call backward() on a loss of this function's output first"
            if not self.parameters:
                why = "torch_function(network, parameters=False) computes none"
            raise RuntimeError(f"there is no gradient to step with; {why}")
        self.network.apply_gradient(
            gradient, optimizer=optimizer, clip_norm=clip_norm, l1=l1, l2=l2, frozen=frozen
        )
        self.zero_grad()
