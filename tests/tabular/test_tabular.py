"""TabularClassifier and TabularRegressor learn from tables as they come."""

import dataclasses
import datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp.tabular import columns, preparation, recipes, trials
from fastbp.tabular.recipes import OTHERS, SCOUT, for_rows

N = 160


@pytest.fixture(scope="module")
def table():
    """A table of numbers, categories, truth values and dates, some of them missing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(3, 2, N),
            "noise": rng.normal(0, 1, N),
            "colour": rng.choice(["red", "green", "blue"], N),
            "yes": rng.integers(0, 2, N).astype(bool),
            "day": pd.date_range("2020-01-01", periods=N, freq="D"),
            "count": pd.array(rng.integers(0, 50, N), "Int64"),
        }
    )
    frame.loc[::11, "size"] = np.nan
    frame.loc[::7, "colour"] = None
    frame.loc[3, "day"] = pd.NaT
    frame.loc[4, "count"] = pd.NA
    value = frame["size"].fillna(0) + 3 * (frame["colour"] == "red")
    return frame, value.to_numpy()


@pytest.fixture(scope="module")
def fitted(table):
    frame, value = table
    return (
        fastbp.TabularRegressor(random_state=0).fit(frame, value),
        fastbp.TabularClassifier(random_state=0).fit(frame, np.where(value > 3, "big", "small")),
    )


@pytest.fixture
def quick(monkeypatch):
    """Few folds and epochs, where the test is not about accuracy."""
    monkeypatch.setattr(trials, "FOLDS", 3)
    few = [dataclasses.replace(recipe, epochs=8) for recipe in (SCOUT, *OTHERS)]
    monkeypatch.setattr(recipes, "SCOUT", few[0])
    monkeypatch.setattr(recipes, "OTHERS", tuple(few[1:]))


def test_mixed_columns_are_learnt(table, fitted):
    frame, value = table
    regressor, classifier = fitted
    assert regressor.score(frame, value) > 0.9
    assert classifier.score(frame, np.where(value > 3, "big", "small")) > 0.9
    p = classifier.predict_proba(frame)
    assert p.shape == (N, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert list(classifier.classes_) == ["big", "small"]


def test_importances_name_the_columns_that_matter(fitted):
    for model in fitted:
        assert set(model.feature_names_in_[model.feature_importances_.argsort()[-2:]]) == {
            "size",
            "colour",
        }
        assert (model.feature_importances_std_ >= 0).all()


def test_columns_without_information_are_left_out(fitted):
    regressor, _ = fitted
    counts = [row["columns"] for row in regressor.leaderboard_]
    assert counts[0] == 10  # a date is five numbers
    assert counts[-1] < 10
    assert sum(row["weight"] for row in regressor.leaderboard_) == pytest.approx(1)


def test_the_prediction_is_the_weighted_mean_of_the_networks(table, fitted):
    frame, _ = table
    _, classifier = fitted
    from fastbp.tabular import columns

    numbers, codes = columns.read(classifier._columns, frame)
    expected = 0.0
    for member in classifier._members:
        bins = member.recipe.bins
        inputs = classifier._preparation.inputs(numbers, codes, bins)
        inputs = inputs[:, member.columns[classifier._preparation.owners(bins)]]
        outputs = [network.predict(inputs) for network in member.networks]
        expected = expected + member.weight * np.mean(outputs, axis=0, dtype=np.float64)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(frame), expected, rtol=1e-12)


def test_bins_of_a_column_with_few_values_tell_these_apart():
    """Three columns of one, two and three values; the inputs that the last one has by hand."""
    numbers = np.array([[5.0, 0.0, 1.0], [5.0, 1.0, 2.0], [5.0, 1.0, 4.0]]).repeat(40, axis=0)
    made = preparation.Preparation.fitted(numbers, np.empty((120, 0), np.int64), [24])
    assert [edges.tolist() for edges in made.edges[24]] == [[], [], [1.0, 2.0, 4.0]]
    inputs = made.inputs(np.array([[5.0, 0.0, x] for x in (1, 2, 3, 4, 9)]), numbers[:5, :0], 24)
    assert inputs[:, 3:].tolist() == [[0, 0], [1, 0], [1, 0.5], [1, 1], [1, 1]]
    assert made.owners(24).tolist() == [0, 1, 2, 2, 2]


def test_the_same_random_state_gives_the_same_model(table, quick):
    frame, value = table
    first, second = (
        fastbp.TabularRegressor(random_state=3, n_jobs=jobs).fit(frame, value) for jobs in (1, 4)
    )
    np.testing.assert_array_equal(first.predict(frame), second.predict(frame))


def test_twins_give_the_same_model(table, quick, twins):
    frame, value = table
    first, second = (
        fastbp.TabularRegressor(random_state=3, backend=name).fit(frame, value) for name in twins
    )
    np.testing.assert_array_equal(first.predict(frame), second.predict(frame))


def test_a_saved_model_predicts_the_same(table, fitted, tmp_path):
    frame, _ = table
    for model in fitted:
        path = tmp_path / "model.safetensors"
        fastbp.save(model, path)
        loaded = fastbp.load(path)
        np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
        assert loaded.get_params() == model.get_params()
        assert loaded.leaderboard_ == model.leaderboard_
        np.testing.assert_array_equal(loaded.feature_importances_, model.feature_importances_)
        clone(loaded)


def test_intervals_from_held_out_rows(quick, monkeypatch, tmp_path):
    """The errors of each fold's rows by the networks that were trained on the others."""
    kept = []
    run = trials.Trials.run
    monkeypatch.setattr(trials.Trials, "run", lambda *a: (run(*a), kept.append(a[0]))[0])
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = X @ [[1.0, 5.0], [0.0, 0.0]] + rng.normal(size=(300, 2)) * [1, 10]
    model = fastbp.TabularRegressor(random_state=0).fit(X[:200], y[:200])
    held_out = sum(trial.weight * trial.predictions for trial in kept[0].trials)
    errors = np.abs(y[:200] - (held_out * model._spread + model._mean))
    found = model.predict_interval(X[200:], 0.8)
    reach = np.sort(errors, axis=0)[160]  # ⌈201 · 0.8⌉ = 161
    h = model.predict(X[200:])
    np.testing.assert_allclose(found, np.stack([h - reach, h + reach], axis=1), 1e-5, 1e-6)
    covered = ((found[:, 0] <= y[200:]) & (y[200:] <= found[:, 1])).mean(axis=0)
    assert (np.abs(covered - 0.8) < 0.12).all()  # three standard deviations of 100 values
    std = model.predict_std(X[200:])
    np.testing.assert_allclose(std, np.sqrt((errors**2).mean(axis=0)) + 0 * h, rtol=1e-5)
    with pytest.raises(ValueError, match="no quantiles"):
        model.predict_quantiles(X)
    fastbp.save(model, tmp_path / "model")
    loaded = fastbp.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_interval(X), model.predict_interval(X))
    assert loaded.calibrate(X[200:], y[200:]) is loaded
    assert (loaded.predict_interval(X) != model.predict_interval(X)).any()
    with pytest.raises(ValueError, match="y has 1 outputs"):
        loaded.calibrate(X, y[:, 0])


