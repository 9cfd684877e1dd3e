"""`input_jacobian` of estimators, ensembles and pipelines, against differences of predictions."""

import re

import numpy as np
import pytest
import scipy.sparse
from helpers import error
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

import fastbp
from fastbp import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HOW = {"hidden_layer_sizes": (6,), "activation": "tanh", "max_iter": 20, "random_state": 0}
STEP = 1e-6


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def differences(predict, X):
    """The derivatives of predictions, by central differences."""
    slopes = []
    for j in range(X.shape[1]):
        step = np.zeros(X.shape[1])
        step[j] = STEP
        slope = (predict(X + step) - predict(X - step)) / (2 * STEP)
        slopes.append(slope.reshape(len(X), -1))
    return np.stack(slopes, axis=2)


def check(model, X, predict=None):
    comp = fastbp.input_jacobian(model, X)
    ref = differences(predict or model.predict, X)
    assert comp.shape == ref.shape
    assert ref.any()
    assert error(comp, ref) < 1e-7
    return comp


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressors(iris, backend, loss, n_outputs):
    X = iris[0]
    y = X[:, :n_outputs] ** 2
    model = MLPRegressor(loss, backend=backend, **HOW).fit(X, y.ravel() if n_outputs == 1 else y)
    assert np.array_equal(check(model, X), model.input_jacobian(X))


def test_classifiers(iris, backend):
    """Of two classes, of several, and of several labels at once."""
    X, y = iris
    for targets in (y == 1, y, np.eye(3, dtype=int)[y]):
        model = MLPClassifier(backend=backend, **HOW).fit(X, targets)
        comp = check(model, X, model.predict_proba)
        if targets.ndim == 1:
            assert comp.shape == (150, len(model.classes_), 4)
            assert np.abs(comp.sum(axis=1)).max() < 1e-12  # probabilities add up to 1


def test_float32(iris):
    X, y = iris
    model = MLPClassifier(**HOW).fit(X.astype(np.float32), y)
    double = fastbp.Network.from_sklearn(model)._converted("float64", None)
    comp = model.input_jacobian(X.astype(np.float32))
    assert comp.dtype == np.float32
    assert error(comp, double.input_jacobian(X.astype(np.float32))) < 1e-5


@pytest.mark.parametrize("output", ["tanh", "relu", "logistic", "identity"])
def test_output_activations_that_were_set(iris, output):
    X = iris[0]
    model = MLPRegressor(**HOW).fit(X, X[:, 0] - 5)
    model.out_activation_ = output
    check(model, X)


def test_sparse_rows_and_frames(iris):
    pandas = pytest.importorskip("pandas")
    X, y = iris
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = MLPClassifier(**HOW).fit(frame, y)
    ref = model.input_jacobian(frame)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert np.array_equal(model.input_jacobian(scipy.sparse.csr_matrix(X)), ref)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**HOW)).fit(frame, y)
    assert isinstance(fastbp.input_jacobian(pipeline, frame), np.ndarray)
    with_frames = pipeline.set_output(transform="pandas").fit(frame, y)
    assert (
        error(fastbp.input_jacobian(with_frames, frame), fastbp.input_jacobian(pipeline, frame))
        < 1e-12
    )


PIPELINES = {
    "standard": [StandardScaler()],
    "centred": [StandardScaler(with_std=False)],
    "scaled": [StandardScaler(with_mean=False)],
    "range": [MinMaxScaler((-1, 3))],
    "several": ["passthrough", MinMaxScaler(), None, StandardScaler()],
}


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(iris, name):
    X, y = iris
    model = make_pipeline(*PIPELINES[name], MLPRegressor(**HOW)).fit(X, X[:, 0] ** 2)
    check(model, X)
    model = make_pipeline(*PIPELINES[name], MLPClassifier(**HOW)).fit(X, y)
    check(model, X, model.predict_proba)


def test_clipping(iris):
    """A feature out of its range does not count, and counts again inside."""
    X, y = iris
    scaler = MinMaxScaler(clip=True)
    model = make_pipeline(StandardScaler(), scaler, MLPRegressor(**HOW)).fit(X[:100], y[:100])
    inner = X[:100].min(axis=0) + 0.01 < X
    inner &= X[:100].max(axis=0) - 0.01 > X
    far = X + 0.001
    comp = check(model, far)
    outside = (far > X[:100].max(axis=0)) | (far < X[:100].min(axis=0))
    assert outside.any() and not comp[:, 0][outside].any()
    assert comp[:, 0][inner].all()


def test_clipping_by_a_scaler_that_overwrites_samples(iris):
    X, y = iris
    far = X * 1.5 - 1
    steps = MinMaxScaler(clip=True), MLPRegressor(**HOW)
    model = make_pipeline(*steps).fit(X, y)
    ref = fastbp.input_jacobian(model, far)
    model[0].set_params(copy=False)
    assert np.array_equal(fastbp.input_jacobian(model, far.copy()), ref)
    assert model[0].clip and not ref.all()


