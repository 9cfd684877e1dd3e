"""Chooses the columns of a table to learn from, and says what each one is read as and why."""

import re
import shutil
import textwrap
from typing import Any, NamedTuple

import numpy as np

from . import readings
from .numerals import TRUTH
from .options import printable, shortened
from .packages import pandas

# A column with more distinct texts than this causes a warning.
MANY_CATEGORIES = 100
# Texts that differ in this share of the rows are names, comments or identifiers.
SHARE_OF_IDS = 0.9
# In fewer rows, all values of a column often differ by chance.
FEWEST_ROWS = 10
ID_NAMES = re.compile(
    r"(^|[^a-z])(id|ids|key|uuid|guid|index|idx|nr|no|num|number|code|row|rownames|unnamed)($|[^a-z])"
)
# Names of quantities, which are no identifiers even if they count the rows.
QUANTITIES = re.compile(
    r"(^|[^a-z])(age|year|years|month|months|week|weeks|day|days|hour|hours|minute|minutes|time|date|"
    r"timestamp|distance|length|height|width|weight|size|dose|temp|temperature|price|income|amount)"
    r"($|[^a-z])"
)
YEARS = (1500, 2200)
# At most this many columns are shown; if there are more, only those that are not plain.
MOST_SHOWN = 40
EXAMPLES = 3
# If possible, this many characters of a line are left for the reasons.
ROOM = 28


class Column(NamedTuple):
    """What becomes of a column of the table.

    Attributes
    ----------
    name : str
    reading : Reading or None
        None if the column is left out.
    why : str
    missing : int
        The number of rows without a value.
    examples : list of str
    """

    name: str
    reading: Any
    why: str
    missing: int
    examples: list

    def read_as(self):
        """Return what the column is read as, in a word or two."""
        if self.reading is None:
            return "left out"
        return {"clock": "time of day"}.get(self.reading.kind, self.reading.kind)

    def to_json(self):
        """Return the column as a dict for JSON."""
        return {
            "column": self.name,
            "read_as": self.read_as(),
            "why": self.why,
            "missing": self.missing,
            "examples": self.examples,
        }


def choose(frame, target, y, decisions, path, *, keep=(), drop=()):
    """Choose the columns to learn from.

    Parameters
    ----------
    frame : DataFrame
        Rows with a target.
    target : str
    y : ndarray of shape (n_rows,)
        The values of the target.
    decisions : dict of str to Decision
        How each column is read, but those in `drop`.
    path : str
        The table's file, for messages.
    keep : collection of str
        Columns that are not left out, even if they look like identifiers or repeat the target.
    drop : collection of str
        Columns to leave out.

    Returns
    -------
    chosen : list of Column
        All columns but the target.
    features : DataFrame
        The features of the columns that are not left out, see `prepare`.

    Raises
    ------
    ValueError
        If no column is left to learn from, or a cell cannot be used.
    """
    chosen: list = []
    features: dict = {}
    for name in frame.columns:
        if name == target:
            continue
        series, made = frame[name], {}
        if name in drop:
            reading, why, given = None, "--drop", ~series.isna().to_numpy()
        else:
            reading, why = decisions[name]
            made = readings.features(series, reading, path)
            values = made.get(f"{name} (days)", next(iter(made.values()), None))
            given = readings.given(series, reading) if values is None else values == values
            if out := _reason_to_leave_out(series, reading, values, given, y, keep):
                reading, why, made = None, out, {}
            else:
                why += _warning(name, reading, values, given, y)
        examples = series[given].drop_duplicates().head(EXAMPLES).astype(str).tolist()
        chosen.append(Column(name, reading, why, len(series) - int(given.sum()), examples))
        if twice := made.keys() & features.keys():
            raise ValueError(
                f"a part of a date and another column are both called {min(twice)!r}; rename the "
                "latter"
            )
        features |= made
    if not features:
        left_out = "; ".join(f"{column.name!r}: {column.why}" for column in chosen[:5])
        raise ValueError(
            "the table has no column to learn from besides the target"
            + (f" (left out are {left_out})" if chosen else "")
        )
    return chosen, pandas().DataFrame(features, index=frame.index)


def _reason_to_leave_out(series, reading, values, given, y, keep):
    """Return why a column is of no use, as text; empty if it may be."""
    name, n_given = series.name, int(given.sum())
    if not n_given:
        return "empty"
    n_values = 1 if values is None else pandas().Series(values[given]).nunique()
    if n_values == 1 and (n_given == len(series) or reading.kind != "category"):
        gaps = " or missing" if n_given < len(series) else ""
        return f"always {shortened(series[given].iloc[0])}{gaps}"
    if name in keep:
        return ""
    if _equals(values, given, y):
        return f"equal to the target, which it would give away; --keep {name} uses it"
    if reading.kind == "category" and n_given >= FEWEST_ROWS:
        if n_values == n_given:
            return f"different in every row, like a name or an identifier; --keep {name} uses it"
        if n_values >= SHARE_OF_IDS * n_given and n_values > MANY_CATEGORIES:
            return f"{n_values} different texts in {n_given} rows; --keep {name} uses it"
    differ = reading.kind == "number" and n_values == len(series) >= FEWEST_ROWS
    is_quantity = reading.unit or reading.grouped  # $1,234 identifies nothing
    if differ and not is_quantity and (why := _like_an_id(str(name), values)):
        return f"an identifier: {why}; --keep {name} uses it"
    return ""


