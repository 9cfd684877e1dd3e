"""Converters for skl2onnx, which write fastbp's estimators, alone or in pipelines."""

import numpy as np

from ..exchange.onnx_export import OPSETS, Graph, numpy_helper, onnx, write_layers
from .ensembles import MLPEnsembleClassifier, MLPEnsembleRegressor
from .mlp import MLPClassifier, MLPRegressor

# The options that skl2onnx has for its own classifiers.
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [True, False],
}


def register():
    """See fastbp.exchange.register_skl2onnx."""
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError("register_skl2onnx needs skl2onnx: pip install skl2onnx") from error
    for classifier in (MLPClassifier, MLPEnsembleClassifier):
        alias = f"Fastbp{classifier.__name__}"
        update_registered_converter(
            classifier, alias, classifier_shapes, write_classifier, options=OPTIONS
        )
    for regressor in (MLPRegressor, MLPEnsembleRegressor):
        alias = f"Fastbp{regressor.__name__}"
        update_registered_converter(regressor, alias, regressor_shapes, write_regressor)


class SharedGraph(Graph):
    """A Graph that adds its nodes to skl2onnx's file, with names from skl2onnx."""

    def __init__(self, scope, operator, container):
        from skl2onnx.common.data_types import DoubleTensorType

        opset = container.target_opset_onnx
        if opset < OPSETS[0]:
            raise ValueError(f"target_opset must be at least {OPSETS[0]}, got {opset}")
        (x,) = operator.inputs
        double = isinstance(x.type, DoubleTensorType)
        super().__init__(np.dtype(np.float64 if double else np.float32), opset)
        self.scope, self.container = scope, container
        self.X = self.add("Cast", x.full_name, to=self.type)  # of whole numbers and bools

    def add(self, operator, *inputs, output=None, **attributes):
        names = [x if isinstance(x, str) else self.number(x) for x in inputs]
        output = output or self.scope.get_unique_variable_name(operator)
        name = self.scope.get_unique_operator_name(operator)
        self.container.add_node(operator, names, output, name=name, **attributes)
        return output

    def constant(self, array, name):
        with np.errstate(over="ignore"):
            array = np.array(array, self.dtype)
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} is not finite in {self.dtype}; float64 needs DoubleTensorType as the input"
            )
        name = self.scope.get_unique_variable_name(name)
        tensor = numpy_helper.from_array(array, name)
        self.container.add_initializer(name, tensor.data_type, array.shape, tensor)
        return name


def members_of(estimator):
    """Return the networks that an ensemble averages; for another estimator, a list of one."""
    members = getattr(estimator, "estimators_", [estimator])
    for member in members:
        if type(member) not in (MLPClassifier, MLPRegressor):
            raise ValueError(
                f"only ensembles of MLPClassifier or MLPRegressor can be converted, but a member "
                f"of this {type(estimator).__name__} is a {type(member).__name__}; put what "
                "precedes the networks before the ensemble"
            )
    return members


def write_outputs(graph, member):
    """Add the nodes of one network; return the name of its output."""
    net = member._network()
    net._engine.check_finite()
    if net._engine.distribution is not None:
        raise ValueError(
            f"a model with loss={net.loss!r} cannot be converted: what it predicts is a function "
            "of its outputs; Network.from_sklearn(model).to_onnx(path) writes the outputs"
        )
    return write_layers(graph, graph.X, net, net._engine.output_activation)


def mean(graph, names, output):
    """Add the mean of the members' outputs, named `output`."""
    total = names[0]
    for name in names[1:]:
        total = graph.add("Add", total, name)
    if len(names) > 1:
        total = graph.add("Div", total, float(len(names)))
    graph.add("Identity", total, output=output)


def is_multilabel(estimator):
    member = members_of(estimator)[0]
    return member._label_binarizer.y_type_.startswith("multilabel")


def write_probabilities(graph, member, classes):
    """Add a column for each class, as in predict_proba."""
    h = write_outputs(graph, member)
    if is_multilabel(member):
        return h
    if len(member.classes_) == 1:
        raise ValueError("a classifier that has seen a single class cannot be converted")
    if member.n_outputs_ == 1:
        h = graph.add("Concat", graph.add("Sub", 1.0, h), h, axis=1)
    if len(member.classes_) == len(classes):
        return h
    # Classes that a member has not seen have probability 0.
    columns = np.equal.outer(member.classes_, classes)
    return graph.add("MatMul", h, graph.constant(columns, "columns"))


def write_classifier(scope, operator, container):
    """Write labels and probabilities; a converter for skl2onnx."""
    from skl2onnx.common.utils_classifier import get_label_classes

    estimator, graph = operator.raw_operator, SharedGraph(scope, operator, container)
    label, probabilities = (variable.full_name for variable in operator.outputs)
    members = members_of(estimator)
    names = [write_probabilities(graph, member, estimator.classes_) for member in members]
    mean(graph, names, probabilities)
    if is_multilabel(estimator):
        chosen = graph.add("Greater", probabilities, 0.5)
        graph.add("Cast", chosen, to=onnx.TensorProto.INT64, output=label)
        return
    classes = labels_of(get_label_classes(scope, estimator))
    kind = onnx.TensorProto.STRING if classes.dtype == object else onnx.TensorProto.INT64
    name = scope.get_unique_variable_name("classes")
    container.add_initializer(name, kind, classes.shape, classes.tolist())
    largest = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    graph.add("Gather", name, largest, output=label)


def labels_of(classes):
    """Return the classes in a form for ONNX: whole numbers or text."""
    classes = np.asarray(classes)
    if classes.dtype.kind in "biuf":
        whole = classes.astype(np.int64)
        if np.array_equal(whole, classes):
            return whole
        raise ValueError(f"labels in ONNX are whole numbers or text, got {classes}")
    return np.array([str(name).encode() for name in classes], object)


def write_regressor(scope, operator, container):
    """Write the values; a converter for skl2onnx."""
    graph = SharedGraph(scope, operator, container)
    names = [write_outputs(graph, member) for member in members_of(operator.raw_operator)]
    mean(graph, names, operator.outputs[0].full_name)


def classifier_shapes(operator):
    """skl2onnx's shape calculator."""
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    estimator = operator.raw_operator
    if is_multilabel(estimator):
        rows = operator.inputs[0].get_first_dimension()
        operator.outputs[0].type.shape = [rows, len(estimator.classes_)]


def regressor_shapes(operator):
    """skl2onnx's shape calculator."""
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes

    calculate_linear_regressor_output_shapes(operator)
    rows = operator.inputs[0].get_first_dimension()
    n_outputs = members_of(operator.raw_operator)[0].n_outputs_
    operator.outputs[0].type.shape = [rows, n_outputs]
