"""A program of a user, which touches all that is public. It is not run: tests/test_typing.py lets
``mypy --strict`` read it. Variables are annotated where the type of a result is promised.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from dask.array import Array
from distributed import Client
from numpy.typing import NDArray

import fastbp
import fastbp.backends
import fastbp.distributed

Floats = NDArray[np.floating]

X = np.linspace(-1, 1, 40).reshape(-1, 2)
y = X.sum(axis=1)
labels = (y > 0).astype(np.int64)


def squared(h: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[Floats, Floats]:
    return ((h - y) ** 2).sum(axis=1), 2 * (h - y)


class GoodEnough(fastbp.Callback):
    def epoch(self, network: fastbp.Network, history: fastbp.History) -> bool:
        return history.loss[-1] < 0.5


class Printer:
    """Of the user's own, without a base."""

    def begin(self, network: fastbp.Network, history: fastbp.History) -> None:
        print(network.weights)

    def epoch(self, network: fastbp.Network, history: fastbp.History) -> None:
        print(history.loss[-1])

    def end(self, network: fastbp.Network, history: fastbp.History) -> None:
        print("done")


def networks() -> fastbp.Network:
    net = fastbp.Network([2, 8, 1], loss="squared_error")
    fastbp.Network((2, 8, 4, 1), activation=["tanh", "relu"], loss="huber", loss_parameter=2.0)
    fastbp.Network([2, 1], loss=squared, dtype=np.float64, seed=3, backend="numpy")
    rounding: str | None = fastbp.Network(
        [2, 2], loss="huber", compute_dtype="bfloat16"
    ).compute_dtype
    ends_in: str = fastbp.Network([2, 2], loss=None, output_activation="tanh").output_activation
    bound: tuple[int, ...] | None = fastbp.Network(
        [2, 1], loss="huber", monotonic_cst=[1, 0]
    ).monotonic_cst
    print(rounding, ends_in, bound)
    first: Floats = net.weights[0]
    some: list[Floats] = net.weights[:1]
    net.weights[0] = [[0.0] * 8] * 2
    net.biases[1] = np.zeros(1)
    for weights, biases in zip(net.weights, net.biases, strict=True):
        print(weights.shape, biases.dtype, first.sum(), len(some))
    name: str = net.backend
    deep = fastbp.Network(
        [2, 4, 4, 1], activation="prelu", loss="log_loss", norm="layer", residual=True
    )
    deep.norm_weights[0] = [1.0] * 4
    shifts: Floats = deep.norm_biases[0] + deep.slopes[1]
    norm: str | None = deep.norm
    residual: bool = deep.residual
    print(shifts, norm, residual)
    numbers, city = fastbp.Numeric(2, missing=True), fastbp.Categorical(5, dimension=3)
    mixed = fastbp.Network([[numbers, city], 4, 1], loss="squared_error")
    mixed.embeddings[0] = np.zeros((6, 3))
    of_mixed = mixed.loss_and_gradient([[0.0] * 3], [0.0])[1]
    vectors: Floats = mixed.embeddings[0] + of_mixed.embeddings[0]
    fills: Floats = mixed.missing[0]
    print(vectors, fills, numbers.missing, city.dimension)
    parameter: float | tuple[float, ...] | None = net.loss_parameter
    heads = fastbp.Network([2, 3], loss=[("log_loss", 1), ("huber", 2, 0.5)], loss_weights=[1, 2])
    heads.fit([[0.0, 1.0]], ([1], [[0.5, 0.5]]))
    labels, values = heads.predict([[0.0, 1.0]])
    factors: tuple[float, ...] | None = heads.loss_weights
    print(labels, values, factors)
    print(len(net.weights), name, parameter, net.loss, net.layout.sizes)
    other: fastbp.Network = net.to_backend("numpy")
    other.blend(net, 0.5)
    return other


def equation(x: Floats, h: Floats, dh: Floats, d2h: Floats) -> tuple[Floats, Floats, Floats, None]:
    return dh[:, :, 0] - h, -np.ones((1, 1, 1)), np.ones((1, 1, 1, 1)), None


