"""Names of optimisers and schedules; and what an error says to other libraries' names."""

import inspect
import re

import numpy as np
import pytest
from helpers import make_network
from sklearn.metrics import get_scorer_names

import fastbp
from fastbp import backends
from fastbp.basis import names, spec
from fastbp.rules import optimizers, schedules

X, y = np.zeros((6, 3)), np.zeros(6)
TABLES = {
    "loss": spec.LOSSES,
    "activation": spec.ACTIVATIONS,
    "output_activation": spec.DEFAULT_LOSSES,
    "optimizer": {name.lower(): 0 for name in optimizers.OPTIMIZERS},
    "schedule": schedules.SCHEDULES,
    "score": dict.fromkeys(get_scorer_names()),
    "backend": {**backends.BACKENDS, "auto": None},
}


def network(**options):
    return make_network([3, 4, 1], "squared_error", "numpy", **options)


def fitted(**options):
    net = network()
    net.fit(X + 1, y + 1, epochs=3, **options)
    return net.weights[0].tolist()


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_a_name_of_an_optimizer_means_its_defaults(name):
    optimizer = optimizers.OPTIMIZERS[name]()
    size = None if optimizer.full_batch_only else 2
    expected = fitted(optimizer=optimizer, batch_size=size)
    for spelled in (name, name.lower(), name.upper()):
        assert fitted(optimizer=spelled, batch_size=size) == expected
    # With dense samples, the numbers of LazyAdam are those of Adam.
    assert expected != fitted(batch_size=size) or name in ("Adam", "LazyAdam")


@pytest.mark.parametrize(
    "name, schedule",
    [
        ("cosine", fastbp.CosineDecay()),
        ("Cosine", fastbp.CosineDecay()),
        ("one_cycle", fastbp.OneCycle()),
        ("plateau", fastbp.ReduceOnPlateau()),
    ],
)
def test_a_name_of_a_schedule_means_its_defaults(name, schedule):
    assert fitted(schedule=name) == fitted(schedule=schedule)
    assert (fitted(schedule=name) == fitted()) == (name == "plateau")  # 3 epochs are too few


def test_names_in_all_that_takes_optimizers():
    net, other = network(), network()
    for _ in range(3):  # the name keeps the state, as an equal optimiser does
        net.fit_step(X + 1, y, optimizer="RMSprop")
        other.fit_step(X + 1, y, optimizer=fastbp.RMSprop())
    assert net.weights[0].tolist() == other.weights[0].tolist()
    gradient = net.loss_and_gradient(X + 1, y)[1]
    net.apply_gradient(gradient, optimizer="sgd")
    other.apply_gradient(gradient, optimizer=fastbp.SGD())
    assert net.weights[0].tolist() == other.weights[0].tolist()
    many = [network(), network()]
    fastbp.fit_many(many, X + 1, y + 1, optimizer=["sgd", "adam"], schedule="cosine", epochs=3)
    assert many[0].weights[0].tolist() == fitted(optimizer="sgd", schedule="cosine")
    assert fastbp.find_learning_rate(
        network(), X + 1, y + 1, optimizer="sgd", n_steps=5
    ).losses.size
    regressors = [
        fastbp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, schedule=schedule, random_state=0)
        for schedule in ("cosine", fastbp.CosineDecay())
    ]
    first, second = (each.fit(X + 1, y + 1).predict(X).tolist() for each in regressors)
    assert first == second


def test_other_libraries_names_are_in_plain_form_and_lead_to_names_that_exist():
    for kind, table in names._NAMES.items():
        for name, (here, remark) in table.items():
            assert name == names._plain(name)
            assert here is None or here in TABLES[kind], (kind, name)
            assert name not in TABLES[kind]
            assert here or remark or kind == "activation", (kind, name)


def callables():
    public = [getattr(fastbp, name) for name in fastbp.__all__]
    errors = [each for each in public if inspect.isclass(each) and issubclass(each, Exception)]
    return [each for each in public if each not in errors] + [fastbp.Network.fit]


