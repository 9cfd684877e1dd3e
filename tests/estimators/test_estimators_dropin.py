"""What programs written for scikit-learn's perceptrons reach for beside fit and predict."""

import copy
import functools
import inspect
import pickle
import types
import warnings

import numpy as np
import pytest
import sklearn.neural_network
from helpers import error
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.preprocessing import LabelBinarizer

import fastbp
from fastbp.estimators import privates as sklearn_privates

LIBRARIES = [sklearn.neural_network, fastbp]
NAMES = ["MLPClassifier", "MLPRegressor"]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def pair(name="MLPClassifier", **parameters):
    """scikit-learn's estimator and ours."""
    parameters = {"hidden_layer_sizes": (7, 5), "max_iter": 5, "random_state": 0, **parameters}
    return [getattr(library, name)(**parameters) for library in LIBRARIES]


def same(comp, ref):
    lists = zip([*comp.coefs_, *comp.intercepts_], [*ref.coefs_, *ref.intercepts_], strict=True)
    return max(error(a, b) for a, b in lists) < 1e-10


# Attributes that are set.


def test_curves_of_early_stopping_go_on_after_best_loss_was_set(backend):
    X, y = load_digits(return_X_y=True)
    ref, comp = pair(hidden_layer_sizes=(16,), max_iter=12, early_stopping=True, warm_start=True)
    for estimator in (ref, comp.set_params(backend=backend)):
        estimator.fit(X / 16, y)
        estimator.best_loss_, estimator.n_iter_, estimator._no_improvement_count = np.inf, 0, 0
        estimator.fit(X / 16, y)
    assert same(comp, ref)
    assert comp.validation_scores_ == ref.validation_scores_
    assert len(comp.loss_curve_) == len(ref.loss_curve_) == 24


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize(
    "name, value",
    [
        *[("learning_rate_init", 0.3), ("learning_rate", 0.2), ("momentum", 0.2)],
        *[("nesterov", False), ("beta_1", 0.5), ("beta_2", 0.9), ("epsilon", 0.1), ("t", 0)],
        *[("lr_schedule", "invscaling"), ("power_t", 0.1)],
    ],
)
def test_optimizer_is_set_between_calls(solver, name, value, iris, backend):
    parameters = {"solver": solver, "momentum": 0.9, "learning_rate_init": 0.01}
    ref, comp = pair(**parameters)
    comp.set_params(backend=backend)
    untouched = copy.deepcopy(comp)
    for estimator in (ref, comp, untouched):
        for _ in range(3):
            estimator.partial_fit(*iris, classes=[0, 1, 2])
        if not hasattr(estimator._optimizer, name):
            return
        if estimator is not untouched:
            setattr(estimator._optimizer, name, value)
        for _ in range(3):
            estimator.partial_fit(*iris)
    assert same(comp, ref)
    without_effect = {"adam": ["learning_rate"], "sgd": ["learning_rate_init", "power_t"]}
    assert same(comp, untouched) == (name in without_effect[solver])
    for each in ("learning_rate", "t"):
        if hasattr(ref._optimizer, each):
            assert getattr(comp._optimizer, each) == pytest.approx(getattr(ref._optimizer, each))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_moments_are_seen_and_set(solver, iris):
    ref, comp = pair(solver=solver, momentum=0.0)
    names = ["velocities"] if solver == "sgd" else ["ms", "vs"]
    for estimator in (ref, comp):
        estimator.fit(*iris)
        estimator._optimizer.momentum = 0.9
    for name in names:
        for a, b in zip(getattr(comp._optimizer, name), getattr(ref._optimizer, name), strict=True):
            assert error(a, b) < 1e-10
    for estimator in (ref, comp):
        for name in names:
            setattr(
                estimator._optimizer, name, [a / 4 for a in getattr(estimator._optimizer, name)]
            )
        estimator.partial_fit(*iris)
    assert same(comp, ref)


