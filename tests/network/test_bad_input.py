"""Whatever is wrong with what a user passes is said before anything is computed.

Each line of a table: what is passed, the exception, and a pattern of its message, which says
what was expected. The network is the same afterwards.
"""

import numpy as np
import pytest
import scipy.sparse
from helpers import make_data, make_network, outputs_for, parameters

import fastbp

N = 6
NAN, INF = float("nan"), float("inf")
X, _ = make_data("squared_error", N, 3, 2)


def with_entry(array, index, value):
    """A copy with one entry changed."""
    array = np.array(array, dtype=float)
    array[index] = value
    return array


def masked(array, masked_entries):
    mask = np.zeros(np.shape(array), bool)
    mask.flat[:masked_entries] = True
    return np.ma.MaskedArray(array, mask)


def unchanged(net, call):
    """Run `call`, expected to raise, and check that the network's state survives it."""
    before, random = parameters(net), net._engine.random.bit_generator.state
    try:
        return call()
    finally:
        assert np.array_equal(parameters(net), before)
        assert net._engine.random.bit_generator.state == random


SAMPLES = {
    "1-D": (X[0], ValueError, r"X must be 2-D, .*\(n_samples, 3\).*got shape \(3,\).*reshape"),
    "3-D": (X[None], ValueError, r"X must be 2-D.*got shape \(1, 6, 3\)"),
    "a number": (1.0, ValueError, r"X must be 2-D.*got shape \(\)"),
    "too few features": (X[:, :2], ValueError, "X has 2 features, but .* input layer has 3"),
    "too many features": (np.ones((N, 4)), ValueError, "X has 4 features, but .* has 3"),
    "no rows": (X[:0], ValueError, "X has no rows"),
    "an empty list": ([], ValueError, r"X must be 2-D.*got shape \(0,\)"),
    "ragged": ([[1, 2, 3], [4]], ValueError, "X cannot be read as an array"),
    "NaN": (with_entry(X, (2, 1), NAN), ValueError, "X has NaN or infinite values"),
    "infinite": (
        with_entry(X, (5, 2), -INF),
        ValueError,
        r"X has NaN or .* values \(1 in all; the first, -inf, is in row 5, column 2, .*from 0\)",
    ),
    "None": (None, ValueError, r"X must be 2-D.*got shape \(\)"),
    "None inside": (
        [[1, None, 2]] * N,
        ValueError,
        r"X has NaN.*\(6 in all; the first, nan, is in row 0, column 1",
    ),
    "complex": (X + 1j, TypeError, "X must hold real numbers, got dtype complex128"),
    "strings": (X.astype(str), TypeError, "X must hold real numbers, got dtype <U"),
    "objects": (np.array([["a", 1, 2]] * N, object), TypeError, "X must hold .*objects"),
    "numbers as str": (np.array([["1", 1, 2]] * N, object), TypeError, "X must hold .*objects"),
    "dates": (np.zeros((N, 3), "M8[s]"), TypeError, "X must hold real numbers, got dtype datetime"),
    "masked": (masked(X, 2), ValueError, r"X has masked entries \(2 in all.* row 0, col"),
}


@pytest.mark.parametrize("what", SAMPLES)
def test_samples(backend, what):
    given, exception, message = SAMPLES[what]
    net = make_network([3, 4, 2], "squared_error", backend)
    for call in (
        lambda: net.predict(given),
        lambda: net.loss_and_gradient(given, np.ones((N, 2))),
        lambda: net.fit(given, np.ones((N, 2)), epochs=1),
    ):
        with pytest.raises(exception, match=message):
            unchanged(net, call)


