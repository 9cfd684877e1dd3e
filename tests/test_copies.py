"""Everything public can be copied and pickled, or says why not."""

import copy
import functools
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import parameters

import fastbp
from fastbp.training.history import History

X = np.linspace(-1, 1, 12).reshape(6, 2)
Y = (X[:, :1] > 0) * 1.0


class Early(fastbp.Callback):
    """What the table has for the class that users derive from."""

    def __init__(self):
        self.seen = 3


def slope(s):
    return 1 - np.tanh(s) ** 2


def net():
    return fastbp.Network([2, 3, 1], activation="tanh", loss="log_loss", seed=0, dtype="float64")


def health():
    made = fastbp.Health(X, Y, warn=False)
    net().fit(X, Y, epochs=2, callbacks=[made])
    return made


def stopping():
    made = fastbp.EarlyStopping(2, min_delta=0.1, monitor="loss")
    net().fit(X, Y, epochs=3, callbacks=[made])
    return made


def checkpoint(folder):
    made = fastbp.Checkpoint(folder / "training", every_epochs=2, keep=1)
    net().fit(X, Y, epochs=2, callbacks=[made])
    return made


def check():
    return fastbp.check_gradients(net(), X, Y, only=["numpy"])


def with_notes(error):
    error.add_note("of the first fold")
    return error


def some_failed():
    failures = {1: ValueError("what"), 3: fastbp.TrainingDiverged(2, "NaN", History([1.0]))}
    failures[1].add_note("in network 1")
    return with_notes(fastbp.SomeFailed(failures, [History([0.5])] * 4))


def parquet(folder):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "y": Y[:, 0]}), folder / "t.parquet")
    return fastbp.ParquetStream(folder / "t.parquet", "y", seed=0)


def fitted(estimator):
    return estimator.fit(X, Y.ravel())


SMALL = {"hidden_layer_sizes": (3,), "solver": "lbfgs", "max_iter": 500, "random_state": 0}


def ensemble(kind, member):
    return fitted(kind(member(**SMALL), 2, n_jobs=1, random_state=0))


def search():
    estimator = fastbp.MLPClassifier(**SMALL)
    return fitted(fastbp.MLPSearchCV(estimator, {"alpha": [0.1, 1.0]}, cv=2, n_jobs=1))


def table(kind):
    rows = np.arange(8.0).reshape(-1, 1)
    return kind(random_state=0, time_budget=1e-9, n_jobs=1).fit(rows, [0, 1] * 4)


def trace():
    return net().trace(X, Y)


def torch_function():
    pytest.importorskip("torch")
    return fastbp.torch_function(net(), parameters=False)


@functools.cache
def compared():
    return fastbp.compare_backends([2, 3, 1], X, Y, loss="log_loss", seconds=0.01, only=["numpy"])