def test_update_params_of_the_optimizer(iris):
    """A loop of a program's own, over scikit-learn's gradient."""
    X, y = iris
    Y, both = LabelBinarizer().fit_transform(y), pair()
    for estimator in both:
        estimator.fit(X, y)
        layers = len(estimator.coefs_)
        for _ in range(3):
            activations, nothing = [X] + [None] * layers, [[None] * layers for _ in range(3)]
            _, coefs, intercepts = estimator._backprop(X, Y, None, activations, *nothing)
            params = estimator.coefs_ + estimator.intercepts_
            estimator._optimizer.update_params(params, coefs + intercepts)
        estimator.partial_fit(X, y)
    assert same(*both)


@pytest.mark.parametrize(
    "arrays", [lambda ms: ms[:2], lambda ms: [m[:1] for m in ms], lambda ms: [0] * len(ms)]
)
def test_moments_of_other_shapes_are_refused(arrays, iris):
    """They would be broadcast."""
    comp = pair()[1].fit(*iris)
    before = [W.copy() for W in comp.coefs_]
    comp._optimizer.ms = arrays(comp._optimizer.ms)
    with pytest.raises(ValueError, match=r"_optimizer.ms must be arrays of the shapes of coefs_"):
        comp.partial_fit(*iris)
    assert all(map(np.array_equal, comp.coefs_, before))


def test_another_optimizer_is_refused(iris):
    ref, comp = (estimator.fit(*iris) for estimator in pair())
    comp._optimizer = ref._optimizer
    with pytest.raises(TypeError, match="_optimizer must be the one .* got a AdamOptimizer"):
        comp.partial_fit(*iris)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output", ["identity", "logistic", "tanh", "relu", "exp"])
def test_output_activation_is_set_for_predictions(name, output, iris):
    X, y = iris
    both = pair(name)
    for estimator in both:
        estimator.fit(X, y)
        estimator.out_activation_ = output
    method = "predict" if name == "MLPRegressor" else "predict_proba"
    ref, comp = (getattr(estimator, method)(X) for estimator in both)
    assert error(comp, ref) < 1e-10
    if output != "identity" or name == "MLPClassifier":
        with pytest.raises(ValueError, match=f"training needs out_activation_ .* is '{output}'"):
            both[1].partial_fit(X, y)


@pytest.mark.parametrize("output", ["sigmoid", "", None, 3, ["tanh"], ("tanh",), {}])
def test_odd_output_activations(output, iris):
    """They are named in the message, whatever is called."""
    X, y = iris
    for estimator in (pair()[1], fastbp.MLPRegressor("huber", loss_parameter=0.5, max_iter=2)):
        estimator.fit(X, y).out_activation_ = output
        for name in ("predict", "layer_outputs"):
            with pytest.raises(ValueError, match="out_activation_ must be one of logistic, .* got"):
                getattr(estimator, name)(X)


@pytest.mark.parametrize("loss", ["huber", "quantile"])
def test_output_activation_of_losses_with_a_parameter(loss, iris):
    """The parameter is the loss's, and not that of the activation that predictions have."""
    X, y = iris
    estimator = fastbp.MLPRegressor(loss, loss_parameter=0.5, max_iter=2, random_state=0).fit(X, y)
    h = estimator.predict(X)
    estimator.out_activation_ = "tanh"
    assert np.array_equal(estimator.predict(X), np.tanh(h))
    estimator.out_activation_ = "identity"
    assert np.array_equal(estimator.set_params(loss="poisson").predict(X), h)


SIZES = {
    "2.5": ([2.5], "must be a whole number, got float: 2.5"),
    "2.0": ((3, 2.0), "must be a whole number, got float: 2.0"),
    "nan": (np.array([np.nan]), "must be a whole number, got float: nan"),
    "text": ([3, "a"], "must be a whole number, got str: 'a'"),
    "None": ([None], "must be a whole number, got NoneType: None"),
    "list of lists": ([[3, 2]], "must be a whole number, got list"),
}


@pytest.mark.parametrize("what", SIZES)
def test_odd_sizes_of_hidden_layers(what, iris):
    sizes, message = SIZES[what]
    with pytest.raises(TypeError, match=f"hidden_layer_sizes {message}"):
        fastbp.MLPClassifier(sizes).fit(*iris)


def test_size_of_one_hidden_layer_as_an_array(iris):
    assert fastbp.MLPClassifier(np.array(3), max_iter=1).fit(*iris).coefs_[0].shape == (4, 3)


