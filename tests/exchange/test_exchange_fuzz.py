"""Whatever is read, the end is a Network or a ValueError.

FASTBP_FUZZ=100000 does so many rounds of each test. Round n depends on n and FASTBP_FUZZ_SEED only,
and its number is part of the traceback of what fails.
"""

import itertools
import os

import numpy as np
import pytest
from helpers import ACTIVATIONS, TARGETS, make_network

import fastbp

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
from torch import nn  # noqa: E402

ROUNDS = int(os.environ.get("FASTBP_FUZZ", 1500))
SEED = int(os.environ.get("FASTBP_FUZZ_SEED", 0))


def rounds(read, mutants):
    """Read a mutant a round; returns how often the answer was a ValueError."""
    refused = 0
    for n in range(ROUNDS):
        rng = np.random.default_rng((SEED, n))
        mutant = mutants[n % len(mutants)](rng)
        try:
            net = read(mutant)
        except ValueError as error:
            assert str(error)
            refused += 1
            continue
        except BaseException as error:
            error.add_note(f"round {n} of seed {SEED}")
            raise
        assert isinstance(net, fastbp.Network)
        assert np.isfinite(np.concatenate([W.ravel() for W in net.weights])).all()
    return refused


# ONNX files.


def models():
    """Graphs of several kinds, as bytes."""
    kinds = [
        ([3, 8, 4], "cross_entropy", "float64", "gelu"),
        ([2, 3, 1], "log_loss", "float32", "elu"),
        ([2, 3, 3, 2], "poisson", "float64", ("softplus", "leaky_relu")),
        ([4, 2], "squared_error", "float32", "relu"),
    ]
    for sizes, loss, dtype, activation in kinds:
        yield make_network(sizes, loss, "numpy", dtype, activation)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "net.onnx"
    contents = []
    for net in models():
        net.to_onnx(path)
        contents.append(path.read_bytes())
    return contents


def damaged(content, rng):
    """The bytes of a file with some changed, cut off, left out, or repeated."""
    data = bytearray(content)
    start = int(rng.integers(len(data)))
    match rng.integers(4):
        case 0:
            for _ in range(rng.integers(1, 5)):
                data[rng.integers(len(data))] = rng.integers(256)
        case 1:
            del data[start:]
        case 2:
            del data[start : start + rng.integers(1, 20)]
        case 3:
            data[start:start] = data[start : start + rng.integers(1, 60)]
    return bytes(data)


NUMBERS = [0, 1, -1, 2, 2**31 - 1, -(2**31), 2**62, -(2**63)]
FLOATS = [0.0, -1.0, 1e-40, 1e38, float("inf"), float("nan")]
OPERATORS = [
    *("Gemm", "MatMul", "Add", "Softmax", "Constant", "Identity", "Max", "Erf", "Conv", ""),
    *("Cast", "Reshape", "Flatten", "Transpose", "Dropout", "ZipMap", "Concat"),
]
ATTRIBUTES = ["alpha", "beta", "transA", "transB", "axis", "value", "x", "to", "perm", "value_ints"]


def rearranged(content, rng):
    """The graph of a file with a few fields changed: still a message that can be read."""
    model = onnx.ModelProto.FromString(content)
    graph = model.graph
    for _ in range(rng.integers(1, 4)):
        tensor = graph.initializer[rng.integers(len(graph.initializer))]
        node = graph.node[rng.integers(len(graph.node))]
        names = [t.name for t in graph.initializer] + [n.output[0] for n in graph.node] + ["X", ""]
        match rng.integers(9):
            case 0:
                tensor.dims[:] = rng.choice(NUMBERS, rng.integers(0, 4)).tolist()
            case 1:
                tensor.data_type = int(rng.integers(0, 20))
            case 2:
                tensor.raw_data = rng.bytes(len(tensor.raw_data))
            case 3:
                node.op_type = str(rng.choice(OPERATORS))
            case 4:
                node.input[:] = rng.choice(names, rng.integers(0, 4)).tolist()
            case 5:
                node.output[:] = rng.choice(names, 1).tolist()
            case 6:
                key = str(rng.choice(ATTRIBUTES))
                value = [float(rng.choice(FLOATS)), int(rng.choice(NUMBERS)), [1, 0]][
                    rng.integers(3)
                ]
                node.attribute.append(onnx.helper.make_attribute(key, value))
            case 7:
                graph.node.append(node)
            case 8:
                graph.output[0].name = str(rng.choice(names))
    return model.SerializeToString()


