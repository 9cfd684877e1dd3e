"""The estimators' parameters and attributes: documentation and constraints.

scikit-learn's parameters keep their names, defaults and constraints. fastbp's own come last.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..backends import BACKENDS
from ..basis import checks, spec
from ..basis.checks import MOST_THREADS
from ..engine.activation import Activation
from ..rules.regularizers import EMA, SWA
from ..rules.schedules import Schedule

STOCHASTIC = ("sgd", "adam")
# Parameters that act on single steps or epochs, which L-BFGS does not have.
NOT_FOR_LBFGS = ("l1", "dropout", "clip_norm", "average", "schedule", "callbacks", "progress")
# scikit-learn's name of an activation -> Network's, where they differ.
ALIASES = {"logistic": "sigmoid"}

_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_AT_LEAST_ZERO = Interval(Real, 0, None, closed="left")
_ABOVE_ZERO = Interval(Real, 0, None, closed="neither")
_BELOW_ONE = Interval(Real, 0, 1, closed="left")

CONSTRAINTS: dict = {
    "hidden_layer_sizes": ["array-like", _AT_LEAST_ONE],
    "activation": [StrOptions({*ALIASES, *spec.HIDDEN_ACTIVATIONS}), Activation, "array-like"],
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
    "schedule": [Schedule, str, None],
    "scoring": [StrOptions(set(get_scorer_names())), callable, None],
    "callbacks": ["array-like"],
    "progress": ["boolean"],
    "monotonic_cst": ["array-like", dict, None],
    "norm": [StrOptions({"layer", "rms"}), None],
    "residual": ["boolean"],
}
CLASSIFIER_CONSTRAINTS: dict = {
    **CONSTRAINTS,
    "label_smoothing": [_BELOW_ONE],
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
}
REGRESSION_LOSSES = set(spec.LOSSES) - {"log_loss", "cross_entropy"}
REGRESSOR_CONSTRAINTS: dict = {
    **CONSTRAINTS,
    "loss": [
        StrOptions(REGRESSION_LOSSES),
        callable,
    ],
    "loss_parameter": [_ABOVE_ZERO, "array-like", None],
    "normalize_y": ["boolean"],
}

_PARAMETERS = """\
    hidden_layer_sizes : int or array-like of shape (n_layers - 2,), default=(100,)
        Number of units of each hidden layer; empty for a linear model.
    activation : str or array-like of str, default="relu"
        Activation of the hidden layers, one for all or one for each: "identity", "logistic",
        "tanh", "relu", or any other that `Network` has.
    solver : {{"lbfgs", "sgd", "adam"}}, default="adam"
        "lbfgs" is SciPy's L-BFGS-B on all data at once, "sgd" stochastic gradient descent, "adam"
        Adam with ε outside the square root, √v + ε.
    alpha : float, default=0.0001
        Strength α of the L2 penalty: α/2 Σ W² over all weights, biases excluded. The penalty is
        divided by the batch's number of samples (the sum of their weights) and added to the
        batch's mean loss.
    batch_size : int or "auto", default="auto"
        Number of samples per step; "auto" is min(200, n_samples). Not for "lbfgs".
    learning_rate : {{"constant", "invscaling", "adaptive"}}, default="constant"
        How "sgd" changes its learning rate. "constant" keeps it. "invscaling" sets it to
        learning_rate_init / (t + 1)^power_t after t samples. "adaptive" divides it by 5
        whenever training would otherwise stop because nothing improves; training stops once
        the rate is at most 1e-6.
    learning_rate_init : float, default=0.001
        The initial learning rate. Not for "lbfgs".
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        Maximum number of epochs, or of iterations of "lbfgs".
    shuffle : bool, default=True
        Draw a new order of the samples for each epoch. Not for "lbfgs".
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the split for early stopping and the orders of samples,
        drawn in the same sequence as in scikit-learn. Pass an int for reproducible results.
    tol : float, default=1e-4
        The smallest change of the loss, or of the validation score, that counts as an
        improvement; for "lbfgs", the size of the gradient at which it has converged.
    verbose : bool, default=False
        Print the loss, and the validation score, of each epoch.
    warm_start : bool, default=False
        Let `fit` continue from the coefficients of the previous call.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Use Nesterov's momentum.
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the samples{stratified}, stop when the
        score on them does not improve, and keep the coefficients with the best score. If False,
        stop when the training loss does not improve.
    validation_fraction : float, default=0.1
        Share of the samples that early stopping holds out.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's two moments, in [0, 1).
    epsilon : float, default=1e-8
        Adam's ε.
    n_iter_no_change : int or inf, default=10
        Training stops after more than this many consecutive epochs without improvement.
    max_fun : int, default=15000
        Maximum number of evaluations of the loss by "lbfgs".
    backend : {{"auto", "cython", "numba", "numpy"}} or None, default=None
        The backend that computes, as for `Network`. None reads the environment variable
        FASTBP_BACKEND; if that is not set, it means "auto": Cython if it is built, else Numba.
    threads : int or None, default=None
        Number of threads that train; the result does not depend on it. None uses as many as
        have enough work in a step and are free, often one.
    dtype : {{"auto", "float32", "float64"}}, default="auto"
        Precision of coefficients and computation. "auto" is float32 if X is float32, and
        float64 otherwise; "float32" is faster.
    l1 : float or array-like of float, default=0.0
        Strength of the L1 penalty l1 Σ abs(W), added like the L2 penalty; one number for all
        layers, or one for each entry of `coefs_`. Not for "lbfgs".
    dropout : float or array-like of float, default=0.0
        Probability of leaving out a unit, drawn anew for each step: one for all hidden layers,
        or one for each, optionally preceded by one for the inputs. Not for "lbfgs".
    clip_norm : float or None, default=None
        Maximum Euclidean norm c of a step's gradient; a gradient g of a larger norm is scaled by
        c / (‖g‖ + 1e-6), as in PyTorch. Not for "lbfgs".
    average : EMA, SWA or None, default=None
        Average the weights over training. Scores are computed with the average, and the
        estimator keeps it at the end. Not for "lbfgs", nor for `partial_fit`.
    frozen : array-like of int, default=()
        Indices of the entries of `coefs_` and `intercepts_` that training must not change.
    schedule : Schedule, str or None, default=None
        How the learning rate changes over ``max_iter`` epochs, instead of ``learning_rate``,
        which must be "constant"; or its name, as for `Network.fit`. Not for "lbfgs", nor for
        `partial_fit`.
    scoring : str, callable or None, default=None
        The score for early stopping, named as scikit-learn names scorers; None for
        {score}.
    callbacks : list of Callback, default=()
        Called before, between and after the epochs with the estimator's network, see
        `Callback`. Not for "lbfgs", nor for `partial_fit`.
    progress : bool, default=False
        Show a progress bar over ``max_iter`` epochs. Not for "lbfgs", nor for `partial_fit`.
    monotonic_cst : array-like of int of shape (n_features,), dict or None, default=None
        1 for each feature with which {rising} must rise, -1 where it must fall, and 0 where it is
        free; or a dict of these by the names of features, where others are free. As for
        `Network`: it holds exactly, needs {single}, and an ``activation`` that never falls.
    norm : {{"layer", "rms"}} or None, default=None
        The normalisation of the hidden layers, as for `Network`: LayerNorm or RMSNorm. Their scales
        and shifts, and the slopes of the activation "prelu", have no penalties.
    residual : bool, default=False
        Whether each hidden layer as wide as the one before adds its input to its output."""

_ATTRIBUTES = """\
    coefs_, intercepts_ : list of ndarray
        Weights and biases of layer i at index i - 1, of shapes (n_{{i-1}}, n_i) and (n_i,). You
        may write to them or replace them.
    loss_ : float
        The loss of the last epoch, or at the minimum that "lbfgs" found, including penalties.
    loss_curve_ : list of float
        The loss of each epoch; not for "lbfgs".
    best_loss_ : float or None
        The smallest loss of any epoch; None with early stopping.
    validation_scores_ : list of float or None
        {score}, or the score that ``scoring`` names, on the held-out samples after each epoch;
        None without early stopping.
    best_validation_score_ : float or None
        The best validation score.
    n_iter_ : int
        Number of epochs, or iterations of "lbfgs", in the last call.
    t_ : int
        Number of samples that training has seen, counted again in each epoch.
    n_layers_, n_outputs_ : int
        Number of layers, input and output included, and of units of the output layer.
    out_activation_ : str
        Activation of the output layer.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X has names that are all strings."""

# What the docstrings of both estimators share.
SECTIONS = {"parameters": _PARAMETERS, "attributes": _ATTRIBUTES}


def hidden_activations(activation, n_hidden):
    """Return Network's names of the hidden layers' activations for the parameter's value."""
    if isinstance(activation, str | Activation):
        activation = [activation] * n_hidden
    if not checks.is_sequence(activation):
        raise TypeError(
            f"activation must be a name or one name per hidden layer, got {activation!r}"
        )
    names = [ALIASES.get(name, name) if isinstance(name, str) else name for name in activation]
    return spec.activations_of(names, n_hidden)
