"""Many networks at once: fit_many beside other libraries, and the search beside scikit-learn's.

    python bench/many.py           # some five minutes
    python bench/many.py --quick   # a look

Each contender is timed in processes of its own, pinned to the cores that it may use, in turn with
the others. bench/README.md says more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from measure import cores_for
from report import aligned
from workloads import Workload

# Networks, and how many. Their batches are all full, since a scan's have to be.
MANY = Workload((64, 64, 10), 32, 1792)  # of the size of the digits
TINY = Workload((8, 16, 1), 32, 1024, loss="log_loss")
CORES = {"scikit-learn": [1], "JAX, one by one": [1]}  # others: one and two
CONTENDERS = ["cython", "numba", "JAX, vmap", "JAX, one by one", "scikit-learn"]


def fastbp_many(backend, workload, models, epochs, threads, rounds):
    """Seconds of each round, outputs of the first network, bytes: of parameters, and beyond."""
    import fastbp

    X, y = workload.data()
    how = {"activation": workload.activation, "loss": workload.loss, "backend": backend}
    networks = [fastbp.Network(workload.layers, seed=seed, **how) for seed in range(models)]
    how = {"optimizer": fastbp.Adam(1e-3), "batch_size": workload.batch, "threads": threads}
    fastbp.fit_many(networks[:threads], X, y, epochs=1, **how)  # compiles
    before, times = peak(), []
    for _ in range(rounds):
        started = time.perf_counter()
        fastbp.fit_many(networks, X, y, epochs=epochs, **how)
        times.append(time.perf_counter() - started)
    kept = sum(network._engine.parameters.nbytes for network in networks)
    return times, networks[0].predict(X), kept, peak() - before


def peer_many(name, workload, models, epochs, threads, rounds):
    """The same of a peer, but for the bytes; one by one, of a single network."""
    import peers

    X, y = workload.data()
    more = {"models": models} if name == "JAX, vmap" else {}
    function = peers.scikit_learn if name == "scikit-learn" else peers.jax
    epoch, outputs = function(workload, X, y, threads, **more)
    epoch()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(epochs):
            epoch()
        times.append(time.perf_counter() - started)
    return times, outputs(X), 0, 0


def peak():
    """The most memory that the process has used so far, in bytes."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def search(threads, quick, searcher):
    """Seconds of a search in a new process, and of the same one once more; the scores."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV

    import fastbp

    warnings.simplefilter("ignore")  # not all converge in so few epochs
    os.environ["PYTHONWARNINGS"] = "ignore"
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    estimator = fastbp.MLPClassifier((64,), batch_size=32, max_iter=20, random_state=0)
    grid = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 3e-3, 1e-2]}
    if quick:
        grid = {"alpha": [1e-4, 1e-2]}
    kind = {"MLPSearchCV": fastbp.MLPSearchCV, "GridSearchCV": GridSearchCV}[searcher]
    times = []
    for _ in range(2):
        started = time.perf_counter()
        found = kind(estimator, grid, cv=5, n_jobs=threads).fit(X, y)
        times.append(time.perf_counter() - started)
    return times, found.cv_results_["mean_test_score"].tolist()


def child(task):
    """What a contender's process does; prints JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(task["threads"]))
    if "searcher" in task:
        times, scores = search(**task)
        print(json.dumps({"seconds": times, "scores": scores}))
        return
    workload, name = Workload(**task.pop("workload")), task.pop("name")
    function = fastbp_many if name in ("cython", "numba") else peer_many
    times, h, kept, memory = function(name, workload, **task)
    loss = workload.mean_loss(np.reshape(h, (workload.samples, -1)), workload.data()[1])
    print(json.dumps({"seconds": times, "loss": loss, "kept": kept, "memory": memory}))


def answer(task):
    """A task's answer from a new process, or None with a note if it failed."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, __file__, "--task", json.dumps(task)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{task.get('name', task.get('searcher'))}: {last}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def compared(workload, models, epochs, turns, contenders, rounds=2):
    """The table of one workload."""
    tasks = [
        {"name": name, "threads": cores}
        for name in contenders
        for cores in CORES.get(name, [1, 2])
        if cores <= len(os.sched_getaffinity(0))
    ]
    answers: list = [[] for _ in tasks]
    for _ in range(turns):
        for task, heard in zip(tasks, answers, strict=True):
            print(f"{models} x {workload.name}: {task['name']}", file=sys.stderr)
            count = 1 if task["name"] in CORES else models
            what = {"workload": vars(workload), "models": count, "epochs": epochs, "rounds": rounds}
            heard.append(answer({**task, **what}))
    lines = [["", "cores", "µs a step and network", "loss", "memory"]]
    figures = {}
    for task, heard in zip(tasks, answers, strict=True):
        heard = [one for one in heard if one]
        if not heard:
            continue
        count = 1 if task["name"] in CORES else models
        steps = count * epochs * workload.steps
        each = [seconds / steps for one in heard for seconds in one["seconds"]]
        took = statistics.median(each)
        figures[f"{task['name']}, {task['threads']}"] = took
        memory = ""
        if task["name"] == "cython":  # compiling with Numba takes more than training
            memory = f"{heard[0]['kept'] / 1e6:.1f} MB + {heard[0]['memory'] / 1e6:.1f} MB"
        spread = (max(each) - min(each)) / 2 * 1e6
        time_of_step = f"{took * 1e6:.2f} ± {spread:.2f}"
        loss = f"{heard[0]['loss']:.3f}"
        lines.append([task["name"], str(task["threads"]), time_of_step, loss, memory])
    print(f"\n{models} networks {workload.name}, Adam, {workload.samples} samples")
    print(aligned(lines))
    print(f"loss: of the first network after {rounds * epochs} epochs (peers: and one to warm up)")
    print("memory: of the networks' parameters, and what fit_many needed beside them")
    return figures


def searches(threads, quick, turns):
    """The table of the searches."""
    names = ["MLPSearchCV", "GridSearchCV"]
    heard: dict = {name: [] for name in names}
    for _ in range(turns):
        for name in names:
            print(name, file=sys.stderr)
            heard[name].append(answer({"searcher": name, "threads": threads, "quick": quick}))
    if None in [*heard["MLPSearchCV"], *heard["GridSearchCV"]]:
        return {}
    first, again = (
        {name: statistics.median(one["seconds"][k] for one in heard[name]) for name in names}
        for k in (0, 1)
    )
    same = all(one["scores"] == heard[names[0]][0]["scores"] for n in names for one in heard[n])
    print(f"\nA search of the digits' parameters, n_jobs={threads}")
    lines = [["", *names, "ratio"]]
    for title, took in (("in a new process", first), ("once more", again)):
        ratio = took["GridSearchCV"] / took["MLPSearchCV"]
        lines.append([title, *[f"{took[name]:.2f} s" for name in names], f"{ratio:.1f}"])
    print(aligned(lines))
    print(f"all scores are the same: {same}")
    return {"in a new process": first, "once more": again, "same scores": same}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few networks, one turn")
    parser.add_argument("--output", metavar="FILE", help="write the figures as JSON, too")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.task:
        return child(json.loads(options.task))
    turns = 1 if options.quick else 3
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    many, tiny = (8, 100) if options.quick else (256, 10_000)
    results = {
        "many": compared(MANY, many, 2 if options.quick else 10, turns, CONTENDERS),
        "tiny": compared(TINY, tiny, 2 if options.quick else 10, turns, CONTENDERS[:3]),
        "search": searches(min(2, cores), options.quick, turns),
    }
    if options.output:
        from fastbp.basis import writing

        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
