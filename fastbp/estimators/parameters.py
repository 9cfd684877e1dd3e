"""The estimators' parameters and attributes: what they mean, and which values are taken.

Names, defaults and constraints are scikit-learn's; fastbp's own come last.
"""

import inspect
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..backends import BACKENDS
from ..basis import spec
from ..basis.checks import MOST_THREADS
from ..rules.regularizers import EMA, SWA
from ..rules.schedules import Schedule

STOCHASTIC = ("sgd", "adam")
# Parameters without a meaning where there are no steps.
NOT_FOR_LBFGS = ("l1", "dropout", "clip_norm", "average", "schedule", "callbacks", "progress")
# scikit-learn's name of an activation -> Network's; the others are the same.
ALIASES = {"logistic": "sigmoid"}

_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_AT_LEAST_ZERO = Interval(Real, 0, None, closed="left")
_ABOVE_ZERO = Interval(Real, 0, None, closed="neither")
_BELOW_ONE = Interval(Real, 0, 1, closed="left")

CONSTRAINTS: dict = {
    "hidden_layer_sizes": ["array-like", _AT_LEAST_ONE],
    "activation": [StrOptions({*ALIASES, *spec.ACTIVATIONS}), "array-like"],
    "solver": [StrOptions({"lbfgs", *STOCHASTIC})],
    "alpha": [_AT_LEAST_ZERO],
    "batch_size": [StrOptions({"auto"}), _AT_LEAST_ONE],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [_ABOVE_ZERO],
    "power_t": [_AT_LEAST_ZERO],
    "max_iter": [_AT_LEAST_ONE],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_AT_LEAST_ZERO],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_BELOW_ONE],
    "beta_1": [_BELOW_ONE],
    "beta_2": [_BELOW_ONE],
    "epsilon": [_ABOVE_ZERO],
    "n_iter_no_change": [_AT_LEAST_ONE, Options(Real, {np.inf})],
    "max_fun": [_AT_LEAST_ONE],
    "backend": [StrOptions({"auto", *BACKENDS}), None],
    "threads": [Interval(Integral, 1, MOST_THREADS, closed="both"), None],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "l1": [_AT_LEAST_ZERO, "array-like"],
    "dropout": [_BELOW_ONE, "array-like"],
    "clip_norm": [_ABOVE_ZERO, None],
    "average": [EMA, SWA, None],
    "frozen": ["array-like"],
    "schedule": [Schedule, None],
    "scoring": [StrOptions(set(get_scorer_names())), callable, None],
    "callbacks": ["array-like"],
    "progress": ["boolean"],
}
CLASSIFIER_CONSTRAINTS: dict = {
    **CONSTRAINTS,
    "label_smoothing": [_BELOW_ONE],
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
}
REGRESSOR_CONSTRAINTS: dict = {
    **CONSTRAINTS,
    "loss": [
        StrOptions({"squared_error", "poisson", "absolute_error", "huber", "quantile"}),
        callable,
    ],
    "loss_parameter": [_ABOVE_ZERO, None],
}