def test_arguments_that_messages_suggest_exist():
    known = set().union(*(inspect.signature(each).parameters for each in callables()))
    for name, (suggested, remark) in names._ARGUMENTS.items():
        assert set(suggested) <= known, name
        assert suggested or remark, name


LOSSES = {
    **dict.fromkeys(("mse", "MSE", "mean_squared_error", "MSELoss"), "'squared_error'.* half "),
    **dict.fromkeys(("mae", "L1Loss", "mean_absolute_error"), "'absolute_error'"),
    **dict.fromkeys(("bce", "binary_crossentropy", "BCEWithLogitsLoss"), "'log_loss'.*sigmoid"),
    "sparse_categorical_crossentropy": "'cross_entropy'.*softmax",
    **dict.fromkeys(("CrossEntropyLoss", "NLLLoss", "Cross-Entropy"), "'cross_entropy'"),
    **dict.fromkeys(("smooth_l1", "HuberLoss", "hubert"), "'huber'"),
    "pinball": "'quantile'.*loss_parameter",
    "squared_eror": "'squared_error'",
    "hinge": "pass a function",
}
ACTIVATIONS = {
    **dict.fromkeys(("RELU", "rellu", "ReLU"), "'relu'"),
    "linear": "'identity'",
    "logistic": "'sigmoid'",
    "LeakyReLU": "'leaky_relu'.*0.01",
    "softmax": "output activation.*cross_entropy",
}
OUTPUT_ACTIVATIONS = {
    "linear": "'identity'",
    "Softmaxx": "'softmax'",
    "swish": "'silu'",
    "exponential": "'exp'",
}
OPTIMIZERS = {
    "adm": "'adam'",
    "momentum": r"'sgd'.*momentum=0.9",
    "L-BFGS": "solver='lbfgs'",
    "levenberg_marquardt": "call fastbp.levenberg_marquardt",
    "rms_prop": "'rmsprop'",
}
SCHEDULES = {
    "CosineAnnealingLR": "'cosine'",
    "onecycle": "'one_cycle'",
    "ReduceLROnPlateau": "'plateau'",
    "exponential": r"no default for factor; pass fastbp.ExponentialDecay\(factor=...\)",
    "step": r"no default for every; pass fastbp.StepDecay\(every=...\)",
    "constant": "pass None",
}
BACKENDS = {"cuda": "CPUs only", "GPU": "CPUs only", "cpython": "'cython'", "NumPy": "'numpy'"}


@pytest.mark.parametrize(
    "option, name, message",
    [
        (option, name, message)
        for option, cases in {
            "loss": LOSSES,
            "activation": ACTIVATIONS,
            "output_activation": OUTPUT_ACTIVATIONS,
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "backend": BACKENDS,
        }.items()
        for name, message in cases.items()
    ],
)
def test_advice_for_unknown_names(option, name, message):
    of_fit = option in ("optimizer", "schedule")
    options = {} if of_fit else {option: name}
    with pytest.raises(ValueError, match=message):
        net = fastbp.Network([3, 4, 1], **{"loss": "squared_error", **options})
        net.fit(X, y, **{option: name})
    if name == "exponential":
        assert names.advice("activation", name, spec.ACTIVATIONS).endswith("loss poisson")


def test_no_advice_for_names_that_are_like_none():
    with pytest.raises(ValueError, match=r"unknown loss 'zzz'; known: [\w, ]+$"):
        fastbp.Network([3, 1], loss="zzz")


