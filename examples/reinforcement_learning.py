"""
Reinforcement learning: soft actor-critic
=========================================

A pendulum learns to swing up and to balance, in 8000 steps, which take seconds.

Three kinds of networks work together: an actor, which chooses actions; two critics Q(x, a), which
estimate the rewards to come; and target networks, which follow the critics slowly. The algorithm is
that of Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", arXiv:1812.05905.

Run: python examples/reinforcement_learning.py (pip install gymnasium)
"""

import copy

import numpy as np

import fastbp

LOWEST, HIGHEST = -20.0, 2.0  # of ln σ


def squashed(output, noise):
    """An action of the tanh-Gaussian policy, and ln π of it.

    The actor's output has μ and ℓ = ln σ of each entry of the action. With noise ε from the
    standard normal distribution, u = μ + σ ε and a = tanh u, so that

    ln π(a) = Σ_j [-½ ε² - ℓ - ½ ln 2π - ln(1 - a²)], where ln(1 - tanh² u) = 2 (ln 2 - u -
    ln(1 + exp(-2u))) does not cancel.
    """
    mean, log_std = np.split(output, 2, axis=1)
    log_std = log_std.clip(LOWEST, HIGHEST)
    u = mean + np.exp(log_std) * noise
    stretch = 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
    log_pi = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - stretch
    return np.tanh(u), log_pi.sum(axis=1, keepdims=True)


def through_squashed(output, noise, action, dL_da, alpha):
    """∂L/∂μ and ∂L/∂ℓ of L = α ln π + f(a), from ∂f/∂a.

    As da/du = 1 - a² and d ln(1 - tanh² u)/du = -2a, ∂L/∂u = (1 - a²) ∂f/∂a + 2 α a.
    Then ∂L/∂μ = ∂L/∂u, and ∂L/∂ℓ = σ ε ∂L/∂u - α, or 0 where ℓ is out of bounds.
    """
    log_std = np.split(output, 2, axis=1)[1]
    inside = (log_std >= LOWEST) & (log_std <= HIGHEST)
    dL_du = (1 - action**2) * dL_da + 2 * alpha * action
    dL_dl = np.exp(log_std.clip(LOWEST, HIGHEST)) * noise * dL_du - alpha
    return np.hstack([dL_du, dL_dl * inside])


class Replay:
    """The last transitions (x, a, r, next x, whether x is the last state of all), in rows."""

    def __init__(self, capacity, n_states, n_actions, dtype="float32"):
        widths = (n_states, n_actions, 1, n_states, 1)
        self.columns = [np.zeros((capacity, width), dtype) for width in widths]
        self.capacity, self.added = capacity, 0

    def add(self, *transition):
        for column, value in zip(self.columns, transition, strict=True):
            column[self.added % self.capacity] = value
        self.added += 1

    def sample(self, n, random):
        rows = random.integers(0, min(self.added, self.capacity), n)
        return [column[rows] for column in self.columns]


class ScalarAdam:
    """Adam for a single number; fastbp's optimisers are for networks."""

    def __init__(self, value, learning_rate):
        self.value, self.learning_rate = value, learning_rate
        self.first, self.second, self.steps = 0.0, 0.0, 0

    def step(self, gradient):
        self.steps += 1
        self.first += 0.1 * (gradient - self.first)
        self.second += 0.001 * (gradient**2 - self.second)
        first, second = self.first / (1 - 0.9**self.steps), self.second / (1 - 0.999**self.steps)
        self.value -= self.learning_rate * first / (second**0.5 + 1e-8)


