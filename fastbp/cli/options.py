"""Parsing of options and formatting of the help, shared by all commands."""

import argparse
import contextlib
import difflib
import io
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

from ..basis import checks, names

PICTURES = (".png", ".svg", ".pdf")
PAGES = (".html", ".htm")
LARGEST = 1e30  # of the numbers that trainings take


class WrongUsage(argparse.ArgumentTypeError):
    """Options that cannot be combined, or an option without effect."""


def parser(name, description, examples, more=""):
    """Return the parser of the whole command line.

    Parameters
    ----------
    name, description : str
    examples : str
        Commands, one per line.
    more : str, default=""
        Text at the end of the help.
    """
    return Parser(**_texts(description, examples, more), prog=name)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that suggests the right names of misspelt options and commands."""

    def parse_known_args(self, args=None, namespace=None):
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message):
        super().error(message + "".join(f". {hint}" for hint in self._hints(message)))

    def _hints(self, message):
        """Yield suggestions for unknown options, and for a value that is no choice."""
        options = list(self._option_string_actions)
        for text in getattr(self, "_given", ()):
            name = text.partition("=")[0]
            known = any(option.startswith(name) for option in options)
            if name.startswith("--") and len(name) > 2 and not known:
                yield from suggestions(name, options)
        wrong = re.match("argument ([^:]+): invalid choice: '?([^' ]+)", message)
        if wrong:
            yield from self._other_choice(wrong[1], wrong[2], "maybe you meant" in message)

    def _other_choice(self, argument, name, has_hint):
        """Yield what to write instead of a name that is no choice of an argument.

        From Python 3.14 on, argparse's message itself `has_hint` of similar names.
        """
        named = {"/".join(a.option_strings) or a.metavar or a.dest: a for a in self._actions}
        choices = named[argument].choices or ()
        here, remark = names.elsewhere(argument.removeprefix("--"), name)
        if here or remark:
            yield f"Did you mean {here!r}?" if here else remark
        elif not has_hint:
            yield from suggestions(name, [str(each) for each in choices])


def suggestions(name, known):
    """Return a question with the known name that is most like a name, or nothing."""
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return [f"Did you mean {lower[found[0]]!r}?"] if found else []


def add_command(commands, name, run, *, help, description, examples, **more):
    """Return a new parser for one command, which ``run(options)`` executes."""
    command = commands.add_parser(name, help=help, **_texts(description, examples), **more)
    command.set_defaults(run=run, parser=command)
    return command


def add_argument(command, *names, completer, **more):
    """Add an argument for whose values a shell offers what `completer` returns."""
    command.add_argument(*names, **more).completer = completer


def _texts(description, examples, more=""):
    lines = examples.strip().splitlines()
    title = "example:" if len(lines) == 1 else "examples:"
    epilog = "\n".join([title, *(f"  {line}" for line in lines)])
    return {
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "description": filled(description),
        "epilog": epilog + (f"\n\n{filled(more)}" if more else ""),
    }


def filled(text, indent=""):
    """Wrap a text to the terminal's width, and indent all lines but the first.

    Control characters, which text from files may contain, become spaces.
    """
    text = printable(text)
    width = max(20, min(shutil.get_terminal_size().columns, 100) - 1)
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def printable(text):
    """Return a text with spaces instead of control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def shortened(value, width=12):
    """Return a value as text, cut off if it is longer than this."""
    text = str(value)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def note(text):
    """Print a note to standard error, separate from the command's output."""
    status("")
    text = "\n".join(printable(line) for line in str(text).splitlines())
    print(f"fastbp: {text}", file=sys.stderr, flush=True)


def status(text):
    """Show what is being done, in a terminal only; the next call replaces it, "" removes it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def escaping(stream):
    """Write characters that the encoding of a stream lacks as escapes, as standard error does."""
    if not isinstance(stream, io.TextIOWrapper) or stream.errors != "strict":
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors="strict")


def require_file(path):
    """Raise FileNotFoundError unless there is a file to read."""
    if not path.is_file():
        what = "does not exist"
        if path.exists():
            what = "is a folder" if path.is_dir() else "is a device or a pipe"
        raise FileNotFoundError(f"the file {str(path)!r} {what}")


# Types for argparse: functions that convert an option's text, or raise an error.


def new_file(text):
    """A path to write to."""
    if text == "-":
        raise WrongUsage("expected the name of a file, got '-'; for a file of that name write ./-")
    if not Path(text).name or text.endswith(("/", os.sep)):
        raise WrongUsage(f"expected the name of a file, got the name of a folder, {text!r}")
    return Path(text)


def picture(text):
    """A path to write a picture to."""
    path = new_file(text)
    if path.suffix.lower() not in PICTURES:
        raise WrongUsage(
            f"unknown kind of picture {text!r}; it must end in one of {', '.join(PICTURES)}"
        )
    return path


def page(text):
    """A path to write a page of HTML to."""
    path = new_file(text)
    if path.suffix.lower() not in PAGES:
        raise WrongUsage(f"unknown kind of page {text!r}; it must end in one of {', '.join(PAGES)}")
    return path


def whole_number(text):
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def threads(text):
    """A number of threads."""
    number = whole_number(text)
    if number > checks.MOST_THREADS:
        raise argparse.ArgumentTypeError(f"expected at most {checks.MOST_THREADS}, got {text!r}")
    return number


def seed(text):
    """A seed for NumPy's RandomState: a whole number below 2³²."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2³²-1, got {text!r}")
    return int(text)


def _number(text):
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def positive(text):
    """A number above 0 that float32 has, too."""
    number = _number(text)
    if not 0 < number <= LARGEST:
        raise argparse.ArgumentTypeError(
            f"expected a number above 0 and at most {LARGEST:g}, got {text}"
        )
    return number


def not_negative(text):
    """A number of at least 0 that float32 has, too."""
    number = _number(text)
    if not 0 <= number <= LARGEST:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {LARGEST:g}, got {text}")
    return number


def fraction(text):
    """A number from 0 to below 1."""
    number = _number(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text}")
    return number


def sizes(text):
    """Sizes of hidden layers, such as 64,32; none for the empty text or "none"."""
    return [] if text in ("", "none") else _sizes(text, "64,32, or none")


def layer_sizes(text):
    """Sizes of all layers, such as 64,32,10: of the inputs, hidden layers and outputs."""
    found = _sizes(text, "64,64,10")
    if len(found) < 2:
        raise argparse.ArgumentTypeError(
            f"expected at least two sizes, those of the inputs and outputs, got {text!r}"
        )
    return found


def _sizes(text, example):
    try:
        found = [whole_number(size.strip()) for size in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"expected sizes separated by commas, such as {example}, got {text!r}"
        ) from None
    if max(found) > checks.MOST:
        raise argparse.ArgumentTypeError(f"expected sizes up to {checks.MOST}, got {text!r}")
    return found