def test_new_categories_and_missing_values_are_predicted(table, fitted):
    frame, _ = table
    regressor, _ = fitted
    odd = frame[:4].copy()
    odd["colour"] = ["violet", None, "red", "blue"]
    odd["size"] = np.nan
    assert np.isfinite(regressor.predict(odd)).all()


def test_arrays_lists_and_polars_frames_are_tables(quick):
    X, y = load_iris(return_X_y=True)
    model = fastbp.TabularClassifier(random_state=0).fit(X, y)
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X.tolist()), expected)
    texts = np.where(X > 3, "high", "low").astype(object)
    assert fastbp.TabularClassifier(random_state=0).fit(texts, y).score(texts, y) > 0.6
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=list("abcd"))
    by_name = fastbp.TabularClassifier(random_state=0).fit(frame, y)
    np.testing.assert_array_equal(by_name.predict_proba(frame), expected)
    assert list(by_name.feature_names_in_) == list("abcd")


def test_rows_of_weight_zero_count_for_nothing(table, quick):
    frame, value = table
    weight = np.ones(N)
    weight[: N // 2] = 0
    poisoned = value.copy()
    poisoned[: N // 2] = 1e9
    half = slice(N // 2, None)
    model = fastbp.TabularRegressor(random_state=0).fit(frame[half], value[half])
    weighed = fastbp.TabularRegressor(random_state=0).fit(frame, value, weight)
    np.testing.assert_array_equal(weighed.feature_importances_ > 0, model.feature_importances_ > 0)
    np.testing.assert_allclose(weighed.predict(frame), model.predict(frame), rtol=1e-4, atol=1e-3)
    assert not np.allclose(
        fastbp.TabularRegressor(random_state=0).fit(frame, poisoned).predict(frame),
        model.predict(frame),
    )


def test_class_weights_move_the_probabilities(quick):
    X, y = load_breast_cancer(return_X_y=True)
    plain = fastbp.TabularClassifier(random_state=0).fit(X, y).predict_proba(X)[:, 1].mean()
    weighed = fastbp.TabularClassifier(random_state=0, class_weight={0: 20.0, 1: 1.0}).fit(X, y)
    assert weighed.predict_proba(X)[:, 1].mean() < plain


def test_several_labels_and_several_outputs(quick):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    labels = fastbp.TabularClassifier(random_state=0).fit(X, (X > 0).astype(int))
    assert labels.predict(X).shape == (90, 3)
    assert ((labels.predict_proba(X) > 0.5) == labels.predict(X)).all()
    assert fastbp.TabularRegressor(random_state=0).fit(X, X[:, :2]).predict(X).shape == (90, 2)
    column = fastbp.TabularRegressor(random_state=0).fit(X, X[:, 0]).predict(X)
    assert column.shape == (90,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(text=[f"name {i}" for i in range(N)]), "'text' has 160 different"),
        (lambda f: f.assign(size=np.inf), "'size' has the value inf in row 0"),
        (lambda f: f.assign(pair=[(1, 2)] * N), "column 'pair' holds values of type tuple"),
        (lambda f: f.assign(pair=[[1, 2]] * N), "column 'pair' holds values of type list"),
        (lambda f: f.assign(z=1j), "column 'z' holds complex numbers"),
    ],
)
def test_columns_that_cannot_be_learnt_are_named(table, change, message):
    frame, value = table
    with pytest.raises(ValueError, match=message):
        fastbp.TabularRegressor().fit(change(frame), value)


def test_other_columns_at_prediction_are_refused(table, fitted):
    frame, _ = table
    for model in fitted:
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame.rename(columns={"size": "length"}))
        with pytest.raises(ValueError, match="'size' has 'tall' in row 0"):
            model.predict(frame.assign(size="tall"))
        with pytest.raises(ValueError, match="'colour' holds values of type int"):
            model.predict(frame.assign(colour=7))
        with pytest.raises(ValueError, match="'day' holds values that are no dates"):
            model.predict(frame.assign(day="tomorrow or so"))


