"""The house rules: who imports whom, what loads when, and that twins match.

The other tests say what the code computes; these hold what keeps it in order.
"""

import ast
import dataclasses
import graphlib
import inspect
import io
import os
import re
import subprocess
import sys
import tokenize
import types

import pytest
from floors import FLOORS, PACKAGE, PAGES, PROJECT, ROOT_MODULES, drawn
from helpers import SECONDS

import fastbp
from fastbp import backends
from fastbp.backends import interface, numpy_
from fastbp.backends.numpy_ import losses
from fastbp.basis import inputs, late, layout, spec
from fastbp.rules import optimizers

# Modules that import others by name: what they may load from above stands in basis/late.py.
BY_NAME = {"", "basis.late", "backends", "backends.cython_", "cli.doctor"}
A_BACKEND = {"basis"}


def module_of(path):
    """Dotted name of a file of the package, without "fastbp."; "" for fastbp/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path):
    """The fastbp modules that a file imports, at any depth of its code, as dotted names.

    What it imports for type checkers only is among them.
    """
    package = ["fastbp", *path.relative_to(PACKAGE).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("fastbp")}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            if base[:1] == ["fastbp"]:
                names |= {".".join([*base, alias.name]) for alias in node.names}
    return {name.removeprefix("fastbp").removeprefix(".") for name in names}


def files(folder, pattern="*.py"):
    found = sorted(folder.glob(pattern))
    assert found
    return found


MODULES = {module_of(path): path for path in files(PACKAGE, "**/*.py")}


def owner(name):
    """The module that a dotted name is of: itself, or the one that defines it."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def room(module):
    return module.partition(".")[0]


