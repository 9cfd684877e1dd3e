"""What Network takes as sparse samples, what it refuses, and that nothing is made dense."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from helpers import make_network, parameters

import fastbp
from fastbp.basis.sparse import SparseRows

N, FEATURES = 30, 12
rng = np.random.default_rng(0)
DENSE = rng.standard_normal((N, FEATURES)) * (rng.random((N, FEATURES)) < 0.2)
X, y = scipy.sparse.csr_array(DENSE), rng.integers(0, 3, N)


def network(backend="numpy", **options):
    return make_network([FEATURES, 5, 3], "cross_entropy", backend, **options)


def disordered():
    """The same matrix with its entries in another order, and one of them in two parts."""
    row, column = X.nonzero()
    values = DENSE[row, column]
    order = np.lexsort((-column, row))
    row, column, values = row[order], column[order], values[order]
    values[0] /= 2
    starts = np.searchsorted(np.append(row[:1], row), np.arange(N + 1))
    arrays = np.append(values[:1], values), np.append(column[:1], column), starts
    return scipy.sparse.csr_matrix(arrays, (N, FEATURES))


FORMS = {
    "csr_matrix": scipy.sparse.csr_matrix(DENSE),
    "csc": scipy.sparse.csc_array(DENSE),
    "coo": scipy.sparse.coo_array(DENSE),
    "lil": scipy.sparse.lil_array(DENSE),
    "dok": scipy.sparse.dok_matrix(DENSE),
    "long indices": scipy.sparse.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), X.shape
    ),
    "disordered": disordered(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_matrices(compiled, form):
    given = FORMS[form]
    before = given.copy().tocoo()
    nets = network(compiled), network(compiled)
    nets[0].fit(given, y, epochs=2, batch_size=7)
    nets[1].fit(DENSE, y, epochs=2, batch_size=7)
    assert np.array_equal(parameters(nets[0]), parameters(nets[1]))
    assert np.array_equal(nets[0].predict(given), nets[1].predict(DENSE))
    after = given.tocoo()
    for one, other in ((before.row, after.row), (before.col, after.col), (before.data, after.data)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, bool, np.float32])
def test_kinds_of_numbers(compiled, dtype):
    given = (DENSE != 0).astype(dtype)
    one, other = (network(compiled).predict(a) for a in (scipy.sparse.csr_array(given), given))
    assert np.array_equal(one, other)


def with_zeros():
    """The same matrix with all its zeros as entries."""
    columns, starts = np.tile(np.arange(FEATURES), N), np.arange(N + 1) * FEATURES
    return scipy.sparse.csr_array((DENSE.ravel(), columns, starts), X.shape)


def test_stored_zeros_touch_no_weights(compiled):
    """LazyAdam's numbers depend on the values only, not on the form of the matrix."""
    nets = network(compiled), network(compiled)
    for net, given in zip(nets, (X, with_zeros()), strict=True):
        net.fit(given, y, optimizer=fastbp.LazyAdam(0.1), epochs=3, batch_size=7)
    assert np.array_equal(parameters(nets[0]), parameters(nets[1]))


@pytest.mark.parametrize("sizes", [[FEATURES, 2], [FEATURES, 1], [FEATURES, 4, 2]])
def test_no_entries_at_all(backend, sizes):
    empty = scipy.sparse.csr_array((N, FEATURES))
    targets = np.ones((N, sizes[-1]))
    nets = [make_network(sizes, "squared_error", backend) for _ in range(2)]
    for net, given in zip(nets, (empty, empty.toarray()), strict=True):
        net.fit(given, targets, epochs=2, threads=2)
    assert np.array_equal(nets[0].predict(empty), nets[1].predict(empty.toarray()))
    assert nets[0].score(empty, targets) == nets[1].score(empty.toarray(), targets)


def test_csr_of_the_network_s_dtype_is_not_copied():
    given = X.copy()
    given.sort_indices()
    rows = network()._engine.samples(given, may_be_sparse=True)
    assert isinstance(rows, SparseRows)
    assert np.shares_memory(rows.values, given.data)
    assert np.shares_memory(rows.columns, given.indices)


