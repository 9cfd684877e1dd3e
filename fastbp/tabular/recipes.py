"""Recipes: kinds of networks for tables, and how they are trained."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..many.fit_many import fit_many
from ..network.network import Network
from ..rules.optimizers import AdamW
from ..rules.schedules import CosineDecay

WARMUP = 0.05  # share of the steps in which the learning rate rises
PATIENCE = 32  # epochs without a smaller held-out loss after which a network is done


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A kind of network and its training.

    The learning rate rises for a twentieth of the steps and then falls along a cosine. Each network
    keeps the weights of the epoch with the smallest loss of the rows that are held out from it, and
    ends after PATIENCE epochs without a smaller one.

    Attributes
    ----------
    name : str
    bins : int
        Into how many bins numbers are divided, see `Preparation`; 0 for none.
    hidden, activation, learning_rate, weight_decay, dropout, epochs, batch_size
        As for `Network`, `AdamW` and `Network.fit`.
    """

    name: str
    bins: int = 0
    hidden: tuple = (64, 64)
    activation: str = "relu"
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    dropout: float = 0.0
    epochs: int = 256
    batch_size: int = 64


# Trained first, to find the columns that help.
SCOUT = Recipe("smooth", activation="silu", learning_rate=1e-2)
OTHERS = (
    Recipe("wide", activation="silu", hidden=(128, 128), learning_rate=1e-2, dropout=0.15),
    Recipe("bins", activation="silu", bins=24, learning_rate=1e-2, dropout=0.15),
    Recipe("deep", activation="silu", hidden=(128, 128, 128), learning_rate=5e-3, dropout=0.2),
    Recipe(
        "deep bins",
        activation="silu",
        bins=24,
        hidden=(128, 128, 128),
        learning_rate=5e-3,
        dropout=0.2,
    ),
)


def for_rows(recipe, n):
    """The recipe for a table of n rows: larger tables get larger batches and fewer epochs."""
    batch = recipe.batch_size * (1 if n < 4000 else 2 if n < 12000 else 4)
    epochs = max(40, round(recipe.epochs * min(1, (2000 / n) ** 0.6)))
    hidden = tuple(width * (1 if n < 8000 else 2) for width in recipe.hidden)
    return dataclasses.replace(recipe, batch_size=batch, epochs=epochs, hidden=hidden)


def train(recipe, inputs, targets, weight, folds, *, seed, threads, backend):
    """Train one network for each fold, on the rows of the others.

    Parameters
    ----------
    recipe : Recipe
    inputs : float32 array of shape (n, n_inputs)
    targets : Targets
    weight : array of shape (n,) or None
    folds : list of (training rows, held-out rows)
    seed : numpy.random.SeedSequence
    threads, backend
        As for `fit_many` and `Network`.

    Returns
    -------
    list of Network

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C has ended the training; fit_many only warns of that.
    """
    networks = [
        Network(
            [inputs.shape[1], *recipe.hidden, targets.n_outputs],
            activation=recipe.activation,
            loss=targets.loss,
            seed=int(own.generate_state(1)[0]),
            backend=backend,
        )
        for own in seed.spawn(len(folds))
    ]
    held_out: list[Any] = []
    for _, rows in folds:
        part = (inputs[rows], targets.y[rows])
        held_out.append(part if weight is None else (*part, weight[rows]))
    histories = fit_many(
        networks,
        inputs,
        targets.y,
        rows=[rows for rows, _ in folds],
        sample_weight=weight,
        optimizer=AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay),
        schedule=CosineDecay(warmup=WARMUP),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        dropout=recipe.dropout,
        validation_data=held_out,
        patience=PATIENCE,
        threads=threads,
    )
    if any(history.interrupted for history in histories):
        raise KeyboardInterrupt
    return networks
