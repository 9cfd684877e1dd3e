"""The loss of an engine: what it is called, and refusals of what cannot be done with it."""

from typing import Any

from ..basis import spec


class OfLoss:
    """The part of `Engine` that needs no numbers; the attributes are described there."""

    loss: Any
    loss_parameter: Any
    loss_spec: Any
    output_activation: str
    heads: tuple
    custom: Any
    distribution: Any

    @property
    def loss_name(self):
        """The loss's name, None without one; "a function" for functions, which may not compare.

        Heads are called "heads".
        """
        if self.heads:
            return "heads"
        return "a function" if self.custom else self.loss

    @property
    def given_output_activation(self):
        """The output activation that must be passed to make such a network, None if there is none.

        That is one that the loss does not imply.
        """
        implied = self.loss is not None and self.loss_spec.output_activation
        return None if self.output_activation == implied else self.output_activation

    @property
    def output_title(self):
        """The name of the output activation, or the names of those of the heads."""
        names = [head.row.output_activation for head in self.heads]
        return ", ".join(names) or self.output_activation

    @property
    def classifies(self):
        """Whether the outputs are probabilities of classes or labels."""
        if self.loss is None:
            return self.output_activation in ("sigmoid", "softmax")
        return self.loss_name in ("log_loss", "cross_entropy")

    @property
    def loss_title(self):
        """The loss's name, for several quantiles with these, or the name of its function.

        For heads, the sum of their losses.
        """
        if self.heads:
            return " + ".join(
                (f"{head.weight:g} " if head.weight != 1 else "") + head.loss for head in self.heads
            )
        if isinstance(self.loss_parameter, tuple):
            return f"{self.loss} {', '.join(f'{q:g}' for q in self.loss_parameter)}"
        return self.loss if not self.custom else getattr(self.loss, "__name__", "custom")

    def check_loss(self):
        """Refuse what needs a loss, if the network has none."""
        if self.loss is None:
            raise ValueError(
                "this network has no loss (loss=None), so it cannot be fitted, and has no gradient "
                "of a loss; make it with a loss=, or train it by Network.forward, "
                "ForwardPass.backward and Network.apply_gradient"
            )

    def check_one_loss(self, what, advice="make a network with one of these losses for it"):
        """Refuse `what`, the subject of a sentence, if the network has heads."""
        if self.heads:
            raise ValueError(
                f"{what} needs a network with a single loss, but this one has heads: "
                f"{self.loss_title}; {advice}"
            )

    def check_second_derivative(self):
        """Refuse a loss without a second derivative, which products with Hessians need."""
        if self.custom:
            raise ValueError(
                f"the network's loss is the function {self.loss_title!r}, which gives no second "
                "derivative, so products with the Hessian are unknown; use one of the losses "
                f"that have a name: {', '.join(spec.LOSSES)}"
            )
