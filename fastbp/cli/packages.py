"""Imports of packages that only some tables need, with errors that say how to install them."""


def pandas():
    """Return the module pandas, or raise an ImportError with the command to install it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("reading tables needs pandas: pip install 'fastbp[cli]'") from error
    return pandas


def pyarrow(what):
    """Return the module pyarrow; `what` says what needs it."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(f"reading {what} needs pyarrow: pip install 'fastbp[cli]'") from error
    return pyarrow


def openpyxl():
    """Return the module openpyxl, with which pandas reads Excel files."""
    try:
        import openpyxl
    except ImportError as error:
        raise ImportError("reading .xlsx needs openpyxl: pip install 'fastbp[cli]'") from error
    return openpyxl