def training(net: fastbp.Network, folder: Path) -> float:
    history = net.fit(X, y, optimizer="adam", schedule="cosine")
    history = net.fit(X, y, dy=X, derivative_weight=0.5)
    history = net.fit(X.tolist(), y.tolist(), optimizer=fastbp.SGD(0.1, 0.9, True), epochs=3)
    health = fastbp.Health(X, y, warn=False)
    checkpoint = fastbp.Checkpoint(folder, every_epochs=2, every_minutes=1.5, keep=1)
    stopping = fastbp.EarlyStopping(3, min_delta=1e-3, monitor="loss", restore_best=False)
    history = net.fit(
        X,
        y,
        optimizer=fastbp.AdamW(1e-3, weight_decay=0.1, epsilon_hat=True),
        schedule=fastbp.OneCycle(peak=0.2),
        epochs=5,
        batch_size=None,
        sample_weight=np.ones(len(X)),
        class_weight={0: 1, 1: 2.0},
        l1=0.1,
        l2=[0.0, 0.1],
        dropout=(0.1,),
        clip_norm=1.0,
        label_smoothing=0.1,
        average=fastbp.EMA(0.9),
        frozen=range(1),
        validation_data=(X, y),
        scoring=["r2", "neg_mean_squared_error"],
        patience=3,
        min_delta=0.1,
        monitor="r2",
        callbacks=[GoodEnough(), Printer(), health, checkpoint, stopping],
        shuffle=False,
        threads=1,
        progress=True,
        resume_from=checkpoint.newest(),
    )
    ended: bool = stopping.ended()
    newest: Path | None = checkpoint.newest()
    losses: list[float] = history.loss + history.validation_loss + history.learning_rate
    score: float = history.scores["r2"][-1] + history["r2"][0]
    names: list[str] = list(history)
    history.plot(ax=None).ax_.set_title("losses")
    print(names, history.to_pandas().shape)
    best: int | None = history.best_epoch
    interrupted: bool = history.interrupted
    health.record(net)
    messages: list[str] = health.messages()
    gradient: NDArray[np.float64] = health.gradient[0] + health.update[0]
    idle: NDArray[np.float64] = health.dead[0] + health.saturated[0]
    print(ended, newest, losses, score, best, interrupted, messages, gradient, idle)
    print(health.loss, health.activations, net.fit(X, y, average=fastbp.SWA(2), patience=2))
    x: float = history.loss[0]
    return x


def own_activation(value: Callable[[float], float]) -> fastbp.Network:
    own = fastbp.Activation(value, lambda s: 1.0, lambda s: 0.0, name="identity")
    print(own.name, own == "identity")
    return fastbp.Network([2, 3, 3, 1], activation=[own, "relu"], loss="squared_error")


def optimizers_and_schedules() -> None:
    optimizers: list[fastbp.Optimizer] = [
        fastbp.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
        fastbp.RMSprop(0.01, decay=0.9, epsilon=1e-6),
        fastbp.Adagrad(0.01, epsilon=1e-6),
        fastbp.Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-7),
        fastbp.LazyAdam(0.01, epsilon_hat=True),
        fastbp.AdamW(0.01),
        fastbp.Rprop(0.01, eta_minus=0.4, eta_plus=1.3, smallest_step=1e-7, largest_step=1.0),
    ]
    schedules: list[fastbp.Schedule] = [
        fastbp.StepDecay(10, factor=0.5),
        fastbp.ExponentialDecay(0.9),
        fastbp.CosineDecay(warmup=0.1, final=0.01),
        fastbp.OneCycle(peak=0.2, initial=0.1, final=1e-4),
        fastbp.ReduceOnPlateau(0.5, patience=2, min_delta=0.0, cooldown=1, lowest=0.1),
        fastbp.ReduceOnPlateau(monitor="loss"),
    ]
    numbers = np.arange(3)
    for optimizer in optimizers:
        hyper: tuple[float, ...] = optimizer.hyper()
        start: float = optimizer.initial_state(0)
        print(optimizer.learning_rate, optimizer.code + optimizer.slots, hyper, start)
    for schedule in schedules:
        factors: NDArray[np.float64] = schedule.factors(numbers, numbers, 3)
        print(factors, schedule.total_needed)


