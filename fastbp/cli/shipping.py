"""The commands `info` and `export`, which describe a model and convert it for other tools."""

import functools
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from ..basis import writing
from ..basis.layout import PARAMETERS
from . import completion, outputs, predicting, preparing, store, tables
from .options import WrongUsage, add_argument, add_command, filled, new_file, printable
from .outputs import Output
from .tables import listed

INFO_EXAMPLES = """
fastbp info titanic.safetensors
fastbp info titanic.safetensors --json
"""
EXPORT_EXAMPLES = """
fastbp export titanic.safetensors --format c
fastbp export titanic.safetensors --format c --weights int8 --jacobian
fastbp export titanic.safetensors --format c --arithmetic int8 --data titanic.csv
fastbp export titanic.safetensors --format onnx
fastbp export titanic.safetensors --format npz --output weights.npz
"""


def add(commands):
    """Register the commands with argparse."""
    info = add_command(
        commands,
        "info",
        show,
        help="say what a model is and how it was trained",
        description="Say what a saved model is: sizes, activations, loss, columns, classes, and "
        "how it was trained.",
        examples=INFO_EXAMPLES,
    )
    export = add_command(
        commands,
        "export",
        write,
        help="write a model for other tools",
        description="Write a saved model for another tool. The inputs of a single network are the "
        "prepared columns; how each is made from a table is written beside it, as .inputs.json. An "
        "ensemble prepares the columns itself, and can be written as c or onnx.",
        examples=EXPORT_EXAMPLES,
    )
    for command in (info, export):
        add_argument(
            command,
            "model",
            completer=completion.MODELS,
            type=Path,
            metavar="MODEL",
            help="a saved model",
        )
    info.add_argument("--json", action="store_true", help="print JSON")
    export.add_argument(
        "--format",
        required=True,
        choices=FORMATS,
        help="c: a folder with C99 source; npz: arrays W1, b1, ..., and the names of "
        "activations; torch-state: a state_dict, as torch.load reads it",
    )
    export.add_argument(
        "--output",
        metavar="FILE",
        help="default: the name of MODEL with the ending of the format, here",
    )
    outputs.add_force(export)
    source = export.add_argument_group("c")
    source.add_argument(
        "--weights", choices=["float32", "int8"], help="how weights are stored (default: float32)"
    )
    source.add_argument(
        "--arithmetic",
        choices=["float32", "int8"],
        help="int8: all in whole numbers, the weights too; needs --data (default: float32)",
    )
    add_argument(
        source,
        "--data",
        completer=completion.TABLES,
        type=tables.data_path,
        metavar="DATA",
        help="for --arithmetic int8: a table such as that of the training, as train reads it, from "
        "which the ranges of all layers come",
    )
    source.add_argument(
        "--jacobian", action="store_true", help="also derivatives of the outputs by the inputs"
    )
    source.add_argument(
        "--train", choices=["sgd"], help="also steps of training, for one sample at a time"
    )
    tables.add_form(export)
    export.add_argument("--json", action="store_true", help="print JSON")


def _described(stored):
    """Return a description of a model as a dict."""
    network = store.network(stored)
    whole = stored.model if hasattr(stored.model, "estimators_") else store.estimator(stored)
    about = {
        "kind": type(stored.model).__name__,
        "members": store.count(stored),
        "sizes": list(network.layout.sizes),
        "activations": list(network.layout.activations),
        "output_activation": network._engine.output_activation,
        "loss": network.loss,
        "loss_weights": network.loss_weights,
        "dtype": network.layout.dtype.name,
        "compute_dtype": network.compute_dtype,
        "norm": network.layout.norm,
        "residual": network.layout.residual,
        "parameters": network.layout.n_numbers,
        "library": stored.library,
    }
    if hasattr(whole, "classes_"):
        about["classes"] = whole.classes_.tolist()
    if hasattr(whole, "feature_names_in_"):
        about["features"] = list(whole.feature_names_in_)
    if store.is_ours(stored):
        about["columns"] = _columns(preparing.readings_of(stored))
    return about | {"notes": stored.notes}


# What the columns of a kind are called.
KINDS = {"number": "numbers", "category": "categories", "date": "dates", "clock": "times of day"}


def _columns(chosen):
    """Return the names of the columns of each kind."""
    named: dict = {"numbers": [], "categories": []}
    for name, reading in chosen.items():
        named.setdefault(KINDS[reading.kind], []).append(name)
    return named


