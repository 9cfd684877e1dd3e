"""Estimators for tables as C predict the same, from numbers and codes of categories."""

import numpy as np
import pandas as pd
import pytest
from c_helpers import CC, STRICT, Library, run

import fastbp
from fastbp.tabular import columns, encodings, preparation, recipes, trials

if CC is None:
    pytest.skip("needs a C compiler", allow_module_level=True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(trials, "FOLDS", 2)
    monkeypatch.setattr(preparation, "MOST_CATEGORIES", 4)
    monkeypatch.setattr(encodings, "MANY", 6)
    scout, *others = [
        recipes.Recipe(each.name, each.bins, (8, 8), "silu", epochs=5, batch_size=32)
        for each in (recipes.SCOUT, *recipes.OTHERS)
    ]
    monkeypatch.setattr(recipes, "SCOUT", scout)
    monkeypatch.setattr(recipes, "OTHERS", tuple(others))


def table(n=120):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(1e9, 2, n),
            "flag": rng.random(n) < 0.5,
            "two": rng.choice(["a", "b"], n),
            "gaps": rng.choice(["*/ x", "\u00fc", None], n),
            "many": rng.choice(list("cdefghij"), n),
            "day": pd.date_range("2024-01-01", periods=n, freq="31h"),
            "same": 7.0,
        }
    )
    frame.loc[::7, "size"] = np.nan
    return frame, frame["size"].fillna(1e9) - 1e9 + (frame.two == "a") + 2 * frame.flag


def unseen(frame):
    """Rows with new categories, gaps where there were none, and numbers far away."""
    other = frame.iloc[:8].copy()
    other.loc[other.index[0], "many"] = "new"
    other.loc[other.index[1], "two"] = None
    other.loc[other.index[2], "two"] = "c"
    other["size"] = [np.nan, 1e300, -1e300, 0.0, 1e9 + 50, 1.7e308, -1.7e308, 1e-300]
    other["same"] = [1.7e308, 1.0, 7.0, np.nan, -1.7e308, 8.0, 0.0, 6.0]
    return pd.concat([frame.astype(object), other.astype(object)]).astype(
        {"flag": bool, "size": float, "same": float}
    )


def predicted(library, name, model, frame):
    """What the function in C computes for the rows of a table."""
    numbers, codes = columns.read(model._columns, frame)
    h = np.full((len(frame), library.size(f"{name.upper()}_OUTPUTS")), np.nan)
    scratch = np.full(library.size(f"{name.upper()}_SCRATCH"), np.nan, np.float32)
    for i, row in enumerate(h):
        given = [array[i] for array in (numbers, codes.astype(np.int32)) if array.shape[1]]
        library.call(f"{name}_predict_r", *given, row, scratch)
        other = np.empty_like(row)
        library.call(f"{name}_predict", *given, other)
        assert np.array_equal(row, other)
    return h


def test_predictions_are_those_of_fastbp(tmp_path):
    frame, y = table()
    classes = np.digitize(y, [1.0, 2.0])
    labels = np.column_stack([y > 1, frame.flag]).astype(int)
    models = {
        "prices": fastbp.TabularRegressor(random_state=0).fit(frame, np.column_stack([y, 1e3 * y])),
        "classes": fastbp.TabularClassifier(random_state=0).fit(frame, classes),
        "labels": fastbp.TabularClassifier(random_state=0).fit(frame[["size", "flag"]], labels),
        "texts": fastbp.TabularClassifier(random_state=0).fit(frame[["two", "many"]], y > 1),
    }
    assert any(member.recipe.bins for member in models["prices"]._members)
    for name, model in models.items():
        model.to_c(tmp_path, name)
    library = Library(tmp_path, *STRICT, "-O1", "-march=native")
    for name, model in models.items():
        rows = unseen(frame)[model.feature_names_in_.tolist()]
        found = predicted(library, name, model, rows)
        if name == "prices":
            expected = model.predict(rows)
            np.testing.assert_allclose(found / model._spread, expected / model._spread, rtol=1e-5)
        else:
            np.testing.assert_allclose(found, model.predict_proba(rows), rtol=0, atol=1e-6)
    for name in ("prices", "texts"):
        run(CC, *STRICT, "-O1", f"{name}.c", f"{name}_test.c", "-o", name, folder=tmp_path)
        run(f"./{name}", folder=tmp_path)
    header = (tmp_path / "prices.h").read_text("ascii")
    assert "[1] 'flag'" in header and "[5] 'day': hour" in header
    first = models["prices"]._columns[4].categories[0]
    assert f"[2] 'many':\n *         0 '{first}'" in header
    assert "'* / x'" in header and "'\\xfc'" in header


def test_numbers_near_the_largest_ones(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, 40)
    values = {"high": 1.7e308 + 5e306 * y, "wide": 1.7e308 * np.sign(y) - 1e307 * y}
    frame = pd.DataFrame(values)
    model = fastbp.TabularRegressor(random_state=0).fit(frame, y)
    fitted = model._preparation
    assert np.isfinite(fitted.medians).all()  # though the sum of two numbers overflows
    assert (fitted.scales > 0).all()  # and the difference of the quartiles, too
    model.to_c(tmp_path, "large")
    found = predicted(Library(tmp_path, *STRICT, "-O1"), "large", model, frame)[:, 0]
    np.testing.assert_allclose(found, model.predict(frame), rtol=1e-5, atol=1e-6)
    run(CC, *STRICT, "-O1", "large.c", "large_test.c", "-o", "large", folder=tmp_path)
    run("./large", folder=tmp_path)


def test_an_array_has_numbers_alone(tmp_path):
    X = np.random.default_rng(0).standard_normal((40, 2))
    model = fastbp.TabularRegressor(random_state=0).fit(X, X[:, 0])
    model.to_c(tmp_path, "plain")
    assert "CATEGORIES" not in (tmp_path / "plain.h").read_text("ascii")
    found = predicted(Library(tmp_path, *STRICT, "-O1"), "plain", model, X)[:, 0]
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="call its method"):
        fastbp.to_c(model, tmp_path)
    with pytest.raises(ValueError, match="header of C"):
        model.to_c(tmp_path, "math")
