"""Network.calibrate and predict_interval: what they need, and when a calibration counts."""

import copy
import pickle

import numpy as np
import pytest
from file_helpers import rewrite
from helpers import make_network
from scipy import stats

import fastbp

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = X @ [[1.0], [2.0]] + RNG.normal(size=(60, 1))
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def calibrated(loss="squared_error", sizes=(2, 3, 1), y=Y, **options):
    net = make_network(sizes, loss, "numpy", **options)
    assert net.calibrate(X, y) is net
    return net


def interval(net):
    return net.predict_interval(X, 0.8)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_intervals_by_hand(loss, dtype):
    """The prediction ± the 49th of 60 sorted residuals: ⌈61 · 0.8⌉ = 49."""
    net = calibrated(loss, dtype=dtype)
    h = net.predict(X).astype(np.float64)
    reach = np.sort(np.abs(Y - h), axis=0)[48]
    np.testing.assert_array_equal(interval(net), np.hstack([h - reach, h + reach]))


def test_several_outputs_have_intervals_of_their_own():
    y = np.hstack([Y, 10 * Y])
    net = calibrated(sizes=(2, 3, 2), y=y)
    found = interval(net)
    assert found.shape == (60, 2, 2)
    for k in range(2):
        reach = np.sort(np.abs(y[:, k] - net.predict(X)[:, k]))[48]
        np.testing.assert_allclose(found[:, 1, k] - found[:, 0, k], 2 * reach)


def test_numbers_as_they_are():
    """Values are not rounded to the network's float32."""
    net = make_network([2, 1], "squared_error", "numpy", "float32")
    net.weights[0], net.biases[0] = np.zeros((2, 1)), [2.0**30]
    net.calibrate(X, 2.0**30 + Y)
    reach = np.sort(np.abs(Y[:, 0]))[48]
    np.testing.assert_allclose(np.diff(interval(net)), 2 * reach, atol=1e-6)


def test_before_calibrate():
    with pytest.raises(ValueError, match="needs calibrate.* had no part in training"):
        interval(make_network([2, 1], "squared_error", "numpy"))


def train(net):
    net.fit(X, Y, epochs=1)


def step(net):
    net.fit_step(X, Y)


def blend(net):
    net.blend(make_network([2, 3, 1], "squared_error", "numpy", seed=1), 0.5)


def write(net):
    net.biases[0][0] += 1


@pytest.mark.parametrize("change", [train, step, blend, write])
def test_a_calibration_counts_for_the_network_it_was_made_with(change, tmp_path):
    net = calibrated()
    change(net)
    with pytest.raises(ValueError, match="trained or changed after calibrate"):
        interval(net)
    net.save(tmp_path / "net")
    assert fastbp.load(tmp_path / "net")._calibration is None
    assert interval(net.calibrate(X, Y)).shape == (60, 2)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))]
)
def test_copies_keep_their_calibration(copied):
    net = calibrated()
    expected, other = interval(net), copied(net)
    np.testing.assert_array_equal(interval(other), expected)
    train(other)
    np.testing.assert_array_equal(interval(net), expected)


@pytest.mark.parametrize(
    "loss, sizes, y",
    [("log_loss", [2, 1], Y > 0), ("cross_entropy", [2, 3], np.zeros(60, int))],
)
def test_classes_are_refused(loss, sizes, y):
    net = make_network(sizes, loss, "numpy")
    for call in (
        lambda: net.calibrate(X, y),
        lambda: net.predict_std(X),
        lambda: net.predict_interval(X),
    ):
        with pytest.raises(ValueError, match="predicts probabilities of classes"):
            call()


def test_single_values_have_no_spread():
    net = calibrated()
    with pytest.raises(ValueError, match="no standard deviation: use a loss"):
        net.predict_std(X)
    with pytest.raises(ValueError, match="no quantiles: use a loss"):
        net.predict_quantiles(X)


