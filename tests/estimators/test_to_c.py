"""Estimators and pipelines as C: features and targets in the user's units."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from c_helpers import CC, STRICT, Library, run
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

import fastbp

if CC is None:
    pytest.skip("needs a C compiler", allow_module_level=True)

# Trainings are short, and on purpose some features or targets are not scaled.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(200, 3)) * [1, 50, 0.01] + [0, 300, 5]).astype(np.float32)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    y = 3 * np.tanh(z[:, 0] * z[:, 1]) + z[:, 2] + 5
    return X, y.astype(np.float32)


def regressor(**how):
    return fastbp.MLPRegressor(hidden_layer_sizes=(9, 5), max_iter=15, random_state=0, **how)


def scaled_target(inner):
    return TransformedTargetRegressor(inner, transformer=StandardScaler())


def clipping():
    return MinMaxScaler((-1, 2), clip=True)


MODELS = {
    "standard": lambda: make_pipeline(StandardScaler(), regressor()),
    "centered": lambda: make_pipeline(StandardScaler(with_std=False), regressor(alpha=1.0)),
    "widened": lambda: make_pipeline(StandardScaler(with_mean=False), "passthrough", regressor()),
    "bounded": lambda: make_pipeline(MinMaxScaler(), clipping(), StandardScaler(), regressor()),
    "targets": lambda: scaled_target(make_pipeline(StandardScaler(), regressor())),
    "theirs": lambda: scaled_target(
        make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=15, random_state=0)
        )
    ),
    "alone": lambda: TransformedTargetRegressor(regressor()),
}


def called(library, name, X, n_outputs):
    """(h, J) of each row."""
    h = np.zeros((len(X), n_outputs), np.float32)
    J = np.zeros((len(X), n_outputs, X.shape[1]), np.float32)
    scratch = np.full(library.size(f"{name.upper()}_JACOBIAN_SCRATCH"), np.nan, np.float32)
    for i, x in enumerate(X):
        library.call(f"{name}_jacobian", x, h[i], J[i], scratch)
        other = np.zeros(n_outputs, np.float32)
        library.call(f"{name}_predict", x, other)
        assert np.array_equal(other, h[i])
    return h, J


def test_predictions_and_derivatives(data, tmp_path):
    X, y = data
    models = {name: made().fit(X, y) for name, made in MODELS.items()}
    for name, model in models.items():
        fastbp.to_c(model, tmp_path, name, X=X[:20], jacobian=True)
    library = Library(tmp_path, *STRICT, "-O1", "-march=native")
    rows = np.concatenate([X, 3 * X - 2 * X.mean(axis=0)])  # some are far out
    for name, model in models.items():
        h, J = called(library, name, rows, 1)
        # Scaled in float64: the rows lie so close together that float32 is not enough.
        expected = model.predict(rows.astype(np.float64))
        np.testing.assert_allclose(h[:, 0], expected, rtol=0, atol=2e-6 * np.abs(expected).max())
        if name in ("standard", "bounded"):
            exact = fastbp.input_jacobian(model, rows)
            np.testing.assert_allclose(J, exact, rtol=0, atol=1e-4 * np.abs(exact).max())
        if name == "bounded":
            assert (J[200:] == 0).any() and (J[200:] != 0).any()
        if name == "targets":
            inner = fastbp.input_jacobian(model.regressor_, rows) * model.transformer_.scale_
            np.testing.assert_allclose(J, inner, rtol=0, atol=1e-4 * np.abs(inner).max())
        if name not in ("bounded", "targets"):
            continue
        command = [*STRICT, f"{name}.c", f"{name}_test.c", "-o", name]
        run(CC, *command, folder=tmp_path)
        run(f"./{name}", folder=tmp_path)


def test_successive_scalers_lose_no_digits(tmp_path):
    """Features that are far from 0 and lie close together."""
    X = (1000 + 0.01 * np.random.default_rng(0).normal(size=(200, 1))).astype(np.float32)
    linear = fastbp.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0, random_state=0)
    model = make_pipeline(StandardScaler(with_mean=False), MinMaxScaler(), linear)
    model.fit(X.astype(float), (X[:, 0].astype(float) - 1000) * 100)
    fastbp.to_c(model, tmp_path, "s", jacobian=True)
    h, _ = called(Library(tmp_path, *STRICT), "s", X, 1)
    assert np.abs(h[:, 0] - model.predict(X.astype(float))).max() < 1e-5


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifiers(n_classes, data, tmp_path):
    X, y = data
    labels = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    model = make_pipeline(
        StandardScaler(), fastbp.MLPClassifier(hidden_layer_sizes=(8,), max_iter=20, random_state=0)
    )
    network = fastbp.to_c(model.fit(X, labels), tmp_path, jacobian=True)
    n_outputs = network.layout.sizes[-1]
    h, _ = called(Library(tmp_path, *STRICT, "-O1", "-march=native"), "network", X, n_outputs)
    expected = model.predict_proba(X.astype(np.float64))[:, -n_outputs:]
    np.testing.assert_allclose(h, expected, rtol=0, atol=1e-6)


def scaled(scaler, values):
    """(x - mean) / scale as the C code computes it: the mean is a float32 and the rest."""
    center = scaler.mean_.astype(np.float32)
    rest = (scaler.mean_ - center).astype(np.float32)
    return ((values - center) - rest) / scaler.scale_.astype(np.float32)


def test_steps_take_targets_in_the_users_units(data, tmp_path):
    X, y = data
    model = scaled_target(make_pipeline(StandardScaler(), regressor(alpha=0))).fit(X, y)
    network = fastbp.to_c(model, tmp_path, "sensor", X=X[:8], train="sgd")
    library = Library(tmp_path, *STRICT, "-O1", "-march=native")
    parameters = library.constants("sensor_parameters", library.size("SENSOR_PARAMETERS"))
    scratch = np.full(library.size("SENSOR_FIT_SCRATCH"), np.nan, np.float32)
    Z, z = scaled(model.regressor_[0], X), scaled(model.transformer_, y[:, None])[:, 0]
    for i in range(50):
        library.call("sensor_fit_step", parameters, X[i], y[i : i + 1], 0.125, scratch)
        network.fit_step(Z[i : i + 1], z[i : i + 1], optimizer=fastbp.SGD(0.125))
    pairs = zip(network.weights, network.biases, strict=True)
    found = np.concatenate([array.ravel() for pair in pairs for array in pair])
    assert np.array_equal(parameters, found)
    run(CC, *STRICT, "sensor.c", "sensor_test.c", "-o", "program", folder=tmp_path)
    run("./program", folder=tmp_path)


def test_whole_numbers(data, tmp_path):
    """Scalers cost nothing: they are in the rounding of the inputs."""
    X, y = data
    scalers = Pipeline([("a", MinMaxScaler()), ("b", StandardScaler())])
    model = scaled_target(make_pipeline(*scalers.named_steps.values(), regressor())).fit(X, y)
    whole = fastbp.to_c(model, tmp_path, "net", weights="int8", arithmetic="int8", X=X)
    h = np.zeros((len(X), 1), np.float32)
    library = Library(tmp_path, *STRICT, "-O1")
    for x, out in zip(X, h, strict=True):
        library.call("net_predict", x, out)
    assert h.tobytes() == whole.predict(X).tobytes()
    assert np.abs(h[:, 0] - model.predict(X)).max() < 0.05 * np.ptp(y)
    assert whole.calibration.rms < 0.01 * np.ptp(y)
    assert "scale_inputs" not in (tmp_path / "net.c").read_text()


def test_networks_are_written_as_by_themselves(tmp_path):
    net = fastbp.Network([2, 3, 1], loss="huber", seed=0)
    fastbp.to_c(net, tmp_path / "a", X=[[1, 2]])
    net.to_c(tmp_path / "b", X=[[1, 2]])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


class Scaler(StandardScaler):
    """A subclass, which may do anything."""


def test_refused(data, tmp_path):
    X, y = data

    def refuses(message, model, error=TypeError, **how):
        with pytest.raises(error, match=message):
            fastbp.to_c(model, tmp_path, **how)

    fitted = regressor().fit(X, y)
    refuses("the step 'pca', sklearn.PCA, has no equivalent in C", make_pipeline(PCA(), fitted))
    refuses("the step 'scaler', .*Scaler, has", make_pipeline(Scaler(), fitted))
    refuses("to_c writes a Network, .* not fastbp.MLPEnsembleRegressor", ensemble().fit(X, y))
    refuses("not sklearn.StandardScaler", make_pipeline(StandardScaler()))
    refuses("not sklearn.TransformedTargetRegressor", make_pipeline(scaled_target(fitted)))
    refuses("is not fitted", regressor(), ValueError)
    refuses("not fitted", make_pipeline(StandardScaler(), fitted), ValueError)
    refuses("the pipeline has no steps", Pipeline([]), ValueError)
    logs = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp)
    refuses("the transformer of targets, sklearn.FunctionTransformer", logs.fit(X, y))
    bounded = TransformedTargetRegressor(regressor(), transformer=clipping())
    refuses("the transformer of targets, sklearn.MinMaxScaler", bounded.fit(X, y))
    spread = scaled_target(regressor(loss="gaussian")).fit(X, y)
    refuses("the loss gaussian predicts a distribution, and the outputs", spread)
    doubled = make_pipeline(FunctionTransformer(np.square), fitted)
    refuses("the step 'functiontransformer'", doubled)
    tiny = make_pipeline(StandardScaler(), regressor()).fit(X, y)
    tiny[0].scale_[1] = 1e-60
    refuses("a scaler has numbers that float32 cannot hold", tiny, ValueError)
    assert not list(tmp_path.iterdir())


def ensemble():
    return fastbp.MLPEnsembleRegressor(regressor(), n_estimators=2)


def test_the_program_of_the_documentation():
    """docs/embedded.md: its Python writes what its C needs."""
    page = (Path(__file__).parents[2] / "docs" / "embedded.md").read_text("utf-8")
    python = re.search(r"```python\n(.*?)```", page, re.S)[1]
    code = "\n".join(line[4:] for line in python.splitlines() if line[:3] in (">>>", "..."))
    names: dict = {}
    exec(compile(code, "embedded.md", "exec"), names)
    folder = Path(names["folder"])
    (folder / "main.c").write_text(re.search(r"```c\n(.*?)```", page, re.S)[1], "utf-8")
    run(CC, *STRICT, "main.c", "weather.c", "-o", "main", folder=folder)
    printed = run("./main", folder=folder).stdout
    chance = names["model"].predict_proba([[18.5, 1002.0, 81.0]])[0, 1]
    assert printed == f"rain: {100 * chance:.0f} %\n" and chance > 0.9
    shutil.rmtree(folder)
