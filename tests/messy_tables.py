"""Tables as they come from the real world: generators of the texts of files."""

import numpy as np
import pandas as pd

ROWS = 120


def clean(n=ROWS, seed=0):
    """Numbers, a text and a date, and two targets that depend on them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(10, 0.4, n).round(2),
            "share": rng.uniform(0, 40, n).round(1),
            "age": rng.integers(18, 80, n),
            "town": rng.choice(["Ulm", "Bonn", "Köln"], n),
            "joined": pd.Timestamp("2019-01-05") + pd.to_timedelta(rng.integers(0, 1500, n), "D"),
        }
    )
    score = np.log(frame.income / frame.income.median()) / 0.4 + (frame.age - 49) / 18
    frame["bought"] = np.where(score + (frame.town == "Ulm") > 0.3, "yes", "no")
    frame["spent"] = (100 * np.exp(score)).round(2)
    return frame


def european(value, digits=2):
    """1234.5 as 1.234,50."""
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def decimal_commas(frame):
    """A file as a German spreadsheet writes it."""
    frame = frame.assign(
        income=[european(v) for v in frame.income],
        share=[str(v).replace(".", ",") for v in frame.share],
        spent=[european(v) for v in frame.spent],
        joined=frame.joined.dt.strftime("%d.%m.%Y"),
    )
    return frame.to_csv(sep=";", index=False)


def currencies(frame):
    """$30,866.87 and 31.3%."""
    frame = frame.assign(
        income=[f"${v:,.2f}" for v in frame.income],
        share=[f"{v}%" for v in frame.share],
        spent=[f"{v:,.2f} EUR" for v in frame.spent],
    )
    return frame.to_csv(index=False)


def thousands(frame, mark):
    """Whole numbers with thousands separators, and nothing else that tells what the mark is."""
    frame = frame.assign(income=[f"{v:,.0f}".replace(",", mark) for v in frame.income])
    return frame[["income", "age", "bought"]].to_csv(sep=";", index=False)


def with_words(frame, *words):
    """A few words among the numbers."""
    income = frame.income.astype(object)
    for j, word in enumerate(words):
        income[7 + 11 * j] = word
    return frame.assign(income=income).to_csv(index=False)


def dates(frame, form):
    return frame.assign(joined=frame.joined.dt.strftime(form)).to_csv(index=False)


def identifiers(frame):
    """Columns that identify rows, in several ways."""
    n, rng = len(frame), np.random.default_rng(5)
    frame = frame.assign(
        counter=range(1, n + 1),
        shuffled=rng.permutation(n) + 5000,
        customer_id=rng.choice(10**7, n, replace=False),
        ticket=rng.choice(np.arange(10**5, 10**6), n, replace=False),
        uuid=[f"{v:08x}-{v % 97:04x}" for v in rng.choice(10**9, n, replace=False)],
        name=[f"person {v}" for v in rng.permutation(n)],
    )
    return frame.to_csv(index=False)
