"""How the columns of a table are read: as numbers, dates, times of day or categories.

It is decided once, before the training, and kept in the model. `predict` then reads each cell by
itself in the same way, so that a prediction does not depend on the other rows.
"""

from typing import NamedTuple

import numpy as np

from ..files import schema
from . import dates, numerals
from .options import shortened
from .packages import pandas
from .tables import as_known, number_text, refuse_nested

KINDS = ("number", "date", "clock", "category")
# Numbers outside of the range of the training by more than this share of its width are reported.
MARGIN = 0.1
# Squares of larger numbers, summed over the rows, are infinite.
LARGEST = 1e150
# The category of missing texts.
MISSING = "(missing)"


class Reading(NamedTuple):
    """How the cells of a column are read.

    Attributes
    ----------
    kind : {"number", "date", "clock", "category"}
    decimal, grouped, unit
        Of numbers, see `numerals.Style`.
    format : str
        Of dates written as text, see `dates.find`.
    parts : tuple of str
        The parts of dates that become features.
    missing : tuple of str
        Texts that count as missing.
    low, high : float or None
        The range in the table of the training; of dates in days since 1970-01-01.
    """

    kind: str
    decimal: str = "."
    grouped: bool = False
    unit: str = ""
    format: str = ""
    parts: tuple = ()
    missing: tuple = ()
    low: float | None = None
    high: float | None = None

    def with_decimal(self, mark):
        """Return the reading with a decimal mark that the user has named."""
        return self._replace(decimal=mark, grouped=True) if mark != self.decimal else self


class Decision(NamedTuple):
    """A reading and the reason for it, as text."""

    reading: Reading
    why: str


# Decisions.


def decide(frame, *, categorical=(), decimal=None, day_first=False):
    """Decide how each column of a table is read.

    Parameters
    ----------
    frame : DataFrame
        Its attribute ``attrs["decimal"]``, if it exists, is the likely decimal mark.
    categorical : collection of str
        Columns that are categories, whatever they hold.
    decimal : {".", ","} or None
        The decimal mark of all columns; None to find it.
    day_first : bool
        Whether the day comes before the month in dates that leave it open.

    Returns
    -------
    dict of str to Decision
    """
    decisions: dict = {}
    counted: dict = {}
    found: dict = {}
    for name in frame.columns:
        series = frame[name]
        refuse_nested(series)
        if name in categorical:
            decisions[name] = _category(series, "as asked for")
        elif _kind_of_type(series) != "text":
            decisions[name] = _by_type(series)
        else:
            texts = series.dropna().astype(str)
            found[name], counted[name] = numerals.find_plain(texts, decimal), {}
            if found[name] is None or texts.str.len().eq(8).all():  # dates such as 20240131
                counted[name] = texts.value_counts(sort=False).to_dict()
            if found[name] is None and _may_be_numbers(counted[name]):
                found[name] = numerals.find(counted[name], decimal)
    likely = _likely_decimal(found.values()) or frame.attrs.get("decimal") or "."
    for name, counts in counted.items():
        decisions[name] = _by_text(frame[name], counts, found[name], likely, day_first)
    return {name: decisions[name] for name in frame.columns}


def _kind_of_type(series):
    types = pandas().api.types
    if isinstance(series.dtype, pandas().CategoricalDtype):
        return "category"
    if types.is_datetime64_any_dtype(series):
        return "date"
    if types.is_numeric_dtype(series) or types.is_timedelta64_dtype(series):
        return "number"
    return "text"


def _by_type(series):
    """Decide by the type of a column that does not hold text."""
    kind, types = _kind_of_type(series), pandas().api.types
    if kind == "category":
        return _category(series, "categories in the file")
    if kind == "date":
        parts = dates.varying(_datetimes(series))
        return Decision(Reading("date", parts=parts), "dates")
    if types.is_timedelta64_dtype(series):
        return Decision(Reading("number", unit="days"), "durations, in days")
    if types.is_bool_dtype(series):
        return Decision(Reading("number"), "true is 1, false 0")
    if types.is_integer_dtype(series) and series.min() >= 19000101 and series.max() <= 20991231:
        counts = series.dropna().astype(str).value_counts(sort=False).to_dict()
        if found := dates.find(counts):
            return _date(series, counts, *found)
    whole = (series.dropna() % 1 == 0).all()
    return Decision(Reading("number"), "whole numbers" if whole else "numbers")


