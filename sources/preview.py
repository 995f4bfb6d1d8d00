"""Run a query that only reads and show its first rows; list what there is to query.

Three walls stand between a stranger's SQL and the source: the statement guard, a read-only
session with a time limit, and the account's own rights, which the documentation asks to keep
small.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sources import asking
from sources.contract import (
    Json,
    Named,
    Relation,
    Relations,
    ResultColumn,
    SourceParams,
    Table,
    TableColumn,
)


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


def run_preview(
    params: SourceParams,
    sql: str,
    limit_rows: int = 100,
    timeout_s: float = 5.0,
    client: str = "",
) -> Preview:
    """Return the first rows of one statement that only reads, within `timeout_s` in all.

    What takes longer is also cancelled in the database. `client` is who asks: nobody's queries
    keep the others out.

    Raises StatementRefused, QueryFailed, AnswerTooLarge, SourceUnreachable, SourceTimeout,
    TooManyPreviews.
    """
    started = time.monotonic()
    with asking.place_for_query(params, client) as late_s:
        found = asking.pooled("read", params, timeout_s - late_s, sql=sql, limit_rows=limit_rows)
    return Preview(
        columns=[name for name, _ in found["columns"]],
        column_types=[data_type for _, data_type in found["columns"]],
        rows=found["rows"],
        row_count=len(found["rows"]),
        truncated=found["truncated"],
        elapsed_ms=round((time.monotonic() - started) * 1000, 2),
    )


def describe(
    params: SourceParams, sql: str, timeout_s: float = 5.0, client: str = ""
) -> list[ResultColumn]:
    """Return a statement's columns, with the types of the database, and read no row.

    Raises as run_preview does.
    """
    with asking.place_for_query(params, client) as late_s:
        found = asking.pooled("describe", params, timeout_s - late_s, sql=sql)
    return [ResultColumn(**column) for column in found]


@dataclass(frozen=True)
class Survey:
    """What a query returns, and what the tables are that it names."""

    columns: tuple[ResultColumn, ...]
    relations: Relations


def survey(
    params: SourceParams,
    sql: str,
    names: Sequence[Named] = (),
    timeout_s: float = 3.0,
    client: str = "",
) -> Survey:
    """Return a statement's columns, and of the tables `names` those that the source knows.

    No row is read. Raises as run_preview does.
    """
    with asking.place_for_query(params, client) as late_s:
        found = asking.pooled("survey", params, timeout_s - late_s, sql=sql, names=list(names))
    relations = [
        Relation(one["schema"], one["name"], tuple(one["columns"])) for one in found["found"]
    ]
    return Survey(
        tuple(ResultColumn(**column) for column in found["columns"]),
        Relations(tuple(found["search_path"]), tuple(relations)),
    )


def propose_schema(
    params: SourceParams, sql: str, timeout_s: float = 5.0, client: str = ""
) -> list[dict[str, str]]:
    """Return the columns of a schema that takes the query's rows: [{"name", "data_type"}].

    A column that no schema type fits becomes a string. A name that comes again, in whatever
    capitals, gets a number: name, name_2.

    Raises as run_preview does.
    """
    columns = describe(params, sql, timeout_s, client)
    names = _distinct([column.name for column in columns])
    return [
        {"name": name, "data_type": column.data_type or "string"}
        for name, column in zip(names, columns, strict=True)
    ]


def list_tables(params: SourceParams, timeout_s: float = 5.0, client: str = "") -> list[Table]:
    """List the tables and views that the account may read, by schema and name.

    Raises QueryFailed, SourceUnreachable, SourceTimeout, TooManyPreviews.
    """
    with asking.place_for_query(params, client) as late_s:
        return [Table(**table) for table in asking.pooled("tables", params, timeout_s - late_s)]


def describe_table(
    params: SourceParams, name: str, timeout_s: float = 5.0, client: str = ""
) -> list[TableColumn]:
    """Describe the columns of `name`, "table" or "schema.table"; empty where there is none.

    A name that itself contains a dot is looked for whole first. Raises as list_tables does.
    """
    with asking.place_for_query(params, client) as late_s:
        found = asking.pooled("table_columns", params, timeout_s - late_s, name=name)
    return [TableColumn(**column) for column in found]


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
