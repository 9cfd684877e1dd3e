"""Has fastbp become slower? Two commits side by side in one run, compared by ratio.

    python bench/gate.py BASE [HEAD]

Each commit is unpacked into a temporary folder and built there. Rounds of both take turns on
one core, so that a busy machine slows both alike; what counts is the ratio of a round to the
other's round beside it.
"""

import argparse
import contextlib
import dataclasses
import io
import math
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from measure import HERE, Worker, WorkerFailed, cores_for
from report import aligned
from workloads import WORKLOADS


def main(arguments=None):
    """Compare; the exit code is 1 if a workload has become slower, 2 if comparing failed."""
    options = _options(arguments)
    core = cores_for(1)
    slower = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        try:
            trees = [
                unpack(commit, Path(folder, side))
                for side, commit in (("base", options.base), ("head", options.head))
            ]
            for tree in trees:
                if "cython" in options.backends:
                    build(tree)
            lines = [["head / base", *options.backends]]
            pairs = {
                backend: [stack.enter_context(Worker(backend, core, package=t)) for t in trees]
                for backend in options.backends
            }
            for workload in WORKLOADS:
                if options.workloads not in workload.name:
                    continue
                print(f"timing {workload.name}", file=sys.stderr)
                line = [workload.name]
                for backend, workers in pairs.items():
                    result = compare(workers, workload, options)
                    line.append(str(result))
                    if result.slower(options.tolerance):
                        slower.append(f"{backend}, {workload.name}: {result}")
                lines.append(line)
        except (WorkerFailed, ValueError, OSError) as error:
            print(f"gate: {error}", file=sys.stderr)
            return 2
    print(aligned(lines))
    print("\nMedian ratio of time a step, and where it lies with 95 % confidence.")
    if slower:
        print(f"\nslower than {options.base} by more than {options.tolerance:.0%}:")
        print("\n".join(slower))
    return 1 if slower else 0


def _options(arguments):
    parser = argparse.ArgumentParser(
        description="Compare the speed of two commits; exit with 1 if HEAD is slower than BASE.",
        epilog="example: python bench/gate.py main --tolerance 0.05",
    )
    parser.add_argument("base", metavar="BASE", help="a commit, branch or tag")
    parser.add_argument(
        "head", metavar="HEAD", nargs="?", default="HEAD", help="default: %(default)s"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.10,
        help="how much slower is not yet worse, beyond the noise (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=15, help="at least 6 (default: %(default)s)")
    parser.add_argument(
        "--workloads", default="", metavar="TEXT", help="only those with TEXT in their name"
    )
    parser.add_argument(
        "--backend",
        dest="backends",
        action="append",
        choices=["cython", "numba"],
        help="this one only (default: both; Numba compiles twice, for a minute)",
    )
    options = parser.parse_args(arguments)
    options.backends = options.backends or ["cython", "numba"]
    if options.rounds < 6:
        parser.error("--rounds: fewer than 6 say nothing with 95 % confidence")
    if not any(options.workloads in workload.name for workload in WORKLOADS):
        parser.error(f"--workloads: none has {options.workloads!r} in its name")
    return options


def unpack(commit, folder):
    """The files of a commit, in a new folder."""
    print(f"unpacking {commit}", file=sys.stderr)
    command = ["git", "-C", str(HERE.parent), "archive", "--format=tar", commit]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip())
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def build(tree):
    """Build the Cython kernels in place."""
    print(f"building {tree.name}", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=tree,
        env={**os.environ, "FASTBP_REQUIRE_CYTHON": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise ValueError(f"{tree.name} cannot be built (are setuptools and cython there?):\n{last}")


def compare(workers, workload, options):
    """The ratio of head to base. If it looks slower, the ratio in new processes decides.

    Where memory happens to lie makes some per cent in a process, which no number of rounds in
    the same process averages out.
    """
    result = Ratio.of(paired_ratios(workers, workload, options.rounds))
    if result.slower(options.tolerance):
        for worker in workers:
            worker.close()  # starts anew when next told something
        result = Ratio.of(paired_ratios(workers, workload, options.rounds))
    return result


def paired_ratios(workers, workload, rounds):
    """Head's time over base's, round by round; who goes first alternates."""
    for worker in workers:
        where = worker.tell("where")["fastbp"]
        package = worker.environment["PYTHONPATH"]
        if not Path(where).resolve().is_relative_to(Path(package).resolve()):
            raise ValueError(f"fastbp came from {where}, not from {package}")
        job = dict(kind="train", workload=dataclasses.asdict(workload), seconds=0.1)
        worker.tell("prepare", **job)
    base, head = workers
    ratios = []
    for i in range(rounds):
        if i % 2:
            after, before = head.tell("round"), base.tell("round")
        else:
            before, after = base.tell("round"), head.tell("round")
        ratios.append(after["seconds"] / before["seconds"])
    return ratios


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A median with an interval that holds the true one with 95 % confidence."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios):
        """The interval lies between two of the sorted ratios.

        Each ratio is as likely above the true median as below it, so the k-th smallest of n is
        above it with the probability that fewer than k of n tosses of a coin show heads.
        """
        ordered, n = sorted(ratios), len(ratios)
        k = 0
        while sum(math.comb(n, j) for j in range(k + 1)) / 2**n <= 0.025:
            k += 1
        if k == 0:
            raise ValueError(f"{n} ratios are too few for 95 % confidence")
        return cls(statistics.median(ordered), ordered[k - 1], ordered[n - k])

    def slower(self, tolerance):
        """Whether it is above 1 + tolerance, noise considered."""
        return self.low > 1 + tolerance

    def __str__(self):
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
