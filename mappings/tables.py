"""The names of target tables."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
MAX_LENGTH = 63
OURS = ("_rejected", "_delta_log")
OUR_PREFIX = "_etl_"


def problem_of(name: str) -> str | None:
    """Return why a table cannot be called so; None where it can."""
    if not NAME.fullmatch(name):
        return "Expected up to 63 letters, digits and _ of ASCII, the first one no digit."
    if name in OURS or name.startswith(OUR_PREFIX):
        return f"The service keeps {', '.join(OURS)} and {OUR_PREFIX}… for itself."
    return None


def default_name(schema_name: str) -> str:
    """Return the table of a schema: its name, each other character as `_`."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", schema_name)
    return (f"_{name}" if name[:1].isdigit() else name)[:MAX_LENGTH]
