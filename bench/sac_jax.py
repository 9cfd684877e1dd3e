"""The update of examples/reinforcement_learning.py in JAX: all of it under one `jit`."""

import jax
import jax.numpy as jnp
from jax.tree_util import tree_map


def forward(layers, x):
    for W, b in layers[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = layers[-1]
    return x @ W + b


def policy(actor, x, noise):
    """Actions and ln π of them."""
    mean, log_std = jnp.split(forward(actor, x), 2, axis=1)
    log_std = log_std.clip(-20, 2)
    u = mean + jnp.exp(log_std) * noise
    stretch = 2 * (jnp.log(2) - u - jax.nn.softplus(-2 * u))
    log_pi = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi) - stretch
    return jnp.tanh(u), log_pi.sum(axis=1, keepdims=True)


def smaller_value(critics, x, action):
    inputs = jnp.hstack([x, action])
    return jnp.minimum(*(forward(critic, inputs) for critic in critics))


def adam(parameters, gradient, memory, rate):
    first, second, steps = memory
    steps = steps + 1
    first = tree_map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    size, scale = rate / (1 - 0.9**steps), 1 - 0.999**steps
    parameters = tree_map(
        lambda w, m, v: w - size * m / (jnp.sqrt(v / scale) + 1e-8), parameters, first, second
    )
    return parameters, (first, second, steps)


def memory_of(parameters):
    first, second = (tree_map(jnp.zeros_like, parameters) for _ in range(2))
    return first, second, jnp.zeros(())


def parameters_of(network):
    return [*zip(map(jnp.array, network.weights), map(jnp.array, network.biases), strict=True)]


class JaxSAC:
    """The networks of a `SAC`, copied, and an update that does the same."""

    def __init__(self, agent, learning_rate):
        actor = parameters_of(agent.actor)
        critics = [parameters_of(critic) for critic in agent.critics]
        targets = [parameters_of(target) for target in agent.targets]
        log_alpha = jnp.array(agent.log_alpha.value, actor[0][0].dtype)
        memories = [memory_of(parameters) for parameters in (log_alpha, critics, actor)]
        self.state = (actor, critics, targets, log_alpha), memories
        gamma, tau, entropy = agent.gamma, agent.tau, agent.target_entropy

        def update(state, x, a, r, x_next, last, noise, noise_next):
            (actor, critics, targets, log_alpha), memories = state
            alpha = jnp.exp(log_alpha)
            action_next, log_pi_next = policy(actor, x_next, noise_next)
            q_next = smaller_value(targets, x_next, action_next)
            y = r + gamma * (1 - last) * (q_next - alpha * log_pi_next)

            def of_critics(critics):
                inputs = jnp.hstack([x, a])
                return sum(((forward(critic, inputs) - y) ** 2).mean() / 2 for critic in critics)

            new_critics, of_new = adam(
                critics, jax.grad(of_critics)(critics), memories[1], learning_rate
            )

            def of_actor(actor):
                action, log_pi = policy(actor, x, noise)
                return (alpha * log_pi - smaller_value(new_critics, x, action)).mean(), log_pi

            gradient, log_pi = jax.grad(of_actor, has_aux=True)(actor)
            new_actor, of_actor = adam(actor, gradient, memories[2], learning_rate)
            new_alpha, of_alpha = adam(
                log_alpha, -(log_pi + entropy).mean(), memories[0], learning_rate
            )
            new_targets = tree_map(lambda t, c: (1 - tau) * t + tau * c, targets, new_critics)
            return (new_actor, new_critics, new_targets, new_alpha), [of_alpha, of_new, of_actor]

        self._update = jax.jit(update, donate_argnums=0)

    def update(self, *arrays):
        """As `SAC.update`."""
        self.state = self._update(self.state, *arrays)