def inside(net: fastbp.Network) -> None:
    summary: fastbp.Summary = net.summary()
    print(summary.sizes, summary.activations, summary.n_parameters + summary.n_bytes)
    accuracy: float = net.score(X, y, scoring="accuracy", sample_weight=np.ones(40))
    print(accuracy + net.score(X, y), summary.title)
    h: Floats = net.predict(X)
    h = net.predict([[0.0, 1.0]])
    calibrated: fastbp.Network = net.calibrate(X, y)
    interval: Floats = calibrated.predict_interval(X, 0.5)
    print(interval, net.predict_std(X), net.predict_quantiles(X, [0.1, 0.9]))
    loss, gradient = net.loss_and_gradient(X, y, sample_weight=np.ones(len(X)))
    value: float = loss
    slopes: fastbp.Gradient = gradient
    layers: list[Floats] = net.layer_outputs(X)
    total: Floats = slopes.weights[0] + net.per_sample_gradients(X, y).biases[0]
    errors: Floats = net.input_gradient(X, y)
    jacobian: fastbp.Gradient = net.jacobian(X)
    print(h, value, layers[0] @ total, errors, jacobian.weights)
    by_inputs: Floats = net.input_vjp(X, y) + net.input_jvp(X, X)
    by_inputs, by_parameters = net.input_vjp(X, y, parameters=True)
    second: Floats = net.input_hessian_diagonal(X) + net.input_jacobian(X)
    second = net.integrated_gradients(X) + net.integrated_gradients(X, [0.0, 1.0], output=0)
    product: fastbp.Gradient = net.hessian_vector_product(X, y, by_parameters)
    print(by_inputs, second, net.input_laplacian(X), product.biases)
    kept: fastbp.ForwardPass = net.forward(X)
    outside: fastbp.Gradient = kept.backward(kept.output - 1)[0]
    by_inputs = kept.backward(y, wrt="preactivation")[1]
    nothing: None = kept.backward(y, parameters=False)[0]
    outside = kept.backward(y, inputs=False)[0]
    print(nothing)
    print(outside.weights, by_inputs)
    rules_of_layers: list[float] = [0.0, 0.1]
    net.apply_gradient(outside, optimizer=fastbp.SGD(), clip_norm=1.0, l1=0.1, l2=rules_of_layers)
    net.apply_gradient(fastbp.Gradient([by_inputs], [by_inputs]), frozen=[0])
    f: fastbp.TorchFunction = fastbp.torch_function(net, parameters=True)
    tensor: torch.Tensor = f(torch.from_numpy(X))
    added: fastbp.Gradient | None = f.gradient
    f.step(optimizer=fastbp.SGD(), clip_norm=1.0)
    f.zero_grad()
    print(tensor, added, f.network.backend, f.parameters)
    trace: fastbp.Trace = net.trace(X, y)
    node: fastbp.Node = trace.node(1, 0, sample=2)
    term: fastbp.Term = (node.forward + node.backward + node.gradient)[0]
    equations: fastbp.Equations = trace.equations(1, 0, sample=1)
    text: str = equations.text + equations.latex + term.name + trace.loss_name
    numbers: float = term.value + term.factors[0] + node.s + node.h + node.dh + node.slope
    slope: Floats = trace.slope(1)
    again: Floats = trace.h[0] @ trace.W[1] + trace.b[1] - trace.s[1]
    rest: Floats = trace.dh[1] * trace.ds[1] @ trace.dW[1].T + trace.db[1] * trace.e.sum()
    print(text, numbers, slope, again, rest, trace.activations[1].upper(), trace.loss, trace.y)
    if node.normalized is not None:
        z: float = node.normalized.z + node.normalized.dz
        print(z, trace.z[1], trace.gradient.norm_weights, trace.residual_layers, node.own)
    print(node.layer + node.unit + node.sample, node.activation, node.ds)


