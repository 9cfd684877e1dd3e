"""Feed broken files to everything that loads: each ends in a model, or in a ValueError.

    python tools/fuzz_load.py --inputs 100000 --seed 1     # seeded mutations of the corpus
    python tools/fuzz_load.py --guided --inputs 1000000 --found FOLDER   # by coverage, with atheris
    python tools/fuzz_load.py --keep FOLDER                # put what that found into the corpus

Any other exception, a crash, or more memory than --megabytes on top of what the libraries take ends
the run; the input is left in a file. The corpus is tests/data/fuzz: small whole files, which
--corpus makes anew, and in found.zip inputs with which atheris reached further lines.
"""

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

os.environ.setdefault("FASTBP_BACKEND", "numpy")
CORPUS = Path(__file__).parents[1] / "tests" / "data" / "fuzz"
FOUND = CORPUS / "found.zip"
# What stands in the place of other values.
VALUES = [
    *(None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30),
    *(0.5, 1.0, -0.0, 1e-320, 1e308, "", "a", "ab", "\ud800", "\0", "inf", "nan", "drop"),
    *("passthrough", "float32", "float64", "object", "str", "int8", "bool", "relu", "huber"),
    *([], {}, [[]], [{}], {"number": "nan"}, {"number": "inf"}, {"tuple": []}, {"tuple": [[1]]}),
    *({"dict": []}, {"dict": [[1, 2]]}, {"dtype": "float32"}, {"EMA": {"decay": 0.5}}),
    {"dtype": "object", "values": [None, {"number": "nan"}]},
    {"dtype": "float64", "values": [1.0, 2.0]},
]


def places(node):
    """Every (container, key) in a document."""
    found = []
    waiting = [node]
    while waiting:
        container = waiting.pop()
        keys = container.keys() if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], (dict, list)):
                waiting.append(container[key])
    return found


def copied(value):
    return json.loads(json.dumps(value))


def change(document, rng):
    """Change one place of a document."""
    every = places(document)
    if not every:
        return
    container, key = rng.choice(every)
    kind = rng.randrange(7)
    if kind == 0:
        del container[key]
    elif kind == 1:
        other, its = rng.choice(every)
        container[key] = copied(other[its])
    elif kind == 2 and isinstance(container, list):
        container.insert(key, copied(container[key]))
    elif kind == 3 and isinstance(container, dict):
        container[str(rng.choice(VALUES))] = container.pop(key)
    elif kind == 4 and isinstance(container[key], (int, float)):
        container[key] = container[key] * rng.choice([-1, 2, 0.5]) + rng.choice([-1, 0, 1])
    else:
        container[key] = copied(rng.choice(VALUES))


def mutate_structure(content, rng):
    """Change the document, the table of tensors or the numbers, and put the file together again."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    body = bytearray(content[8 + length :])
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        kind = rng.randrange(8)
        if kind == 0:
            change(header, rng)
        elif kind == 1 and body:
            start = rng.randrange(len(body))
            special = [b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff" * 8, bytes(8), rng.randbytes(8)]
            body[start : start + 8] = rng.choice(special)
        elif kind == 2:
            names = [name for name in header if name != "__metadata__"]
            if len(names) > 1:
                a, b = rng.sample(names, 2)
                header[a], header[b] = header[b], header[a]
        else:
            document = json.loads(header["__metadata__"]["fastbp"])
            change(document, rng)
            header["__metadata__"]["fastbp"] = json.dumps(document)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(body)


def mutate_bytes(content, rng, corpus):
    """Change bytes, wherever they are."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2:
            del data[at : at + rng.randrange(1, 64)]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            other = rng.choice(corpus)
            start = rng.randrange(len(other) + 1)
            data[at : at + 64] = other[start : start + 64]
        elif at < len(data):
            data[at] = rng.choice(b'{}[]",:0129eE-.\\tfn\xff\0')
    return bytes(data)


def mutate(content, rng, corpus):
    """Another input of one that may be broken already."""
    if rng.random() < 0.75:
        try:
            return mutate_structure(content, rng)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            pass  # it is broken
        except RecursionError:
            pass
    return mutate_bytes(content, rng, corpus)


