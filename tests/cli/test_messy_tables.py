"""The command line: tables as they come from the real world, each as one instance of its kind."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import re
import sys
from pathlib import Path

import messy_tables as messy
import numpy as np
import pandas as pd
import pytest
from cli_cases import QUICK, people

import fastbp
from fastbp.cli import columns, main, numerals, problems, readings, tables
from fastbp.files import file

QUICK = [*QUICK, "--epochs", "5"]
DATA = Path(__file__).parents[1] / "data" / "command_line"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(path, *options, target="bought"):
    return main(["train", str(path), "--target", target, *QUICK, "--force", *options])


def report(capsys, text, *options, target="bought", name="table.csv", encoding="utf-8"):
    """The report of a training on this text, and what was printed to standard error."""
    if text is not None:
        Path(name).write_text(text, encoding=encoding, newline="")
    capsys.readouterr()
    code = train(name, "--json", *options, target=target)
    printed, errors = capsys.readouterr()
    assert code == 0, errors
    # The first use of Numba on a machine is announced.
    errors = re.sub(r"fastbp: compiling Numba .*\n", "", errors)
    made = json.loads(printed)
    made["columns"] = {column["column"]: column for column in made["columns"]}
    return made, errors


def losses(capsys, text, *options, **more):
    return report(capsys, text, *options, **more)[0]["loss"]


def kinds(made):
    return {name: column["read_as"] for name, column in made["columns"].items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The losses of a training on the clean table."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "plain.csv").write_text(PLAIN, encoding="utf-8")
    model, printed = folder / "model.safetensors", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert train(folder / "plain.csv", "--json", "--output", str(model)) == 0
    return json.loads(printed.getvalue())["loss"]


FRAME = messy.clean()
PLAIN = FRAME.to_csv(index=False)
KINDS = {
    "income": "number",
    "share": "number",
    "age": "number",
    "town": "category",
    "joined": "date",
    "spent": "number",
}


# However numbers and dates are written, the same network is trained.


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (messy.decimal_commas(FRAME), "decimal comma"),
        (messy.currencies(FRAME), "thousands separators, in $"),
    ],
)
def test_numbers_as_people_write_them(text, why, capsys):
    made, errors = report(capsys, text)
    assert (kinds(made), errors) == (KINDS, "")
    assert why in made["columns"]["income"]["why"]
    predicted = []
    for table in (text, PLAIN):
        assert losses(capsys, table) == made["loss"]
        assert main(["predict", "table.safetensors", "table.csv", "--proba"]) == 0
        predicted.append(capsys.readouterr().out)
    assert predicted[0] == predicted[1] and predicted[0].count("\n") == messy.ROWS + 1


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%b-%y", "%B %d, %Y"])
def test_dates_as_people_write_them(form, plain, capsys):
    made, errors = report(capsys, messy.dates(FRAME, form))
    assert (kinds(made), errors) == (KINDS, "")
    assert made["columns"]["joined"]["why"].startswith("dates, ")
    assert made["loss"] == plain


def test_a_date_becomes_year_month_weekday_and_days(capsys):
    report(capsys, PLAIN)
    assert main(["export", "table.safetensors", "--format", "npz"]) == 0
    inputs = json.loads(Path("table.npz.inputs.json").read_text(encoding="utf-8"))["inputs"]
    of_dates = [each for each in inputs if each["column"] == "joined"]
    equals = {part: [] for part in ("year", "month", "weekday", "days")}
    for each in of_dates:
        equals[each["part"]].append(each.get("equals"))
    assert equals["year"] == equals["days"] == [None]
    assert equals["month"] == [f"{month:02d}" for month in range(1, 13)]
    assert set(equals["weekday"]) == set(FRAME.joined.dt.day_name())
    days = next(each for each in of_dates if each["part"] == "days")
    elapsed = (FRAME.joined - pd.Timestamp("1970-01-01")).dt.days
    assert elapsed.min() < days["mean"] < elapsed.max()


def test_the_order_of_day_and_month_is_never_guessed_silently(capsys):
    both = FRAME.assign(joined=[f"{1 + j % 12}/{1 + j % 11}/2020" for j in range(messy.ROWS)])
    text = both.to_csv(index=False)
    made, _ = report(capsys, text)
    assert "or with day and month exchanged: see --day-first" in made["columns"]["joined"]["why"]
    other, _ = report(capsys, text, "--day-first")
    assert "dd/mm/yyyy" in other["columns"]["joined"]["why"]
    assert made["loss"] != other["loss"]


@pytest.mark.parametrize(("mark", "others"), [(".", ","), (",", ".")])
def test_an_ambiguous_mark_is_pointed_out(mark, others, capsys):
    """1,234 in a file that does not tell: semicolons suggest that the comma is decimal."""
    text = messy.thousands(FRAME, mark)
    made, _ = report(capsys, text)
    assert "--decimal" in made["columns"]["income"]["why"]
    plain = FRAME.assign(income=FRAME.income.map("{:.0f}".format))[["income", "age", "bought"]]
    assert losses(capsys, text, "--decimal", others) == losses(capsys, plain.to_csv(index=False))


@pytest.mark.parametrize("mark", [" ", "'", "\u202f", "\xa0"])
def test_other_thousands_separators(mark, capsys):
    plain = FRAME.assign(income=FRAME.income.map("{:.0f}".format))[["income", "age", "bought"]]
    made = losses(capsys, messy.thousands(FRAME, mark))
    assert made == losses(capsys, plain.to_csv(index=False))


def test_the_other_columns_tell_what_the_mark_is(capsys):
    frame = FRAME.assign(
        income=[f"{v:,.0f}" for v in FRAME.income], share=[f"{v:,.2f}" for v in FRAME.spent]
    )
    made, _ = report(capsys, frame.to_csv(index=False, sep=";"))
    assert made["columns"]["income"]["why"].startswith("thousands separators")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line", ["sep=;\n", "SEP=|\r\n", '"sep=\t"\n'])
def test_a_line_that_names_the_separator(line, encoding, capsys):
    """Excel reads and writes it."""
    frame = FRAME[["age", "bought"]]
    text = line + frame.to_csv(index=False, sep=line.strip('"\r\n')[-1])
    made, _ = report(capsys, text, encoding=encoding)
    assert made["loss"] == losses(capsys, frame.to_csv(index=False))


@pytest.mark.parametrize("words", [["?"], ["unknown"], ["n.a.", "?", "-"], ["refused"]])
def test_a_word_among_numbers(words, capsys):
    made, _ = report(capsys, messy.with_words(FRAME, *words))
    column = made["columns"]["income"]
    assert (column["read_as"], column["missing"]) == ("number", len(words))
    assert f"{words[0]!r}" in column["why"] and "read as missing" in column["why"]
    frame = FRAME.copy()
    frame.loc[[7 + 11 * j for j in range(len(words))], "income"] = np.nan
    assert made["loss"] == losses(capsys, frame.to_csv(index=False))


def test_codes_and_mixed_units_stay_texts(capsys):
    rng = np.random.default_rng(0)
    frame = FRAME.assign(
        zip=rng.choice(["01067", "20095", "80331"], messy.ROWS),
        size=rng.choice(["5 kg", "3 lb"], messy.ROWS),
        grade=rng.choice(["1", "2", "3+"], messy.ROWS),
    )
    made, _ = report(capsys, frame.to_csv(index=False))
    for name in ("zip", "size", "grade"):
        assert made["columns"][name]["read_as"] == "category"
    assert "codes with leading zeros" in made["columns"]["zip"]["why"]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["12 kg", "1,500 kg", "0"], [12, 1500, 0]),
        (["(1,234.50)", "-5", "+7.25"], [-1234.5, -5, 7.25]),
        (["−3", "1e3", ".5"], [-3, 1000, 0.5]),
        (["1,23,456", "99,999", "1,00,00,000"], [123456, 99999, 10**7]),
        (["£1.50", "£2", "£3,000"], [1.5, 2, 3000]),
        (["true", "FALSE", "True"], [1, 0, 1]),
    ],
)
def test_values_of_texts(texts, values):
    series = pd.Series(texts, name="x")
    reading = readings.decide(series.to_frame())["x"].reading
    assert readings.numbers(series, reading, "x.csv").tolist() == values


@pytest.mark.parametrize("text", ["A1", "1.2.3", "1,2,3", "5 3", "12-5", "$", "--5", "1 2", "1_0"])
def test_texts_that_are_no_numbers(text):
    assert numerals.parse(text) is None


# Columns that do not help.


def test_identifiers_are_left_out(plain, capsys):
    made, _ = report(capsys, messy.identifiers(FRAME))
    names = ["counter", "shuffled", "customer_id", "ticket", "uuid", "name"]
    assert kinds(made) == KINDS | dict.fromkeys(names, "left out")
    assert all(f"--keep {name}" in made["columns"][name]["why"] for name in names)
    assert made["loss"] == plain
    kept, _ = report(capsys, messy.identifiers(FRAME), "--keep", "ticket,counter", "--keep", "uuid")
    assert {name: kinds(kept)[name] for name in names} == {
        **dict.fromkeys(names, "left out"),
        **{"ticket": "number", "counter": "number", "uuid": "category"},
    }


def test_quantities_that_differ_in_every_row_are_kept():
    """Populations of states, say, and years."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"people": rng.permutation(np.unique(rng.lognormal(8, 1, 60).round())), "y": 0}
    )
    frame["founded"] = 1950 + np.arange(len(frame))
    frame["ageOfTree"] = 10 + np.arange(len(frame))
    frame["metres"] = 5600 - 37 * np.arange(len(frame))
    frame["price"] = [f"${v:,}" for v in rng.permutation(9000)[: len(frame)] + 1000]
    decisions = readings.decide(frame)
    y = rng.normal(size=len(frame))
    chosen, _ = columns.choose(frame, "y", y, decisions, "x.csv")
    assert [column.read_as() for column in chosen] == ["number"] * 5