def checks(net: fastbp.Network) -> None:
    check: fastbp.GradientCheck = fastbp.check_gradients(
        net, X, y, sample_weight=None, only=["numpy"], tolerance=1e-5, entries=10, raises=False
    )
    layer: fastbp.LayerCheck = check.results[0]
    index: tuple[int, ...] = layer.where
    passed: bool = check.passed and layer.passed
    print(check.suspect.upper(), check.tolerance, check.activations, check.loss, check.missing)
    print(index, passed, layer.backend, layer.layer, layer.name, layer.checked + layer.kinks)
    print(layer.error + layer.gradient + layer.difference)
    try:
        raise fastbp.WrongGradient(check)
    except fastbp.WrongGradient as error:
        print(error.check.passed)
    search: fastbp.RateSearch = fastbp.find_learning_rate(
        net, X, y, optimizer=fastbp.SGD(), batch_size=8, lowest=1e-4, highest=1.0, n_steps=50
    )
    rate: float | None = search.suggestion
    curve: NDArray[np.float64] = search.rates + search.losses + search.smoothed
    search.plot().set_title("rates")
    result: fastbp.LeastSquares = fastbp.levenberg_marquardt(
        net, X, y, l2=0.1, frozen=[0], frozen_biases=(1,), tolerance=1e-9, max_evaluations=100
    )
    errors: Floats = result.standard_errors.weights[0]
    known = ([[0.0, 1.0]], [1.0])
    history: fastbp.History = fastbp.fit_residual(
        net, X, equation, boundary=known, boundary_weight=2.0, optimizer="lbfgs", check=False
    )
    history = fastbp.fit_residual(net, X, equation, epochs=3, batch_size=4, clip_norm=1.0)
    print(history.loss)
    print(rate, curve, errors, result.converged, result.message, result.evaluations, result.loss)
    comparison: fastbp.Comparison = fastbp.compare_backends(
        [2, 8, 1], X, y, activation="tanh", loss="squared_error", seconds=0.1, only=["numpy"]
    )
    document: str = comparison.to_json() + comparison.problem
    comparison.plot("speed.png")
    seconds: float = comparison.results[0].step + comparison.results[0].cold_start
    print(document, seconds, comparison.results[0].backend, comparison.missing)


def streams(net: fastbp.Network, folder: Path) -> None:
    arrays = fastbp.ArrayStream(folder / "X.npy", "y.npy", np.ones(40), rows=8, seed=0)
    table = fastbp.ParquetStream(["a.parquet"], "y", features=["a", "b"], shuffle=False)
    fastbp.ParquetStream(folder / "b.parquet", ["y", "z"], sample_weight="w", dtype=np.float64)
    for X_block, y_block, weight in arrays:
        print(X_block.shape, y_block.dtype, weight.sum())
    of_heads = fastbp.ArrayStream("X.npy", (folder / "y.npy", np.ones(40)))
    print(len(arrays) + len(table) + len(of_heads))

    def batches() -> Iterator[tuple[Floats, Floats]]:
        yield X, y

    history: fastbp.History = net.fit_batches(batches())
    net.fit_batches([(X, y), (X, y, np.ones(40))], epochs=2, batch_size=8, steps_per_epoch=4)
    net.fit_batches(
        arrays,
        class_weight={0: 2.0},
        label_smoothing=0.1,
        threads=1,
        optimizer=fastbp.Adam(),
        schedule=fastbp.CosineDecay(),
        l2=(0.1, 0.0),
        validation_data=(X, y, None),
        callbacks=[Printer()],
    )
    loss: float = net.fit_step(X, y, optimizer=fastbp.SGD(), sample_weight=np.ones(40))
    loss += net.fit_step(X, y, clip_norm=1.0, l1=0.1, l2=[0.0, 0.1], frozen=[0])
    print(history.loss, loss)


def exchange(net: fastbp.Network, folder: Path) -> None:
    net.to_onnx(folder / "net.onnx", opset=18)
    fastbp.exchange.register_skl2onnx()
    network: fastbp.Network = fastbp.Network.from_onnx("net.onnx", output="h", loss="log_loss")
    network = fastbp.Network.from_torch(net.to_torch(), activation="relu", loss="log_loss")
    network = fastbp.Network.from_sklearn(net.to_sklearn(["a", "b"]), backend="numpy")
    weights: list[Floats] = net.to_keras()
    network = fastbp.Network.from_keras(weights, activation="tanh", loss="squared_error")
    network = fastbp.Network.from_keras(object(), backend="numpy")
    network = net.to_c(folder, "model", weights="int8", X=X, jacobian=True)
    whole: fastbp.exchange.IntegerNetwork = net.to_c(folder, weights="int8", arithmetic="int8", X=X)
    sums: NDArray[np.int32] = whole.integers(X)
    unlike: fastbp.exchange.Unlike = whole.unlike(X) if sums.any() else whole.calibration
    network = fastbp.to_c(net, folder, train="sgd") if unlike.rms else network
    network.save(folder / "net.safetensors")
    network = fastbp.Network.load("net.safetensors", backend="numpy")
    fastbp.save(network, folder / "model.safetensors", notes={"source": "here"})
    model = fastbp.load("model.safetensors")
    print(model.predict(X))
    assert isinstance(model, fastbp.MLPClassifier)
    print(model.predict_proba(X))


