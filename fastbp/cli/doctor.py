"""The command `doctor`: reports the hardware and backends, and checks their results."""

import contextlib
import hashlib
import importlib
import json
import os
import platform
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import numpy as np

from .. import backends
from ..basis import progress, teams
from ..basis.version import __version__
from ..engine import bfloat16
from .options import add_command, filled

REQUIRED = ("numpy", "numba", "scikit-learn", "scipy", "tqdm")
EXTRAS = (
    *("safetensors", "pandas", "pyarrow", "openpyxl", "matplotlib", "onnx", "torch", "argcomplete"),
)
PREFIXES = ("FASTBP_", "NUMBA_")
VARIABLES = ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "PYTHON_GIL")
# Maximum difference from the reference's weights after a few float32 steps.
TOLERANCE = 1e-4


def add(commands):
    """Register the command with argparse."""
    command = add_command(
        commands,
        "doctor",
        run,
        help="say what there is to compute with, and check it",
        description="Say which backends there are, on which processor and with how many threads, "
        "which versions and settings are in use, and check that a small training gives the same "
        "bits on every compiled backend. Without a cache Numba compiles first, for some 10 s. "
        "Exit code 1 if something is wrong.",
        examples="fastbp doctor\nfastbp doctor --json > doctor.json\nfastbp doctor --compile",
    )
    command.add_argument(
        "--compile",
        action="store_true",
        help="first compile all of Numba's kernels into its cache, about a minute, so that nothing "
        "is compiled later on this kind of processor (for images and continuous integration)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def run(options):
    """Collect facts, check the backends and print a report."""
    if options.compile:
        _compile()
    report = {
        "versions": _versions(),
        "processor": _processor(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(PREFIXES) or name in VARIABLES
        },
        "backends": backends.available(),
        "bfloat16": _bfloat16(),
    }
    report["check"], problems = _check(report["backends"])
    # After the check, so that the cache includes kernels compiled by it.
    report |= {"numba_cache": _cache(), "problems": problems}
    print(json.dumps(report, indent=2) if options.json else _text(report))
    return 1 if problems else 0


def _compile():
    """Compile every kernel of the Numba backend for both precisions."""
    backends.get("numba")  # raises an error with the reason if Numba cannot be used
    jit = importlib.import_module("fastbp.backends.numba_._jit")
    kernels = [
        (kernel, np.dtype(name)) for name in ("float64", "float32") for kernel in jit.KERNELS
    ]
    with progress.bar(True, desc="compiling", total=len(kernels), unit="kernel") as bar:
        for kernel, dtype in kernels:
            kernel(dtype)
            bar.update()


def _versions():
    versions = {
        "fastbp": __version__,
        "python": platform.python_version(),
        "free_threading": _free_threading(),
    }
    for name in (*REQUIRED, *EXTRAS):
        versions[name] = None
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _free_threading():
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "no: a build with the GIL"
    on = getattr(sys, "_is_gil_enabled", lambda: True)()
    return "yes, but the GIL is on" if on else "yes"


def _processor():
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):  # Linux on x86
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x for x in lines if x.startswith("model name")).partition(":")[2].strip()
    builds = None
    with contextlib.suppress(ImportError):  # the Cython kernels are not built
        builds = importlib.import_module("fastbp.backends._cpu").supported()
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    return {
        "name": name,
        "cores": os.cpu_count(),
        "usable_threads": teams.available(),
        "features": [*simd.get("baseline", []), *simd.get("found", [])],
        "cython_builds": builds,
    }


def _bfloat16():
    """Return what computes products of networks with compute_dtype="bfloat16"."""
    reason = bfloat16.obstacle()
    return f"emulated: {reason}" if reason else "in AMX tiles"


def _cache():
    """Return folder and size of the cache of Numba's compiled kernels; None if there is none."""
    try:
        jit = importlib.import_module("fastbp.backends.numba_._jit")
        kernels = importlib.import_module("fastbp.backends.numba_.kernels")
        folder = Path(jit.Cache(kernels.train).cache_path)
    except (ImportError, RuntimeError):  # RuntimeError: Numba finds no writable folder
        return None
    files = list(folder.glob("*.nbc"))
    return {
        "folder": str(folder),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
    }


def _check(answers):
    """Train a small network on each backend; return the results and the problems."""
    from ..network.network import Network

    random = np.random.default_rng(0)
    X = random.normal(size=(64, 4))
    y = (X @ random.normal(size=(4, 3))).argmax(axis=1)
    weights, problems = {}, []
    for name, answer in answers.items():
        if answer.startswith("yes"):
            net = Network([4, 8, 3], activation="tanh", loss="cross_entropy", seed=0, backend=name)
            net.fit(X, y, epochs=5, batch_size=16)
            weights[name] = np.concatenate([np.ravel(a) for a in [*net.weights, *net.biases]])
    results = {}
    for name, values in weights.items():
        difference = float(np.abs(values - weights["numpy"]).max())
        bits = hashlib.sha256(values.tobytes()).hexdigest()[:16]
        results[name] = {"bits": bits, "difference_from_numpy": difference}
        if not difference < TOLERANCE:
            problems.append(
                f"weights from {name} differ from the NumPy reference by {difference:.1e}"
            )
    compiled = {results[name]["bits"] for name in results if name != "numpy"}
    exact = not any("without FMA" in answer for answer in answers.values())
    if len(compiled) > 1 and exact:
        problems.append("the compiled backends do not give the same bits")
    if not compiled:
        problems.append("no compiled backend can be used, so training is slow")
    return results, problems


def _text(report):
    processor, cache = report["processor"], report["numba_cache"]
    versions = dict(report["versions"])
    lines = [f"fastbp {versions.pop('fastbp')}, Python {versions.pop('python')}"]
    lines.append(f"free threading: {versions.pop('free_threading')}")
    there = [f"{name} {version}" for name, version in versions.items() if version]
    lines.append(f"packages: {', '.join(there)}")
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        lines.append(f"not installed: {', '.join(absent)}")
    lines.append(f"processor: {processor['name']}, {processor['cores']} cores")
    lines.append(f"features: {', '.join(processor['features'])}")
    if processor["cython_builds"]:
        lines.append(f"Cython builds that run here: {', '.join(processor['cython_builds'])}")
    lines.append(f"threads: at most {processor['usable_threads']}")
    for name, value in report["environment"].items():
        lines.append(f"environment: {name}={value}")
    if cache:
        size = f"{cache['files']} kernels, {cache['bytes'] / 1e6:.1f} MB"
        lines.append(f"Numba's cache: {cache['folder']} ({size})")
    else:
        lines.append("Numba's cache: none, every process compiles anew")
    lines.append("backends:")
    for name, answer in report["backends"].items():
        lines.append(f"  {name:8} {answer}")
    lines.append(f'compute_dtype="bfloat16": {report["bfloat16"]}')
    lines.append("a small training:")
    for name, result in report["check"].items():
        difference = f"{result['difference_from_numpy']:.1e} from NumPy"
        if name == "numpy":
            difference = "the reference"
        lines.append(f"  {name:8} bits {result['bits']}, {difference}")
    lines += [f"problem: {problem}" for problem in report["problems"]]
    if not report["problems"]:
        lines.append("all is well")
    return "\n".join(filled(line, "    ") for line in lines)
