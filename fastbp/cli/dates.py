"""Dates and times written as text, and the features that are made of them."""

import re

import numpy as np

from . import numerals
from .packages import pandas

DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d %b %Y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y"),
    *("%d %b, %Y", "%d %B, %Y", "%A, %B %d, %Y", "%a, %d %b %Y", "%b-%d-%Y"),
)
# Orders of day and month that some dates leave open; the American one comes first.
EITHER = (
    *(("%m/%d/%Y", "%d/%m/%Y"), ("%m-%d-%Y", "%d-%m-%Y")),
    *(("%m/%d/%y", "%d/%m/%y"), ("%m-%d-%y", "%d-%m-%y")),
)
TIMES = ("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M")
MONTHS = ("%Y-%m", "%Y/%m", "%b %Y", "%B %Y", "%m/%Y", "%b-%Y", "%b-%y")
ISO = "ISO8601"
_IS_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)? ?(Z|[-+]\d{2}:?\d{2})?)?")
_IS_COMPACT = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_MAY_BE = re.compile(r"[^\d]*\d+[-/.:, ].*\d.*|[A-Za-z]{3,9}[- ]\d.*")
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?")
# The parts of a date, in the order of the features, and those that are categories.
PARTS = ("year", "month", "weekday", "hour", "days")
CATEGORIES = ("month", "weekday")
# If this many texts do not fit, the others are not tried.
SAMPLE = 20


def find(counts, day_first=False):
    """Find the format in which texts are dates.

    Parameters
    ----------
    counts : dict of str to int
        The different texts of a column, with the number of rows of each.
    day_first : bool
        Whether the day comes before the month where both orders are possible.

    Returns
    -------
    (str, bool, tuple of str) or None
        The format of strptime, or "ISO8601"; whether the order of day and month is a guess; the
        texts that count as missing. None if the texts are no dates.
    """
    texts = [text for text in counts if not numerals.is_word_for_missing(text)]
    if (
        not texts
        or sum(_MAY_BE.fullmatch(text.strip()) is not None for text in texts)
        < len(texts) * numerals.SHARE_OF_NUMBERS
    ):
        return _find_compact(texts)
    words = tuple(filter(numerals.is_word_for_missing, counts))
    words = tuple(dict.fromkeys(text.strip() for text in words))
    for most in (0, len(texts)):  # first a format that all have
        for form, other in _formats(day_first):
            strange = _missing(texts[:SAMPLE], form, counts, most)
            if strange is not None:
                strange = _missing(texts, form, counts, most)
            if strange is not None:
                read = [text for text in texts if text.strip() not in strange]
                return form, _is_guess(read, form, other), strange + words
    return None


def _is_guess(texts, form, other):
    """Return whether texts are dates in the other format, too, and other ones."""
    if other is None:
        return False
    made = parse(texts, other)
    return bool(not np.isnat(made).any() and (made != parse(texts, form)).any())


def _formats(day_first):
    """Yield each format, with the one that exchanges day and month or None."""
    yield ISO, None
    for time in TIMES:
        for day in DAYS:
            yield day + time, None
        for pair in EITHER:
            one, other = reversed(pair) if day_first else pair
            yield one + time, other + time
            yield other + time, one + time
    for month in MONTHS:
        yield month, None


def _find_compact(texts):
    """Return the result of `find` for dates such as 20240131."""
    if len(texts) > 1 and all(_IS_COMPACT.fullmatch(text) for text in texts):
        return "%Y%m%d", False, ()
    return None


def _missing(texts, form, counts, most):
    """Return the texts that are no dates in this format; None if there are too many."""
    bad = np.isnat(parse(texts, form))
    if bad.sum() > most or bad.all():
        return None
    good = {text for text, wrong in zip(texts, bad, strict=True) if not wrong}
    return numerals.missing_among({text: counts[text] for text in texts}, good)


def parse(texts, form):
    """Return texts as datetime64, NaT for those that are no dates in this format."""
    pd = pandas()
    texts = [text.strip() if isinstance(text, str) else "" for text in texts]
    if form == ISO:
        texts = [text if _IS_ISO.fullmatch(text) else "" for text in texts]
    made = pd.to_datetime(pd.Series(texts, dtype=object), format=form, errors="coerce", utc=True)
    return made.dt.tz_localize(None).to_numpy("datetime64[us]")


def find_clock(counts):
    """Return the texts that count as missing beside times of day such as 12:30; else None."""
    read = {text for text in counts if _CLOCK.fullmatch(text.strip())}
    return numerals.missing_among(counts, read) if read else None


def hours(text):
    """Return a time such as 12:30 or 1:02:03 in hours; None if it is none."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[1]) + int(match[2]) / 60 + float(match[3] or 0) / 3600


def parts(dates):
    """Return the parts of dates as features.

    Parameters
    ----------
    dates : ndarray of datetime64, shape (n_rows,)

    Returns
    -------
    dict of str to ndarray
        "year", "hour" and "days" (since 1970-01-01, with fractions) as float64, NaN for missing
        dates; "month" ("01" to "12") and "weekday" ("Monday", ...) as texts, NaN for missing ones.
    """
    series = pandas().Series(dates)
    accessor, missing = series.dt, series.isna().to_numpy()
    days = (series - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    month = np.array(accessor.strftime("%m"), dtype=object)
    weekday = np.array(accessor.day_name(), dtype=object)
    month[missing] = weekday[missing] = np.nan
    hour = accessor.hour + accessor.minute / 60
    return {
        "year": accessor.year.to_numpy(np.float64),
        "month": month,
        "weekday": weekday,
        "hour": hour.to_numpy(np.float64),
        "days": days.to_numpy(np.float64),
    }


def varying(dates):
    """Return the names of the parts that differ between dates."""
    made, found = parts(dates), []
    for name in PARTS:
        given = [value for value in made[name].tolist() if value == value]
        if len(set(given)) > 1:
            found.append(name)
    if "weekday" in found and set(made["days"] % 1) <= {0.0} and _all_first_of_month(dates):
        found.remove("weekday")  # dates of months, such as 2024-01
    return tuple(found)


def _all_first_of_month(dates):
    given = dates[~np.isnat(dates)]
    return bool((given == given.astype("datetime64[M]")).all())


def described(form):
    """Return a format for readers: %d.%m.%Y as dd.mm.yyyy."""
    if form == ISO:
        return "yyyy-mm-dd"
    names = {"%Y": "yyyy", "%y": "yy", "%m": "mm", "%d": "dd", "%b": "Mon", "%B": "Month"}
    names |= {"%H": "hh", "%I": "hh", "%M": "mm", "%S": "ss", "%f": "ff", "%p": "am/pm"}
    names |= {"%a": "Mon", "%A": "Monday"}
    for code, name in names.items():
        form = form.replace(code, name)
    return form
