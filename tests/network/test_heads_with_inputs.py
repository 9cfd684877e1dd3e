"""Categories and missing numbers at one end of a network, several heads at the other."""

import numpy as np
import pytest
from gradient_helpers import DIFFERENCES
from helpers import error, flat

import fastbp
from fastbp import Categorical, Numeric


def make(backend):
    net = fastbp.Network(
        [[Numeric(2, missing=True), Categorical(5, dimension=3)], 8, 4],
        activation="tanh",
        loss=[("cross_entropy", 3), ("poisson", 1)],
        loss_weights=[1.0, 0.5],
        dtype="float64",
        seed=0,
        backend=backend,
    )
    rng = np.random.default_rng(0)
    for array in (*net.embeddings, *net.missing):
        array[...] = rng.normal(size=array.shape)
    return net


def data(n=30):
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=(n, 2)), rng.integers(0, 5, n)])
    X[3, 0] = X[7, 1] = np.nan
    return X, (rng.integers(0, 3, n), rng.poisson(2.0, n)), rng.uniform(0.1, 2, n)


def everything(net):
    """Loss, gradients, parameters after some steps, and predictions."""
    kinds = "weights", "biases", "embeddings", "missing"
    X, y, w = data()
    loss, gradient = net.loss_and_gradient(X, y, w)
    net.fit(X, y, epochs=2, batch_size=7, sample_weight=w)
    arrays = [array for of in (gradient, net) for kind in kinds for array in getattr(of, kind)]
    return flat([[loss], *arrays, *net.predict(X)])


def test_twins_and_the_reference(twins):
    one, other, reference = (everything(make(backend)) for backend in (*twins, "numpy"))
    assert np.array_equal(one, other)
    assert error(one, reference) < 1e-12


def test_gradients_of_vectors_are_slopes(backend):
    net, (X, y, w) = make(backend), data()
    gradient = net.loss_and_gradient(X, y, w)[1]
    for table, slopes in zip(
        (*net.embeddings, *net.missing), (*gradient.embeddings, *gradient.missing), strict=True
    ):
        found = np.empty_like(table)
        for index in np.ndindex(table.shape):
            value, sides = table[index], []
            for step in (1e-5, -1e-5):
                table[index] = value + step
                sides.append(net.loss_and_gradient(X, y, w)[0])
            table[index] = value
            found[index] = (sides[0] - sides[1]) / 2e-5
        assert error(found, slopes) < DIFFERENCES


def test_files_and_exports(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch = pytest.importorskip("torch")
    net, (X, _, _) = make("numpy"), data()
    expected = net.predict(X)
    net.save(tmp_path / "net.safetensors")
    for comp, h in zip(fastbp.load(tmp_path / "net.safetensors").predict(X), expected, strict=True):
        assert error(comp, h) < 1e-14
    net.to_onnx(tmp_path / "net.onnx")
    of_onnx = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"X": X})
    of_torch = [part.numpy(force=True) for part in net.to_torch()(torch.from_numpy(X))]
    for found in (of_onnx, of_torch):
        for comp, h in zip(found, expected, strict=True):
            assert error(comp, h) < 1e-12
