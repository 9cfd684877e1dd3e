"""Exported C for small processors: bytes, instructions and accuracy, compared with emlearn.

    python bench/embedded.py           # a minute; emlearn is left out where it is not installed
    python bench/embedded.py --quick   # one kind of processor and two rows
    python bench/embedded.py --bytes   # flash and memory of networks of several sizes

Needs C compilers for ARM that link programs for Linux, and QEMU, which runs them (Debian:
gcc-arm-linux-gnueabihf, gcc-arm-linux-gnueabi, qemu-user). bench/README.md says more.
"""

import argparse
import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from report import aligned
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import fastbp
from fastbp.basis import writing
from fastbp.exchange.c_text import array

EMULATOR = "qemu-arm"
OPTIONS = ["-Os", "-std=c99", "-mthumb", "-march=armv7-a"]
# With instructions for floats and fused multiply-adds, as a Cortex-M4F or M33 has them, and with
# floats in software, as a Cortex-M3 has them: a compiler and its options.
PROCESSORS = {
    "FPU": ["arm-linux-gnueabihf-gcc", "-mfpu=vfpv4-d16", "-mfloat-abi=hard"],
    "no FPU": ["arm-linux-gnueabi-gcc", "-mfloat-abi=soft"],
}
SIZES = [(4, 8, 3), (16, 32, 4), (64, 32, 10), (64, 64, 64, 10)]
TRAINING = 1200  # rows of the digits

# Prints the classes of the first rows; the argument says how many.
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
%(include)s
%(rows)s

int main(int count, char **arguments)
{
    const int n = count > 1 ? atoi(arguments[1]) : 0;
    for (int i = 0; i < n; i++) {
        int class = 0;
        %(predict)s
        putchar('0' + class);
    }
    return 0;
}
"""
OF_FASTBP = """float h[NET_OUTPUTS];
        net_predict(rows[i], h);
        for (int k = 1; k < NET_OUTPUTS; k++)
            if (h[k] > h[class])
                class = k;"""
FORMS = {
    "fastbp, float32": {},
    "fastbp, weights in int8": {"weights": "int8"},
    "fastbp, arithmetic in int8": {"weights": "int8", "arithmetic": "int8"},
}


def of_fastbp(form, model, X, folder):
    """Write the C code; return an include, what predicts, sources and options."""
    more = {"X": X} if "arithmetic" in FORMS[form] else {}
    fastbp.to_c(model, folder, "net", **FORMS[form], **more)
    return '#include "net.h"', OF_FASTBP, ["net.c"], []


def of_emlearn(model, folder):
    """The same for emlearn, whose code needs the C library's expf."""
    import emlearn

    with contextlib.chdir(folder):  # it compiles in the current folder
        made = emlearn.convert(model, method="loadable")
    (folder / "model.h").write_text(made.save(name="model"))
    (folder / "model.c").write_text('#include "eml_net.h"\n#include "model.h"\n')
    predict = "class = model_predict(rows[i], sizeof rows[i] / sizeof rows[i][0]);"
    include = '#include "eml_net.h"\n#include "model.h"'
    return include, predict, [], [f"-I{emlearn.includedir}", "-w"]


class Program:
    """A program that predicts rows."""

    def __init__(self, folder, rows, include, predict, sources, compiler):
        shape = f"[][{rows.shape[1]}]"
        text = array("float", "rows", rows, shape)
        filled = PROGRAM % {"include": include, "rows": text, "predict": predict}
        (folder / "main.c").write_text(filled)
        command = [*compiler, *OPTIONS, "main.c", *sources, "-o", "main", "-static", "-lm"]
        subprocess.run(command, cwd=folder, check=True)
        self._path = folder / "main"

    def classes(self, n):
        """Return the classes of the first n rows."""
        command = [EMULATOR, self._path, str(n)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def instructions(self, n):
        """Return how many instructions the program executes for n rows: QEMU notes each one."""
        command = [EMULATOR, "-singlestep", "-d", "exec,nochain", self._path, str(n)]
        total = 0
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
            while block := run.stderr.read(1 << 20):
                total += block.count(b"\n")
        return total


def flash_and_memory(folder, source, compiler):
    """Return the bytes of code and constants, and of memory, without the C library's functions."""
    command = [*compiler, *OPTIONS, "-c", source, "-o", "object.o"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run(["size", "object.o"], cwd=folder, capture_output=True, text=True)
    text, data, bss = map(int, done.stdout.splitlines()[1].split()[:3])
    return text + data, data + bss


def digits():
    """Return a trained model, and the rows and labels that it has not seen."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    model = MLPClassifier((32,), max_iter=80, random_state=0).fit(X[:TRAINING], y[:TRAINING])
    return model, X[:TRAINING], X[TRAINING:], y[TRAINING:]


def compared(quick):
    """Return figures of all contenders: bytes, memory, instructions a row, accuracy."""
    model, X, rows, labels = digits()
    names = [*FORMS]
    if importlib.util.find_spec("emlearn"):
        names.append("emlearn, float")
    n, results = 2 if quick else 11, {}
    with tempfile.TemporaryDirectory() as name:
        for kind in [*PROCESSORS][: 1 if quick else None]:
            for contender in names:
                print(f"{contender}, {kind}", file=sys.stderr)
                folder = Path(name, f"{len(results)}")
                folder.mkdir()
                if contender in FORMS:
                    written = of_fastbp(contender, model, X, folder)
                else:
                    written = of_emlearn(model, folder)
                include, predict, sources, options = written
                compiler = [*PROCESSORS[kind], *options]
                program = Program(folder, rows, include, predict, sources, compiler)
                found = np.array([int(c) for c in program.classes(len(rows))])
                taken = (program.instructions(n) - program.instructions(1)) / (n - 1)
                size = flash_and_memory(folder, *(sources or ["model.c"]), compiler)
                accuracy = float((found == labels).mean())
                results[f"{contender}, {kind}"] = [*size, round(taken), accuracy]
    return results


def of_sizes():
    """Return bytes of flash and memory of untrained networks."""
    results = {}
    for sizes in SIZES:
        net = fastbp.Network(sizes, loss="cross_entropy", seed=0)
        X = np.random.default_rng(0).standard_normal((50, sizes[0]))
        for form in FORMS:
            with tempfile.TemporaryDirectory() as name:
                of_fastbp(form, net, X, Path(name))
                title = f"{'-'.join(map(str, sizes))}, {form.removeprefix('fastbp, ')}"
                results[title] = flash_and_memory(Path(name), "net.c", PROCESSORS["FPU"])
    return results


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one kind of processor, two rows")
    parser.add_argument("--bytes", action="store_true", help="only sizes, of several networks")
    parser.add_argument("--output", metavar="FILE", help="write the figures there, as JSON")
    options = parser.parse_args(arguments)
    tools = [EMULATOR, *(compiler for compiler, *_ in PROCESSORS.values())]
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        print(f"not found: {', '.join(missing)}", file=sys.stderr)
        return 1
    columns = ["bytes of flash", "of memory"]
    if options.bytes:
        results, head = of_sizes(), ["network"]
    else:
        results, head = compared(options.quick), ["64-32-10"]
        columns += ["instructions a row", "accuracy"]
    lines = [[*head, *columns]]
    lines += [
        [name, *(f"{x:,}" if isinstance(x, int) else f"{x:.4f}" for x in row)]
        for name, row in results.items()
    ]
    print(aligned(lines))
    print("Code and constants without the C library's functions; ARM Thumb-2, -Os.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
