"""The program beside an exported network that compares its results with fastbp's."""

import numpy as np

from ..rules.optimizers import SGD
from ..training.history import TrainingDiverged
from .c_text import array, hexadecimal

RATE = 2.0**-10  # of the steps of training


def program(net, name, X, h, train, scalers):
    """Return the text of the program; h are the outputs expected for the samples X."""
    prefix = name.upper()
    arrays = [
        array("float", "samples", X, f"[][{prefix}_INPUTS]"),
        array("float", "outputs", h, f"[][{prefix}_OUTPUTS]"),
    ]
    what, checks = f"{name}_predict with fastbp's Network.predict", ["samples_differ()"]
    text = _comparison(name, "samples_differ", f"{name}_predict(samples[i], h);", "outputs", [])
    if train:
        y, after = _steps(net, X, scalers)
        arrays.append(array("float", "targets", y, f"[][{prefix}_OUTPUTS]"))
        arrays.append(array("float", "outputs_after_steps", after, f"[][{prefix}_OUTPUTS]"))
        what += f",\n * and {name}_fit_step with Network.fit_step"
        checks.append("steps_differ()")
        text += "\n" + _comparison(
            name,
            "steps_differ",
            f"{name}_fit_step(parameters, samples[i], targets[i], {hexadecimal(RATE)},\n"
            f"{' ' * len(name)}                  fit_scratch);\n"
            f"        {name}_predict_with(parameters, samples[i], h, scratch);",
            "outputs_after_steps",
            [
                f"static float parameters[{prefix}_PARAMETERS];",
                f"static float scratch[{prefix}_SCRATCH], fit_scratch[{prefix}_FIT_SCRATCH];",
                f"memcpy(parameters, {name}_parameters, sizeof parameters);",
            ],
        )
    return f"""\
/* Compares {what}, bit by bit: 0 if all agrees. */
#include <stdio.h>
#include <string.h>

#include "{name}.h"

{chr(10).join(f"{each}{chr(10)}" for each in arrays)}
{text}
int main(void)
{{
    const int different = {" + ".join(checks)};
    return different != 0;
}}
"""


def _comparison(name, function, call, expected, before):
    """Return a function that counts the samples whose outputs are not those expected."""
    prefix = name.upper()
    first = "".join(f"    {line}\n" for line in before if not line.startswith("memcpy"))
    then = "".join(f"    {line}\n" for line in before if line.startswith("memcpy"))
    after = " after a step" if before else ""
    return f"""\
static int {function}(void)
{{
    const int n = (int)(sizeof samples / sizeof samples[0]);
    int different = 0;
{first}{then}    for (int i = 0; i < n; i++) {{
        float h[{prefix}_OUTPUTS];
        {call}
        if (memcmp(h, {expected}[i], sizeof h) == 0)
            continue;
        different++;
        for (int j = 0; j < {prefix}_OUTPUTS; j++)
            printf("sample %d, output %d{after}: %.9g, expected %.9g\\n", i, j, (double)h[j],
                   (double){expected}[i][j]);
    }}
    printf("{name}: %d of %d samples differ{after}\\n", different, n);
    return different;
}}
"""


def _steps(net, X, scalers):
    """Return targets for the samples, and the outputs of each after a step for it."""
    trained = net.to_backend("auto")
    y = _targets(net, len(X)).astype(np.float32)
    scaled = y
    if scalers.targets is not None:
        y = scalers.targets.undo(y)
        scaled = scalers.targets.apply(y)
    Z, after = scalers.before(X), np.empty_like(y)
    for i in range(len(X)):
        try:
            trained.fit_step(Z[i : i + 1], scaled[i : i + 1], optimizer=SGD(RATE))
        except TrainingDiverged as error:
            raise ValueError(
                "the steps of training in the test program diverge; pass other samples as X="
            ) from error
        after[i] = scalers.behind(trained.predict(Z[i : i + 1]))[0]
    return y, after


def _targets(net, n):
    """Return targets that the loss takes, of shape (n, n_outputs)."""
    n_outputs = net.layout.sizes[-1]
    rng = np.random.default_rng(0)
    match net.loss:
        case "cross_entropy":
            return np.eye(n_outputs)[np.arange(n) % n_outputs]
        case "log_loss":
            return rng.integers(0, 2, (n, n_outputs))
        case "poisson":
            return rng.integers(0, 4, (n, n_outputs))
        case _:
            return rng.standard_normal((n, n_outputs))
