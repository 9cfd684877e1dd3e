"""Exported C in whole numbers: IntegerNetwork has the same ones, and says how far off they are."""

import copy
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
from c_helpers import CC, STRICT, Library, run
from helpers import ACTIVATIONS, make_network

import fastbp
from fastbp.exchange import c_text

if CC is None:
    pytest.skip("needs a C compiler", allow_module_level=True)

WHOLE = dict(weights="int8", arithmetic="int8")


def from_c(library, name, X, n_outputs):
    """(q, sums, h) of each row, from scratches that hold other numbers."""
    X = np.ascontiguousarray(X, np.float32)
    q = np.full(X.shape, 77, np.int8)
    sums = np.full((len(X), n_outputs), 77, np.int32)
    h = np.full((len(X), n_outputs), 77, np.float32)
    sizes = [library.size(f"{name.upper()}_{kind}SCRATCH") for kind in ("INTEGER_", "")]
    for i, x in enumerate(X):
        library.call(f"{name}_quantise", x, q[i])
        for size, function, arrays in (
            (sizes[0], "integers", (q[i], sums[i])),
            (sizes[1], "predict_r", (x, h[i])),
        ):
            scratch = np.full(size + 2, 55, np.int8)
            library.call(f"{name}_{function}", *arrays, scratch[1:-1])
            assert scratch[0] == scratch[-1] == 55
    return q, sums, h


NETWORKS = {
    **{
        f"part_{k}": dict(sizes=[3, *[9] * len(part), 2], activation=part, loss="huber")
        for k, part in enumerate([ACTIVATIONS[:5], ACTIVATIONS[5:9], ACTIVATIONS[9:]])
    },
    "classes": dict(sizes=[5, 20, 9, 3], activation="silu", loss="cross_entropy"),
    "one": dict(sizes=[2, 8, 1], activation="relu", loss="log_loss"),
    "rates": dict(sizes=[4, 2], loss="poisson"),
    "bent": dict(sizes=[4, 7, 1], activation="sin", loss="squared_error", output_activation="tanh"),
}


@pytest.mark.parametrize("build", ["-O1", "-O3 -march=native -fwrapv"])
def test_the_whole_numbers_are_those_of_python(build, rng, tmp_path):
    made, rows = {}, {}
    for name, how in NETWORKS.items():
        net = make_network(backend="auto", **how)
        for W in net.weights:
            W *= 1.5
        n = net.layout.sizes[0]
        X = rng.normal(size=(200, n)) + rng.normal(size=n)
        made[name] = net.to_c(tmp_path, name, **WHOLE, X=X)
        far = 1e4 * rng.normal(size=(20, n)), np.full((2, n), [[3e38], [-3e38]])
        rows[name] = np.concatenate([X, *far]).astype(np.float32)
    library = Library(tmp_path, *STRICT, "-Wconversion", *build.split())
    for name, whole in made.items():
        X, n = rows[name], whole.network.layout.sizes[-1]
        q, sums, h = from_c(library, name, X, n)
        assert np.abs(q.astype(int)).max() == 127
        assert sums.tobytes() == whole.integers(X).tobytes()
        assert h.tobytes() == whole.predict(X).tobytes()
        assert len(np.unique(sums[:, 0])) > 50  # not all at the bounds
        X[:, 0] = np.nan
        assert (from_c(library, name, X, n)[0][:, 0] == -127).all()


def test_rounding_is_that_of_fractions(rng, tmp_path):
    """Sums of all sizes, halves among them, in Python and in C."""
    sums = np.concatenate(
        [
            rng.integers(-(2**31) + 1, 2**31, 400),
            rng.integers(-500, 500, 400),
            [2**31 - 1, -(2**31) + 1],
        ]
    ).astype(np.int32)
    shifts = rng.integers(1, 63, len(sums)).astype(np.uint8)
    multipliers = rng.integers(2**30, 2**31, len(sums)).astype(np.int32)
    shifts[:200], multipliers[:200] = 55, rng.integers(2**30, 2**31, 200)
    shifts[400:600], multipliers[400:600] = 31, 2**30  # sum / 2
    declaration = (
        "void t_many(const int32_t *sums, const int32_t *multipliers, const uint8_t *shifts,\n"
        "    int8_t *out)"
    )
    loop = [f"for (int i = 0; i < {len(sums)}; i++)"]
    loop.append("    out[i] = requantise(sums[i], multipliers[i], shifts[i], 3, -100);")
    function = c_text.Function("", declaration, loop)
    (tmp_path / "t.h").write_text(f"#include <stdint.h>\n{declaration};\n")
    (tmp_path / "t.c").write_text(c_text.source("t", {"requantise"}, [], [function]))
    found = np.zeros(len(sums), np.int8)
    library = Library(tmp_path, *STRICT, "-Wconversion", "-fsanitize=undefined", "-static-libubsan")
    library.call("t_many", sums, multipliers, shifts, found)
    for s, m, shift, out in zip(sums.tolist(), multipliers.tolist(), shifts, found, strict=True):
        exact = Fraction(s * m, 2 ** int(shift)) + Fraction(1, 2)
        assert out == min(max(exact.__floor__() + 3, -100), 127)
    layer = fastbp.exchange.integers.IntegerLayer(
        np.zeros((1, len(sums)), np.int8), sums, multipliers, shifts, 3, -100, None
    )
    assert np.array_equal(layer.outputs(np.zeros((1, 1), np.int8))[0], found)


