"""Weights to and from Keras, whose own predictions are the same."""

import os

import numpy as np
import pytest
from helpers import ACTIVATIONS, error, make_network, parameters

import fastbp
from fastbp.exchange.activations import EQUIVALENTS
from fastbp.exchange.chain import check_outputs

# Keras converts its variables in a way that NumPy 2 calls old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HIDDEN = {
    **{name: name for name in ("sigmoid", "tanh", "relu", "elu", "softplus", "silu", "gelu")},
    **{name: name for name in ("hard_tanh", "selu", "mish")},
    "identity": "linear",
}
OUTPUTS = {
    "cross_entropy": "softmax",
    "log_loss": "sigmoid",
    "squared_error": "linear",
    "poisson": "exponential",
}


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    module = pytest.importorskip("keras")
    module.utils.set_random_seed(0)
    return module


def model_of(keras, hidden, output, bias=True):
    layers = [
        keras.layers.Dense(7, activation=hidden, use_bias=bias),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(5, activation=hidden),
        keras.layers.Dense(3, activation=output),
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize("activation", HIDDEN)
def test_activations(activation, keras, rng):
    model = model_of(keras, HIDDEN[activation], "linear")
    X = rng.standard_normal((20, 4))
    net = make_network([4, 7, 5, 3], "squared_error", "auto", "float32", activation)
    model.set_weights(net.to_keras())
    assert error(model.predict(X, verbose=0), net.predict(X)) < 2e-6
    again = fastbp.Network.from_keras(
        model.get_weights(), activation=activation, loss="squared_error"
    )
    assert again.layout == net.layout
    assert np.array_equal(parameters(again), parameters(net))


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if EQUIVALENTS[a].keras])
def test_functions_are_read(activation, keras):
    """from_keras compares the outputs with the model's."""
    model = randomised(model_of(keras, EQUIVALENTS[activation].keras, "linear"))
    net = fastbp.Network.from_keras(model)
    assert net.layout.activations == (activation, activation)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("loss", OUTPUTS)
def test_output_activations(loss, bias, keras, rng):
    model = model_of(keras, "relu", OUTPUTS[loss], bias)
    X = rng.standard_normal((20, 4))
    net = fastbp.Network.from_keras(model)
    assert net.loss == loss
    assert error(net.predict(X), model.predict(X, verbose=0)) < 2e-6
    assert not net.biases[0].any()  # as Keras starts, or there are none
    if bias:
        of_list = fastbp.Network.from_keras(model.get_weights(), activation="relu", loss=loss)
        assert np.array_equal(parameters(of_list), parameters(net))


