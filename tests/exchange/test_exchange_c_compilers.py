"""Compilers' options that change arithmetic: the exported C keeps its bits, or is refused."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import ACTIVATIONS

import fastbp

if shutil.which("cc") is None:
    pytest.skip("needs a C compiler", allow_module_level=True)

# Compiler -> options that it always gets, what runs its programs.
COMPILERS = {
    "cc": ([], []),
    "clang": ([], []),
    "aarch64-linux-gnu-gcc": (["-static"], ["qemu-aarch64"]),
    "arm-linux-gnueabihf-gcc": (["-static", "-march=armv7-a", "-mfpu=neon-vfpv4"], ["qemu-arm"]),
    "riscv64-linux-gnu-gcc": (["-static"], ["qemu-riscv64"]),
}
# Options of GCC and Clang. GCC says so in macros, and is told no.
UNSAFE = [
    "-ffast-math",
    "-Ofast",
    "-funsafe-math-optimizations",
    "-fassociative-math -fno-signed-zeros -fno-trapping-math",
    "-freciprocal-math",
    "-fno-signed-zeros",
    "-ffinite-math-only",
    "-ffast-math -fno-finite-math-only",
    "-ffast-math -fno-associative-math",
]
# GCC has no macro for these, or they are harmless.
UNTOLD = [
    "-fassociative-math",
    "-ffp-contract=fast",
    "-std=c99 -ffp-contract=fast",
    "-fno-trapping-math -fno-math-errno -frounding-math",
]
OF_GCC = [
    "-fsingle-precision-constant -fsignaling-nans",
    "-fexcess-precision=standard -fpermitted-flt-eval-methods=c11",
]
OF_CLANG = [
    "-fapprox-func",
    "-ffp-model=fast",
    "-ffp-model=precise",
    "-ffp-eval-method=double",
    "-mrecip=all -freciprocal-math",
]
# Prints the bits of outputs, for samples of all sizes and for NaN. Of networks that can be trained
# it also prints derivatives, and takes steps with some of the samples.
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "net.h"

static void print(const float *h, int n)
{
    uint32_t bits;
    for (int j = 0; j < n; j++) {
        memcpy(&bits, &h[j], sizeof bits);
        printf("%08lx ", (unsigned long)((bits << 1) > 0xff000000u ? 0x7fc00000u : bits));
    }
}

int main(void)
{
    uint32_t state = 1, bits;
#ifdef NET_FIT_SCRATCH
    static float parameters[NET_PARAMETERS], scratch[NET_FIT_SCRATCH + NET_JACOBIAN_SCRATCH];
    memcpy(parameters, net_parameters, sizeof parameters);
#endif
    for (int i = 0; i < 500; i++) {
        float x[NET_INPUTS], h[NET_OUTPUTS];
        for (int j = 0; j < NET_INPUTS; j++) {
            state = state * 1664525u + 1013904223u;
            /* Of either sign, from 2**-17 to 2**6; now and then NaN. */
            bits = (state & 0x80000000u) | ((110u + (state >> 8) % 23u) << 23) | (state >> 9);
            if (i % 100 == 99)
                bits = 0x7fc00000u;
            memcpy(&x[j], &bits, sizeof bits);
        }
        net_predict(x, h);
        print(h, NET_OUTPUTS);
#ifdef NET_FIT_SCRATCH
        if (i % 10 == 1) {
            float J[NET_OUTPUTS][NET_INPUTS];
            const float y[NET_OUTPUTS] = {1.0f};
            net_fit_step(parameters, x, y, 0x1p-6f, scratch);
            net_jacobian_with(parameters, x, h, J, scratch);
            print(h, NET_OUTPUTS);
            print(J[0], NET_OUTPUTS * NET_INPUTS);
        }
#endif
    }
    return 0;
}
"""


