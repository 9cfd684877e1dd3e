"""Writes networks as C99: a header, a source and a test program that need no library."""

from pathlib import Path

import numpy as np

from ..basis import checks, writing
from . import c_functions, c_text
from .activations import check_plain, names_of
from .c_check import program
from .c_floats import STEPS, Floats, steps_of, whole
from .c_integers import Integers
from .c_names import check_name
from .integers import IntegerNetwork
from .scaling import Scalers

NO_SCALERS = Scalers()
WEIGHTS = ("float32", "int8")
N_SAMPLES = 8
MOST_SAMPLES = 64  # of those that a network was calibrated on, in its test program


def to_c(net, folder, name, weights, X, arithmetic, jacobian, train, scalers=NO_SCALERS):
    """See Network.to_c; `scalers` are those of a pipeline around the network."""
    check_name(name)
    check_plain(net, "C")
    folder = Path(checks.path("folder", folder))
    if not isinstance(weights, str) or weights not in WEIGHTS:
        raise ValueError(f'weights must be "float32" or "int8", got {weights!r}')
    if not isinstance(arithmetic, str) or arithmetic not in WEIGHTS:
        raise ValueError(f'arithmetic must be "float32" or "int8", got {arithmetic!r}')
    checks.flag("jacobian", jacobian)
    if arithmetic == "int8":
        _check_integers(weights, X, jacobian)
    if train not in (None, "sgd"):
        raise ValueError(f'train must be None or "sgd", got {train!r}')
    if train:
        c_functions.check_trainable(net)
        if weights != "float32":
            raise ValueError('train="sgd" needs weights="float32": weights in int8 cannot change')
    exported = net._converted("float32", net.backend)
    if arithmetic == "int8":
        return _write_integers(exported, folder, name, X, scalers)
    if weights == "int8":
        for i, W in enumerate(exported.weights):
            step = steps_of(W)
            exported.weights[i] = step * whole(W, step)
    code = Floats(exported, name, weights == "int8", jacobian, bool(train), scalers)
    X, h = _samples(exported, X, scalers)
    header = _header(exported, name, _of_floats(name, weights, code), code)
    _write(folder, name, header, code, program(exported, name, X, h, bool(train), scalers))
    return exported


def _check_integers(weights, X, jacobian):
    if weights != "int8":
        raise ValueError(f'arithmetic="int8" needs weights="int8", got {weights!r}')
    if X is None:
        raise ValueError(
            'arithmetic="int8" needs X=, rows such as those of the training: they give the ranges '
            "of all layers"
        )
    if jacobian:
        raise ValueError(
            'arithmetic="int8" has no derivatives; for jacobian=True leave out arithmetic='
        )


def _write_integers(net, folder, name, X, scalers):
    """Write the network in whole numbers, and return it."""
    X = checks.samples(X, net.layout.sizes[0], net.layout.dtype)
    made = IntegerNetwork(net, X, scalers)
    code = Integers(made, name, scalers)
    some = X[np.linspace(0, len(X) - 1, min(len(X), MOST_SAMPLES)).astype(int)]
    header = _header(net, name, _of_integers(made, len(X), name, code), code)
    _write(folder, name, header, code, program(net, name, some, made.predict(some), False, scalers))
    return made


def _write(folder, name, header, code, test):
    """Write the three files, all or none."""
    source = c_text.source(name, code.called, code.constants, code.functions)
    texts = {f"{name}.h": header, f"{name}.c": source, f"{name}_test.c": test}
    folder.mkdir(parents=True, exist_ok=True)
    writing.write_all({folder / file: text.encode("ascii") for file, text in texts.items()})


def _samples(net, X, scalers):
    """Return samples for the test program, and the outputs that it should compute."""
    n_in = net.layout.sizes[0]
    if X is None:
        X = np.random.default_rng(0).standard_normal((N_SAMPLES, n_in))
        for scaling in reversed(scalers.inputs):
            X = scaling.undo(X)
    X = checks.samples(X, n_in, net.layout.dtype)
    # The NumPy reference differs in the last bits.
    h = scalers.behind(net.to_backend("auto")._engine.outputs(scalers.before(X)))
    if not np.isfinite(h).all():
        outputs = "the network's output for the samples of the test program"
        raise ValueError(f"{checks.not_finite(outputs, h)}; pass other samples as X=")
    return X, h


def _of_floats(name, weights, code):
    """Return what a header says of a network whose arithmetic is that of floats."""
    rounding = ""
    if weights == "int8":
        rounding = f"""
 * Each was rounded, by at most a {2 * STEPS}th of the largest one of its unit."""
    return f"""its weights in {weights}. Written by fastbp.{rounding}
 *
 * {name}.c is C99 without any library. It has {code.n_bytes} bytes of constants and
 * {4 * code.sizes["SCRATCH"]} bytes of static memory. With instructions that multiply and add at
 * once (gcc -O3 -march=native) it is much faster, with the same results."""


def _of_integers(made, n, name, code):
    """Return what a header says of a network whose arithmetic is that of whole numbers."""
    largest, rms, same = made.calibration
    agreement = ""
    if same is not None:
        agreement = f"""
 * {same:.2%} of the rows had the same class."""
    return f"""in whole numbers. Written by fastbp.
 *
 * Weights and the outputs of hidden layers are int8, sums int32. Ranges come from {n} rows, for
 * which outputs differ from those of the network in float32 by at most {largest:.3g}; the root of
 * the mean square is {rms:.3g}.{agreement}
 *
 * {name}.c is C99 without any library. It has {code.n_bytes} bytes of constants and
 * {code.sizes["SCRATCH"]} bytes of static memory. {name}_integers has no floats."""


def _header(net, name, description, code):
    sizes, prefix = net.layout.sizes, name.upper()
    activations = names_of(net, net._engine.output_activation, "the C source")
    layers = " -> ".join(
        f"{n} {function}" for n, function in zip(sizes[1:], activations, strict=True)
    )
    macros = "\n".join(
        f"#define {prefix}_{macro} {size}"
        for macro, size in {"INPUTS": sizes[0], "OUTPUTS": sizes[-1], **code.sizes}.items()
    )
    functions = "\n\n".join(
        [*code.declarations, *(f"{each.comment}\n{each.declaration};" for each in code.functions)]
    )
    integers = "" if isinstance(code, Floats) else "#include <stdint.h>\n\n"
    return f"""\
/* The network {sizes[0]} -> {layers}, {description}
 *
 * {name}_test.c is a program that returns 0 if the results are those of fastbp to the last bit:
 *
 *     cc -O3 -march=native {name}.c {name}_test.c -o {name}_test && ./{name}_test
 */
#ifndef FASTBP_{prefix}_H
#define FASTBP_{prefix}_H

{integers}{macros}

#ifdef __cplusplus
extern "C" {{
#endif

{functions}

#ifdef __cplusplus
}}
#endif

#endif
"""
