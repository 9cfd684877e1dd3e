"""The command line: ``fastbp``, or ``python -m fastbp``.

Each module defines a few commands: `add` registers them with argparse, other functions run them.
Slow imports are done only by the commands that need them.
"""

import os
import sys
import warnings

from . import comparing, doctor, options, predicting, shipping, train

EXAMPLES = """
fastbp train titanic.csv --target survived
fastbp predict titanic.safetensors passengers.csv --output predictions.csv
fastbp doctor
"""
# Expected errors: exit code 1 and a message. Any other error is a bug and shows a traceback.
EXPECTED = (ValueError, ImportError, ArithmeticError, OSError, MemoryError)


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        The arguments; by default ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit code: 0 on success, 1 on failure, 130 after Ctrl-C. Wrong usage raises
        SystemExit(2), as argparse does.
    """
    parser = options.parser(
        "fastbp",
        "Backpropagation on CPUs, fast: train networks on tables, use them, ship them.",
        EXAMPLES,
        "Exit codes: 0 good, 1 failed, 2 wrong usage. fastbp COMMAND --help says more.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (train, predicting, shipping, comparing, doctor):
        module.add(commands)
    if "_ARGCOMPLETE" in os.environ:  # the shell requests completions
        import argcomplete

        argcomplete.autocomplete(parser)
    chosen, rest = parser.parse_known_args(arguments)
    if chosen.command == "bench":
        chosen.rest = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = chosen.run(chosen)
            sys.stdout.flush()
            return code
    except BrokenPipeError as error:
        if error.filename:  # an output file that is a pipe, not standard output
            print(f"fastbp: {_text(error)}", file=sys.stderr)
            return 1
        # The reader of standard output has closed it (as head does). Python flushes standard
        # output at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("fastbp: interrupted", file=sys.stderr)
        return 130
    except options.WrongUsage as error:
        parser.error(str(error))
    except EXPECTED as error:
        print(f"fastbp: {_text(error)}", file=sys.stderr)
        return 1


def _text(error):
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"fastbp: warning: {message}", file=sys.stderr)
