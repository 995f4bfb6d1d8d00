"""The window of a slot in a query: `{{slot_start}}` and `{{slot_end}}` become moments.

They are left alone inside of quotes, quoted names and comments. Nothing here asks a server: the
statement that comes out is judged and run like any other.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

NAMES = ("slot_start", "slot_end")
LAST_MYSQL_SECOND = 2**31 - 1

_PLACEHOLDER = r"(?P<placeholder>\{\{(?:slot_start|slot_end)\}\})"
_POSTGRESQL = re.compile(
    rf"""
    {_PLACEHOLDER}
  | --[^\n]* | (?P<block>/\*)
  | (?<![A-Za-z0-9_$\x80-\U0010ffff])[eE]'(?:[^'\\]|''|\\.)*'? | '(?:[^']|'')*'? | "(?:[^"]|"")*"?
  | (?<![A-Za-z0-9_$\x80-\U0010ffff])
    \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?)\$ (?:.*?\$(?P=tag)\$|.*)
  | .
    """,
    re.VERBOSE | re.DOTALL,
)
_MYSQL = re.compile(
    rf"""
    {_PLACEHOLDER}
  | (?:\#|--(?=[\x00-\x20\x7f]|\Z))[^\n]* | /\*(?:.*?\*/|.*)
  | '(?:[^'\\]|''|\\.)*'? | "(?:[^"\\]|""|\\.)*"? | `(?:[^`]|``)*`?
  | .
    """,
    re.VERBOSE | re.DOTALL,
)


def fill(sql: str, kind: str, start: datetime, end: datetime) -> str:
    """Return a query with the moments of its window in the place of its placeholders.

    `kind` is that of the source; both moments are aware.
    """
    if "{{slot_" not in sql:
        return sql
    literal = _in_mysql if kind == "mysql" else _in_postgresql
    moments = {"{{slot_start}}": literal(start), "{{slot_end}}": literal(end)}
    pattern = _MYSQL if kind == "mysql" else _POSTGRESQL
    pieces, at = [], 0
    while found := pattern.match(sql, at):
        at = found.end()
        if found.groupdict().get("block"):
            at = _end_of_comment(sql, at)
        pieces.append(moments.get(found.group(), sql[found.start() : at]))
    return "".join(pieces)


def fill_last_day(sql: str, kind: str, now: datetime) -> str:
    """Return a query filled with the day that ends `now`: what stands for no slot reads that."""
    return fill(sql, kind, now - timedelta(days=1), now)


def _end_of_comment(sql: str, at: int) -> int:
    """Return where PostgreSQL's comment ends that has opened before `at`: they nest."""
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return len(sql)


def _in_postgresql(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{_text(moment)}+00'"


def _in_mysql(moment: datetime) -> str:
    """Return a moment on the clock of the session; beyond what MySQL converts, in UTC."""
    seconds = moment.timestamp()
    if not 0 <= seconds <= LAST_MYSQL_SECOND:
        return f"TIMESTAMP '{_text(moment)}'"
    return (
        f"FROM_UNIXTIME({seconds:.6f})" if moment.microsecond else f"FROM_UNIXTIME({seconds:.0f})"
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