def test_odd_tables_get_a_model_or_a_clear_answer(quick):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    rare = y.copy()
    rare[0] = 2  # a class with one row
    assert fastbp.TabularClassifier(random_state=0).fit(X, rare).predict_proba(X).shape == (40, 3)
    constant = fastbp.TabularRegressor(random_state=0).fit(X, np.full(40, 7.0))
    np.testing.assert_allclose(constant.predict(X), 7, atol=0.5)
    missing = np.column_stack([X, np.full(40, np.nan), np.zeros(40)])
    assert np.isfinite(
        fastbp.TabularRegressor(random_state=0).fit(missing, y).predict(missing)
    ).all()
    assert fastbp.TabularRegressor(random_state=0).fit(X[:5, :1], y[:5]).predict(X[:, :1]).shape
    huge = X * [1e300, 1e-300]
    assert np.isfinite(fastbp.TabularRegressor(random_state=0).fit(huge, y).predict(huge)).all()
    far = fastbp.TabularRegressor(random_state=0).fit(X * 1e-10, y)
    assert np.isfinite(far.predict([[1e300, -1e300], [1.7e308, -1.7e308]])).all()
    many = pd.DataFrame({"id": [f"c{i % 300}" for i in range(1200)], "x": rng.normal(size=1200)})
    model = fastbp.TabularRegressor(random_state=0).fit(many, many["x"])
    assert model._preparation.categories == [(65, False)]
    with pytest.raises(ValueError, match=r"only one class, 1\.0;"):
        fastbp.TabularClassifier().fit(X, np.ones(40))
    with pytest.raises(ValueError, match="n_samples = 3"):
        fastbp.TabularRegressor().fit(X[:3], y[:3])


