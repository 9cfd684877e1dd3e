"""Reads the table of a training, and decides what is learnt from it."""

from typing import Any, NamedTuple

from . import columns, problems, readings, tables


class Table(NamedTuple):
    """A table, read and divided.

    Attributes
    ----------
    name : str
        Of its file.
    features : DataFrame
        Of the rows with a target, see `columns.prepare`.
    columns : list of Column
    problem : Problem
    reading : Reading
        Of the target.
    parts : Parts
    notes : list of str
        What is special about the rows.
    """

    name: str
    features: Any
    columns: list
    problem: problems.Problem
    reading: readings.Reading
    parts: problems.Parts
    notes: list


def read(options):
    """Return the `Table` that the options of the command `train` name."""
    name = tables.shown(options.data)
    frame = tables.read(options.data, tables.form(options))
    target = tables.column(frame, options.target, name)
    drop, keep, categorical = (
        tables.columns(frame, texts, name)
        for texts in (options.drop, options.keep, options.categorical)
    )
    if both := [each for each in drop if each in keep]:
        raise ValueError(f"--drop and --keep both name {both[0]!r}; name it in one of them")
    decisions = readings.decide(
        frame.drop(columns=[each for each in drop if each != options.target]),
        categorical=categorical,
        decimal=options.decimal,
        day_first=options.day_first,
    )
    reading = problems.reading_of(target, decisions[options.target].reading)
    given = readings.given(target, reading)
    notes = []
    if not given.all():
        n = len(given) - int(given.sum())
        notes.append(f"left out: {n} of {len(given)} rows, which have no value of {options.target}")
        frame = frame[given]
    problem = problems.find(frame[options.target], reading, name, options.task)
    if options.log_target:
        problems.check_log(problem, frame.index)
    else:
        problems.check_float32(problem)
    chosen, features = columns.choose(
        frame, options.target, problem.y, decisions, name, keep=keep, drop=drop
    )
    parts, more = problems.split(problem, options.validation, options.test, options.seed)
    return Table(name, features, chosen, problem, reading, parts, notes + more)
