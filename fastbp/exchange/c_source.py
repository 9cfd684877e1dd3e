"""Writes networks as C99: a header, a source and a test program that need no library."""

from pathlib import Path

import numpy as np

from ..basis import checks, writing
from . import c_functions, c_text
from .activations import names_of
from .c_check import program
from .c_floats import STEPS, Floats, steps_of, whole
from .c_names import check_name
from .scaling import Scalers

NO_SCALERS = Scalers()
WEIGHTS = ("float32", "int8")
N_SAMPLES = 8


def to_c(net, folder, name, weights, X, jacobian, train, scalers=NO_SCALERS):
    """See Network.to_c; `scalers` are those of a pipeline around the network."""
    check_name(name)
    folder = Path(checks.path("folder", folder))
    if not isinstance(weights, str) or weights not in WEIGHTS:
        raise ValueError(f'weights must be "float32" or "int8", got {weights!r}')
    checks.flag("jacobian", jacobian)
    if train not in (None, "sgd"):
        raise ValueError(f'train must be None or "sgd", got {train!r}')
    if train:
        c_functions.check_trainable(net)
        if weights != "float32":
            raise ValueError('train="sgd" needs weights="float32": weights in int8 cannot change')
    exported = net._converted("float32", net.backend)
    if weights == "int8":
        for i, W in enumerate(exported.weights):
            step = steps_of(W)
            exported.weights[i] = step * whole(W, step)
    code = Floats(exported, name, weights == "int8", jacobian, bool(train), scalers)
    X, h = _samples(exported, X, scalers)
    texts = {
        f"{name}.h": _header(exported, name, weights, code),
        f"{name}.c": c_text.source(name, code.called, code.constants, code.functions),
        f"{name}_test.c": program(exported, name, X, h, bool(train), scalers),
    }
    folder.mkdir(parents=True, exist_ok=True)
    writing.write_all({folder / file: text.encode("ascii") for file, text in texts.items()})
    return exported


def _samples(net, X, scalers):
    """Return samples for the test program, and the outputs that it should compute."""
    n_in = net.layout.sizes[0]
    if X is None:
        X = np.random.default_rng(0).standard_normal((N_SAMPLES, n_in))
        for scaling in reversed(scalers.inputs):
            X = scaling.undo(X)
    X = checks.samples(X, n_in, net.layout.dtype)
    # The NumPy reference differs in the last bits.
    h = scalers.behind(net.to_backend("auto").predict(scalers.before(X)))
    if not np.isfinite(h).all():
        outputs = "the network's output for the samples of the test program"
        raise ValueError(f"{checks.not_finite(outputs, h)}; pass other samples as X=")
    return X, h


def _header(net, name, weights, code):
    sizes, prefix = net.layout.sizes, name.upper()
    activations = names_of(net, net._engine.output_activation, "the C source")
    layers = " -> ".join(
        f"{n} {function}" for n, function in zip(sizes[1:], activations, strict=True)
    )
    rounding = ""
    if weights == "int8":
        rounding = f"""
 * Each was rounded, by at most a {2 * STEPS}th of the largest one of its unit."""
    macros = "\n".join(
        f"#define {prefix}_{macro} {size}"
        for macro, size in {"INPUTS": sizes[0], "OUTPUTS": sizes[-1], **code.sizes}.items()
    )
    functions = "\n\n".join(
        [*code.declarations, *(f"{each.comment}\n{each.declaration};" for each in code.functions)]
    )
    return f"""\
/* The network {sizes[0]} -> {layers}, its weights in {weights}. Written by fastbp.{rounding}
 *
 * {name}.c is C99 without any library. It has {code.n_bytes} bytes of constants and
 * {4 * code.sizes["SCRATCH"]} bytes of static memory. With instructions that multiply and add at
 * once (gcc -O3 -march=native) it is much faster, with the same results.
 *
 * {name}_test.c is a program that returns 0 if the results are those of fastbp to the last bit:
 *
 *     cc -O3 -march=native {name}.c {name}_test.c -o {name}_test && ./{name}_test
 */
#ifndef FASTBP_{prefix}_H
#define FASTBP_{prefix}_H

{macros}

#ifdef __cplusplus
extern "C" {{
#endif

{functions}

#ifdef __cplusplus
}}
#endif

#endif
"""
