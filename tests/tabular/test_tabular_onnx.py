"""ONNX files of estimators for tables predict the same, from the columns of the table."""

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.tabular import encodings, preparation, trials

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def few_folds(monkeypatch):
    monkeypatch.setattr(trials, "FOLDS", 2)
    monkeypatch.setattr(preparation, "MOST_CATEGORIES", 4)
    monkeypatch.setattr(encodings, "MANY", 6)


def table(n=120):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(5, 2, n),
            "steps": rng.integers(0, 3, n),
            "flag": rng.random(n) < 0.5,
            "two": rng.choice(["a", "b"], n),
            "gaps": rng.choice(["x", "y", None], n),
            "many": rng.choice(list("cdefghij"), n),
        }
    )
    frame.loc[::7, "size"] = np.nan
    return frame, frame["size"].fillna(4) + (frame.two == "a") + 2 * frame.flag


def outputs(model, frame, tmp_path):
    """What onnxruntime computes, by name."""
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    if isinstance(frame, np.ndarray):
        given = {"X": frame}
    else:
        given = {}
        for name in frame:
            texts = frame[name].dtype == object or str(frame[name].dtype).startswith("str")
            column = frame[name].fillna("") if texts else frame[name].astype(float)
            given[name] = column.to_numpy(object if texts else float)[:, None]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def unseen(frame):
    """Rows with new categories, gaps where there were none, and numbers far away."""
    other = frame.iloc[:8].copy()
    other.loc[other.index[0], "many"] = "new"
    other.loc[other.index[1], "two"] = None
    other.loc[other.index[2], "two"] = "c"
    other["size"] = [np.nan, 1e300, -1e300, 0.0, 1e5, -3.0, 5.0, 1e-300]
    return pd.concat([frame, other])


def test_numbers(tmp_path):
    frame, y = table()
    model = fastbp.TabularRegressor(random_state=0).fit(frame, y)
    assert any(member.recipe.bins for member in model._members)
    rows = unseen(frame)
    found = outputs(model, rows, tmp_path)["prediction"][:, 0]
    np.testing.assert_allclose(found, model.predict(rows), rtol=1e-5, atol=1e-5)


def test_a_constant_column_and_numbers_near_the_largest_ones(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 2)) * [1.0, 0.0] + [0.0, 1e308]
    model = fastbp.TabularRegressor(random_state=0, time_budget=1e-6).fit(X, X[:, 0])
    X[:, 1] = -1.7e308
    found = outputs(model, X, tmp_path)["prediction"][:, 0]
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-5, atol=1e-5)


def test_empty_texts_and_missing_values_are_refused_together(tmp_path):
    texts = pd.Series(["", "a", "b", None] * 10, dtype=object)
    model = fastbp.TabularRegressor(random_state=0, time_budget=1e-6)
    model.fit(pd.DataFrame({"c": texts}), np.arange(40.0) % 4)
    with pytest.raises(ValueError, match="column 'c' has both empty texts and missing values"):
        model.to_onnx(tmp_path / "model.onnx")
    frame = pd.DataFrame({"c": texts.fillna("b")})
    model.fit(frame, np.arange(40.0) % 4)
    found = outputs(model, frame, tmp_path)["prediction"][:, 0]
    np.testing.assert_allclose(found, model.predict(frame), rtol=1e-5, atol=1e-5)


def test_columns_with_names_of_other_parts(tmp_path):
    """The graph's own names give way: nothing is computed from the wrong array."""
    rng = np.random.default_rng(0)
    names = ("mean", "spread", "ones", "labels", "medians_0", "number_0", "Sub_1", "0.0.W_1")
    frame = pd.DataFrame(rng.normal(size=(40, 8)), columns=names)
    frame["known_0_0"] = rng.choice(["a", "b", "c"], 40)
    for kind, y in (
        (fastbp.TabularRegressor, frame["mean"]),
        (fastbp.TabularClassifier, frame["mean"] > 0),
    ):
        model = kind(random_state=0, time_budget=1e-6).fit(frame, y)
        found = outputs(model, frame, tmp_path)["prediction"].ravel()
        np.testing.assert_allclose(found, model.predict(frame), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["", "prediction", "probabilities", 0])
def test_names_that_inputs_cannot_have(name, tmp_path):
    frame = pd.DataFrame({name: ["a", "b"] * 20})
    model = fastbp.TabularRegressor(random_state=0, time_budget=1e-6).fit(frame, np.arange(40.0))
    with pytest.raises(
        ValueError, match="a column is called|column 0 holds texts, and the columns"
    ):
        model.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("labels", [["no", "yes", "maybe"], [3, 1, 2], [False, True]])
def test_classes(labels, tmp_path):
    frame, y = table()
    y = np.array(labels)[np.searchsorted(np.quantile(y, [0.4, 0.7]), y) % len(labels)]
    model = fastbp.TabularClassifier(random_state=0, time_budget=1e-6).fit(frame, y)
    rows = unseen(frame)
    found = outputs(model, rows, tmp_path)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(rows), atol=1e-5)
    assert (found["prediction"] == model.predict(rows)).mean() > 0.99  # but for ties


def test_several_labels_of_an_array(tmp_path):
    X = np.random.default_rng(1).normal(size=(80, 3))
    X[::9, 1] = np.nan
    y = np.stack([X[:, 0] > 0, X[:, 2] > 0], axis=1).astype(int)
    model = fastbp.TabularClassifier(random_state=0, time_budget=1e-6).fit(X, y)
    found = outputs(model, X, tmp_path)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    assert found["prediction"].shape == (80, 2)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pd.date_range("2024-01-01", periods=40), "column 'c' holds dates"),
        (pd.Categorical([3, 7] * 20), "the categories of column 'c' are not all texts, such as 3"),
    ],
)
def test_what_cannot_be_written(column, reason, tmp_path):
    frame = pd.DataFrame({"c": column, "d": np.arange(40.0)})
    model = fastbp.TabularRegressor(random_state=0, time_budget=1e-6).fit(frame, np.arange(40.0))
    with pytest.raises(ValueError, match=reason):
        model.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="opset must be from 13"):
        model.to_onnx(tmp_path / "model.onnx", opset=12)
