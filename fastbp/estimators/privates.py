"""What programs use of scikit-learn's perceptrons beside their public methods.

That is private methods, which they call and override, and the module that warnings come from, by
which they filter. A private method is here with scikit-learn's meaning and numbers, or overriding
it is refused.
"""

import types
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron

# scikit-learn's training is made of these; here kernels do their work, and an override would never
# be called.
NEVER_CALLED = frozenset(
    {
        *("_backprop", "_compute_loss_grad", "_fit_lbfgs", "_fit_stochastic", "_forward_pass"),
        *("_loss_grad_lbfgs", "_unpack"),
    }
)
# What scikit-learn's gradient knows.
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
LOSSES = ("log_loss", "squared_error", "poisson")


def _call(function, *args, **options):
    return function(*args, **options)


# Calls a function in the name of scikit-learn's module, which a warning is then said to come from:
# filterwarnings(module="sklearn") stands in many programs.
in_its_name = types.FunctionType(
    _call.__code__,
    {"__name__": BaseMultilayerPerceptron.__module__, "__builtins__": __builtins__},
)


def warn(message, category=UserWarning):
    """Warn as scikit-learn's own module would."""
    in_its_name(warnings.warn, message, category)


class PrivateMethods(BaseEstimator):
    """scikit-learn's private methods that training does not call."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name in sorted(NEVER_CALLED):
            if getattr(cls, name, None) is not getattr(PrivateMethods, name, None):
                raise TypeError(_never_called(cls.__name__, name))

    def _check_not_replaced(self):
        """Refuse a method set on the instance that would never be called."""
        for name in sorted(NEVER_CALLED & vars(self).keys()):
            raise TypeError(_never_called(f"this {type(self).__name__}", name))

    def _forward_pass(self, activations):
        """Fill a list that begins with X with the activations of every layer."""
        X = activations[0]
        network = self._network()
        dense = X if isinstance(X, np.ndarray) else X.toarray()
        outputs = network.layer_outputs(dense)
        outputs[-1] = self._activated(outputs[-1])
        activations[1 : len(outputs) + 1] = outputs
        return activations

    def _backprop(self, *args, **options):
        """scikit-learn's loss and its gradient, computed by scikit-learn."""
        named = isinstance(self.activation, str) and isinstance(self.loss, str)
        known = named and self.activation in ACTIVATIONS and self.loss in LOSSES
        if not known or np.any(self.l1):
            raise ValueError(
                "scikit-learn's _backprop knows neither other activations and losses than its own "
                f"nor l1, got activation={self.activation!r}, loss={self.loss!r}, l1={self.l1!r}; "
                "Network.loss_and_gradient of Network.from_sklearn(...) knows them all"
            )
        return BaseMultilayerPerceptron._backprop(self, *args, **options)

    # Where each layer's weights, and biases, lie in a vector of all of them.

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
        """A score of checked X; NaN if predictions are not finite."""
        y_pred = self._predict(X, check_input=False)
        if np.issubdtype(y_pred.dtype, np.floating) and not np.isfinite(y_pred).all():
            return np.nan
        return score_function(y, y_pred, sample_weight=sample_weight)


def _never_called(who, name):
    return (
        f"{who} replaces {name}, which scikit-learn's training calls; fastbp's kernels do that "
        "work themselves, so that it would never be called. Derive from the class of "
        "sklearn.neural_network instead, or use fastbp.Network, which takes losses of your own"
    )


def overridden(estimator, name):
    """Whether a method is none of fastbp's: of a subclass, or set on the instance."""
    method = getattr(estimator, name)
    return not (getattr(method, "__module__", None) or "").startswith("fastbp.")