def many(folder: Path) -> None:
    nets = [fastbp.Network([2, 1], loss="squared_error", seed=seed) for seed in range(2)]
    optimizers = [fastbp.SGD(rate) for rate in (0.1, 0.2)]
    rows = [np.arange(20), np.arange(10, 40)]
    fastbp.fit_many(nets, X, y, rows=rows, optimizer=optimizers, l2=[(0.1,), (0.2,)])
    try:
        histories: list[fastbp.History] = fastbp.fit_many(
            nets,
            X,
            y,
            rows=[np.arange(20), None],
            threads=2,
            progress=False,
            epochs=[10, 20],
            optimizer=fastbp.Adam(),
            batch_size=[8, None],
            l2=(0.1,),
            callbacks=[[Printer()], [GoodEnough()]],
            validation_data=(X, y),
            shuffle=True,
        )
        print(histories[0].loss)
    except fastbp.SomeFailed as failed:
        part: fastbp.SomeFailed = failed.derive(failed.exceptions[:1])
        numbers: list[int] = failed.indices
        print(part, numbers, failed.histories[0].loss)
    except fastbp.TrainingDiverged as error:
        print(error.history.loss, error.epoch + 1)


def estimators() -> None:
    classifier = fastbp.MLPClassifier((8,), "logistic", solver="lbfgs", class_weight="balanced")
    fitted: fastbp.MLPClassifier = classifier.fit(X, labels, X_val=X, y_val=labels)
    fitted = classifier.initialize(X, labels).partial_fit(X, labels, classes=[0, 1])
    probabilities: Floats = fitted.predict_proba(X) + fitted.predict_log_proba(X)
    layers: list[Floats] = fitted.layer_outputs(X)
    slopes: Floats = fitted.input_jacobian(X) + fastbp.input_jacobian(fitted, X)
    slopes = fitted.integrated_gradients(X) + fastbp.integrated_gradients(fitted, X, X[0])
    print(slopes)
    coefs: list[Floats] = fitted.coefs_ + fitted.intercepts_
    curve: list[float] = fitted.loss_curve_
    scores: list[float] | None = fitted.validation_scores_
    print(fitted.predict(X), probabilities, layers, coefs, curve, scores, fitted.classes_)
    print(fitted.n_iter_ + fitted.n_layers_, fitted.loss_, fitted.out_activation_)
    regressor = fastbp.MLPRegressor(
        "quantile",
        [16, 8],
        alpha=1e-3,
        early_stopping=True,
        dropout=0.1,
        average=fastbp.EMA(),
        callbacks=[Printer()],
        n_iter_no_change=5,
        random_state=np.random.RandomState(0),
        loss_parameter=0.9,
    )
    values: Floats = regressor.fit(X, y, sample_weight=np.ones(40)).predict(X)
    again: fastbp.MLPRegressor = regressor.partial_fit(X, y).calibrate(X, y)
    table = fastbp.TabularClassifier(class_weight="balanced", random_state=0).fit(X, y)
    table_probabilities: np.ndarray = table.predict_proba(X)
    values = fastbp.TabularRegressor(time_budget=5.0, n_jobs=1).fit(X, y).predict(X)
    of_table: Floats = fastbp.TabularRegressor().fit(X, y).predict_interval(X, coverage=0.8)
    table.to_c("folder", "house")
    print(table.leaderboard_, table_probabilities, values, of_table)
    bag = fastbp.MLPEnsembleClassifier(classifier, 5, bootstrap=True, oob_score=True, n_jobs=1)
    deep = fastbp.MLPEnsembleRegressor(n_estimators=3, max_samples=0.5, random_state=0)
    spread: Floats = deep.fit(X, y).predict_std(X) + deep.predict(X)
    quantiles: Floats = bag.fit(X, labels).predict_quantiles(X, [0.1, 0.9])
    quantiles = deep.predict_quantiles(X, [0.5]) + deep.calibrate(X, y).predict_interval(X)
    quantiles += again.predict_interval(X, coverage=0.5)
    rows: list[NDArray[np.int64]] = bag.estimators_samples_
    print(values, again, spread, quantiles, rows, bag.predict(X), bag.predict_proba(X))
    print(bag.oob_score_, bag.classes_, bag.oob_decision_function_, deep.oob_prediction_)
    search = fastbp.MLPSearchCV(
        classifier, {"alpha": [0.1, 1.0], "solver": ["adam", "sgd"]}, halving=3, cv=3, n_jobs=1
    )
    best: float = search.fit(X, labels).best_score_
    print(best, search.best_params_, search.cv_results_["params"], search.best_index_)


