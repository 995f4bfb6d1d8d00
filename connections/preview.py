"""Run a query that only reads and show its first rows; list what there is to query.

Three walls stand between a stranger's SQL and the source: the statement guard, a read-only
session with a time limit, and the account's own rights, which the documentation asks to keep
small.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .drivers import open_session
from .drivers.base import Json, Result, Session, SourceParams, Table, TableColumn
from .drivers.errors import SourceTimeout, TooManyPreviews
from .drivers.pool import Limits, Pool
from .drivers.watch import Watch
from .slots import Slots
from .statement import check_statement

T = TypeVar("T")
Cancelled = Callable[[], bool] | None

pool = Pool(open_session)
slots = Slots(32, TooManyPreviews, "queries", number=1)


@dataclass(frozen=True)
class Preview:
    """A query's first rows.

    `columns` are the names in order, and can repeat; `column_types` the fitting schema types,
    None where none fits; each row a list of JSON values. `truncated` tells exactly whether the
    query has further rows.
    """

    columns: list[str]
    column_types: list[str | None]
    rows: list[list[Json]]
    row_count: int
    truncated: bool
    elapsed_ms: float


def configure(max_previews: int | None = None, limits: Limits | None = None) -> None:
    """Set how many queries may run at once in all workers, and how many sessions are kept."""
    slots.limit = max_previews or slots.limit
    pool.limits = limits or pool.limits


def run_preview(
    params: SourceParams,
    sql: str,
    limit_rows: int = 100,
    timeout_s: float = 5.0,
    cancelled: Cancelled = None,
) -> Preview:
    """Return the first rows of one statement that only reads, within `timeout_s` in all.

    `cancelled` is asked about every 50 ms; once it says True the query is stopped. What is
    stopped is also cancelled in the database.

    Raises StatementRefused, QueryFailed, AnswerTooLarge, SourceUnreachable, SourceTimeout,
    TooManyPreviews, RequestAborted.
    """
    started = time.monotonic()
    result = _read(params, sql, limit_rows, timeout_s, cancelled)
    return Preview(
        columns=[column.name for column in result.columns],
        column_types=[column.data_type for column in result.columns],
        rows=result.rows,
        row_count=len(result.rows),
        truncated=result.truncated,
        elapsed_ms=round((time.monotonic() - started) * 1000, 2),
    )


def propose_schema(
    params: SourceParams, sql: str, timeout_s: float = 5.0, cancelled: Cancelled = None
) -> list[dict[str, str]]:
    """Return the columns of a schema that takes the query's rows: [{"name", "data_type"}].

    A column that no schema type fits becomes a string. A name that comes again, in whatever
    capitals, gets a number: name, name_2.

    Raises as run_preview does.
    """
    result = _read(params, sql, 0, timeout_s, cancelled)
    names = _distinct([column.name for column in result.columns])
    return [
        {"name": name, "data_type": column.data_type or "string"}
        for name, column in zip(names, result.columns, strict=True)
    ]


def _distinct(names: list[str]) -> list[str]:
    """Return the names trimmed, none empty, over 100 characters or twice, ignoring case."""
    taken: set[str] = set()
    found = []
    for position, name in enumerate(names, start=1):
        base = name.strip()[:90] or f"column_{position}"
        candidate, number = base, 2
        while candidate.lower() in taken:
            candidate, number = f"{base}_{number}", number + 1
        taken.add(candidate.lower())
        found.append(candidate)
    return found


def list_tables(
    params: SourceParams, timeout_s: float = 5.0, cancelled: Cancelled = None
) -> list[Table]:
    """List the tables and views that the account may read, by schema and name.

    Raises QueryFailed, SourceUnreachable, SourceTimeout, TooManyPreviews, RequestAborted.
    """
    watch = Watch.seconds(timeout_s, cancelled)
    with slots.take():
        return _use(params, timeout_s, watch, lambda session: session.tables())


def describe_table(
    params: SourceParams, name: str, timeout_s: float = 5.0, cancelled: Cancelled = None
) -> list[TableColumn]:
    """Describe the columns of `name`, "table" or "schema.table"; empty where there is none.

    A name that itself contains a dot is looked for whole first.
    """

    def describe(session: Session) -> list[TableColumn]:
        found = session.table_columns(None, name)
        if not found and "." in name:
            schema, _, table = name.partition(".")
            found = session.table_columns(schema, table)
        return found

    watch = Watch.seconds(timeout_s, cancelled)
    with slots.take():
        return _use(params, timeout_s, watch, describe)


def _read(
    params: SourceParams, sql: str, limit_rows: int, timeout_s: float, cancelled: Cancelled
) -> Result:
    """Read a statement's first rows; a long one takes some of the time to be checked."""
    watch = Watch.seconds(timeout_s, cancelled)
    with slots.take():
        check_statement(sql, params.kind)
        return _use(params, timeout_s, watch, lambda session: session.read(sql, limit_rows))


def _use(params: SourceParams, timeout_s: float, watch: Watch, work: Callable[[Session], T]) -> T:
    try:
        return pool.use(params, watch, work)
    except SourceTimeout as exc:
        if exc.stage != "query":
            raise
        raise SourceTimeout(
            f"The query did not end within {timeout_s:g} s and was cancelled.",
            hint="Select fewer rows, or filter on an indexed column.",
            stage="query",
        ) from exc
