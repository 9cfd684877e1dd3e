"""Chooses weights for groups of networks by their predictions of rows they were not trained on."""

import numpy as np

# How often each prediction is chosen before the selection begins, and its steps.
FIRST, STEPS = 2, 20
LEAST = 1e-7  # the smallest probability that a loss takes seriously


def log_loss(labels, probabilities):
    """-ln p of each row's own class."""
    own = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(own, LEAST))


def binary_log_loss(targets, probabilities):
    """-Σ y ln p + (1 - y) ln(1 - p) of each row, over labels that exclude nothing."""
    p = np.clip(probabilities, LEAST, 1 - LEAST)
    return -np.where(targets > 0.5, np.log(p), np.log(1 - p)).sum(axis=1)


def squared_error(targets, values):
    """Σ (h - y)² of each row, over the outputs."""
    return ((values - targets) ** 2).sum(axis=1)


def weights_of(predictions, loss):
    """Weights of predictions whose mean has a small loss, by greedy selection.

    In each step, the prediction is added, maybe again, that makes the mean of all chosen ones best
    (Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004). The weights are how
    often each was chosen. All are chosen before the first step: with few rows, the selection would
    otherwise believe too much in small differences.

    Parameters
    ----------
    predictions : list of ndarray
    loss : callable
        Takes a mean of predictions.

    Returns
    -------
    ndarray of shape (len(predictions),)
        They sum to 1.
    """
    chosen = np.full(len(predictions), FIRST)
    total = FIRST * sum(predictions)
    for _ in range(STEPS):
        count = chosen.sum() + 1
        best = int(np.argmin([loss((total + prediction) / count) for prediction in predictions]))
        chosen[best] += 1
        total = total + predictions[best]
    return chosen / chosen.sum()


def importances(networks, parts, owners, folds, loss, random):
    """How much the loss of held-out rows grows if a column's values are permuted among them.

    Parameters
    ----------
    networks : list of Network
        One for each fold.
    parts : list of ndarray
        For each network the inputs of the rows that are held out from it.
    owners : ndarray
        For each input its column.
    folds : list of (training rows, held-out rows)
    loss : callable
        Takes predictions and their rows.
    random : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n_columns, len(folds))
        0 for columns without inputs.
    """
    found = np.zeros((owners.max(initial=-1) + 1, len(folds)))
    for k, (network, part, (_, rows)) in enumerate(zip(networks, parts, folds, strict=True)):
        before = loss(network.predict(part), rows)
        for column in np.unique(owners):
            permuted, own = part.copy(), owners == column
            permuted[:, own] = part[random.permutation(len(part))][:, own]
            found[column, k] = loss(network.predict(permuted), rows) - before
    return found
