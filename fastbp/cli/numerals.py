"""Numbers written as text: decimal commas, thousands separators, currencies, percentages, units."""

import re
from typing import NamedTuple

import numpy as np

from .packages import pandas

# Texts that stand for a missing value, in lower case, besides those that pandas knows.
MISSING_WORDS = frozenset(
    {
        *(
            "?",
            "-",
            "--",
            "---",
            "–",
            "—",
            ".",
            "..",
            "...",
            "*",
            "n.a.",
            "n.a",
            "na",
            "n/a",
            "nan",
        ),
        *("none", "null", "nil", "unknown", "unk", "missing", "not available", "not applicable"),
        *("no data", "tbd", "undefined", "(missing)", "#n/a", "#value!", "#div/0!", "#ref!", ""),
    }
)
# A column whose cells are numbers in this share of the rows is one of numbers, if there are at
# least so many different ones; the other cells count as missing.
SHARE_OF_NUMBERS = 0.95
FEWEST_NUMBERS = 10
# If this many texts do not fit, the others are not tried.
SAMPLE = 100

CURRENCIES = (
    *("R$", "US$", "A$", "C$", "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "¢", "USD", "EUR", "GBP"),
    *("CHF", "JPY", "CNY", "INR", "AUD", "CAD", "BRL", "SEK", "NOK", "DKK", "PLN", "Rs.", "Rs"),
)
# Units that may follow a number without a space.
UNITS = (
    *("kg", "g", "mg", "lb", "lbs", "oz", "km", "m", "cm", "mm", "mi", "ft", "yd", "sqft", "m2"),
    *("m²", "m3", "m³", "ha", "l", "ml", "s", "sec", "ms", "min", "h", "hr", "hrs", "kb", "mb"),
    *("gb", "tb", "hz", "khz", "mhz", "ghz", "w", "kw", "kwh", "mw", "v", "mah", "cc", "bhp", "hp"),
    *("kmpl", "mpg", "mph", "km/h", "kmph", "rpm", "nm", "px", "%", "‰", "°", "°c", "°f", "°C"),
)
_CURRENCY = "|".join(re.escape(text) for text in CURRENCIES)
_UNIT = "|".join(re.escape(text) for text in sorted(UNITS, key=len, reverse=True))
_CELL = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+]?)\s*(?P<prefix>{_CURRENCY})?\s*(?P<sign2>[-+]?)"
    r"(?P<body>\d[\d.,' ]*(?<! )|[.,]\d+)(?P<exponent>[eE][-+]?\d+)?"
    rf"(?:\s*(?P<suffix>{_CURRENCY}|(?i:{_UNIT}))|\s+(?P<word>[^\W\d_]{{1,12}}))?\s*(?(open)\))"
)
TRUTH = {"true": 1.0, "false": 0.0}
_SPACES = str.maketrans({"\u2212": "-", "\xa0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})
# Digits with thousands separators before the decimal mark. India groups by two digits.
_GROUPED = {
    ".": re.compile(r"[1-9]\d{0,2}(?:(?:,\d{2,3})*,\d{3}|(?: \d{3})+|(?:'\d{3})+)(?:\.\d*)?"),
    ",": re.compile(r"[1-9]\d{0,2}(?:(?:\.\d{3})+|(?: \d{3})+|(?:'\d{3})+)(?:,\d*)?"),
}
# Texts that are whole numbers in one culture and may be fractions in another one.
_EITHER = r"\s*[-+]?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)\s*"
_PLAIN = {".": re.compile(r"\d+(?:\.\d*)?|\.\d+"), ",": re.compile(r"\d+(?:,\d*)?|,\d+")}


class Cell(NamedTuple):
    """A text that may be a number.

    Attributes
    ----------
    values : dict of str to float
        By decimal mark, the number that the text then stands for.
    unit : str
        The currency, percent sign or unit; empty if there is none.
    grouped : dict of str to bool
        By decimal mark, whether a mark then separates thousands.
    """

    values: dict
    unit: str
    grouped: dict


class Style(NamedTuple):
    """How the numbers of a column are written.

    Attributes
    ----------
    decimal : {".", ","}
    grouped : bool
        Whether thousands are separated in some cells. If not, "1.234" is never read as 1234.
    unit : str
    """

    decimal: str = "."
    grouped: bool = False
    unit: str = ""


class Found(NamedTuple):
    """Numbers that the texts of a column may be.

    Attributes
    ----------
    styles : dict of str to Style
        By decimal mark, the style in which all texts are numbers. Both marks are possible for
        "1,234", which is ambiguous, and for "12", which is not.
    missing : tuple of str
        Texts that are no numbers and count as missing.
    example : (str, dict of str to float) or None
        A text whose value depends on the mark, with both values.
    what : str
        "whole numbers", "numbers", or "true is 1, false 0".
    """

    styles: dict
    missing: tuple = ()
    example: tuple | None = None
    what: str = "numbers"


def parse(text):
    """Return the `Cell` of a text, or None if it is no number."""
    text = text.translate(_SPACES).strip()
    if text.lower() in TRUTH:
        return Cell(dict.fromkeys(".,", TRUTH[text.lower()]), "", dict.fromkeys(".,", False))
    match = _CELL.fullmatch(text)
    if match is None or (match["sign"] and match["sign2"]):
        return None
    sign = -1.0 if match["open"] or "-" in (match["sign"], match["sign2"]) else 1.0
    if match["open"] and (match["sign"] or match["sign2"]):
        return None
    values, grouped = {}, {}
    for decimal in ".,":
        grouped[decimal] = _GROUPED[decimal].fullmatch(match["body"]) is not None
        if grouped[decimal] or _PLAIN[decimal].fullmatch(match["body"]):
            digits = re.sub(r"[^\d.]" if decimal == "." else r"[^\d,]", "", match["body"])
            digits = digits.replace(",", ".")
            values[decimal] = sign * float(digits + (match["exponent"] or ""))
    if not values:
        return None
    units = [match[key] for key in ("prefix", "suffix", "word") if match[key]]
    return Cell(values, _unit(units[0]) if units else "", grouped) if len(units) < 2 else None


def _unit(text):
    """Return a unit in one spelling: "Years" and "year" are the same."""
    if text in CURRENCIES:
        return text
    lower = text.lower()
    return lower[:-1] if len(lower) > 2 and lower.endswith("s") else lower


def _common_unit(cells):
    """Return the unit that all cells have in common; None if there are several.

    Zero needs none.
    """
    units = {cell.unit for cell in cells if cell.unit or any(cell.values.values())}
    return None if len(units) > 1 else next(iter(units), "")


def is_word_for_missing(text):
    """Return whether a text is a usual word for a missing value."""
    return text.strip().lower() in MISSING_WORDS


def find(counts, decimal=None):
    """Find out whether texts are numbers.

    Parameters
    ----------
    counts : dict of str to int
        The different texts of a column, with the number of rows of each.
    decimal : {".", ","} or None
        The decimal mark, if it is known.

    Returns
    -------
    Found or None
        None if the column holds something else.
    """
    if len(counts) > SAMPLE and not any(map(parse, list(counts)[:SAMPLE])):
        return None
    cells = {text: parse(text) for text in counts}
    cells = {text: cell for text, cell in cells.items() if cell is not None}
    missing, unit = missing_among(counts, cells), _common_unit(cells.values())
    if not cells or missing is None or unit is None:
        return None
    styles = {
        mark: Style(mark, any(cell.grouped[mark] for cell in cells.values()), unit)
        for mark in decimal or ".,"
        if all(mark in cell.values for cell in cells.values())
    }
    if not styles:
        return None
    either = (
        (text, cell.values)
        for text, cell in cells.items()
        if len(styles) == 2 and cell.values["."] != cell.values[","]
    )
    what = "numbers"
    if all(text.strip().lower() in TRUTH for text in cells):
        what = "true is 1, false 0"
    elif all(cell.values[next(iter(styles))] % 1 == 0 for cell in cells.values()):
        what = "whole numbers"
    return Found(styles, missing, next(either, None), what)


def find_plain(series, decimal=None):
    """Find out quickly whether texts are plain numbers such as 12 and -1.5e3.

    Parameters
    ----------
    series : Series of str
        Without missing values.
    decimal : {".", ","} or None
        The decimal mark, if it is known.

    Returns
    -------
    Found or None
        None if the texts are, or may be, something else; then `find` knows more.
    """
    if not len(series):
        return None
    values = pandas().to_numeric(series, errors="coerce").to_numpy(np.float64)
    if np.isnan(values).any():
        return None
    if series.str.contains(".", regex=False).any():
        samples = (series.head(SAMPLE), series)  # mostly, the first one decides
        if decimal == "," or all(texts.str.fullmatch(_EITHER).all() for texts in samples):
            return None
        marks = "."
    elif series.str.match(r"\s*0\d").any():  # codes such as 01234
        return None
    else:
        marks = decimal or ".,"
    finite = values[np.isfinite(values)]
    what = "whole numbers" if (finite % 1 == 0).all() else "numbers"
    return Found({mark: Style(mark) for mark in marks}, what=what)


def missing_among(counts, read):
    """Return the texts that count as missing beside those that could be read.

    Parameters
    ----------
    counts : dict of str to int
        The different texts of a column, with the number of rows of each.
    read : collection of str
        Those that could be read, such as numbers or dates.

    Returns
    -------
    tuple of str or None
        None if too many others are neither read nor usual words for a missing value.
    """
    others = [text for text in counts if text not in read]
    strange = [text for text in others if not is_word_for_missing(text)]
    n_read = sum(counts[text] for text in read)
    n_strange = sum(counts[text] for text in strange)
    few = n_read >= SHARE_OF_NUMBERS * (n_read + n_strange) and len(read) >= FEWEST_NUMBERS
    if strange and not few or len(read) < 2 and others:
        return None
    return tuple(dict.fromkeys(text.strip() for text in others))


def value(text, style):
    """Return the number that a text stands for in a style; None if it is none.

    A text with thousands separators that could also be a fraction ("1.234") is only a number if
    the style has such separators.
    """
    cell = parse(text)
    if cell is None or style.decimal not in cell.values or cell.unit not in ("", style.unit):
        return None
    either = len(cell.values) == 2 and cell.values["."] != cell.values[","]
    if either and cell.grouped[style.decimal] and not style.grouped:
        return None
    return cell.values[style.decimal]


def values(texts, style, missing):
    """Return the numbers of a column.

    Parameters
    ----------
    texts : ndarray of object, shape (n_rows,)
        Texts, and NaN for missing ones.
    style : Style
    missing : collection of str
        Texts that count as missing besides the usual words.

    Returns
    -------
    numbers : ndarray of float64, shape (n_rows,)
        NaN for missing ones.
    wrong : ndarray of bool, shape (n_rows,)
        Where a text is neither a number nor missing.
    """
    pd = pandas()
    numbers = np.full(len(texts), np.nan)
    if style.decimal == ".":
        numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(float)
        numbers = numbers.copy()
    wrong, known = np.zeros(len(texts), dtype=bool), {}
    for row in np.flatnonzero(np.isnan(numbers)).tolist():
        text = texts[row]
        if not isinstance(text, str):
            continue
        if text not in known:
            absent = text.strip() in missing or is_word_for_missing(text)
            known[text] = np.nan if absent else value(text, style)
        if known[text] is None:
            wrong[row] = True
        else:
            numbers[row] = known[text]
    return numbers, wrong
