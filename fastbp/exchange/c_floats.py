"""A network in C whose arithmetic is that of floats: its constants and functions."""

import numpy as np

from . import c_functions
from .activations import names_of
from .c_text import Function, array, signature

# The largest int8 whose negative is an int8, too.
STEPS = 127

PREDICT = """\
/* The network's output h for one sample x; they must not overlap. x must be finite: what comes of
 * NaN is NaN. Its memory is static: calls by several threads, or by a program and its interrupts,
 * would disturb each other. */"""
PREDICT_R = """\
/* The same for any number of calls at once, each with a scratch of its own: memory for the outputs
 * of hidden layers. What it holds does not matter; it must not overlap x or h. */"""
JACOBIAN = """\
/* The output h for one sample x, and in J[k][j] the derivative of output k by input j. The scratch
 * is as above, of another size; none of the arrays may overlap. */"""
PARAMETERS = """\
/* The weights and biases as they were written: for each layer the weights, those of its first input
 * to all units first, then the biases. To train, copy them to memory of your own. */"""
WITH = "/* The same with other parameters, such as those that fit_step has changed. */"
FIT_STEP = """\
/* One step of SGD for one sample with inputs x and targets y{classes}: to each
 * parameter, -rate times its derivative of the loss {loss} is added. All numbers must be
 * finite, and none of the arrays may overlap. The bits are those of Network.fit_step, unless
 * numbers below 1.2e-38 appear, for which it takes 0. */"""


def steps_of(W):
    """Return each unit's step, 1/127 of its largest weight."""
    largest = np.abs(W).max(axis=0).astype(np.float64)
    # A multiple of a subnormal step would be rounded again.
    return np.maximum(largest / STEPS, np.finfo(np.float32).tiny).astype(np.float32)


def whole(W, step):
    """Return the weights as whole multiples of their units' steps."""
    return np.rint(W.astype(np.float64) / step).clip(-STEPS, STEPS).astype(np.int8)