def run(*command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def output(compiler, options, folder):
    """What the program prints, or None and the errors if there is no object file."""
    always, emulator = COMPILERS[compiler]
    done = run(compiler, "-O3", *always, *options, "-c", "net.c", "-o", "net.o", folder=folder)
    if done.returncode:
        return None, done.stderr
    # Linked without the options: with some, programs begin by setting the processor's modes.
    done = run(compiler, *always, "net.o", "main.c", "-o", "program", folder=folder)
    assert done.returncode == 0, done.stderr
    done = run(*emulator, "./program", folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, ""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folders with networks: of all activations; of sums that are hard; of zeros with a sign."""
    rng = np.random.default_rng(0)
    nets = [
        fastbp.Network(
            [2, *[17] * len(ACTIVATIONS), 5], activation=ACTIVATIONS, loss="cross_entropy", seed=0
        ),
        fastbp.Network([2, 9, 33], activation="softplus", loss="cross_entropy", seed=0),
        fastbp.Network([2, 2, 2], activation="gelu", loss="squared_error"),
    ]
    for b in nets[0].biases:
        b[...] = rng.normal(size=b.shape)
    nets[1].weights[1] *= 20
    nets[2].weights[0], nets[2].weights[1] = np.eye(2), np.eye(2)
    folders = []
    for net in nets:
        folders.append(tmp_path_factory.mktemp("c"))
        net.to_c(folders[-1], "net")
        (folders[-1] / "main.c").write_text(PROGRAM)
    return folders


@pytest.fixture(scope="module")
def expected(exported):
    """What they give, compiled by cc without any options."""
    return [output("cc", [], folder)[0] for folder in exported]


def is_gcc(compiler):
    return "clang" not in run(compiler, "--version", folder=None).stdout


def kept(compiler, options, exported, expected):
    """Whether the options are taken, and keep all bits; else the errors."""
    for folder, bits in zip(exported, expected, strict=True):
        found, errors = output(compiler, options.split(), folder)
        if found is None:
            # Either the source says why, or the compiler does not know the option.
            assert re.search("compile without|FLT_EVAL_METHOD|un(known|supported|recogn)", errors)
            return errors
        assert found == bits, f"{compiler} {options} changes results"
    return True


@pytest.mark.parametrize("compiler", COMPILERS)
def test_same_bits_or_no_object_file(compiler, exported, expected):
    missing = [tool for tool in (compiler, *COMPILERS[compiler][1]) if not shutil.which(tool)]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}: exported C IS NOT TESTED WITH {compiler} HERE")
    assert kept(compiler, "", exported, expected) is True
    gcc = is_gcc(compiler)
    for options in UNSAFE:
        errors = kept(compiler, options, exported, expected)
        if gcc:
            assert "compile without -ffast-math, -Ofast, and parts of it" in errors, options
    # Clang before 15 cannot turn this one off on AArch64 (docs/exchange.md).
    nans = ["-fno-honor-nans"] if platform.machine() == "x86_64" else []
    for options in [*UNTOLD, *(OF_GCC if gcc else [*OF_CLANG, *nans])]:
        errors = kept(compiler, options, exported, expected)
        assert errors is True or not gcc, errors


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    "how",
    [
        dict(jacobian=True, train="sgd"),
        dict(weights="int8", arithmetic="int8", X=np.eye(2) - 0.5),
    ],
    ids=["steps", "integers"],
)
def test_what_else_is_exported_has_the_same_bits(how, compiler, tmp_path):
    missing = [tool for tool in (compiler, *COMPILERS[compiler][1]) if not shutil.which(tool)]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}: exported C IS NOT TESTED WITH {compiler} HERE")
    activations = ["tanh", "gelu", "sin"]  # their derivatives have sums of products
    net = fastbp.Network([2, 3, 3, 3, 2], activation=activations, loss="cross_entropy", seed=0)
    net.to_c(tmp_path, "net", **how)
    (tmp_path / "main.c").write_text(PROGRAM)
    bits = output("cc", [], tmp_path)[0]
    assert bits.count(" ") == 500 * 2 + 50 * (2 + 4) * ("train" in how)
    assert kept(compiler, "-ffp-contract=fast", [tmp_path], [bits]) is True


def x86_gcc():
    machine = run("cc", "-dumpmachine", folder=None).stdout
    if not machine.startswith("x86_64") or not is_gcc("cc"):
        pytest.skip(f"cc is not GCC for x86-64 but for {machine.strip()}")


@pytest.mark.parametrize("dialect", ["gnu17", "c99", "gnu2x"])
def test_processors_with_float16_compile(dialect, exported):
    """Where FLT_EVAL_METHOD is 16: float and double keep their own types there."""
    x86_gcc()
    options = [f"-std={dialect}", "-Wall", "-Wextra", "-Werror", "-march=sapphirerapids"]
    done = run("cc", *options, "-c", "net.c", "-o", "float16.o", folder=exported[0])
    assert done.returncode == 0, done.stderr


def test_processors_with_float16_have_the_same_bits(exported, expected):
    x86_gcc()
    if "avx512_fp16" in Path("/proc/cpuinfo").read_text():
        options = "-march=sapphirerapids"
    else:  # what can be run here: only the macro is another one
        options = "-D__FLT_EVAL_METHOD__=16 -Wno-builtin-macro-redefined"
    assert kept("cc", options, exported, expected) is True


@pytest.mark.parametrize("options", ["-mfpmath=387", "-mfpmath=sse+387", "-m32 -mfpmath=387"])
def test_more_digits_than_a_float_are_refused(options, exported):
    """FLT_EVAL_METHOD is 2, or -1."""
    x86_gcc()
    _, errors = output("cc", [*options.split(), "-ffreestanding"], exported[0])
    assert "FLT_EVAL_METHOD must be 0, 16 or 32: on x86 compile with -msse2 -mfpmath=sse" in errors


@pytest.mark.parametrize(("value", "taken"), [(0, 1), (1, 0), (2, 0), (-1, 0), (32, 1), (64, 0)])
def test_values_of_flt_eval_method(value, taken, exported):
    x86_gcc()
    option = f"-D__FLT_EVAL_METHOD__={value}"
    _, errors = output("cc", [option, "-Wno-builtin-macro-redefined"], exported[2])
    assert ("FLT_EVAL_METHOD must be 0, 16 or 32" in errors) == (not taken)


def test_not_compiled_as_cpp(exported):
    if not shutil.which("c++"):
        pytest.skip("needs a C++ compiler")
    done = run("c++", "-c", "net.c", folder=exported[0])
    assert done.returncode and "this is C: compile it with a C compiler" in done.stderr


def test_options_end_with_the_source(exported):
    """Code after an included source is compiled as before."""
    x86_gcc()
    (exported[0] / "after.c").write_text(
        '#include "net.c"\nfloat after(float a, float b, float c) { return a * b + c; }\n'
    )
    options = ["-O2", "-mfma", "-ffp-contract=fast", "-S", "after.c", "-o", "-"]
    done = run("cc", *options, folder=exported[0])
    assert re.search(r"^after:.*?vfmadd.*?\.size\s+after", done.stdout, re.M | re.S)
