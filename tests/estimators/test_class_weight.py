"""class_weight is a matter of sample weights, as in scikit-learn."""

import numpy as np
import pytest
from helpers import make_data, make_network, parameters
from sklearn.utils.class_weight import compute_sample_weight

KINDS = {
    "labels": ("cross_entropy", 3, "labels"),
    "one-hot": ("cross_entropy", 3, "one_hot"),
    "binary": ("log_loss", 1, "hard"),
}


@pytest.mark.parametrize("sample_weight", [None, np.linspace(0.1, 2, 25)])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}])
@pytest.mark.parametrize("kind", KINDS)
def test_as_sample_weights(backend, kind, class_weight, sample_weight):
    loss, outputs, targets = KINDS[kind]
    X, y = make_data(loss, 25, 4, outputs, kind=targets)
    labels = y.argmax(axis=1) if kind == "one-hot" else y.ravel()
    weight = compute_sample_weight(class_weight, labels)
    if sample_weight is not None:
        weight = weight * sample_weight
    net, ref = (make_network([4, 5, outputs], loss, backend) for _ in range(2))
    history = net.fit(X, y, class_weight=class_weight, sample_weight=sample_weight, epochs=3)
    assert history.loss == ref.fit(X, y, sample_weight=weight, epochs=3).loss
    assert np.array_equal(parameters(net), parameters(ref))


def test_balanced_by_hand(backend):
    """Classes of 3 and 1 samples get 4 / (2 * 3) and 4 / (2 * 1)."""
    X, y = np.eye(4), [0, 0, 0, 1]
    net, ref = (make_network([4, 2], "cross_entropy", backend) for _ in range(2))
    net.fit(X, y, class_weight="balanced", epochs=1, batch_size=None)
    ref.fit(X, y, sample_weight=[2 / 3, 2 / 3, 2 / 3, 2], epochs=1, batch_size=None)
    assert np.array_equal(parameters(net), parameters(ref))


@pytest.mark.parametrize(
    "loss, outputs, kind, class_weight, exception, message",
    [
        (
            "squared_error",
            1,
            "real",
            "balanced",
            ValueError,
            "requires the loss cross_entropy or log_loss",
        ),
        ("cross_entropy", 3, "labels", "equal", TypeError, "\"balanced\" or a dict, got 'equal'"),
        ("cross_entropy", 3, "labels", [1, 2], TypeError, '"balanced" or a dict'),
        ("cross_entropy", 3, "labels", {0: -1}, ValueError, r"class_weight\[0\] must be in"),
        ("cross_entropy", 3, "soft", "balanced", ValueError, "requires labels"),
        ("log_loss", 2, "hard", "balanced", ValueError, "requires one class per sample"),
        ("log_loss", 1, "hard", {2: 1.0}, ValueError, r"key 2, but .* classes are 0\.\.1"),
        ("cross_entropy", 3, "labels", {"1": 1.0}, ValueError, r"key '1', but .* are 0\.\.2"),
        ("cross_entropy", 3, "labels", {1: "2"}, TypeError, r"class_weight\[1\] must be a number"),
    ],
)
def test_bad_class_weights(backend, loss, outputs, kind, class_weight, exception, message):
    X, y = make_data(loss, 25, 4, outputs, kind=kind)
    net = make_network([4, outputs], loss, backend)
    before = parameters(net)
    with pytest.raises(exception, match=message):
        net.fit(X, y, class_weight=class_weight)
    assert np.array_equal(parameters(net), before)