def randomised(model):
    """The model, with biases that are not zero."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if type(layer).__name__ in ("Dense", "PReLU", "BatchNormalization"):
            layer.set_weights([rng.uniform(0.2, 1, w.shape) for w in layer.get_weights()])
    return model


def sequential(keras, *layers, shape=(4,)):
    return randomised(keras.Sequential([keras.Input(shape), *layers]))


def activation_layers(keras):
    L = keras.layers
    layers = [L.Dense(5), L.ReLU(), L.Dense(4, activation=L.LeakyReLU(negative_slope=0.01))]
    layers += [L.Dropout(0.5), L.Dense(3), L.ELU(), L.Dense(3), L.Activation("tanh")]
    return sequential(keras, *layers, L.GaussianNoise(1.0), L.Dense(3), L.Softmax())


def flattened(keras):
    L = keras.layers
    return sequential(keras, L.Flatten(), L.Dense(5, "gelu"), L.Dense(2), shape=(2, 3))


def normalised(keras):
    L = keras.layers
    of_data = L.Normalization()
    of_data.adapt(np.random.default_rng(2).normal(5, 3, (50, 4)))
    back = L.Normalization(mean=[1.0, 2, 3, 4], variance=[4.0, 1, 9, 2], invert=True)
    return sequential(keras, of_data, back, L.Dense(5, "silu", use_bias=False), L.Dense(2))


def normalised_images(keras):
    L = keras.layers
    layers = [L.Normalization(mean=[1.0, 2, 3], variance=[4.0, 0.5, 9]), L.Flatten()]
    return sequential(keras, *layers, L.Dense(5, "softplus"), L.Dense(2), shape=(2, 3))


def used_twice(keras):
    L = keras.layers
    act, dense, inputs = L.ReLU(), L.Dense(4), keras.Input((4,))
    return randomised(keras.Model(inputs, L.Dense(2)(act(dense(act(dense(inputs)))))))


def nested(keras):
    """Models in models, with their inputs and outputs in dicts."""
    L = keras.layers
    inner, inputs = used_twice(keras), keras.Input((4,), name="x")
    outer = sequential(keras, inner, L.Dense(3, "sigmoid"))
    model = keras.Model({"x": inputs}, {"h": L.Dropout(0.1)(outer(inputs))})
    inputs = keras.Input((4,), name="x")
    return keras.Model({"x": inputs}, {"h": L.Identity()(model({"x": inputs})["h"])})


def built_later(keras):
    model = keras.Sequential([keras.layers.Dense(3, "elu"), keras.layers.Dense(2, "exponential")])
    model.build((None, 4))
    return randomised(model)


def fine_tuned(keras):
    model = sequential(keras, keras.layers.Dense(8, "relu"), keras.layers.Dense(2))
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 8)))
    return model


@pytest.mark.parametrize(
    "make, activations",
    [
        (activation_layers, ("relu", "leaky_relu", "elu", "tanh")),
        (flattened, ("gelu",)),
        (normalised, ("silu",)),
        (normalised_images, ("softplus",)),
        (used_twice, ("relu", "relu")),
        (nested, ("relu", "relu", "identity")),
        (built_later, ("elu",)),
        (fine_tuned, ("relu",)),
    ],
)
def test_models(make, activations, keras, rng):
    model = make(keras)
    before = [np.array(w) for w in model.get_weights()]
    net = fastbp.Network.from_keras(model)
    assert net.layout.activations == activations
    X = 2 * rng.standard_normal((20, *model.inputs[0].shape[1:]))
    outputs = model.predict({"x": X} if make is nested else X, verbose=0)
    outputs = outputs["h"] if make is nested else outputs
    size = max(1, np.abs(outputs).max())
    assert error(net.predict(X.reshape(20, -1)), outputs) < 1e-5 * size
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)


def test_normalisation_by_hand(keras):
    """W (x - mean) / std + b = 2 (x - 3) / 4 + 1 = x / 2 - 1 / 2."""
    layers = [keras.layers.Normalization(mean=[3.0], variance=[16.0]), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    layers[1].set_weights([np.array([[2.0]]), np.array([1.0])])
    net = fastbp.Network.from_keras(model, loss="huber")
    assert net.loss == "huber"
    assert (net.weights[0], net.biases[0]) == ([[0.5]], [-0.5])


def subclass(keras, what):
    """A class that computes twice as much as its base and has the base's name."""

    def call(self, inputs, **kwargs):
        return 2 * what.call(self, inputs)

    return type(what.__name__, (what,), {"call": call})


def mixed(keras):
    return sequential(keras, keras.layers.Dense(2, dtype="mixed_float16"))


def with_a_call(keras):
    model = sequential(keras, keras.layers.Dense(4))
    model.layers[0].call = lambda inputs: inputs
    return model


def functional(keras, function):
    inputs = keras.Input((4,))
    return keras.Model(inputs, function(keras.layers, inputs))


def between(layer):
    """A model with a layer between two Dense layers."""
    return lambda keras: sequential(
        keras, keras.layers.Dense(4), layer(keras.layers), keras.layers.Dense(2)
    )


def of(*layers):
    return lambda keras: sequential(keras, *(layer(keras.layers) for layer in layers))


def of_graph(function):
    return lambda keras: functional(keras, function)


