"""Pipelines of scikit-learn's that are saved without pickle do what they did before."""

import numpy as np
import pytest
from file_helpers import broken
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)

import fastbp

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 24
FRAME = pd.DataFrame(
    {
        "age": [21.0, np.nan, 47.0, 62.0] * (N // 4),
        "height": np.linspace(1.5, 2.0, N),
        "town": ["Brno", "Praha", None, "Olomouc", "Praha", "Brno"] * (N // 6),
        "rooms": [1, 2, 3, 4] * (N // 4),
        "owner": [True, False, False] * (N // 3),
    }
)
NUMBERS = FRAME[["age", "height", "rooms"]].to_numpy()
Y = np.array(["yes", "no", "perhaps"] * (N // 3))


def last():
    return fastbp.MLPClassifier((4,), max_iter=3, random_state=0, backend="numpy")


def columns(**more):
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numeric, ["age", "height"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["town", "owner"]),
        ],
        **more,
    )


FITTED = {
    "one scaler": (make_pipeline(StandardScaler(), last()), NUMBERS[:, 1:]),
    "no mean": (make_pipeline(StandardScaler(with_mean=False), last()), NUMBERS[:, 1:]),
    "nothing scaled": (
        make_pipeline(StandardScaler(with_mean=False, with_std=False), last()),
        NUMBERS[:, 1:],
    ),
    "float32": (
        make_pipeline(MinMaxScaler((-1, 1), clip=True), last()),
        NUMBERS[:, 1:].astype(np.float32),
    ),
    "missing in a scaler": (make_pipeline(StandardScaler(), SimpleImputer(), last()), NUMBERS),
    "passthrough": (
        Pipeline([("a", SimpleImputer()), ("b", "passthrough"), ("c", last())]),
        NUMBERS,
    ),
    "only the estimator": (make_pipeline(last()), NUMBERS[:, 1:]),
    "columns": (make_pipeline(columns(), last()), FRAME),
    "the rest": (make_pipeline(columns(remainder="passthrough"), last()), FRAME),
    "the rest scaled": (make_pipeline(columns(remainder=MinMaxScaler()), last()), FRAME),
    "dense": (make_pipeline(columns(sparse_threshold=0.0), MinMaxScaler(), last()), FRAME),
    "short names": (
        make_pipeline(columns(remainder="passthrough", verbose_feature_names_out=False), last()),
        FRAME,
    ),
    "frames": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("a", OneHotEncoder(sparse_output=False, drop="if_binary"), ["owner", "town"]),
                    ("b", "passthrough", ["rooms"]),
                    ("c", "drop", ["age"]),
                    ("d", MinMaxScaler(), ["height"]),
                ]
            ).set_output(transform="pandas"),
            last(),
        ),
        FRAME,
    ),
    "by number": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("a", make_pipeline(SimpleImputer(), StandardScaler()), [0, -2]),
                    ("b", MinMaxScaler(), [False, True, False]),
                ],
                remainder="passthrough",
            ),
            last(),
        ),
        NUMBERS,
    ),
    "categories of numbers": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("a", OneHotEncoder(dtype=np.float32, drop="first"), [0, 2]),
                    ("b", OneHotEncoder(categories=[[1.0, 2.0, 3.0, 4.0, 5.0]]), [2]),
                ]
            ),
            last(),
        ),
        NUMBERS,
    ),
    "imputed words": (
        make_pipeline(
            ColumnTransformer(
                [
                    (
                        "a",
                        make_pipeline(
                            SimpleImputer(strategy="most_frequent"),
                            OneHotEncoder(drop=["Praha"]),
                        ),
                        ["town"],
                    ),
                    (
                        "b",
                        SimpleImputer(strategy="constant", fill_value=-1.0),
                        ["age"],
                    ),
                ]
            ),
            last(),
        ),
        FRAME.astype({"town": object}),
    ),
    "of numpy words": (
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), last()),
        np.array([["a", "long one"], ["b", "c"], ["a", "c"]] * (N // 3)),
    ),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pipeline.safetensors"


def inputs(X):
    """The samples, and some in another order, with a word that was not seen if there are any."""
    other = X.iloc[::-1].copy() if hasattr(X, "iloc") else X[::-1].copy()
    return X, other


@pytest.mark.parametrize("name", FITTED)
def test_pipeline_comes_back_whole(name, path):
    pipeline, X = FITTED[name]
    pipeline = clone(pipeline).fit(X, Y)
    fastbp.save(pipeline, path)
    loaded = fastbp.load(path)
    for samples in inputs(X):
        assert loaded.predict_proba(samples).tobytes() == pipeline.predict_proba(samples).tobytes()
        np.testing.assert_array_equal(loaded.predict(samples), pipeline.predict(samples))
    assert repr(loaded) == repr(pipeline)
    assert loaded.classes_.tolist() == pipeline.classes_.tolist()
    assert loaded.n_features_in_ == pipeline.n_features_in_
    if len(pipeline) > 1 and "missing" not in name:
        names = [each[:-1].get_feature_names_out().tolist() for each in (pipeline, loaded)]
        assert names[0] == names[1]
    # What is fitted anew, from the parameters that were loaded, is the same, too.
    again = clone(loaded).fit(X, Y)
    assert again.predict_proba(X).tobytes() == pipeline.predict_proba(X).tobytes()
    # And what is saved again.
    content = path.read_bytes()
    fastbp.save(loaded, path)
    assert path.read_bytes() == content


def test_unknown_words_and_missing_columns(path):
    pipeline = make_pipeline(columns(), last()).fit(FRAME, Y)
    fastbp.save(pipeline, path)
    loaded = fastbp.load(path)
    other = FRAME.assign(town="Zlín", more=1)[["more", "town", "owner", "height", "age"]]
    assert loaded.predict_proba(other).tobytes() == pipeline.predict_proba(other).tobytes()
    with pytest.raises(ValueError, match="columns are missing: {'age'}"):
        loaded.predict(FRAME.drop(columns="age"))


def test_a_scaler_goes_on(path):
    """`partial_fit` counts the samples that it has seen."""
    pipeline = make_pipeline(StandardScaler(), last()).fit(NUMBERS[:12, 1:], Y[:12])
    fastbp.save(pipeline, path)
    loaded = fastbp.load(path)
    for each in (pipeline, loaded):
        each[0].partial_fit(NUMBERS[12:, 1:])
    assert loaded[0].mean_.tobytes() == pipeline[0].mean_.tobytes()
    assert loaded[0].var_.tobytes() == pipeline[0].var_.tobytes()


class Scaler(StandardScaler):
    """Of the user's own, which is nothing that `load` knows."""


REFUSED = {
    "another class": (PCA(), TypeError, "cannot save a PCA in a pipeline"),
    "a function": (FunctionTransformer(np.log1p), TypeError, "cannot save a FunctionTransformer"),
    "a class of ours": (Scaler(), TypeError, "cannot save a Scaler"),
    "an indicator": (SimpleImputer(add_indicator=True), ValueError, "add_indicator=True cannot"),
    "rare ones": (OneHotEncoder(min_frequency=2), ValueError, "min_frequency=2 cannot be saved"),
    "combiner": (
        OneHotEncoder(feature_name_combiner=lambda a, b: a),
        ValueError,
        "feature_name_combiner=.* cannot be saved",
    ),
    "another missing value": (SimpleImputer(missing_values=pd.NA), ValueError, "cannot be saved"),
    "integers": (OneHotEncoder(dtype=int), ValueError, "dtype=.* cannot be saved"),
    "chosen columns": (
        ColumnTransformer([("a", MinMaxScaler(), make_column_selector("a"))]),
        ValueError,
        "the columns of 'a' are chosen by a function, which cannot be saved; pass a",
    ),
    "weights": (
        ColumnTransformer([("a", MinMaxScaler(), [0])], transformer_weights={"a": 2.0}),
        ValueError,
        "transformer_weights=.* cannot be saved",
    ),
    "memory": (make_pipeline(MinMaxScaler(), memory="x"), ValueError, "memory='x' cannot"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_saved(name, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    transformer, error, message = REFUSED[name]
    X = pd.DataFrame(NUMBERS[:, 1:].round(), columns=["a", "b"])
    pipeline = make_pipeline(clone(transformer), last()).fit(X, np.arange(N) % 2)
    with pytest.raises(error, match=message):
        fastbp.save(pipeline, path)
    assert not path.exists()


def test_pipelines_without_our_estimator(path):
    with pytest.raises(TypeError, match="cannot save a StandardScaler, only a Network"):
        fastbp.save(make_pipeline(StandardScaler()).fit(NUMBERS), path)


def of(kind, values):
    return {"dtype": kind, "values": values}


ENCODER = "steps/0/1/transformers/1/1"
SCALER = "steps/0/1/transformers/0/1/steps/1/1"
IMPUTER = "steps/0/1/transformers/0/1/steps/0/1"
COLUMNS = "steps/0/1"


@pytest.mark.parametrize(
    "where, value",
    [
        ("steps", {}),
        ("steps/0", ["columntransformer"]),
        ("steps/0/0", "mlpclassifier"),
        ("steps/0/0", "a__b"),
        ("steps/0/1", "drop"),
        ("steps/0/1", "other"),
        ("steps/0/1", None),
        ("name", 1),
        ("set_output", "other"),
        (f"{COLUMNS}/class", "PCA"),
        (f"{COLUMNS}/class", ["PCA"]),
        (f"{COLUMNS}/n_features_in_", 4),
        (f"{COLUMNS}/n_features_in_", 10**9),
        (f"{COLUMNS}/parameters/sparse_threshold", "a"),
        (f"{COLUMNS}/parameters/more", 1),
        (f"{COLUMNS}/transformers/0/2", ["age"]),
        (f"{COLUMNS}/transformers/0/2", ["age", "weight"]),
        (f"{COLUMNS}/transformers/0/2", [0, 9]),
        (f"{COLUMNS}/transformers/0/2", {"dict": []}),
        (f"{COLUMNS}/transformers/0/0", "words"),
        (f"{COLUMNS}/transformers/0/0", "remainder"),
        (f"{COLUMNS}/rest", []),
        (f"{COLUMNS}/rest", [0]),
        (f"{COLUMNS}/rest", [3, 3]),
        (f"{COLUMNS}/remainder", {}),
        (f"{COLUMNS}/sparse_output_", 1),
        (f"{COLUMNS}/output_indices_", [["numbers", -1, 2]]),
        (f"{SCALER}/parameters/with_mean", "a"),
        (f"{SCALER}/attributes/mean_", of("float64", [0.0])),
        (f"{SCALER}/attributes/mean_", of("float64", [0.0, {"number": "nan"}])),
        (f"{SCALER}/attributes/mean_", of("object", [None, None])),
        (f"{SCALER}/attributes/n_samples_seen_", -1),
        (f"{SCALER}/attributes", {}),
        (f"{SCALER}/n_features_in_", None),
        (f"{IMPUTER}/parameters/strategy", "other"),
        (f"{IMPUTER}/attributes/_fit_dtype", "str"),
        (f"{IMPUTER}/attributes/_fit_dtype", "M8[ns]"),
        (f"{IMPUTER}/attributes/statistics_", of("float64", [1.0])),
        (f"{ENCODER}/parameters/drop", "other"),
        (f"{ENCODER}/parameters/drop", {"dict": []}),
        (f"{ENCODER}/parameters/drop", ["a"]),
        (f"{ENCODER}/parameters/drop", [["a"], ["b"]]),
        (f"{ENCODER}/parameters/dtype", "int8"),
        (f"{ENCODER}/parameters/dtype", {"dtype": "object"}),
        (f"{ENCODER}/attributes/categories_", [of("object", ["a"])]),
        (f"{ENCODER}/attributes/categories_/1", of("bool", [])),
        (f"{ENCODER}/attributes/categories_/1", of("bool", [True, False])),
        (f"{ENCODER}/attributes/categories_/1", of("int64", [1, 1])),
        (f"{ENCODER}/attributes/categories_/1", of("float64", [{"number": "nan"}, 1.0])),
        (f"{ENCODER}/attributes/categories_/0", of("object", ["a", "a"])),
        (f"{ENCODER}/attributes/categories_/0", of("object", ["a", ["b"]])),
        (f"{ENCODER}/n_features_in_", 3),
    ],
)
def test_a_broken_document_of_a_pipeline(where, value, path):
    fastbp.save(make_pipeline(columns(), last()).fit(FRAME, Y), path)
    broken(path, f"model/{where}", value)
    with pytest.raises(ValueError):
        fastbp.load(path)


def test_columns_without_end(path):
    """As many as a number says would take any amount of memory."""
    scaled = ColumnTransformer([("a", MinMaxScaler(), [0, 1])])
    fastbp.save(make_pipeline(scaled, last()).fit(NUMBERS[:, 1:], Y), path)
    broken(path, f"model/{COLUMNS}/n_features_in_", 10**15)
    with pytest.raises(ValueError, match="the columns out of 1000000000000000"):
        fastbp.load(path)


def test_transformers_in_one_another_without_end(path):
    fastbp.save(make_pipeline(columns(), last()).fit(FRAME, Y), path)
    inner = "passthrough"
    for _ in range(20):
        inner = {"class": "Pipeline", "set_output": None, "steps": [["a", inner]]}
    broken(path, "model/steps/0/1", inner)
    with pytest.raises(ValueError, match="not nested deeply"):
        fastbp.load(path)