def _may_be_numbers(counts):
    """Return whether texts are not codes of equal length with leading zeros, such as 01234."""
    if any(len(text) > 1 and text[0] == "0" and text.isdecimal() for text in counts):
        return len(set(map(len, counts))) > 1 or not all(text.isdecimal() for text in counts)
    return True


def _likely_decimal(found):
    """Return the decimal mark of the columns that leave no doubt; None if they differ."""
    marks = {mark for each in found if each and len(each.styles) == 1 for mark in each.styles}
    return marks.pop() if len(marks) == 1 else None


def _by_text(series, counts, found, likely, day_first):
    """Decide by the texts of a column; there are no counts if they are plain numbers."""
    compact = dates.find(counts) if counts and all(len(text) == 8 for text in counts) else None
    if found and not compact:
        return _number(counts, found, likely)
    if form := compact or dates.find(counts, day_first):
        return _date(series, counts, *form)
    missing = dates.find_clock(counts)
    if missing is not None:
        words = _words(missing, counts)
        return Decision(Reading("clock", missing=missing), f"times of day, in hours{words}")
    codes = "" if _may_be_numbers(counts) else "codes with leading zeros"
    return _category(series, codes)


def _number(counts, found, likely):
    """Decide for numbers; the decimal mark of the other columns tells what 1,234 is."""
    mark = likely if likely in found.styles else next(iter(found.styles))
    style, reasons = found.styles[mark], []
    if mark == "," and any("," in text for text in counts):
        reasons.append("decimal comma")
    if style.grouped:
        reasons.append("thousands separators")
    if style.unit:
        reasons.append(f"in {style.unit}")
    if found.example:
        text, values = found.example
        other = "." if mark == "," else ","
        reasons.append(
            f"{text} is read as {values[mark]:g}; --decimal '{other}' reads it as {values[other]:g}"
        )
    why = ", ".join(reasons or [found.what]) + _words(found.missing, counts)
    return Decision(Reading("number", *style)._replace(missing=found.missing), why)


def _words(missing, counts):
    """Return a note on texts that are read as missing; empty if there are none."""
    if not missing:
        return ""
    shown = ", ".join(repr(text) for text in missing[:3]) + ", ..." * (len(missing) > 3)
    n = sum(count for text, count in counts.items() if text.strip() in missing)
    return f"; {shown} in {n} {'row' if n == 1 else 'rows'} read as missing"


def _date(series, counts, form, guessed, missing):
    parts = dates.varying(_datetimes(series, form))
    why = f"dates, {dates.described(form)}"
    if guessed:
        why += ", or with day and month exchanged: see --day-first"
    return Decision(
        Reading("date", format=form, parts=parts, missing=missing),
        why + _words(missing, counts),
    )


def _category(series, why):
    n = series.nunique()
    return Decision(Reading("category"), f"{why}, {n} values" if why else f"text, {n} values")


def _datetimes(series, form=""):
    """Return a column as datetime64 without a time zone, NaT for what is no date."""
    if _kind_of_type(series) == "date":
        if series.dt.tz is not None:
            series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return series.to_numpy("datetime64[us]")
    return dates.parse(_texts(series), form)


# Cells to features.


def names(name, reading):
    """Return the names of the features that a column becomes, and whether each is a category."""
    if reading.kind != "date":
        return {name: reading.kind == "category"}
    return {f"{name} ({part})": part in dates.CATEGORIES for part in reading.parts}