@pytest.mark.parametrize(
    "make, message",
    [
        (between(lambda L: L.PReLU()), r"\(PReLU\) has no equivalent"),
        (between(lambda L: L.BatchNormalization()), r"\(BatchNormalization\) has no equivalent"),
        (between(lambda L: L.LayerNormalization()), r"\(LayerNormalization\) has no equivalent"),
        (between(lambda L: L.Rescaling(0.5)), r"\(Rescaling\) has no equivalent"),
        (
            between(lambda L: L.Normalization(mean=[1.0] * 4, variance=[2.0] * 4)),
            "before the first Dense",
        ),
        (between(lambda L: L.LeakyReLU()), "negative_slope=0.01 only"),
        (between(lambda L: L.ReLU(max_value=6)), "max_value=None only"),
        (between(lambda L: L.ReLU(negative_slope=0.1)), "negative_slope=0 only"),
        (between(lambda L: L.ReLU(threshold=0.5)), "threshold=0 only"),
        (between(lambda L: L.ELU(alpha=0.5)), "alpha=1 only"),
        (between(lambda L: L.Dense(4, "leaky_relu")), "the activation 'leaky_relu'"),
        (between(lambda L: L.Dense(4, "relu6")), "the activation 'relu6'"),
        (
            between(lambda L: L.Dense(4, activation=L.PReLU())),
            "activation of layer .* has no equivalent",
        ),
        (between(lambda L: L.Activation(lambda x: 2 * x)), "the activation '<lambda>'"),
        (between(lambda L: L.Softmax()), "layer '.*activation softmax, which.* its output only"),
        (of(lambda L: L.Dense(3), lambda L: L.Softmax(axis=0)), "axis=-1 only"),
        (of(lambda L: L.ReLU(), lambda L: L.Dense(3)), "before the first linear layer"),
        (
            of(lambda L: L.Dense(3, "tanh"), lambda L: L.ReLU(), lambda L: L.Dense(1)),
            "follows an activation",
        ),
        (of(lambda L: L.Dropout(0.5)), "no linear layer"),
        (
            lambda keras: sequential(
                keras, keras.layers.Dense(3), keras.layers.Flatten(), shape=(2, 4)
            ),
            r"an input of shape \(None, 2, 4\), not rows",
        ),
        (
            lambda keras: keras.Sequential(
                [keras.Input((3,), dtype="int32"), keras.layers.Embedding(5, 4)]
            ),
            "int32, but input and layers",
        ),
        (
            lambda keras: sequential(
                keras, keras.layers.SimpleRNN(4), keras.layers.Dense(2), shape=(3, 4)
            ),
            r"\(SimpleRNN\) has no equivalent",
        ),
        (
            lambda keras: keras.Sequential(
                [keras.Input((None, 3)), keras.layers.Normalization(), keras.layers.Dense(2)]
            ),
            r"takes inputs of any shape, \(None, None, 3\)",
        ),
        (lambda keras: keras.Sequential([keras.layers.Dense(3)]), "is not built"),
        (mixed, "is float16, but input and layers|Cast"),
        (with_a_call, "has a call of its own"),
        (
            lambda keras: sequential(keras, subclass(keras, keras.layers.Dense)(3)),
            "has no equivalent",
        ),
        (lambda keras: subclass(keras, keras.Sequential)([keras.Input((3,))]), "neither a keras.S"),
        (of_graph(lambda L, x: L.Add()([x, L.Dense(4)(x)])), "takes 2 inputs"),
        (of_graph(lambda L, x: L.Dense(4)(x) + 1), "takes 2 inputs|more than its input"),
        (of_graph(lambda L, x: L.Dense(4)(2 * x)), "takes 2 inputs|more than its input"),
        (of_graph(lambda L, x: [L.Dense(4)(x), L.Dense(4)(x)]), "1 inputs and 2 outputs"),
        (
            of_graph(lambda L, x: L.Dense(2)(L.Dropout(0.5)(L.Dense(4)(x), training=True))),
            "{'training': True}",
        ),
        (
            lambda keras: sequential(
                keras,
                keras.layers.Normalization(mean=[1e6], variance=[1.0]),
                keras.layers.Dense(2),
                shape=(1,),
            ),
            "if its means are much larger",
        ),
    ],
)
def test_not_certainly_the_same(make, message, keras):
    with pytest.raises(ValueError, match=message):
        fastbp.Network.from_keras(make(keras))


@pytest.mark.serial
def test_keras_2(keras, monkeypatch):
    model = sequential(keras, keras.layers.Dense(3))
    monkeypatch.setattr(keras, "__version__", "2.15.0")
    with pytest.raises(TypeError, match="model of Keras 3.*, got Sequential of keras"):
        fastbp.Network.from_keras(model)


@pytest.mark.serial
def test_a_class_that_computes_something_else(keras, monkeypatch):
    """What cannot be seen in a model shows when it is run."""
    model = sequential(keras, keras.layers.Dense(3))
    monkeypatch.setattr(
        keras.layers.Dense, "call", lambda self, x, training=None: keras.ops.matmul(x, self.kernel)
    )
    large = sequential(keras, keras.layers.Dense(3))
    large.layers[-1].set_weights([np.full((4, 3), 3e7), np.full(3, 1e8)])
    for each in (model, large):
        with pytest.raises(ValueError, match="outputs for random rows are not those of a Network"):
            fastbp.Network.from_keras(each)
    monkeypatch.undo()
    fastbp.Network.from_keras(model)
    fastbp.Network.from_keras(large)


@pytest.mark.parametrize(
    "outputs, message",
    [
        ([[1.0], [3.0]], "differ by up to 1"),
        ([[1.0], [np.inf]], "some are infinite or not a number"),
        ([[np.nan], [np.nan]], "some are infinite or not a number"),
        ([[1.0, 2.0]], r"shape is \(1, 2\), not \(2, 1\)"),
    ],
)
def test_comparison_of_outputs(outputs, message):
    expected = np.array([[1.0], [2.0]])
    check_outputs(expected + 1e-7, expected, 1e-6, "who knows")
    with pytest.raises(ValueError, match=f"{message}.*who knows"):
        check_outputs(np.array(outputs), expected, 1e-6, "who knows")