# Loss, outputs, targets for N samples; then as above.
LABELS = np.array([0, 1, 2, 0, 1, 2])
TARGETS = {
    "too short": ("huber", 1, np.ones(N - 1), ValueError, r"6 samples, but .*y has shape \(5,\)"),
    "too long": ("cross_entropy", 3, [0] * 7, ValueError, r"6 samples, but .*y has shape \(7,\)"),
    "a number": ("huber", 1, 1.0, ValueError, r"one entry per sample.*shape \(\)"),
    "empty": ("huber", 1, [], ValueError, r"6 samples, but .*y has shape \(0,\)"),
    "flat, but two outputs": ("huber", 2, np.ones(N), ValueError, r"shape \(6, 2\) .* got \(6,\)"),
    "a column, but two outputs": ("huber", 2, np.ones((N, 1)), ValueError, r"\(6, 2\).*\(6, 1\)"),
    "two columns, but one output": (
        "huber",
        1,
        np.ones((N, 2)),
        ValueError,
        r"y must have shape \(6,\) or \(6, 1\).*got \(6, 2\)",
    ),
    "3-D": ("huber", 2, np.ones((N, 2, 1)), ValueError, r"\(6, 2\).*got \(6, 2, 1\)"),
    "labels in a column": (
        "cross_entropy",
        3,
        LABELS[:, None],
        ValueError,
        r"\(6,\) \(labels\) or \(6, 3\) \(one-hot.*got \(6, 1\)",
    ),
    "NaN": ("huber", 1, with_entry(np.ones(N), 1, NAN), ValueError, "y has NaN.* row 1, c"),
    "NaN in a column": (
        "huber",
        1,
        with_entry(np.ones((N, 1)), 4, NAN),
        ValueError,
        r"y has NaN.*\(1 in all; the first, nan, is in row 4, counted",
    ),
    "NaN in columns": (
        "huber",
        2,
        with_entry(np.ones((N, 2)), (slice(3, 6), 1), NAN),
        ValueError,
        r"y has NaN.*\(3 in all; the first, nan, is in row 3, column 1, counted",
    ),
    "infinite": ("poisson", 1, with_entry(np.ones(N), 1, INF), ValueError, "y has NaN or inf"),
    "complex": ("huber", 1, np.ones(N) * 1j, TypeError, "y must hold real numbers"),
    "sparse": ("huber", 3, scipy.sparse.csr_array(X), TypeError, "y is a sparse matrix"),
    "masked": ("huber", 1, masked(np.ones(N), 1), ValueError, "y has masked entries"),
    "a label too high": ("cross_entropy", 3, LABELS + 1, ValueError, r"0\.\.2 .*from 1 to 3"),
    "a negative label": ("cross_entropy", 3, LABELS - 1, ValueError, r"0\.\.2 .*from -1 to 1"),
    "half a label": (
        "cross_entropy",
        3,
        LABELS + 0.5,
        ValueError,
        r"whole .* \(6 in all; .*, 0.5, is in row 0,",
    ),
    "a NaN label": (
        "cross_entropy",
        3,
        with_entry(LABELS, 3, NAN),
        ValueError,
        r"NaN or .* the first, nan, is in row 3, counted from 0\); labels must be whole",
    ),
    "a huge label": ("cross_entropy", 3, np.full(N, 1e300), ValueError, r"0\.\.2"),
    "strings": (
        "cross_entropy",
        3,
        ["cat", "dog", "cow"] * 2,
        TypeError,
        "y must hold.*numpy.unique",
    ),
    "objects": ("cross_entropy", 3, np.array(["a", 1, 2] * 2, object), TypeError, "y must hold"),
    "numbers as str": (
        "cross_entropy",
        3,
        np.array(["0", "1", "2"] * 2, object),
        TypeError,
        "y must hold",
    ),
    "column of labels": ("cross_entropy", 3, [[0]] * N, ValueError, r"pass numpy.ravel\((\w+ )?y"),
    "text for a loss of numbers": ("huber", 1, ["1"] * N, TypeError, "dtype <U1$"),
    "above 1": ("log_loss", 1, [0, 1, 2, 0, 1, 2], ValueError, r"\[0, 1\].*from 0 to 2"),
    "below 0": ("log_loss", 1, [-1, 1, -1, 1, 1, 1], ValueError, r"\[0, 1\].*from -1 to 1"),
    "negative counts": ("poisson", 1, [1, 2, 3, -1, 0, 0], ValueError, r"\[0, inf\].*from -1 to 3"),
    "negative one-hot": ("cross_entropy", 2, [[2, -1]] * N, ValueError, r"\[0, 1\].*from -1 to 2"),
    "rows that sum to 0.9": (
        "cross_entropy",
        2,
        [[0, 1]] * 3 + [[0.4, 0.5]] * 3,
        ValueError,
        "must sum to 1 .* row 3 sums to 0.9",
    ),
    "multi-label rows": ("cross_entropy", 2, [[1, 1]] * N, ValueError, "row 0 sums to 2"),
}


@pytest.mark.parametrize("what", TARGETS)
def test_targets(backend, what):
    loss, n_outputs, given, exception, message = TARGETS[what]
    net = make_network([3, 4, n_outputs], loss, backend)
    good = np.zeros((N, n_outputs)) if loss != "cross_entropy" else [0] * N
    for call in (
        lambda: net.loss_and_gradient(X, given),
        lambda: net.fit(X, given, epochs=1),
        lambda: net.fit(X, good, epochs=1, validation_data=(X, given)),
    ):
        with pytest.raises(exception, match=message):
            unchanged(net, call)