@pytest.mark.parametrize("jobs", [0, -2, 1.5])
def test_numbers_of_jobs_are_checked(jobs):
    with pytest.raises(ValueError, match="'n_jobs' parameter of TabularRegressor"):
        fastbp.TabularRegressor(n_jobs=jobs).fit(np.zeros((9, 1)), np.zeros(9))


def test_a_time_budget_ends_after_a_recipe(table, quick):
    frame, value = table
    model = fastbp.TabularRegressor(random_state=0, time_budget=1e-9).fit(frame, value)
    assert [row["recipe"] for row in model.leaderboard_] == ["smooth"]


def test_ctrl_c_keeps_the_recipes_that_are_ready(table, quick, monkeypatch):
    frame, value = table
    train, ready = recipes.train, []

    def interrupted(recipe, *arguments, **options):
        if recipe.name == "wide":
            raise KeyboardInterrupt
        ready.append(recipe.name)
        return train(recipe, *arguments, **options)

    monkeypatch.setattr(recipes, "train", interrupted)
    with pytest.warns(RuntimeWarning, match="only the networks of the recipes trained before: smo"):
        model = fastbp.TabularRegressor(random_state=0).fit(frame, value)
    assert np.isfinite(model.predict(frame)).all()
    assert {row["recipe"] for row in model.leaderboard_} == set(ready)
    monkeypatch.setattr(recipes, "train", lambda *_, **options: interrupted(OTHERS[0]))
    with pytest.raises(KeyboardInterrupt):
        fastbp.TabularRegressor().fit(frame, value)


@pytest.mark.filterwarnings("ignore:training interrupted")
def test_an_interrupted_training_of_networks_ends_the_fit(table, monkeypatch):
    """fit_many returns what it has, marked as interrupted."""
    frame, value = table
    fit_many = recipes.fit_many

    def interrupted(networks, *arguments, **options):
        histories = fit_many(networks, *arguments, **{**options, "epochs": 1})
        histories[-1].interrupted = True
        return histories

    monkeypatch.setattr(recipes, "fit_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fastbp.TabularRegressor().fit(frame, value)


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e160])
def test_targets_of_any_size(unit):
    X = np.random.default_rng(0).normal(size=(60, 1))
    plain, tiny = (
        fastbp.TabularRegressor(time_budget=1e-3, random_state=0).fit(X, X[:, 0] * u)
        for u in (1.0, unit)
    )
    for method in ("predict", "predict_std", "predict_interval"):
        ratio = getattr(tiny, method)(X) / unit / getattr(plain, method)(X)
        np.testing.assert_allclose(ratio, 1, rtol=1e-5)


