"""Categories of many values become means of the targets, of which held-out rows know nothing."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from file_helpers import broken, rewrite

import fastbp
from fastbp.tabular import encodings, preparation, recipes, trials
from fastbp.tabular.encodings import TargetEncodings

rng = np.random.default_rng(0)
N, VALUES = 400, 45
CODES = np.column_stack([rng.integers(0, 3, N), rng.integers(-1, VALUES, N)])
EFFECTS = rng.standard_normal(VALUES + 1)
Y = EFFECTS[CODES[:, 1]][:, None] + 0.1 * rng.standard_normal((N, 2))
ROWS = np.arange(N)
FOLDS = [(np.setdiff1d(ROWS, ROWS[k::4]), ROWS[k::4]) for k in range(4)]


def fitted(y=Y):
    return TargetEncodings.fitted([3, VALUES], CODES, y, FOLDS, seed=1, clip=3.0)


def shrunk_mean(y, prior):
    """The posterior mean with the variances of the rows: n σ²_y ȳ + s² m over their sum."""
    variance, share = y.var(), prior.var()
    weight = share * len(y) / (share * len(y) + variance)
    return weight * y.mean() + (1 - weight) * prior.mean()


def test_tables_hold_shrunk_means_of_training_rows():
    made, inputs = fitted()
    assert made.columns == [1] and made.tables[0].shape == (4, VALUES + 2, 2)
    rows, held_out = FOLDS[2]
    expected = np.array(
        [
            shrunk_mean(Y[rows, 0][CODES[rows, 1] == code], Y[rows, 0])
            for code in (0, 7, VALUES - 1, -1)
        ]
    )
    z = made.tables[0][2, [0, 7, VALUES - 1, -1], 0].astype(float)
    scaled = z / np.sqrt(1 - (z / 3) ** 2)  # before it was clipped
    slopes = np.diff(scaled) / np.diff(expected)
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-4)
    np.testing.assert_array_equal(inputs[2][held_out], made.inputs(CODES[held_out], 2))
    assert (inputs[2][rows] != made.inputs(CODES[rows], 2)).any(axis=1).mean() > 0.9
    unknown = made.inputs(np.array([[0, -2]]), 0)
    assert (np.abs(unknown) < 0.3).all()  # near the mean of all rows


def test_no_row_knows_its_own_target():
    _, before = fitted()
    rows, held_out = FOLDS[0]
    changed = Y.copy()
    changed[held_out] += 100.0  # nothing in the fold may change
    made, after = fitted(changed)
    np.testing.assert_array_equal(after[0], before[0])
    changed = Y.copy()
    row = rows[5]
    changed[row] += 5.0
    _, after = fitted(changed)
    part = after[0][rows[5]], before[0][rows[5]]
    # The row itself only feels the scale, others with its code feel the change.
    same = rows[(CODES[rows, 1] == CODES[row, 1]) & (rows != row)]
    moved = np.abs(after[0][same] - before[0][same]).max()
    assert np.abs(part[0] - part[1]).max() < 0.1 * moved


def test_few_values_are_not_encoded():
    assert TargetEncodings.fitted([3, 30], CODES, Y, FOLDS, seed=1, clip=3.0) == (None, [])


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(trials, "FOLDS", 3)
    monkeypatch.setattr(preparation, "MOST_CATEGORIES", 8)
    few = [
        dataclasses.replace(recipe, epochs=8, hidden=(16,))
        for recipe in (recipes.SCOUT, *recipes.OTHERS)
    ]
    monkeypatch.setattr(recipes, "SCOUT", few[0])
    monkeypatch.setattr(recipes, "OTHERS", tuple(few[1:]))


def table():
    names = np.array([f"value {code}" for code in range(VALUES)] + [None], object)
    return pd.DataFrame({"x": rng.standard_normal(N), "name": names[CODES[:, 1]]})


MODELS = {
    "values": (fastbp.TabularRegressor, Y),
    "two classes": (fastbp.TabularClassifier, Y[:, 0] > 0),
    "three classes": (fastbp.TabularClassifier, np.digitize(Y[:, 0], [-0.5, 0.5])),
}


def outputs(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize("kind", MODELS)
def test_models_learn_from_them_and_come_back_from_files(kind, quick, tmp_path):
    make, y = MODELS[kind]
    frame = table()
    weight = rng.uniform(0.5, 2, N)
    model = make(random_state=0).fit(frame, y, sample_weight=weight)
    new = frame.copy()
    new.loc[0, "name"] = "another one"
    fastbp.save(model, tmp_path / "model")
    loaded = fastbp.load(tmp_path / "model")
    np.testing.assert_array_equal(outputs(loaded, new), outputs(model, new))
    assert model.feature_importances_[1] > 10 * abs(model.feature_importances_[0])


def test_the_held_out_loss_is_smaller_with_any_number_of_threads(quick, monkeypatch):
    frame, made = table(), []
    for n_jobs in (1, 4):
        model = fastbp.TabularRegressor(time_budget=1e-9, n_jobs=n_jobs, random_state=0)
        made.append(model.fit(frame, Y[:, 0]))
    model, again = made
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    monkeypatch.setattr(encodings, "MANY", 1000)
    without = fastbp.TabularRegressor(time_budget=1e-9, random_state=0).fit(frame, Y[:, 0])
    assert model.leaderboard_[0]["loss"] < 0.5 * without.leaderboard_[0]["loss"]


BROKEN = {
    "no column": ("model/encoded", [7], "encoded category must be"),
    "twice": ("model/encoded", [0, 0], "numbers of categories that increase"),
    "none": ("model/encoded", [], "numbers of categories that increase"),
}


def test_broken_files(quick, tmp_path):
    path = tmp_path / "model"
    model = fastbp.TabularRegressor(time_budget=1e-9, random_state=0).fit(table(), Y[:, 0])
    for where, value, message in BROKEN.values():
        fastbp.save(model, path)
        broken(path, where, value)
        with pytest.raises(ValueError, match=message):
            fastbp.load(path)
    for change, message in (
        (lambda _, tensors: tensors.update({"means.0": tensors["means.0"][:2]}), "for each fold"),
        (lambda _, tensors: tensors.update({"means.0": tensors["means.0"][:, :3]}), "must have sh"),
    ):
        fastbp.save(model, path)
        rewrite(path, change)
        with pytest.raises(ValueError, match=message):
            fastbp.load(path)