WEIGHTS = {
    "too short": (np.ones(N - 1), ValueError, r"shape \(6,\), got \(5,\)"),
    "a column": (np.ones((N, 1)), ValueError, r"shape \(6,\), got \(6, 1\)"),
    "a number": (2.0, ValueError, r"shape \(6,\), got \(\)"),
    "negative": (with_entry(np.ones(N), 2, -0.5), ValueError, "not be negative.*-0.5"),
    "NaN": (with_entry(np.ones(N), 2, NAN), ValueError, "sample_weight has NaN.* in row 2, c"),
    "infinite": (with_entry(np.ones(N), 2, INF), ValueError, "sample_weight has NaN or inf"),
    "all zero": (np.zeros(N), ValueError, "zero for every sample"),
    "denormal": (np.full(N, 1e-308), ValueError, "below 2.2e-308, the .* are 100 %"),
    "partly denormal": (
        np.linspace(0.1, 1, N) * 1e-307,
        ValueError,
        "sample_weight has numbers below 2.2e-308.*which are 3.03 % of the sum; multiply all",
    ),
    "strings": (["1"] * N, TypeError, "sample_weight must hold real numbers"),
    "objects": (np.array([{}] * N, object), TypeError, "sample_weight must hold .*objects"),
}


def test_denormal_weights_beside_others_count_as_zero(backend):
    net, y = make_network([3, 4, 2], "squared_error", backend), np.ones((N, 2))
    weights = np.array([1.0, 1e-310, 0.5, 0.0, 1e-310, 2.0])
    loss, _ = net.loss_and_gradient(X, y, weights)
    assert loss == net.loss_and_gradient(X, y, np.where(weights < 1e-300, 0, weights))[0]


@pytest.mark.parametrize("what", WEIGHTS)
def test_sample_weights(backend, what):
    given, exception, message = WEIGHTS[what]
    net = make_network([3, 4, 2], "squared_error", backend)
    y = np.ones((N, 2))
    for call in (
        lambda: net.loss_and_gradient(X, y, given),
        lambda: net.fit(X, y, sample_weight=given, epochs=1),
        lambda: net.fit(X, y, epochs=1, validation_data=(X, y, given)),
    ):
        with pytest.raises(exception, match=message):
            unchanged(net, call)


@pytest.mark.parametrize("name", ["X", "y", "sample_weight"])
def test_values_too_large_for_float32(backend, name):
    data = {"X": X.copy(), "y": np.ones((N, 2)), "sample_weight": np.ones(N)}
    data[name].flat[0] = 1e39
    net = make_network([3, 4, 2], "squared_error", backend, "float32")
    with pytest.raises(ValueError, match=rf"{name} has values too large for float32 \(1 .*row 0,"):
        unchanged(net, lambda: net.fit(**data, epochs=1))


@pytest.mark.parametrize("dtype, large", [("float32", 1e38), ("float64", 1e300)])
def test_large_values_that_fit_are_finite(backend, dtype, large):
    net = make_network([3, 4, 2], "squared_error", backend, dtype)
    assert np.isfinite(net.predict(np.full((1, 3), large))).all()  # tanh takes them to ±1


