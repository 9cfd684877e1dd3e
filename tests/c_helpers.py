"""Exported C, compiled and called."""

import ctypes
import re
import shutil
import subprocess

import numpy as np

CC = shutil.which("cc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
# As a user may: the compiler's own dialect of C, in which it may fuse what it likes.
FAST = ["-O3", "-march=native"]


def run(*command, folder):
    """The finished command, which must not print an error."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return done


class Library:
    """The sources in a folder as one shared library."""

    def __init__(self, folder, *options, compiler=CC):
        sources = sorted(p.name for p in folder.glob("*.c") if not p.stem.endswith("_test"))
        name = f"library_{len(list(folder.iterdir()))}.so"  # a name is loaded only once
        run(compiler, *options, "-fPIC", "-shared", *sources, "-o", name, folder=folder)
        self._library = ctypes.CDLL(str(folder / name))
        self._headers = "".join(p.read_text() for p in folder.glob("*.h"))

    def size(self, macro):
        """A number that a header defines."""
        return int(re.search(rf"#define {macro} (\d+)", self._headers)[1])

    def constants(self, name, n):
        """A copy of an array of floats."""
        return np.array((ctypes.c_float * n).in_dll(self._library, name))

    def call(self, name, *arguments):
        """Call a function with arrays, and with floats."""
        function = getattr(self._library, name)
        function.restype = None
        function(
            *(
                ctypes.c_float(a)
                if isinstance(a, float)
                else np.ctypeslib.as_ctypes(a)
                if a.flags.c_contiguous
                else None
                for a in arguments
            )
        )
