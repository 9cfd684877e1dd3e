"""Columns of X that do not enter a network as they are: categories, and numbers with gaps.

In h_0 of a network with such inputs, learned numbers take the place of some columns of X. The
learned numbers are tables behind the last layer in the parameter buffer; each table begins on a
vector, and all together are padded to whole pieces. The kernels get a second table of integers
besides the plan: a row that describes the whole input, and one for each part of it. The numbers
below name their columns.
"""

import ctypes
import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import checks, tables
from .names import keywords

# Columns of the row for the whole input.
X_WIDTH = 0  # columns of X
PARTS = 1  # number of the rows that follow
MARKS = 2  # where the workspace keeps what was found in learned columns, per row of the block
MARKED = 3  # how many numbers it keeps for each row
TABLES = 4  # start of all tables in the parameter buffer
TABLED = 5  # their length, in whole pieces
LEARNED = 6  # the first place of h_0 that is learned, rounded down to whole vectors
# Columns of the row for a part.
KIND = 0
COLUMN = 1  # first column of X
PLACE = 2  # first place in h_0
WIDTH = 3  # places in h_0
CATEGORIES = 4  # number of known categories
TABLE = 5  # start of its table in the parameter buffer
TABLE_STRIDE = 6  # distance between rows of the table
MARK = 7  # the first of its numbers among those that the workspace keeps
PART_COLUMNS = 8

# Kinds of parts: columns that are copied, copied unless NaN, or replaced by a row of a table.
PLAIN, FILLED, CATEGORY = range(3)

# Threads share the tables by pieces of so many numbers, as they share layers by rows.
TABLE_PIECE = 256

# The kinds of learned inputs among the arrays of parameters.
TABLE_KINDS = {CATEGORY: "embeddings", FILLED: "missing"}


@dataclass(frozen=True)
class Numeric:
    """Columns of X that enter a network as numbers.

    Parameters
    ----------
    n_columns : int
        Number of columns, at least 1.
    missing : bool, default=False
        Whether NaN stands for a missing number. Then each column has a number that is learned, and
        takes the place of NaN. It begins at 0. Without that, NaN is refused.

    See Also
    --------
    Categorical : A column of categories.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> net = fastbp.Network([[fastbp.Numeric(2, missing=True)], 1], loss="squared_error")
    >>> net.weights[0] = [[1.0], [10.0]]
    >>> net.missing[0] = [0.0, 3.0]
    >>> net.predict([[1.0, 2.0], [1.0, np.nan]]).ravel()
    array([21., 31.], dtype=float32)
    """

    n_columns: int
    missing: bool = False

    def __post_init__(self):
        checks.settle(
            self,
            n_columns=checks.whole_number("Numeric: n_columns", self.n_columns, 1, checks.MOST),
            missing=checks.flag("Numeric: missing", self.missing),
        )

    def __repr__(self) -> str:
        return f"Numeric({self.n_columns}{', missing=True' if self.missing else ''})"

    @property
    def _columns(self):
        """The number of columns of X."""
        return self.n_columns

    _width = _columns  # the number of places in h_0
    _dimensions = 1  # of the array of learned numbers

    @property
    def _rows(self):
        """The number of rows of the table."""
        return int(self.missing)

    @property
    def _kind(self):
        return FILLED if self.missing else PLAIN