def test_ensembles(iris):
    X, y = iris
    how = dict(n_estimators=3, bootstrap=True, random_state=0)
    model = MLPEnsembleRegressor(MLPRegressor(**HOW), **how).fit(X, X[:, 0] ** 2)
    assert np.array_equal(check(model, X), model.input_jacobian(X))
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**HOW))
    model = MLPEnsembleClassifier(pipeline, **how).fit(X, y)
    check(model, X, model.predict_proba)


def test_an_ensemble_whose_members_lack_classes(iris):
    """Some have two of the three classes, some a single one."""
    X, y = iris
    how = dict(n_estimators=12, max_samples=2, random_state=0)
    model = MLPEnsembleClassifier(MLPClassifier(**HOW), **how).fit(X, y)
    assert {len(member.classes_) for member in model.estimators_} == {1, 2}
    check(model, X, model.predict_proba)


def test_networks():
    net = fastbp.Network([2, 3, 1], activation="tanh", loss="squared_error", seed=0)
    X = np.eye(2)
    assert np.array_equal(fastbp.input_jacobian(net, X), net.input_jacobian(X))


def test_what_is_refused(iris):
    X, y = iris

    class Mine(StandardScaler):
        """A subclass may compute anything."""

    for steps, named in (
        ([PolynomialFeatures()], "'polynomialfeatures', sklearn.PolynomialFeatures"),
        ([Mine()], "'mine', test_input_jacobian.Mine"),
        ([make_pipeline(StandardScaler())], "'pipeline', sklearn.Pipeline"),
    ):
        model = make_pipeline(*steps, MLPRegressor(**HOW)).fit(X, y)
        with pytest.raises(TypeError, match=f"the derivatives of the step {named}, are unknown"):
            fastbp.input_jacobian(model, X)
    for model, message in (
        (TheirRegressor(max_iter=5).fit(X, y), "the derivatives of sklearn.MLPRegressor are"),
        (
            make_pipeline(StandardScaler(), LinearRegression()).fit(X, y),
            "of sklearn.LinearRegression are",
        ),
        (make_pipeline(StandardScaler()).fit(X), "the derivatives of sklearn.StandardScaler are"),
        (
            make_pipeline(StandardScaler(), "passthrough").fit(X),
            "the last step, 'passthrough'",
        ),
        (MLPRegressor, "the derivatives of the class fastbp.MLPRegressor are unknown"),
        (3, "the derivatives of int are unknown"),
    ):
        with pytest.raises(TypeError, match=re.escape(message)):
            fastbp.input_jacobian(model, X)
    ensemble = MLPEnsembleRegressor(LinearRegression(), 2).fit(X, y)
    with pytest.raises(TypeError, match="of sklearn.LinearRegression are unknown"):
        ensemble.input_jacobian(X)


def test_not_fitted(iris):
    X = iris[0]
    for model in (
        MLPRegressor(),
        MLPClassifier(),
        MLPEnsembleRegressor(),
        make_pipeline(StandardScaler(), MLPRegressor()),
    ):
        with pytest.raises(NotFittedError):
            fastbp.input_jacobian(model, X)


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.ones((3, 5)), "X has 5 features"),
        (np.full((3, 4), np.nan), "NaN"),
        (np.ones(4), "Expected 2D array"),
        (np.ones((0, 4)), r"0 sample\(s\)"),
        ([["a"] * 4], "could not convert|Unable to convert|dtype"),
    ],
)
def test_bad_samples(iris, bad, message):
    X, y = iris
    for scaler in (StandardScaler(), MinMaxScaler(clip=True)):
        model = make_pipeline(scaler, MLPRegressor(**HOW)).fit(X, y)
        for each in (model, model[-1]):
            with pytest.raises(ValueError, match=message):
                fastbp.input_jacobian(each, bad)


def test_sparse_samples_of_a_scaler_that_needs_dense_ones(iris):
    model = make_pipeline(MinMaxScaler(clip=True), MLPRegressor(**HOW)).fit(*iris)
    with pytest.raises(TypeError, match="dense data is required"):
        fastbp.input_jacobian(model, scipy.sparse.csr_matrix(iris[0]))


def test_missing_entries_of_frames(iris):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(iris[0]).astype("Float64")
    frame.iloc[3, 1] = pandas.NA
    for scaler in (StandardScaler(), MinMaxScaler(clip=True)):
        model = make_pipeline(scaler, MLPRegressor(**HOW)).fit(*iris)
        with pytest.raises(ValueError, match="NaN"):
            fastbp.input_jacobian(model, frame)


def test_a_pipeline_without_steps(iris):
    with pytest.raises(ValueError, match="the pipeline has no steps"):
        fastbp.input_jacobian(Pipeline([]), iris[0])


