"""The loss of a regressor, which may be that of a distribution."""

import contextlib
from typing import Any

from ..basis import loss_parameters, spec
from ..engine.distributions import distribution_of
from .base import MultilayerPerceptron
from .samples import CheckedSamples
from .targets import StandardisedLayer, TargetScale


class RegressionLoss(MultilayerPerceptron):
    """The part of `MLPRegressor` that knows its loss, and in which units it is trained.

    With `normalize_y`, `coefs_` and `intercepts_` are those of a network for y except during a
    training: then the last layer is one for standardised targets.
    """

    loss: Any
    loss_parameter: Any
    normalize_y: bool
    _target_scale: TargetScale | None = None
    _standardised: StandardisedLayer | None = None  # only during a training

    def _validate_params(self):
        if isinstance(self.loss, list | tuple):
            if all(isinstance(each, int) for each in self.loss):
                raise ValueError(
                    f"loss must be a name or a function, got {self.loss!r}; it is the first "
                    "argument, as in scikit-learn: for hidden layers pass "
                    f"hidden_layer_sizes={self.loss!r}"
                )
            raise ValueError(
                f"{type(self).__name__} takes a single loss, got loss={self.loss!r}; several "
                "heads, each with a loss of its own, are for fastbp.Network"
            )
        super()._validate_params()

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

    def _note_targets(self, samples, first_pass):
        if not self.normalize_y:
            self.__dict__.pop("_target_scale", None)
            return
        if first_pass or self._target_scale is None:
            self._check_normalizable()
            self._target_scale = TargetScale.of(samples.targets, samples.weight)
        if first_pass:  # the initial coefficients are for standardised targets
            self._standardised = self._standardised_layer()

    def _check_normalizable(self):
        distribution = self._distribution()
        if distribution is not None:
            possible = distribution.rescaled(0.0, 1.0) is not None
        else:
            possible = self._output_activation() == "identity"
        if not possible:
            why = (
                "whose outputs are the steps between quantiles"
                if self.loss == "quantile"
                else "which is for counts as they are"
            )
            raise ValueError(
                f"normalize_y=True does not go with loss={self.loss!r}"
                f"{'' if self.loss_parameter is None else ' and several quantiles'}, {why}; leave "
                "normalize_y out"
            )

    def _standardised_layer(self):
        scale = self._target_scale
        assert scale is not None
        if (distribution := self._distribution()) is None:
            return StandardisedLayer(scale.deviation, scale.mean)
        return StandardisedLayer(*distribution.rescaled(*scale.mean, *scale.deviation))

    @contextlib.contextmanager
    def _training_units(self):
        if self._target_scale is not None and self._standardised is None:
            self._standardised = self._standardised_layer()
            self._standardised.enter(self.coefs_[-1], self.intercepts_[-1])
        try:
            yield
        finally:
            self._in_units_of_y(self.coefs_, self.intercepts_)
            self.__dict__.pop("_standardised", None)

    def _in_units_of_y(self, coefs, intercepts):
        if self._standardised is not None:
            self._standardised.leave(coefs[-1], intercepts[-1])

    def _to_train(self, network, samples):
        if self._target_scale is None:
            return super()._to_train(network, samples)
        y = self._target_scale.apply(samples.targets)
        return CheckedSamples(samples.X, samples.labels, y, samples.weight)

    def _truth(self, samples):
        # R² does not depend on the units, and the network predicts standardised targets.
        if self._target_scale is not None and self.scoring is None:
            return self._target_scale.apply(samples.targets)
        return samples.targets

    def _shown_to_scorer(self):
        shown = super()._shown_to_scorer()
        if self._standardised is not None:
            shown.coefs_ = [W.copy() for W in self.coefs_]
            shown.intercepts_ = [b.copy() for b in self.intercepts_]
            shown._in_units_of_y(shown.coefs_, shown.intercepts_)
            shown._held = None
            shown.__dict__.pop("_standardised")
        return shown
