"""The update of examples/reinforcement_learning.py in PyTorch, with gradients by autograd."""

import copy
import itertools

import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution


class TorchSAC:
    """The networks of a `SAC`, and an update that does the same.

    Parameters
    ----------
    agent : SAC
        Its networks are copied, as they are before the first update.
    learning_rate : float
    fused : bool
        Whether torch's optimisers take a step in one call.
    """

    def __init__(self, agent, learning_rate=1e-3, fused=True):
        self.actor = agent.actor.to_torch()
        self.critics = [critic.to_torch() for critic in agent.critics]
        self.targets = copy.deepcopy(self.critics)
        dtype = self.actor[0].weight.dtype
        self.log_alpha = torch.tensor(agent.log_alpha.value, dtype=dtype, requires_grad=True)
        self.agent = agent
        self.of_critics = [
            list(itertools.chain(*(net.parameters() for net in nets)))
            for nets in (self.critics, self.targets)
        ]
        self.optimizers = [
            torch.optim.Adam(parameters, learning_rate, fused=fused)
            for parameters in ([self.log_alpha], self.of_critics[0], self.actor.parameters())
        ]

    def policy(self, x, noise):
        """Actions and ln π of them, by torch's own tanh of a normal distribution."""
        mean, log_std = self.actor(x).chunk(2, dim=1)
        std = log_std.clamp(-20, 2).exp()
        squash = TanhTransform(cache_size=1)  # without the inverse of tanh, which loses digits
        pi = TransformedDistribution(Normal(mean, std, validate_args=False), [squash])
        action = squash(mean + std * noise)
        return action, pi.log_prob(action).sum(dim=1, keepdim=True)

    def step(self, number, loss):
        self.optimizers[number].zero_grad()
        loss.backward()
        self.optimizers[number].step()

    def update(self, x, a, r, x_next, last, noise, noise_next):
        """As `SAC.update`, with tensors."""
        agent = self.agent
        action, log_pi = self.policy(x, noise)
        alpha = self.log_alpha.detach().exp()
        self.step(0, -(self.log_alpha * (log_pi.detach() + agent.target_entropy)).mean())
        with torch.no_grad():
            action_next, log_pi_next = self.policy(x_next, noise_next)
            inputs = torch.cat([x_next, action_next], dim=1)
            q_next = torch.minimum(*(target(inputs) for target in self.targets))
            y = r + agent.gamma * (1 - last) * (q_next - alpha * log_pi_next)
        inputs = torch.cat([x, a], dim=1)
        self.step(1, sum((critic(inputs) - y).square().mean() / 2 for critic in self.critics))
        for parameter in self.of_critics[0]:
            parameter.requires_grad_(False)
        inputs = torch.cat([x, action], dim=1)
        q = torch.minimum(*(critic(inputs) for critic in self.critics))
        self.step(2, (alpha * log_pi - q).mean())
        with torch.no_grad():
            for parameter in self.of_critics[0]:
                parameter.requires_grad_(True)
            torch._foreach_lerp_(self.of_critics[1], self.of_critics[0], agent.tau)
