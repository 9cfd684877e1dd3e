"""The command line: ``fastbp``, or ``python -m fastbp``.

Each module defines a few commands: `add` registers them with argparse, other functions run them.
Slow imports are done only by the commands that need them.
"""

import os
import sys
import warnings

from ..basis.version import __version__
from . import comparing, doctor, options, predicting, shipping, train

EXAMPLES = """
fastbp train titanic.csv --target survived
fastbp predict titanic.safetensors passengers.csv --output predictions.csv
fastbp doctor
"""
GUIDE = """fastbp trains neural networks on tables.

  fastbp train titanic.csv --target survived        learn the column survived from the others
  fastbp predict titanic.safetensors new.csv        predict it for other rows
  fastbp evaluate titanic.safetensors more.csv      compare predictions with the truth
  fastbp info titanic.safetensors                   say what the model is
  fastbp export titanic.safetensors --format onnx   hand it on to another tool
  fastbp doctor                                     check this installation

fastbp --help lists all commands, and fastbp COMMAND --help the options of one."""
# Expected errors: exit code 1 and a message. Any other error is a bug and shows a traceback.
EXPECTED = (ValueError, ImportError, ArithmeticError, OSError, MemoryError)


# What a shell reports of a program that SIGPIPE has ended: 128 + 13.
CLOSED = 141


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        The arguments; by default ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit code: 0 on success, 1 on failure, 130 after Ctrl-C, 141 if standard output was
        closed. Wrong usage raises SystemExit(2), as argparse does.
    """
    try:
        try:
            with options.escaping(sys.stdout):
                return _run(arguments)
        finally:
            if sys.stdout is not None:  # it is None if it was closed from the start
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader of standard output has closed it (as head does). Python flushes standard
        # output at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED


def _run(arguments):
    parser = options.parser(
        "fastbp",
        "Backpropagation on CPUs, fast: train networks on tables, use them, ship them.",
        EXAMPLES,
        "Exit codes: 0 good, 1 failed, 2 wrong usage. fastbp COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for module in (train, predicting, shipping, comparing, doctor):
        module.add(commands)
    if "_ARGCOMPLETE" in os.environ:  # the shell requests completions
        import argcomplete

        argcomplete.autocomplete(parser)
    chosen, rest = parser.parse_known_args(arguments)
    if chosen.command == "bench":
        chosen.rest = rest
    elif rest:
        getattr(chosen, "parser", parser).error(f"unrecognized arguments: {' '.join(rest)}")
    if chosen.command is None:
        print(GUIDE)
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return chosen.run(chosen)
    except KeyboardInterrupt:
        options.note("interrupted")
        return 130
    except options.WrongUsage as error:
        chosen.parser.error(str(error))
    except EXPECTED as error:
        if isinstance(error, BrokenPipeError) and not error.filename:  # of standard output
            raise
        options.note(_text(error))
        return 1


def _text(error):
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _show_warning(message, category, filename, lineno, file=None, line=None):
    options.note(f"warning: {message}")
