"""The bounds of initial weights; see the notes of `Network` for the sources."""

import math

from . import spec


def bounds(layout):
    """Each layer's bound: its initial weights are drawn from [-bound, bound]."""
    sizes = layout.sizes
    rules = [spec.activation_of(item).initialization for item in layout.activations]
    found = [
        _bound(n_in, n_out, rule, first=i == 0)
        for i, (n_in, n_out, rule) in enumerate(
            zip(sizes, sizes[1:], [*rules, "glorot"], strict=False)
        )
    ]
    if rules[-1:] == ["siren"]:
        found[-1] = math.sqrt(6 / sizes[-2]) / spec.SIREN_FREQUENCY
    return found


def _bound(n_in, n_out, rule, first):
    if rule == "siren" and first:
        return spec.SIREN_FREQUENCY / n_in
    if rule == "glorot":
        return math.sqrt(6 / (n_in + n_out))
    return math.sqrt((3 if rule == "lecun" else 6) / n_in)
