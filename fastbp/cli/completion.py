"""What argcomplete offers in a shell: columns after options like --target, tables and models."""

import contextlib
import io
import os

from . import delimited, tables

# So much of a text file is read to find the names of its columns.
MOST_BYTES = 1 << 16


def columns(prefix, parsed_args, **_):
    """Return the columns of the table on the command line that begin with the prefix.

    Several names may be separated by commas; the last one is completed.
    """
    path = getattr(parsed_args, "data", None)
    head, comma, last = prefix.rpartition(",")
    # An error, such as a missing file, would disturb the line that is being typed.
    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        names = _names(path, getattr(parsed_args, "sep", None))
        return [f"{head}{comma}{name}" for name in names if name.startswith(last)]
    return []


def _names(path, separator):
    """Return the names of the columns of a table, reading no more than needed."""
    if path.suffix.lower() not in tables.TEXTS:
        return list(tables.read(path).columns)
    with open(path, "rb") as file:
        return delimited.header(file.read(MOST_BYTES), separator)


def files(*endings):
    """Return a function that offers folders, and files with one of these endings."""

    def complete(prefix, **_):
        folder, _, start = prefix.rpartition("/")
        found = []
        with contextlib.suppress(OSError):
            for each in sorted(os.scandir(f"{folder}/" if "/" in prefix else "."), key=_name):
                path = f"{folder}/{each.name}" if "/" in prefix else each.name
                if each.name.startswith(start) and (start or each.name[0] != "."):
                    if each.is_dir():
                        found.append(f"{path}/")
                    elif each.name.lower().endswith(endings):
                        found.append(path)
        return found

    return complete


def _name(entry):
    return entry.name


MODELS = files(".safetensors")
TABLES = files(*tables.EXTENSIONS, *tables.COMPRESSIONS)
