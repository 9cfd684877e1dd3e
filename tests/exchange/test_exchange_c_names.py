"""Names of exported C: no file and no identifier is that of something else."""

import ctypes
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from helpers import ACTIVATIONS, make_network

import fastbp

CC = shutil.which("cc")
if CC is None:
    pytest.skip("needs a C compiler", allow_module_level=True)

STRICT = ["-std=c99", "-pedantic", "-Werror", "-Wall", "-Wextra"]
STRICTER = [*STRICT, "-Wconversion", "-Wshadow", "-Wundef", "-Wdouble-promotion", "-Wcast-qual"]
STRICTER += ["-Wstrict-prototypes", "-Wmissing-prototypes"]


def compiled(*command, folder, compiler=CC):
    done = subprocess.run(
        [compiler, *command], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.fixture
def net():
    return make_network([4, 6, 3], "cross_entropy", "auto", "float32", activation="gelu")


def refuses(net, name, folder, why):
    with pytest.raises(ValueError, match=why):
        net.to_c(folder / "new", name)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "name",
    ["", "1st", "a-b", "a b", "_a", "a_", "a__b", "\xe9", "\u0661", "a\u0661", "\u212a", "a.c"]
    + ["../a", "a\n", "a/b", "a\\b", "a\0", "\ud800", "\u017f"],
)
def test_names_that_are_none_in_c(name, net, tmp_path):
    refuses(net, name, tmp_path, "is no name for C: it must begin with a letter")


def test_not_a_string(net, tmp_path):
    with pytest.raises(TypeError, match="name must be a str, got int: 3"):
        net.to_c(tmp_path, 3)


@pytest.mark.parametrize("name", ["Net_A", "IRIS", "irisNet"])
def test_capitals(name, net, tmp_path):
    """Of "net_a" and "Net_A", macros and, on some systems, files would be the same."""
    refuses(net, name, tmp_path, f"'{name}' has capitals.*use '{name.lower()}'")


def test_name_of_a_test_program(net, tmp_path):
    refuses(net, "iris_test", tmp_path, "iris_test.c, which is the test program of the .*'iris'")
    net.to_c(tmp_path, "iris")
    net.to_c(tmp_path, "test")
    net.to_c(tmp_path, "iris_tests")
    assert len(list(tmp_path.iterdir())) == 9


def test_long_names(net, tmp_path):
    """C may read no more than 63 characters of a name."""
    refuses(net, "n" * 41, tmp_path, "has 41 characters, and may have 40")
    net = fastbp.Network([2, *[3] * len(ACTIVATIONS), 1], activation=ACTIVATIONS, loss="log_loss")
    for how in (dict(train="sgd"), dict(weights="int8")):
        net.to_c(tmp_path, "n" * 40, jacobian=True, **how)
        for file in tmp_path.iterdir():
            code = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.S)
            assert max(map(len, re.findall(r"[A-Za-z_]\w*", code))) <= 63


@pytest.mark.parametrize(
    "name", ["math", "features", "stdio", "immintrin", "windows", "unistd", "endian", "arm_neon"]
)
def test_headers(name, net, tmp_path):
    refuses(net, name, tmp_path, f"{name}.h, which is a header of C.*such as '{name}_net'")


@pytest.mark.parametrize("name", ["con", "aux", "nul", "com1"])
def test_devices(name, net, tmp_path):
    refuses(net, name, tmp_path, f"{name}.h, which is a device on Windows")


def test_headers_of_this_system(net, tmp_path):
    """Every header that the C library's own include is refused."""
    includes = "".join(
        f"#include <{header}.h>\n"
        for header in ("complex", "ctype", "inttypes", "locale", "math", "setjmp", "signal")
        + ("stdio", "stdlib", "string", "tgmath", "time", "wchar", "wctype")
    )
    (tmp_path / "all.c").write_text(includes)
    done = subprocess.run([CC, "-M", "all.c"], cwd=tmp_path, capture_output=True, text=True)
    names = set(re.findall(r"include/(?:x86_64-linux-gnu/)?([a-z]\w*)\.h", done.stdout))
    assert done.returncode == 0
    for name in names:
        with pytest.raises(ValueError, match=r"is a header of C's own|is no name for C"):
            net.to_c(tmp_path, name)