# Public name -> one of its kind, or the function itself; takes a folder.
EXAMPLES = {
    "Activation": lambda folder: fastbp.Activation(np.tanh, slope),
    "ActivationHistogramDisplay": lambda folder: fastbp.ActivationHistogramDisplay.from_estimator(
        net(), X
    ),
    "Adagrad": lambda folder: fastbp.Adagrad(0.1),
    "Adam": lambda folder: fastbp.Adam(0.1, epsilon_hat=True),
    "AdamW": lambda folder: fastbp.AdamW(0.1, weight_decay=0.3),
    "ArrayStream": lambda folder: fastbp.ArrayStream(X, Y, rows=2, seed=0),
    "BackendComparisonDisplay": lambda folder: fastbp.BackendComparisonDisplay.from_comparison(
        compared()
    ),
    "BackendUnavailable": lambda folder: with_notes(fastbp.BackendUnavailable("no compiler")),
    "Callback": lambda folder: Early(),
    "Categorical": lambda folder: fastbp.Categorical(7, 4),
    "Checkpoint": checkpoint,
    "Comparison": lambda folder: compared(),
    "CosineDecay": lambda folder: fastbp.CosineDecay(0.1),
    "DecisionBoundaryDisplay": lambda folder: fastbp.DecisionBoundaryDisplay.from_estimator(
        fitted(fastbp.MLPClassifier(**SMALL)), X, grid_resolution=5
    ),
    "EMA": lambda folder: fastbp.EMA(0.9),
    "EarlyStopping": lambda folder: stopping(),
    "Equations": lambda folder: trace().equations(1, 0),
    "ExponentialDecay": lambda folder: fastbp.ExponentialDecay(0.5),
    "Gradient": lambda folder: net().loss_and_gradient(X, Y)[1],
    "GradientCheck": lambda folder: check(),
    "Health": lambda folder: health(),
    "HealthDisplay": lambda folder: fastbp.HealthDisplay.from_health(health()),
    "HealthWarning": lambda folder: with_notes(fastbp.HealthWarning("dead units")),
    "History": lambda folder: net().fit(X, Y, epochs=2, validation_data=(X, Y)),
    "LayerCheck": lambda folder: check().results[0],
    "IntervalDisplay": lambda folder: fastbp.IntervalDisplay.from_predictions(
        [0.0, 1.0], [[0.0, 1.0], [2.0, 3.0]]
    ),
    "LearningCurveDisplay": lambda folder: fastbp.LearningCurveDisplay([1.0, 0.5], [1.0, 0.6]),
    "LeastSquares": lambda folder: fastbp.levenberg_marquardt(
        fastbp.Network([2, 1], loss="squared_error", seed=0), X, Y
    ),
    "MLPClassifier": lambda folder: fitted(fastbp.MLPClassifier(**SMALL)),
    "MLPEnsembleClassifier": lambda folder: ensemble(
        fastbp.MLPEnsembleClassifier, fastbp.MLPClassifier
    ),
    "MLPEnsembleRegressor": lambda folder: ensemble(
        fastbp.MLPEnsembleRegressor, fastbp.MLPRegressor
    ),
    "MLPRegressor": lambda folder: fitted(fastbp.MLPRegressor(**SMALL)),
    "MLPSearchCV": lambda folder: search(),
    "Network": lambda folder: net(),
    "NetworkGraphDisplay": lambda folder: fastbp.NetworkGraphDisplay.from_estimator(net()),
    "LazyAdam": lambda folder: fastbp.LazyAdam(0.1),
    "Node": lambda folder: trace().node(1, 0),
    "Numeric": lambda folder: fastbp.Numeric(3, missing=True),
    "OneCycle": lambda folder: fastbp.OneCycle(0.4),
    "Optimizer": lambda folder: fastbp.Optimizer,
    "ParquetStream": parquet,
    "RMSprop": lambda folder: fastbp.RMSprop(0.1),
    "RateSearch": lambda folder: fastbp.find_learning_rate(net(), X, Y, n_steps=5),
    "ReduceOnPlateau": lambda folder: fastbp.ReduceOnPlateau(monitor="loss"),
    "ReliabilityDisplay": lambda folder: fastbp.ReliabilityDisplay.from_predictions(
        [0, 1, 1], [0.2, 0.9, 0.6]
    ),
    "RooflineDisplay": lambda folder: fastbp.RooflineDisplay(
        [1.0], [("ours", 2.0)], [None], {"peak": 3.0}
    ),
    "Rprop": lambda folder: fastbp.Rprop(0.1),
    "SGD": lambda folder: fastbp.SGD(0.1, momentum=0.5),
    "SWA": lambda folder: fastbp.SWA(start=2),
    "Schedule": lambda folder: fastbp.Schedule(),
    "SomeFailed": lambda folder: some_failed(),
    "StepDecay": lambda folder: fastbp.StepDecay(2),
    "Summary": lambda folder: net().summary(),
    "TabularClassifier": lambda folder: table(fastbp.TabularClassifier),
    "TabularRegressor": lambda folder: table(fastbp.TabularRegressor),
    "Term": lambda folder: trace().node(1, 0).forward[0],
    "TorchFunction": lambda folder: torch_function(),
    "Trace": lambda folder: trace(),
    "TrainingDiverged": lambda folder: with_notes(
        fastbp.TrainingDiverged(3, "the loss is NaN", History([1.0]))
    ),
    "TrainingView": lambda folder: (
        pytest.importorskip("anywidget") and fastbp.TrainingView(epochs=20)
    ),
    "WeightHistogramDisplay": lambda folder: fastbp.WeightHistogramDisplay.from_estimator(net()),
    "WeightImageDisplay": lambda folder: fastbp.WeightImageDisplay.from_estimator(net(), (1, 2)),
    "WrongGradient": lambda folder: with_notes(fastbp.WrongGradient(check())),
    "available_backends": lambda folder: fastbp.available_backends,
    "check_gradients": lambda folder: fastbp.check_gradients,
    "compare_backends": lambda folder: fastbp.compare_backends,
    "find_learning_rate": lambda folder: fastbp.find_learning_rate,
    "fit_many": lambda folder: fastbp.fit_many,
    "fit_residual": lambda folder: fastbp.fit_residual,
    "input_jacobian": lambda folder: fastbp.input_jacobian,
    "integrated_gradients": lambda folder: fastbp.integrated_gradients,
    "to_c": lambda folder: fastbp.to_c,
    "levenberg_marquardt": lambda folder: fastbp.levenberg_marquardt,
    "load": lambda folder: fastbp.load,
    "save": lambda folder: fastbp.save,
    "torch_function": lambda folder: fastbp.torch_function,
    # Not in fastbp.__all__, but what users get.
    "weights": lambda folder: net().weights,
    "unfitted": lambda folder: fastbp.MLPClassifier(callbacks=[fastbp.EarlyStopping(3)]),
}
OTHERS = {"weights", "unfitted"}
# Public name -> what an object that cannot be copied says.
REFUSED = {"ForwardPass": "belongs to the network that made it"}

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {n}": lambda item, n=n: pickle.loads(pickle.dumps(item, n))
        for n in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


