"""The recipes of docs/exchange.md for skops and mlflow. `make test-ecosystem` runs these tests."""

import mlflow
import numpy as np
import pytest
import skops.io
from mlflow.models import infer_signature
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import MLPClassifier, MLPEnsembleClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
Y = (X[:, 0] > 0).astype(int)
REGRESSION = {"hidden_layer_sizes": (3,), "max_iter": 10, "random_state": 0}
MODELS = {
    "pipeline": make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=20)),
    "adam": MLPRegressor(**REGRESSION),
    "sgd": MLPRegressor(**REGRESSION, solver="sgd", momentum=0.5),
    "lbfgs": MLPRegressor(**REGRESSION, solver="lbfgs"),
    "early stopping": MLPClassifier((3,), early_stopping=True, max_iter=10),
    "ensemble": MLPEnsembleClassifier(
        MLPClassifier((3,), max_iter=5, average=fastbp.EMA(0.9), schedule=fastbp.CosineDecay()), 2
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_skops(name, tmp_path):
    model = MODELS[name].fit(X, Y)
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    types = skops.io.get_untrusted_types(file=path)
    assert all(t.startswith("fastbp.") or t == "numpy.dtype" for t in types)
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException):
        skops.io.load(path)
    again = skops.io.load(path, trusted=types)
    assert np.array_equal(again.predict(X), model.predict(X))
    if name in ("adam", "sgd"):  # the training goes on, too
        assert np.array_equal(
            again.partial_fit(X, Y).predict(X), model.partial_fit(X, Y).predict(X)
        )


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """A place for mlflow to write to."""
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment("fastbp")
    yield
    mlflow.sklearn.autolog(disable=True)


def test_mlflow(tracked):
    model = MODELS["pipeline"].fit(X, Y)
    types = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    with mlflow.start_run() as run:
        mlflow.log_params(model[-1].get_params())
        for step, loss in enumerate(model[-1].loss_curve_, 1):
            mlflow.log_metric("loss", loss, step)
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(X, model.predict(X)),
            skops_trusted_types=types,
        )
    noted = mlflow.get_run(run.info.run_id).data
    assert noted.params["hidden_layer_sizes"] == "(5,)"
    assert noted.metrics["loss"] == pytest.approx(model[-1].loss_)
    again = mlflow.sklearn.load_model(info.model_uri)
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(mlflow.pyfunc.load_model(info.model_uri).predict(X), model.predict(X))


def test_mlflow_autolog_sees_scikit_learns_classes_only(tracked):
    """By itself an estimator of fastbp is not noted; in a pipeline it is."""
    mlflow.sklearn.autolog(log_models=False, log_datasets=False)
    with mlflow.start_run() as run:
        MLPClassifier((5,), max_iter=5).fit(X, Y)
    assert mlflow.get_run(run.info.run_id).data.params == {}
    with mlflow.start_run() as run:
        make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=5)).fit(X, Y)
    noted = mlflow.get_run(run.info.run_id).data.params
    assert noted["mlpclassifier__hidden_layer_sizes"] == "(5,)"