def test_a_column_that_repeats_the_target(capsys):
    frame = FRAME.assign(again=FRAME.bought, code=(FRAME.bought == "yes") + 3)
    made, _ = report(capsys, frame.to_csv(index=False))
    assert made["columns"]["again"]["read_as"] == "left out"
    assert "equal to the target" in made["columns"]["again"]["why"]
    assert "tells the target exactly" in made["columns"]["code"]["why"]
    money = FRAME.assign(price=FRAME.spent.map("${:,.2f}".format)).to_csv(index=False)
    made, _ = report(capsys, money, target="spent")
    assert made["columns"]["price"]["read_as"] == "left out"
    made, _ = report(capsys, money, "--keep", "price", target="spent")
    assert made["columns"]["price"]["read_as"] == "number"


def test_constant_and_empty_columns(capsys):
    frame = FRAME.assign(empty="", unit="EUR", half=["x", ""] * (messy.ROWS // 2), one=1.0)
    made, _ = report(capsys, frame.to_csv(index=False))
    why = {name: made["columns"][name]["why"] for name in ("empty", "unit", "one")}
    assert why == {"empty": "empty", "unit": "always EUR", "one": "always 1.0"}
    assert (
        made["columns"]["half"]["read_as"] == "category"
    )  # whether it is there may tell something


# Targets.


def test_rows_without_a_target_are_left_out(capsys):
    frame = FRAME.copy()
    frame.loc[[3, 50], "bought"] = None
    Path("table.csv").write_text(frame.to_csv(index=False), encoding="utf-8")
    assert train("table.csv") == 0
    assert "left out: 2 of 120 rows, which have no value of bought" in capsys.readouterr().out
    expected = losses(capsys, frame.dropna().to_csv(index=False))
    assert losses(capsys, None) == expected
    frame["bought"] = frame.bought.fillna("?")
    assert losses(capsys, frame.to_csv(index=False)) == expected
    assert main(["evaluate", "table.safetensors", "table.csv"]) == 0
    assert "2 of 120 rows have no 'bought'" in capsys.readouterr().err


def test_a_class_with_one_row(capsys):
    frame = FRAME.copy()
    frame.loc[5, "bought"] = "perhaps"
    Path("table.csv").write_text(frame.to_csv(index=False), encoding="utf-8")
    assert train("table.csv") == 0
    said = capsys.readouterr().out
    assert "classes with fewer than 6 rows are used for training only" in said
    assert "perhaps (1)" in said
    made, _ = report(capsys, None)
    assert sum(made["rows"].values()) == messy.ROWS and len(made["confusion"]) == 3
    assert np.sum(made["confusion"][1]) == 0  # not in the rows of the test


def test_more_classes_than_rows_to_hold_out(capsys):
    frame = FRAME.assign(bought=[f"class {j % 20}" for j in range(messy.ROWS)])
    made, _ = report(capsys, frame.to_csv(index=False), "--test", "0.1", "--validation", "0.1")
    assert made["rows"] == {"training": 96, "validation": 12, "test": 12}


@pytest.mark.parametrize(("n", "n_classes"), [(120, 30), (60, 20), (15, 3), (10, 2), (31, 7)])
def test_small_tables_with_small_classes(n, n_classes):
    """Rows of each class are left for training, whatever is held out."""
    y = np.array([f"class {j % n_classes}" for j in range(n)])
    for seed in range(5):
        problem = problems.Problem("y", "classification", y, "")
        parts, _ = problems.split(problem, 0.15, 0.15, seed)
        assert sorted(np.concatenate(parts)) == list(range(n))
        assert len(parts.test) == len(parts.validation) == round(0.15 * n)
        assert set(y[parts.training]) == set(y)


def test_targets_of_money_and_of_truth(capsys):
    made, _ = report(capsys, messy.currencies(FRAME), target="spent")
    assert made["task"] == "regression"
    assert made["loss"] == losses(capsys, PLAIN, target="spent")
    assert main(["evaluate", "table.safetensors", "table.csv", "--json"]) == 0
    truth = FRAME.assign(bought=FRAME.bought == "yes").to_csv(index=False)
    made, _ = report(capsys, truth)
    assert made["task"] == "classification"
    assert main(["info", "table.safetensors"]) == 0
    assert "classes: False, True" in capsys.readouterr().out


# Headers.


def test_duplicate_headers(capsys):
    text = PLAIN.replace("income,share,age", "income,age,age", 1)
    made, errors = report(capsys, text)
    assert list(made["columns"])[:3] == ["income", "age", "age.1"]
    assert "has 2 columns 'age'; the later ones are called age.1" in errors


def test_headers_with_spaces(capsys):
    text = PLAIN.replace("income,share", " income , my share ", 1)
    made, _ = report(capsys, text)
    assert list(made["columns"])[:2] == ["income", "my share"]
    assert losses(capsys, PLAIN.replace(",", ", ")) == made["loss"]


def test_no_header(plain, capsys):
    body = PLAIN.partition("\n")[2]
    Path("table.csv").write_text(body, encoding="utf-8")
    assert train("table.csv") == 1
    assert "seems to hold data; with --no-header columns are called 1, 2" in capsys.readouterr().err
    made, _ = report(capsys, None, "--no-header", target="6")
    assert made["loss"] == plain
    Path("body.csv").write_text(body, encoding="utf-8")
    losses(capsys, body, "--no-header", target="6")
    assert main(["predict", "table.safetensors", "body.csv", "--no-header"]) == 0
    assert capsys.readouterr().out.count("\n") == messy.ROWS + 1


# Files.


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig", "utf-16-le", "utf-32"]
)
def test_encodings(encoding, plain, capsys):
    made, errors = report(capsys, PLAIN, encoding=encoding)
    assert made["columns"]["town"]["examples"] == ["Bonn", "Ulm", "Köln"]
    assert ("is not UTF-8 text and is read as cp1252" in errors) == (
        encoding in ("latin-1", "cp1252")
    )
    assert made["loss"] == plain


def test_a_byte_order_mark_that_is_there_twice(plain, capsys):
    made, _ = report(capsys, "\ufeff" + PLAIN, encoding="utf-8-sig")
    assert made["loss"] == plain and not any("\ufeff" in name for name in made["columns"])


def test_an_encoding_that_is_named(capsys):
    text = PLAIN.replace("Köln", "Łódź")
    made, errors = report(capsys, text, "--encoding", "iso-8859-2", encoding="iso-8859-2")
    assert "Łódź" in made["columns"]["town"]["examples"] and errors == ""
    Path("table.csv").write_text(text, encoding="iso-8859-2")
    assert train("table.csv", "--encoding", "ascii") == 1
    assert "is not ascii text" in capsys.readouterr().err


@pytest.mark.parametrize("separator", ["|", ";", "\t", ",", "~", "space"])
def test_separators(separator, capsys):
    frame = FRAME.drop(columns="joined")
    text = frame.to_csv(index=False, sep=" " if separator == "space" else separator)
    options = ["--sep", separator] if separator in ("~", "space") else []
    made = losses(capsys, text, *options)
    assert made == losses(capsys, frame.to_csv(index=False))


def zst(content):
    pyarrow = pytest.importorskip("pyarrow")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zst}