BAD = {
    "shape": ((X, Y[1:]), "y must have one entry per sample"),
    "width": ((X, np.hstack([Y, Y])), "y must have shape"),
    "missing": ((X, np.where(Y > 1, np.nan, Y)), "y has NaN"),
    "samples": ((X * np.inf, Y), "X has"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_samples_leave_the_calibration(case):
    net, (arguments, words) = calibrated(), BAD[case]
    expected = interval(net)
    with pytest.raises(ValueError, match=words):
        net.calibrate(*arguments)
    np.testing.assert_array_equal(interval(net), expected)


def test_too_few_samples():
    net = make_network([2, 1], "squared_error", "numpy").calibrate(X[:8], Y[:8])
    with pytest.raises(ValueError, match="needs at least 9 samples in calibrate, but there were 8"):
        net.predict_interval(X)
    with pytest.raises(ValueError, match="coverage must lie between 0 and 1"):
        net.predict_interval(X, 90)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_files(n_outputs, tmp_path):
    y = np.hstack([Y, 10 * Y])[:, :n_outputs]
    net, path = calibrated(sizes=(2, n_outputs), y=y), tmp_path / "net"
    net.save(path)
    loaded = fastbp.Network.load(path, backend="numpy")
    np.testing.assert_array_equal(interval(loaded), interval(net))
    np.testing.assert_allclose(interval(fastbp.load(path)), interval(net))


def test_checkpoints_go_on_without_calibration(tmp_path):
    """A network that was not changed yet is saved with its calibration; training ends that."""
    net = calibrated()
    net.fit(X, Y, epochs=1, callbacks=[fastbp.Checkpoint(tmp_path / "c", every_epochs=1)])
    path = max((tmp_path / "c").iterdir())
    with pytest.raises(ValueError, match="needs calibrate"):
        interval(fastbp.load(path))


BROKEN = {
    "unsorted": lambda scores: scores[:, ::-1].copy(),
    "missing": lambda scores: scores * np.nan,
    "empty": lambda scores: scores[:, :0],
    "rows": lambda scores: np.vstack([scores, scores]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case, tmp_path):
    def change(document, tensors):
        tensors["calibration"] = BROKEN[case](tensors["calibration"])

    calibrated().save(tmp_path / "net")
    rewrite(tmp_path / "net", change)
    with pytest.raises(ValueError, match="broken file: .*'calibration'"):
        fastbp.load(tmp_path / "net")


def test_a_calibration_in_the_file_of_a_classifier(tmp_path):
    def change(document, tensors):
        document["model"]["calibration"] = True
        tensors["calibration"] = np.ones((1, 9))

    make_network([2, 1], "log_loss", "numpy").save(tmp_path / "net")
    rewrite(tmp_path / "net", change)
    with pytest.raises(ValueError, match="broken file: calibration must be left out"):
        fastbp.load(tmp_path / "net")


# Distributions and lists of quantiles.


def test_standard_deviations_and_quantiles_of_a_network():
    net = make_network([2, 3, 2], "gaussian", "numpy")
    mean, log_variance = net.forward(X).output.T
    expected = stats.norm(mean, np.exp(log_variance / 2))
    np.testing.assert_allclose(net.predict_std(X)[:, 0], expected.std(), rtol=1e-12)
    assert net.predict_std(X).shape == net.predict(X).shape == (60, 1)
    found = net.predict_quantiles(X, [0.1, 0.975])
    np.testing.assert_allclose(found.T, [expected.ppf(0.1), expected.ppf(0.975)], rtol=1e-9)


def test_scaled_residuals_by_hand():
    """μ ± the 49th of 60 sorted |y - μ| / σ, times σ."""
    net = calibrated("student_t", (2, 3, 2))
    h, std = net.predict(X), net.predict_std(X)
    score = np.sort(np.abs(Y - h) / std, axis=0)[48]
    expected = np.hstack([h - score * std, h + score * std])
    np.testing.assert_allclose(interval(net), expected, rtol=1e-12)


def test_conformalised_quantiles_by_hand():
    """The pair of quantiles, moved by the 49th of 60 sorted max(l - y, y - u)."""
    net = fastbp.Network([2, 5], loss="quantile", loss_parameter=LEVELS, seed=0, backend="numpy")
    own = net.calibrate(X, Y).predict_quantiles(X, LEVELS)
    for coverage, (i, j) in {0.8: (0, 4), 0.5: (1, 3)}.items():
        k = {0.8: 48, 0.5: 30}[coverage]
        score = np.sort(np.maximum(own[:, i] - Y[:, 0], Y[:, 0] - own[:, j]))[k]
        expected = np.stack([own[:, i] - score, own[:, j] + score], axis=1)
        np.testing.assert_allclose(net.predict_interval(X, coverage), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="do not tell the standard deviation"):
        net.predict_std(X)


@pytest.mark.parametrize(
    "loss, n_outputs, parameter", [("gaussian", 2, None), ("quantile", 5, LEVELS)]
)
def test_files_of_distributions(loss, n_outputs, parameter, tmp_path):
    net = fastbp.Network([2, n_outputs], loss=loss, loss_parameter=parameter, backend="numpy")
    net.calibrate(X, Y).save(tmp_path / "net")
    loaded = fastbp.Network.load(tmp_path / "net", backend="numpy")
    for coverage in (0.5, 0.8):
        ours, theirs = (each.predict_interval(X, coverage) for each in (net, loaded))
        np.testing.assert_array_equal(ours, theirs)


def test_an_error_beyond_the_largest_float_is_refused():
    net = make_network([1, 1], "squared_error", "numpy", "float64")
    net.weights[0], net.biases[0] = [[1e308]], [0.0]
    net.calibrate([[1.0], [0.5]], [1e308, 0.0])
    before = net.predict_interval([[1.0]], 0.5)
    with pytest.raises(ValueError, match="in row 1 y is -1.7e.308 and the model predicts 1e.308"):
        net.calibrate([[0.0], [1.0]], [0.0, -1.7e308])
    np.testing.assert_array_equal(net.predict_interval([[1.0]], 0.5), before)
