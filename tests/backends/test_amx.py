"""AMX tiles on every processor.

One test compiles the source with tiles computed in plain C. The other one runs the kernels as they
are built. A handler of SIGILL does what the processor refuses, see amx_processor.c. What the
processor's own tiles give is in test_bfloat16.py, where there are some.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from building import ROOT, need_a_compiler
from helpers import SECONDS

# How setup.py compiles for processors that have fused multiply-adds.
FLAGS = {
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"],
    "avx2": ["-mavx2", "-mfma"],
}


def compiled(name, target, *options):
    """Compile a C file beside this one to `target`; its path."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    source = Path(__file__).with_name(name)
    command = [*compiler, "-O2", "-ffp-contract=off", *options, source, "-o", target, "-lm"]
    subprocess.run(list(map(str, command)), check=True, timeout=SECONDS)
    return target


@pytest.mark.parametrize("build", FLAGS)
def test_tiles_and_emulation_give_the_same_bits(cython, build, tmp_path):
    from fastbp.backends._cpu import supported

    need_a_compiler()
    if build not in supported():
        pytest.skip(f"the processor does not run {build}")
    options = ["-Wno-psabi", *FLAGS[build], f"-I{ROOT / 'src_cython'}"]
    program = compiled("tiles.c", tmp_path / "tiles", *options)
    done = subprocess.run([program], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


# Train with tiles and without, and print the number of products of tiles, then whether weights,
# losses and predictions have the same bits.
TRAIN_WITH_AND_WITHOUT_TILES = """
import ctypes, sys
import numpy as np
import fastbp
from fastbp import backends
from fastbp.engine import bfloat16

processor = ctypes.CDLL(sys.argv[1])
processor.products_of_tiles.restype = ctypes.c_long
assert processor.install() == 0
bfloat16.obstacle = lambda: ""  # asks for no permission
kernels = backends.get("cython").SINGLE

def numbers(backend, sizes, batch_size, threads, on):
    kernels.use_tiles(on)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(batch_size + 5, sizes[0])).astype(np.float32)
    y = rng.integers(0, sizes[-1], len(X))
    net = fastbp.Network(
        sizes, activation="relu", loss="cross_entropy", compute_dtype="bfloat16", seed=0,
        backend=backend,
    )
    losses = net.fit(X, y, epochs=1, batch_size=batch_size, threads=threads).loss
    parts = [*net.weights, *net.biases, np.asarray(losses), net.predict(X)]
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

for backend in sys.argv[2:]:
    for sizes, batch_size, threads in (((7, 5, 3), 9, 1), ((40, 64, 33, 10), 48, 2)):
        before = processor.products_of_tiles()
        with_tiles = numbers(backend, sizes, batch_size, threads, True)
        computed = processor.products_of_tiles() - before
        print(computed, with_tiles == numbers(backend, sizes, batch_size, threads, False))
"""


def test_built_kernels_compute_with_the_instructions_of_amx(cython, tmp_path):
    from fastbp import backends

    need_a_compiler()
    if not backends.get(cython).SINGLE.HAS_TILES:
        pytest.skip("the Cython kernels in use are built without AMX tiles")
    options = ["-shared", "-fPIC", "-mfma", "-Wall", "-Wextra", "-Werror"]
    processor = compiled("amx_processor.c", tmp_path / "amx_processor.so", *options)
    found = backends.available()
    names = [name for name in ("cython", "numba") if found[name].startswith("yes")]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_WITH_AND_WITHOUT_TILES, processor, *names],
        env={**os.environ, "LD_PRELOAD": str(processor)},  # its tiles need room from the start
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2 * len(names)
    assert all(int(computed) > 10 and same == "True" for computed, same in lines), done.stdout