class Target:
    """What is tried with each input; counts what became of them."""

    def __init__(self):
        import numpy as np

        from fastbp.files import file
        from fastbp.network.network import Network
        from fastbp.persistence import models
        from fastbp.training import checkpoint

        self.np, self.network = np, Network
        self.file, self.models, self.checkpoint = file, models, checkpoint
        self.counts = {"models": 0, "refused": 0}
        self.start = time.monotonic()
        net, given = training()
        # A training at its beginning, to be put where each checkpoint says.
        self.states = []

        class Keep(checkpoint.Checkpoint):
            def begin(keeper, network, history):
                self.states.append(keeper._state)
                raise StopIteration

        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(StopIteration):
            net.fit(callbacks=[Keep(folder)], **given)

    def __call__(self, content):
        n = sum(self.counts.values())
        if n and n % 100_000 == 0:
            self.report()
        try:
            model = self.models.model_of(*self.file.parse(content))
            self.use(model)
            if b"checkpoint" in content:
                self.resume(content)
        except ValueError:
            self.counts["refused"] += 1
            return
        self.counts["models"] += 1

    def report(self):
        n = sum(self.counts.values())
        rate = n / (time.monotonic() - self.start)
        print(f"{n} inputs, {rate:.0f} a second: {self.counts}", flush=True)

    def use(self, model):
        """Predict with it, which must not crash; what it raises of itself is another matter."""
        if isinstance(model, self.network):
            n = model.layout.sizes[0]
            out = model.predict(self.np.zeros((2, n)))
            assert out.shape == (2, model.layout.sizes[-1])
            return
        members = getattr(model, "estimators_", [model])
        lasts = [member[-1] if hasattr(member, "steps") else member for member in members]
        if any(last.backend == "numba" for last in lasts):  # which would have to be compiled
            return
        if len(members) > 1:
            model.set_params(n_jobs=1)
        try:
            X = self.np.zeros((2, model.n_features_in_))
            model.predict(X)
            model.predict(X.astype(object))
        except Exception:
            pass

    def resume(self, content):
        """Go on with the training of a checkpoint, if it is one."""
        state = self.states[0]
        document, tensors = self.file.parse(content)
        document.setdefault("training", {})
        saved = self.checkpoint.saved_of(document, tensors, state.arguments)
        for figures in state.figures().values():
            figures.clear()
        saved.restore(state)


def training():
    """A network and arguments of fit whose checkpoint has a bit of everything."""
    import numpy as np

    import fastbp

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 2)), rng.normal(size=(12, 1))
    net = fastbp.Network([2, 2, 1], loss="huber", backend="numpy", seed=0)
    return net, {
        **{"X": X, "y": y, "epochs": 2, "patience": 2, "dropout": 0.2, "average": fastbp.EMA(0.5)},
        **{"validation_data": (X, y), "schedule": fastbp.ReduceOnPlateau(patience=1)},
    }


