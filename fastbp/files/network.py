"""Converts a network to a JSON document and arrays, and back."""

import numpy as np

from ..basis import spec
from ..basis.inputs import Categorical, Numeric
from ..basis.layout import Arrays, Layout
from . import calibration, schema

# Fields of a network's document, and of its generator's state (NumPy's PCG64). A network that
# rounds has the field compute_dtype besides, one whose loss does not imply the output activation
# the field output_activation, one with constraints the field monotonic_cst, one with normalised or
# residual layers the fields norm and residual, one with learned inputs the field inputs, and one
# that is calibrated the field calibration. Heads are a list in the field loss, and have the field
# loss_weights besides.
FIELDS = ("layer_sizes", "activation", "loss", "loss_parameter", "dtype", "random")
NORMS = [name for name in spec.NORMS if name is not None]
OPTIONAL = (
    *("compute_dtype", "output_activation", "monotonic_cst", "norm", "residual", "inputs"),
    "loss_weights",
    calibration.NAME,
)
RANDOM = ("state", "inc", "has_uint32", "uinteger")


def to_document(network, tensors):
    """Return the document of a network, and add its parameters to `tensors`."""
    if callable(network.loss):
        raise ValueError(
            f"the loss {network.loss!r} is a function, which cannot be saved; only networks with a "
            "named loss can be saved"
        )
    for own in network.layout.own_activations:
        raise ValueError(
            f"the activation {own.name!r} is a function of your own, which cannot be saved; only "
            "networks whose activations have a name of fastbp's can be saved"
        )
    put_parameters(network, tensors)
    document = {
        "layer_sizes": list(network.layout.sizes),
        "activation": list(network.layout.activations),
        "loss": of_loss(network.loss),
        "loss_parameter": of_parameter(network.loss_parameter),
        "dtype": network.layout.dtype.name,
        "random": of_random(network._engine.random),
    }
    if network.compute_dtype is not None:
        document["compute_dtype"] = network.compute_dtype
    output = network._engine.given_output_activation
    if output is not None:
        document["output_activation"] = output
    if network.loss_weights is not None:
        document["loss_weights"] = list(network.loss_weights)
    if network.monotonic_cst is not None:
        document["monotonic_cst"] = list(network.monotonic_cst)
    if network.norm is not None:
        document["norm"] = network.norm
    if network.residual:
        document["residual"] = True
    if network.layout.inputs:
        document["inputs"] = [_of_input(item) for item in network.layout.inputs]
    calibration.put(network, document, tensors)
    return document


def from_document(cls, document, tensors, backend):
    """Return the network that a document describes, as an instance of `cls`."""
    _check_fields(document)
    layout = layout_of(
        document["layer_sizes"],
        document["activation"],
        document["dtype"],
        document.get("norm"),
        document.get("residual", False),
        _inputs(document),
    )
    loss, parameter, output = _loss(document)
    weights = _loss_weights(document)
    # Read all arrays first, so that a broken file cannot make us allocate memory.
    arrays = get_parameters(layout, tensors)
    scores = calibration.take(document, tensors)
    network = cls._new(
        layout.given_sizes,
        activation=layout.activations,
        loss=loss,
        loss_parameter=parameter,
        loss_weights=weights,
        output_activation=output,
        dtype=layout.dtype,
        compute_dtype=_compute_dtype(document, layout.dtype),
        monotonic_cst=_monotonic_cst(document, layout.sizes[0]),
        norm=layout.norm,
        residual=layout.residual,
        seed=0,
        backend=backend,
    )
    _fill(network, arrays, document["random"])
    if scores is not None:
        calibration.restore(network, scores, network)
    return network


def _check_fields(document):
    schema.some_fields("network", document, (*FIELDS, *OPTIONAL), FIELDS)


def _loss(document):
    """Return the loss of a document, its parameter, and the output activation that it names."""
    loss, parameter, output = document["loss"], document["loss_parameter"], None
    if "loss_weights" in document:
        for name in ("loss_parameter", "output_activation"):
            if document.get(name) is not None:
                raise schema.wrong(f"{name} of a network with heads", document[name], "null")
        return [_head(entry) for entry in schema.listed("loss", loss)], None, None
    if "output_activation" in document:
        output = schema.text(
            "output_activation", document["output_activation"], spec.NO_LOSS.outputs
        )
    if output is None or loss is not None:
        loss = schema.text("loss", loss, spec.LOSSES)
    row = spec.loss_of(loss)
    parameter = parameter_of(loss, parameter)
    if (parameter is None) != (row.parameter is None):
        raise schema.wrong(f"loss_parameter of {loss}", parameter, "null if the loss has none")
    if output is not None and output not in row.outputs:
        raise schema.wrong(f"output_activation of {loss}", output, row.outputs)
    return loss, parameter, output


