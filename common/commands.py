"""The base of the operators' commands: help with examples, progress, exit codes, a calm Ctrl-C.

What other programs stored, or answered, goes to a terminal through `tell` and `offenders` alone:
nothing in it moves the cursor or hides.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TextIO, cast

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db import DatabaseError
from pymongo.errors import PyMongoError

from common.context import of_command, use
from common.documents import names, store
from common.exceptions import ServiceError

STORE_UNAVAILABLE = 3
INTERRUPTED = 130
UNREAD = 141
EVERY_COMMAND = {
    2: "the command line makes no sense",
    STORE_UNAVAILABLE: "the store does not answer",
    INTERRUPTED: "stopped by Ctrl-C",
}


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's order of options, with the lines of the examples left as they are."""


class OperatorCommand(BaseCommand):
    """A command whose help shows examples and exit codes, and whose end is never a traceback."""

    examples: ClassVar[tuple[str, ...]] = ()
    exit_codes: ClassVar[Mapping[int, str]] = {0: "done"}
    when_stopped: ClassVar[str] = "The store is consistent; run the command again to go on."
    """What Ctrl-C leaves; the last words of a command that was stopped."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs["formatter_class"] = HelpFormatter
        kwargs["epilog"] = self._epilog(prog_name, subcommand)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def _epilog(self, prog_name: str, subcommand: str) -> str:
        program = f"python {prog_name} {subcommand}"
        codes = sorted({**self.exit_codes, **EVERY_COMMAND}.items())
        lines = ["examples:", *(f"  {program} {example}".rstrip() for example in self.examples)]
        lines += ["", "exit codes:", *(f"  {code:<4} {meaning}" for code, meaning in codes)]
        return "\n".join(lines)

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
            sys.stdout.flush()
        except KeyboardInterrupt:
            self.stderr.write(f"\nStopped. {self.when_stopped}")
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever reads the output, such as `head`, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(UNREAD)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            with use(of_command()):
                return super().execute(*args, **options)
        except ServiceError as refusal:
            raise CommandError(names.printable(refusal.detail)) from refusal
        except (PyMongoError, DatabaseError) as failure:
            if store.is_unavailable(failure) or store.is_unavailable(failure.__cause__):
                raise unavailable() from failure
            raise

    def tell(self, line: str) -> None:
        """Print one line; what other programs stored in a name cannot move the cursor."""
        self.stdout.write(names.printable(line))

    def write_json(self, value: Any) -> None:
        """Print a result for a program: the only thing on standard output.

        It is exact: what a terminal would obey is spelled as JSON spells it.
        """
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        self.stdout.write("".join(_in_json(character) for character in text))

    def progress(self, label: str, total: int) -> "Progress":
        return Progress(label, total, cast(TextIO, self.stderr._out))


def _in_json(character: str) -> str:
    is_harmless = character == "\n" or names.printable(character) == character
    return character if is_harmless else json.dumps(character).strip('"')


def unavailable() -> CommandError:
    return CommandError(
        "The store does not answer. Start it, or set MONGODB_URL to where it is, and run the "
        "command again.",
        returncode=STORE_UNAVAILABLE,
    )


def offenders(sentence: str, lines: Iterable[str]) -> CommandError:
    """Return the failure that names everything that is wrong, one a line."""
    shown = [names.printable(sentence), *(f"  {names.printable(line)}" for line in lines)]
    return CommandError("\n".join(shown))


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return the `type` of an option that is a whole number of this range."""

    def read(text: str) -> int:
        if not (text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(most: float, or_none: bool = False) -> Callable[[str], float]:
    """Return the `type` of an option that is a time, up to `most`; 0 is one only `or_none`."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not (0 < found <= most or (or_none and found == 0)):
            least = "0 or more" if or_none else "more than 0"
            raise argparse.ArgumentTypeError(f"expected seconds, {least} and up to {most:g}")
        return found

    return read


class Progress:
    """How far long work has come: a bar on a terminal, elsewhere a plain line now and then.

    Work that ends before the first line is due says nothing.
    """

    WIDTH = 30
    BAR_EVERY_S = 0.1
    LINE_EVERY_S = 5.0

    def __init__(self, label: str, total: int, out: TextIO) -> None:
        self.label, self.total, self.out = label, total, out
        self.done = 0
        self._bar = out.isatty()
        self._every_s = self.BAR_EVERY_S if self._bar else self.LINE_EVERY_S
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar:
            self.out.write("\r\x1b[K")
            self.out.flush()

    def advance(self, count: int = 1) -> None:
        self.done += count
        if time.monotonic() - self._shown >= self._every_s:
            self._shown = time.monotonic()
            self._show()

    def _show(self) -> None:
        rate = self.done / max(time.monotonic() - self._started, 0.001)
        counts = f"{self.done:,} of {max(self.total, self.done):,}, {rate:,.0f}/s"
        if self._bar:
            filled = self.WIDTH * self.done // max(self.total, self.done, 1)
            bar = "█" * filled + "·" * (self.WIDTH - filled)
            self.out.write(f"\r\x1b[K{self.label} {bar} {counts}")
        else:
            self.out.write(f"{self.label}: {counts}\n")
        self.out.flush()