@pytest.mark.parametrize("name", ["int", "printf", "main", "linux", "unix", "relu", "number", "x"])
def test_names_that_c_has_for_something_else(name, net, tmp_path):
    """A keyword or a function of C is a name like others, since suffixes are added to it."""
    if name == "printf":
        refuses(net, name, tmp_path, "is a header")  # of FreeBSD
        return
    net.to_c(tmp_path, name)
    for standard in ("c99", "gnu17"):
        command = [
            "-O2",
            *STRICT,
            f"-std={standard}",
            f"{name}.c",
            f"{name}_test.c",
            "-o",
            "program",
        ]
        compiled(*command, folder=tmp_path)
    subprocess.run(["./program"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "softplus", "sin", None])
def test_warnings(activation, weights, tmp_path):
    hidden = [5, 7, 3] if activation else []
    for loss in ("cross_entropy", "poisson"):
        net = fastbp.Network([4, *hidden, 3], activation=activation or "tanh", loss=loss)
        net.to_c(tmp_path, weights=weights)
        files = ["network.c", "network_test.c"]
        for options in ([], ["-O2"]):
            compiled(*STRICTER, *options, "-c", *files, folder=tmp_path)


# Several networks in one program.

MAIN = """
#include <stdio.h>
%s

int main(void)
{
    float x[NET_INPUTS] = {1.0f, -2.0f}, h[NET_OUTPUTS], g[NET_TWO_OUTPUTS];
    float scratch[NET_TWO_SCRATCH];
    net_predict(x, h);
    net_two_predict_r(x, g, scratch);
    printf("%%.9g %%.9g %%.9g\\n", (double)h[0], (double)g[0], (double)g[1]);
    return 0;
}
"""


@pytest.mark.parametrize("together", [True, False])
def test_two_networks(together, tmp_path):
    """In one translation unit, or linked; of different weights, shapes and functions."""
    first = make_network([2, 5, 1], "squared_error", "auto", "float32", activation="gelu")
    second = make_network([2, 4, 3, 2], "cross_entropy", "auto", "float32", activation="elu")
    first = first.to_c(tmp_path, "net")
    second = second.to_c(tmp_path, "net_two", weights="int8")
    ending, sources = ("c", []) if together else ("h", ["net.c", "net_two.c"])
    includes = "\n".join(f'#include "{name}.{ending}"' for name in ("net", "net_two"))
    (tmp_path / "main.c").write_text(MAIN % includes)
    compiled(*STRICT, "main.c", *sources, "-o", "main", folder=tmp_path)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True)
    h = np.concatenate([net.predict([[1, -2]])[0] for net in (first, second)])
    np.testing.assert_allclose(np.float32(done.stdout.split()), h, rtol=1e-5)


def test_every_name_begins_with_the_network(tmp_path):
    """So two networks have no name in common, and a program may have any other names."""
    net = fastbp.Network(
        [2, *[3] * len(ACTIVATIONS), 2], activation=ACTIVATIONS, loss="cross_entropy"
    )
    suffixes = set()
    for how in (dict(train="sgd"), dict(weights="int8")):
        net.to_c(tmp_path, "mine", jacobian=True, **how)
        code = re.sub(r"/\*.*?\*/", "", (tmp_path / "mine.c").read_text(), flags=re.S)
        names = re.findall(r"^(?:static )?(?:const )?\w+ (\w+)[(\[]", code, re.M)
        names += re.findall(r"^(?:#define|union) (\w+)", code, re.M)
        assert len(names) > 30 and all(re.match("mine_|MINE_", name) for name in names)
        suffixes |= {name[5:] for name in names}
    # No name of network "mine_SOMETHING" is one of network "mine".
    assert not [(a, b) for a in suffixes for b in suffixes if a != b and a.endswith(f"_{b}")]


# The form with the caller's memory.


def reentrant(net, folder, name="net"):
    net = net.to_c(folder, name)
    compiled(*STRICT, "-O2", "-fPIC", "-shared", f"{name}.c", "-o", "net.so", folder=folder)
    predict = getattr(ctypes.CDLL(str(folder / "net.so")), f"{name}_predict_r")
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
    predict.argtypes, predict.restype = (pointer,) * 3, None
    size = re.search(r"_SCRATCH (\d+)", (folder / f"{name}.h").read_text())[1]
    return net, predict, int(size)


