"""examples/reinforcement_learning.py: its update against PyTorch's autograd, and its loop."""

import importlib.util
import types
from pathlib import Path

import numpy as np
import pytest
from helpers import error, flat

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "reinforcement_learning.py"
N, STATES, ACTIONS = 32, 3, 2


@pytest.fixture(scope="module")
def example():
    described = importlib.util.spec_from_file_location("reinforcement_learning", EXAMPLE)
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


def batch(random, dtype="float64"):
    """Some of the states are last ones."""
    arrays = [random.standard_normal((N, width)) for width in (STATES, ACTIONS, 1, STATES)]
    arrays[1] = np.tanh(arrays[1])
    arrays.append(random.random((N, 1)) < 0.2)
    arrays += [random.standard_normal((N, ACTIONS)) for _ in range(2)]
    return [array.astype(dtype) for array in arrays]


def far_apart(agent):
    """Weights with which ln σ is below, between and above its bounds, and actions saturate."""
    agent.actor.biases[-1] = [0.3, -4.0, -19.5, 1.5]
    agent.actor.weights[-1][...] *= 3


def peer_of_torch(agent):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    from sac_torch import TorchSAC

    peer = TorchSAC(agent, fused=False)

    def update(*arrays):
        peer.update(*map(torch.from_numpy, arrays))

    def state():
        nets = [peer.actor, *peer.critics, *peer.targets]
        arrays = [parameter.detach().numpy() for net in nets for parameter in net.parameters()]
        return peer.log_alpha.item(), flat([array.T for array in arrays])

    return update, state


def peer_of_jax(agent):
    jax = pytest.importorskip("jax", reason="JAX is the independent source here")
    from sac_jax import JaxSAC

    with jax.enable_x64(True):
        peer = JaxSAC(agent, 1e-3)

    def update(*arrays):
        with jax.enable_x64(True):
            peer.update(*arrays)

    def state():
        actor, critics, targets, log_alpha = peer.state[0]
        nets = [actor, *critics, *targets]
        return log_alpha.item(), flat([array for net in nets for layer in net for array in layer])

    return update, state


@pytest.mark.parametrize("peer", [peer_of_torch, peer_of_jax])
def test_updates_are_those_of_autograd(example, backend, peer, monkeypatch):
    """Ten updates, to 1e-7: torch's softplus, in ln π, is the identity above 20."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    monkeypatch.setenv("FASTBP_BACKEND", backend)
    agent = example.SAC(STATES, ACTIONS, hidden=(16,), dtype="float64", tau=0.1, seed=5)
    assert agent.actor.backend == backend
    far_apart(agent)
    update, state = peer(agent)
    random = np.random.default_rng(1)
    for _ in range(10):
        arrays = batch(random)
        agent.update(*arrays)
        update(*arrays)
    log_std = agent.actor.predict(arrays[0])[:, ACTIONS:]
    assert (log_std < -20).any() and (log_std > 2).any() and (abs(log_std + 9) < 11).any()
    log_alpha, others = state()
    assert agent.log_alpha.value == pytest.approx(log_alpha, rel=1e-10)
    nets = [agent.actor, *agent.critics, *agent.targets]
    pairs = [zip(net.weights, net.biases, strict=True) for net in nets]
    own = flat([array for net in pairs for layer in net for array in layer])
    assert error(own, others) < 1e-7


def test_gradient_of_the_policy(example):
    """Central differences of Σ (α ln π + c ∘ a)."""
    random = np.random.default_rng(0)
    output, noise = random.standard_normal((6, 4)) * 2, random.standard_normal((6, 2))
    output[0, 2:], output[1, 2:] = -21, 3  # out of bounds
    alpha, c, step = 0.3, random.standard_normal((6, 2)), 1e-6

    def L(output):
        action, log_pi = example.squashed(output, noise)
        return alpha * log_pi.sum() + (c * action).sum()

    action, _ = example.squashed(output, noise)
    comp = example.through_squashed(output, noise, action, c, alpha)
    ref = np.zeros_like(output)
    for index in np.ndindex(output.shape):
        shift = np.zeros_like(output)
        shift[index] = step
        ref[index] = (L(output + shift) - L(output - shift)) / (2 * step)
    assert error(comp, ref) < 1e-8
    assert not comp[:2, 2:].any()


def test_density_of_the_policy(example):
    """∫ π(a) da = 1, as π is a density of a, not of u."""
    output = np.array([[0.4, -0.3]])
    noise = np.linspace(-8, 8, 4001)[:, None]
    action, log_pi = example.squashed(np.repeat(output, len(noise), axis=0), noise)
    assert np.trapezoid(np.exp(log_pi.ravel()), action.ravel()) == pytest.approx(1, abs=1e-6)


class Line:
    """An environment: be at 0 by steps to the left or right; an episode has 10 steps."""

    box = types.SimpleNamespace(
        shape=(1,), low=np.full(1, -0.5, "float32"), high=np.full(1, 1.5, "float32")
    )
    action_space = box
    observation_space = box

    def reset(self, seed=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.place, self.steps = self.random.uniform(-1, 1, 1).astype("float32"), 0
        return self.place, {}

    def step(self, action):
        assert (self.box.low <= action).all() and (action <= self.box.high).all()
        self.place = (self.place + action).clip(-2, 2).astype("float32")
        self.steps += 1
        return self.place, -abs(float(self.place[0])), False, self.steps == 10, {}


def test_learning(example, cython):
    """Actions at random lose some 15 an episode."""
    _, episodes = example.train(Line(), 800, hidden=(32,), batch_size=64, learning_rate=5e-3)
    assert [step for step, _ in episodes] == [*range(10, 801, 10)]
    totals = [total for _, total in episodes]
    assert np.mean(totals[:10]) < -10 and np.mean(totals[-10:]) > -3


def test_the_same_seed_repeats(example, twins, monkeypatch):
    found = []
    for backend in (twins[0], *twins):
        monkeypatch.setenv("FASTBP_BACKEND", backend)
        agent, episodes = example.train(Line(), 130, hidden=(8,), batch_size=16)
        found.append((episodes, [w.tobytes() for w in agent.actor.weights]))
    assert found[0] == found[1] == found[2]


def test_replay_keeps_the_last_transitions(example):
    replay = example.Replay(3, 1, 1)
    for i in range(5):
        replay.add([i], [-i], i, [i + 1], i == 4)
    x, a, r, x_next, last = replay.sample(100, np.random.default_rng(0))
    assert set(x.ravel()) == {2, 3, 4}
    assert np.array_equal(a, -x) and np.array_equal(x_next, x + 1) and np.array_equal(r, x)
    assert np.array_equal(last, x == 4) and x.shape == (100, 1)