class SAC:
    """Soft actor-critic: the networks, and the update of all of them from a batch."""

    def __init__(
        self,
        n_states,
        n_actions,
        hidden=(64, 64),
        learning_rate=1e-3,
        gamma=0.99,
        tau=0.005,
        seed=0,
        dtype="float32",
    ):
        random = np.random.default_rng(seed)

        def network(n_inputs, n_outputs, **output):
            """With PyTorch's initial weights and biases, for which these settings were found."""
            net = fastbp.Network([n_inputs, *hidden, n_outputs], dtype=dtype, **output)
            for i, W in enumerate(net.weights):
                bound = len(W) ** -0.5
                net.weights[i] = random.uniform(-bound, bound, W.shape)
                net.biases[i] = random.uniform(-bound, bound, W.shape[1])
            return net

        self.actor = network(n_states, 2 * n_actions, loss=None, output_activation="identity")
        self.critics = [network(n_states + n_actions, 1, loss="squared_error") for _ in range(2)]
        self.targets = copy.deepcopy(self.critics)
        self.log_alpha = ScalarAdam(0.0, learning_rate)
        self.optimizer = fastbp.Adam(learning_rate)
        self.n_states, self.n_actions = n_states, n_actions
        self.gamma, self.tau, self.target_entropy = gamma, tau, -n_actions

    def act(self, x, noise=None):
        """An action in [-1, 1] for one state; without noise the middle one."""
        output = self.actor.predict(x[None])
        if noise is None:
            return np.tanh(output[0, : self.n_actions])
        return squashed(output, noise)[0][0]

    def update(self, x, a, r, x_next, last, noise, noise_next):
        """One step of all networks. The noise is for the policy's actions in x and in next x."""
        n, dtype = len(x), x.dtype
        actor = self.actor.forward(x)
        action, log_pi = squashed(actor.output, noise)
        alpha = np.exp(self.log_alpha.value).astype(dtype)
        # L = -ln α Σ (ln π + H) / n: α grows while the entropy -ln π is below the target H.
        self.log_alpha.step(-(log_pi + self.target_entropy).mean(dtype=float))

        # The critics: y = r + γ (min Q'(x', a') - α ln π(a')), in one compiled step each.
        action_next, log_pi_next = squashed(self.actor.predict(x_next), noise_next)
        inputs = np.hstack([x_next, action_next])
        q_next = np.minimum(*(target.predict(inputs) for target in self.targets))
        y = r + self.gamma * (1 - last) * (q_next - alpha * log_pi_next)
        inputs = np.hstack([x, a])
        for critic in self.critics:
            critic.fit_step(inputs, y, optimizer=self.optimizer)

        # The actor: L = Σ (α ln π(a) - min Q(x, a)) / n, through the critics, which stay.
        inputs = np.hstack([x, action])
        passes = [critic.forward(inputs) for critic in self.critics]
        first = passes[0].output <= passes[1].output
        dL_da = 0
        for critic, smaller in zip(passes, (first, ~first), strict=True):
            _, dL_dinputs = critic.backward(smaller.astype(dtype) / -n, parameters=False)
            dL_da = dL_da + dL_dinputs[:, self.n_states :]
        d_output = through_squashed(actor.output, noise, action, dL_da, alpha / n)
        gradient, _ = actor.backward(d_output, inputs=False)
        self.actor.apply_gradient(gradient, optimizer=self.optimizer)

        for target, critic in zip(self.targets, self.critics, strict=True):
            target.blend(critic, self.tau)


def train(environment, steps, seed=0, first_steps=100, batch_size=256, **settings):
    """Train an agent in a Gymnasium environment; an update after each step.

    Returns the agent, and (step, return) of each episode that has ended.
    """
    space = environment.action_space
    shape, n_states = space.shape, environment.observation_space.shape[0]
    middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    agent = SAC(n_states, shape[0], seed=seed, **settings)
    replay = Replay(steps, n_states, shape[0])
    random = np.random.default_rng([seed, 1])  # other numbers than the weights
    x, _ = environment.reset(seed=seed)
    episodes, total = [], 0.0
    for step in range(1, steps + 1):
        if step <= first_steps:
            action = random.uniform(-1, 1, shape).astype(np.float32)
        else:
            action = agent.act(x, random.standard_normal((1, *shape), np.float32))
        x_next, reward, ended, cut_off, _ = environment.step(middle + half * action)
        replay.add(x, action, reward, x_next, ended)  # a time limit is no last state
        x, total = x_next, total + float(reward)
        if ended or cut_off:
            episodes.append((step, total))
            x, total = environment.reset()[0], 0.0
        if step > first_steps:
            noises = random.standard_normal((2, batch_size, *shape), np.float32)
            agent.update(*replay.sample(batch_size, random), *noises)
    return agent, episodes


if __name__ == "__main__":
    import time

    import gymnasium

    started = time.perf_counter()
    agent, episodes = train(gymnasium.make("Pendulum-v1"), 8000)
    for step, total in episodes:
        print(f"step {step:5}: return {total:8.1f}")
    print(f"{time.perf_counter() - started:.1f} s")

# sphinx_gallery_thumbnail_path = "_static/reinforcement_learning.png"
