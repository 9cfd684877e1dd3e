"""Networks as C: compilers take them, and every bit of their outputs is that of predict."""

import ctypes
import os
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers import ACTIVATIONS, make_network
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

import fastbp
from fastbp import backends

CC = shutil.which("cc")
if CC is None:
    pytest.skip("needs a C compiler", allow_module_level=True)

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
# As a user may: the compiler's own dialect of C, in which it may fuse what it likes.
FAST = ["-O3", "-march=native"]
# Fused multiply-adds without an instruction for them (on x86-64).
PLAIN = [*STRICT, "-O1", "-ffp-contract=off"]
BUILDS = {"plain": PLAIN, "fast": FAST, "strict": [*STRICT, *FAST, "-ffp-contract=off"]}
LOSSES = {"identity": "squared_error", "sigmoid": "log_loss", "softmax": "cross_entropy"} | {
    "exp": "poisson"
}
# Calls the function for many samples.
MANY = """
#include "net.h"
void many(const float *X, float *h, long n);
void many(const float *X, float *h, long n)
{
    for (; n > 0; n--, X += NET_INPUTS, h += NET_OUTPUTS)
        net_predict(X, h);
}
"""


def compiled(*command, folder):
    done = subprocess.run([CC, *command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return folder


class Exported:
    """A network's C code, compiled. Attribute `net` is what Network.to_c returned."""

    def __init__(self, net, folder, build="strict", **how):
        self.net = net.to_c(folder, "net", **how)
        (folder / "many.c").write_text(MANY)
        library = f"{build}_{len(list(folder.iterdir()))}.so"  # a name is loaded only once
        compiled(
            *BUILDS[build], "-fPIC", "-shared", "net.c", "many.c", "-o", library, folder=folder
        )
        self._many = ctypes.CDLL(str(folder / library)).many
        pointer = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
        self._many.argtypes = (pointer, pointer, ctypes.c_long)
        self._many.restype = None

    def predict(self, X):
        X = np.ascontiguousarray(X, np.float32)
        h = np.full((len(X), self.net.layout.sizes[-1]), 7.0, np.float32)
        self._many(X, h, len(X))
        return h


def bits(h):
    """Bit patterns, the same for every NaN."""
    return np.where(np.isnan(h), np.float32(np.nan), h).view(np.uint32)


@pytest.fixture(scope="module", autouse=True)
def fused():
    """Skips where the kernels do not have the bits that the C code repeats."""
    try:
        has_fma = backends.get("cython").KERNELS[np.dtype("float32")].HAS_FMA
    except fastbp.BackendUnavailable:
        return
    if not has_fma:
        pytest.skip("the kernels are those without fused multiply-adds")


def wide_range(rng, n):
    """Float32 numbers: any bit patterns that are finite, subnormal ones, and where curves bend."""
    any_bits = rng.integers(0, 2**32, n, np.uint32).view(np.float32)
    subnormal = rng.integers(1, 2**23, n // 8, np.uint32).view(np.float32)
    x = np.concatenate(
        [
            any_bits[np.isfinite(any_bits)],
            *(subnormal, -subnormal),
            *(np.linspace(-width, width, n // 2) for width in (1, 8, 20, 110)),
            [0.0, -0.0, np.finfo("f4").max, np.finfo("f4").min],
        ]
    )
    return x.astype(np.float32).reshape(-1, 1)


def identity_network(activation, loss="squared_error"):
    """One hidden unit for the sample's one number, and that twice as the output."""
    net = fastbp.Network([1, 1, 2], activation=activation, loss=loss)
    net.weights[0], net.weights[1] = [[1]], [[1, 1]]
    return net


@pytest.mark.parametrize("build", ["plain", "fast"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, build, twins, rng, tmp_path):
    net = identity_network(activation)
    exported = Exported(net, tmp_path, build)
    X = wide_range(rng, 20_000)
    h = exported.predict(X)
    for backend in twins:
        assert np.array_equal(bits(h), bits(net.to_backend(backend).predict(X)))
    assert np.isfinite(h[np.abs(X[:, 0]) < 3e38]).all()  # selu of the largest numbers overflows
    assert np.isnan(exported.predict([[np.nan]])).all()


@pytest.mark.parametrize("build", ["plain", "fast"])
@pytest.mark.parametrize("n_outputs", [1, 2, 37])
@pytest.mark.parametrize("output", LOSSES)
def test_output_activations(output, n_outputs, build, twins, rng, tmp_path):
    if (output, n_outputs) == ("softmax", 1):
        pytest.skip("there is no softmax of one unit")
    net = fastbp.Network([1, n_outputs], loss=LOSSES[output])
    net.weights[0] = rng.uniform(-1, 1, (1, n_outputs))
    net.biases[0] = rng.uniform(-1, 1, n_outputs)
    exported = Exported(net, tmp_path, build)
    X = wide_range(rng, 4000)
    h = exported.predict(X)
    for backend in twins:
        assert np.array_equal(bits(h), bits(net.to_backend(backend).predict(X)))
    assert np.isnan(exported.predict([[np.nan]])).all()


def random_network(rng):
    """Any sizes, activations and output; weights of any size from subnormal to huge."""
    hidden = rng.integers(1, 50, rng.integers(0, 5)).tolist()
    output = rng.choice(list(LOSSES))
    n_outputs = int(rng.choice([1, 2, 5, 16, 33]))
    if output == "softmax":
        n_outputs = max(n_outputs, 2)
    net = fastbp.Network(
        [int(rng.integers(1, 70)), *hidden, n_outputs],
        activation=rng.choice(ACTIVATIONS, len(hidden)).tolist(),
        loss=LOSSES[output],
        seed=int(rng.integers(1000)),
    )
    for W, b in zip(net.weights, net.biases, strict=True):
        b[...] = rng.normal(size=b.shape)
        match rng.integers(4):
            case 0:
                W *= 10.0 ** rng.uniform(-40, 5)
            case 1:
                W *= 10.0 ** rng.uniform(-40, 5, W.shape)
            case 2:
                W[rng.uniform(size=W.shape) < 0.7] = 0
    while not np.isfinite(net.predict(np.zeros((1, net.layout.sizes[0])))).all():
        for W in net.weights:
            W *= 0.01
    return net


@pytest.mark.parametrize("seed", range(24))
def test_any_network(seed, twins, tmp_path):
    rng = np.random.default_rng(seed)
    net = random_network(rng)
    n_in = net.layout.sizes[0]
    exported = Exported(
        net,
        tmp_path,
        list(BUILDS)[seed % 3],
        weights=["float32", "int8"][seed % 2],
        X=np.zeros((1, n_in)),
    )
    X = rng.standard_normal((300, n_in)) * 10.0 ** rng.uniform(-42, 38, (300, 1))
    X[:100] = rng.standard_normal((100, n_in))
    X = X.clip(-3e38, 3e38).astype(np.float32)
    h = exported.predict(X)
    for backend in twins:
        net = exported.net.to_backend(backend)
        different = (bits(h) != bits(net.predict(X))).any(axis=1)
        # Where a hidden unit overflows, the kernels' single output may be NaN instead.
        if different.any():
            assert net.layout.sizes[-1] == 1
            hidden = net.layer_outputs(X[different])[:-1]
            assert (~np.isfinite(np.hstack(hidden))).any(axis=1).all()
            assert np.isnan(net.predict(X[different])).all()
    X[:, rng.integers(n_in)] = np.nan
    assert np.isnan(exported.predict(X)).all()


# Fused multiply-adds.


def nearest(x):
    """The float32 nearest to a fraction, the even one of two."""
    with np.errstate(over="ignore"):
        about = np.float32(float(x))  # rounded twice, so at most one away
    around = [about, *(np.nextafter(about, np.float32(s), dtype="f4") for s in (-np.inf, np.inf))]
    finite = [y for y in around if np.isfinite(y)]
    return min(finite, key=lambda y: (abs(Fraction(float(y)) - x), int(y.view(np.uint32)) & 1))


def hard_products(rng, n):
    """x and arrays W, b for which x W + b is hard to round."""
    x = np.float32(3.0)
    # Products that lie between two neighbours, and a little that decides.
    middle = (rng.integers(2**24 // 3, 2**25 // 3, n) | 1).astype(np.float32)
    little = (rng.choice([-1, 1], n) * 2.0 ** rng.integers(-149, 3, n)).astype(np.float32)
    # Sums in which all but the last bits cancel, and ones that are subnormal.
    W = rng.standard_normal(n).astype(np.float32)
    near = (-x * W * (1 + rng.integers(-2, 3, n) * np.float32(2**-23))).astype(np.float32)
    small = rng.integers(-(2**24), 2**24, (2, n)) * 2.0**-149
    return x, *(
        np.concatenate(parts).astype(np.float32)
        for parts in ((middle, W, small[0]), (little, near, small[1]))
    )


@pytest.mark.parametrize("build", ["plain", "strict"])
def test_fused_multiply_add(build, rng, tmp_path):
    x, W, b = hard_products(rng, 1500)
    net = fastbp.Network([1, len(W)], loss="squared_error")
    net.weights[0], net.biases[0] = W[None], b
    h = Exported(net, tmp_path, build).predict([[x]])[0]
    exact = [
        Fraction(float(x)) * Fraction(float(w)) + Fraction(float(c))
        for w, c in zip(W, b, strict=True)
    ]
    assert np.array_equal(h, [nearest(value) for value in exact])
    # The numbers are hard: rounding twice, even in float64, goes wrong for some.
    twice = (np.float64(x) * W.astype(np.float64) + b.astype(np.float64)).astype(np.float32)
    assert (twice != h).sum() > 100


# Whole numbers as weights.


def quantised(W):
    """Whole numbers and steps, as the docstring says, in NumPy."""
    step = (np.abs(W).max(axis=0) / 127).astype(np.float32)
    return np.rint(W / step).astype(np.int8), step


def simulated(X, layers):
    """A relu network with weights in int8, with sums rounded as IEEE 754 says."""
    for i, (whole, step, b) in enumerate(layers, start=1):
        W = step * whole.astype(np.float32)
        s = np.tile(b, (len(X), 1))
        for r, j in np.ndindex(s.shape):
            for k in range(len(W)):
                product = Fraction(float(X[r, k])) * Fraction(float(W[k, j]))
                s[r, j] = nearest(product + Fraction(float(s[r, j])))
        X = np.maximum(s, 0) if i < len(layers) else s
    return X


def test_int8_is_the_arithmetic_of_its_description(rng, tmp_path):
    net = make_network([12, 9, 4], "squared_error", "auto", "float64", activation="relu")
    exported = Exported(net, tmp_path, weights="int8")
    layers = []
    for i, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        whole, step = quantised(W.astype(np.float32).astype(np.float64))
        layers.append((whole, step, b.astype(np.float32)))
        assert np.array_equal(exported.net.weights[i], step * whole.astype(np.float32))
        assert np.all(np.abs(exported.net.weights[i] - W) <= 0.50001 * step)
        assert np.array_equal(exported.net.biases[i], b.astype(np.float32))
    X = rng.standard_normal((6, 12)).astype(np.float32)
    assert np.array_equal(exported.predict(X), simulated(X, layers))


def test_int8_of_units_without_weights_and_with_tiny_ones(tmp_path):
    net = fastbp.Network([2, 4], loss="squared_error")
    net.weights[0] = [[0, 1e-45, 3e-40, 127], [0, -1e-45, 1e-38, -63]]
    net.biases[0] = [1, 2, 3, 4]
    exported = Exported(net, tmp_path, weights="int8")
    steps = np.array([2.0**-126] * 3 + [1])
    assert np.all(np.abs(exported.net.weights[0] - net.weights[0]) <= steps / 2)
    assert np.array_equal(exported.net.weights[0][:, 3], [127, -63])
    X = np.float32([[1, 2], [1e38, 1e38]])
    assert np.array_equal(exported.predict(X), exported.net.predict(X))


@pytest.mark.parametrize("hidden", [(16,), (32,), (64,), (128, 64)])
def test_int8_on_digits(hidden, tmp_path):
    """What docs/exchange.md says of accuracies."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    right, changed = np.zeros(2), 0
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)
    for seed, (train, test) in enumerate(folds):
        net = fastbp.Network([64, *hidden, 10], loss="cross_entropy", seed=seed)
        net.fit(X[train], y[train], epochs=60, optimizer=fastbp.Adam(3e-3), l2=1e-3)
        rounded = net.to_c(tmp_path, weights="int8")
        classes = [network.predict(X[test]).argmax(axis=1) for network in (net, rounded)]
        right += [(found == y[test]).sum() for found in classes]
        changed += (classes[0] != classes[1]).sum()
    page = Path(__file__).parents[2] / "docs" / "exchange.md"
    name = "-".join(map(str, (64, *hidden, 10)))
    row = re.search(rf"^\| {name} \| (0\S+) \| (0\S+) \| (\d+) \|", page.read_text("utf-8"), re.M)
    # Other versions of libraries may draw other folds.
    assert np.abs(right / len(y) - [float(row[1]), float(row[2])]).max() < 0.004
    assert abs(changed - int(row[3])) <= 6


def test_float64_is_rounded(rng, tmp_path):
    net = make_network([5, 8, 3], "cross_entropy", "numpy", "float64")
    exported = Exported(net, tmp_path)
    assert exported.net.layout.dtype == np.float32
    assert exported.net.backend == "numpy" and exported.net.loss == "cross_entropy"
    for ours, theirs in zip(net.weights, exported.net.weights, strict=True):
        assert np.array_equal(ours.astype(np.float32), theirs)
    X = rng.standard_normal((50, 5))
    np.testing.assert_allclose(exported.predict(X), net.predict(X), rtol=0, atol=1e-6)


# What is written.


def test_program(rng, tmp_path):
    """The generated program returns 0, and 1 where a weight is another one."""
    net = make_network([4, 6, 3], "cross_entropy", "auto", "float32", activation="gelu")
    folder = tmp_path / "new" / "folder"
    for weights in ("float32", "int8"):
        net.to_c(folder, "digits_2", weights=weights, X=rng.standard_normal((20, 4)))
        files = ["digits_2.c", "digits_2_test.c"]
        header = (folder / "digits_2.h").read_text()
        assert ("rounded, by at most a 254th of the largest" in header) == (weights == "int8")
        assert sorted(p.name for p in folder.iterdir() if p.suffix in (".c", ".h")) == sorted(
            [*files, "digits_2.h"]
        )
        command = [*PLAIN, *files, "-o", "program"]
        program = [str(compiled(*command, folder=folder) / "program")]
        done = subprocess.run(program, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "digits_2: 0 of 20 samples differ\n")
        text = (folder / files[0]).read_text()
        other = re.sub(r"(biases_1\[6\] = \{\s*)\S+p", r"\g<1>0x1.8p", text)
        assert other != text
        (folder / files[0]).write_text(other)
        compiled(*command, folder=folder)
        done = subprocess.run(program, capture_output=True, text=True)
        assert done.returncode == 1
        assert re.search(r"sample 0, output 0: \S+, expected \S+\n", done.stdout)


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_nothing_is_needed(weights, tmp_path):
    """Only headers that compilers have without a library; two names are seen from outside."""
    net = make_network([4, 20, 6, 3], "cross_entropy", "auto", activation="softplus")
    net.to_c(tmp_path, weights=weights)
    text = (tmp_path / "network.c").read_text()
    headers = {"network.h", "float.h", "stddef.h", "stdint.h"}
    assert set(re.findall(r"#include [<\"](\S+)[>\"]", text)) == headers
    if not shutil.which("nm"):
        pytest.skip("needs nm")
    compiled(*STRICT, "-O2", "-ffreestanding", "-c", "network.c", folder=tmp_path)
    done = subprocess.run(["nm", "-g", "network.o"], cwd=tmp_path, capture_output=True, text=True)
    names = {line.split()[-1].lstrip("_") for line in done.stdout.splitlines()}
    # Compilers call these three by themselves.
    assert names - {"memcpy", "memmove", "memset"} == {"network_predict", "network_predict_r"}


def test_header_in_cpp(tmp_path):
    cpp = shutil.which("c++")
    if not cpp:
        pytest.skip("needs a C++ compiler")
    make_network([2, 3], "huber", "auto").to_c(tmp_path)
    (tmp_path / "main.cpp").write_text(
        '#include "network.h"\n#include "network.h"\n'
        "int main() { float x[NETWORK_INPUTS] = {}, h[NETWORK_OUTPUTS];"
        " network_predict(x, h); return NETWORK_OUTPUTS - 3; }\n"
    )
    compiled(*PLAIN, "-c", "network.c", folder=tmp_path)
    command = [cpp, "-Wall", "-Wextra", "-Werror", "main.cpp", "network.o", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run(["./main"], cwd=tmp_path, check=True)


def test_memory_is_that_of_the_header(tmp_path):
    net = make_network([4, 20, 30, 25, 3], "cross_entropy", "auto")
    net.to_c(tmp_path)
    header = (tmp_path / "network.h").read_text()
    assert "The network 4 -> 20 tanh -> 30 tanh -> 25 tanh -> 3 softmax" in header
    assert f"{4 * (100 + 20 * 30 + 30 + 30 * 25 + 25 + 78)} bytes of constants" in header
    assert f"{4 * (25 + 30)} bytes of" in header
    if not shutil.which("size"):
        pytest.skip("needs size")
    compiled(*STRICT, "-O2", "-c", "network.c", folder=tmp_path)
    done = subprocess.run(["size", "network.o"], cwd=tmp_path, capture_output=True, text=True)
    _, data, bss, *_ = map(int, done.stdout.splitlines()[1].split()[:3])
    assert data == 0 and 0 <= bss - 4 * (25 + 30) < 64


def test_refused(tmp_path):
    net = make_network([2, 1], "huber", "auto")
    with pytest.raises(ValueError, match='"float32" or "int8", got \'int4\''):
        net.to_c(tmp_path, weights="int4")
    with pytest.raises(ValueError, match="X has 3 features"):
        net.to_c(tmp_path, X=[[1, 2, 3]])
    with pytest.raises(ValueError, match=r"the first, inf, is in row 0, .*; pass other samples"):
        rates = fastbp.Network([2, 1], loss="poisson")
        rates.biases[0] = [100]
        rates.to_c(tmp_path)
    with pytest.raises(ValueError, match=r"weights\[0\] has values too large for float32"):
        net.weights[0][0] = 1e300
        net.to_c(tmp_path)
    with pytest.raises(ValueError, match="NaN"):
        net.weights[0][0] = np.nan
        net.to_c(tmp_path)
    assert not list(tmp_path.iterdir())
    if os.name == "posix" and os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError):
            make_network([2, 1], "huber", "auto").to_c(tmp_path)
