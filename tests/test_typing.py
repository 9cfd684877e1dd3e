"""Types: public signatures carry them; mypy takes a user's program, and finds faults in one."""

import inspect
import os
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest

import fastbp
import fastbp.distributed
from fastbp import backends
from fastbp.basis import annotations
from fastbp.engine.parameters import Parameters
from fastbp.training import options

HERE = Path(__file__).parent
PACKAGE = Path(fastbp.__file__).parent

# All wrong, each in a way of its own: line -> the code of mypy's error.
WRONG_USE = """\
import numpy as np
import fastbp
from fastbp import MLPClassifier, MLPSearchCV, Network, fit_many
X, y = np.zeros((4, 2)), np.zeros(4)
net = Network([2, 1], loss="squared_error")
Network("x", loss="squared_error")  # arg-type
Network([2, 1])  # call-arg
Network([2, 1], loss="huber", backend="cuda")  # arg-type
net.to_backend("gpu")  # arg-type
MLPClassifier(backend="numby")  # arg-type
Network([2, 1], loss=3)  # arg-type
net.fit(X, y, epochs="3")  # arg-type
net.fit(X, y, epoch=3)  # call-arg
net.fit(X, y, optimizer=fastbp.Adam)  # arg-type
net.fit(X, y, callbacks=[print])  # list-item
net.fit(X, y).losses  # attr-defined
net.predict()  # call-arg
net.fit_batches([(X, y)], optimiser=fastbp.SGD())  # call-arg
net.fit_batches([X])  # list-item
net.weights[0].shap  # attr-defined
fastbp.Netwrok  # attr-defined
fastbp.Adam(beta1=0.9)  # call-arg
fastbp.SGD("0.1")  # arg-type
fit_many([net], X, y, epoch=3)  # call-arg
fit_many([X], X, y)  # list-item
fit_many([net], X, y, epochs=(3,))  # arg-type
fit_many([net], X, y, rows=(X,))  # arg-type
MLPClassifier(solver="newton")  # arg-type
MLPClassifier(hidden_layers=(3,))  # call-arg
MLPClassifier().fit(X)  # call-arg
MLPSearchCV(MLPClassifier(), {}, halving="3")  # arg-type
fastbp.HealthDisplay.from_health(fastbp.Health(X, y), "gradients")  # arg-type
fastbp.load("model.safetensors").predit(X)  # union-attr
loss: str = net.fit(X, y).loss[0]  # assignment
h: list[float] = net.predict(X)  # assignment
"""


def mypy(path, cache):
    """What ``mypy --strict`` says of a program, as one that finds fastbp installed would hear.

    Only the parts of PyTorch that the project's own run leaves out are left out here, too.
    """
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    (skipped,) = (o["module"] for o in project["overrides"] if "follow_imports" in o)
    settings = cache / "mypy.ini"
    settings.write_text(f"[mypy]\n[mypy-{','.join(skipped)}]\nfollow_imports = skip\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            *(f"--config-file={settings}", f"--cache-dir={cache}", str(path)),
        ],
        capture_output=True,
        text=True,
        cwd=cache,
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.slow
def test_a_users_program_passes_strictly(cache):
    assert mypy(HERE / "typing_user.py", cache).startswith("Success: no issues found")


def test_the_users_program_touches_all_that_is_public():
    text = (HERE / "typing_user.py").read_text(encoding="utf-8")
    used = set(re.findall(r"\bfastbp\.(\w+)", text))
    assert set(fastbp.__all__) <= used
    for name, function in public_functions():
        if "." in name and not name.startswith("Parameters."):
            assert re.search(rf"\b{function.__name__}\b", text) or is_for_the_library(name), name


@pytest.mark.slow
def test_wrong_use_is_found(cache):
    path = cache / "wrong.py"
    path.write_text(WRONG_USE, encoding="utf-8")
    found = re.findall(r"wrong\.py:(\d+): error: .*\[([\w-]+)\]$", mypy(path, cache), re.M)
    lines = enumerate(WRONG_USE.splitlines(), start=1)
    expected = [(str(i), line.partition("  # ")[2]) for i, line in lines if "  # " in line]
    assert found == expected


def test_names_of_backends_are_those_of_the_table():
    assert {"auto", *backends.BACKENDS} == {*typing.get_args(annotations.Backend)}


def is_for_the_library(name):
    """Methods that are public for fastbp's own modules; and what Python calls by itself."""
    method = name.rpartition(".")[2]
    return method.startswith("__") or method in ("attach", "after_epoch")


def public_functions():
    """(name, function) of the public functions, classes' methods and properties."""
    items = {name: getattr(fastbp, name) for name in fastbp.__all__}
    items |= {
        "distributed.fit": fastbp.distributed.fit,
        "backends.get": backends.get,
        "backends.available": backends.available,
        "Parameters": Parameters,
    }
    for name, item in items.items():
        if not inspect.isclass(item):
            yield name, item
            continue
        for owner in item.__mro__:
            if not owner.__module__.startswith("fastbp"):
                continue
            for key in vars(owner):
                spoken = ("__init__", "__new__", "__len__", "__iter__", "__getitem__")
                if key.startswith("_") and key not in (*spoken, "__setitem__", "__delitem__"):
                    continue
                member = inspect.getattr_static(owner, key)
                member = getattr(member, "fget", getattr(member, "__func__", member))
                member = getattr(member, "fn", member)  # of available_if
                if inspect.isfunction(member) and member.__module__.startswith("fastbp"):
                    yield f"{name}.{key}", member


FUNCTIONS = dict(public_functions())


def test_public_functions_are_found():
    """So that the next test is about something."""
    some = {
        *("load", "backends.get", "distributed.fit", "Network.fit", "Network.weights"),
        *("Network.from_onnx", "MLPClassifier.partial_fit", "MLPClassifier.fit", "SGD.hyper"),
        *("RooflineDisplay.from_results", "Checkpoint.newest", "SomeFailed.derive"),
    }
    assert some <= FUNCTIONS.keys()
    assert len(FUNCTIONS) > 150


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_and_results_are_annotated(name):
    if FUNCTIONS[name].__qualname__.startswith("__create_fn__"):
        pytest.skip("written by dataclasses")
    signature = inspect.signature(FUNCTIONS[name])
    bare = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert bare == []
    assert signature.return_annotation is not signature.empty


def written(options):
    """Name -> annotation of a TypedDict, as it is in the source."""
    return {name: kind.__forward_arg__ for name, kind in options.__annotations__.items()}


OF_SAMPLES_IN_MEMORY = ("shuffle", "resume_from", "dy", "derivative_weight")


def test_options_of_fit_batches_are_those_of_fit():
    own = inspect.signature(fastbp.Network.fit_batches).parameters
    of_fit = inspect.signature(fastbp.Network.fit).parameters
    left = {
        name: parameter.annotation
        for name, parameter in of_fit.items()
        if name not in (*own, "X", "y", "sample_weight", *OF_SAMPLES_IN_MEMORY)
    }
    assert written(options.BatchOptions) == left


def test_options_of_fit_many_are_those_of_fit():
    own = inspect.signature(fastbp.fit_many).parameters
    of_fit = inspect.signature(fastbp.Network.fit).parameters
    left = {
        name: f"Each[{parameter.annotation}]"
        for name, parameter in of_fit.items()
        if name not in ("self", *own)
    }
    left["callbacks"] = "List[Sequence[CallbackLike]]"  # always one list for each network
    assert written(options.ManyOptions) == left
