"""What a user sees of the package: names that dir() and completion show, and their examples."""

import inspect

import pytest

import fastbp
import fastbp.distributed
from fastbp import backends
from fastbp.plots.common import Display

# Methods that fastbp calls, not its users: hooks of callbacks, and what optimisers tell kernels.
FOR_THE_LIBRARY = {
    fastbp.Callback: ("begin", "epoch", "end"),
    fastbp.EarlyStopping: ("begin", "epoch", "end", "ended"),
    fastbp.Checkpoint: ("begin", "epoch", "end", "attach", "after_epoch"),
    fastbp.Health: ("begin", "epoch", "end"),
    fastbp.Optimizer: ("code", "slots", "hyper", "initial_state"),
    fastbp.Schedule: ("factors",),
}


def is_display(item):
    """Whether this is a Display; the example of its class shows its methods."""
    return inspect.isclass(item) and issubclass(item, Display)


def test_dir_shows_the_public_names_only():
    shown = dir(fastbp)
    assert shown == sorted(shown)
    assert set(shown) == {*fastbp.__all__, "__version__", "backends", "exchange"}
    for name in shown:
        assert getattr(fastbp, name) is not None


def documented():
    """(name, docstring) of the public functions and classes, of methods and properties."""
    items = {name: getattr(fastbp, name) for name in fastbp.__all__}
    items |= {"distributed.fit": fastbp.distributed.fit, "backends.get": backends.get}
    for name, item in items.items():
        if inspect.isclass(item) and issubclass(item, (BaseException, Warning)):
            continue  # raised by the library; its attributes have no examples of their own
        yield name, inspect.getdoc(item)
        hidden = {
            key
            for kind, keys in FOR_THE_LIBRARY.items()
            if inspect.isclass(item) and issubclass(item, kind)
            for key in keys
        }
        for key in dir(item) if inspect.isclass(item) and not is_display(item) else ():
            member = inspect.getattr_static(item, key)
            function = getattr(member, "fget", getattr(member, "__func__", member))
            function = getattr(function, "fn", function)  # of available_if
            own = str(getattr(function, "__module__", "")).startswith("fastbp")
            if not key.startswith("_") and key not in hidden and inspect.isfunction(function):
                text = inspect.getdoc(member)
                if own and text:  # a property without one is described in its class's docstring
                    yield f"{name}.{key}", text


DOCUMENTED = dict(documented())


def test_documented_names_are_found():
    some = {"Network", "Network.fit", "Network.load", "load", "MLPClassifier.predict_proba"}
    some |= {"History.plot", "GradientCheck.passed", "MLPEnsembleRegressor.predict_std"}
    assert some <= DOCUMENTED.keys()
    assert "Adam.hyper" not in DOCUMENTED


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_docstrings_have_examples(name):
    """`pytest --doctest-modules fastbp`, a part of `make test`, runs them."""
    text = DOCUMENTED[name]
    assert "\nExamples\n--------\n" in text and "\n>>> " in text