@dataclass(frozen=True)
class Categorical:
    """A column of X with categories, each of which has a vector that is learned.

    The column holds codes: whole numbers 0, 1, ..., n_categories - 1, as
    ``sklearn.preprocessing.OrdinalEncoder`` or ``pandas.Categorical.codes`` give them. -1 and NaN
    stand for an unknown category, which has a vector of its own. It learns from the samples with
    such codes, and stays 0 if training has none. All other numbers are refused. The network gets
    the row ``E[code]`` of the table E in place of the code.

    Parameters
    ----------
    n_categories : int
        Number of known categories, at least 1; below 2²⁴ in networks of float32, which has no
        larger odd numbers.
    dimension : int, optional
        Length of the vectors; by default (n_categories + 1) // 2, but at most 50.

    See Also
    --------
    Numeric : Columns of numbers.

    References
    ----------
    Guo and Berkhahn, "Entity Embeddings of Categorical Variables", arXiv:1604.06737.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([[fastbp.Categorical(3, 2)], 1], loss="squared_error", seed=0)
    >>> net.embeddings[0].shape  # three categories, and one for unknown ones
    (4, 2)
    >>> net.weights[0] = [[1.0], [10.0]]
    >>> net.embeddings[0] = [[1, 2], [3, 4], [5, 6], [0, 0]]
    >>> net.predict([[0], [2], [-1]]).ravel()
    array([21., 65.,  0.], dtype=float32)
    """

    n_categories: int
    dimension: int | None = None

    def __post_init__(self):
        n = checks.whole_number("Categorical: n_categories", self.n_categories, 1, checks.MOST)
        dimension = self.dimension
        if dimension is None:
            dimension = min(50, (n + 1) // 2)
        checks.settle(
            self,
            n_categories=n,
            dimension=checks.whole_number("Categorical: dimension", dimension, 1, checks.MOST),
        )

    def __repr__(self) -> str:
        return f"Categorical({self.n_categories}, {self.dimension})"

    _columns, _dimensions, _kind = 1, 2, CATEGORY

    @property
    def _width(self):
        """The number of places in h_0."""
        return self.dimension

    @property
    def _rows(self):
        """The number of rows of the table."""
        return self.n_categories + 1


for _class in (Numeric, Categorical):
    _class.__init__ = keywords(_class.__init__)  # type: ignore[method-assign]
del _class


def inputs_of(layer_sizes):
    """Return layer_sizes with the width of h_0 in place of a list of inputs, and the inputs.

    The inputs are a tuple, empty if all of them are plain numbers.
    """
    if not checks.is_sequence(layer_sizes) or len(layer_sizes) == 0:
        return layer_sizes, ()
    first = layer_sizes[0]
    if isinstance(first, Numeric | Categorical):
        inputs = [item for item in layer_sizes if isinstance(item, Numeric | Categorical)]
        raise TypeError(f"layer_sizes[0] must be a number or a list of inputs; write {inputs}")
    if not checks.is_sequence(first):
        return layer_sizes, ()
    given = tuple(first)
    for i, item in enumerate(given):
        if not isinstance(item, Numeric | Categorical):
            raise TypeError(
                f"layer_sizes[0][{i}] must be a fastbp.Numeric or fastbp.Categorical, got {item!r}"
            )
    if not given:
        raise ValueError("layer_sizes[0] is an empty list; it must have at least one input")
    learned = sum(item._rows * item._width for item in given)
    if learned > checks.MOST_PARAMETERS:
        raise ValueError(
            f"layer_sizes[0] has {learned:.2g} learned numbers, more than any memory holds"
        )
    sizes = [sum(item._width for item in given), *layer_sizes[1:]]
    return sizes, given if any(item._rows for item in given) else ()


def check_precision(inputs, dtype):
    """Refuse categories whose codes have no exact numbers in a dtype."""
    for item in inputs:
        if isinstance(item, Categorical) and dtype == np.float32 and item.n_categories >= 2**24:
            raise ValueError(
                f"{item!r} has codes from 2**24 on, which float32 cannot tell apart; "
                'make the network with dtype="float64"'
            )


def table(inputs, lanes, start, marks):
    """The table for the kernels, int64 of shape (1 + number of parts, PART_COLUMNS).

    `lanes` are the numbers in a vector, `start` is where the tables begin in the parameter buffer,
    and `marks` the offset of what the workspace keeps.
    """
    rows = np.zeros((1 + len(inputs), PART_COLUMNS), np.int64)
    whole, place, learned = rows[0], 0, None
    whole[PARTS], whole[MARKS], whole[TABLES] = len(inputs), marks, start
    for row, item in zip(rows[1:], inputs, strict=True):
        row[KIND], row[COLUMN], row[PLACE], row[WIDTH] = (
            *(item._kind, whole[X_WIDTH], place, item._width),
        )
        row[CATEGORIES] = getattr(item, "n_categories", 0)
        row[TABLE_STRIDE] = item._width
        row[TABLE], row[MARK] = start + whole[TABLED], whole[MARKED]
        if item._rows:
            learned = place if learned is None else learned
            whole[TABLED] += -(-item._rows * item._width // lanes) * lanes
            whole[MARKED] += item._columns
        whole[X_WIDTH] += item._columns
        place += item._width
    whole[LEARNED] = (learned or 0) // lanes * lanes
    whole[TABLED] = -(-whole[TABLED] // TABLE_PIECE) * TABLE_PIECE
    return rows


def table_at(address):
    """The table whose address a plan has, as a view of the plan's memory."""
    head = np.ctypeslib.as_array((ctypes.c_int64 * PART_COLUMNS).from_address(int(address)))
    size = int(1 + head[PARTS]) * PART_COLUMNS
    whole = (ctypes.c_int64 * size).from_address(int(address))
    return np.ctypeslib.as_array(whole).reshape(-1, PART_COLUMNS)


def table_places(rows):
    """Where the learned numbers lie: kind, number of rows, width, and start of each table."""
    places = []
    for row in rows[1:].tolist():
        if row[KIND] != PLAIN:
            n = row[CATEGORIES] + 1 if row[KIND] == CATEGORY else 1
            places.append((row[KIND], n, row[WIDTH], row[TABLE]))
    return places


def refuse(layout, what):
    """Refuse what is not implemented for networks with learned inputs."""
    if layout.inputs:
        raise ValueError(
            f"networks with {_learned(layout.inputs)} among their inputs do not support {what}"
        )


def _learned(inputs):
    """What is learned among the inputs, for messages."""
    categories = any(isinstance(item, Categorical) for item in inputs)
    return "fastbp.Categorical" if categories else "fastbp.Numeric(missing=True)"


def samples(X, layout, name="X"):
    """Return checked samples of a network with learned inputs."""
    array = checks.samples(
        *(X, layout.n_features, layout.dtype, name), finite=_anything, nullable=True
    )
    if not _fits(array, _limits(layout.inputs, layout.dtype)):
        _refuse_first(array, layout.inputs, name, tables.columns_of(X))
    return array


class _Limits(NamedTuple):
    """What the columns of X may hold: numbers from `low` to `high`, and NaN where `gaps`.

    The columns `codes` hold whole numbers.
    """

    low: np.ndarray
    high: np.ndarray
    gaps: np.ndarray
    codes: np.ndarray


@functools.lru_cache(maxsize=256)
def _limits(inputs, dtype):
    columns = [item for item in inputs for _ in range(item._columns)]
    largest = float(np.finfo(dtype).max)
    codes = [isinstance(item, Categorical) for item in columns]
    counts = [getattr(item, "n_categories", None) for item in columns]
    return _Limits(
        np.array([-largest if n is None else -1 for n in counts], dtype),
        np.array([largest if n is None else n - 1 for n in counts], dtype),
        np.array([item._kind != PLAIN for item in columns]),
        np.flatnonzero(codes),
    )


def _fits(array, limits):
    """Whether an array has only what its columns may hold, in as few calls of NumPy as possible."""
    inside = (array >= limits.low) & (array <= limits.high)
    if not inside.all() and not (inside | (np.isnan(array) & limits.gaps)).all():
        return False
    codes = array[:, limits.codes]
    whole = codes == np.trunc(codes)
    return whole.all() or (whole | np.isnan(codes)).all()


def _refuse_first(array, inputs, name, columns):
    """Raise a ValueError about the first column that has what it may not hold."""
    first = 0
    for item in inputs:
        part = array[:, first : first + item._columns]
        if isinstance(item, Categorical):
            wrong = (part != np.floor(part)) | (part < -1) | (part >= item.n_categories)
            wrong &= ~np.isnan(part)
            expected = (
                f"the codes 0 to {item.n_categories - 1} of {item!r}, or -1 or NaN for an unknown "
                "category"
            )
        else:
            wrong = np.isinf(part) if item.missing else ~np.isfinite(part)
            expected = f"finite numbers for {item!r}"
            if item.missing:
                expected += ", or NaN for a missing one"
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            at = row, first + column
            value, place = array[at], tables.place(at, array.shape, columns)
            short = f"{value:g}"
            found = short if value.dtype.type(short) == value else str(value)
            raise ValueError(
                f"{name} has {found} in {place}, counted from 0; that column must have {expected}"
            )
        first += item._columns


def numbers_of(X, layout):
    """Return samples with 0 in place of codes and of missing numbers."""
    if not layout.inputs:
        return X
    kept = [isinstance(item, Numeric) for item in layout.inputs for _ in range(item._columns)]
    return np.where(np.array(kept) & ~np.isnan(X), X, 0)


def _anything(array):
    """A check of numbers that passes all."""
    return True
