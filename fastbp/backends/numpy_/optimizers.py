"""Optimisers of the reference; fastbp/rules/optimizers.py has the update rules and their sources.

Each makes one step on one array of weights w with the gradient g, in place. `hyper` are the
optimiser's numbers, `state` lists its slot arrays, and `rate` is the learning rate.
"""

import math

import numpy as np

from ...basis import spec


def sgd(hyper, rate, counters, w, g, state, weight_decay):
    w -= rate * g


def momentum(hyper, rate, counters, w, g, state, weight_decay):
    (v,) = state
    v[...] = hyper[1] * v - rate * g
    w += v


def nesterov(hyper, rate, counters, w, g, state, weight_decay):
    (v,) = state
    v[...] = hyper[1] * v - rate * g
    w += hyper[1] * v - rate * g


def rmsprop(hyper, rate, counters, w, g, state, weight_decay):
    _, rho, _, epsilon, _, _ = hyper
    (v,) = state
    v[...] = rho * v + (1 - rho) * g * g
    w -= rate * g / (np.sqrt(v) + epsilon)


def adagrad(hyper, rate, counters, w, g, state, weight_decay):
    (v,) = state
    v += g * g
    w -= rate * g / (np.sqrt(v) + hyper[3])


def adam(hyper, rate, counters, w, g, state, weight_decay):
    """With weight decay, AdamW."""
    _, beta_1, beta_2, epsilon, _, epsilon_hat = hyper
    m, v = state
    w *= 1 - rate * weight_decay
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g
    m_hat = m / (1 - counters[1])
    v_hat = v / (1 - counters[2])
    if epsilon_hat:
        epsilon /= math.sqrt(1 - counters[2])
    w -= rate * m_hat / (np.sqrt(v_hat) + epsilon)


def rprop(hyper, rate, counters, w, g, state, weight_decay):
    _, eta_minus, eta_plus, smallest, largest, _ = hyper
    previous, step = state
    agreement = np.sign(g) * np.sign(previous)
    factor = np.where(agreement > 0, eta_plus, np.where(agreement < 0, eta_minus, 1))
    step[...] = np.clip(step * factor, smallest, largest)
    g = np.where(agreement < 0, 0, g)
    w -= np.sign(g) * step
    previous[...] = g


UPDATES = {
    spec.SGD: sgd,
    spec.MOMENTUM: momentum,
    spec.NESTEROV: nesterov,
    spec.RMSPROP: rmsprop,
    spec.ADAGRAD: adagrad,
    spec.ADAM: adam,
    spec.ADAMW: adam,
    spec.RPROP: rprop,
}
