"""How the launchers speak: one line a step, and one line when something is wrong."""

import sys


class LauncherError(Exception):
    """Something a person has to mend; the message says what and how."""


def say(text: str) -> None:
    """Print a step. It goes to standard error, so that a command's own output stays pure."""
    print(f"• {text}", file=sys.stderr, flush=True)


def fail(error: LauncherError) -> int:
    """Print the one line that says what is wrong; return the exit code that goes with it."""
    print(f"✗ {error}", file=sys.stderr, flush=True)
    return 1