def pictures(net: fastbp.Network) -> None:
    history, health = net.fit(X, y), fastbp.Health(X, y)
    graph: fastbp.NetworkGraphDisplay = fastbp.NetworkGraphDisplay.from_estimator(net)
    graph = fastbp.NetworkGraphDisplay.from_trace(net.trace(X, y)).plot(ax=graph.ax_)
    boundary = fastbp.DecisionBoundaryDisplay.from_estimator(
        net, X, labels, grid_resolution=50, margin=0.2
    )
    boundary.plot().ax_.set_title("boundary")
    boundary.figure_.savefig("boundary.png")
    curve: fastbp.LearningCurveDisplay = fastbp.LearningCurveDisplay.from_history(history)
    curve = fastbp.LearningCurveDisplay.from_estimator(fastbp.MLPRegressor())
    fastbp.LearningCurveDisplay([1.0, 0.5], [1.1, 0.7], best_epoch=2).plot(ax=curve.ax_)
    fastbp.HealthDisplay.from_health(health, "update").plot()
    fastbp.HealthDisplay(health, what="dead").plot()
    fastbp.WeightHistogramDisplay.from_estimator(net, bins=10).plot()
    fastbp.WeightHistogramDisplay(list(net.weights), bins=10).plot()
    fastbp.NetworkGraphDisplay(list(net.weights)).plot()
    fastbp.WeightImageDisplay.from_estimator(net, (2, 1), units=[0, 1]).plot()
    fastbp.WeightImageDisplay(np.zeros((1, 2, 2)), 3).plot()
    fastbp.ActivationHistogramDisplay.from_estimator(net, X, bins=10).plot()
    fastbp.ActivationHistogramDisplay([X], ["relu"], bins=10).plot()
    view: fastbp.TrainingView = fastbp.TrainingView(epochs=10)
    net.fit(X, y, callbacks=[view, fastbp.TrainingView()])
    reliability = fastbp.ReliabilityDisplay.from_estimator(net, X, labels, n_bins=5, name="net")
    fastbp.ReliabilityDisplay.from_predictions([0, 1], [0.2, 0.9], ax=reliability.ax_).plot()
    error: float = fastbp.ReliabilityDisplay(X[:, 0], labels, n_bins=2).calibration_error
    print(error)
    shown = fastbp.IntervalDisplay.from_estimator(net.calibrate(X, y), X, y, coverage=0.8)
    shown = fastbp.IntervalDisplay.from_predictions(y, np.zeros((40, 2)), ax=shown.ax_).plot()
    fastbp.IntervalDisplay(y, y, np.zeros((1, 40, 2)), [0.9], labels=("x", "y")).plot()
    print(sum(shown.covered + shown.widths))
    comparison = fastbp.compare_backends([2, 1], X, y, loss="squared_error")
    fastbp.BackendComparisonDisplay.from_comparison(comparison).plot()
    fastbp.BackendComparisonDisplay(["numpy"], [1e-3], [1.0], "a problem").plot()
    fastbp.RooflineDisplay.from_results({"training": [], "peak": {}, "settings": {}}).plot()
    fastbp.RooflineDisplay([1.0], [("numba", 1e9)], [None], {"peak": 1e11}).plot()
    fastbp.DecisionBoundaryDisplay(X, X, X, classes=["a", "b"]).plot()


def backends() -> str:
    answers = fastbp.available_backends()
    for name in answers:
        try:
            print(fastbp.Network([2, 1], loss="huber", backend=name))
        except fastbp.BackendUnavailable as error:
            print(error, fastbp.backends.available()[name])
    text: str = fastbp.backends.get("numpy").describe() + fastbp.__version__
    return text


def on_a_cluster(net: fastbp.Network, client: Client, data: Array) -> None:
    history: fastbp.History = fastbp.distributed.fit(
        net,
        data,
        data,
        client=client,
        optimizer=fastbp.SGD(),
        epochs=2,
        batch_size=None,
        local_steps=3,
        partitions_at_once=1,
        validation_data=(X, y),
        callbacks=(GoodEnough(),),
    )
    fastbp.fit_many([net], X, y, client=client)
    print(history.loss)


def warnings_as_errors() -> None:
    warnings.simplefilter("error", fastbp.HealthWarning)
