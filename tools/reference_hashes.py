"""Write tests/reference_hashes.json anew: what trained networks come out as, to the bit.

To be run after an intended change of the bits, which CHANGELOG.md should mention. The cases are
in tests/reference_cases.py; tests/backends/test_reference_hashes.py compares with the table.

Run: python tools/reference_hashes.py
With --print BACKEND [THREADS ...] it only prints what that backend gives: a table for each
number of threads.
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import reference_cases  # noqa: E402

from fastbp import backends  # noqa: E402
from fastbp.basis import writing  # noqa: E402


def exact_backend():
    """The name of a compiled backend with fused multiply-adds, which the others agree with."""
    try:
        if backends.get("cython").KERNELS[np.dtype("float32")].HAS_FMA:
            return "cython"
    except backends.BackendUnavailable:
        pass
    return "numba"


def write():
    name = exact_backend()
    path = reference_cases.TABLE
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    now = reference_cases.table(name)
    lines = [f"  {json.dumps(case)}: {json.dumps(hashes)}" for case, hashes in now.items()]
    writing.write(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    changed = len(reference_cases.differences(now, before))
    print(f"{path.name}: {len(now)} cases from {backends.get(name).describe()}, {changed} changed")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--print"]:
        backend, *threads = sys.argv[2:]
        numbers = [int(number) for number in threads] or [None]
        print(json.dumps([reference_cases.table(backend, number) for number in numbers]))
    else:
        write()