def features(series, reading, path, known=None):
    """Return the features that a column becomes.

    Parameters
    ----------
    series : Series
    reading : Reading
    path : Path
        The table's file, for messages.
    known : dict of str to collection of str, optional
        For each feature that is a category, the texts that the model was trained on.

    Returns
    -------
    dict of str to ndarray
        Arrays of float64, or of str as objects; NaN for missing values.

    Raises
    ------
    ValueError
        If a cell cannot be read in this way.
    """
    if reading.kind == "category":
        made = _categories(series, reading)
        if known and series.name in known:
            made = _mapped(made, lambda text: as_known(text, known[series.name]))
        return {series.name: made}
    if reading.kind == "date":
        found = _datetimes(series, reading.format or dates.ISO)
        _refuse(series, _wrong(series, np.isnat(found), reading), reading, path)
        made = dates.parts(found)
        return {f"{series.name} ({part})": made[part] for part in reading.parts}
    return {series.name: numbers(series, reading, path)}


def numbers(series, reading, path):
    """Return a column of numbers or times of day as float64, NaN for missing values."""
    pd = pandas()
    if pd.api.types.is_timedelta64_dtype(series):
        return (series / np.timedelta64(1, "D")).to_numpy(np.float64)
    if _kind_of_type(series) == "number":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = _too_large(values)
    elif reading.kind == "clock":
        values = _mapped(_texts(series), dates.hours).astype(np.float64)
        wrong = _wrong(series, np.isnan(values), reading)
    else:
        style = numerals.Style(reading.decimal, reading.grouped, reading.unit)
        values, wrong = numerals.values(_texts(series), style, reading.missing)
        wrong |= _too_large(values)
    _refuse(series, wrong, reading, path)
    return values


def _too_large(values):
    """Return where a number is infinite, or its square would be."""
    return np.abs(values) > LARGEST


def given(series, reading):
    """Return where a column has a value, and no text that counts as missing."""
    found = ~series.isna().to_numpy()
    if _kind_of_type(series) == "text":
        texts = _texts(series)
        words = {
            text
            for text in {each for each in texts if isinstance(each, str)}
            if text.strip() in reading.missing
            or not text.strip()
            or (reading.kind != "category" and numerals.is_word_for_missing(text))
        }
        if words:
            found &= np.array([text not in words for text in texts], dtype=bool)
    return found


def _wrong(series, unread, reading):
    """Return where a cell could not be read and does not count as missing."""
    wrong = unread.copy()
    wrong[unread] = given(series[unread], reading)
    return wrong


EXPECTED = {
    "number": "finite numbers below 1e150",
    "date": "dates",
    "clock": "times of day such as 12:30",
}


def _refuse(series, wrong, reading, path):
    if not wrong.any():
        return
    row = int(wrong.argmax())
    expected = EXPECTED[reading.kind]
    if reading.unit or reading.decimal == ",":
        mark = "comma" if reading.decimal == "," else "point"
        unit = f" and in {reading.unit}" if reading.unit else ""
        expected += f", written with a decimal {mark}{unit}"
    if reading.format:
        expected += f" ({dates.described(reading.format)})"
    more = f" (and {wrong.sum() - 1} more such rows)" if wrong.sum() > 1 else ""
    raise ValueError(
        f"{path}: column {series.name!r} has {shortened(series.iloc[row], 40)!r} in row "
        f"{series.index[row] + 1}{more}, but must hold {expected}"
    )


def _texts(series):
    """Return the values as texts, NaN for missing ones."""
    if pandas().api.types.is_float_dtype(series):
        texts = [number_text(value) for value in series]
    else:
        cells = series.to_numpy(dtype=object).tolist()
        texts = [value if type(value) is str else str(value) for value in cells]
    made = np.array(texts, dtype=object)
    made[series.isna().to_numpy()] = np.nan
    return made


def _categories(series, reading):
    """Return the values as stripped texts, NaN for missing ones."""
    return _mapped(
        _texts(series),
        lambda text: np.nan if text.strip() in reading.missing else text.strip() or np.nan,
    )


