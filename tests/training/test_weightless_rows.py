"""A row of weight 0 counts for nothing, whatever is in it, and keeps its place in its batch."""

import warnings

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES, TARGETS, error, make_data, make_network, parameters
from sklearn.metrics import r2_score

import fastbp

N, SIZES = 21, [4, 9, 6]
# Rows of weight 0: alone in a vector of rows, side by side, at the end, and a whole batch of 5.
WEIGHTLESS = [2, 5, 6, 7, 8, 9, N - 1]
OPTIONS = {"epochs": 3, "batch_size": 5, "optimizer": fastbp.Adam(0.01)}


def data(loss, dtype, outputs, overflowing):
    """Samples with weights; rows of weight 0 are small numbers or as large as they can be."""
    X, y = make_data(loss, N, SIZES[0], outputs)
    w = np.random.default_rng(1).uniform(0.5, 2, N)
    w[WEIGHTLESS] = 0
    if overflowing:
        X[WEIGHTLESS] = 0.99 * np.finfo(dtype).max * np.sign(X[WEIGHTLESS])
        if loss in ("squared_error", "absolute_error", "huber", "quantile", "poisson"):
            y[WEIGHTLESS] = 0.99 * np.finfo(dtype).max
    return X, y, w


def network(loss, backend, dtype, activation="relu", outputs=3):
    outputs = 2 if loss == "cross_entropy" and outputs == 1 else outputs
    return make_network([*SIZES, outputs], loss, backend, dtype, activation)


def bits(net, history):
    return [*parameters(net), *history.loss, *history.validation_loss]


