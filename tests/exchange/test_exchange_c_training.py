"""Exported C that trains: its steps are those of fit_step with SGD, to the last bit."""

import itertools

import numpy as np
import pytest
from c_helpers import CC, STRICT, Library, run
from helpers import ACTIVATIONS, TARGETS, make_network, make_targets

import fastbp

if CC is None:
    pytest.skip("needs a C compiler", allow_module_level=True)


def parameters_of(net):
    pairs = zip(net.weights, net.biases, strict=True)
    return np.concatenate([array.ravel() for pair in pairs for array in pair])


def stepped(library, name, parameters, X, y, rate):
    """The parameters after a step for each row."""
    parameters = parameters.copy()
    scratch = np.full(library.size(f"{name.upper()}_FIT_SCRATCH") + 2, np.nan, np.float32)
    scratch[[0, -1]] = 7
    for x, t in zip(X.astype(np.float32), y.astype(np.float32), strict=True):
        library.call(f"{name}_fit_step", parameters, x, t, rate, scratch[1:-1])
    assert (scratch[[0, -1]] == 7).all()
    return parameters


# Loss -> the output activations besides the canonical one that are tried.
OTHERS = {"squared_error": "sigmoid", "huber": "tanh", "quantile": "softplus"}
PAIRS = [(loss, None) for loss in TARGETS] + list(OTHERS.items())


@pytest.mark.parametrize("build", ["-O2 -march=native", "-O1 -ffp-contract=off"])
def test_the_bits_are_those_of_fit_step(build, twins, rng, tmp_path):
    """All losses, with hidden layers of all activations and without any."""
    nets, activations = {}, itertools.cycle(ACTIVATIONS)
    for i, (loss, output) in enumerate(PAIRS):
        n_outputs = 1 if i % 3 == 0 and loss != "cross_entropy" else 3
        hidden = list(itertools.islice(activations, i % 4))
        net = make_network(
            [4, *[5 + i] * len(hidden), n_outputs],
            loss,
            *("auto", "float32", hidden or "relu", i),
            output_activation=output,
        )
        name = f"net_{'abcdefghijkl'[i]}"
        net.to_c(tmp_path, name, train="sgd")
        nets[name] = net
    used = {activation for net in nets.values() for activation in net.layout.activations}
    assert used == set(ACTIVATIONS)
    library = Library(tmp_path, *STRICT, *build.split())
    for name, net in nets.items():
        X = rng.uniform(-2, 2, (40, 4))
        y = make_targets(TARGETS[net.loss][-1], 40, net.layout.sizes[-1], rng)
        given = library.constants(f"{name}_parameters", library.size(f"{name.upper()}_PARAMETERS"))
        assert np.array_equal(given, parameters_of(net))
        found = stepped(library, name, given, X, y, 0.05)
        for backend in twins:
            other = net.to_backend(backend)
            for i in range(len(X)):
                other.fit_step(X[i : i + 1], y[i : i + 1], optimizer=fastbp.SGD(0.05))
            assert found.tobytes() == parameters_of(other).tobytes(), (name, net)
        assert np.abs(found - given).max() > 1e-3
        h, x = np.zeros(net.layout.sizes[-1], np.float32), X[0].astype(np.float32)
        scratch = np.full(library.size(f"{name.upper()}_SCRATCH"), np.nan, np.float32)
        library.call(f"{name}_predict_with", found, x, h, scratch)
        assert np.array_equal(h, other.predict(X[:1])[0])
        library.call(f"{name}_predict", x, h)
        assert np.array_equal(h, net.predict(X[:1])[0])


def test_derivatives_of_activations(cython, tmp_path):
    """From where curves bend to where they are flat: one step of a network of two units."""
    X = np.concatenate([np.linspace(-w, w, 17) for w in (1, 6, 30)])[:, None].astype(np.float32)
    nets = {}
    for activation in ACTIVATIONS:
        net = make_network([1, 2, 1], "squared_error", "auto", "float32", activation=activation)
        net.weights[0] = [[1, -1]]
        nets[activation] = net
        net.to_c(tmp_path, activation, train="sgd")
    library = Library(tmp_path, *STRICT, "-O1")
    for activation, net in nets.items():
        given = parameters_of(net)
        for x in X:
            found = stepped(library, activation, given, x[None], np.zeros((1, 1)), 0.5)
            other = net.to_backend(cython)
            other.fit_step(x[None], [[0.0]], optimizer=fastbp.SGD(0.5))
            assert found.tobytes() == parameters_of(other).tobytes(), (activation, x)


def test_learns(tmp_path, rng):
    """In C alone: the AND of two inputs."""
    net = make_network([2, 1], "log_loss", "auto", "float32")
    net.to_c(tmp_path, "gate", train="sgd")
    library = Library(tmp_path, *STRICT)
    X = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (500, 1))
    y = X.all(axis=1)[:, None]
    found = stepped(library, "gate", library.constants("gate_parameters", 3), X, y, 1.0)
    w, b = found[:2], found[2]
    assert ((X @ w + b > 0) == y[:, 0]).all()


def test_program(tmp_path):
    """The generated program takes steps, and finds those of another rate."""
    net = make_network([3, 5, 3], "cross_entropy", "auto", "float32")
    net.to_c(tmp_path, "net", train="sgd", jacobian=True)
    run(CC, *STRICT, "net.c", "net_test.c", "-o", "program", folder=tmp_path)
    lines = run("./program", folder=tmp_path).stdout.splitlines()
    ends = ("differ", "differ after a step")
    assert lines == [f"net: 0 of 8 samples {end}" for end in ends]
    text = (tmp_path / "net_test.c").read_text()
    (tmp_path / "net_test.c").write_text(text.replace("0x1p-10f,", "0x1p-9f,"))
    run(CC, *STRICT, "net.c", "net_test.c", "-o", "program", folder=tmp_path)
    with pytest.raises(AssertionError, match="net: 8 of 8 samples differ after a step"):
        run("./program", folder=tmp_path)


def test_refused(tmp_path):
    def refuses(message, net, **how):
        with pytest.raises(ValueError, match=message):
            net.to_c(tmp_path, **{"train": "sgd"} | how)

    net = fastbp.Network([2, 3, 1], loss="squared_error")
    refuses("train must be None or \"sgd\", got 'adam'", net, train="adam")
    refuses('needs weights="float32"', net, weights="int8")
    refuses(
        "needs a network with a loss", fastbp.Network([2, 1], loss=None, output_activation="tanh")
    )
    rates = fastbp.Network([2, 1], loss="poisson", output_activation="softplus")
    refuses("poisson with the output activation exp only, not with softplus", rates)
    rising = fastbp.Network([2, 1], loss="huber", monotonic_cst=[1, 0])
    refuses("no network with monotonic_cst", rising)
    own = fastbp.Network([2, 1], loss=lambda h, y: ((h - y).sum(axis=1) ** 2, 2 * (h - y)))
    refuses("train= does not take the loss, a function of your own, but only log_loss", own)
    assert not list(tmp_path.iterdir())