def told(item, depth=0):
    """All that an object holds, in a form that compares."""
    if isinstance(item, np.ndarray):
        return item.dtype.str, item.shape, [told(entry) for entry in item.ravel().tolist()]
    if isinstance(item, np.random.Generator):
        return item.bit_generator.state
    if isinstance(item, np.random.RandomState):
        return told(item.get_state())
    if isinstance(item, fastbp.Network):
        return parameters(item).tobytes(), told(item._engine.random), item.layout
    if isinstance(item, dict):
        # An estimator's network is made again when it is needed.
        return {key: told(value, depth + 1) for key, value in item.items() if key != "_held"}
    if isinstance(item, (list, tuple)):
        return [told(value, depth + 1) for value in item]
    if isinstance(item, BaseException):
        return type(item), str(item), told(vars(item)), told(getattr(item, "exceptions", ()))
    module = type(item).__module__
    if module.split(".")[0] in ("fastbp", __name__) and depth < 8:
        return type(item), told(dict(vars(item)) if hasattr(item, "__dict__") else list(item))
    return repr(item)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", EXAMPLES)
def test_copies(name, tmp_path):
    item = EXAMPLES[name](tmp_path)
    for how, copied in COPIES.items():
        comp = copied(item)
        assert type(comp) is type(item), how
        assert told(comp) == told(item), how
    plt.close("all")


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_refused(copied):
    with pytest.raises(TypeError, match=REFUSED["ForwardPass"]):
        copied(net().forward(X))


def test_that_no_public_name_is_missing():
    assert (EXAMPLES.keys() - OTHERS) | REFUSED.keys() == set(fastbp.__all__)


def test_parts_of_failures():
    """``except*`` makes new groups, of equal or unhashable exceptions, and of groups."""

    class Odd(Exception):  # noqa: N818
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError("compared")

    same = Odd("one for two networks")
    group = ExceptionGroup("several", [ValueError(1), KeyError(2)])
    error = fastbp.SomeFailed({0: same, 2: ValueError(3), 3: same, 5: group}, [])
    odd, others = error.split(Odd)
    assert odd.indices == [0, 3]
    assert others.indices == [2, 5]
    values, keys = others.split(ValueError)
    assert values.indices == [2, 5]
    assert keys.indices == [5]
    assert keys.exceptions[0].exceptions[0] is group.exceptions[1]
    with pytest.raises(ValueError, match="none of the exceptions"):
        error.derive([ValueError(3)])


def test_a_checkpoint_that_is_copied_in_a_training(tmp_path):
    checkpoint, copies = fastbp.Checkpoint(tmp_path / "a"), []

    class Copies(fastbp.Callback):
        def epoch(self, network, history):
            copies.append(pickle.loads(pickle.dumps((network, checkpoint))))

    ref = net()
    ref.fit(X, Y, epochs=2, callbacks=[checkpoint, Copies()])
    again, saves = copies[0]
    with pytest.raises(ValueError, match="checkpoints of another training"):
        again.fit(X, Y, callbacks=[saves])


@pytest.mark.parametrize("raises", ["SomeFailed", "TrainingDiverged"])
@pytest.mark.serial
def test_what_joblibs_processes_raise(raises):
    import joblib

    with pytest.raises(getattr(fastbp, raises)) as caught:
        joblib.Parallel(n_jobs=2)(joblib.delayed(failing)(raises) for _ in range(2))
    assert "training diverged in epoch 2" in str(caught.value)


def failing(raises):
    steep = {"optimizer": fastbp.SGD(1e30), "epochs": 5}
    network = fastbp.Network([2, 3, 1], loss="squared_error", seed=0)
    if raises == "SomeFailed":
        fastbp.fit_many([network], X, Y, **steep)
    network.fit(X, Y, **steep)