def _equals(values, given, y):
    """Return whether a column has the value of the target wherever it has one."""
    if values.dtype.kind == "f" and y.dtype.kind in "if":
        return bool(np.array_equal(values[given], y[given]))
    if values.dtype.kind == "O" and y.dtype.kind in "iU":
        return values[given].tolist() == y[given].astype(str).tolist()
    if values.dtype.kind == "f" and set(y.tolist()) <= {"True", "False"}:
        return bool(np.array_equal(values[given], [TRUTH[text.lower()] for text in y[given]]))
    return False


def _like_an_id(name, values):
    """Return why whole numbers that differ in every row identify the rows; empty if not.

    Quantities may differ in every row, too, but are spread otherwise.
    """
    if (values % 1 != 0).any():
        return ""
    low, high = values.min(), values.max()
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    if ID_NAMES.search(words):
        return "its name, and whole numbers that differ in every row"
    if YEARS[0] <= low <= high <= YEARS[1] or QUANTITIES.search(words):
        return ""
    if high - low < 3 * len(values):
        return "whole numbers that number the rows"
    digits = np.floor(np.log10(high)) if high >= 1 else 0
    lowest = 10**digits if low >= 10**digits else 0
    uniform = abs(np.median(values) - (low + high) / 2) < 0.1 * (high - low)
    if digits >= 3 and uniform and high - low > 0.85 * (10 ** (digits + 1) - lowest):
        return f"whole numbers of {digits + 1:.0f} digits that differ in every row"
    if high - low < 0.1 * low and digits >= 5:
        return "long numbers that begin alike and differ in every row"
    return ""


def _warning(name, reading, values, given, y):
    """Return what to watch out for in a column that is used, as an addition to the reason."""
    if reading.kind == "category":
        n_values = pandas().Series(values[given]).nunique()
        if n_values > MANY_CATEGORIES:
            return f", and each becomes an input; see --drop {name}"
    if y.dtype.kind in "iU" and _tells(values, given, y):
        return "; tells the target exactly: is it known beforehand?"
    return ""


def _tells(values, given, y):
    """Return whether each class has values of its own, few enough to be no chance."""
    if len(y) < 5 * len(np.unique(y)) or not given.all():
        return False
    pairs = pandas().DataFrame({"value": values, "y": y}).drop_duplicates()
    n_values = pairs["value"].nunique()
    return len(pairs) == n_values == len(np.unique(y))


def prepare(frame, chosen, path, known=None):
    """Return the features of a table.

    Parameters
    ----------
    frame : DataFrame
    chosen : dict of str to Reading
    path : str
        The table's file, for messages.
    known : dict of str to collection of str, optional
        See `readings.features`.

    Returns
    -------
    DataFrame
        Columns of float64, and of str as objects, NaN for missing values.
    """
    made: dict = {}
    for name, reading in chosen.items():
        made |= readings.features(frame[name], reading, path, known)
    return pandas().DataFrame(made, index=frame.index)


def with_ranges(chosen, features):
    """Return the readings of columns with the ranges of the features."""
    return {
        name: readings.with_range(
            reading, {key: features[key].to_numpy() for key in readings.names(name, reading)}
        )
        for name, reading in chosen.items()
    }


def table(chosen):
    """Return the columns as a table for readers, fitted to the terminal's width."""
    shown = chosen
    if len(chosen) > MOST_SHOWN:
        plain = [c for c in chosen if c.reading and c.why in ("numbers", "whole numbers")]
        rest = [c for c in chosen if c not in plain]
        shown = (plain[: max(3, MOST_SHOWN - len(rest))] + rest)[:MOST_SHOWN]
    width = max(40, min(shutil.get_terminal_size().columns, 120) - 1)
    rows = [["column", "read as", "missing"]]
    rows += [[shortened(c.name, 24), c.read_as(), str(c.missing or "")] for c in shown]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    room = min(26, max(12, width - sum(widths) - 8 - ROOM))
    examples = ["examples", *(_fitting(c.examples, room) for c in shown)]
    room = max(map(len, examples))
    lines = []
    reasons = ["why", *(c.why for c in shown)]
    for (name, kind, missing), few, why in zip(rows, examples, reasons, strict=True):
        start = f"{name:{widths[0]}}  {kind:{widths[1]}}  {missing:>{widths[2]}}"
        start += f"  {few:{room}}"
        lines += _wrapped(printable(start), why, width)
    if len(shown) < len(chosen):
        lines.append(f"... and {len(chosen) - len(shown)} more columns")
    return "\n".join(lines)


def _fitting(examples, room):
    """Return as many examples as there is room for, at least one."""
    text = ""
    for example in examples:
        longer = f"{text}, {shortened(example, room)}" if text else shortened(example, room)
        if len(longer) > room:
            break
        text = longer
    return text


def _wrapped(start, text, width):
    """Return a text behind the start of a line, on several lines if it is too long."""
    room, indent = max(ROOM - 8, width - len(start) - 2), " " * (len(start) + 2)
    parts = textwrap.wrap(printable(text), room, break_on_hyphens=False) or [""]
    return [f"{start}  {parts[0]}".rstrip(), *(indent + part for part in parts[1:])]
