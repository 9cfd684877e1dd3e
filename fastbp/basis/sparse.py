"""Sparse samples, in the form that the backends take."""

import numpy as np

from . import checks


class SparseRows:
    """The rows of a sparse matrix, as the backends take them: by entries, numbers with a column.

    Row r has the entries ``starts[r]`` to ``starts[r + 1] - 1``, sorted by column, each column
    once. Slices of rows share the entries.

    Parameters
    ----------
    values : real array of shape (entries,)
    columns : int32 array of shape (entries,)
    starts : int64 array of shape (n + 1,)
    width : int
        The number of columns, n_0.
    """

    __slots__ = ("columns", "shape", "starts", "values")

    def __init__(self, values, columns, starts, width):
        self.values, self.columns, self.starts = values, columns, starts
        self.shape = len(starts) - 1, width

    @property
    def dtype(self):
        return self.values.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Some of the rows, by a slice, by their numbers, or by an array of bool."""
        if isinstance(rows, slice) and rows.step in (None, 1):
            first, last, _ = rows.indices(len(self))
            starts = self.starts[first : max(first, last) + 1]
            return SparseRows(self.values, self.columns, starts, self.shape[1])
        return rows_of(self.matrix()[rows], self.dtype)

    def arrays(self):
        """Values, columns and starts."""
        return [self.values, self.columns, self.starts]

    @property
    def entries(self):
        """The mean number of entries in a row."""
        return float(self.starts[-1] - self.starts[0]) / max(len(self), 1)

    def matrix(self):
        """The same as a CSR array of SciPy's, which shares the memory if these are all rows."""
        from scipy import sparse

        first, last = self.starts[0], self.starts[-1]
        parts = self.values[first:last], self.columns[first:last], self.starts - first
        return sparse.csr_array(parts, self.shape)

    def max(self):
        """The largest number, zeros included."""
        return self.matrix().max()

    def min(self):
        """The smallest number, zeros included."""
        return self.matrix().min()


def rows_of(matrix, dtype):
    """A CSR matrix whose entries are sorted and unique as SparseRows."""
    values = np.require(matrix.data, dtype, ["C", "A"])
    columns = np.require(matrix.indices, np.int32, ["C", "A"])
    starts = np.require(matrix.indptr, np.int64, ["C", "A"])
    return SparseRows(values, columns, starts, matrix.shape[1])


def is_sparse(value):
    """Return whether a value is a sparse matrix of SciPy's, or SparseRows made from one."""
    if isinstance(value, SparseRows):
        return True
    if not checks.is_sparse(value):
        return False
    from scipy import sparse

    return sparse.issparse(value)


def check_undamaged(X, name="X"):
    """Refuse a sparse matrix whose conversion would write outside its arrays."""
    if is_sparse(X) and not isinstance(X, SparseRows):
        try:
            _checked(X)
        except ValueError as error:
            raise ValueError(f"{name} is a damaged sparse matrix: {error}") from None


def csr(X, name="X"):
    """Return a sparse matrix as a CSR matrix with unique entries, in the order of their columns.

    None of the entries is 0, so that equal matrices have equal entries. X is not changed, and
    shares its memory if possible.
    """
    try:
        matrix = _checked(X)
        if X.format != "csr":
            matrix = _checked(matrix.tocsr())
    except ValueError as error:
        raise ValueError(f"{name} is a damaged sparse matrix: {error}") from None
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    if not matrix.data.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return matrix


def _checked(X):
    """The same in a matrix of our own, since SciPy notes in a matrix what it finds out about it.

    SciPy's conversions would write outside their arrays if indices lay outside the shape.
    """
    if X.format == "coo":
        return type(X)((X.data, (X.row, X.col)), X.shape)  # checks its indices
    if X.format not in ("csr", "csc", "bsr"):
        return X
    matrix = type(X)((X.data, X.indices, X.indptr), X.shape)
    matrix.check_format()
    return matrix


def samples(X, layout, name="X"):
    """Return a sparse matrix as `SparseRows` for a layout, without changing it.

    A CSR matrix with int32 columns, in order, and values of the layout's dtype other than 0
    shares its memory.
    """
    n_features, dtype = layout.sizes[0], layout.dtype
    if layout.compute_dtype is not None:
        raise ValueError(
            f"{name} is a sparse matrix, but the network computes in {layout.compute_dtype}; make "
            f"it with compute_dtype=None, or pass {name}.toarray()"
        )
    if isinstance(X, SparseRows):
        return X
    if X.ndim != 2:
        raise ValueError(
            f"{name} must be 2-D, of shape (n_samples, {n_features}), got shape {X.shape}"
        )
    if X.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {X.dtype}")
    checks.check_shape(name, X.shape, n_features)
    matrix = csr(X, name)
    with np.errstate(over="ignore", invalid="ignore"):
        rows = rows_of(matrix, dtype)
    if not checks.all_finite(rows.values):
        wrong = int(np.argmax(~np.isfinite(rows.values)))
        row = int(np.searchsorted(rows.starts, wrong, "right")) - 1
        place = f"row {row}, column {rows.columns[wrong]}, counted from 0"
        if checks.all_finite(matrix.data.astype(np.float64)):
            raise ValueError(f"{name} has values too large for {dtype} (the first is in {place})")
        raise ValueError(
            f"{name} has NaN or infinite values (the first is in {place}); all must be finite"
        )
    return rows
