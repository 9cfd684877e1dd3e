"""Several networks, each fitted alone to compare with."""

import copy

import numpy as np

import fastbp


def networks(backend, count=4, **options):
    """Some that differ in width, depth and seed, of the dtypes in turn."""
    options = {"loss": "cross_entropy", "backend": backend, **options}
    return [
        fastbp.Network(
            [6, *[5 + i] * (1 + i % 2), 3],
            activation=["relu", "tanh", "sigmoid"][i % 3],
            dtype=["float32", "float64"][i % 2],
            seed=i,
            **options,
        )
        for i in range(count)
    ]


def alone(nets, X, y, rows=None, **options):
    """Copies fitted one after the other, by Network.fit, and their histories."""
    nets, histories = copy.deepcopy(nets), []
    for i, net in enumerate(nets):
        own = {
            key: value[i] if isinstance(value, list) else value for key, value in options.items()
        }
        picked = slice(None) if rows is None or rows[i] is None else rows[i]
        if own.get("sample_weight") is not None:
            own["sample_weight"] = own["sample_weight"][picked]
        histories.append(net.fit(X[picked], y[picked], **own))
    return nets, histories


def assert_same(nets, histories, expected):
    """Bits of parameters, histories, and what the next shuffle will draw."""
    others, expected_histories = expected
    for net, other in zip(nets, others, strict=True):
        np.testing.assert_array_equal(net._engine.parameters, other._engine.parameters)
        assert net._engine.random.bit_generator.state == other._engine.random.bit_generator.state
    assert histories == expected_histories
