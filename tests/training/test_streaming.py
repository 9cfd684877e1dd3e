"""Training on batches, and reading files in shuffled blocks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import OPTIMIZERS, SECONDS, error, make_data, make_network, parameters

import fastbp

SIZES, LOSS, N = [4, 6, 3], "cross_entropy", 48
WEIGHTS = np.linspace(0.2, 3, N)


@pytest.fixture
def data():
    return make_data(LOSS, N, SIZES[0], SIZES[-1])


def network(backend, dtype="float64"):
    return make_network(SIZES, LOSS, backend, dtype)


def batches_of(arrays, rows):
    n = len(arrays[0])
    return [tuple(a[i : i + rows] for a in arrays) for i in range(0, n, rows)]


# fit_batches is fit.


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "rprop"])
@pytest.mark.parametrize("rows, batch_size", [(7, None), (16, 8), (21, 7)])
@pytest.mark.parametrize("weight, l2", [(None, 0.01), (WEIGHTS, 0.0), (WEIGHTS, 0.01)])
def test_as_fit(backend, data, optimizer, rows, batch_size, weight, l2):
    """The optimiser's state is kept from batch to batch, of whatever size, and over epochs."""
    options = {"optimizer": OPTIMIZERS[optimizer], "epochs": 3, "l2": l2}
    net, ref = network(backend), network(backend)
    arrays = data if weight is None else [*data, weight]
    comp = net.fit_batches(batches_of(arrays, rows), batch_size=batch_size, **options)
    history = ref.fit(
        *data, sample_weight=weight, batch_size=batch_size or rows, shuffle=False, **options
    )
    assert error(parameters(net), parameters(ref)) < 1e-12
    assert comp.loss == pytest.approx(history.loss, rel=1e-10)


@pytest.mark.parametrize("penalties", [{"l1": 0.1}, {"l2": 2.0}, {"l1": (0.2, 0.0), "l2": 1.0}])
@pytest.mark.parametrize("rows, batch_size", [(7, 7), (20, 6)])
def test_penalties_count_by_rows_beside_weights(backend, data, rows, batch_size, penalties):
    """An epoch's loss from its definition in docs/mathematics.md; steps take what they take."""
    blocks = batches_of([*data, WEIGHTS], rows)
    options = {"optimizer": fastbp.SGD(0.1), **penalties}
    net, ref = network(backend), network(backend)
    history = net.fit_batches(blocks, batch_size=batch_size, **options)
    factors = [np.broadcast_to(penalties.get(name, 0.0), 2) for name in ("l1", "l2")]
    of_data = of_penalties = 0.0
    for X, y, w in (batch for block in blocks for batch in batches_of(block, batch_size)):
        of_data += w.sum() * ref.loss_and_gradient(X, y, w)[0]
        for W, l1, l2 in zip(ref.weights, *factors, strict=True):
            of_penalties += len(X) * (l1 * np.abs(W).sum() + l2 / 2 * (W**2).sum())
        ref.fit(X, y, sample_weight=w, epochs=1, batch_size=None, **options)
    assert history.loss == pytest.approx([of_data / WEIGHTS.sum() + of_penalties / N], rel=1e-12)
    assert np.array_equal(parameters(net), parameters(ref))


def test_the_loss_of_a_pass_in_which_some_blocks_have_weights(backend, data):
    X, y = data
    weight = np.concatenate([WEIGHTS[:21], np.ones(N - 21)])
    blocks = batches_of([X, y, weight], 21)
    mixed = [blocks[0], *((X, y) for X, y, _ in blocks[1:])]
    options = {"batch_size": 7, "l2": 0.5, "epochs": 2}
    histories = [network(backend).fit_batches(given, **options) for given in (mixed, blocks)]
    assert histories[0].loss == pytest.approx(histories[1].loss, rel=1e-13)


def test_what_fit_has(backend, data):
    """Schedules, validation, scores, early stopping, averages, dropout and class weights."""
    held_out = make_data(LOSS, 12, SIZES[0], SIZES[-1], seed=3)
    options = {
        "schedule": fastbp.OneCycle(),
        "validation_data": held_out,
        "scoring": "accuracy",
        "patience": 50,
        "average": fastbp.SWA(2),
        "dropout": 0.2,
        "class_weight": {0: 2.0, 1: 1.0, 2: 0.5},
        "label_smoothing": 0.1,
        "epochs": 4,
    }
    net, ref = network(backend), network(backend)
    comp = net.fit_batches(batches_of(data, 8), **options)
    history = ref.fit(*data, batch_size=8, shuffle=False, **options)
    assert comp.learning_rate == pytest.approx(history.learning_rate, rel=1e-13)
    assert comp.validation_loss == pytest.approx(history.validation_loss, rel=1e-10)
    assert comp.scores == history.scores
    assert comp.best_epoch == history.best_epoch
    assert error(parameters(net), parameters(ref)) < 1e-12


