"""The command line: ``fastbp``, or ``python -m fastbp``.

Each file has a few commands: `add` describes them to argparse, other functions run them. Modules
that take long to import are imported only by the commands that need them.
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
        By default those of the process.

    Returns
    -------
    int
        The exit code: 0 if all went well, 1 if not, 130 after Ctrl-C. Wrong usage raises
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
    if "_ARGCOMPLETE" in os.environ:  # the shell asks for completions
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
        if error.filename:  # a pipe that a file was to go to
            print(f"fastbp: {_text(error)}", file=sys.stderr)
            return 1
        # Whoever read the output has seen enough.
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
