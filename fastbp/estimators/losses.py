"""The loss of a regressor, which may be that of a distribution."""

from typing import Any

from ..basis import loss_parameters, spec
from ..engine.distributions import distribution_of
from .base import MultilayerPerceptron


class RegressionLoss(MultilayerPerceptron):
    """The part of `MLPRegressor` that knows its loss, and how many outputs that needs."""

    loss: Any
    loss_parameter: Any

    def _loss(self):
        if self.out_activation_ == self._output_activation():
            return self.loss, self._parameter()
        # The loss, or out_activation_, has been set after fit.
        return super()._loss()

    def _parameter(self):
        """Return the loss's parameter as `Network` takes it, with its default if it has one."""
        if callable(self.loss):
            return self.loss_parameter
        row = spec.choose("loss", self.loss, spec.LOSSES)
        return loss_parameters.loss_parameter(self.loss_parameter, self.loss, row)

    def _distribution(self):
        """Return the `Distribution` of the loss, None if it has none."""
        return distribution_of(self.loss, self._parameter())

    def _output_units(self):
        distribution = self._distribution()
        return self.n_outputs_ if distribution is None else distribution.n_outputs

    def _initialize(self, y, layer_units, dtype):
        super()._initialize(y, layer_units, dtype)
        if (distribution := self._distribution()) is not None:
            distribution.begin(self.coefs_[-1], self.intercepts_[-1])