def show(options):
    """Print a description of a model."""
    stored = store.load(options.model)
    about, engine = _described(stored), store.network(stored)._engine
    if options.json:
        print(json.dumps(about, indent=2))
        return 0
    products = f", products in {about['compute_dtype']}" if about["compute_dtype"] else ""
    of_many = f" of {about['members']}, the first one" if about["members"] > 1 else ""
    lines = [
        f"{options.model}: {about['kind']}, saved by fastbp {about['library']}",
        f"network{of_many}: {'-'.join(map(str, about['sizes']))}, "
        f"{about['parameters']} weights and biases, {about['dtype']}{products}",
        f"activations: {', '.join([*about['activations'], engine.output_title])}",
        f"loss: {engine.loss_title if engine.heads else about['loss'] or 'none'}",
    ]
    if "classes" in about:
        lines.append(f"classes: {listed(about['classes'])}")
    for kind, names in about.get("columns", {"features": about.get("features")}).items():
        if names:
            lines.append(f"{kind}: {listed(names)}")
    lines += _of_notes(about["notes"])
    print("\n".join(filled(line, "  ") for line in lines))
    return 0


def _of_notes(notes):
    """Yield notes as lines; notes saved from Python may hold any JSON values."""
    for key, value in notes.items():
        if key in ("readings", "target_reading"):  # the kinds of columns are shown
            continue
        values = list(value.values()) if isinstance(value, dict) else []
        if values and all(isinstance(each, dict) for each in values):
            yield from _of_notes({f"{key}, {part}": each for part, each in value.items()})
        else:
            yield f"{key.replace('_', ' ')}: {_as_text(value)}"


def _as_text(value):
    if isinstance(value, dict):
        given = {key.replace("_", " "): each for key, each in value.items() if each is not None}
        return ", ".join(f"{key} {_as_text(each)}" for key, each in given.items())
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return "; ".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def _onnx(network, path):
    network.to_onnx(path)


def _torch_state(network, path):
    module = network.to_torch()
    import torch

    archive = io.BytesIO()
    torch.save(module.state_dict(), archive)
    path.write_bytes(outputs.signed(archive.getvalue()))


def _npz(network, path):
    prefixes = dict(zip(PARAMETERS, ("W", "b", *list(PARAMETERS)[2:]), strict=True))
    arrays: dict = {
        f"{prefixes[kind]}{i}": np.array(array)
        for kind, of_layers in network._engine.arrays._asdict().items()
        for i, array in enumerate(of_layers, start=1)
    }
    layout = network.layout
    names = [*layout.activations, network._engine.output_activation]
    if heads := network._engine.heads:
        names[-1:] = [head.row.output_activation for head in heads]
        arrays["head_outputs"] = np.array([head.n_outputs for head in heads])
    if layout.norm is not None:
        arrays["norm"] = np.array(layout.norm)
    if layout.residual:
        arrays["residual"] = np.array(True)
    archive = io.BytesIO()
    np.savez(archive, activations=np.array(names), **arrays)
    path.write_bytes(outputs.signed(archive.getvalue()))


def _c(network, path, **how):
    return network.to_c(path, **how)


C_OPTIONS = ("weights", "arithmetic", "jacobian", "train")


def _given(options):
    """Return the options of C that were given, as a text."""
    given = [f"--{name}" for name in (*C_OPTIONS, "data") if getattr(options, name)]
    return " and ".join(given)


def _for_c(options):
    """Return the arguments of to_c, without its X; other formats have none.

    Raises
    ------
    WrongUsage
        If options cannot be combined.
    """
    how = {name: value for name in C_OPTIONS if (value := getattr(options, name))}
    given = _given(options)
    if given and options.format != "c":
        raise WrongUsage(f"{given} cannot be used with --format {options.format}, only with c")
    if options.arithmetic == "int8":
        if not options.data:
            raise WrongUsage(
                "--arithmetic int8 needs --data, a table such as that of the training, from which "
                "the ranges of all layers come"
            )
        refused = {
            "--weights float32": options.weights == "float32",
            "--jacobian": options.jacobian,
            "--train": options.train,
        }
        if wrong := [option for option, is_given in refused.items() if is_given]:
            raise WrongUsage(f"--arithmetic int8 cannot be used with {' and '.join(wrong)}")
        return how | {"weights": "int8"}
    if options.train and options.weights == "int8":
        raise WrongUsage("--train cannot be used with --weights int8, which cannot change")
    if options.data:
        raise WrongUsage("--data cannot be used without --arithmetic int8")
    if tables.form(options) != tables.PLAIN or options.decimal:
        raise WrongUsage(
            "--sep, --decimal, --encoding and --no-header say how --data is written, which is "
            "missing"
        )
    return how


