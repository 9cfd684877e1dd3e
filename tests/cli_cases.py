"""What the tests of the command line share: tables, a trained model, how to start a process."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

import fastbp
from fastbp.cli import main

QUICK = (
    *("--backend", "numpy", "--hidden", "8", "--epochs", "60", "--batch-size", "16"),
    *("--learning-rate", "0.02", "--no-plot"),
)


def people(n=200, seed=0):
    """Two classes that depend on a number and a text, both with gaps, and on nothing else."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n).round(1),
            "town": rng.choice(["Ulm", "Bonn", "Köln"], n),
            "rooms": rng.integers(1, 9, n),
        }
    )
    bought = (frame.age > 40) ^ (frame.town == "Ulm")
    frame["bought"] = np.where(bought, "yes", "no")
    frame.loc[::17, "age"] = np.nan
    frame.loc[::23, "town"] = None
    return frame


def line(n=200):
    """A linear dependence in units far from 1."""
    rng = np.random.default_rng(1)
    X = rng.normal([1000, -3], [50, 0.1], (n, 2))
    return pd.DataFrame(X, columns=["a", "b"]).assign(price=5e4 + X @ [300, -2e4])


def train_people(capsys):
    """Train a classifier of people in the current folder; its report."""
    people().to_csv("people.csv", index=False)
    assert main(["train", "people.csv", "--target", "bought", *QUICK, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def environment():
    paths = [str(Path(fastbp.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def same_bits():
    """Whether results are those of every processor with fused multiply-adds."""
    return "without FMA" not in str(fastbp.available_backends())