def test_schedules_by_epoch_need_no_length(backend, data):
    net, ref = network(backend), network(backend)

    class Anew:
        def __iter__(self):
            return iter(batches_of(data, 8))

    options = {"schedule": fastbp.StepDecay(2, 0.1), "epochs": 5}
    history = net.fit_batches(Anew(), **options)
    ref.fit(*data, batch_size=8, shuffle=False, **options)
    assert history.learning_rate == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5])
    assert error(parameters(net), parameters(ref)) < 1e-12
    with pytest.raises(ValueError, match="CosineDecay has to know .* steps_per_epoch"):
        net.fit_batches(Anew(), schedule=fastbp.CosineDecay())
    net.fit_batches(Anew(), schedule=fastbp.CosineDecay(), steps_per_epoch=6)


def test_generators(backend, data):
    net, ref = network(backend), network(backend)
    history = net.fit_batches(batch for batch in batches_of(data, 8))
    ref.fit_batches(batches_of(data, 8))
    assert len(history.loss) == 1
    assert np.array_equal(parameters(net), parameters(ref))


def test_errors_of_the_iterator_leave_a_usable_network(backend, data):
    def failing():
        yield from batches_of(data, 8)[:2]
        raise OSError("disk")

    net, ref = network(backend), network(backend)
    with pytest.raises(OSError, match="disk"):
        net.fit_batches(failing())
    ref.fit_batches(batches_of(data, 8)[:2])
    assert np.array_equal(parameters(net), parameters(ref))


def test_divergence_names_the_epoch(backend):
    X, y = make_data("squared_error", N, 4, 3)
    net = make_network([4, 6, 3], "squared_error", backend, "float32")
    with pytest.raises(fastbp.TrainingDiverged, match="epoch 2") as caught:
        net.fit_batches([(X, y)], epochs=9, optimizer=fastbp.SGD(1e25))
    assert len(caught.value.history.loss) == 1


def test_callbacks_hear_of_an_epoch_whose_loss_overflows(backend):
    """The loss of each block is finite, but not their sum."""
    X, y = np.zeros((1, 1)), np.full((1, 1), 1e154)
    net = make_network([1, 1], "squared_error", backend, "float64")
    heard = []

    class Listener(fastbp.Callback):
        def epoch(self, network, history):
            heard.append(history.loss[-1])

    how = {"optimizer": fastbp.SGD(1e-300), "average": fastbp.SWA(1), "epochs": 2}
    net.fit_batches([(X, y)] * 9, callbacks=[Listener(), Listener()], **how)
    assert heard == [np.inf] * 4