def test_a_constant_target(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 1))
    model = fastbp.TabularRegressor(time_budget=1e-3, random_state=0).fit(X, np.full(60, 0.5))
    fastbp.save(model, tmp_path / "model.safetensors")
    for each in (model, fastbp.load(tmp_path / "model.safetensors")):
        assert (each.predict(X) == 0.5).all() and not each.predict_std(X).any()


def test_a_table_without_columns():
    with pytest.raises(ValueError, match="X has no columns"):
        fastbp.TabularRegressor().fit(pd.DataFrame(index=range(60)), np.arange(60.0))


def test_larger_tables_get_larger_batches_and_fewer_epochs():
    steps = [for_rows(SCOUT, n).epochs * n / for_rows(SCOUT, n).batch_size for n in (1e3, 1e4, 1e5)]
    assert for_rows(SCOUT, 1000) == SCOUT
    assert steps == sorted(steps)
    assert for_rows(SCOUT, 100_000).epochs == 40


def test_the_default_is_ahead_of_boosting_on_bundled_tables():
    """The shifted geometric mean of the errors on four of scikit-learn's tables."""
    errors: dict = {"tabular": [], "boosting": []}
    for load in (load_wine, load_breast_cancer, load_diabetes, load_digits):
        X, y = load(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X[:600], y[:600], random_state=0)
        models = {"tabular": fastbp.TabularClassifier, "boosting": HistGradientBoostingClassifier}
        if load is load_diabetes:
            models = {"tabular": fastbp.TabularRegressor, "boosting": HistGradientBoostingRegressor}
        for name, made in models.items():
            predicted = made(random_state=0).fit(X, y).predict(X_test)
            if load is load_diabetes:
                error = np.sqrt(np.mean((predicted - y_test) ** 2)) / y_test.std()
            else:
                error = np.mean(predicted != y_test)
            errors[name].append(error)
    means = {name: np.exp(np.log(np.add(found, 0.01)).mean()) for name, found in errors.items()}
    assert means["tabular"] < means["boosting"]


EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "folds divide repeated rows otherwise",
}


@parametrize_with_checks(
    [fastbp.TabularClassifier(random_state=0), fastbp.TabularRegressor(random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED,
)
@pytest.mark.filterwarnings("ignore")
def test_checks_of_estimators(estimator, check, quick):
    check(estimator)


def test_a_refused_fit_changes_nothing():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "b", "c"])
    model = fastbp.TabularRegressor(random_state=0, time_budget=1e-3).fit(X, X["a"])
    before = dict(vars(model))
    for y in (X["a"] * np.nan, X["a"][:3], ["text"] * 60):
        with pytest.raises(ValueError):
            model.fit(X[["a"]], y)
        assert vars(model) == before
    with pytest.raises(ValueError, match="at least"):
        model.fit(X[["a"]][:3], X["a"][:3])
    assert vars(model) == before


@pytest.mark.parametrize("unit", ["date", "s", "us"])
def test_dates_that_nanoseconds_do_not_reach(unit):
    """9999-12-31 often means that something has no end."""
    days = pd.Series(np.arange("1600-01-01", "1600-02-10", dtype="datetime64[D]").astype(object))
    days[3] = datetime.date(9999, 12, 31)
    frame = pd.DataFrame({"day": days if unit == "date" else days.astype(f"datetime64[{unit}]")})
    model = fastbp.TabularRegressor(random_state=0, time_budget=1e-6).fit(frame, np.arange(40.0))
    numbers, _ = columns.read(model._columns, frame)
    expected = [9999, 12, 4, 0, datetime.date(9999, 12, 31).toordinal() - 719163]
    np.testing.assert_array_equal(numbers[3], expected)
    assert np.isfinite(model.predict(frame)).all()