class Floats:
    """A network in C.

    Parameters
    ----------
    net : Network
        In float32.
    name : str
    int8 : bool
        Whether weights are stored in int8; the network has such weights.
    jacobian, train : bool
        Which functions it has besides.
    scalers : Scalers

    Attributes
    ----------
    functions : list of Function
    declarations : list of str
        What the header declares before the functions.
    constants : list of str
    sizes : dict
        Sizes for the header's macros, by name.
    called : set of str
        Functions of the .c files.
    n_bytes : int
        Of the constants.
    """

    def __init__(self, net, name, int8, jacobian, train, scalers):
        self.name, self.prefix, self.train = name, name.upper(), train
        self.functions: list[Function] = []
        self.declarations: list[str] = []
        self.constants: list[str] = []
        self.sizes: dict[str, int] = {}
        self.called: set[str] = set()
        self.n_bytes = 0
        activations = names_of(net, net._engine.output_activation, "the C source")
        layers = self._layers(net, activations, "int8" if int8 else "float32")
        self._scaling(scalers)
        self._predict(layers, scalers)
        if jacobian:
            self._jacobian(layers, scalers)
        if train:
            self._fit_step(net, layers, scalers)

    def _layers(self, net, activations, kind):
        """Return the layers, and write their parameters as constants."""
        layers, at = [], 0
        for i, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
            weights, biases = f"weights_{i}", f"biases_{i}"
            if self.train:
                weights, biases = f"parameters + {at}", f"parameters + {at + W.size}"
                at += W.size + b.size
            elif kind == "int8":
                steps = steps_of(W)
                self._constant("int8_t", weights, whole(W, steps))
                self._constant("float", f"steps_{i}", steps)
                weights = f"{weights}, steps_{i}"
            else:
                self._constant("float", weights, W)
            if not self.train:
                self._constant("float", biases, b)
            single = i == len(net.weights) and len(b) == 1
            n_in, n_out = W.shape
            layers.append(
                c_functions.Layer(i, weights, biases, n_in, n_out, activations[i - 1], kind, single)
            )
        if self.train:
            pairs = zip(net.weights, net.biases, strict=True)
            numbers = np.concatenate([a.ravel() for pair in pairs for a in pair])
            self.sizes["PARAMETERS"] = at
            place = f"{self.name}_parameters"
            self.declarations.append(
                f"{PARAMETERS}\nextern const float {place}[{self.prefix}_PARAMETERS];"
            )
            self.constants.append(array("float", place, numbers, storage="const"))
            self.n_bytes += numbers.nbytes
        return layers

    def _constant(self, kind, name, values):
        self.constants.append(array(kind, name, values))
        self.n_bytes += values.nbytes

    def _scaling(self, scalers):
        for k, scaling in enumerate(scalers.inputs, start=1):
            self._constant("float", f"centers_{k}", scaling.center)
            self._constant("float", f"rests_{k}", scaling.rest)
            self._constant("float", f"scales_{k}", scaling.scale)
        if scalers.targets is not None:
            self._constant("float", "target_centers", scalers.targets.center)
            self._constant("float", "target_scales", scalers.targets.scale)
            if self.train:
                self._constant("float", "target_rests", scalers.targets.rest)

    def _array(self, name, size, const=""):
        return f"{const}float {name}[{self.prefix}_{size}]"

    def _predict(self, layers, scalers):
        x, h = self._array("x", "INPUTS", "const "), self._array("h", "OUTPUTS")
        scratch = self._scratch("SCRATCH", *c_functions.predict(layers, scalers))
        body = [
            f"static {scratch};",
            f"{self.name}_predict_r(x, h, scratch);",
        ]
        declaration = signature(f"{self.name}_predict", [x, h])
        self.functions.append(Function(PREDICT, declaration, body))
        self._function("predict_r", "predict_with", PREDICT_R, [x, h, scratch])

    def _jacobian(self, layers, scalers):
        J = f"float J[{self.prefix}_OUTPUTS][{self.prefix}_INPUTS]"
        x, h = self._array("x", "INPUTS", "const "), self._array("h", "OUTPUTS")
        scratch = self._scratch("JACOBIAN_SCRATCH", *c_functions.jacobian(layers, scalers))
        self._function("jacobian", "jacobian_with", JACOBIAN, [x, h, J, scratch])

    def _fit_step(self, net, layers, scalers):
        arguments = [
            self._array("parameters", "PARAMETERS"),
            self._array("x", "INPUTS", "const "),
            self._array("y", "OUTPUTS", "const "),
            "float rate",
            self._scratch("FIT_SCRATCH", *c_functions.fit_step(net, layers, scalers)),
        ]
        classes = " (1 for its class, else 0)" * (net.loss == "cross_entropy")
        comment = FIT_STEP.format(loss=net.loss, classes=classes)
        declaration = signature(f"{self.name}_fit_step", arguments)
        self.functions.append(Function(comment, declaration, self._lines))

    def _scratch(self, size, code, n):
        """Keep a function's statements for its body, and return the argument of its scratch."""
        self.sizes[size] = max(1, n)  # C has no empty arrays
        self.called |= code.called
        self._lines = code.lines
        return self._array("scratch", size)

    def _function(self, own, other, comment, arguments):
        """Add the function `own`; if parameters can be trained, also `other`, which gets them."""
        body = self._lines
        if self.train:
            names = ", ".join(argument.split("[")[0].split()[-1] for argument in arguments)
            body = [f"{self.name}_{other}({self.name}_parameters, {names});"]
        declaration = signature(f"{self.name}_{own}", arguments)
        self.functions.append(Function(comment, declaration, body))
        if self.train:
            arguments = [self._array("parameters", "PARAMETERS", "const "), *arguments]
            declaration = signature(f"{self.name}_{other}", arguments)
            self.functions.append(Function(WITH, declaration, self._lines))