@pytest.mark.parametrize(
    ("hidden", "scratch"), [([], 1), ([5], 5), ([5, 9], 14), ([5, 9, 7, 2], 16)]
)
def test_scratch(hidden, scratch, tmp_path):
    """It may hold anything, and nothing is written beside it."""
    net = make_network([3, *hidden, 2], "squared_error", "auto", "float32", activation="relu")
    net, predict, size = reentrant(net, tmp_path)
    assert size == scratch
    memory = np.full(size + 2, np.nan, np.float32)
    memory[[0, -1]] = 7
    x, h = np.float32([1, -2, 3]), np.zeros(4, np.float32)
    predict(x, h[1:3], memory[1:-1])
    np.testing.assert_allclose(h[1:3], net.predict(x[None])[0], rtol=1e-5)
    assert (h[[0, 3]] == 0).all() and (memory[[0, -1]] == 7).all()


@pytest.mark.serial
def test_threads(rng, tmp_path):
    """Calls at once do not disturb each other."""
    net = make_network([30, 64, 64, 5], "squared_error", "auto", "float32", activation="tanh")
    _, predict, size = reentrant(net, tmp_path)
    X = rng.standard_normal((4, 30)).astype(np.float32)
    found = np.zeros((4, 300, 5), np.float32)

    def calls(i):
        scratch = np.empty(size, np.float32)
        for h in found[i]:
            predict(X[i], h, scratch)

    threads = [threading.Thread(target=calls, args=(i,)) for i in range(len(X))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found == found[:, :1]).all()
    np.testing.assert_allclose(found[:, 0], net.predict(X), rtol=1e-4, atol=1e-5)


# Eight threads at once, half of them in whole numbers: each compares with its first result.
THREADS = """
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include "net.h"
#include "whole.h"

static void *of_floats(void *x)
{
    static const float y[NET_OUTPUTS] = {1.0f};
    float parameters[NET_PARAMETERS], J[NET_OUTPUTS][NET_INPUTS];
    float h[NET_OUTPUTS], first[NET_OUTPUTS];
    float scratch[NET_FIT_SCRATCH + NET_JACOBIAN_SCRATCH];
    net_predict_r(x, first, scratch);
    for (int i = 0; i < 200; i++) {
        memcpy(parameters, net_parameters, sizeof parameters);
        net_fit_step(parameters, x, y, 0.1f, scratch);
        net_jacobian(x, h, J, scratch);
        if (memcmp(first, h, sizeof h) != 0)
            return x;
    }
    return NULL;
}

static void *of_integers(void *x)
{
    float h[WHOLE_OUTPUTS], first[WHOLE_OUTPUTS];
    int8_t scratch[WHOLE_SCRATCH];
    whole_predict_r(x, first, scratch);
    for (int i = 0; i < 1000; i++) {
        whole_predict_r(x, h, scratch);
        if (memcmp(first, h, sizeof h) != 0)
            return x;
    }
    return NULL;
}

int main(void)
{
    static float x[8][NET_INPUTS];
    pthread_t threads[8];
    int wrong = 0;
    for (int i = 0; i < 8; i++) {
        x[i][0] = (float)i - 4.0f;
        if (pthread_create(&threads[i], NULL, i % 2 ? of_integers : of_floats, x[i]))
            return 2;
    }
    for (int i = 0; i < 8; i++) {
        void *found;
        pthread_join(threads[i], &found);
        wrong += found != NULL;
    }
    return wrong;
}
"""


@pytest.mark.serial
@pytest.mark.parametrize("sanitizer", [[], ["-fsanitize=thread"]], ids=["plain", "sanitizer"])
def test_threads_in_c(sanitizer, tmp_path):
    """Nothing is shared but constants: ThreadSanitizer, where it is, sees no race."""
    net = make_network([2, 9, 7, 3], "cross_entropy", "auto", "float32", activation="gelu")
    net.to_c(tmp_path, "net", jacobian=True, train="sgd")
    net.to_c(tmp_path, "whole", weights="int8", arithmetic="int8", X=[[-4, 0], [4, 1]])
    (tmp_path / "main.c").write_text(THREADS)
    command = [CC, "-O1", "-g", "-pthread", *sanitizer, "main.c", "net.c", "whole.c", "-o", "main"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if sanitizer and done.returncode:
        pytest.skip("cc has no ThreadSanitizer: races in exported C ARE NOT LOOKED FOR HERE")
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True)
    if "FATAL: ThreadSanitizer" in done.stderr:
        pytest.skip("ThreadSanitizer does not run: races in exported C ARE NOT LOOKED FOR HERE")
    assert done.returncode == 0 and "data race" not in done.stderr, done.stderr