def _head(entry):
    """Return a head of a document as `Network` takes it."""
    if len(schema.listed("a head", entry)) not in (2, 3):
        raise schema.wrong("a head", entry, "a list of 2 or 3")
    loss = schema.text("the loss of a head", entry[0], spec.LOSSES)
    width = schema.whole("the number of outputs of a head", entry[1], 1, 2**31)
    return (loss, width, *(parameter_of(loss, parameter) for parameter in entry[2:]))


def _loss_weights(document):
    """Return the loss_weights of a document, None if it has none."""
    if "loss_weights" not in document:
        return None
    numbers = schema.listed("loss_weights", document["loss_weights"], len(document["loss"]))
    return [schema.real("an entry of loss_weights", number) for number in numbers]


def of_loss(loss):
    """Return a loss as a value for JSON."""
    if not isinstance(loss, tuple):
        return loss
    return [[*head[:2], *map(of_parameter, head[2:])] for head in loss]


def of_parameter(parameter):
    """Return a loss's parameter as a value for JSON."""
    return list(parameter) if isinstance(parameter, tuple) else parameter


def parameter_of(loss, value):
    """Return the parameter of a loss that `of_parameter` returned."""
    if loss == "quantile" and isinstance(value, list):
        return tuple(schema.real("a quantile of loss_parameter", q) for q in value)
    if loss is not None and isinstance(spec.LOSSES[loss].parameter, int):
        return schema.optional(schema.whole, "loss_parameter", value, 1, 2**31 - 1)
    return schema.optional(schema.real, "loss_parameter", value)


def _compute_dtype(document, dtype):
    """Return the compute_dtype of a document; that of networks that do not round is None."""
    if "compute_dtype" not in document:
        return None
    name = schema.text("compute_dtype", document["compute_dtype"], ("bfloat16",))
    if dtype != np.float32:
        raise schema.wrong("the dtype of a network with compute_dtype", dtype.name, "float32")
    return name


def _of_input(item):
    """Return an input of a network as a value for JSON."""
    if isinstance(item, Categorical):
        return {"categories": item.n_categories, "dimension": item.dimension}
    return {"columns": item.n_columns, "missing": item.missing}


def _inputs(document):
    """Return the inputs of a document; () if it has none."""
    inputs: list[Numeric | Categorical] = []
    for entry in schema.listed("inputs", document.get("inputs", [])):
        if isinstance(entry, dict) and "categories" in entry:
            schema.fields("an entry of inputs", entry, ("categories", "dimension"))
            numbers = (schema.whole(name, entry[name], 1, 2**31 - 1) for name in entry)
            inputs.append(Categorical(*numbers))
        else:
            schema.fields("an entry of inputs", entry, ("columns", "missing"))
            n = schema.whole("columns", entry["columns"], 1, 2**31 - 1)
            inputs.append(Numeric(n, schema.flag("missing", entry["missing"])))
    if "inputs" in document and not any(item._rows for item in inputs):
        raise schema.wrong("inputs", document["inputs"], "a list with a learned input")
    return tuple(inputs)


def _monotonic_cst(document, n_features):
    """Return the monotonic_cst of a document, None if it has none."""
    if "monotonic_cst" not in document:
        return None
    numbers = schema.listed("monotonic_cst", document["monotonic_cst"], n_features)
    return [schema.whole("an entry of monotonic_cst", number, -1, 1) for number in numbers]


def restore(network, document, tensors):
    """Set a network's weights and random state from the document of one with equal sizes."""
    _check_fields(document)
    arrays = get_parameters(network.layout, tensors)
    calibration.take(document, tensors)  # outdated once training resumes
    _fill(network, arrays, document["random"])


def _fill(network, arrays, random):
    set_random(network._engine.random, random)
    for view, array in zip(network._engine.arrays.all, arrays.all, strict=True):
        view[...] = array
    network._engine.check_finite()


