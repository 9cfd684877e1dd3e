"""Turns the numbers and categories of a table into inputs of networks."""

from __future__ import annotations

import dataclasses

import numpy as np

from .columns import MISSING
from .encodings import TargetEncodings

# Each category among the most frequent gets an input; all others share one.
MOST_CATEGORIES = 64
# Scaled numbers z become z / √(1 + (z / CLIP)²), which lies between -CLIP and CLIP.
CLIP = 3.0
MOST = np.finfo(np.float64).max


@dataclasses.dataclass
class Preparation:
    """How numbers and codes of categories become inputs, fitted to the rows of a table.

    A number x is filled with the column's median where it is missing, then scaled and clipped
    smoothly: z = (x - median) / (upper quartile - lower quartile), z / √(1 + (z / 3)²). An input of
    its own says where numbers were missing, if some were. With bins, there are the inputs
    min(max((x - e_k) / (e_{k+1} - e_k), 0), 1) besides, with quantiles e_k of the column: x encoded
    as a piecewise linear function (Gorishniy et al., NeurIPS 2022). Equal quantiles count once, so
    a column of few values has an edge at each frequent one. A category becomes an input for each of
    its values; a category of two values one input of -1 and 1.

    Attributes
    ----------
    medians, scales : ndarray of shape (n_numbers,)
        The scale of a constant column is 0.
    missing : bool array of shape (n_numbers,)
        Whether some numbers were missing.
    edges : dict of int to list of ndarray
        For each number of bins the edges of each column; empty for columns without bins.
    categories : list of (int, bool)
        For each category how many inputs its values have, and whether values were missing.
    encodings : TargetEncodings or None
        Further inputs, which differ between the networks of a recipe.
    """

    medians: np.ndarray
    scales: np.ndarray
    missing: np.ndarray
    edges: dict
    categories: list
    encodings: TargetEncodings | None = None

    @classmethod
    def fitted(cls, numbers, codes, bins):
        """The preparation for these rows. `bins` lists the numbers of bins, without 0."""
        n = numbers.shape[1]
        medians, scales, missing = np.zeros(n), np.zeros(n), np.zeros(n, bool)
        edges: dict = {count: [np.empty(0)] * n for count in bins}
        for j in range(n):
            known = numbers[:, j][~np.isnan(numbers[:, j])]
            missing[j] = 0 < len(known) < len(numbers)
            if not len(known):
                continue
            medians[j], scales[j] = _median(known), _scale(known)
            with np.errstate(over="ignore"):
                finite = np.isfinite(known.max() - known.min())
            if scales[j] and finite:
                for count in bins:
                    levels = np.linspace(0, 1, count + 1)
                    found = np.unique(np.quantile(known, levels, method="inverted_cdf"))
                    edges[count][j] = found if len(found) > 2 else np.empty(0)
        categories = [
            (min(int(column.max(initial=-1)) + 1, MOST_CATEGORIES + 1), bool((column < 0).any()))
            for column in codes.T
        ]
        return cls(medians, scales, missing, edges, categories)

    def inputs(self, numbers, codes, bins=0):
        """The inputs of networks: a float32 array of shape (n_samples, n_inputs)."""
        absent = np.isnan(numbers)
        filled = np.where(absent, self.medians, numbers)
        with np.errstate(over="ignore"):
            z = np.clip(filled - self.medians, -MOST, MOST) * self.scales
            z = np.clip(z, -MOST, MOST)  # numbers far from those of the fit, which are not lost
        parts = [z / np.hypot(1, z / CLIP), absent[:, self.missing]]
        if bins:
            for x, edges in zip(filled.T, self.edges[bins], strict=True):
                if len(edges):
                    with np.errstate(over="ignore"):
                        part = (x[:, None] - edges[:-1]) / np.diff(edges)
                    parts.append(np.clip(part, 0, 1))
        for column, (count, incomplete) in zip(codes.T, self.categories, strict=True):
            if count == 2 and not incomplete:
                parts.append(np.select([column == 0, column == 1], [-1, 1], 0)[:, None])
                continue
            if count > MOST_CATEGORIES:
                column = np.minimum(column, MOST_CATEGORIES)
            parts.append(column[:, None] == np.arange(MISSING if incomplete else 0, count))
        return np.concatenate([part.astype(np.float32) for part in parts], axis=1)

    def owners(self, bins=0):
        """For each input the column that it comes from: first the numbers, then the categories."""
        n = len(self.medians)
        owners = [np.arange(n), np.flatnonzero(self.missing)]
        if bins:
            widths = [max(len(edges) - 1, 0) for edges in self.edges[bins]]
            owners.append(np.repeat(np.arange(n), widths))
        for j, (count, incomplete) in enumerate(self.categories):
            width = 1 if count == 2 and not incomplete else count + incomplete
            owners.append(np.full(width, n + j))
        return np.concatenate(owners).astype(np.int64)

    def used(self, columns, bins=0):
        """Which inputs come from the columns that networks see, given as an array of bool.

        Returns
        -------
        shared : bool array
            Of `inputs`.
        own : bool array
            Of the inputs of `encodings`, empty without these.
        """
        shared = columns[self.owners(bins)]
        if self.encodings is None:
            return shared, np.zeros(0, bool)
        return shared, columns[len(self.medians) + self.encodings.owners()]

    def of_networks(self, numbers, codes, columns, bins, n):
        """The inputs of each of a recipe's n networks that see these columns: float32 arrays."""
        shared, own = self.used(columns, bins)
        inputs = np.ascontiguousarray(self.inputs(numbers, codes, bins)[:, shared])
        if not own.any():
            return [inputs] * n
        assert self.encodings is not None
        encoded = (self.encodings.inputs(codes, k)[:, own] for k in range(n))
        return [np.concatenate([inputs, part], axis=1) for part in encoded]


def _median(known):
    """The median, also where the sum of two numbers overflows."""
    with np.errstate(over="ignore"):
        return np.clip(np.median(known), known.min(), known.max())


def _scale(known):
    """1 / (upper - lower quartile), or else 2 / (highest - lowest), or 0 if all are equal."""
    with np.errstate(all="ignore"):  # numbers may be so large that their differences overflow
        lower, upper = np.quantile(known, [0.25, 0.75])
        if not upper > lower:
            lower, upper = known.min() / 2, known.max() / 2
        inverse = 0.5 / (upper / 2 - lower / 2)
    return inverse if 0 < inverse < np.inf else 0.0