CALLS = {
    "Network(lr=)": (fastbp.Network, "the rate belongs to the optimiser"),
    "Network(layers=)": (fastbp.Network, "did you mean layer_sizes?"),
    "Network(optimizer=)": (fastbp.Network, "it is an argument of Network.fit"),
    "Network(random_state=)": (fastbp.Network, "did you mean seed?"),
    "Network(device=)": (fastbp.Network, "CPUs only"),
    "fit(lr=)": (network().fit, "optimizer=fastbp.Adam(learning_rate=0.001)"),
    "fit(verbose=)": (network().fit, "did you mean progress?"),
    "fit(validation_split=)": (network().fit, "train_test_split"),
    "fit(epoch=)": (network().fit, "did you mean epochs?"),
    "fit(batchsize=)": (network().fit, "did you mean batch_size?"),
    "fit(loss=)": (network().fit, "it is an argument of fastbp.Network"),
    "fit(weight_decay=)": (network().fit, "did you mean l2?"),
    "fit(metrics=)": (network().fit, "did you mean scoring?"),
    "fit(early_stopping=)": (network().fit, "did you mean patience?"),
    "fit(zzz=)": (network().fit, "known: X, y, optimizer, "),
    "fit_batches(lr=)": (network().fit_batches, "the rate belongs to the optimiser"),
    "fit_batches(optimiser=)": (network().fit_batches, "did you mean optimizer?"),
    "fit_batches(network=)": (network().fit_batches, "known: average, "),
    "fit_step(lr=)": (network().fit_step, "optimizer=fastbp.Adam(learning_rate=0.001)"),
    "fit_step(validation_data=)": (network().fit_step, "it is an argument of Network.fit"),
    "fit_step(zzz=)": (network().fit_step, "known: X, y, optimizer, sample_weight, "),
    "predict(batch_size=)": (network().predict, "it is an argument of Network.fit"),
    "predict(zzz=)": (network().predict, "known: X"),
    "score(metric=)": (network().score, "did you mean scoring?"),
    "apply_gradient(learning_rate=)": (network().apply_gradient, "the rate belongs to the opt"),
    "apply_gradient(max_norm=)": (network().apply_gradient, "did you mean clip_norm?"),
    "fit_many(lr=)": (fastbp.fit_many, "the rate belongs to the optimiser"),
    "fit_many(epoch=)": (fastbp.fit_many, "did you mean epochs?"),
    "fit_residual(lr=)": (fastbp.fit_residual, "the rate belongs to the optimiser"),
    "fit_residual(max_iter=)": (fastbp.fit_residual, "did you mean epochs?"),
    "find_learning_rate(lr=)": (fastbp.find_learning_rate, "the rate belongs to the opt"),
    "compare_backends(iterations=)": (fastbp.compare_backends, "known: layer_sizes, "),
    "Adam(lr=)": (fastbp.Adam, "did you mean learning_rate?"),
    "AdamW(wd=)": (fastbp.AdamW, "known: learning_rate, "),
    "Adam(betas=)": (fastbp.Adam, "did you mean beta_1?"),
    "Adam(beta1=)": (fastbp.Adam, "did you mean beta_1?"),
    "RMSprop(alpha=)": (fastbp.RMSprop, "did you mean decay?"),
    "SGD(eps=)": (fastbp.SGD, "known: learning_rate, "),
    "Network(monotone_constraints=)": (fastbp.Network, "did you mean monotonic_cst?"),
    "Network(inputs=)": (fastbp.Network, "list the inputs as the first of the layers"),
    "Categorical(embedding_dim=)": (fastbp.Categorical, "did you mean dimension?"),
    "Numeric(allow_nan=)": (fastbp.Numeric, "did you mean missing?"),
    "StepDecay(gamma=)": (fastbp.StepDecay, "did you mean factor?"),
    "StepDecay(step_size=)": (fastbp.StepDecay, "did you mean every?"),
    "CosineDecay(T_max=)": (fastbp.CosineDecay, "as long as the training"),
    "EMA(beta=)": (fastbp.EMA, "known: decay"),
    "EarlyStopping(restore_best_weights=)": (fastbp.EarlyStopping, "did you mean restore_best?"),
    "Checkpoint(every_epoch=)": (fastbp.Checkpoint, "did you mean every_epochs?"),
    "MLPClassifier(lr=)": (fastbp.MLPClassifier, "did you mean learning_rate_init?"),
    "MLPClassifier(epochs=)": (fastbp.MLPClassifier, "did you mean max_iter?"),
    "MLPRegressor(optimizer=)": (fastbp.MLPRegressor, "did you mean solver?"),
    "MLPRegressor.fit(epochs=)": (
        fastbp.MLPRegressor().fit,
        r"pass it as MLPRegressor(max_iter=...)",
    ),
    "MLPClassifier.fit(batch_size=)": (
        fastbp.MLPClassifier().fit,
        "pass it as MLPClassifier(batch_size=...)",
    ),
    "TabularRegressor(verbose=)": (fastbp.TabularRegressor, "did you mean progress?"),
    "MLPSearchCV(n_iter=)": (fastbp.MLPSearchCV, "did you mean n_candidates?"),
    "MLPEnsembleRegressor(n_members=)": (fastbp.MLPEnsembleRegressor, "known: estimator, "),
    "Network.calibrate(coverage=)": (network().calibrate, "known: X, y"),
    "load(backend=)": (fastbp.load, "set FASTBP_BACKEND"),
    "MLPRegressor(hidden_units=)": (fastbp.MLPRegressor, "did you mean hidden_layer_sizes?"),
}


