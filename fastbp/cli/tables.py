"""Reads tables from CSV, Parquet and NumPy's .npz files, and writes CSV and Parquet."""

import argparse
import difflib
import warnings
import zipfile
from pathlib import Path

import numpy as np

from ..basis import writing
from .options import new_file

EXTENSIONS = (".csv", ".tsv", ".parquet", ".npz")
WRITTEN = (".csv", ".parquet")


def data_path(text):
    """A path to a table, with an extension that can be read; a type for argparse."""
    return _with_ending(text, EXTENSIONS)


def output_path(text):
    """A path to write a table to, with an extension that can be written; a type for argparse."""
    return _with_ending(new_file(text), WRITTEN)


def _with_ending(text, known):
    path = Path(text)
    if path.suffix.lower() not in known:
        raise argparse.ArgumentTypeError(
            f"unknown kind of file {str(text)!r}; it must end in one of {', '.join(known)}"
        )
    return path


def pandas():
    """Return the module pandas, or raise an ImportError with the command to install it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("reading tables needs pandas: pip install 'fastbp[cli]'") from error
    return pandas


def read(path, texts=()):
    """Read a table.

    Parameters
    ----------
    path : Path
    texts : sequence of str
        Columns of a CSV file that are read as text, even if their values look like numbers.

    Returns
    -------
    DataFrame

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        If the table cannot be read, or has no rows.
    """
    pandas()  # if it is missing, say so before any complaint about the file
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"the file {str(path)!r} {what}")
    reader = {".parquet": _read_parquet, ".npz": _read_npz}.get(path.suffix.lower(), _read_csv)
    frame = reader(path, texts)
    if not len(frame):
        raise ValueError(f"{path} has no rows, only names of columns")
    return frame


def _read_csv(path, texts):
    pd = pandas()
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)  # the comma if the header has none of them
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path,
                sep=separator,
                index_col=False,
                low_memory=False,
                dtype=dict.fromkeys(texts, object),
            )
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); convert it to UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path} is empty") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} is not a valid CSV file: {str(error).strip()}") from error


def _read_parquet(path, _):
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("reading Parquet needs pyarrow: pip install 'fastbp[cli]'") from error
    try:
        frame = pandas().read_parquet(path, engine="pyarrow")
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    frame.columns = [str(name) for name in frame.columns]
    return frame.reset_index(drop=True)


def _read_npz(path, _):
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        # AttributeError: the file holds a single array (.npy)
        raise ValueError(f"{path} is not a readable .npz file of plain arrays: {error}") from error
    columns = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array
        elif array.ndim == 2:
            columns |= {f"{name}{j}": array[:, j] for j in range(array.shape[1])}
        else:
            raise ValueError(
                f"{path}: array {name!r} has shape {array.shape}; expected columns (1-D) or "
                "matrices (2-D), whose columns are called name0, name1, ..."
            )
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path}: arrays must have equal numbers of rows, but have {lengths}")
    if not columns:
        raise ValueError(f"{path} is empty")
    return pandas().DataFrame(columns)


def write(frame, path):
    """Write a DataFrame in the format of the path's extension."""
    if path.suffix.lower() == ".parquet":
        content = frame.to_parquet(index=False)
    else:
        content = frame.to_csv(index=False).encode()
    writing.write(path, content)


def column(frame, name, path):
    """Return a column of a table; if it does not exist, the error suggests a similar name."""
    if name in frame:
        return frame[name]
    names = list(frame.columns)
    near = {key.lower(): key for key in names}
    found = difflib.get_close_matches(name.lower(), near, n=1, cutoff=0.5)
    hint = f" Did you mean {near[found[0]]!r}?" if found else ""
    if all(_is_number(key) for key in names):
        hint = " Its first line seems to hold data, but must hold the names of columns."
    raise ValueError(f"{path} has no column {name!r}.{hint} Its columns: {listed(names)}")


def refuse_nested(series):
    """Raise ValueError if a column holds lists or structures, as Parquet files may."""
    types = pandas().api.types
    if types.is_object_dtype(series) and series.map(types.is_list_like).any():
        raise ValueError(
            f"column {series.name!r} holds lists or structures, which are neither numbers nor "
            "categories; split them into columns of numbers or text, or leave them out with --drop "
            f"{series.name}"
        )


def as_known(text, known):
    """Return the known text that a text of a CSV file means; the text itself if there is none.

    pandas reads 01 and true as 1 and True if all values of the column are numbers or booleans.
    The model was trained on these names. Looking up each text separately makes the result
    independent of the other rows in the table.
    """
    if text in known:
        return text
    if text.lower() in ("true", "false"):
        read = text.capitalize()
    elif _is_number(text) and "_" not in text:  # float accepts 1_000, pandas does not
        read = number_text(float(text))
    else:
        return text
    return read if read in known else text


def number_text(value):
    """Return a number as text, equal for 1 and 1.0: missing values turn int columns to float."""
    return f"{value:.0f}" if value % 1 == 0 else str(value)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def listed(names, most=12):
    """Return the first names separated by commas, and the number of the others."""
    names = [str(name) for name in names]
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