NETWORKS = {
    "no sizes": ([], {}, ValueError, "must have at least 2 entries, inputs and outputs"),
    "one size": ([3], {}, ValueError, "must have at least 2 entries, inputs and outputs"),
    "a number": (3, {}, TypeError, "list of sizes, got 3"),
    "a zero": ([3, 0, 1], {}, ValueError, r"layer_sizes\[1\] must be at least 1, got 0"),
    "negative": ([-3, 1], {}, ValueError, r"layer_sizes\[0\] must be at least 1, got -3"),
    "a float": ([3, 4.0, 1], {}, TypeError, r"layer_sizes\[1\] must be a whole number.*4.0"),
    "a bool": ([3, True, 1], {}, TypeError, r"layer_sizes\[1\] must be a whole number.*True"),
    "a string": ("341", {}, TypeError, r"layer_sizes\[0\] must be a whole number"),
    "a set": ({1, 2}, {}, TypeError, "list of sizes, got {1, 2}"),
    "None inside": ([3, None], {}, TypeError, r"layer_sizes\[1\] must be a whole number"),
    "activation": ([3, 4, 1], {"activation": "swish"}, ValueError, "'swish'; known: .*gelu.*silu"),
    "activation, no layer": ([3, 1], {"activation": "swish"}, ValueError, "'swish'; known: .*gelu"),
    "activation in a list": (
        [3, 4, 4, 1],
        {"activation": ["relu", "RELU"]},
        ValueError,
        "'RELU'; known: .*relu",
    ),
    "activations in a set": (
        [3, 4, 4, 1],
        {"activation": {"relu", "tanh"}},
        TypeError,
        "one name per hidden layer, got {",
    ),
    "too few activations": (
        [3, 4, 4, 1],
        {"activation": ["relu"]},
        ValueError,
        r"one name for each hidden layer \(here 2\), got 1",
    ),
    "too many activations": (
        [3, 4, 1],
        {"activation": ["relu", "sigmoid"]},
        ValueError,
        r"\(here 1\), got 2 .*output layer's activation comes with the loss",
    ),
    "activation by number": ([3, 4, 1], {"activation": 3}, TypeError, "a name or one name per"),
    "activations by number": ([3, 4, 1], {"activation": [3]}, TypeError, "name .str., got int: 3"),
    "loss": ([3, 1], {"loss": "mse"}, ValueError, "unknown loss 'mse'; known: .*squared_error"),
    "loss by number": ([3, 1], {"loss": 1}, TypeError, "loss must be a name .str., got int"),
    "softmax of one": ([3, 1], {"loss": "cross_entropy"}, ValueError, "at least 2 outputs"),
    "dtype": ([3, 1], {"dtype": "float16"}, ValueError, '"float32" or "float64", got \'float16\''),
    "integer dtype": ([3, 1], {"dtype": int}, ValueError, '"float32" or "float64"'),
    "unknown dtype": ([3, 1], {"dtype": "real"}, ValueError, '"float32" or "float64"'),
    "swapped dtype": ([3, 1], {"dtype": ">f8"}, ValueError, '"float32" or "float64"'),
    "no dtype": ([3, 1], {"dtype": None}, ValueError, '"float32" or "float64", got None'),
    "negative seed": ([3, 1], {"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    "float seed": ([3, 1], {"seed": 1.5}, TypeError, "seed must be a whole number.*1.5"),
    "bool seed": ([3, 1], {"seed": True}, TypeError, "seed must be a whole number"),
    "backend": (
        [3, 1],
        {"backend": "rust"},
        ValueError,
        "backend 'rust'; known: auto, cyth.*numpy",
    ),
    "backend by number": ([3, 1], {"backend": 1}, TypeError, "backend must be a name"),
}


@pytest.mark.parametrize("what", NETWORKS)
def test_networks(what):
    sizes, options, exception, message = NETWORKS[what]
    with pytest.raises(exception, match=message):
        fastbp.Network(sizes, **{"loss": "huber", "backend": "numpy", **options})


def test_loss_has_no_default():
    with pytest.raises(TypeError, match="loss"):
        fastbp.Network([3, 1])


OPTIONS = {
    "zero epochs": ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
    "negative epochs": ({"epochs": -1}, ValueError, "epochs must be at least 1, got -1"),
    "half an epoch": ({"epochs": 0.5}, TypeError, "epochs must be a whole number, got float: 0.5"),
    "bool epochs": ({"epochs": True}, TypeError, "epochs must be a whole number, got True"),
    "no epochs": ({"epochs": None}, TypeError, "epochs must be a whole number, got NoneType"),
    "epochs as str": ({"epochs": "5"}, TypeError, "epochs must be a whole number, got str"),
    "zero batch": ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    "negative batch": ({"batch_size": -32}, ValueError, "batch_size must be at least 1, got -32"),
    "float batch": ({"batch_size": 2.0}, TypeError, "batch_size must be a whole number"),
    "bool batch": ({"batch_size": True}, TypeError, "batch_size must be a whole number"),
    "batch auto": ({"batch_size": "auto"}, TypeError, "batch_size must be a whole number"),
    "negative l2": ({"l2": -0.1}, ValueError, r"l2 must be in \[0, 1e\+30\], got -0.1"),
    "NaN l2": ({"l2": NAN}, ValueError, r"l2 must be in \[0, 1e\+30\]"),
    "infinite l2": ({"l2": INF}, ValueError, r"l2 must be in \[0, 1e\+30\]"),
    "huge l2": ({"l2": 1e300}, ValueError, r"l2 must be in \[0, 1e\+30\]"),
    "bool l2": ({"l2": True}, TypeError, "l2 must be a number"),
    "l2 as str": ({"l2": "0.1"}, TypeError, "l2 must be a number"),
    "shuffle": ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
    "progress": ({"progress": "yes"}, TypeError, "progress must be True or False, got 'yes'"),
    "optimizer, a number": ({"optimizer": 0.1}, TypeError, r"the name of one, got 0.1"),
    "optimizer, unknown": ({"optimizer": "adm"}, ValueError, "optimizer 'adm'; known: adagrad,"),
    "optimizer class": ({"optimizer": fastbp.Adam}, TypeError, r"such as fastbp.Adam\(\)"),
    "base optimizer": ({"optimizer": fastbp.Optimizer(0.1)}, TypeError, r"such as fastbp.Adam\(\)"),
    "Rprop in batches": (
        {"optimizer": fastbp.Rprop(), "batch_size": 2},
        ValueError,
        "Rprop works on the full batch only; pass batch_size=None",
    ),
    "validation array": ({"validation_data": X}, TypeError, r"must be \(X, y\) or \(X, y, sample"),
    "validation of one": ({"validation_data": (X,)}, TypeError, r"must be \(X, y\) or"),
    "validation of four": ({"validation_data": (X, 0, 0, 0)}, TypeError, r"must be \(X, y\) or"),
    "validation features": (
        {"validation_data": (X[:, :2], np.ones((N, 2)))},
        ValueError,
        "validation X has 2 features",
    ),
    "validation length": (
        {"validation_data": (X, np.ones((2, 2)))},
        ValueError,
        "validation y must have one entry per sample",
    ),
    "unknown option": ({"learning_rate": 0.1}, TypeError, "learning_rate"),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_options_of_fit(backend, what):
    options, exception, message = OPTIONS[what]
    net = make_network([3, 4, 2], "squared_error", backend)
    with pytest.raises(exception, match=message):
        unchanged(net, lambda: net.fit(X, np.ones((N, 2)), **options))


ASSIGNMENTS = {
    "shape": (np.ones((4, 3)), ValueError, r"weights\[0\] must have shape \(3, 4\), got \(4, 3\)"),
    "one row": (np.ones(4), ValueError, r"weights\[0\] must have shape \(3, 4\), got \(4,\)"),
    "a number": (1.0, ValueError, r"weights\[0\] must have shape \(3, 4\), got \(\)"),
    "NaN": (np.full((3, 4), NAN), ValueError, r"weights\[0\] has NaN or infinite"),
    "signalling NaN": (
        np.full((3, 4), 0x7F800001, np.uint32).view(np.float32),
        ValueError,
        r"weights\[0\] has NaN or infinite",
    ),
    "too large": (np.full((3, 4), 1e39), ValueError, r"weights\[0\] has values too large"),
    "strings": ([["a"] * 4] * 3, TypeError, r"weights\[0\] must hold real numbers"),
}


@pytest.mark.parametrize("what", ASSIGNMENTS)
def test_assigned_weights(what):
    given, exception, message = ASSIGNMENTS[what]
    net = make_network([3, 4, 2], "squared_error", "numpy", "float32")

    def assign():
        net.weights[0] = given

    with pytest.raises(exception, match=message):
        unchanged(net, assign)


def test_list_of_weights_keeps_its_length():
    net = make_network([3, 4, 2], "squared_error", "numpy")

    def assign_slice():
        net.weights[:] = [np.ones((3, 4)), np.ones((4, 2))]

    def delete():
        del net.biases[0]

    for call, message in (
        (assign_slice, "layer by layer"),
        (delete, "cannot be deleted"),
        (lambda: net.weights.append(np.ones((2, 2))), "entries cannot be inserted into"),
    ):
        with pytest.raises(TypeError, match=message):
            unchanged(net, call)
    with pytest.raises(IndexError):
        net.weights[2] = np.ones((4, 2))


@pytest.mark.parametrize("value", [NAN, INF])
def test_weights_made_infinite_through_a_view(backend, value):
    net = make_network([3, 4, 2], "squared_error", backend)
    net.biases[0][1] = value
    y = np.ones((N, 2))
    for call in (
        lambda: net.predict(X),
        lambda: net.loss_and_gradient(X, y),
        lambda: net.fit(X, y),
    ):
        with pytest.raises(ValueError, match=r"network's biases\[0\] has NaN or .* in row 1,"):
            call()


def test_the_last_good_values(backend):
    """What lies just inside the limits is accepted."""
    net = make_network([3, 4, outputs_for("cross_entropy", 2)], "cross_entropy", backend)
    net.loss_and_gradient(X, [[0.3, 0.7004]] * N)
    net.loss_and_gradient(X, [[0.0, 1.0]] * N, [0] * 5 + [1e-300])
    net.loss_and_gradient(masked(X, 0), [1.0] * N)
    net = make_network([3, 4, 1], "log_loss", backend)
    net.loss_and_gradient(X, [0.0, 1.0] * 3)
    net.fit(X, [0.0, 1.0] * 3, optimizer=fastbp.Rprop(), batch_size=N, epochs=1, l2=0)