def all_results(net, given):
    """Everything that takes sparse samples."""
    parts = [(given[:10], y[:10]), (given[10:], y[10:])]
    histories = [
        net.fit(
            given,
            y,
            epochs=3,
            validation_data=(given[:9], y[:9]),
            scoring="neg_log_loss",
            class_weight="balanced",
            batch_size=8,
        ),
        net.fit_batches(parts, epochs=2, batch_size=4),
    ]
    step = net.fit_step(given[:4], y[:4], optimizer="sgd", l2=0.1, clip_norm=1.0)
    loss, gradient = net.loss_and_gradient(given, y, np.arange(N))
    scores = [net.score(given, y), net.score(given, y, scoring="neg_log_loss")]
    numbers = [h.loss for h in histories] + [histories[0].validation_loss, [step, loss, *scores]]
    return np.concatenate([*numbers, *map(np.ravel, gradient.weights), parameters(net)])


def test_everything_that_takes_sparse_samples(compiled):
    assert np.array_equal(all_results(network(compiled), X), all_results(network(compiled), DENSE))


def test_blocks_may_be_sparse_and_dense_in_turn(compiled):
    found = []
    for second in (X[10:], DENSE[10:]):
        net = network(compiled)
        net.fit_batches([(X[:10], y[:10]), (second, y[10:])], epochs=2, batch_size=5)
        net.fit_step(X[:3], y[:3])
        net.fit_step(DENSE[3:6], y[3:6])
        found.append(parameters(net))
    assert np.array_equal(*found)


def test_many_networks(compiled):
    """fit_many, with rows, and folds that are sparse."""
    found = []
    for given in (X, DENSE):
        nets = [network(compiled, seed=seed) for seed in (1, 2)]
        fastbp.fit_many(nets, given, y, epochs=2, batch_size=8, rows=[np.arange(20), None])
        found.append(np.concatenate([parameters(net) for net in nets]))
    assert np.array_equal(*found)


def test_checkpoints(tmp_path):
    whole, resumed = network(), network()
    whole.fit(X, y, epochs=4, batch_size=8)
    path = tmp_path / "of_fit"
    how = {"batch_size": 8, "optimizer": fastbp.LazyAdam()}
    whole, resumed = network(), network()
    whole.fit(X, y, epochs=4, **how)
    resumed.fit(X, y, epochs=4, callbacks=[fastbp.Checkpoint(path), stop_after(2)], **how)
    last = sorted(path.iterdir())[-1] if path.is_dir() else path
    other = network()
    changed = X.copy()
    changed.data[5] += 1
    with pytest.raises(ValueError, match="data"):
        other.fit(changed, y, epochs=4, resume_from=last, **how)
    other.fit(X, y, epochs=4, resume_from=last, **how)
    assert np.array_equal(parameters(other), parameters(whole))


def stop_after(epochs):
    class Stop(fastbp.Callback):
        def epoch(self, network, history):
            return len(history.loss) == epochs

    return Stop()