@pytest.mark.parametrize("mutate", [damaged, rearranged])
def test_onnx(mutate, files, tmp_path):
    path = tmp_path / "mutant.onnx"

    def read(content):
        path.write_bytes(content)
        return fastbp.Network.from_onnx(path, backend="numpy")

    mutants = [lambda rng, content=content: mutate(content, rng) for content in files]
    assert ROUNDS / 4 < rounds(read, mutants) < ROUNDS


# PyTorch's objects.


def tensor(rng):
    """Any tensor."""
    shape = rng.integers(0, 5, rng.integers(0, 4)).tolist()
    value = torch.from_numpy(np.asarray(rng.choice(FLOATS + NUMBERS, shape), np.float64))
    kinds = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]
    value = value.to(kinds[rng.integers(len(kinds))])
    match rng.integers(6):
        case 0:
            return value.to_sparse()
        case 1:
            return value.to("meta")
        case 2:
            return value.to(torch.complex64)
        case 3:
            return value.transpose(0, -1) if value.ndim else value
    return value


def state_dict(rng):
    """A state_dict with a few entries changed, lost or in another order; and activations."""
    sizes = rng.integers(1, 5, rng.integers(2, 5)).tolist()
    pairs = itertools.pairwise(sizes)
    state = {}
    for i, (n_in, n_out) in enumerate(pairs):
        state |= {f"{i}.{k}": v for k, v in nn.Linear(n_in, n_out).state_dict().items()}
    for _ in range(rng.integers(0, 3)):
        key = str(rng.choice(list(state)))
        match rng.integers(5):
            case 0:
                state[key] = tensor(rng)
            case 1:
                state[f"{key}{rng.integers(9)}"] = state[key]
            case 2:
                state[key] = state[key].T if state[key].ndim == 2 else state[key][None]
            case 3:
                state[key] = state.pop(key)
            case 4 if len(state) > 1:
                del state[key]
    known = [*ACTIVATIONS, "softmax", ""]
    return state, {
        "activation": str(rng.choice(known))
        if rng.integers(2)
        else rng.choice(known, rng.integers(0, 4)).tolist(),
        "loss": str(rng.choice([*TARGETS, "hinge"])),
    }


def module(rng):
    """Any layers; about half are Linear, with widths that fit each other."""
    layers, width = [], int(rng.integers(1, 4))
    for _ in range(rng.integers(0, 6)):
        if rng.integers(2):
            n_out = int(rng.integers(1, 4))
            n_in = width if rng.integers(9) else int(rng.integers(1, 4))
            dtype = torch.float64 if rng.integers(9) else torch.float32
            layers.append(nn.Linear(n_in, n_out, bool(rng.integers(4)), dtype=dtype))
            width = n_out
        else:
            number = float(rng.choice([*FLOATS, 0.01, 1.0]))
            choices = [
                *(nn.Identity(), nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.SiLU(), nn.GELU()),
                *(nn.LeakyReLU(number), nn.ELU(number), nn.Softplus(number), nn.Dropout(0.5)),
                *(nn.Softmax(int(rng.integers(-3, 3))), nn.LayerNorm(width), nn.Sequential()),
                *(nn.Bilinear(1, 1, 1), nn.Softmax(), nn.PReLU(), nn.Flatten()),
            ]
            layers.append(choices[rng.integers(len(choices))])
    with torch.no_grad():
        for parameter in (p for layer in layers for p in layer.parameters()):
            if not rng.integers(19):
                parameter.fill_(float(rng.choice(FLOATS)))
    if len(layers) > 1 and rng.integers(2):
        layers = [nn.Sequential(*layers[:-1]), layers[-1]]
    return nn.Sequential(*layers), {}


def test_torch():
    def read(given):
        what, how = given
        return fastbp.Network.from_torch(what, backend="numpy", **how)

    assert ROUNDS / 4 < rounds(read, [state_dict, module]) < ROUNDS