# Format -> function that writes it, default file extension, function that recognises it.
FORMATS = {
    "c": (_c, "_c", outputs.is_c),  # a folder
    "npz": (_npz, ".npz", outputs.is_archive),
    "onnx": (_onnx, ".onnx", outputs.is_onnx),
    "torch-state": (_torch_state, ".pt", outputs.is_archive),
}


def write(options):
    """Write the network, and a description of its inputs."""
    how = _for_c(options)
    stored = store.load(options.model)
    if store.is_tabular(stored.model) and (how or options.format not in ("c", "onnx")):
        wanted = f"with {_given(options)}" if how else f"as {options.format}"
        raise ValueError(
            f"{options.model} is an ensemble of {store.count(stored)} networks with their own "
            f"preparation of the columns, which can be written as c or onnx, not {wanted}; for "
            "that, train a single network: fastbp train --network"
        )
    if store.count(stored) > 1 and not store.is_tabular(stored.model):
        raise ValueError(
            f"{options.model} has {store.count(stored)} networks, but export can only write one; "
            "in Python, get the members as fastbp.load(path).estimators_"
        )
    network = stored.model if store.is_tabular(stored.model) else store.network(stored)
    read = [options.model, *([options.data] if options.data else [])]
    if options.data:
        name = tables.shown(options.data)
        frame = tables.read(options.data, tables.form(options))
        how["X"] = predicting.inputs(stored, frame, name, options.decimal)
    export, ending, is_ours = FORMATS[options.format]
    path = options.output or options.model.stem + ending
    path = Path(path) if options.format == "c" else new_file(path)
    if path.name in ("", ".."):  # the file beside the folder is named after it
        path = Path(os.path.abspath(path))
    made, result = _contents(functools.partial(export, **how), network, path)
    written = [str(path)]
    files = [Output("the network", each, "--output", is_ours) for each in made]
    special = path.exists() and not path.is_file() and not path.is_dir()
    if store.is_ours(stored) and not special:  # no file can be beside a pipe
        beside = Path(f"{path}.inputs.json")
        made[beside] = (json.dumps(_interface(stored), indent=2) + "\n").encode()
        written.append(str(beside))
        files.append(Output("the description of inputs", beside, "--output", outputs.is_interface))
    # In a folder that does not exist yet, nothing can be overwritten.
    there = [each for each in files if each.path.parent.exists()]
    outputs.check(there, read, options.force)
    if options.format == "c":
        path.mkdir(parents=True, exist_ok=True)
    writing.write_all(made)
    unlike = result.calibration if options.data else None  # how far whole numbers are from floats
    if options.json:
        calibration = {"calibration": unlike._asdict()} if unlike else {}
        print(json.dumps({"format": options.format, "written": written} | calibration))
        return 0
    print(f"{options.format}: {', '.join(written)}")
    if unlike:
        same = unlike.same_class
        classes = "" if same is None else f"; {same:.1%} of the rows have the same class"
        text = (
            f"for the {len(frame)} rows of {name}, the outputs differ from those in float32 by at "
            f"most {unlike.largest:.3g} (root mean square {unlike.rms:.3g}){classes}"
        )
        print(printable(text))
    return 0


def _contents(export, network, path):
    """Return the content of each file of an export, by path, and what `export` returned."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "network")  # not path.name, which may be ".."
        result = export(network, place)
        if place.is_dir():
            made = {path / each.name: each.read_bytes() for each in sorted(place.iterdir())}
            return made, result
        return {path: place.read_bytes()}, result


def _interface(stored):
    """Return a description of the network's inputs and outputs."""
    prepare, estimator = store.parts(stored)
    chosen = preparing.readings_of(stored)
    made: dict = {"inputs": preparing.inputs(prepare, chosen)}
    target = stored.notes.get("target")
    if hasattr(estimator, "classes_"):
        labels = estimator.classes_.tolist()
        # With two classes a single network has one output, the probability of the second.
        alone = len(labels) == 2 and not store.is_tabular(stored.model)
        shown = labels[1:] if alone else labels
        made["outputs"] = [{"probability_of": label, "target": target} for label in shown]
    else:
        log_target = stored.notes.get("log_target") is True
        made["outputs"] = [{"log_of" if log_target else "value_of": target}]
    return made
