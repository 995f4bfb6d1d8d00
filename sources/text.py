"""What holds for a statement in every language, and how a refusal names its place."""

from __future__ import annotations

import re

from sources.errors import StatementRefused

MAX_CHARACTERS = 100_000
MAX_DEPTH = 500

ACCEPTED = "A query is one SELECT, WITH … SELECT, VALUES, TABLE, SHOW or plain EXPLAIN statement"

_SURROGATE = re.compile("[\ud800-\udfff]")


_SHOWN = re.compile(
    r"(?>\s+|--[^\n]*|\#[^\n]*|/\*(?:[^*]|\*(?!/))*\*/|\()*+(show|explain|describe|desc)\b",
    re.IGNORECASE,
)


def check_runs(sql: str) -> None:
    """Raise StatementRefused for what tells of the database, and gives no rows to a run."""
    if found := _SHOWN.match(sql):
        raise refusal(
            sql,
            f"{found[1].upper()} can be previewed, but a mapping runs a SELECT, WITH … SELECT, "
            "VALUES or TABLE statement",
            found.start(1),
        )


def plain(sql: str) -> str:
    """Return a statement without the byte order mark that some editors write in front."""
    return sql.removeprefix("\ufeff")


def check_text(sql: str) -> None:
    """Raise StatementRefused for what no parser should be given."""
    if len(sql) > MAX_CHARACTERS:
        raise StatementRefused(
            f"The query has {len(sql):,} characters; at most {MAX_CHARACTERS:,} are accepted."
        )
    if "\0" in sql:
        raise refusal(sql, "The query contains a NUL character", sql.index("\0"))
    if _SURROGATE.search(sql):
        raise StatementRefused("The query is not valid Unicode: it contains half a surrogate pair.")


def refusal(sql: str, reason: str, start: int | None = None) -> StatementRefused:
    """Return the verdict, with the line and column of the character `start`, counted from 0."""
    if start is None:
        return StatementRefused(f"{reason}.")
    line = sql.count("\n", 0, start) + 1
    column = start - (sql.rfind("\n", 0, start) + 1) + 1
    return StatementRefused(f"{reason} (line {line}, column {column}).", line=line, column=column)
