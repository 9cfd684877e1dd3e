"""What samples ask of a network: a layout of the workspace, and operations."""

import math
from dataclasses import replace

from ..basis.sparse import SparseRows

# Gathering a row of weights for an entry of a sparse sample takes as long as so many products.
GATHER_COST = 8


def layout_for(layout, X, threads=1):
    """The layout for samples, dense or sparse, that so many threads read."""
    if not isinstance(X, SparseRows):
        return layout
    return layout.for_sparse if threads == 1 else replace(layout, sparse=threads)


def flops_per_row(layout, X):
    """Operations of a training step per row of X, without the optimiser's; None counts as dense."""
    if not isinstance(X, SparseRows):
        return layout.flops_per_row
    n_in, n_out = layout.sizes[:2]
    gathered = 1 + X.entries  # the biases, too: a row without entries is some work
    return layout.flops_per_row + 4 * n_out * (GATHER_COST * gathered - n_in)


def dense_rows(layout, X):
    """How many rows of dense samples take as many operations as X."""
    if not isinstance(X, SparseRows):
        return len(X)
    return math.ceil(len(X) * flops_per_row(layout, X) / layout.flops_per_row)