@pytest.mark.parametrize(
    "make, options, exception, message",
    [
        (lambda b: 3, {}, TypeError, r"batches must be an iterable of \(X, y\), got 3"),
        (lambda b: [], {}, ValueError, "batches is empty"),
        (lambda b: iter(b), {"epochs": 2}, ValueError, "can be gone through only once"),
        (lambda b: [b[0][0]], {}, TypeError, r"a batch must be \(X, y\)"),
        (lambda b: b, {"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        (lambda b: b, {"class_weight": "balanced"}, ValueError, "needs all labels at once"),
        (lambda b: b, {"optimizer": fastbp.Rprop()}, ValueError, "full batch only"),
        (lambda b: b, {"shuffle": False}, TypeError, "shuffle"),
        (lambda b: b, {"patience": 3}, ValueError, "pass validation_data"),
    ],
)
def test_bad_input(backend, data, make, options, exception, message):
    net = network(backend)
    before = parameters(net)
    with pytest.raises(exception, match=message):
        net.fit_batches(make(batches_of(data, 8)), **options)
    assert np.array_equal(parameters(net), before)


# Files.


@pytest.fixture
def files(tmp_path):
    """Rows with their own numbers in them."""
    X = np.arange(100, dtype=np.float32)[:, None] + np.array([0, 1000], np.float32)
    arrays = {"X": X, "y": np.arange(100), "w": np.arange(100) / 50 + 0.1}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return arrays, {name: tmp_path / f"{name}.npy" for name in arrays}


@pytest.mark.parametrize("kind", ["paths", "str", "maps", "arrays"])
def test_arrays(files, kind):
    """Each pass has every row once, with its y and w, in another order, block by block."""
    arrays, paths = files
    given = {
        "paths": lambda: paths,
        "str": lambda: {name: str(path) for name, path in paths.items()},
        "maps": lambda: {name: np.load(path, mmap_mode="r") for name, path in paths.items()},
        "arrays": lambda: arrays,
    }[kind]()
    stream = fastbp.ArrayStream(given["X"], given["y"], given["w"], rows=30, seed=0)
    assert len(stream) == 4
    passes = []
    for _ in range(2):
        numbers = []
        for X, y, w in stream:
            assert np.array_equal(X, arrays["X"][y])
            assert np.array_equal(w, arrays["w"][y])
            assert len(set(y // 30)) == 1
            assert not np.array_equal(y, np.sort(y))
            numbers.append(y)
        passes.append(np.concatenate(numbers))
        assert np.array_equal(np.sort(passes[-1]), arrays["y"])
    assert not np.array_equal(*passes)
    again = fastbp.ArrayStream(given["X"], given["y"], rows=30, seed=0)
    assert np.array_equal(np.concatenate([y for _, y in again]), passes[0])


def test_arrays_in_order(files):
    _, paths = files
    stream = fastbp.ArrayStream(paths["X"], paths["y"], rows=30, shuffle=False)
    assert np.array_equal(np.concatenate([y for _, y in stream]), np.arange(100))


def test_arrays_for_heads(files):
    """A tuple for y comes back as a tuple in each block, whatever follows it."""
    arrays, paths = files
    for weights in ((), (arrays["w"],)):
        stream = fastbp.ArrayStream(paths["X"], (paths["y"], -arrays["y"]), *weights, rows=30)
        seen = []
        for X, (y, negative), *w in stream:
            assert np.array_equal(X, arrays["X"][y])
            assert np.array_equal(negative, -y)
            assert np.array_equal(w, [arrays["w"][y]] if weights else [])
            seen.append(y)
        assert np.array_equal(np.sort(np.concatenate(seen)), arrays["y"])
    with pytest.raises(ValueError, match=r"same number of rows.*'y\[0\]': 100, 'y\[1\]': 99"):
        fastbp.ArrayStream(paths["X"], (paths["y"], arrays["y"][1:]))
    with pytest.raises(TypeError, match=r"y\[1\] must be a path or an array, got NoneType: None"):
        fastbp.ArrayStream(paths["X"], [paths["y"], None])


def test_bad_arrays(files):
    arrays, paths = files
    with pytest.raises(ValueError, match="same number of rows.*'X': 100, 'y': 99"):
        fastbp.ArrayStream(paths["X"], arrays["y"][1:])
    with pytest.raises(ValueError, match="rows must be at least 1"):
        fastbp.ArrayStream(paths["X"], paths["y"], rows=0)
    with pytest.raises(TypeError, match="not None"):
        fastbp.ArrayStream(paths["X"], None)
    with pytest.raises(TypeError, match="X must be a path or an array, got int: 3"):
        fastbp.ArrayStream(3, paths["y"])
    with pytest.raises(ValueError, match="no rows"):
        fastbp.ArrayStream(arrays["X"][:0], arrays["y"][:0])
    with pytest.raises(FileNotFoundError):
        fastbp.ArrayStream("nothing.npy", paths["y"])


@pytest.fixture
def parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table(
        {"a": np.arange(90.0), "y": np.arange(90), "b": np.arange(90) + 1000, "w": np.ones(90)}
    )
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    parquet.write_table(table.slice(0, 50), paths[0], row_group_size=20)
    parquet.write_table(table.slice(50), paths[1], row_group_size=20)
    return paths


def test_parquet(parquet):
    paths = (path for path in parquet)  # as Path.glob gives them
    stream = fastbp.ParquetStream(paths, "y", sample_weight="w", seed=1)
    assert len(stream) == 5
    assert stream.features == ["a", "b"]
    numbers = []
    for X, y, w in stream:
        assert X.dtype == np.float32
        assert np.array_equal(X, np.column_stack([y, y + 1000]))
        assert (w == 1).all()
        numbers.append(y)
    assert np.array_equal(np.sort(np.concatenate(numbers)), np.arange(90))
    assert not np.array_equal(np.concatenate(numbers), np.arange(90))


def test_parquet_columns(parquet):
    stream = fastbp.ParquetStream(
        str(parquet[0]), ["y", "w"], features=["b"], dtype="float64", shuffle=False
    )
    X, y = next(iter(stream))
    assert X.dtype == np.float64
    assert np.array_equal(X, np.arange(1000, 1020)[:, None])
    assert np.array_equal(y, np.column_stack([np.arange(20), np.ones(20)]))


def test_bad_parquet(parquet):
    with pytest.raises(ValueError, match="no column 'z', only a, y, b, w"):
        fastbp.ParquetStream(parquet, "z")
    with pytest.raises(ValueError, match="paths is empty"):
        fastbp.ParquetStream([], "y")
    with pytest.raises(ValueError, match="no columns besides the target"):
        fastbp.ParquetStream(parquet, "y", features=[])


@pytest.mark.parametrize("name", ["target", "features", "sample_weight"])
@pytest.mark.parametrize("value", [3, ["a", None], b"a", np.arange(2)])
def test_columns_that_are_no_names(parquet, name, value):
    with pytest.raises(TypeError, match=f"{name} must be the name of a column or a list of names"):
        fastbp.ParquetStream(parquet, **{"target": "y", name: value})


def test_one_feature_by_its_name(parquet):
    """It is not taken apart into letters, which are columns, too."""
    assert fastbp.ParquetStream(parquet, "y", features="b").features == ["b"]
    with pytest.raises(ValueError, match="no column 'ab'"):
        fastbp.ParquetStream(parquet, "y", features="ab")


def test_training_from_files(backend, tmp_path, data):
    X, y = data
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    stream = fastbp.ArrayStream(tmp_path / "X.npy", tmp_path / "y.npy", rows=20, seed=0)
    net = network(backend)
    history = net.fit_batches(stream, epochs=30, batch_size=4, optimizer=fastbp.Adam(0.01))
    assert history.loss[-1] < 0.8 * history.loss[0]


def test_partial_fit(files):
    """A stream feeds an estimator."""
    from sklearn.neural_network import MLPClassifier

    arrays, paths = files
    labels = arrays["y"] % 2
    stream = fastbp.ArrayStream(paths["X"], labels, rows=30, seed=0)
    settings = {"hidden_layer_sizes": (4,), "random_state": 0}
    net, ref = fastbp.MLPClassifier(**settings), MLPClassifier(**settings)
    for X, y in stream:
        net.partial_fit(X, y, classes=[0, 1])
        ref.partial_fit(X, y, classes=[0, 1])
    assert net.loss_curve_ == pytest.approx(ref.loss_curve_, rel=1e-4)


PROGRAM = """
import json, resource, sys
import numpy as np
import fastbp

kind, backend, *paths = sys.argv[1:]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
if kind == "parquet":
    stream = fastbp.ParquetStream(paths[0], "y", seed=0)
else:
    stream = fastbp.ArrayStream(*paths, rows=20_000, seed=0)
net = fastbp.Network([64, 8, 1], loss="squared_error", seed=0, backend=backend)
X, y = next(iter(stream))
net.fit(X[:100], y[:100], epochs=1)  # compiles
del X, y
before = peak()
net.fit_batches(stream, epochs=2, batch_size=256)
print(json.dumps([before, peak()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_peak_memory(cython, tmp_path, kind):
    """It is bounded by the block: two of its size, not the 15 that the file has."""
    n, rows = 300_000, 20_000
    X = np.random.default_rng(0).standard_normal((n, 64), np.float32)
    block = X[:rows].nbytes
    if kind == "parquet":
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {f"x{j}": X[:, j] for j in range(64)} | {"y": X[:, 0]}
        parquet.write_table(pa.table(columns), tmp_path / "data.parquet", row_group_size=rows)
        paths = [str(tmp_path / "data.parquet")]
    else:
        np.save(tmp_path / "X.npy", X)
        np.save(tmp_path / "y.npy", X[:, 0])
        paths = [str(tmp_path / "X.npy"), str(tmp_path / "y.npy")]
    del X
    root = str(Path(fastbp.__file__).parents[1])
    searched = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, cython, *paths],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": searched},
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after - before < 3.5 * block
    assert 15 * block > 3 * (after - before)
