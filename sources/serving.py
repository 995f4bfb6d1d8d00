"""What a child can be asked: each function opens a session, or uses the one that is open.

A child holds one session at most, of the first parameters that it was given. What is returned is
JSON; what goes wrong is a Failure that `asking` turns back into the error it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TypeVar

from children import child
from sources.clock import Clock
from sources.contract import Driver, Json, Relations, Session, SourceParams
from sources.errors import (
    QueryFailed,
    SourceError,
    SourceUnreachable,
    StatementRefused,
    to_json,
)
from sources.mysql import MYSQL
from sources.mysql.driver import MySQLDriver
from sources.postgresql import POSTGRESQL
from sources.postgresql.driver import PostgresDriver
from sources.text import check_runs, plain

T = TypeVar("T")

DRIVERS: dict[str, Driver] = {
    MYSQL.name: MySQLDriver(),
    POSTGRESQL.name: PostgresDriver(),
}

_open: Session | None = None


def facts(params: dict[str, Json], timeout_s: float) -> Json:
    """Tell who answers, by a session of its own."""
    with _errors_told():
        given, clock = SourceParams.from_json(params), Clock(timeout_s)
        session = DRIVERS[given.kind].open(given, clock)
        child.before_stop(session.cancel)
        clock.stage = "query"
        found = session.facts(clock.remaining_s())
        session.close()
        return asdict(found)


def read(params: dict[str, Json], timeout_s: float, sql: str, limit_rows: int) -> Json:
    """Return a statement's first rows."""
    result = _use(params, timeout_s, lambda s, left_s: s.read(plain(sql), limit_rows, left_s))
    return {
        "columns": [(column.name, column.data_type) for column in result.columns],
        "rows": result.rows,
        "truncated": result.truncated,
    }


def describe(params: dict[str, Json], timeout_s: float, sql: str) -> Json:
    """Return the columns of a statement."""
    found = _use(params, timeout_s, lambda s, left_s: s.describe(plain(sql), left_s))
    return [asdict(column) for column in found]


def survey(params: dict[str, Json], timeout_s: float, sql: str, names: list[list[Json]]) -> Json:
    """Return the columns of a statement, and the tables that it names, as far as those are told."""

    def work(session: Session, left_s: float) -> Json:
        check_runs(plain(sql))
        columns = [asdict(column) for column in session.describe(plain(sql), left_s)]
        session.reset()
        try:
            known = session.relations([(schema, name) for schema, name in names], left_s)
        except QueryFailed:
            known = Relations()
        return {"columns": columns, **asdict(known)}

    return _use(params, timeout_s, work)


def tables(params: dict[str, Json], timeout_s: float) -> Json:
    """Return the tables and views that the account may read."""
    return [asdict(table) for table in _use(params, timeout_s, lambda s, left_s: s.tables(left_s))]


def table_columns(params: dict[str, Json], timeout_s: float, name: str) -> Json:
    """Return the columns of "table" or "schema.table"; a name with a dot is looked for whole."""

    def work(session: Session, left_s: float) -> Json:
        found = session.table_columns(None, name, left_s)
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if found:
                break
            schema, table = ".".join(parts[:cut]), ".".join(parts[cut:])
            session.reset()
            found = session.table_columns(schema, table, left_s)
        return [asdict(column) for column in found]

    return _use(params, timeout_s, work)


def check(sql: str, kind: str, runs: bool = False) -> None:
    """Judge a statement without a connection; of one that `runs`, whether it gives rows."""
    with _errors_told():
        DRIVERS[kind].check_statement(plain(sql))
        if runs:
            check_runs(plain(sql))


def _use(params: dict[str, Json], timeout_s: float, work: Callable[[Session, float], T]) -> T:
    """Run `work` with the open session; one that died while it was idle is replaced, once."""
    with _errors_told():
        given, kept = SourceParams.from_json(params), _open is not None and _open.ready()
        # What the host takes for granted needs no note.
        clock = Clock(timeout_s, "query" if kept else "")
        try:
            return _work(given, clock, work)
        except SourceUnreachable:
            if not kept:
                raise
        return _work(given, clock, work)


def _work(params: SourceParams, clock: Clock, work: Callable[[Session, float], T]) -> T:
    session = _session(params, clock)
    clock.stage = "query"
    try:
        result = work(session, clock.remaining_s())
    except (QueryFailed, StatementRefused):
        child.after_answer(_reset)
        raise
    except BaseException:
        child.after_answer(_close)
        raise
    child.after_answer(_reset)
    return result


def _session(params: SourceParams, clock: Clock) -> Session:
    global _open
    if _open is not None and not _open.ready():
        _close()
    if _open is None:
        _open = DRIVERS[params.kind].open(params, clock)
        child.before_stop(_open.cancel)
    return _open


def _reset() -> None:
    if _open is not None and not _open.reset():
        _close()


def _close() -> None:
    global _open
    session, _open = _open, None
    child.before_stop(None)
    if session is not None:
        session.close()


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except SourceError as exc:
        raise child.Failure(*to_json(exc)) from exc
