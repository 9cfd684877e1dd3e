"""Networks and estimators whose outputs are parameters of a distribution, and what refuses them."""

import copy
import pickle

import numpy as np
import pytest
from helpers import parameters
from scipy.special import ndtri
from sklearn.exceptions import ConvergenceWarning

import fastbp
from fastbp.basis import spec

# Loss -> number of outputs, parameter.
LOSSES = {
    "gaussian": (2, None),
    "student_t": (2, 3.5),
    "laplace": (2, None),
    "negative_binomial": (2, None),
    "mixture_density": (9, 3),
    "quantile": (3, (0.1, 0.5, 0.9)),
}
ONE_TARGET = [name for name, row in spec.LOSSES.items() if row.one_target]
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
y = rng.poisson(np.exp(0.5 * X[:, 0] + 0.5)).astype(float)


def network(loss, backend=None, **options):
    n_outputs, parameter = LOSSES[loss]
    options = {"activation": "tanh", "seed": 0, "dtype": "float64"} | options
    return fastbp.Network(
        [3, 8, n_outputs], loss=loss, loss_parameter=parameter, backend=backend, **options
    )


def test_all_are_tested():
    assert {*ONE_TARGET, "quantile"} == {*LOSSES}


@pytest.mark.parametrize("loss", LOSSES)
def test_training_lowers_the_loss_and_prediction_is_one_column(loss):
    net = network(loss)
    history = net.fit(X, y, epochs=30, optimizer=fastbp.Adam(0.02), validation_data=(X, y))
    assert history.loss[-1] < history.loss[0]
    assert history.validation_loss[-1] < history.validation_loss[0]
    predicted = net.predict(X)
    assert predicted.shape == (200, 1) and predicted.dtype == np.float64
    raw = net.forward(X).output
    assert raw.shape == (200, LOSSES[loss][0])
    assert np.array_equal(predicted[:, 0], net._engine.distribution.center(raw))
    assert net.score(X, y) == pytest.approx(
        1 - np.mean((predicted[:, 0] - y) ** 2) / np.var(y), rel=1e-12
    )


def test_a_column_of_targets_is_the_same_as_a_vector():
    found = [network("gaussian").loss_and_gradient(X, each)[0] for each in (y, y[:, None])]
    assert found[0] == found[1]