def layout_of(sizes, names, dtype, norm=None, residual=False, inputs=()):
    """Return the Layout that a document's entries describe."""
    if len(schema.listed("layer_sizes", sizes)) < 2:
        raise schema.wrong("layer_sizes", sizes, "a list of at least 2")
    layout = Layout(
        tuple(schema.whole("a layer size", n, 1, 2**31) for n in sizes),
        tuple(
            schema.text("activation", name, spec.HIDDEN_ACTIVATIONS)
            for name in schema.listed("activation", names, len(sizes) - 2)
        ),
        np.dtype(schema.text("dtype", dtype, ("float32", "float64"))),
        norm=schema.optional(schema.text, "norm", norm, NORMS),
        residual=schema.flag("residual", residual),
        inputs=inputs,
    )
    width = sum(item._width for item in inputs)
    if inputs and width != layout.sizes[0]:
        raise schema.wrong("the first of layer_sizes", layout.sizes[0], f"{width}, as inputs have")
    if norm is not None and len(sizes) == 2:
        raise schema.wrong("norm of a network without hidden layers", norm, "null")
    if residual and not layout.residual_layers:
        raise schema.wrong("residual of a network without such layers", residual, "false")
    return layout


def put_parameters(network, tensors):
    """Add copies of the parameters to `tensors`; raise ValueError if they are not finite."""
    network._engine.check_finite()
    for kind, arrays in network._engine.arrays._asdict().items():
        for i, array in enumerate(arrays, start=1):
            tensors[f"{kind}.{i}"] = np.array(array)


def get_parameters(layout, tensors):
    """Return the `Arrays` that `put_parameters` stored."""
    shapes = layout.shapes._asdict()
    return Arrays(
        *(
            [
                tensors.take(f"{kind}.{i}", layout.dtype, shape)
                for i, shape in enumerate(of_kind, start=1)
            ]
            for kind, of_kind in shapes.items()
        )
    )


def put_memory(memory, layout, tensors):
    """Add copies of an optimiser's memory to `tensors`."""
    tensors["optimizer.hyper"] = memory.hyper.copy()
    tensors["optimizer.counters"] = memory.counters.copy()
    for slot, state in enumerate(memory.state):
        tensors[f"optimizer.state.{slot}"] = packed(layout, state)


def get_memory(slots, layout, tensors):
    """Return the arrays that `put_memory` stored, for an optimiser with `slots` state arrays."""
    return (
        tensors.take("optimizer.hyper", np.float64, (6,)),
        tensors.take("optimizer.counters", np.float64, (3,)),
        [get_packed(f"optimizer.state.{slot}", layout, tensors) for slot in range(slots)],
    )


def fill_memory(memory, layout, found):
    """Fill an optimiser's empty memory with the arrays that `get_memory` returned."""
    memory.hyper[...], memory.counters[...], states = found
    for state, vector in zip(memory.state, states, strict=True):
        unpack(layout, vector, state)


def packed(layout, buffer):
    """Return a parameter buffer's values without padding: all weights, then all biases, ..."""
    return np.concatenate([np.ravel(view) for view in layout.views(buffer).all])


def get_packed(name, layout, tensors):
    """Return the tensor that stores the result of `packed`."""
    return tensors.take(name, layout.dtype, (layout.n_numbers,))


def unpack(layout, vector, buffer):
    """Fill a parameter buffer from the result of `packed`; padding is left unchanged."""
    start = 0
    for view in layout.views(buffer).all:
        view[...] = vector[start : start + view.size].reshape(view.shape)
        start += view.size


def of_random(generator):
    """Return the state of a generator as values for JSON."""
    state = generator.bit_generator.state
    return {
        **state["state"],
        "has_uint32": state["has_uint32"],
        "uinteger": state["uinteger"],
    }


def set_random(generator, document):
    """Set a generator to a state that `of_random` returned."""
    schema.fields("random", document, RANDOM)
    most = {"state": 2**128, "inc": 2**128, "has_uint32": 2, "uinteger": 2**32}
    state = {name: schema.whole(name, document[name], 0, most[name] - 1) for name in RANDOM}
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state["state"], "inc": state["inc"]},
        "has_uint32": state["has_uint32"],
        "uinteger": state["uinteger"],
    }


def from_file(cls, document, tensors, backend):
    """Return the network of a file's document; the file may be a checkpoint."""
    kind = document.get("kind")
    if kind in ("ensemble", "estimator", "pipeline", "tabular"):
        raise ValueError(f"the file holds no network, but a model of kind {kind}; use fastbp.load")
    schema.text("kind", kind, ("network", "checkpoint"))
    training = ("training",) if kind == "checkpoint" else ()
    schema.fields("the document", document, ("kind", "model", *training))
    network = from_document(cls, document["model"], tensors, backend)
    if not training:
        tensors.end()
    return network