def make_corpus():
    """Small files of every kind."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

    import fastbp

    warnings.simplefilter("ignore")
    CORPUS.mkdir(parents=True, exist_ok=True)
    X = np.array([[0.0, 1.0, 1.0], [1.0, np.nan, 2.0], [2.0, 1.5, 1.0], [0.5, 0.0, 3.0]])
    y = np.array(["a", "b", "a", "c"])
    small = {"hidden_layer_sizes": (2,), "max_iter": 2, "random_state": 0, "backend": "numpy"}
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [("n", numbers, [0, 1]), ("c", OneHotEncoder(handle_unknown="ignore"), [2])],
        remainder="passthrough",
    )
    net, given = training()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = fastbp.Checkpoint(folder)
        net.fit(callbacks=[checkpoint], **given)
        (CORPUS / "checkpoint").write_bytes(checkpoint.newest().read_bytes())
    net.save(CORPUS / "network")
    wide = fastbp.Network(
        [3, 2, 1, 2], loss="cross_entropy", dtype="float64", seed=0, backend="numpy"
    )
    wide.save(CORPUS / "network-float64")
    models = {
        "classifier": fastbp.MLPClassifier(class_weight={"a": 2.0}, **small),
        "regressor": fastbp.MLPRegressor(schedule=fastbp.OneCycle(), early_stopping=True, **small),
        "lbfgs": fastbp.MLPRegressor(solver="lbfgs", loss="quantile", **small),
    }
    filled = np.nan_to_num(X)
    for name, model in models.items():
        target = y if name == "classifier" else np.arange(4.0)
        rows = np.repeat(np.arange(4), 6)
        fastbp.save(model.fit(filled[rows], target[rows]), CORPUS / name)
    words = X.astype(object)
    words[:, 2] = ["x", "y", None, "x"]
    last = fastbp.MLPClassifier(**small)
    fastbp.save(make_pipeline(columns, last).fit(X, y), CORPUS / "pipeline")
    chosen = ColumnTransformer(
        [("c", OneHotEncoder(drop="if_binary"), [2]), ("m", MinMaxScaler(), [0])],
    )
    fastbp.save(make_pipeline(chosen, last).fit(words, y), CORPUS / "pipeline-words")
    for name, member in (
        ("ensemble", last),
        ("ensemble-pipelines", make_pipeline(MinMaxScaler(), last)),
    ):
        ensemble = fastbp.MLPEnsembleClassifier(member, 2, bootstrap=True, random_state=0)
        fastbp.save(ensemble.fit(filled, y), CORPUS / name)
    of_tables = fastbp.TabularClassifier(random_state=0, backend="numpy")
    small_recipes()
    table = np.array([[i, "ab"[i % 2], i % 3] for i in range(24)], object)
    fastbp.save(of_tables.fit(table, np.arange(24) % 2), CORPUS / "tabular")


def small_recipes():
    """Make the models for tables small, for this process."""
    import dataclasses

    from fastbp.tabular import recipes, trials

    every = [
        dataclasses.replace(recipe, hidden=(2,), bins=2 * bool(recipe.bins), epochs=1)
        for recipe in (recipes.SCOUT, *recipes.OTHERS)
    ]
    trials.FOLDS, trials.ROUNDS = 2, 0
    recipes.SCOUT, recipes.OTHERS = every[0], tuple(every[1:])


def keep(folder):
    """Put the files of a folder into the corpus, in one archive that is the same every time."""
    with zipfile.ZipFile(FOUND, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())


def limit_memory(megabytes):
    """Limit the process to so much more memory than it has now."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def seeded(target, corpus, inputs, seed):
    rng = random.Random(seed)
    pool = list(corpus)
    for number in range(inputs):
        content = mutate(rng.choice(pool), rng, corpus)
        if rng.random() < 0.02:  # mutations of mutations
            pool = [*corpus, *pool[len(corpus) :][-30:], content]
        try:
            target(content)
        except BaseException:
            name = f"fuzz-failure-{seed}-{number}"
            Path(name).write_bytes(content)
            print(f"the input that failed is in {name}", file=sys.stderr)
            raise


def guided(target, corpus, inputs, seed, folder):
    import atheris

    def mutator(data, max_size, number):
        rng = random.Random(number)
        if rng.random() < 0.3:
            return atheris.Mutate(data, max_size)
        base = data if len(data) > 8 and rng.random() < 0.8 else rng.choice(corpus)
        return mutate(base, rng, corpus)[:max_size]

    arguments = [sys.argv[0], f"-runs={inputs}", f"-seed={seed}", "-max_len=20000"]
    arguments += ["-rss_limit_mb=0", "-print_final_stats=1", str(folder), str(CORPUS)]
    atheris.Setup(arguments, target, custom_mutator=mutator)
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--found", type=Path, help="where atheris keeps inputs of new coverage")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--corpus", action="store_true")
    options = parser.parse_args()
    if options.corpus:
        make_corpus()
        return
    if options.keep:
        keep(options.keep)
        return
    warnings.simplefilter("ignore")
    if options.guided:
        import atheris

        with atheris.instrument_imports(include=["fastbp.persistence"]):
            target = Target()
    else:
        target = Target()
    corpus = [path.read_bytes() for path in sorted(CORPUS.iterdir()) if path != FOUND]
    for content in corpus:
        target(content)
    assert not target.counts["refused"], "the whole files must load"
    limit_memory(options.megabytes)
    with zipfile.ZipFile(FOUND) as archive:
        found = [archive.read(name) for name in archive.namelist()]
    for content in found:
        target(content)
    corpus += found
    if options.guided:
        guided(target, corpus, options.inputs, options.seed, options.found)
    else:
        seeded(target, corpus, options.inputs, options.seed)
    target.report()


if __name__ == "__main__":
    main()
