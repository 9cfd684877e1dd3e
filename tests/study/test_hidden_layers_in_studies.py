"""Networks with a norm, residual layers and prelu in gradient checks, searches and many fits."""

import numpy as np
import pytest
from layer_helpers import LAYERS, arrays_of, make_layers, together

import fastbp

WIDTHS = [3, 6, 6, 5, 2]


def make(which, backend="numpy", seed=0, widths=WIDTHS):
    return make_layers(which, widths, "squared_error", backend, seed=seed)


def data(n=30):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3)), rng.standard_normal((n, 2))


@pytest.mark.parametrize("which", LAYERS)
def test_gradient_checks_cover_all_arrays(which):
    net = make(which)
    check = fastbp.check_gradients(net, *data(7), only=["numpy"])
    assert check.passed
    assert len(check.results) == sum(array.size > 0 for array in arrays_of(net))
    names = {result.name for result in check.results}
    wanted = {"W", "b"} | ({"γ"} if net.norm else set()) | ({"β"} if net.norm == "layer" else set())
    assert names == wanted | ({"a"} if "prelu" in net.layout.activations else set())


def test_gradient_checks_find_a_wrong_gradient_of_a_scale(monkeypatch):
    net, numpy_ = make("layer"), fastbp.backends.get("numpy")
    right = numpy_.loss_and_gradient

    def wrong(model, data, block, workspace, transposed, gradient, *rest):
        loss = right(model, data, block, workspace, transposed, gradient, *rest)
        if gradient.size:
            numpy_.views(model.plan, gradient).norm_weights[1][2] += 1e-3
        return loss

    monkeypatch.setattr(numpy_, "loss_and_gradient", wrong)
    check = fastbp.check_gradients(net, *data(7), only=["numpy"], raises=False)
    assert [(r.layer, r.name, r.where) for r in check.results if not r.passed] == [(2, "γ", (2,))]


def test_least_squares_move_all_arrays():
    net = make({"norm": "layer", "activation": "prelu"}, widths=[3, 4, 4, 4, 2])
    X, y = data()
    before, loss = arrays_of(net), net.loss_and_gradient(X, y)[0]
    before = [array.copy() for array in before]
    found = fastbp.levenberg_marquardt(net, X, y, frozen=[1])
    assert net.loss_and_gradient(X, y)[0] < 0.5 * loss
    assert [a.shape for a in arrays_of(found.standard_errors)] == [a.shape for a in before]
    frozen = {1, 5, 9, 12, 15}  # weights, biases, scales, shifts and slopes of the second layer
    for k, (array, start) in enumerate(zip(arrays_of(net), before, strict=True)):
        assert np.array_equal(array, start) == (k in frozen), k


def test_many_fits_are_single_fits():
    X, y = data()
    many = [make("all", "auto", seed) for seed in range(3)]
    single = [make("all", "auto", seed) for seed in range(3)]
    fastbp.fit_many(many, X, y, epochs=2)
    for one, other in zip(many, single, strict=True):
        other.fit(X, y, epochs=2)
        assert np.array_equal(together(one), together(other))


def test_health_and_rates():
    net, (X, y) = make("all"), data()
    health = fastbp.Health(X, y, warn=False)
    net.fit(X, y, epochs=2, callbacks=[health])
    assert len(health.loss) > 0 and np.isfinite(health.gradient[-1]).all()
    assert fastbp.find_learning_rate(net, X, y, batch_size=10).suggestion > 0