# Integrated gradients take the same ways.


def check_contributions(model, X, baseline, predict=None):
    predict = predict or model.predict
    found = fastbp.integrated_gradients(model, X, baseline)
    base = np.zeros(X.shape[1]) if baseline is None else baseline
    rise = (predict(X) - predict(np.zeros_like(X) + base)).reshape(len(X), -1)
    assert np.abs(rise).max() > 0.01
    assert np.abs(found.sum(axis=2) - rise).max() < 1e-8 * (1 + np.abs(rise).max())
    return found


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler((-1, 1))])
@pytest.mark.parametrize("baseline", ["zero", "mean", "each"])
def test_contributions_through_scalers(iris, scaler, baseline):
    X, labels = iris
    baseline = {"zero": None, "mean": X.mean(axis=0), "each": X[::-1]}[baseline]
    model = make_pipeline(scaler, "passthrough", MLPClassifier(**HOW)).fit(X, labels)
    found = check_contributions(model, X, baseline, model.predict_proba)
    scaled = scaler.transform(np.zeros((1, 4)) if baseline is None else np.atleast_2d(baseline))
    given = scaled[0] if len(scaled) == 1 else scaled
    alone = model[-1].integrated_gradients(scaler.transform(X), given)
    assert np.array_equal(found, alone)


def test_contributions_of_every_kind(iris):
    X, labels = iris
    mean = X.mean(axis=0)
    regressor = MLPRegressor(**HOW).fit(X, X[:, 0] ** 2)
    found = check_contributions(regressor, X, mean)
    sparse = fastbp.integrated_gradients(regressor, scipy.sparse.csr_array(X), mean)
    assert np.array_equal(sparse, found)
    two = MLPClassifier(**HOW).fit(X, labels > 0)
    of_two = check_contributions(two, X, mean, two.predict_proba)
    assert np.array_equal(of_two[:, 0], -of_two[:, 1])
    members = MLPEnsembleClassifier(MLPClassifier(**HOW), 2, random_state=0, n_jobs=1)
    members.fit(X, labels)
    of_members = check_contributions(members, X, mean, members.predict_proba)
    means = [member.integrated_gradients(X, mean) for member in members.estimators_]
    assert error(of_members, np.mean(means, axis=0)) < 1e-14
    network = fastbp.Network.from_sklearn(regressor)
    assert np.array_equal(fastbp.integrated_gradients(network, X, mean), found)


@pytest.mark.parametrize("kind", ["alone", "pipeline", "ensemble"])
def test_the_names_of_a_baseline_are_those_of_the_features(iris, kind):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(iris[0], columns=["a", "b", "c", "d"])
    regressor = MLPRegressor(**HOW)
    model = {
        "alone": regressor,
        "pipeline": make_pipeline(StandardScaler(), regressor),
        "ensemble": MLPEnsembleRegressor(regressor, 2, random_state=0, n_jobs=1),
    }[kind].fit(X, X["a"])
    found = fastbp.integrated_gradients(model, X, X.mean())
    assert np.array_equal(fastbp.integrated_gradients(model, X, X.mean().to_numpy()), found)
    turned = X[["b", "a", "c", "d"]]
    for baseline in (turned.mean(), turned, X.rename(columns={"d": "e"})):
        with pytest.raises(ValueError, match="those of fit are a, b, c, d; .* the same order"):
            fastbp.integrated_gradients(model, X, baseline)
    for wrong in (0.0, X.mean()[:3].to_numpy(), X[:1]):
        with pytest.raises(ValueError, match=r"baseline must have shape \(4,\) or \(\d+, 4\)"):
            fastbp.integrated_gradients(model, X, wrong)


def test_contributions_that_are_unknown(iris):
    X, labels = iris
    clipped = make_pipeline(MinMaxScaler(clip=True), MLPClassifier(**HOW)).fit(X, labels)
    with pytest.raises(TypeError, match=r"MinMaxScaler\(clip=True\), which bends the line"):
        fastbp.integrated_gradients(clipped, X)
    with pytest.raises(TypeError, match="step 'polynomialfeatures'"):
        model = make_pipeline(PolynomialFeatures(), MLPClassifier(**HOW)).fit(X, labels)
        fastbp.integrated_gradients(model, X)
    regressor = MLPRegressor(**HOW).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="baseline"):
        regressor.integrated_gradients(X, X[:3])
    regressor.out_activation_ = "tanh"
    with pytest.raises(ValueError, match="'tanh' has been set after fit"):
        regressor.integrated_gradients(X)
    of_parameters = MLPRegressor("gaussian", **HOW).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="loss='gaussian' predicts a distribution"):
        of_parameters.integrated_gradients(X)
    with pytest.raises(NotFittedError):
        MLPRegressor().integrated_gradients(X)
