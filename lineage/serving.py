"""What a child is asked: a hostile query takes its time and memory, and nobody else's."""

from __future__ import annotations

from typing import Any

from children import child
from lineage.query import Column, UnreadableQuery, columns_of, tables_of


def tables(sql: str, dialect: str) -> list[list[str | None]]:
    """Return the tables that a query names: schema or None, and name. None where it is none."""
    try:
        return [list(named) for named in tables_of(sql, dialect)]
    except UnreadableQuery as unreadable:
        raise child.Failure("unreadable", str(unreadable)) from unreadable


def columns(
    sql: str,
    dialect: str,
    tables: dict[str, dict[str, list[str]]],
    search_path: list[str],
    names: list[str] | None,
) -> list[dict[str, Any]]:
    """Return the columns of a query with where they come from."""
    try:
        found = columns_of(
            sql, dialect, tables, search_path=search_path, names=names, indirect=True
        )
    except UnreadableQuery as unreadable:
        raise child.Failure("unreadable", str(unreadable)) from unreadable
    return [_plain(column) for column in found]


def _plain(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "transformation": column.transformation,
        "sources": [[one.schema, one.table, one.column] for one in column.sources],
        "indirect": [[one.schema, one.table, one.column] for one in column.indirect],
    }