def test_every_room_has_its_floor():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(FLOORS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT_MODULES


@pytest.mark.parametrize("page", PAGES)
def test_floors_are_drawn_as_they_are(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    for name in PAGES[page]:
        assert drawn(text, name) == text, "run `python tools/draw_floors.py`"


@pytest.mark.parametrize("name", FLOORS)
def test_imports_point_down(name):
    below = {*FLOORS[: FLOORS.index(name) + 1]}
    for module, path in MODULES.items():
        if room(module) == name:
            assert {room(owner(found)) for found in imported(path)} <= below, path


def test_imports_form_no_circle():
    graph = {
        module: {owner(found) for found in imported(path)} - {module}
        for module, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises on a circle


def test_who_imports_by_name():
    """`import_module` hides an arrow: only where a table says what may be loaded."""
    users = {name for name, path in MODULES.items() if "import_module" in path.read_text("utf-8")}
    assert users == BY_NAME
    for name in late.ROOMS_ABOVE:
        late.load(name)


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in files(PACKAGE / "backends", "**/*.py")
        if p.parent.name + p.name != "backends__init__.py"
    ],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_import_arrows_of_backends(path):
    """A backend imports the vocabulary, its own siblings, and BackendUnavailable."""
    inside = path.relative_to(PACKAGE / "backends").parts[0].removesuffix(".py")
    for name in imported(path):
        where, *rest = name.split(".")
        if where == "backends":
            compiled = inside == "cython_" and rest[0].startswith("_")
            assert rest[0] in (inside, "BackendUnavailable", "interface") or compiled, name
        else:
            assert where in A_BACKEND, name


@pytest.mark.parametrize(
    "statement",
    ["import fastbp", "import fastbp; fastbp.Network([2, 1], loss='huber', backend='numpy')"],
)
def test_import_is_light(statement):
    heavy = {
        "numba",
        "llvmlite",
        "sklearn",
        "scipy",
        "joblib",
        "tqdm",
        "matplotlib",
        "torch",
        "onnx",
        "safetensors",
    }
    code = f"{statement}\nimport sys\nprint(*sorted(set(sys.modules) & {heavy}))"
    paths = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


# Docstrings.

PUBLIC = {name: getattr(fastbp, name) for name in fastbp.__all__}
# Made by the library, or a base class: their docstrings list attributes, if anything.
NOT_MADE_BY_USERS = (
    {
        name
        for name, item in PUBLIC.items()
        if inspect.isclass(item) and issubclass(item, BaseException)
    }
    | {"Comparison", "ForwardPass", "Gradient", "History", "LeastSquares", "Optimizer"}
    | {
        *("Equations", "GradientCheck", "LayerCheck", "Node", "RateSearch", "Schedule", "Term"),
        *("Summary", "TorchFunction", "Trace"),
    }
)


def public_functions():
    """(name, callable, docstring) of the public functions, classes and methods."""
    for name, item in PUBLIC.items():
        if name not in NOT_MADE_BY_USERS:
            yield name, item, item.__doc__
        # An optimiser's methods are for the library; its class says all to a user.
        for_library = (fastbp.Optimizer, fastbp.Schedule, fastbp.EarlyStopping)
        if inspect.isclass(item) and not issubclass(item, for_library):
            own = [*inspect.getmembers(item, inspect.isfunction)]
            own += inspect.getmembers(item, inspect.ismethod)  # of the class
            for key, method in own:
                if method.__module__.startswith("fastbp") and not key.startswith("_"):
                    yield f"{name}.{key}", method, inspect.getdoc(method)
    for name in ("get", "available"):
        yield f"backends.{name}", getattr(backends, name), getattr(backends, name).__doc__


FUNCTIONS = list(public_functions())


def section(text, title):
    """Name -> what follows the colon, of a numpydoc section."""
    lines = inspect.cleandoc(text).splitlines()
    entries = {}
    for i in range(len(lines) - 1):
        if lines[i] == title and re.fullmatch("-+", lines[i + 1]):
            for j in range(i + 2, len(lines)):
                if j + 1 < len(lines) and re.fullmatch("-{3,}", lines[j + 1]):
                    break
                if lines[j] and not lines[j].startswith(" "):
                    names, _, kind = lines[j].partition(" : ")
                    entries |= {name.strip(" *"): kind for name in names.split(",")}
    return entries


def arguments(item):
    return [name for name in inspect.signature(item).parameters if name != "self"]


@pytest.mark.parametrize("item", PUBLIC.values(), ids=PUBLIC)
def test_public_names_have_docstrings(item):
    text = inspect.cleandoc(item.__doc__)
    assert not text.startswith(
        f"{item.__name__}("
    )  # the docstring that a dataclass gets by default
    assert text.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name, item, text", FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_documented_parameters_are_the_signature(name, item, text):
    documented = list(section(text, "Parameters"))
    assert sorted(documented) == sorted(arguments(item))


@pytest.mark.parametrize(
    "name",
    [
        *("Comparison", "Equations", "GradientCheck", "History", "LayerCheck", "LeastSquares"),
        *("Node", "RateSearch", "Summary", "Term", "Trace"),
    ],
)
def test_documented_attributes_are_the_fields(name):
    item = PUBLIC[name]
    fields = [field.name for field in dataclasses.fields(item)]
    assert list(section(item.__doc__, "Attributes")) == fields


def optimizer_classes():
    return [
        item
        for item in vars(optimizers).values()
        if inspect.isclass(item) and issubclass(item, optimizers.Optimizer)
    ]


@pytest.mark.parametrize("item", optimizer_classes()[1:])
def test_documented_defaults_of_optimizers(item):
    text = inspect.cleandoc(item.__doc__)
    documented = {}
    for line in text.splitlines():
        if " : " in line and "default=" in line:
            names, _, kind = line.partition(" : ")
            values = kind.partition("default=")[2].split(", ")
            documented |= dict(zip(names.split(", "), map(ast.literal_eval, values), strict=True))
    assert documented == {f.name: f.default for f in dataclasses.fields(item)}


def test_documented_choices_are_the_tables():
    text = inspect.cleandoc(fastbp.Network.__doc__)
    of_activation = text.partition("activation :")[2].partition("loss :")[0]
    for name in spec.ACTIVATIONS:
        assert re.search(rf"\b{name}\b", of_activation), name
    assert set(re.findall(r'^ *- "(\w+)":', text, re.M)) == set(spec.LOSSES)
    assert set(re.findall(r'"(\w+)"', section(text, "Parameters")["backend"])) == {
        "auto",
        *backends.BACKENDS,
    }


# The vocabulary, and the backends' twins of it.


@pytest.mark.parametrize("table", [spec.ACTIVATIONS, spec.LOSSES])
def test_codes_count_from_zero(table):
    assert [row.code for row in table.values()] == list(range(len(table)))


def test_codes_carry_the_names_of_their_rows():
    for table in (spec.ACTIVATIONS, spec.LOSSES):
        for name, row in table.items():
            assert getattr(spec, name.upper()) == row.code


def test_optimizers_cover_their_codes():
    sgd = [fastbp.SGD(), fastbp.SGD(momentum=0.5), fastbp.SGD(momentum=0.5, nesterov=True)]
    others = [item() for item in optimizer_classes() if item not in (fastbp.SGD, fastbp.Optimizer)]
    codes = [optimizer.code for optimizer in [*sgd, *others]]
    assert sorted({*codes}) == list(range(len({*codes}))) == sorted(numpy_.UPDATES)
    assert [*optimizers.OPTIMIZERS.values()] == [type(sgd[0]), *map(type, others)]
    for optimizer in [*sgd, *others]:
        assert len(optimizer.hyper()) == 6
        assert optimizer.hyper()[0] == optimizer.learning_rate
        assert fastbp.__all__.count(type(optimizer).__name__) == 1


def test_reference_has_functions_for_each_activation():
    assert set(numpy_.ACTIVATIONS) == {row.code for row in spec.ACTIVATIONS.values()}
    for name, row in spec.ACTIVATIONS.items():
        functions = [function.__name__ for function in numpy_.ACTIVATIONS[row.code]]
        assert functions[:2] == [name, f"{name}_derivative"]
        assert functions[2] in (f"{name}_second_derivative", "zero")
        assert functions[3] in (f"{name}_third_derivative", "zero")


def test_reference_has_functions_for_each_loss():
    codes = {row.code for row in spec.LOSSES.values()}
    assert set(losses.LOSSES) == {*codes, spec.QUANTILES, spec.CUSTOM, spec.POISSON_RATE}
    for name, row in spec.LOSSES.items():
        functions = [function.__name__ for function in losses.LOSSES[row.code]]
        assert [functions[0], functions[2]] == [name, row.output_activation]
        assert functions[1] in (f"{name}_hessian_product", "no_curvature")


def cython_modules():
    try:
        return list(backends.get("cython").KERNELS.values())
    except fastbp.BackendUnavailable as error:
        if os.environ.get("FASTBP_REQUIRE_CYTHON") == "1":
            raise
        pytest.skip(str(error))


def test_cython_has_the_same_codes():
    """Each build was compiled with the numbers of spec.py, layout.py and inputs.py."""
    for module in cython_modules():
        codes = module.codes()
        assert codes
        for name, value in codes.items():
            owner = next(owner for owner in (spec, layout, inputs) if hasattr(owner, name))
            assert getattr(owner, name) == value, name
        for owner in (spec, layout, inputs):
            numbers = {k for k, v in vars(owner).items() if k.isupper() and type(v) is int}
            of_python = re.compile("_BYTES|GROUP")  # kernels are given what follows from these
            assert {k for k in numbers if not of_python.search(k)} <= set(codes)


def test_kernels_of_other_sources_are_refused():
    """They would read memory that they are not given."""
    (module, _) = cython_modules()
    from fastbp.backends import cython_

    functions = {name: getattr(module, name) for name in cython_.KERNEL_FUNCTIONS}
    codes = module.codes()
    renumbered = codes | {"GELU": codes["GELU"] + 1}
    assert cython_._fits(types.SimpleNamespace(codes=lambda: codes, **functions))
    assert not cython_._fits(types.SimpleNamespace(codes=lambda: renumbered, **functions))
    older = {code: value for code, value in codes.items() if code != "MISH"}
    assert not cython_._fits(types.SimpleNamespace(codes=lambda: older, **functions))
    for name in functions:  # a function that older kernels lack
        fewer = {key: value for key, value in functions.items() if key != name}
        assert not cython_._fits(types.SimpleNamespace(codes=lambda: codes, **fewer))
    functions["predict"] = lambda plan, loss, parameters, X: None
    assert not cython_._fits(types.SimpleNamespace(codes=lambda: codes, **functions))


def methods(protocol):
    """The functions of a protocol, with the names of their arguments."""
    return {
        name: [p for p in inspect.signature(function).parameters if p != "self"]
        for name, function in vars(protocol).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


INTERFACE, OF_A_JOB = methods(interface.Backend), methods(interface.Job)


@pytest.mark.parametrize("function", INTERFACE)
def test_backends_have_the_functions_of_the_interface(backend, function):
    """With the same names of arguments, as far as they are named, in the module or its kernels."""
    module = backends.get(backend)
    assert module.name == backend
    expected = INTERFACE[function]
    places = [module]
    if backend == "cython" and function != "describe":
        places += cython_modules()
    for place in places:
        named = inspect.signature(getattr(place, function)).parameters.values()
        rest = [p for p in named if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        names = [p.name for p in named if p not in rest]
        assert names == (expected[: len(names)] if rest else expected), place


@pytest.mark.parametrize("function", OF_A_JOB)
def test_jobs_have_the_functions_of_the_interface(backend, function):
    modules = cython_modules() if backend == "cython" else [backends.get(backend)]
    for module in modules:
        names = list(inspect.signature(getattr(module.Job, function)).parameters)
        assert names == ["self", *OF_A_JOB[function]], module


def test_functions_of_the_interface():
    assert set(INTERFACE) == {
        *("describe", "finite", "activation", "loss_hessian_product", "predict"),
        *("forward", "backward", "input_vjp"),
        *("loss_and_gradient", "per_sample", "jets", "jets_backward", "input_derivatives"),
        *("sobolev_gradient", "hessian_product", "loss_deltas", "job"),
    }
    assert set(OF_A_JOB) == {"take", "run", "update"}


def test_available_backends(backend):
    answers = fastbp.available_backends()
    assert list(answers) == list(backends.BACKENDS)
    assert answers[backend].startswith("yes: ")


def code_lines(text):
    """How many lines hold code: neither blank, nor only a comment, nor part of a docstring."""
    docstrings, code = set(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, WITH_DOCSTRING) and ast.get_docstring(node) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


def test_code_lines():
    text = '''"""A module.

    With a long docstring.
    """

    # A comment.
    def f(a):  # another
        """One line."""
        text = """
            not a docstring
        """
        return g(
            a,

            text,
        )
    '''
    assert code_lines(inspect.cleandoc(text)) == 8


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "tests").rglob("*.py")), ids=lambda path: path.stem
)
def test_what_tests_share_is_in_modules_of_their_own(path):
    """No file of tests imports another one."""
    assert not re.findall(r"^ *(?:from|import) (test_\w+)", path.read_text("utf-8"), re.M)


def test_no_file_is_too_long():
    """Files that one can hold in one's head; to explain more never makes a file too long."""
    lengths = {
        str(path.relative_to(PACKAGE)): code_lines(path.read_text("utf-8"))
        for path in files(PACKAGE, "**/*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}
