"""What a session of MySQL or MariaDB does, by PyMySQL."""

from __future__ import annotations

import math
import re
import select
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from typing import Any, TypeVar

import pymysql

from sources import values
from sources.clock import Clock
from sources.contract import (
    Driver,
    Named,
    Relations,
    Result,
    ResultColumn,
    ServerFacts,
    Session,
    SourceParams,
    Table,
    TableColumn,
)
from sources.errors import (
    QueryFailed,
    SourceError,
    SourceTimeout,
    SourceUnreachable,
    too_many_rows,
)
from sources.mysql import catalogue, guard, login
from sources.mysql.login import error_number, said
from sources.mysql.values import FLOAT, database_type, kind_of, reader
from sources.mysql.wire import MySQLConnection
from sources.values import Budget

T = TypeVar("T")

KILL_S = 1.0
DRAIN_ROWS = 2000
MAX_CATALOG_ROWS = 200_000
COM_RESET_CONNECTION = 31

_TIMED_OUT = {1317, 1969, 3024}
_READ_ONLY = 1792
_HASH = re.compile(
    rb"(IDENTIFIED (?:BY PASSWORD|(?:VIA|WITH) [\w`']+ (?:USING|AS)) |\bOR [\w`']+ USING )'[^']*'",
    re.IGNORECASE,
)
_OWN = "SELECT @@sql_mode, @@sql_select_limit, {}"


class MySQLDriver(Driver):
    def open(self, params: SourceParams, clock: Clock) -> MySQLSession:
        with ExitStack() as stack:
            conn = login.log_in(params, clock, stack)
            return MySQLSession(params, conn, stack.pop_all())
        raise AssertionError("unreachable")

    def check_statement(self, sql: str) -> None:
        guard.check(sql)


