"""One contender in a process of its own: prepares jobs and times rounds as it is told.

`measure.Worker` starts it and talks to it: one JSON object a line on standard input, one line
of answer each. Whatever the libraries print goes to standard error instead.

    {"do": "prepare", "kind": ..., "workload": ..., "seconds": ...}  ->  {"repeats": ...}
    {"do": "round"}  ->  {"seconds": seconds a step}
    {"do": "check"}  ->  {"check": the correctness figures}
    {"do": "peak"}   ->  the figures of `peak.measure`
    {"do": "where"}  ->  {"fastbp": path}
    {"do": "prepare_calls"}  ->  {}
    {"do": "round_of_calls"}  ->  as from `calls.Calls.round`

or {"error": why}. A job's kind is train, predict or update.
"""

import json
import os
import sys
import time
import traceback

SETTINGS = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
# Before anything that starts threads is imported.
if SETTINGS and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, SETTINGS["cores"])

import inspect  # noqa: E402

import numpy as np  # noqa: E402
from peers import PEERS  # noqa: E402
from workloads import Workload  # noqa: E402

# More than rounding makes of an epoch.
LARGEST_DIFFERENCE = 1e-2


class Skip(Exception):
    """A contender cannot do a job, and why."""


def fastbp_backend(workload, X, y, threads, backend):
    """(train, predict, update, checks): the functions that jobs time, and checks by kind of job."""
    import fastbp

    options = dict(batch_size=workload.batch)
    optimizer = {"adam": fastbp.Adam, "sgd": fastbp.SGD}[workload.optimizer]
    options["optimizer"] = optimizer(1e-3)
    reference = _network(workload, X.dtype, "numpy")
    net = _network(workload, X.dtype, backend)
    if "threads" in inspect.signature(net.fit).parameters:
        options["threads"] = threads

    def train(epochs):
        net.fit(X, y, epochs=epochs, **options)

    def update():
        if not hasattr(net, "fit_step"):
            raise Skip("this fastbp has no Network.fit_step")
        net.fit_step(X, y)

    def check():
        """One epoch from the same seed has to end where the reference does."""
        train(1)
        reference.fit(X, y, epochs=1, batch_size=workload.batch, optimizer=options["optimizer"])
        return _difference(net.predict(X), reference.predict(X))

    def check_prediction():
        return _difference(net.predict(X), reference.predict(X))

    return train, net.predict, update, {"train": check, "predict": check_prediction}


def _network(workload, dtype, backend):
    import fastbp

    settings = dict(activation=workload.activation, loss=workload.loss, dtype=dtype, seed=0)
    return fastbp.Network(workload.layers, backend=backend, **settings)


def _difference(outputs, reference):
    return {"largest difference from NumPy": float(np.abs(outputs - reference).max())}


def peer(workload, X, y, threads, name):
    """The same of another library; its losses are its check."""
    epoch, outputs = PEERS[name][0](workload, X, y, threads)

    def train(epochs):
        for _ in range(epochs):
            epoch()

    if epoch is None:  # it only predicts, the same network as the reference
        reference = _network(workload, X.dtype, "numpy")
        return (
            None,
            outputs,
            None,
            {"predict": lambda: _difference(outputs(X), reference.predict(X))},
        )
    return train, outputs, epoch, {}


class Job:
    """What is timed: training, prediction or one update, of one contender.

    A repeat is an epoch of `units` steps, or one call.
    """

    def __init__(self, contender, threads, kind, workload, dtype):
        workload = Workload(**{**workload, "layers": tuple(workload["layers"])})
        X, y = workload.data(dtype)
        make = peer if contender in PEERS else fastbp_backend
        train, predict, update, checks = make(workload, X, y, threads, contender)
        self.units = workload.steps if kind == "train" else 1
        self._check, self._losses = {}, None
        if kind == "train" and make is peer:
            self._losses = lambda: workload.mean_loss(predict(X), y)
            self._check["loss before"] = self._losses()
        if kind in checks:
            self._check |= checks[kind]()

        def repeat(repeats):
            if kind == "train":
                return train(repeats)
            for _ in range(repeats):
                predict(X) if kind == "predict" else update()

        self._repeat = repeat

    def seconds(self, repeats):
        """Seconds that so many repeats take."""
        started = time.perf_counter()
        self._repeat(repeats)
        return time.perf_counter() - started

    def repeats(self, seconds):
        """How many repeats take about that long; warms up on the way."""
        self.seconds(1)
        repeats = 1
        while (taken := self.seconds(repeats)) < seconds / 5:
            repeats *= 4
        return max(1, round(repeats * seconds / taken))

    def check(self):
        """The correctness figures; raises Skip where they say that the times are worth nothing."""
        figures = dict(self._check)
        if self._losses:
            before, after = figures["loss before"], self._losses()
            figures["loss after"] = after
            if not after < before:
                raise Skip(f"it does not train: the loss went from {before:.3g} to {after:.3g}")
        difference = figures.get("largest difference from NumPy", 0.0)
        if not difference < LARGEST_DIFFERENCE:
            raise Skip(f"wrong outputs: they differ from the NumPy reference's by {difference:.3g}")
        return figures


class Service:
    """The commands."""

    def __init__(self, settings):
        self.settings = settings
        self.job, self.count = None, 1

    def prepare(self, kind, workload, seconds):
        settings = self.settings
        self.job = None  # frees the memory of the last one
        self.job = Job(
            settings["contender"], settings["threads"], kind, workload, settings["dtype"]
        )
        self.count = self.job.repeats(seconds)
        return {"repeats": self.count}

    def round(self):
        return {"seconds": self.job.seconds(self.count) / self.count / self.job.units}

    def check(self):
        return {"check": self.job.check()}

    def peak(self):
        import peak

        return peak.measure(self.settings["threads"])

    def prepare_calls(self):
        import calls

        self.calls = calls.Calls(self.settings["contender"])
        return {}

    def round_of_calls(self):
        return self.calls.round()

    def where(self):
        import fastbp

        return {"fastbp": fastbp.__file__}


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    service = Service(SETTINGS)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(service, command.pop("do"))(**command)
        except Skip as reason:
            answer = {"error": str(reason)}
        except Exception as error:
            traceback.print_exc()
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            answer = {"error": f"{type(error).__name__}: {text}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