def test_random_models(keras):
    """The same predictions, or a refusal; and enough of both."""
    taken = 0
    L = keras.layers
    names = ["linear", *HIDDEN.values(), "leaky_relu", "relu6", "mish"]
    for n in range(60):
        rng = np.random.default_rng(n)
        layers = [L.Normalization(mean=rng.normal(size=3), variance=[0.5, 1, 2])] * (n % 2)
        for _ in range(rng.integers(1, 4)):
            layers.append(L.Dense(3, names[rng.integers(len(names))], rng.random() < 0.7))
            if rng.random() < 0.4:
                others = [L.Dropout(0.3), L.Flatten(), L.ReLU(), L.ELU(), L.LeakyReLU(), L.PReLU()]
                layers.append(others[rng.integers(len(others))])
        x = inputs = keras.Input((3,))
        for layer in layers:
            for _ in range(1 + (rng.random() < 0.1)):  # some twice
                x = layer(x)
        model = randomised(keras.Model(inputs, L.Dense(2)(x)))
        try:
            net = fastbp.Network.from_keras(model, backend="numpy")
        except ValueError as refusal:
            assert str(refusal)
            continue
        taken += 1
        X = 3 * rng.standard_normal((20, 3))
        outputs = model.predict(X, verbose=0)
        assert error(net.predict(X), outputs) < 1e-5 * max(1, np.abs(outputs).max()), n
    assert 10 < taken < 50


def test_lists():
    """Without Keras: copies out, and arrays of any precision in."""
    net = make_network([2, 3, 1], "log_loss", "auto", activation="gelu")
    arrays = net.to_keras()
    assert [a.shape for a in arrays] == [(2, 3), (3,), (3, 1), (1,)]
    again = fastbp.Network.from_keras(tuple(arrays), activation=["gelu"], loss="log_loss")
    assert again.layout == net.layout
    assert np.array_equal(parameters(again), parameters(net))
    arrays[0][...] = 0
    assert net.weights[0].all()


W, B = np.ones((2, 3)), np.ones(3)


@pytest.mark.parametrize(
    "weights, message",
    [
        ([], "no weights"),
        ([B], r"entry 0, of shape \(3,\)"),
        ([W, B, B], r"entry 2, of shape \(3,\), is not the kernel"),
        ([W, np.ones(2)], r"entry 1, of shape \(2,\), is not the bias"),
        ([W, np.ones((3, 3, 1))], r"entry 1, of shape \(3, 3, 1\)"),
        ([W, B, W, B], "do not form a chain"),
        ([W], "bias of the kernel in entry 0 is missing"),
        ([W, B, W.T], "bias of the kernel in entry 2 is missing"),
        # An Embedding or a Dense layer without a bias, then a Dense one; an RNN; normalisation.
        ([W, W.T, np.ones(2)], r"entry 1, of shape \(3, 2\).*pass the model itself"),
        ([W, np.ones((3, 3)), B], r"entry 1, of shape \(3, 3\).*pass the model itself"),
        ([np.ones(2), np.ones(2), np.array(0), W, B], "entry 0, of shape"),
        ([W, B, B, B, B, B], "entry 2, of shape"),
        ([W.astype("f4"), B], "throughout"),
        ([W.astype(int), B.astype(int)], "must be float32 or float64"),
        ([W * np.nan, B], "NaN"),
        (["W"], "entry 0 must hold real numbers"),
    ],
)
def test_refused_lists(weights, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fastbp.Network.from_keras(weights, activation="relu", loss="huber")


def test_a_list_needs_more():
    deep = [W, B, np.ones((3, 1)), np.ones(1)]
    for arrays in ([W, B], deep):
        with pytest.raises(ValueError, match="does not tell the output's activation: pass loss="):
            fastbp.Network.from_keras(arrays, activation="relu")
    with pytest.raises(ValueError, match="does not tell the activations of its hidden layers"):
        fastbp.Network.from_keras(deep, loss="huber")


@pytest.mark.parametrize("activation", [None, (), "relu"])
def test_a_list_without_hidden_layers_has_no_activations(activation):
    net = fastbp.Network.from_keras([W, B], loss="cross_entropy", activation=activation)
    assert net.layout.sizes == (2, 3) and net.layout.activations == ()
    assert np.array_equal(net.weights[0], W)


def test_refused_arguments(keras):
    model = sequential(keras, keras.layers.Dense(3, "softmax"))
    with pytest.raises(ValueError, match="a model has its own activations"):
        fastbp.Network.from_keras(model, activation="relu")
    with pytest.raises(ValueError, match="ends in softmax; losses with softmax: cross_entropy"):
        fastbp.Network.from_keras(model, loss="log_loss")
    for nothing in (None, 3, W, {"a": W}):
        with pytest.raises(TypeError, match="expected a model of Keras 3, or the list of arrays"):
            fastbp.Network.from_keras(nothing)