@pytest.mark.parametrize("ending", PACKERS)
def test_compressed_files(ending, plain, capsys):
    Path(f"table.csv{ending}").write_bytes(PACKERS[ending](PLAIN.encode()))
    made, _ = report(capsys, None, name=f"table.csv{ending}")
    assert made["loss"] == plain
    assert made["model"] == "table.safetensors"
    rows = FRAME.assign(joined=FRAME.joined.astype(str)).to_dict("records")
    Path(f"table.jsonl{ending}").write_bytes(
        PACKERS[ending]("\n".join(map(json.dumps, rows)).encode())
    )
    assert losses(capsys, None, name=f"table.jsonl{ending}") == made["loss"]


def write_excel(frame, path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(path) as book:
        frame.to_excel(book, sheet_name="Data", index=False)
        frame.head(2).to_excel(book, sheet_name="Notes", index=False)


WRITERS = {
    "json": lambda frame, path: frame.to_json(path, orient="records", date_format="iso"),
    "jsonl": lambda frame, path: frame.to_json(
        path, orient="records", lines=True, date_format="iso"
    ),
    "parquet": lambda frame, path: frame.to_parquet(path),
    "feather": lambda frame, path: frame.to_feather(path),
    "xlsx": write_excel,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_other_kinds_of_files(ending, plain, capsys):
    WRITERS[ending](FRAME, f"table.{ending}")
    made, errors = report(capsys, None, name=f"table.{ending}")
    assert kinds(made) == KINDS
    assert made["loss"] == plain
    assert ("2 sheets; the first one, 'Data', is read" in errors) == (ending == "xlsx")


def test_without_openpyxl(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    Path("table.xlsx").write_bytes(b"PK\x03\x04")
    assert train("table.xlsx") == 1
    assert capsys.readouterr().err.startswith("fastbp: reading .xlsx needs openpyxl: pip install")


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(packed, plain, capsys, monkeypatch):
    content = gzip.compress(PLAIN.encode()) if packed else PLAIN.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    made, _ = report(capsys, None, name="-")
    assert (made["data"], made["model"]) == ("standard input", "model.safetensors")
    assert made["loss"] == plain
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["predict", "model.safetensors", "-"]) == 0
    assert capsys.readouterr().out.count("\n") == messy.ROWS + 1


def test_kinds_of_standard_input():
    frame = FRAME.head(3)
    parquet, feather = io.BytesIO(), io.BytesIO()
    frame.to_parquet(parquet)
    frame.to_feather(feather)
    for content, kind in (
        (b'\n [{"a": 1}]', ".json"),
        (b"a,b\n1,2\n", ".csv"),
        (parquet.getvalue(), ".parquet"),
        (feather.getvalue(), ".feather"),
        (zst(b"a"), ".zst"),
    ):
        assert tables._kind_of_content(content) == kind


# What a model keeps.


def test_predict_says_what_training_did_not_have(capsys):
    report(capsys, PLAIN)
    frame = FRAME.copy()
    frame.loc[:11, "town"] = "Oz"
    frame.loc[:2, "income"] = 1e9
    frame.loc[0, "joined"] = pd.Timestamp("2045-01-01")
    frame.loc[7, "town"] = None
    frame.to_csv("new.csv", index=False)
    assert main(["predict", "table.safetensors", "new.csv", "--output", "p.csv"]) == 0
    said = capsys.readouterr().err
    assert "12 of 120 rows have values of 'town' never seen in training, such as 'Oz'" in said
    assert "3 of 120 rows have values of 'income' far outside of those seen in training" in said
    assert "1 of 120 rows have values of 'joined' far outside" in said and "2019-" in said
    assert main(["predict", "table.safetensors", "table.csv", "--output", "p.csv"]) == 0
    assert "outside" not in capsys.readouterr().err


def test_a_cell_is_read_in_the_same_way_whatever_the_others_are(capsys):
    report(capsys, messy.decimal_commas(FRAME))
    whole = messy.decimal_commas(FRAME).splitlines()
    assert main(["predict", "table.safetensors", "table.csv", "--proba"]) == 0
    expected = capsys.readouterr().out.splitlines()
    for row in (1, 40):
        Path("one.csv").write_text("\n".join([whole[0], whole[row]]), encoding="utf-8")
        assert main(["predict", "table.safetensors", "one.csv", "--proba"]) == 0
        assert capsys.readouterr().out.splitlines()[1] == expected[row]


def test_numbers_in_another_style_are_refused(capsys):
    """Rather than read 1.234 as 1234, or dollars as euros."""
    frame = FRAME[["share", "age", "bought"]]
    text = frame.assign(share=[str(v).replace(".", ",") for v in frame.share])
    report(capsys, text.to_csv(index=False, sep=";"))
    for cell in ("1.234", "$5", "12.5", "soon"):
        Path("new.csv").write_text(f"share;age\n{cell};20\n", encoding="utf-8")
        assert main(["predict", "table.safetensors", "new.csv"]) == 1
        said = capsys.readouterr().err
        assert f"column 'share' has '{cell}' in row 1" in said and "decimal comma" in said
    Path("new.csv").write_text("share;age\n12.5;20\n", encoding="utf-8")
    assert main(["predict", "table.safetensors", "new.csv", "--decimal", "."]) == 0
    Path("new.csv").write_text("share;age\n12,5;20\n1.012,5;20\n", encoding="utf-8")
    assert main(["predict", "table.safetensors", "new.csv"]) == 0


def test_a_missing_unit_is_pointed_out(capsys):
    report(capsys, messy.currencies(FRAME))
    Path("plain.csv").write_text(PLAIN, encoding="utf-8")
    assert main(["predict", "table.safetensors", "plain.csv"]) == 0
    said = capsys.readouterr().err
    assert "column 'income' was in $ in training, but has no unit here" in said


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_models_of_earlier_versions(ending, capsys):
    """Their notes do not say how columns are read; they predict and are described as before."""
    frame = people()
    frame["flag"], frame["code"] = np.arange(200) % 3 == 0, np.arange(200) % 4
    frame.to_csv("people.csv", index=False)
    frame.to_parquet("people.parquet")
    model = str(DATA / "model-0.1.safetensors")
    assert main(["predict", model, f"people.{ending}", "--proba"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    expected = pd.read_csv(DATA / "predictions-0.1.csv")
    assert (found.prediction == expected.prediction).all()
    np.testing.assert_allclose(found.probability_yes, expected.probability_yes, rtol=1e-5)
    assert main(["evaluate", model, f"people.{ending}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["model"]["accuracy"] == 0.46
    assert main(["info", model]) == 0
    assert "numbers: age, rooms, flag\ncategories: town, code\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("readings_of_file", "message"),
    [
        ([], "readings must be a JSON object"),
        ({}, "the readings are not of the columns of the model"),
        ({"income": {"kind": "number"}}, "the readings are not of the columns"),
        ({"income": {"kind": "verse"}}, "kind of the reading of column 'income' must be one of"),
        ({"income": {"kind": "number", "decimal": "x"}}, "decimal of the reading"),
        ({"income": {"kind": "number", "low": "x"}}, "low of the reading"),
        ({"income": {"kind": "date", "parts": ["eon"]}}, "parts of the reading"),
        ({"income": {"kind": "number", "more": 1}}, "unknown fields"),
    ],
)
def test_broken_readings_are_refused(readings_of_file, message, capsys):
    report(capsys, PLAIN)
    model, (notes, _) = fastbp.load("table.safetensors"), file.read_notes("table.safetensors")
    fastbp.save(model, "broken.safetensors", notes=notes | {"readings": readings_of_file})
    for command in (["predict", "broken.safetensors", "table.csv"], ["info", "broken.safetensors"]):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert said.startswith("fastbp: broken.safetensors: broken file: ") and message in said


def test_a_table_of_many_columns(capsys, monkeypatch):
    """Those that are not plain are shown in any case, and no line is too long."""
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 300)).round(3)).rename(columns="pixel {}".format)
    frame["a very long name of a column\x1b[2J"] = [f"text\x07 {j % 3}" for j in range(60)]
    frame["id"], frame["y"] = range(60), ["a", "b"] * 30
    frame.to_parquet("wide.parquet")
    assert train("wide.parquet", target="y") == 0
    printed = capsys.readouterr().out
    table = printed.partition("network ")[0].splitlines()
    assert len(table) < 60 and max(map(len, table)) < 80
    assert "... and 262 more columns" in table
    assert "left out" in "".join(table) and "category" in "".join(table)
    assert "\x1b" not in printed and "\x07" not in printed
