"""LazyAdam: Adam of the first layer's weights that a sparse batch touches."""

import numpy as np
import pytest
import scipy.sparse
from helpers import error, make_network, parameters

import fastbp

N, FEATURES = 24, 40


@pytest.fixture
def sparse(rng):
    X = rng.standard_normal((N, FEATURES)) * (rng.random((N, FEATURES)) < 0.05)
    return scipy.sparse.csr_array(X), rng.standard_normal((N, 2))


def test_trajectory_of_pytorch(backend, sparse):
    """SparseAdam for W_1, Adam for the others; ε is too small to matter where it is added."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    X, y = sparse
    net = make_network([FEATURES, 6, 2], "squared_error", backend)
    bag = torch.nn.EmbeddingBag.from_pretrained(
        torch.tensor(net.weights[0]), False, mode="sum", sparse=True
    )
    W, b, c = (
        torch.tensor(array, requires_grad=True)
        for array in (net.weights[1], net.biases[0], net.biases[1])
    )
    how = {"betas": (0.8, 0.95), "eps": 1e-20}
    optimizers = [
        torch.optim.SparseAdam(list(bag.parameters()), 0.01, **how),
        torch.optim.Adam([W, b, c], 0.01, **how),
    ]
    ours = fastbp.LazyAdam(0.01, 0.8, 0.95, 1e-20)
    for start in [0, 8, 16] * 3:
        part, of_part = X[start : start + 8], torch.tensor(y[start : start + 8])
        indices, starts = (torch.tensor(a, dtype=torch.int64) for a in (part.indices, part.indptr))
        h = torch.tanh(bag(indices, starts[:-1], per_sample_weights=torch.tensor(part.data)) + b)
        loss = ((h @ W + c - of_part) ** 2).sum() / 16
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        assert net.fit_step(part, y[start : start + 8], optimizer=ours) == pytest.approx(
            loss.item(), rel=1e-11
        )
    ref = [p.detach().numpy() for p in (bag.weight, W, b, c)]
    assert error(parameters(net), np.concatenate([p.ravel() for p in ref])) < 1e-11


def test_epsilon_hat_is_that_of_pytorch(backend, sparse):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    X, y = sparse
    net = make_network([FEATURES, 2], "squared_error", backend)
    W = torch.tensor(net.weights[0], requires_grad=True)
    _, gradient = net.loss_and_gradient(X, y)
    columns = np.unique(X.indices)
    W.grad = torch.sparse_coo_tensor(
        columns[None], gradient.weights[0][columns], W.shape, check_invariants=True
    )
    torch.optim.SparseAdam([W], 0.01, eps=0.1).step()
    net.fit_step(X, y, optimizer=fastbp.LazyAdam(0.01, epsilon=0.1, epsilon_hat=True))
    assert error(net.weights[0], W.detach().numpy()) < 1e-14


def test_untouched_weights_stay(backend, sparse):
    """Also when their moments are not zero any more; a stored zero touches its row."""
    X, y = sparse
    net = make_network([FEATURES, 6, 2], "squared_error", backend)
    net.fit_step(X, y, optimizer=fastbp.LazyAdam(0.01))
    before = net.weights[0].copy()
    part = scipy.sparse.csr_array(([1.0, 0.0], ([0, 0], [4, 9])), (1, FEATURES))
    net.fit_step(part, y[:1])
    changed = np.flatnonzero((net.weights[0] != before).any(axis=1))
    moved = [9] if 9 in X.indices else []  # by the first moment of the step before
    assert changed.tolist() == [4, *moved]


def test_dense_samples_take_steps_of_adam(backend, sparse):
    X, y = sparse
    found = []
    for optimizer in (fastbp.LazyAdam(0.01), fastbp.Adam(0.01)):
        net = make_network([FEATURES, 6, 2], "squared_error", backend)
        net.fit(X.toarray(), y, optimizer=optimizer, epochs=2, batch_size=8)
        found.append(parameters(net))
    assert np.array_equal(*found)


def test_signs_are_kept(backend, sparse):
    """Monotonic constraints hold for the rows that steps change, by the bits of dense steps."""
    X, y = sparse
    X = scipy.sparse.csr_array(X[:, X.sum(axis=0) != 0])  # every row of W_1 is touched
    constraint = np.arange(X.shape[1]) % 3 - 1
    found = []
    for given in (X, X.toarray()):
        net = fastbp.Network(
            [X.shape[1], 6, 1],
            activation="tanh",
            loss="squared_error",
            dtype="float64",
            monotonic_cst=constraint,
            seed=0,
            backend=backend,
        )
        net.fit(given, y[:, 0], optimizer=fastbp.LazyAdam(0.1), batch_size=None, epochs=9)
        found.append(parameters(net))
    assert error(*found) < 1e-12
    assert (found[0] == 0).any()


def test_given_gradients_concern_all_weights(backend, sparse):
    """Network.apply_gradient takes Adam's step, also between steps on sparse samples."""
    X, y = sparse
    found = []
    for given in (X, X.toarray()):
        net = make_network([FEATURES, 6, 2], "squared_error", backend)
        net.fit_step(given, y, optimizer=fastbp.LazyAdam(0.01))
        _, gradient = net.loss_and_gradient(X[:3], y[:3])
        net.apply_gradient(gradient)
        found.append(parameters(net))
    rows = np.isin(np.arange(FEATURES), X.indices)
    W, V = (p[: 6 * FEATURES].reshape(FEATURES, 6) for p in found)
    assert error(W[rows], V[rows]) < 1e-14
    assert np.array_equal(W[~rows], V[~rows])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"l2": 0.1}, r"l2; penalise the other layers alone, l2=\[0, \.\.\.\]"),
        ({"l1": [0.1, 0]}, "l1; penalise"),
        ({"clip_norm": 1.0}, "clip_norm; leave"),
        ({"average": fastbp.EMA()}, "average; average by fastbp.SWA"),
    ],
)
def test_what_concerns_all_weights_is_refused(sparse, options, what):
    X, y = sparse
    net = make_network([FEATURES, 6, 2], "squared_error", "numpy")
    before = parameters(net)
    calls = [lambda: net.fit(X, y, optimizer=fastbp.LazyAdam(), **options)]
    if "average" not in options:
        calls.append(lambda: net.fit_step(X, y, optimizer=fastbp.LazyAdam(), **options))
    for call in calls:
        with pytest.raises(ValueError, match=f"LazyAdam changes only .* not go with {what}"):
            call()
    assert np.array_equal(parameters(net), before)
    net.fit(X, y, optimizer=fastbp.LazyAdam(), l2=[0, 0.1], average=fastbp.SWA(1), epochs=1)
    net.fit(X.toarray(), y, optimizer=fastbp.LazyAdam(), epochs=1, **options)


def test_a_single_output_is_refused(sparse):
    X, y = sparse
    net = make_network([FEATURES, 1], "squared_error", "numpy")
    with pytest.raises(ValueError, match="a single output as the first layer; add a hidden layer"):
        net.fit(X, y[:, 0], optimizer="lazyadam")
