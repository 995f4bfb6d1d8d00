"""Open a source's query, and find how far a run reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.extract.contract import Extract, Window
from engine.extract.mysql import MySQLExtract
from engine.extract.postgresql import PostgresExtract
from engine.kinds import SourceColumn
from engine.load.contract import MOST_EDGE_ROWS, Cursor
from engine.part import Warned
from engine.plan import Plan
from sources.clock import Clock
from sources.contract import SourceParams
from sources.text import plain

EXTRACTS: dict[str, type[PostgresExtract] | type[MySQLExtract]] = {
    "postgresql": PostgresExtract,
    "mysql": MySQLExtract,
}


def open_extract(
    params: SourceParams, sql: str, most_bytes: int, clock: Clock, snapshot: str | None = None
) -> Extract:
    """Return a query, described and checked, in a snapshot of its own, or one that is shared.

    Raises SourceError.
    """
    if snapshot is not None:  # which PostgreSQL alone has
        return PostgresExtract(params, plain(sql), most_bytes, clock, snapshot)
    return EXTRACTS[params.kind](params, plain(sql), most_bytes, clock)


@dataclass(frozen=True)
class Reach:
    """How far a run reads: the plan with its cursor's ends, what is selected, and warnings."""

    plan: Plan
    window: Window | None
    warnings: list[Warned]


def reach(plan: Plan, extract: Extract, last: Cursor | None) -> Reach:
    """Return how far a run reads that goes on from `last`. Raises SourceError, Problem."""
    if plan.cursor is None:
        return Reach(plan, None, [])
    at = _position(extract.columns, plan.cursor.column)
    after = last.value if last else None
    until, warnings = extract.greatest(at, after, lag_s=plan.cursor.lag_s), []
    while until is not None and extract.count_at(at, until, MOST_EDGE_ROWS + 1) > MOST_EDGE_ROWS:
        warnings = [_ties(plan.cursor.column, until)]
        until = extract.greatest(at, after, below=until, lag_s=plan.cursor.lag_s)
    cursor = replace(plan.cursor, after=after, until=until)
    marks = extract.columns[at].kind == "text"
    window = Window(at, after, until, last is None, marks)
    return Reach(replace(plan, cursor=cursor), window, warnings)


def _ties(column: str, value: str) -> Warned:
    return Warned(
        "cursor_ties",
        f'More than {MOST_EDGE_ROWS} rows have the value {value} of "{column}": they are read '
        "when there is a greater one.",
    )


def _position(columns: Sequence[SourceColumn], name: str) -> int:
    return next(at for at, column in enumerate(columns) if column.name == name)
