"""Train, save, load and predict from many threads for minutes, and watch that nothing goes wrong.

    python tools/soak.py [--minutes 5] [--threads 8] [--backend cython]

Each thread draws a network and data, trains it, saves it, loads it and compares the predictions of
both, to the bit. All threads overwrite and load one more file, which has to be a whole one at any
moment, and predict with one network that they share. Memory in use is printed every ten seconds;
the program fails on any difference, any error, and where memory has grown.
"""

import argparse
import gc
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

import fastbp

# Memory after the first tenth of the time may grow by this much until the end.
MOST_GROWTH = 32 << 20
LOSSES = ("squared_error", "log_loss", "cross_entropy")
ACTIVATIONS = ("relu", "tanh", "gelu")


class Soak:
    """What the threads share.

    Parameters
    ----------
    folder : Path
    backend : str or None
    """

    def __init__(self, folder, backend):
        self.folder, self.backend = folder, backend
        self.shared = fastbp.Network([6, 40, 3], loss="squared_error", seed=0, backend=backend)
        self.X = np.random.default_rng(0).standard_normal((300, 6), np.float32)
        self.expected = self.shared.predict(self.X)
        self.one_file = folder / "shared.fastbp"
        self.shared.save(self.one_file)
        self.done = Counter()
        self.problems = []
        self.stop = threading.Event()

    def work(self, rank):
        """What one thread does until all are told to stop."""
        rng = np.random.default_rng(rank)
        try:
            while not self.stop.is_set():
                self.round(rng, self.folder / f"{rank}.fastbp")
        except BaseException:
            self.problems.append(traceback.format_exc())
            self.stop.set()

    def round(self, rng, path):
        loss = str(rng.choice(LOSSES))
        hidden = [int(n) for n in rng.integers(1, 40, rng.integers(0, 4))]
        net = fastbp.Network(
            [5, *hidden, 3],
            activation=str(rng.choice(ACTIVATIONS)),
            loss=loss,
            dtype=str(rng.choice(["float32", "float64"])),
            seed=int(rng.integers(1 << 30)),
            backend=self.backend,
        )
        n = int(rng.integers(1, 500))
        X = rng.standard_normal((n, 5))
        y = rng.integers(0, 2, (n, 3)) if loss != "cross_entropy" else rng.integers(0, 3, n)
        net.fit(X, y, epochs=int(rng.integers(1, 20)), threads=int(rng.integers(1, 3)))
        net.save(path)
        again = fastbp.Network.load(path, backend=self.backend)
        self.check("a loaded network predicts otherwise", again.predict(X), net.predict(X))
        if rng.random() < 0.3:
            self.shared.save(self.one_file)
        other = fastbp.Network.load(self.one_file, backend=self.backend)
        self.check("the shared file holds another network", other.predict(self.X), self.expected)
        self.check(
            "the shared network predicts otherwise", self.shared.predict(self.X), self.expected
        )
        self.done["rounds"] += 1

    def check(self, problem, found, expected):
        if not np.array_equal(found, expected):
            self.problems.append(problem)
            self.stop.set()


def memory():
    """Bytes of this process in memory (Linux)."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--backend", help="default: the one that Network would take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), options.backend)
        threads = [threading.Thread(target=soak.work, args=(i,)) for i in range(options.threads)]
        for thread in threads:
            thread.start()
        start = time.monotonic()
        seconds, settled, shown = 60 * options.minutes, None, 0.0
        while (passed := time.monotonic() - start) < seconds and not soak.stop.is_set():
            soak.stop.wait(0.5)
            if settled is None and passed > seconds / 10:
                settled = memory()
            if passed - shown >= 10:
                shown = passed
                print(f"{passed:5.0f} s  {soak.done['rounds']:7d} rounds  {memory() >> 20} MiB")
        soak.stop.set()
        for thread in threads:
            thread.join()
    growth = memory() - (settled or memory())
    if growth > MOST_GROWTH:
        soak.problems.append(f"memory has grown by {growth >> 20} MiB")
    print(
        f"{soak.done['rounds']} rounds on {soak.shared.backend}, memory grown by {growth >> 20} MiB"
    )
    for problem in soak.problems:
        print(problem, file=sys.stderr)
    return bool(soak.problems)


if __name__ == "__main__":
    sys.exit(main())