def test_a_layer_is_off_by_its_rounding_only(rng, tmp_path):
    """s of a linear network: half a step of each input, of each weight, and of the bias."""
    net = make_network([6, 3], "squared_error", "auto", "float64")
    X = rng.uniform(-1, 3, (300, 6)) * [1, 10, 100, 1e-3, 1, 1]
    whole = net.to_c(tmp_path, **WHOLE, X=X)
    half_x = np.ptp(X, axis=0) / 254 / 2
    W = np.abs(net.weights[0])
    of_weights = half_x[:, None] * 2 * 127 * (W * half_x[:, None] * 2).max(axis=0)[None] / 254
    bound = half_x @ W + (of_weights / (half_x[:, None] * 2)).sum(axis=0) + whole.steps
    error = np.abs(whole.predict(X) - net.predict(X)).max(axis=0)
    assert (error < bound).all() and (error > bound / 100).all()


def test_units_at_the_edge(rng, tmp_path):
    """No weights, a bias far above them, inputs that are constant in the calibration."""
    net = make_network([3, 4, 2], "squared_error", "auto", "float64", activation="relu")
    net.weights[0][:, 0], net.biases[0][0] = 0, 0
    net.weights[0][:, 1], net.biases[0][1] = 1e-20, 5
    net.weights[0][:, 2], net.biases[0][2] = 1, -1e6  # never above 0
    X = rng.uniform(-1, 1, (100, 3))
    X[:, 1] = 0.25
    whole = net.to_c(tmp_path, **WHOLE, X=X)
    assert whole.factors[1] == 0 and whole.centers[1] == 0.25
    assert np.abs(whole.predict(X) - net.predict(X)).max() < 0.06
    net.weights[0][...], net.weights[1][...] = 0, 0
    for b in net.biases:
        b[...] = 0
    assert (net.to_c(tmp_path, **WHOLE, X=X).predict(X) == 0).all()
    run(CC, *STRICT, "network.c", "network_test.c", "-o", "program", folder=tmp_path)
    run("./program", folder=tmp_path)


def test_accuracy_is_told(rng, tmp_path):
    """In the header, and for any rows in Python."""
    X = rng.uniform(-1, 1, (400, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    net = fastbp.Network([2, 16, 2], activation="tanh", loss="cross_entropy", seed=0)
    net.fit(X, y, epochs=40, optimizer=fastbp.Adam(0.01))
    whole = net.to_c(tmp_path, **WHOLE, X=X)
    h, exact = whole.predict(X), net.predict(X)
    difference = np.abs(h.astype(float) - exact)
    largest, rms, same = whole.calibration
    assert 0.001 < largest == difference.max() < 0.1
    assert rms == pytest.approx(np.sqrt((difference**2).mean()))
    assert same == (h.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.97
    text = (tmp_path / "network.h").read_text()
    assert f"by at most {largest:.3g}" in text and f"{rms:.3g}." in text and "400 rows" in text
    assert f"{same:.2%} of the rows" in text
    assert whole.unlike(X[:7]) != whole.calibration
    for other in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert other.predict(X).tobytes() == h.tobytes()
    assert repr(whole) == "IntegerNetwork([2, 16, 2])"
    run(CC, *STRICT, "network.c", "network_test.c", "-o", "program", folder=tmp_path)
    done = run("./program", folder=tmp_path)
    assert done.stdout == "network: 0 of 64 samples differ\n"


def test_there_are_no_floats_inside(tmp_path):
    net = make_network([3, 5, 4, 2], "cross_entropy", "auto", activation="gelu")
    net.to_c(tmp_path, "net", **WHOLE, X=np.eye(3))
    text = re.sub(r"/\*.*?\*/", "", (tmp_path / "net.c").read_text(), flags=re.S)
    functions = dict(re.findall(r"^\w[\w ]*? (net_\w+)(\([^;]*?\n\{\n.*?\n\})$", text, re.M | re.S))
    pending, seen = ["net_integers"], set()
    while pending:
        name = pending.pop()
        seen.add(name)
        assert not re.search(r"float|double|\d\.\d", functions[name]), name
        pending += (set(re.findall(r"net_\w+(?=\()", functions[name])) & set(functions)) - seen
    assert {"net_requantise", "net_look_up", "net_sum_int8", "net_last_int32"} <= seen


def test_refused(tmp_path):
    net, X = make_network([2, 3, 1], "huber", "auto"), np.eye(2)

    def refuses(message, net=net, **how):
        with pytest.raises(ValueError, match=message):
            net.to_c(tmp_path, **how)

    refuses('arithmetic must be "float32" or "int8", got \'int16\'', arithmetic="int16")
    refuses('needs weights="int8"', arithmetic="int8", X=X)
    refuses("needs X=, rows such as", **WHOLE)
    refuses("has no derivatives", **WHOLE, X=X, jacobian=True)
    refuses('needs weights="float32"', **WHOLE, X=X, train="sgd")
    refuses("X has 3 features", **WHOLE, X=np.eye(3))
    refuses("NaN", **WHOLE, X=[[np.nan, 1]])
    rates = fastbp.Network([2, 1], loss="poisson")
    rates.biases[0] = [100]
    refuses("the network's output, in floats, for X has NaN or infinite", rates, **WHOLE, X=X)
    wide = fastbp.Network([140_000, 1], loss="huber", backend="numpy")
    wide.weights[0] = np.ones((140_000, 1))
    refuses(
        "layer 1 has 140000 inputs, too many", wide, **WHOLE, X=np.full((2, 140_000), [[1], [-1]])
    )
    assert not list(tmp_path.iterdir())