def _mapped(texts, function):
    """Apply a function to each text, once for equal ones; NaN stays."""
    done = {text: function(text) for text in set(texts.tolist()) if isinstance(text, str)}
    return np.array([done.get(text, np.nan) for text in texts], dtype=object)


# Ranges and values of the training.


def with_range(reading, made):
    """Return a reading with the range of its column.

    Parameters
    ----------
    reading : Reading
    made : dict of str to ndarray
        The result of `features`.
    """
    values = _measured(reading, made)
    if values is None or np.isnan(values).all():
        return reading
    return reading._replace(low=float(np.nanmin(values)), high=float(np.nanmax(values)))


def _measured(reading, made):
    """Return the feature that has the range of a reading; None for categories."""
    if reading.kind == "category":
        return None
    return next((v for name, v in made.items() if reading.kind != "date" or "(days)" in name), None)


def surprises(series, reading, made, known):
    """Yield sentences on values that the training did not have.

    Parameters
    ----------
    series : Series
    reading : Reading
    made : dict of str to ndarray
        The result of `features`.
    known : dict of str to collection of str
        For each feature that is a category, the texts that the model was trained on.
    """
    for feature, texts in made.items():
        if feature not in known:
            continue
        unseen = np.array(
            [(MISSING if text != text else text) not in known[feature] for text in texts], bool
        )
        if unseen.any():
            example = texts[unseen.argmax()]
            example = "missing ones" if example != example else f"such as {example!r}"
            yield (
                f"{unseen.sum()} of {len(texts)} rows have values of {feature!r} never seen in "
                f"training, {example}; they count as none of the known ones"
            )
    name, values = series.name, _measured(reading, made)
    if values is None or reading.low is None or reading.high is None:
        return
    if reading.unit and not _has_unit(series):
        yield f"column {name!r} was in {reading.unit} in training, but has no unit here"
    margin = MARGIN * (reading.high - reading.low)
    outside = (values < reading.low - margin) | (values > reading.high + margin)
    if outside.any():
        ends = [_shown(reading, end) for end in (reading.low, reading.high)]
        yield (
            f"{outside.sum()} of {len(values)} rows have values of {name!r} far outside of those "
            f"seen in training, {ends[0]} to {ends[1]}"
        )


def _has_unit(series):
    """Return whether a column of text has some cells that are no plain numbers."""
    if _kind_of_type(series) != "text":
        return pandas().api.types.is_timedelta64_dtype(series)
    cells = map(numerals.parse, set(series.dropna().astype(str)))
    return any(cell is not None and cell.unit for cell in cells)


def _shown(reading, value):
    if reading.kind == "date":
        return str(np.datetime64("1970-01-01") + np.timedelta64(int(value // 1), "D"))
    return f"{value:g}"


# In the notes of a model.


def to_json(reading):
    """Return a reading as a dict for JSON, without what has its default."""
    plain = Reading(reading.kind)
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in reading._asdict().items()
        if key == "kind" or value != getattr(plain, key)
    }


def from_json(name, document):
    """Return the reading in a model's notes, checked."""
    what = f"the reading of column {name!r}"
    schema.some_fields(what, document, Reading._fields, ("kind",))
    schema.text(f"kind of {what}", document["kind"], KINDS)
    schema.text(f"decimal of {what}", document.get("decimal", "."), (".", ","))
    for key in ("unit", "format"):
        schema.text(f"{key} of {what}", document.get(key, ""))
    for key in ("parts", "missing"):
        for text in schema.listed(f"{key} of {what}", document.get(key, [])):
            schema.text(f"{key} of {what}", text, *([dates.PARTS] if key == "parts" else []))
    schema.flag(f"grouped of {what}", document.get("grouped", False))
    ends = {}
    for key in ("low", "high"):
        value = document.get(key)
        ends[key] = None if value is None else schema.real(f"{key} of {what}", value)
    tuples = {key: tuple(document.get(key, ())) for key in ("parts", "missing")}
    return Reading(**{**document, **ends, **tuples})