def both(loss, dtype, outputs, train):
    """What `train` returns for data with harmless and with overflowing rows of weight 0."""
    return [train(*data(loss, dtype, outputs, overflowing)) for overflowing in (False, True)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", TARGETS)
def test_of_each_loss(backend, loss, outputs, dtype):
    """The same bits as with a harmless row in its place, and the numbers of the other rows."""
    outputs = network(loss, backend, dtype, outputs=outputs).layout.sizes[-1]

    def train(X, y, w):
        net = network(loss, backend, dtype, outputs=outputs)
        value, gradient = net.loss_and_gradient(X, y, w)
        rest = w > 0
        expected, of_rest = net.loss_and_gradient(X[rest], y[rest], w[rest])
        assert value == pytest.approx(expected, rel=1e-5)
        for comp, ref in zip(gradient.weights, of_rest.weights, strict=True):
            assert error(comp, ref) < 1e-5
        history = net.fit(X, y, sample_weight=w, validation_data=(X, y, w), **OPTIONS)
        return [value, *bits(net, history)]

    harmless, overflowing = both(loss, dtype, outputs, train)
    assert np.isfinite(overflowing).all()
    assert overflowing == harmless


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_of_each_activation(backend, activation):
    def train(X, y, w):
        net = network("squared_error", backend, "float32", activation)
        return bits(net, net.fit(X, y, sample_weight=w, **OPTIONS))

    harmless, overflowing = both("squared_error", "float32", 3, train)
    assert overflowing == harmless


HOW = {
    "in their order": {"shuffle": False},
    "all at once": {"batch_size": None},
    "one by one": {"batch_size": 1},
    "dropout": {"dropout": (0.4, 0.5, 0.5)},
    "clipping": {"clip_norm": 0.1, "l1": 0.01, "l2": 0.01},
    "momentum": {"optimizer": fastbp.SGD(0.01, momentum=0.9)},
    "average": {"average": fastbp.EMA(0.9)},
    "frozen": {"frozen": [0]},
}


@pytest.mark.parametrize("how", HOW)
def test_of_each_way_to_train(backend, how):
    def train(X, y, w):
        net = network("huber", backend, "float32")
        return bits(net, net.fit(X, y, sample_weight=w, **{**OPTIONS, **HOW[how]}))

    harmless, overflowing = both("huber", "float32", 3, train)
    assert overflowing == harmless


def test_of_blocks_and_threads(compiled):
    """More rows than are taken through the network at a time, shared among threads."""
    n = 3000
    X, y = make_data("squared_error", n, 40, 20)
    w = (np.arange(n) % 7 > 0).astype(float)
    results = []
    for overflowing in (False, True):
        if overflowing:
            X[w == 0] = 1e38
        for threads in (1, 3):
            net = make_network([40, 50, 20], "squared_error", compiled, "float32", "relu")
            assert net.layout.block_rows(n) < n
            history = net.fit(
                X, y, sample_weight=w, epochs=2, batch_size=None, threads=threads, dropout=0.1
            )
            results.append(bits(net, history))
    assert np.isfinite(results[0]).all()
    assert all(result == results[0] for result in results)


def test_of_a_loss_of_the_users(backend):
    def cube(output, y):
        d = output - y
        return (np.abs(d) ** 3).sum(axis=1) / 3, d * np.abs(d)

    def train(X, y, w):
        net = fastbp.Network([*SIZES, 3], loss=cube, dtype="float32", backend=backend, seed=0)
        return bits(net, net.fit(X, y, sample_weight=w, **OPTIONS))

    with np.errstate(all="ignore"):
        harmless, overflowing = both("squared_error", "float32", 3, train)
    assert overflowing == harmless


def test_a_batch_without_weight(backend):
    """A step without data: the penalty's alone, which with SGD makes of each W (1 - η l2) W."""
    rate, l2 = 0.1, 0.5
    net, ref = (make_network([2, 3, 1], "squared_error", backend) for _ in range(2))
    options = {"epochs": 1, "batch_size": 1, "shuffle": False, "optimizer": fastbp.SGD(rate)}
    first, second = [[1.0, 2.0]], [[3.0, 4.0]]
    history = net.fit(first + second, [1.0, 2.0], sample_weight=[1, 0], l2=l2, **options)
    alone = ref.fit(first, [1.0], l2=l2, **options)
    penalty = l2 / 2 * sum((W**2).sum() for W in ref.weights)
    penalty_before = (
        alone.loss[0]
        - make_network([2, 3, 1], "squared_error", backend).loss_and_gradient(first, [1.0])[0]
    )
    assert history.loss[0] == pytest.approx(alone.loss[0] + (penalty - penalty_before) / 2)
    for i in range(2):
        assert error(net.weights[i], (1 - rate * l2) * ref.weights[i]) < 1e-14
        assert np.array_equal(net.biases[i], ref.biases[i])


def test_of_levenberg_marquardt():
    """It is no observation: not one for the standard errors' degrees of freedom either."""
    X, y, w = data("squared_error", "float64", 1, overflowing=True)
    X, w = X[:, :1], np.where(w > 0, 1.0, 0.0)
    rest = w > 0
    net, ref = (make_network([1, 1], "squared_error", None) for _ in range(2))
    found = fastbp.levenberg_marquardt(net, X, y, sample_weight=w)
    expected = fastbp.levenberg_marquardt(ref, X[rest], y[rest])
    assert error(parameters(net), parameters(ref)) < 1e-12
    for comp, ref in zip(found.standard_errors, expected.standard_errors, strict=True):
        assert error(comp[0], ref[0]) < 1e-10


def test_of_gradient_checks(backend):
    X, y, w = data("squared_error", "float64", 3, overflowing=True)
    net = network("squared_error", backend, "float64", "tanh")
    assert fastbp.check_gradients(net, X, y, sample_weight=w, only=[backend]).passed


def test_of_scores(backend):
    X, y, w = data("squared_error", "float32", 3, overflowing=True)
    net = network("squared_error", backend, "float32")
    history = net.fit(X, y, sample_weight=w, validation_data=(X, y, w), scoring="r2", **OPTIONS)
    rest = w > 0
    expected = r2_score(y[rest], net.predict(X[rest]), sample_weight=w[rest])
    assert history.scores["r2"][-1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", [fastbp.MLPClassifier, fastbp.MLPRegressor])
def test_of_estimators(kind, solver):
    """The held-out rows are scored with weights, too."""
    fitted = []
    for overflowing in (False, True):
        X, y, w = data("squared_error", "float64", 1, overflowing)
        if kind is fastbp.MLPClassifier:
            y = np.arange(N) % 2
        model = kind(
            hidden_layer_sizes=(9,), solver=solver, early_stopping=True, random_state=1, max_iter=20
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged
            model.fit(X, y.ravel(), sample_weight=w)
        fitted.append(model)
        assert solver == "lbfgs" or np.isfinite(model.validation_scores_).all()
    for comp, ref in zip(fitted[1].coefs_, fitted[0].coefs_, strict=True):
        assert np.isfinite(comp).all()
        assert np.array_equal(comp, ref)


def test_of_many_networks(backend):
    def train(X, y, w):
        nets = [network("squared_error", backend, "float32") for _ in range(2)]
        rows = [np.arange(N), np.arange(N) % 5 + 3]
        histories = fastbp.fit_many(nets, X, y, rows=rows, sample_weight=w, **OPTIONS)
        return [number for pair in zip(nets, histories, strict=True) for number in bits(*pair)]

    harmless, overflowing = both("squared_error", "float32", 3, train)
    assert overflowing == harmless


def test_of_ensembles():
    predictions = []
    for overflowing in (False, True):
        X, y, w = data("squared_error", "float64", 1, overflowing)
        model = fastbp.MLPEnsembleRegressor(
            fastbp.MLPRegressor(hidden_layer_sizes=(5,), max_iter=3), n_estimators=3, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y.ravel(), sample_weight=w)
        predictions.append(model.predict(X[w > 0]))
    assert np.isfinite(predictions[0]).all()
    assert np.array_equal(*predictions)


# Some blocks have no weight at all, lack a class or have no rows.


def test_blocks_without_weight(backend):
    """As `fit` on all rows in their order, in batches that are the blocks."""
    X, y, w = data("cross_entropy", "float64", 3, overflowing=True)
    assert not w[5:10].any()
    net, ref = (network("cross_entropy", backend, "float64") for _ in range(2))
    blocks = [(X[i : i + 5], y[i : i + 5], w[i : i + 5]) for i in range(0, N, 5)]
    history = net.fit_batches(blocks, epochs=3)
    expected = ref.fit(X, y, sample_weight=w, epochs=3, batch_size=5, shuffle=False)
    assert np.array_equal(parameters(net), parameters(ref))
    assert history.loss == pytest.approx(expected.loss, rel=1e-12)


@pytest.mark.parametrize("class_weight", [{1: 10.0}, {0: 0.0}, {2.0: 3, np.int64(0): 0.5}])
def test_blocks_without_a_class(backend, class_weight):
    X, y = make_data("cross_entropy", 12, 4, 3)
    y = np.repeat([0, 1, 2], 4)
    net, ref = (network("cross_entropy", backend, "float64") for _ in range(2))
    blocks = [(X[i : i + 4], y[i : i + 4]) for i in range(0, 12, 4)]
    net.fit_batches(blocks, epochs=2, class_weight=class_weight)
    ref.fit(X, y, epochs=2, batch_size=4, shuffle=False, class_weight=class_weight)
    assert np.array_equal(parameters(net), parameters(ref))


def test_blocks_without_rows(backend):
    X, y = make_data("cross_entropy", 12, 4, 3)
    net, ref = (network("cross_entropy", backend, "float64") for _ in range(2))
    blocks = [(X[:0], y[:0]), (X[:5], y[:5]), (X[:0], y[:0], y[:0]), (X[5:], y[5:])]
    assert len(net.fit_batches(blocks, epochs=2).loss) == 2
    ref.fit_batches([blocks[1], blocks[3]], epochs=2)
    assert np.array_equal(parameters(net), parameters(ref))


@pytest.mark.parametrize(
    "weight, class_weight",
    [(np.zeros(12), None), (None, {0: 0, 1: 0, 2: 0})],
)
def test_no_block_has_weight(backend, weight, class_weight):
    X, y = make_data("cross_entropy", 12, 4, 3)
    net = network("cross_entropy", backend, "float64")
    before = parameters(net)
    with pytest.raises(ValueError, match="zero for every sample"):
        net.fit_batches([(X, y, weight)] * 2, class_weight=class_weight)
    assert np.array_equal(parameters(net), before)
