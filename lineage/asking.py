"""The service's side: queries are read in a child that is given up when it takes too long.

Nothing here loads the parser.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from children.host import ChildError, ChildFailed, Host
from children.limits import Limits
from children.pool import Pool, PoolLimits

SERVING = "lineage.serving"
READ_S = 2.0
INTRICATE = "The query is too intricate for its lineage to be told."

host = Host([SERVING])
readers = Pool(
    host,
    PoolLimits(per_key=2, idle_s=60),
    child_limits=Limits(memory_mib=512),
    kept_after=frozenset(("unreadable",)),
)


class NoLineage(Exception):
    """The lineage of a query cannot be told; `message` is one sentence that says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def tables_of(sql: str, dialect: str) -> list[tuple[str | None, str]]:
    """Return the tables that a query names: schema, or None, and name. Raises NoLineage."""
    found = _ask("tables", {"sql": sql, "dialect": dialect})
    return [(schema, name) for schema, name in found]


def columns_of(
    sql: str,
    dialect: str,
    tables: Mapping[str, Mapping[str, Sequence[str]]],
    search_path: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the columns of a query: `name`, `transformation`, `sources` and `indirect`.

    A source is `[schema, table, column]`, its schema None where it is not known; the parameters
    are those of `lineage.columns_of`. Raises NoLineage.
    """
    found: list[dict[str, Any]] = _ask(
        "columns",
        {
            "sql": sql,
            "dialect": dialect,
            "tables": {schema: dict(of) for schema, of in tables.items()},
            "search_path": list(search_path),
            "names": None if names is None else list(names),
        },
    )
    return found


def _ask(call: str, arguments: Mapping[str, Any]) -> Any:
    with _given_up(), readers.child("lineage", time.monotonic() + READ_S) as reader:
        # What the start of a process takes says nothing of the query.
        return reader.ask(f"{SERVING}:{call}", arguments, time.monotonic() + READ_S)


@contextmanager
def _given_up() -> Iterator[None]:
    try:
        yield
    except ChildFailed as failed:
        said = failed.details if failed.code == "unreadable" else INTRICATE
        raise NoLineage(said) from failed
    except ChildError as late:
        raise NoLineage(INTRICATE) from late
