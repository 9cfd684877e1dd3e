"""Compatibility with programs that use private parts of scikit-learn's perceptrons.

Programs call and override private methods, and filter warnings by scikit-learn's module name. Each
private method either works here as in scikit-learn, with the same numbers, or raises an error when
a subclass overrides it.
"""

import types
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron

# scikit-learn's training calls these methods. Here the kernels train, so an override would never
# be called.
NEVER_CALLED = frozenset(
    {
        *("_backprop", "_compute_loss_grad", "_fit_lbfgs", "_fit_stochastic", "_forward_pass"),
        *("_loss_grad_lbfgs", "_unpack"),
    }
)
# The activations and losses that scikit-learn's _backprop supports.
BACKPROP_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
BACKPROP_LOSSES = ("log_loss", "squared_error", "poisson")


def _call(function, *args, **options):
    return function(*args, **options)


# Calls a function as if from scikit-learn's module, so that a warning is attributed to that module:
# many programs use filterwarnings(module="sklearn").
in_its_name = types.FunctionType(
    _call.__code__,
    {"__name__": BaseMultilayerPerceptron.__module__, "__builtins__": __builtins__},
)


def warn(message, category=UserWarning):
    """Issue a warning that is attributed to scikit-learn's module."""
    in_its_name(warnings.warn, message, category)


class PrivateMethods(BaseEstimator):
    """scikit-learn's private methods that fastbp's training does not call itself."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name in sorted(NEVER_CALLED):
            if getattr(cls, name, None) is not getattr(PrivateMethods, name, None):
                raise TypeError(_never_called(cls.__name__, name))

    def _check_not_replaced(self):
        """Raise TypeError if the instance has an attribute that replaces a method never called."""
        for name in sorted(NEVER_CALLED & vars(self).keys()):
            raise TypeError(_never_called(f"this {type(self).__name__}", name))

    def _forward_pass(self, activations):
        """Fill `activations`, whose first entry is X, with the activations of every layer."""
        X = activations[0]
        network = self._network()
        dense = X if isinstance(X, np.ndarray) else X.toarray()
        outputs = network.layer_outputs(dense)
        outputs[-1] = self._activated(outputs[-1])
        activations[1 : len(outputs) + 1] = outputs
        return activations

    def _backprop(self, *args, **options):
        """Return the loss and its gradient, computed by scikit-learn."""
        named = isinstance(self.activation, str) and isinstance(self.loss, str)
        known = named and self.activation in BACKPROP_ACTIVATIONS and self.loss in BACKPROP_LOSSES
        if not known or np.any(self.l1) or self.norm or self.residual:
            raise ValueError(
                "scikit-learn's _backprop supports only scikit-learn's activations and losses, and "
                "no l1, norm and residual layers, "
                f"got activation={self.activation!r}, loss={self.loss!r}, l1={self.l1!r}; "
                "call loss_and_gradient of Network.from_sklearn(...) instead, which supports all"
            )
        return BaseMultilayerPerceptron._backprop(self, *args, **options)

    # Positions of each layer's weights and biases in one vector of all parameters.

    @property
    def _coef_indptr(self):
        places, start = [], 0
        for coef in self.coefs_:
            places.append((start, start + coef.size, coef.shape))
            start += coef.size
        return places

    @property
    def _intercept_indptr(self):
        start = sum(coef.size for coef in self.coefs_)
        ends = start + np.cumsum([len(b) for b in self.intercepts_])
        return [(end - len(b), end) for b, end in zip(self.intercepts_, ends, strict=True)]

    _compute_loss_grad = BaseMultilayerPerceptron._compute_loss_grad
    _loss_grad_lbfgs = BaseMultilayerPerceptron._loss_grad_lbfgs
    _unpack = BaseMultilayerPerceptron._unpack

    def _score_with_function(self, X, y, sample_weight, score_function):
        """Return the score on X, which is already checked; NaN if predictions are not finite."""
        y_pred = self._predict(X, check_input=False)
        if np.issubdtype(y_pred.dtype, np.floating) and not np.isfinite(y_pred).all():
            return np.nan
        return score_function(y, y_pred, sample_weight=sample_weight)


def _never_called(who, name):
    return (
        f"{who} replaces {name}, which scikit-learn's training calls; fastbp trains in compiled "
        "kernels, which would never call it. Derive from the class in sklearn.neural_network "
        "instead, or use fastbp.Network, which accepts custom losses"
    )


def overridden(estimator, name):
    """Return whether a subclass or the instance replaces a method of fastbp's."""
    method = getattr(estimator, name)
    return not (getattr(method, "__module__", None) or "").startswith("fastbp.")
