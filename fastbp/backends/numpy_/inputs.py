"""Learned inputs in the reference: h_0 from the columns of X, and the gradient of the tables.

See basis/inputs.py for the table of the parts.
"""

import numpy as np

from ...basis.inputs import (
    CATEGORIES,
    CATEGORY,
    COLUMN,
    FILLED,
    KIND,
    PLACE,
    WIDTH,
    table_at,
)
from ...basis.layout import INPUTS


def _parts(plan, arrays):
    """Of each part of the input, its row and its table; None for plain numbers."""
    tables = {CATEGORY: iter(arrays.embeddings), FILLED: iter(arrays.missing)}
    for row in table_at(plan[0, INPUTS])[1:]:
        yield row, next(tables[row[KIND]]) if row[KIND] in tables else None


def _rows(row, codes):
    """The rows of a table for codes; the last one for those that are unknown."""
    known = (codes >= 0) & (codes < row[CATEGORIES])
    return np.where(known, codes, row[CATEGORIES]).astype(np.int64)


def gather(plan, arrays, X):
    """h_0: X with categories replaced by their vectors, and NaN by the numbers for missing ones."""
    blocks = []
    for row, table in _parts(plan, arrays):
        if row[KIND] == CATEGORY:
            blocks.append(table[_rows(row, X[:, row[COLUMN]])])
            continue
        x = X[:, row[COLUMN] : row[COLUMN] + row[WIDTH]]
        blocks.append(x if table is None else np.where(np.isnan(x), table, x))
    return np.concatenate(blocks, axis=1)


def scatter(plan, arrays, X, dh):
    """Overwrite the tables of a gradient with the sums of ∂e/∂h_0 over the rows that use them."""
    for row, table in _parts(plan, arrays):
        d = dh[:, row[PLACE] : row[PLACE] + row[WIDTH]]
        if row[KIND] == CATEGORY:
            table[...] = 0
            np.add.at(table, _rows(row, X[:, row[COLUMN]]), d)
        elif row[KIND] == FILLED:
            x = X[:, row[COLUMN] : row[COLUMN] + row[WIDTH]]
            table[...] = np.where(np.isnan(x), d, 0).sum(axis=0)