_PARAMETERS = """\
    hidden_layer_sizes : int or array-like of shape (n_layers - 2,), default=(100,)
        Numbers of units of the hidden layers; none of them for a linear model.
    activation : str or array-like of str, default="relu"
        Function of the hidden layers, one for all or one each: "identity", "logistic", "tanh",
        "relu", or another one of `Network`'s.
    solver : {{"lbfgs", "sgd", "adam"}}, default="adam"
        "lbfgs" is SciPy's L-BFGS-B on the whole data, "sgd" stochastic gradient descent, "adam"
        Adam with ε beside √v.
    alpha : float, default=0.0001
        Strength α of the L2 penalty: α/2 Σ W², over all weights but biases, divided by the
        number of samples (their sum of weights) of a batch, is added to the batch's mean loss.
    batch_size : int or "auto", default="auto"
        Samples a step; "auto" is min(200, n_samples). Not for "lbfgs".
    learning_rate : {{"constant", "invscaling", "adaptive"}}, default="constant"
        What becomes of the learning rate of "sgd": it stays; or it is learning_rate_init /
        (t + 1)^power_t after t samples; or it is divided by 5 each time that training would
        stop for want of improvement, which it then does once the rate is at most 1e-6.
    learning_rate_init : float, default=0.001
        The first learning rate. Not for "lbfgs".
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        The most epochs, or iterations of "lbfgs".
    shuffle : bool, default=True
        Draw a new order of the samples for each epoch. Not for "lbfgs".
    random_state : int, RandomState instance or None, default=None
        Where initial weights, the split for early stopping and orders are drawn from, in
        scikit-learn's sequence. Pass an int for the same result every time.
    tol : float, default=1e-4
        The least improvement of the loss, or of the validation score, that counts; for "lbfgs"
        the size of the gradient at which it has converged.
    verbose : bool, default=False
        Print the loss, and the validation score, of each epoch.
    warm_start : bool, default=False
        Let `fit` go on from the coefficients of the call before.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that is Nesterov's.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the samples{stratified}, stop when the
        score on them does not improve, and keep the coefficients with the best one. If False,
        stop when the training loss does not improve.
    validation_fraction : float, default=0.1
        The share of the samples that early stopping holds out.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of Adam's two moments, in [0, 1).
    epsilon : float, default=1e-8
        Adam's ε.
    n_iter_no_change : int or inf, default=10
        After more than so many epochs in succession without improvement training stops.
    max_fun : int, default=15000
        The most evaluations of the loss by "lbfgs".
    backend : {{"auto", "cython", "numba", "numpy"}} or None, default=None
        What computes, as for `Network`. None stands for the environment variable
        FASTBP_BACKEND, else "auto": Cython if it is built, else Numba.
    threads : int or None, default=None
        Threads to train with; the result does not depend on it. None takes as many as a
        step has work for and as are free, often one.
    dtype : {{"auto", "float32", "float64"}}, default="auto"
        Precision of coefficients and computation. "auto" is float32 for X of float32, and
        float64 otherwise; "float32" is the faster one.
    l1 : float or array-like of float, default=0.0
        Strength of an L1 penalty, l1 Σ abs(W), as alpha is one of L2; a number for all layers, or
        one for each entry of `coefs_`. Not for "lbfgs".
    dropout : float or array-like of float, default=0.0
        The rate at which units are left out of a step, each time drawn anew: one for all hidden
        layers, or one each, with another one for the input before them or not. Not for "lbfgs".
    clip_norm : float or None, default=None
        The largest Euclidean norm of a step's gradient; larger ones are scaled down to it. Not
        for "lbfgs".
    average : EMA, SWA or None, default=None
        Average the weights over training; scores are those of the average, and the estimator
        ends with it. Not for "lbfgs", nor for `partial_fit`.
    frozen : array-like of int, default=()
        Indices of entries of `coefs_` and `intercepts_` that training leaves as they are.
    schedule : Schedule or None, default=None
        How the learning rate changes in the course of `max_iter` epochs, instead of
        `learning_rate`, which must be "constant". Not for "lbfgs", nor for `partial_fit`.
    scoring : str, callable or None, default=None
        The score that early stopping looks at, as scikit-learn names scorers; None for
        {score}.
    callbacks : list of Callback, default=()
        What else to call before, between and after the epochs, with the network behind the
        estimator, see `Callback`. Not for "lbfgs", nor for `partial_fit`.
    progress : bool, default=False
        Show a progress bar over `max_iter` epochs. Not for "lbfgs", nor for `partial_fit`."""

_ATTRIBUTES = """\
    coefs_, intercepts_ : list of ndarray
        Weights and biases of layer i at index i - 1, of shapes (n_{{i-1}}, n_i) and (n_i,). They
        may be written to, and replaced.
    loss_ : float
        The loss of the last epoch, penalty included, or of the minimum "lbfgs" found.
    loss_curve_ : list of float
        The loss of each epoch; not for "lbfgs".
    best_loss_ : float or None
        The smallest of them; None with early stopping.
    validation_scores_ : list of float or None
        {score}, or what ``scoring`` says, on the held-out samples after each epoch; None without
        early stopping.
    best_validation_score_ : float or None
        The best of them.
    n_iter_ : int
        Epochs, or iterations of "lbfgs", of the last call.
    t_ : int
        Samples that training has seen.
    n_layers_, n_outputs_ : int
        Layers, input and output included, and units of the output layer.
    out_activation_ : str
        Activation of the output layer.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if X has names that are all strings."""


def documented(**words):
    """A decorator that puts the shared descriptions into a class's docstring."""

    def fill(estimator):
        if estimator.__doc__:  # python -OO has none
            # (From 3.13 on Python takes the indentation away, which the parts have as well.)
            estimator.__doc__ = inspect.cleandoc(estimator.__doc__).format(
                parameters=inspect.cleandoc(_PARAMETERS.format(**words)),
                attributes=inspect.cleandoc(_ATTRIBUTES.format(**words)),
            )
        return estimator

    return fill


def hidden_activations(activation, n_hidden):
    """Network's names of the hidden layers' activations, from the parameter."""
    if isinstance(activation, str):
        activation = [activation] * n_hidden
    return spec.hidden_activations([ALIASES.get(name, name) for name in activation], n_hidden)
