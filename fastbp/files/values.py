"""Converts parameters of models and arrays of labels to JSON, with tags for types JSON lacks."""

import dataclasses
import math

import numpy as np

from ..rules import optimizers, regularizers, schedules
from . import schema

# Dataclasses that parameters may be.
CLASSES: dict = {
    item.__name__: item
    for item in (
        *(*optimizers.OPTIMIZERS.values(), regularizers.EMA, regularizers.SWA),
        *(schedules.StepDecay, schedules.ExponentialDecay, schedules.CosineDecay),
        *(schedules.OneCycle, schedules.ReduceOnPlateau),
    )
}
# Numbers that JSON cannot represent.
NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
# NumPy types that parameters may be.
DTYPES = {"float32": np.float32, "float64": np.float64}
# How deeply values may be nested.
DEPTH = 4
# Maximum number of characters in an array. NumPy pads strings to the longest; padding counts.
MAX_CHARACTERS = 1 << 24
# dtype of an array -> Python types of its entries as read from JSON.
KINDS = {
    "bool": (bool,),
    **{f"{sign}int{bits}": (int,) for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": (float,) for bits in (32, 64)},
    "str": (str,),
    "object": (type(None), bool, int, float, str),
}


def to_json(what, value):
    """Convert a value to what JSON can represent.

    None, booleans, finite numbers, strings and lists stay the same. Numbers that are not finite,
    tuples, dicts, dtypes and dataclasses become dicts of one item, whose key is the type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": str(value)}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        values = [to_json(what, entry) for entry in value]
        return values if isinstance(value, list) else {"tuple": values}
    if isinstance(value, dict):
        return {
            "dict": [[to_json(what, key), to_json(what, entry)] for key, entry in value.items()]
        }
    if isinstance(value, type) and value in DTYPES.values():
        return {"dtype": value.__name__}
    name = type(value).__name__
    if CLASSES.get(name) is type(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: {key: to_json(f"{what}.{key}", getattr(value, key)) for key in names}}
    raise ValueError(
        f"{what}={value!r} cannot be saved; a saved parameter must be None, a number, a string, a "
        "list, a tuple or a dict, or one of fastbp's schedules and averages"
    )


def from_json(what, value, depth=DEPTH):
    """Return the value that `to_json` converted."""
    if depth == 0:
        raise schema.wrong(what, value, "nested less deeply")
    if value is None or isinstance(value, (bool, str)):
        return value
    if type(value) is int:
        return schema.whole(what, value, -(2**63))
    if isinstance(value, float):
        return schema.real(what, value)
    if isinstance(value, list):
        return [from_json(what, entry, depth - 1) for entry in value]
    if len(value) != 1:
        raise schema.wrong(what, value, "a JSON object of one item")
    ((tag, inner),) = value.items()
    if tag == "number":
        return NOT_FINITE[schema.text(what, inner, NOT_FINITE)]
    if tag == "dtype":
        return DTYPES[schema.text(what, inner, DTYPES)]
    if tag == "tuple":
        return tuple(from_json(what, schema.listed(what, inner), depth))
    if tag == "dict":
        return dict(_item(what, pair, depth) for pair in schema.listed(what, inner))
    return _instance(what, schema.text(f"the class of {what}", tag, CLASSES), inner, depth)


def _item(what, pair, depth):
    key, value = (from_json(what, entry, depth - 1) for entry in schema.listed(what, pair, 2))
    if type(key) not in KINDS["object"]:
        raise schema.wrong(f"a key of {what}", key, "a number or a string")
    return key, value


def _instance(what, name, values, depth):
    """Return an instance of a dataclass, which checks its fields."""
    names = [field.name for field in dataclasses.fields(CLASSES[name])]
    schema.fields(f"{what}: {name}", values, names)
    values = {key: from_json(f"{what}: {key}", value, depth - 1) for key, value in values.items()}
    try:
        return CLASSES[name](**values)
    except TypeError as error:
        raise ValueError(f"broken file: {what}: {error}") from None


def instance(what, value, base):
    """Return the dataclass instance, checked to be derived from `base`."""
    value = from_json(what, value)
    if not isinstance(value, base):
        raise schema.wrong(what, value, f"an instance of {base.__name__}")
    return value


def array_to_json(what, array):
    """Convert a 1-D array of labels, names or categories to JSON values."""
    array = np.asarray(array)
    kind = {"U": "str", "O": "object"}.get(array.dtype.kind, array.dtype.name)
    if array.ndim != 1 or kind not in KINDS:
        raise ValueError(
            f"{what} cannot be saved: got dtype {array.dtype} and shape {array.shape}, expected a "
            f"1-D array with one of the dtypes {', '.join(KINDS)}"
        )
    return {"dtype": kind, "values": to_json(what, array.tolist())}


def array_from_json(what, value, kinds=KINDS, length=None):
    """Return the array, checked to have one of the dtypes, and the length if one is given."""
    schema.fields(what, value, ("dtype", "values"))
    kind = schema.text(f"the dtype of {what}", value["dtype"], kinds)
    entries = schema.listed(what, value["values"], length)
    entries = [from_json(what, entry) for entry in entries]
    wrong = [entry for entry in entries if type(entry) not in KINDS[kind]]
    if "int" in kind:
        limits = np.iinfo(kind)
        wrong = wrong or [entry for entry in entries if not limits.min <= entry <= limits.max]
    if wrong:
        raise schema.wrong(f"an entry of {what}", wrong[0], f"of {kind}")
    if kind == "object":
        array = np.empty(len(entries), object)
        array[:] = entries
        return array
    if kind == "str":
        longest = max(map(len, entries), default=0)
        if longest * len(entries) > MAX_CHARACTERS:
            raise schema.wrong(what, entries[:3], f"an array of up to {MAX_CHARACTERS} characters")
    return np.array(entries, kind)
