"""The division of matrices among threads, counted: the kernels' own arithmetic, run as Python."""

import numpy as np
import pytest

from fastbp.backends.numba_ import shares
from fastbp.basis.layout import Layout

LANES = 16


@pytest.fixture(autouse=True)
def plain_python(monkeypatch):
    for name in ("share_start", "column_parts", "share_of"):
        function = getattr(shares, name)
        monkeypatch.setattr(shares, name, getattr(function, "py_func", function))


def all_shares(rows, columns, threads):
    return [shares.share_of(rows, columns, LANES, rank, threads) for rank in range(threads)]


def numbers(share):
    return (share.last - share.first) * (share.right - share.left)


def busy(counts):
    """The average work of a thread, divided by that of the busiest one."""
    return np.mean(counts) / np.max(counts)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 6, 7, 16, 64])
@pytest.mark.parametrize("rows", [1, 15, 16, 33, 256, 785])
@pytest.mark.parametrize("columns", [16, 64, 80, 512, 2048])
def test_each_number_has_one_thread(rows, columns, threads):
    times = np.zeros((rows, columns), int)
    for share in all_shares(rows, columns, threads):
        assert share.first % shares.UNIT == 0 or share.first == rows
        assert share.left % LANES == 0
        assert share.split or (share.left, share.right) == (0, columns)
        times[share.first : share.last, share.left : share.right] += 1
    assert (times == 1).all()


def test_rows_are_preferred():
    """Columns are divided only if that helps: two threads halve many rows well enough."""
    assert not any(share.split for share in all_shares(785, 512, 2))
    assert all(share.split for share in all_shares(16, 512, 2))


@pytest.mark.parametrize("threads", [8, 16, 32, 64])
def test_wide_layers_keep_many_threads_busy(threads):
    """784-512-512-10 with batches of 4096: products by rows of a block, gradients by weights."""
    layout = Layout((784, 512, 512, 10), ("relu", "relu"), np.dtype("float32"))
    block, groups = layout.partition(4096)
    assert groups == 1
    work = np.zeros(threads)
    for start in range(0, 4096, block):
        rows = min(block, 4096 - start)
        for i, (n_in, n_out) in enumerate(zip(layout.sizes, layout.sizes[1:], strict=False)):
            forward = all_shares(rows, -(-n_out // 16) * 16, threads)
            back = all_shares(rows, -(-n_in // 16) * 16, threads)
            gradient = all_shares(n_in + 1, -(-n_out // 16) * 16, threads)
            # The threads wait for each other after each product.
            work += max(map(numbers, forward)) * n_in
            work += max(map(numbers, gradient)) * rows
            work += max(map(numbers, back)) * n_out if i else 0
    assert layout.flops_per_row / 2 * 4096 / threads / work.max() >= 0.8


@pytest.mark.parametrize("threads", [8, 16, 32, 64])
def test_groups_keep_many_threads_busy(threads):
    """4-32-16-4 with batches of 100,000: threads take whole groups of blocks."""
    layout = Layout((4, 32, 16, 4), ("relu", "relu"), np.dtype("float32"))
    block, groups = layout.partition(100_000)
    blocks = -(-100_000 // block)
    work = []
    for rank in range(threads):
        first, last = groups * rank // threads, groups * (rank + 1) // threads
        rows = sum(
            min(block, 100_000 - at * block)
            for at in range(blocks * first // groups, blocks * last // groups)
        )
        work.append(rows)
    assert sum(work) == 100_000
    assert busy(work) >= 0.8