def test_odd_activations(iris):
    with pytest.raises(TypeError, match=r"activation must be a name \(str\), got list: \['relu'\]"):
        fastbp.MLPClassifier((3, 2), activation=[["relu"], ["tanh"]]).fit(*iris)


def test_classes_are_decoded_by_the_binarizer(iris):
    X, y = iris
    ref, comp = (estimator.fit(X, y) for estimator in pair())
    for estimator in (ref, comp):
        estimator.classes_ = np.array(["a", "b", "c"])
    assert np.array_equal(comp.predict(X), ref.predict(X))
    for estimator in (ref, comp):
        estimator._label_binarizer = LabelBinarizer().fit(["x", "y", "z"])
    assert np.array_equal(comp.predict(X), ref.predict(X))
    assert comp.predict(X)[0] in ["x", "y", "z"]


def test_number_of_layers_must_fit(iris):
    comp = pair()[1].fit(*iris)
    comp.n_layers_ = 3
    with pytest.raises(ValueError, match="n_layers_ is 3, but coefs_ has 3 entries"):
        comp.predict(iris[0])


@pytest.mark.parametrize("solver, sizes", [("adam", (7,)), ("adam", (7, 5, 5)), ("lbfgs", (7, 6))])
def test_hidden_layers_of_a_warm_start_must_fit(solver, sizes, iris):
    """scikit-learn fails there, too, on the way."""
    ref, comp = pair(warm_start=True)
    for estimator in (ref, comp):
        estimator.fit(*iris).set_params(hidden_layer_sizes=sizes, solver=solver)
    with pytest.raises((ValueError, IndexError, TypeError, AttributeError)):
        ref.fit(*iris)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes is .*sizes \[7, 5\]; set warm_start"):
        comp.fit(*iris)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("low, high", [(-2, -0.5), (-0.3, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_negative_sample_weights(name, low, high, solver, iris, backend):
    weight = np.random.default_rng(0).uniform(low, high, len(iris[0]))
    options = dict(solver=solver, alpha=0.5, learning_rate_init=0.01, hidden_layer_sizes=(4,))
    ref, comp = (estimator.fit(*iris, weight) for estimator in pair(name, **options))
    comp = comp.set_params(backend=backend).fit(*iris, weight)
    assert same(comp, ref)
    assert comp.loss_ == pytest.approx(ref.loss_)


# Copies.


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("unpickled", [False, True])
def test_copy_shares_coefficients_until_fit(solver, unpickled, iris):
    """As in scikit-learn, training in place trains both copies, also if one predicted before."""
    X, y = iris
    shown = []
    for estimator in pair(solver=solver):
        original = estimator.fit(X, y)
        if unpickled:
            original = pickle.loads(pickle.dumps(original))
        other = copy.copy(original)
        outputs = [other.predict_proba(X)]
        original.partial_fit(X, y)
        outputs += [other.predict_proba(X), original.predict_proba(X)]
        other.partial_fit(X, y)
        outputs += [other.predict_proba(X), original.predict_proba(X)]
        original.coefs_[0] = original.coefs_[0] / 2
        outputs += [other.predict_proba(X), original.predict_proba(X)]
        other.partial_fit(X, y)
        outputs += [other.predict_proba(X), original.predict_proba(X)]
        other.fit(X, y)
        outputs += [other.predict_proba(X), original.predict_proba(X)]
        shown.append(outputs)
    assert all(error(a, b) < 1e-10 for a, b in zip(*shown, strict=True))
    assert np.array_equal(shown[1][1], shown[1][2])  # shared
    assert not np.array_equal(shown[1][-2], shown[1][-1])


# Warnings.


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("module", ["sklearn", "sklearn.neural_network"])
def test_warnings_are_filtered_as_of_scikit_learn(solver, module, iris):
    """The filter of its own examples."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=ConvergenceWarning, module=module)
        fastbp.MLPClassifier((2,), solver=solver, max_iter=2).fit(*iris)
        warnings.filterwarnings("ignore", category=UserWarning, module=module)
        fastbp.MLPClassifier((2,), batch_size=1000, max_iter=2).fit(*iris)


def test_a_warning_says_which_file_it_comes_from(iris):
    with pytest.warns(ConvergenceWarning, match="Stochastic Optimizer") as record:
        fastbp.MLPClassifier((2,), max_iter=2).fit(*iris)
    assert [warning.filename for warning in record] == [sklearn_privates.__file__]


# Private methods.


def private_methods():
    """The names of the methods of scikit-learn's classes, as far as they are their own."""
    classes = [BaseMultilayerPerceptron, *(getattr(sklearn.neural_network, n) for n in NAMES)]
    return sorted(
        {
            name
            for each in classes
            for name, value in vars(each).items()
            if isinstance(value, types.FunctionType) and name[0] == "_" and name[:2] != "__"
        }
    )


@pytest.mark.parametrize("name", private_methods())
def test_private_method_is_there_or_its_override_is_refused(name):
    for each in NAMES:
        ours, theirs = (getattr(library, each) for library in reversed(LIBRARIES))
        if hasattr(ours, name) and name not in ("_backprop", "_fit"):
            ref = list(inspect.signature(getattr(theirs, name)).parameters)
            assert list(inspect.signature(getattr(ours, name)).parameters)[: len(ref)] == ref
        if name in sklearn_privates.NEVER_CALLED:
            with pytest.raises(TypeError, match=f"Mine replaces {name}, which scikit-learn's"):
                type("Mine", (ours,), {name: lambda self, *args: None})
            mixin = type("Mixin", (), {name: lambda self, *args: None})
            with pytest.raises(TypeError, match=f"Mine replaces {name}"):
                type("Mine", (mixin, ours), {})
        else:
            assert hasattr(ours, name)


@pytest.mark.parametrize("name", sorted(set(private_methods()) - sklearn_privates.NEVER_CALLED))
@pytest.mark.parametrize("each", NAMES)
def test_override_is_called(name, each, iris):
    """By the same calls as in scikit-learn, with the same kinds of arguments, and as often."""
    heard = []
    for library in LIBRARIES:
        theirs, calls = getattr(library, each), []
        method = getattr(theirs, name)

        def override(self, *args, method=method, calls=calls, **options):
            calls.append((len(args), sorted(options)))
            return method(self, *args, **options)

        mine = type("Mine", (theirs,), {name: override})
        how = dict(hidden_layer_sizes=(4,), max_iter=3, random_state=0)
        mine(early_stopping=True, **how).fit(*iris).predict(iris[0])
        estimator = mine(**how).fit(*iris).partial_fit(*iris)
        heard.append((calls, estimator.coefs_))
    (ref, coefs), (comp, own) = heard
    assert len(ref) == len(comp) or name == "_check_solver"
    # scikit-learn's _score asks its own class for this one.
    assert ref or name in ("_check_solver", "_score_with_function")
    assert all(error(a, b) < 1e-10 for a, b in zip(own, coefs, strict=True))


def test_method_replaced_on_the_instance(iris):
    classifier = fastbp.MLPClassifier(max_iter=2)
    classifier._backprop = lambda *args: None
    with pytest.raises(TypeError, match="this MLPClassifier replaces _backprop"):
        classifier.fit(*iris)


def derived(library):
    class Mine(library.MLPClassifier):
        def _init_coef(self, fan_in, fan_out, dtype):
            coef = self._random_state.uniform(-0.3, 0.3, (fan_in, fan_out))
            return coef.astype(dtype), np.zeros(fan_out, dtype)

        def _initialize(self, y, layer_units, dtype):
            super()._initialize(y, layer_units, dtype)
            self.coefs_[0][0] += y.mean(axis=0)[0]

        def _validate_input(self, X, y, incremental, reset):
            X, y = super()._validate_input(X, y, incremental, reset)
            return X * 2, y[:, ::-1]

        def _score(self, X, y, sample_weight=None):
            return -abs(super()._score(X, y, sample_weight=sample_weight) - 0.5)

        def _update_no_improvement_count(self, early_stopping, X, y, sample_weight):
            super()._update_no_improvement_count(early_stopping, X, y, sample_weight)
            self._optimizer.learning_rate_init *= 0.9

        def _forward_pass_fast(self, X, check_input=True):
            return super()._forward_pass_fast(X, check_input=check_input) ** 2

    return Mine((5,), max_iter=20, random_state=0, early_stopping=True, learning_rate_init=0.05)


def test_overrides_count(iris):
    X, y = iris
    ref, comp = (derived(library).fit(X, y) for library in LIBRARIES)
    assert same(comp, ref)
    assert comp.validation_scores_ == pytest.approx(ref.validation_scores_)
    assert error(comp.predict_proba(X), ref.predict_proba(X)) < 1e-10
    assert np.array_equal(comp.predict(X), ref.predict(X))


@pytest.mark.parametrize("name", NAMES)
def test_private_methods_give_the_same_numbers(name, iris):
    X, y = iris
    ref, comp = (estimator.fit(X, y) for estimator in pair(name, solver="lbfgs", alpha=0.1))
    Y = LabelBinarizer().fit_transform(y) if name == "MLPClassifier" else y.reshape(-1, 1)
    results = []
    theta = np.concatenate([a.ravel() for a in [*ref.coefs_, *ref.intercepts_]]) * 1.1
    for estimator in (ref, comp):
        layers = len(estimator.coefs_)
        lists = [[None] * layers for _ in range(3)]
        activations = [X] + [None] * layers
        loss, gradient = estimator._loss_grad_lbfgs(theta, X, Y, None, activations, *lists)
        results.append([np.array(loss), gradient, *activations[1:], *estimator.coefs_])
        results[-1] += [estimator._forward_pass_fast(X), estimator._predict(X, check_input=False)]
        results[-1] += [np.array(estimator._score(X, estimator._predict(X)[::-1].reshape(len(X))))]
    assert all(error(a, b) < 1e-10 for a, b in zip(*results, strict=True))


def test_gradients_beyond_scikit_learns_are_refused(iris):
    X, y = iris
    classifier = fastbp.MLPClassifier((3,), "gelu", max_iter=2).fit(X, y)
    assert len(classifier._forward_pass([X, None, None])) == 3
    with pytest.raises(
        ValueError, match="supports only scikit-learn's activations and losses.*'gelu'"
    ):
        classifier._backprop(X, y, None, [X, None, None], [None] * 2, [None] * 2, [None] * 2)


@pytest.mark.parametrize("intercepts", [lambda b: b[:2], lambda b: [b[0], np.ones(7), b[2]]])
def test_intercepts_that_do_not_go_with_coefs(intercepts, iris):
    comp = pair()[1].fit(*iris)
    comp.intercepts_ = intercepts(comp.intercepts_)
    shapes = r"need intercepts_ of shapes \[\(7,\), \(5,\), \(3,\)\]"
    with pytest.raises(ValueError, match=shapes):
        comp.predict(iris[0])


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_both_signs_that_sum_to_zero(name, iris):
    weight = np.where(np.arange(len(iris[1])) % 2, 1, -1)
    for estimator in pair(name, solver="lbfgs"):
        with pytest.raises(ZeroDivisionError, match="Weights sum to zero, can't be normalized"):
            estimator.fit(*iris, sample_weight=weight)


# Types.


@pytest.mark.parametrize("name", NAMES)
def test_virtual_subclasses(name):
    theirs, ours = (getattr(library, name)() for library in LIBRARIES)
    assert isinstance(ours, type(theirs)) and isinstance(ours, BaseMultilayerPerceptron)
    other = getattr(sklearn.neural_network, NAMES[name == NAMES[0]])
    assert not isinstance(ours, other) and not isinstance(theirs, type(ours))

    @functools.singledispatch
    def kind(estimator):
        return "unknown"

    kind.register(type(theirs), lambda estimator: "perceptron")
    assert kind(ours) == "perceptron"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
@pytest.mark.parametrize("how", ["fit", "saved"])
def test_types_of_attributes(name, options, how, iris, tmp_path):
    ref, comp = (estimator.fit(*iris) for estimator in pair(name, **options))
    if how == "saved":
        fastbp.save(comp, tmp_path / "estimator.safetensors")
        comp = fastbp.load(tmp_path / "estimator.safetensors")
    for key, value in vars(ref).items():
        if key.endswith("_") and key[0] != "_":
            assert type(getattr(comp, key)) is type(value), key
            if isinstance(value, list):
                assert {type(x) for x in getattr(comp, key)} == {type(x) for x in value}, key
            elif isinstance(value, np.ndarray):
                assert getattr(comp, key).dtype == value.dtype, key