def test_location_and_scale_are_learnt():
    """With one input, y = 2 x + e^{x / 2} times a normal number: both are linear in x."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (4000, 1))
    targets = 2 * x[:, 0] + np.exp(x[:, 0] / 2) * rng.normal(size=4000)
    net = fastbp.Network([1, 2], loss="gaussian", dtype="float64")
    net.fit(x, targets, epochs=80, batch_size=500, optimizer=fastbp.Adam(0.02))
    np.testing.assert_allclose(net.weights[0][0], [2.0, 1.0], atol=0.12)
    np.testing.assert_allclose(net.biases[0], [0.0, 0.0], atol=0.12)


def test_quantiles_do_not_cross_and_cover():
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (4000, 1))
    targets = x[:, 0] + np.exp(x[:, 0]) * rng.normal(size=4000)
    levels = (0.1, 0.5, 0.9)
    net = fastbp.Network(
        [1, 16, 3], loss="quantile", loss_parameter=levels, activation="tanh", seed=0
    )
    net.fit(x, targets, epochs=60, batch_size=500, optimizer=fastbp.Adam(0.02))
    found = net._engine.distribution.quantiles(net.forward(x).output, levels)
    assert (np.diff(found, axis=1) > 0).all()
    np.testing.assert_allclose((targets[:, None] < found).mean(axis=0), levels, atol=0.03)


def test_scales_begin_without_weights():
    for loss, (n_outputs, _) in LOSSES.items():
        net = network(loss)
        zero = ~net.weights[-1].any(axis=0)
        assert zero.sum() == (6 if loss == "mixture_density" else n_outputs - 1)
        # The rest is drawn as for every network.
        plain = fastbp.Network(
            [3, 8, n_outputs], loss="squared_error", activation="tanh", seed=0, dtype="float64"
        )
        assert np.array_equal(net.weights[0], plain.weights[0])
        assert np.array_equal(net.weights[-1][:, ~zero], plain.weights[-1][:, ~zero])
    biases = network("quantile").biases[-1]
    first = network("quantile")._engine.distribution.quantiles(biases[None], (0.1, 0.5, 0.9))
    np.testing.assert_allclose(first, [ndtri([0.1, 0.5, 0.9])], atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_copies_and_files(loss, tmp_path):
    net = network(loss)
    net.fit(X, y, epochs=1)
    path = tmp_path / "net.safetensors"
    net.save(path)
    for other in (fastbp.Network.load(path), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.loss_parameter == net.loss_parameter
        assert type(other.loss_parameter) is type(net.loss_parameter)
        assert other.predict(X).tobytes() == net.predict(X).tobytes()
        other.fit(X, y, epochs=1)
        again = copy.copy(net)
        again.fit(X, y, epochs=1)
        assert parameters(other).tobytes() == parameters(again).tobytes()


@pytest.mark.parametrize("loss", ["quantile", "mixture_density"])
def test_checkpoints(loss, tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    whole, parts = network(loss), network(loss)
    whole.fit(X, y, epochs=4)
    parts.fit(X, y, epochs=2, callbacks=[checkpoint])
    parts = network(loss)
    parts.fit(X, y, epochs=4, resume_from=checkpoint.newest())
    assert parameters(parts).tobytes() == parameters(whole).tobytes()


def test_many_networks_with_other_numbers_of_targets():
    """Three quantiles of one target, and one quantile of three targets, are not the same data."""
    several = network("quantile")
    other = fastbp.Network([3, 8, 2], loss="gaussian", seed=1, dtype="float64")
    alone = copy.deepcopy(several)
    fastbp.fit_many([several, other], X, y, epochs=2)
    alone.fit(X, y, epochs=2)
    assert several.predict(X).shape == other.predict(X).shape == (200, 1)


def test_traces_show_the_target_of_all_outputs():
    net = network("quantile")
    trace = net.trace(X[:2], y[:2])
    assert trace.y.shape == (2, 1)
    for unit in range(3):
        assert "from the loss" in str(trace.equations(2, unit, 1))
    assert "loss quantile 0.1, 0.5, 0.9" in str(net.summary())


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_checked(loss):
    net = network(loss)
    net.weights[-1] = np.random.default_rng(3).normal(size=net.weights[-1].shape) / 4
    assert fastbp.check_gradients(net, X[:4], y[:4], only=["numpy"]).passed


REFUSED = {
    "outputs": ("gaussian needs 2 outputs: mean and log variance; .* is 1", {}),
    "components": (
        "mixture_density with loss_parameter=2 needs 6 outputs",
        {"loss": "mixture_density", "loss_parameter": 2},
    ),
    "levels": ("at least two of them in rising order", {"loss_parameter": [0.5, 0.3]}),
    "one level": ("at least two of them in rising order", {"loss_parameter": [0.5]}),
    "level 1": ("at least two of them in rising order", {"loss_parameter": [0.5, 1.0]}),
    "number": ("needs 3 outputs: the first quantile", {"loss_parameter": [0.1, 0.5, 0.9]}),
    "parameter": ("has no parameter", {"loss": "laplace", "loss_parameter": 2.0}),
    "nu": ("must be in \\(1e-30, ", {"loss": "student_t", "loss_parameter": 0.0}),
    "tiny nu": ("must be in \\(1e-30, ", {"loss": "student_t", "loss_parameter": 1e-100}),
    "activation": ("cannot have the output activation tanh", {"output_activation": "tanh"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_networks_that_make_no_sense(what):
    message, options = REFUSED[what]
    options = {"loss": "quantile" if "loss_parameter" in options else "gaussian"} | options
    with pytest.raises(ValueError, match=message):
        fastbp.Network([3, 1], **options)


def test_targets_that_make_no_sense():
    net = network("gaussian")
    with pytest.raises(ValueError, match=r"y must have shape \(200,\) or \(200, 1\)"):
        net.fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="dy needs one target for each output"):
        net.fit(X, y, dy=np.zeros((200, 2, 3)))
    counts = network("negative_binomial")
    with pytest.raises(ValueError, match="requires counts 0, 1, 2, .* the first, 0.5, is in row 0"):
        counts.fit(X, y - y + 0.5)
    with pytest.raises(ValueError, match=r"requires targets in \[0, inf\]"):
        counts.fit(X, y - 100)
    with pytest.raises(TypeError, match="whole number"):
        fastbp.Network([3, 6], loss="mixture_density", loss_parameter=2.5)


def test_other_tools_get_the_outputs(tmp_path):
    net = network("gaussian", dtype="float32")
    raw = net.forward(X).output
    net.to_c(tmp_path, "net")
    with pytest.raises(ValueError, match="no losses of distributions, .* quantile 0.1, 0.5, 0.9"):
        network("quantile").to_c(tmp_path, "net", train="sgd")
    with pytest.raises(ValueError, match="scikit-learn's perceptrons have no loss 'gaussian'"):
        net.to_sklearn()
    torch = pytest.importorskip("torch")
    found = net.to_torch()(torch.tensor(X, dtype=torch.float32)).numpy(force=True)
    np.testing.assert_allclose(found, raw, rtol=1e-5, atol=1e-6)
    back = fastbp.Network.from_torch(net.to_torch(), loss="gaussian")
    np.testing.assert_allclose(back.predict(X), net.predict(X), rtol=1e-5, atol=1e-6)


# Estimators.


@pytest.mark.parametrize("loss", LOSSES)
def test_estimators(loss, tmp_path):
    _, parameter = LOSSES[loss]
    model = fastbp.MLPRegressor(
        loss=loss,
        loss_parameter=parameter,
        hidden_layer_sizes=(8,),
        activation="tanh",
        solver="lbfgs",
        max_iter=60,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert model.n_outputs_ == 1 and model.predict(X).shape == (200,)
    assert model.score(X, y) > 0.05
    net = fastbp.Network.from_sklearn(model)
    assert np.array_equal(net.predict(X)[:, 0], model.predict(X))
    path = tmp_path / "model.safetensors"
    fastbp.save(model, path)
    loaded = fastbp.load(path)
    assert loaded.n_outputs_ == 1 and np.array_equal(loaded.predict(X), model.predict(X))
    differences = [
        (model.predict(X[:9] + shift) - model.predict(X[:9] - shift)) / 2e-5
        for shift in 1e-5 * np.eye(3)
    ]
    found = model.input_jacobian(X[:9])
    np.testing.assert_allclose(found[:, 0], np.transpose(differences), atol=1e-8)
    with pytest.raises(ValueError, match="y must have one column"):
        model.fit(X, np.column_stack([y, y]))


def test_estimators_by_epochs():
    model = fastbp.MLPRegressor(
        loss="negative_binomial", early_stopping=True, max_iter=20, random_state=0
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert len(model.validation_scores_) == 20 and model.loss_ < model.loss_curve_[0]
    with pytest.warns(ConvergenceWarning):
        ensemble = fastbp.MLPEnsembleRegressor(model, 2, random_state=0).fit(X, y)
    assert ensemble.predict(X).shape == (200,)
    with pytest.raises(ValueError, match="requires counts"):
        model.fit(X, y + 0.5)
