"""Timing several contenders in turn, each in a process of its own.

A round of each contender follows a round of the others, so that what the machine does
meanwhile hits all alike.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


class WorkerFailed(RuntimeError):
    """A worker could not do what it was told, and why."""


class Worker:
    """A process that serves one contender; see worker.py. It starts when first told something.

    Parameters
    ----------
    contender : str
        A backend of fastbp or a name of `peers.PEERS`.
    cores : list of int
        The process is pinned to them and uses as many threads.
    dtype : str
    package : path, optional
        Where to import fastbp from; default: as this process would.
    """

    def __init__(self, contender, cores, dtype="float32", package=None):
        self.contender = contender
        self.settings = dict(contender=contender, cores=cores, threads=len(cores), dtype=dtype)
        self.environment = dict(os.environ)
        for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
            self.environment[f"{library}_NUM_THREADS"] = str(len(cores))
        if package:
            self.environment["PYTHONPATH"] = str(package)
        self._process = None

    def _start(self):
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), json.dumps(self.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=self.environment,
        )

    def tell(self, do, **arguments):
        """One command and its answer; raises WorkerFailed. After a crash, a new process starts."""
        if self._process is None:
            self._start()
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._log.seek(0)
            last = self._log.read().strip().splitlines()[-1:] or ["no message"]
            self.close()
            raise WorkerFailed(f"the process died: {last[0]}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._log.close()
            self._process = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def interleaved(workers, workload, kind="train", rounds=7, seconds=0.1):
    """Times a step of one workload for all workers.

    Parameters
    ----------
    workers : dict of Worker
    workload : Workload
    kind : {"train", "predict", "update"}
    rounds : int
    seconds : float
        What a round should last; at least one epoch.

    Returns
    -------
    dict
        The workers' names -> figures as from `summary` with the correctness figures beside,
        or {"error": why}.
    """
    times, failed, checks = {name: [] for name in workers}, {}, {}

    def tell(name, do, **arguments):
        if name in failed:
            return {}
        try:
            return workers[name].tell(do, **arguments)
        except WorkerFailed as error:
            failed[name] = str(error)
            return {}

    for name in workers:
        tell(name, "prepare", kind=kind, workload=dataclasses.asdict(workload), seconds=seconds)
    for _ in range(rounds):
        for name in workers:
            times[name] += tell(name, "round").values()
    for name in workers:
        checks[name] = tell(name, "check").get("check", {})
    return {
        name: {"error": failed[name]} if name in failed else summary(times[name]) | checks[name]
        for name in workers
    }


def summary(times):
    """Median and quartiles of some rounds, and the rounds themselves."""
    lower, upper = times[0], times[0]
    if len(times) > 1:
        lower, _, upper = statistics.quantiles(times, n=4, method="inclusive")
    return {
        "median": statistics.median(times),
        "lower quartile": lower,
        "upper quartile": upper,
        "rounds": times,
    }


def cores_for(threads):
    """The first cores that this process may use, one a thread."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(threads))
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        raise ValueError(f"--threads {threads}, but this process may use {len(cores)} core(s)")
    return cores[:threads]
