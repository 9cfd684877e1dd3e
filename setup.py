"""Builds the Cython kernels: one extension module per processor and precision.

Environment variables: FASTBP_NO_CYTHON=1 skips the build, FASTBP_REQUIRE_CYTHON=1 turns a
failed one into an error, FASTBP_CYTHON_DEBUG=1 builds with checks of every memory range.
Everything else about the package is in pyproject.toml.
"""

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("FASTBP_CYTHON_DEBUG") == "1"
REQUIRED = os.environ.get("FASTBP_REQUIRE_CYTHON") == "1"
SKIPPED = os.environ.get("FASTBP_NO_CYTHON") == "1"

# All of these stand behind the user's CFLAGS and win over them.
COMPILE = [
    # Fast-math would delete the checks for NaN ... (First: it undoes some of the next ones.)
    "-fno-fast-math",
    "-O3",
    "-ffp-contract=off",  # a fused multiply-add only where the source says so: same bits
    "-fno-math-errno",  # sqrt is an instruction, not a call that may set errno
    "-fno-trapping-math",  # nobody looks at exception flags, so selects may be branch-free
    "-g0",  # Python's own flags ask for debug information, ten times the size of the code
    "-Wno-psabi",  # notes on passing vectors to functions, all of which are inlined
]
# ... and, at link time, switch denormals off for the whole process, as -Ofast does too.
LINK = ["-O3", "-fno-fast-math", "-fno-unsafe-math-optimizations"]
# Else GCC no longer specialises the products for the strides with which passes call them, once a
# module is larger than it likes: some steps would take 5 % longer. Not all compilers know it.
SPECIALISE = "--param=ipa-cp-unit-growth=200"
# Else GCC leaves exp and the like as calls, with AVX2's vectors passed through memory.
INLINE = ("CYTHON_INLINE", "inline __attribute__((always_inline))")

GENERATED = Path("build", "cython")
# Cython is not made for threads. (The compiler works on one module while Cython writes the next.)
TRANSLATING = threading.Lock()

BUILDS = {"baseline": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    BUILDS["avx2"] = ["-mavx2", "-mfma"]
    BUILDS["avx512"] = [
        *("-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"),
        "-mprefer-vector-width=512",  # some processors' defaults would halve the registers
    ]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": DEBUG,
    "freethreading_compatible": True,
}


def extensions():
    """The modules to build, or none if that is not wanted or Cython is missing."""
    if SKIPPED:
        return []
    try:
        import Cython  # noqa: F401 - setuptools looks for it, too
        import numpy
    except ImportError as error:
        if REQUIRED:
            raise
        notice(f"{error.name} is not installed")
        return []
    GENERATED.mkdir(parents=True, exist_ok=True)
    modules = [
        Extension(
            "fastbp.backends._cpu",
            ["src_cython/_cpu.pyx"],
            extra_compile_args=COMPILE,
            extra_link_args=LINK,
        )
    ]
    for cpu, flags in BUILDS.items():
        for precision in ("f4", "f8"):
            name = f"_kernels_{cpu}_{precision}"
            # A module of its own name for each, all with the same content.
            source = GENERATED / f"{name}.pyx"
            text = '# cython: language_level=3\ninclude "kernels.pxi"\n'
            if not source.exists() or source.read_text() != text:
                source.write_text(text)
            macros = [INLINE]
            macros += [("FASTBP_DOUBLE", "1")] if precision == "f8" else []
            macros += [("FASTBP_CHECK", "1")] if DEBUG else []
            modules.append(
                Extension(
                    f"fastbp.backends.{name}",
                    [str(source)],
                    include_dirs=["src_cython", numpy.get_include()],
                    define_macros=macros,
                    extra_compile_args=[*flags, *COMPILE],
                    extra_link_args=LINK,
                    depends=[str(path) for path in Path("src_cython").glob("*.[ph]*")],
                )
            )
    return modules


def translate(extension):
    """Have Cython write the C code of a module, which becomes its source."""
    from Cython.Build import cythonize

    with TRANSLATING:
        (translated,) = cythonize(
            [extension],
            build_dir=str(GENERATED),
            include_path=["src_cython"],
            compiler_directives=DIRECTIVES,
            force=True,  # Cython does not see that an included file has changed
        )
    extension.sources = translated.sources


def notice(why):
    print(
        f"\nfastbp: the Cython kernels were not built: {why}.\n"
        "fastbp works without them, on Numba. To have them, install a C compiler and install "
        "fastbp again.\n",
        file=sys.stderr,
    )


class OptionalBuild(build_ext):
    """A build on all cores that may fail, unless FASTBP_REQUIRE_CYTHON=1."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True

    def build_extensions(self):
        if self._compiler_takes(SPECIALISE):
            for extension in self.extensions:
                extension.extra_compile_args.append(SPECIALISE)
        super().build_extensions()

    def _compiler_takes(self, option):
        command = getattr(self.compiler, "compiler", None) or ["cc"]
        try:
            done = subprocess.run(
                [*command, option, "-E", "-x", "c", os.devnull], capture_output=True
            )
        except OSError:
            return False
        return done.returncode == 0

    def build_extension(self, extension):
        try:
            translate(extension)
            super().build_extension(extension)
        except Exception as error:
            if REQUIRED:
                raise
            notice(f"{extension.name}: {error}")
            extension.optional = True  # or an in-place build stops when it copies the modules


setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuild})