@pytest.mark.parametrize("call", CALLS)
def test_advice_for_unknown_arguments(call):
    function, message = CALLS[call]
    name = re.search(r"\((\w+)=", call)[1]
    needed = {"Network": ([3, 1],), "fit": (X, y), "fit_batches": ([(X, y)],)}
    needed["fit_many"], needed["fit_step"] = ([network()], X, y), (X, y)
    needed["predict"], needed["score"] = (X,), (X, y)
    needed["apply_gradient"] = (network().loss_and_gradient(X, y)[1],)
    with pytest.raises(TypeError, match=f"has no argument '{name}'; .*{re.escape(message)}"):
        function(*needed.get(call.partition("(")[0], ()), **{name: 1})


def test_arguments_that_are_missing():
    with pytest.raises(TypeError, match='Network needs loss=, such as "squared_error" for numbers'):
        fastbp.Network([3, 1])


def test_values_without_names():
    with pytest.raises(TypeError, match=re.escape("Network([64, 16, 10], loss=...)")):
        fastbp.Network(64, 16, 10)
    with pytest.raises(TypeError, match=re.escape("Network([64, 16, 10], loss=...)")):
        fastbp.Network(64, 16, 10, loss="cross_entropy")
    with pytest.raises(TypeError, match="fit takes X, y by position and all other .* got 3 values"):
        network().fit(X, y, 20)


def test_classes_instead_of_instances():
    with pytest.raises(TypeError, match=r"pass an instance, fastbp.Adam\(\)"):
        network().fit(X, y, optimizer=fastbp.Adam)
    with pytest.raises(TypeError, match=r"pass an instance, OneCycle\(...\)"):
        network().fit(X, y, schedule=fastbp.OneCycle)


def test_signatures_are_those_of_the_functions_themselves():
    parameters = inspect.signature(fastbp.Network.fit).parameters
    assert [*parameters][:4] == ["self", "X", "y", "optimizer"]
    parameters = inspect.signature(fastbp.Network.fit_step).parameters
    assert [*parameters][-2:] == ["l2", "frozen"]
    assert [*inspect.signature(fastbp.SGD).parameters] == ["learning_rate", "momentum", "nesterov"]
    assert fastbp.Network.fit.__doc__.startswith("Train on (X, y)")


def test_estimators_and_functions_say_how_many_values_they_take():
    for call, message in (
        (lambda: fastbp.TabularRegressor(3), "TabularRegressor takes all arguments by name, got 1"),
        (lambda: fastbp.load("a", "b"), "load takes path and nothing else, got 2 values"),
        (lambda: fastbp.MLPRegressor().predict(X, 3), "predict takes X and nothing else, got 2"),
    ):
        with pytest.raises(TypeError, match=message):
            call()
    with pytest.raises(ValueError, match=r"for hidden layers pass hidden_layer_sizes=\(4,\)"):
        fastbp.MLPRegressor((4,)).fit(X, y)
