"""Streams, which read data that do not fit into memory in shuffled blocks.

A stream yields blocks (X, y) or (X, y, sample_weight) and can be iterated any number of times.
Pass it to `Network.fit_batches`, or loop over it and call an estimator's ``partial_fit``.
"""

from __future__ import annotations

import os
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..basis import checks
from ..files import file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray


class Stream:
    """Base class of the streams.

    Each pass reads the blocks in a new order and shuffles the rows of each block. A stream holds
    at most one block in memory, in addition to the block that the user holds.
    """

    def __init__(self, shuffle: bool, seed: int | None) -> None:
        self._shuffle = checks.flag("shuffle", shuffle)
        self._random = np.random.default_rng(checks.seed(seed))

    def __len__(self) -> int:
        raise NotImplementedError

    def _read(self, number):
        """Return block `number` as a list of arrays: X, y and, if there are any, weights."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[tuple[NDArray[Any] | Any, ...]]:
        numbers = np.arange(len(self))
        if self._shuffle:
            self._random.shuffle(numbers)
        for number in numbers.tolist():
            yield self._block(self._shuffled(self._read(number)))

    def _block(self, arrays):
        return tuple(arrays)

    def _shuffled(self, arrays):
        if not self._shuffle:
            return arrays
        order = self._random.permutation(len(arrays[0]))
        for i in range(len(arrays)):  # one by one, so that at most one array exists twice
            arrays[i] = arrays[i][order]
        return arrays


class ArrayStream(Stream):
    """Blocks of consecutive rows of arrays, usually of ``.npy`` files.

    Parameters
    ----------
    X, y : str, path or array
        Files written by ``numpy.save``, or arrays (memory-mapped or not), with n_samples rows. For
        a network with heads, y is a tuple of these with an entry for each head.
    sample_weight : str, path or array, optional
        As X, of shape (n_samples,).
    rows : int, default=65536
        Rows per block. The last block may have fewer.
    shuffle : bool, default=True
        Whether to shuffle the blocks, and the rows within each block. Neighbouring rows of the
        file stay in the same block: if the file is sorted, shuffle it once or use small blocks.
    seed : int or None, default=None
        Seed of the shuffling.

    Notes
    -----
    The files are mapped again for each block, because pages that were read count as memory of the
    process until the map is closed. Pass paths rather than open maps.

    Examples
    --------
    >>> import fastbp, numpy as np, os, tempfile
    >>> folder, rng = tempfile.mkdtemp(), np.random.default_rng(0)
    >>> X_path, y_path = os.path.join(folder, "X.npy"), os.path.join(folder, "y.npy")
    >>> X = rng.standard_normal((1000, 3))
    >>> np.save(X_path, X)
    >>> np.save(y_path, X.sum(axis=1))
    >>> stream = fastbp.ArrayStream(X_path, y_path, rows=300, seed=0)
    >>> len(stream), [len(block[0]) for block in fastbp.ArrayStream(X, X, rows=300, shuffle=False)]
    (4, [300, 300, 300, 100])
    >>> net = fastbp.Network([3, 1], loss="squared_error", seed=0)
    >>> history = net.fit_batches(stream, batch_size=32, epochs=20, optimizer=fastbp.Adam(0.01))
    >>> history.loss[-1] < 0.01
    True
    """

    def __init__(
        self,
        X: str | Path | NDArray[Any],
        y: str | Path | NDArray[Any] | Sequence[str | Path | NDArray[Any]],
        sample_weight: str | Path | NDArray[Any] | None = None,
        *,
        rows: int = 65536,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(shuffle, seed)
        self.rows = checks.whole_number("rows", rows)
        if X is None or y is None:
            raise TypeError("X and y must be paths or arrays, not None")
        given: dict[str, Any] = {"X": X}
        self._n_heads: int | None = None
        if isinstance(y, (list, tuple)):
            self._n_heads = len(y)
            given |= {f"y[{k}]": entry for k, entry in enumerate(y)}
        else:
            given["y"] = y
        if sample_weight is not None:
            given["sample_weight"] = sample_weight
        self._arrays = list(given.values())
        lengths = {name: _length(name, array) for name, array in given.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"arrays must have the same number of rows, got {lengths}")
        self._n = lengths["X"]
        if self._n == 0:
            raise ValueError("X has no rows; at least one sample is needed")

    def __len__(self) -> int:
        return -(-self._n // self.rows)

    def _read(self, number):
        rows = slice(number * self.rows, (number + 1) * self.rows)
        return [np.array(_opened(array)[rows]) for array in self._arrays]

    def _block(self, arrays):
        if self._n_heads is None:
            return super()._block(arrays)
        X, *others = arrays
        return X, tuple(others[: self._n_heads]), *others[self._n_heads :]


class ParquetStream(Stream):
    """Row groups of Parquet files; requires pyarrow.

    Parameters
    ----------
    paths : str, path or list of these
        The files. All must have the same columns.
    target : str or list of str
        The column or columns of y.
    features : list of str, optional
        The columns of X; by default all others, in the order of the first file.
    sample_weight : str, optional
        The column of sample weights.
    dtype : {"float32", "float64"}, default="float32"
        The dtype of X.
    shuffle : bool, default=True
        Whether to shuffle the row groups of all files, and the rows within each row group.
    seed : int or None, default=None
        Seed of the shuffling.

    Examples
    --------
    >>> import fastbp, os, pandas, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "table.parquet")
    >>> pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "target": [0.5, 0.7]}).to_parquet(path)
    >>> stream = fastbp.ParquetStream(path, "target", shuffle=False)
    >>> stream.features
    ['a', 'b']
    >>> X, y = next(iter(stream))
    >>> X, y
    (array([[1., 3.],
           [2., 4.]], dtype=float32), array([0.5, 0.7]))
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        target: str | Sequence[str],
        *,
        features: Sequence[str] | None = None,
        sample_weight: str | None = None,
        dtype: DTypeLike = "float32",
        shuffle: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(shuffle, seed)
        from pyarrow import parquet

        one = isinstance(paths, (str, bytes, os.PathLike, type)) or not hasattr(paths, "__iter__")
        several: Any = [paths] if one else paths
        files = [checks.path("paths", path) for path in several]
        if not files:
            raise ValueError("paths is empty; at least one file is needed")
        self.dtype = checks.dtype(dtype)
        targets = _names("target", target)
        if features is not None:
            features = _names("features", features)
        weights = [] if sample_weight is None else _names("sample_weight", sample_weight)
        self._groups = []
        for path in files:
            with file.named(path), parquet.ParquetFile(path) as opened:
                metadata, known = opened.metadata, opened.schema_arrow.names
                groups = range(metadata.num_row_groups)
                self._groups += [(path, i) for i in groups if metadata.row_group(i).num_rows]
            if features is None:
                features = [name for name in known if name not in [*targets, *weights]]
            self.features, self.target, self.sample_weight = features, target, sample_weight
            self._columns = [*features, *targets, *weights]
            unknown = [name for name in self._columns if name not in known]
            if unknown:
                raise ValueError(f"{path} has no column {unknown[0]!r}, only {', '.join(known)}")
        if not self.features:
            raise ValueError("features is empty, or the files have no columns besides the target")
        if not self._groups:
            raise ValueError("the files have no rows; at least one sample is needed")

    def __len__(self) -> int:
        return len(self._groups)

    def _read(self, number):
        from pyarrow import parquet

        path, group = self._groups[number]
        with file.named(path), parquet.ParquetFile(path) as opened:
            table = opened.read_row_group(group, columns=self._columns, use_threads=False)
        X = np.empty((table.num_rows, len(self.features)), self.dtype)
        for j, name in enumerate(self.features):
            try:
                X[:, j] = checks.real_numbers(name, table[name].to_numpy())
            except (TypeError, ValueError):
                raise ValueError(
                    f"{path}: column {name!r} must hold numbers, but its type is {table[name].type}"
                ) from None
        if isinstance(self.target, str):
            y = table[self.target].to_numpy()
        else:
            y = np.column_stack([table[name].to_numpy() for name in self.target])
        weight = [] if self.sample_weight is None else [table[self.sample_weight].to_numpy()]
        return [X, y, *weight]


def _names(what, value):
    """Return names of columns as a list, from a name or several."""
    try:
        names = [value] if isinstance(value, str) else list(value)
    except TypeError:
        names = [value]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{what} must be the name of a column or a list of names, got {name!r}")
    return names


def _opened(array):
    if not isinstance(array, (str, Path)):
        return array
    with file.named(array):
        opened = np.load(array, mmap_mode="r")
        if not isinstance(opened, np.ndarray):
            opened.close()
            raise ValueError("the file holds several arrays; save each by numpy.save")
        return opened


def _length(name, array):
    array = _opened(array)
    if checks.is_sparse(array):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    shape = getattr(array, "shape", None)
    if not isinstance(shape, tuple) or not shape:
        shown = reprlib.repr(array)
        raise TypeError(f"{name} must be a path or an array, got {type(array).__name__}: {shown}")
    return shape[0]