REFUSED = {
    "forward": lambda net: net.forward(X),
    "layer_outputs": lambda net: net.layer_outputs(X),
    "trace": lambda net: net.trace(X, y),
    "per_sample_gradients": lambda net: net.per_sample_gradients(X, y),
    "input_gradient": lambda net: net.input_gradient(X, y),
    "input_jacobian": lambda net: net.input_jacobian(X),
    "input_laplacian": lambda net: net.input_laplacian(X),
    "jacobian": lambda net: net.jacobian(X),
    "hessian_vector_product": lambda net: net.hessian_vector_product(
        X, y, net.loss_and_gradient(X, y)[1]
    ),
    "fit, dy": lambda net: net.fit(X, y, dy=np.zeros((N, 3, FEATURES))),
    "fit_many, dy": lambda net: fastbp.fit_many([net], X, y, dy=np.zeros((N, 3, FEATURES))),
    "check_gradients": lambda net: fastbp.check_gradients(net, X, y),
    "find_learning_rate": lambda net: fastbp.find_learning_rate(net, X, y),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_rest_is_refused_with_advice(what):
    with pytest.raises(TypeError, match=r"X is a sparse matrix; pass X\.toarray\(\)"):
        REFUSED[what](network())


def with_entry(value):
    changed = X.copy()
    changed.data[3] = value
    return changed


def damaged(indices=None, starts=None, form="csr"):
    changed = X.asformat(form, copy=True)
    if indices is not None:
        changed.indices[indices[0]] = indices[1]
    if starts is not None:
        changed.indptr[starts[0]] = starts[1]
    return changed


def damaged_coo():
    changed = scipy.sparse.coo_array(X)
    changed.coords[0][2] = 10**6
    return changed


BAD = {
    "NaN": (with_entry(np.nan), "X has NaN or infinite values .the first is in row 1, column "),
    "too large": (with_entry(1e300), r"X has values too large for float32 .the first is in row 1"),
    "features": (X[:, :5], "X has 5 features, but the network's input layer has 12"),
    "no rows": (X[:0], "X has no rows"),
    "a column too high": (damaged(indices=(2, 77)), "X is a damaged sparse matrix: indices must"),
    "a negative column": (damaged(indices=(2, -1)), "X is a damaged sparse matrix: indices must"),
    "falling starts": (damaged(starts=(3, 60)), "X is a damaged sparse matrix: ind"),
    "damaged CSC": (damaged(indices=(2, 10**6), form="csc"), "X is a damaged sparse matrix: "),
    "damaged BSR": (damaged(indices=(2, 10**6), form="bsr"), "X is a damaged sparse matrix: "),
    "damaged COO": (damaged_coo(), "X is a damaged sparse matrix: "),
    "1-D": (scipy.sparse.coo_array(DENSE[0]), r"X must be 2-D, .* got shape \(12,\)"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_matrices(what):
    given, message = BAD[what]
    net = network(dtype="float32")
    before = parameters(net)
    fits = (lambda given: net.fit(given, y)), (lambda given: net.fit_step(given, y))
    for call in (net.predict, *fits):
        with pytest.raises(ValueError, match=message):
            call(given)
    assert np.array_equal(parameters(net), before)


def test_complex_numbers():
    with pytest.raises(TypeError, match="X must hold real numbers, got dtype complex128"):
        network().predict(X.astype(complex))


def test_bfloat16_is_refused():
    net = fastbp.Network(
        [FEATURES, 5, 3], loss="cross_entropy", backend="numpy", compute_dtype="bfloat16"
    )
    with pytest.raises(ValueError, match=r"computes in bfloat16; .*, or pass X\.toarray\(\)"):
        net.fit(X, y)


def test_nothing_is_made_dense(compiled):
    """2,000 x 100,000 numbers are 800 MB, and a batch of them is 80 MB."""
    n, features = 2000, 100_000
    columns = np.sort(rng.integers(0, features, (n, 10)), axis=1)
    starts = np.arange(0, 10 * n + 1, 10)
    wide = scipy.sparse.csr_matrix((np.ones(10 * n), columns.ravel(), starts), (n, features))
    labels = rng.integers(0, 2, n)
    net = fastbp.Network([features, 4, 2], loss="cross_entropy", backend=compiled)
    for layout in (net.layout.for_sparse, net.layout.for_sparse.separated):
        assert layout.workspace_size(200) < 1e5
    classifier = fastbp.MLPClassifier((4,), max_iter=2, backend=compiled)
    classifier.partial_fit(wide[:2], labels[:2], classes=[0, 1])  # compiles
    tracemalloc.start()
    try:
        net.fit(wide, labels, epochs=1, batch_size=200, optimizer=fastbp.LazyAdam())
        net.score(wide, labels)
        classifier.partial_fit(wide, labels)
        classifier.predict_proba(wide)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6  # weights in float64 take 3 MB, with padding 6, and there are some copies
