"""What a session of MySQL or MariaDB does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from . import mysql_catalog, mysql_login, tls, values
from .base import (
    Json,
    Result,
    ResultColumn,
    ServerFacts,
    Session,
    SourceParams,
    Table,
    TableColumn,
)
from .errors import AnswerTooLarge, SourceError
from .mysql_values import reader
from .mysql_wire import MySQLConnection, cells, plain_version
from .values import Budget, Reader
from .watch import Watch

KILL_S = 1.0
DRAIN_BYTES = 1024 * 1024
DRAIN_ROWS = 2000

# Modes that change where a text ends or what a word means: the statement guard reads without them.
_FOREIGN_MODES = {
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "ANSI",
    "ORACLE",
    "MSSQL",
    "DB2",
    "POSTGRESQL",
    "MAXDB",
    "MYSQL323",
    "MYSQL40",
}


def opened(params: SourceParams, watch: Watch) -> MySQLSession:
    """Return a session, logged in."""
    tls.check_mode(params)
    with ExitStack() as stack:
        conn = mysql_login.log_in(params, watch, stack)
        modes = conn.trap(lambda: str(conn.rows("SELECT @@sql_mode")[0][0]))
        return MySQLSession(conn, readable_modes(modes), stack.pop_all())
    raise AssertionError("unreachable")


class MySQLSession(Session[MySQLConnection]):
    """A session of MySQL or MariaDB, with the SQL modes that it starts each use with."""

    def __init__(self, wire: MySQLConnection, modes: str, resources: ExitStack) -> None:
        super().__init__(wire, resources)
        self.modes = modes

    def facts(self) -> ServerFacts:
        self.watch.stage = "query"
        return self.wire.trap(lambda: mysql_catalog.facts(self.wire))

    def tables(self) -> list[Table]:
        self.watch.stage = "query"
        return self.wire.trap(lambda: mysql_catalog.tables(self.wire))

    def table_columns(self, schema: str | None, name: str) -> list[TableColumn]:
        self.watch.stage = "query"
        return self.wire.trap(lambda: mysql_catalog.table_columns(self.wire, schema, name))

    def read(self, sql: str, limit_rows: int) -> Result:
        self.watch.stage = "query"
        self.begin(limit_rows)
        fields = self.wire.select(sql.encode())
        readers = [reader(field) for field in fields]
        columns = tuple(
            ResultColumn(_text(field.name), kind)
            for field, (_, kind) in zip(fields, readers, strict=True)
        )
        budget = Budget(limit_rows)
        self.collect(budget, [read for read, _ in readers])
        return Result(columns, budget.rows, budget.truncated)

    def begin(self, limit_rows: int) -> None:
        seconds = self.watch.remaining_s() + 0.5
        # MariaDB counts this timeout in seconds, MySQL its counterpart in milliseconds.
        limit = (
            f"max_statement_time={seconds:.3f}"
            if self.wire.is_mariadb
            else f"max_execution_time={seconds * 1000:.0f}"
        )
        if not self.wire.is_mariadb and _numbers(self.wire.server_version) < (5, 7, 8):
            limit = "sql_auto_is_null=0"
        rows = limit_rows + 1 if limit_rows else 0
        settings = f"sql_mode='{self.modes}', sql_select_limit={rows}, {limit}"
        self.wire.commands(f"SET NAMES utf8mb4, {settings}", "START TRANSACTION READ ONLY")

    def collect(self, budget: Budget, readers: list[Reader]) -> None:
        """Take rows until there are no more, or no more fit."""
        try:
            self.wire.trap(lambda: budget.add_all(self.rows(readers)))
        except AnswerTooLarge:
            if not budget.rows:
                raise
            budget.truncated = True
            return
        self.drain()

    def rows(self, readers: list[Reader]) -> Iterator[tuple[list[Json], int]]:
        while (data := self.wire.row()) is not None:
            yield values.row(cells(data, len(readers)), readers), len(data)

    def drain(self) -> None:
        """Read what little is left, so that the session can be kept; a lot is not worth it."""
        until = self.wire.watched.received + DRAIN_BYTES
        for _ in range(DRAIN_ROWS):
            if self.wire.clean or self.wire.watched.received > until:
                return
            self.wire.trap(self.wire.row)

    def reset(self) -> bool:
        if not self.wire.clean or not self.wire.open:
            return False
        try:
            self.wire.trap(self.wire.reset)
        except SourceError:
            return False
        return True

    def ready(self) -> bool:
        try:
            self.wire.trap(self.wire.settle)
        except SourceError:
            return False
        return bool(self.wire.open) and self.wire.watched.quiet

    def abort(self) -> None:
        """Kill the session from a second one: the server does not notice a reader's going."""
        self.wire._force_close()
        try:
            with ExitStack() as stack:
                other = mysql_login.log_in(self.params, Watch.seconds(KILL_S), stack)
                other.query(f"KILL {self.wire.thread_id()}".encode())
        except Exception:  # noqa: S110 - the server's own time limit remains
            pass
        finally:
            self.close()


def readable_modes(modes: str) -> str:
    """Return SQL modes, separated by commas, without those that the guard does not read by."""
    return ",".join(
        mode for mode in modes.split(",") if mode and mode.upper() not in _FOREIGN_MODES
    )


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in plain_version(version).split(".") if part.isdigit())