class MySQLSession(Session):
    """A session of MySQL or MariaDB, with the settings that the account starts with."""

    def __init__(self, params: SourceParams, conn: MySQLConnection, resources: ExitStack) -> None:
        self.params = params
        self.conn = conn
        self.resources = resources
        self.thread_id = conn.thread_id()
        self.limit = _time_limit(conn)
        mode, rows, seconds = self.rows(_OWN.format(f"@@{self.limit}" if self.limit else "0"))[0]
        self.modes = guard.Modes.named(str(mode))
        self.own_rows = int(str(rows))
        self.own_limit = float(str(seconds))
        self.settings: list[str] = []
        self._prepare()

    # -- the contract

    def facts(self, timeout_s: float) -> ServerFacts:
        self._begin(timeout_s, 0)
        secure = bool(self.rows("SHOW STATUS LIKE 'Ssl_cipher'")[0][1])
        return catalogue.facts(self, secure)

    def tables(self, timeout_s: float) -> list[Table]:
        self._begin(timeout_s, 0)
        return catalogue.tables(self)

    def table_columns(self, schema: str | None, name: str, timeout_s: float) -> list[TableColumn]:
        self._begin(timeout_s, 0)
        return catalogue.table_columns(self, schema, name)

    def relations(self, names: list[Named], timeout_s: float) -> Relations:
        self._begin(timeout_s, 0)
        return catalogue.relations(self, names)

    def read(self, sql: str, limit_rows: int, timeout_s: float) -> Result:
        statement = guard.read(sql, self.modes)
        self._begin(timeout_s, limit_rows + 1)
        fields = self.select(sql)
        floats = [field.type_code == FLOAT for field in fields]
        if any(floats) and not statement.whole:
            exact = statement.with_exact_floats(floats, limit_rows + 1)
            fields = self._again(exact, fields, timeout_s)
        return self._result(fields, limit_rows, statement.whole)

    def describe(self, sql: str, timeout_s: float) -> list[ResultColumn]:
        _, fields = self._described(sql, timeout_s)
        return [
            ResultColumn(_name(field.name), reader(field)[1], database_type(field), kind_of(field))
            for field in fields
        ]

    def fields(self, sql: str, timeout_s: float) -> tuple[guard.Statement, list[Any]]:
        """Return a statement, checked, and the server's description of its columns."""
        statement, fields = self._described(sql, timeout_s)
        self._drained()
        return statement, fields

    def reset(self) -> bool:
        try:
            if self.conn.has_rows and not self._drained():
                return False
            self._trap(self._reset)
            self._prepare()
        except SourceError:
            return False
        return True

    def ready(self) -> bool:
        sock = getattr(self.conn, "_sock", None)
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return not poll.poll(0)  # whatever an idle server says is a farewell

    def cancel(self) -> None:
        """Kill the session from a second one: the server does not notice a reader's going."""
        with ExitStack() as stack:
            other = login.log_in(self.params, Clock(KILL_S), stack)
            other.query(f"KILL {self.thread_id}")

    def close(self) -> None:
        if self.conn._result is not None:
            self.conn._result.unbuffered_active = False  # else it is read to its end
        self.resources.close()

    # -- a statement

    def _prepare(self) -> None:
        """Set up what each use begins with, while nobody waits: transactions that only read, and
        the limits of the last use, which is most often like the next one.
        """
        settings = "".join(f", {setting}" for setting in self.settings)
        self._trap(lambda: self.conn.query(f"SET NAMES utf8mb4, autocommit=0{settings}"))
        self._trap(lambda: self.conn.query("SET SESSION TRANSACTION READ ONLY"))

    def _begin(self, timeout_s: float, rows: int) -> None:
        """Set the server's own limits of time and rows; with `rows` 0 the account's."""
        settings = [f"sql_select_limit={min(rows or self.own_rows, self.own_rows)}"]
        if self.limit:
            settings.append(f"{self.limit}={self._limit_value(timeout_s)}")
        if settings != self.settings:
            self._trap(lambda: self.conn.query(f"SET {', '.join(settings)}"))
            self.settings = settings

    def _limit_value(self, timeout_s: float) -> str:
        """Return the smaller one of our limit, in whole seconds, and the account's; 0 is none."""
        # MariaDB counts this timeout in seconds, MySQL its counterpart in milliseconds.
        ours = (math.ceil(timeout_s) + 0.5) * (1 if self.conn.is_mariadb else 1000)
        return f"{min(ours, self.own_limit or ours):g}"

    def select(self, sql: str) -> list[Any]:
        """Run a query and return the server's description of its columns; no row is read yet."""
        return self._trap(lambda: self.conn.select(sql))

    def _described(self, sql: str, timeout_s: float) -> tuple[guard.Statement, list[Any]]:
        statement = guard.read(sql, self.modes)
        self._begin(timeout_s, 1)
        try:
            return statement, self.select(sql if statement.whole else statement.without_rows())
        except QueryFailed:  # an old MySQL takes no limit behind a parenthesis
            return statement, self.select(sql)

    def _again(self, exact: str, fields: list[Any], timeout_s: float) -> list[Any]:
        """Run a query once more as `exact`: the text protocol shortens FLOATs, and DOUBLEs not."""
        if ":=" in exact or not self._drained():  # its variables have counted already
            self._reopen(timeout_s)
        found = self.select(exact)
        for field, first in zip(found, fields, strict=True):
            field.name = first.name
            field.is_float = first.type_code == FLOAT
        return found

    def _reopen(self, timeout_s: float) -> None:
        """Leave a connection that cannot be asked once more for a new one."""
        self.close()
        clock = Clock(timeout_s)
        with ExitStack() as stack:
            self.conn = login.log_in(self.params, clock, stack)
            self.resources = stack.pop_all()
        clock.stage = "query"
        self.thread_id = self.conn.thread_id()
        self._prepare()
        self._begin(timeout_s, 0)

    def _result(self, fields: list[Any], limit_rows: int, whole: bool) -> Result:
        readers = [reader(field) for field in fields]
        if whole:
            readers = [(_without_hashes(read), kind) for read, kind in readers]
        columns = tuple(
            ResultColumn(_name(field.name), kind)
            for field, (_, kind) in zip(fields, readers, strict=True)
        )
        budget = Budget(limit_rows)
        # A query with a limit of its own may have more, and slow ones.
        wanted = islice(self.conn.rows(len(fields)), limit_rows + 1)
        rows = values.read_rows(wanted, [read for read, _ in readers])
        self._trap(lambda: budget.add_all(rows))
        return Result(columns, budget.rows, budget.truncated)

    def _drained(self) -> bool:
        """Read what little is left, so that the session can be kept; a lot is not worth it."""
        self._trap(lambda: deque(islice(self.conn.rows(0), DRAIN_ROWS), maxlen=0))
        return not self.conn.has_rows

    def _reset(self) -> None:
        self.conn._execute_command(COM_RESET_CONNECTION, b"")
        self.conn._read_ok_packet()

    def rows(self, sql: str) -> list[list[str | None]]:
        """Run a query of our own and return its rows as text."""
        return self._trap(lambda: self._rows(sql))

    def _rows(self, sql: str) -> list[list[str | None]]:
        fields = self.select(sql)
        if not fields:
            raise pymysql.err.InternalError("an answer without columns")
        found: list[list[str | None]] = []
        for row, _ in self.conn.rows(len(fields)):
            found.append([None if c is None else c.decode("utf-8", "replace") for c in row])
            if len(found) > MAX_CATALOG_ROWS:
                raise too_many_rows(MAX_CATALOG_ROWS)
        return found

    # -- what goes wrong

    def _trap(self, work: Callable[[], T]) -> T:
        """Run `work`; what goes wrong becomes a SourceError."""
        try:
            return work()
        except SourceError:
            raise
        except pymysql.Error as exc:
            raise self._failure(exc) from exc
        except MemoryError as exc:
            raise values.too_large() from exc
        except Exception as exc:
            raise SourceUnreachable(
                f"{self.params.address} sent what is not MySQL's protocol.",
                hint="See the server's log.",
                stage="query",
            ) from exc

    def _failure(self, exc: pymysql.Error) -> SourceError:
        code, words = error_number(exc), said(exc, self.params).rstrip(".")
        if code in _TIMED_OUT:
            return SourceTimeout(f"The database ended the query: {words}.", stage="query")
        if code is None or 2000 <= code < 3000 or code == 0 or not self.conn.open:
            return SourceUnreachable(
                f"The connection to {self.params.address} broke: {words}.",
                hint="See the server's log.",
                stage="query",
            )
        if code == _READ_ONLY:
            words = f"The session is read-only: {words}"
        return QueryFailed(words, database_code=str(code), stage="query")


def _without_hashes(read: values.Reader) -> values.Reader:
    """Return a reader that hides what SHOW GRANTS and SHOW CREATE USER tell of a password."""
    return lambda raw: read(_HASH.sub(rb"\1'<hidden>'", raw))


def _time_limit(conn: MySQLConnection) -> str:
    """Return the name of the variable that ends long queries; empty in versions without one."""
    if conn.is_mariadb:
        return "max_statement_time"
    version = login.plain_version(str(conn.server_version)).split(".")
    return "max_execution_time" if [int(n) for n in version] >= [5, 7, 8] else ""


def _name(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
