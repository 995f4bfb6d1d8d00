"""What a session of PostgreSQL does."""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import psycopg2
from psycopg2 import extensions, extras

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
    StatementRefused,
    too_many_rows,
)
from sources.login import without_secrets
from sources.postgresql import catalogue, guard, kinds, login
from sources.postgresql.values import TypeNames, column_type, converter
from sources.tunnel import Port
from sources.values import Budget

MAX_MESSAGE = 2000
MAX_CATALOG_ROWS = 200_000
CHUNK_BYTES = 8 * 1024 * 1024

# Every cell arrives as the bytes that the server wrote; of types that psycopg2 does not know, as
# text.
_RAW = dict.fromkeys(extensions.string_types, extensions.BYTES)

_NUMERIC = 1700
_SIZED = (1042, 1043, 1560, 1562)  # char, varchar, bit, varbit

# As each use finds them: psycopg2 has set a DateStyle of its own, which the first reset undoes.
_OWN = """
SELECT name, reset_val FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'DateStyle',
  'extra_float_digits', 'client_connection_check_interval', 'jit')
"""
_DECLARE = "DECLARE etl_preview NO SCROLL CURSOR FOR "


class PostgresDriver(Driver):
    def open(self, params: SourceParams, clock: Clock) -> PostgresSession:
        with ExitStack() as stack:
            conn, port = login.log_in(params, clock, stack)
            return PostgresSession(params, conn, port, stack.pop_all())
        raise AssertionError("unreachable")

    def check_statement(self, sql: str) -> None:
        guard.check(sql)


class PostgresSession(Session):
    """A session of PostgreSQL, with the settings that the account starts with."""

    def __init__(
        self, params: SourceParams, conn: Any, port: Port | None, resources: ExitStack
    ) -> None:
        self.params = params
        self.conn = conn
        self.port = port
        self.resources = resources
        self.types = TypeNames()
        self.verdicts = guard.Verdicts()
        self.charset = "latin-1" if conn.encoding == "LATIN1" else "utf-8"
        conn.autocommit = True
        conn.string_types.update(_RAW)
        self.own = self._own_settings()

    def _own_settings(self) -> dict[str, str]:
        try:
            return {str(name): str(setting) for name, setting in self.rows(_OWN)}
        except QueryFailed:
            return {}

    # -- the contract

    def facts(self, timeout_s: float) -> ServerFacts:
        self._begin(timeout_s)
        found = catalogue.facts(self.rows, self.params, bool(self.conn.info.ssl_in_use))
        self._rollback()
        return found

    def tables(self, timeout_s: float) -> list[Table]:
        self._begin(timeout_s)
        return catalogue.tables(self.rows)

    def table_columns(self, schema: str | None, name: str, timeout_s: float) -> list[TableColumn]:
        self._begin(timeout_s)
        return catalogue.table_columns(self.rows, self.types, schema, name)

    def relations(self, names: list[Named], timeout_s: float) -> Relations:
        self._begin(timeout_s)
        return catalogue.relations(self.rows, names)

    def read(self, sql: str, limit_rows: int, timeout_s: float) -> Result:
        statement = self._checked(sql, timeout_s)
        if statement.whole:
            cursor = self._execute(sql)
            return self._result(cursor, self._rest(cursor), limit_rows)
        self._execute(_DECLARE + sql, offset=len(_DECLARE))
        first = self._fetch(min(1, limit_rows))
        return self._result(first, self._more(first, limit_rows), limit_rows)

    def describe(self, sql: str, timeout_s: float) -> list[ResultColumn]:
        statement = self._checked(sql, timeout_s)
        if statement.whole:
            found = self._execute(sql).description
        else:
            self._execute(_DECLARE + sql, offset=len(_DECLARE))
            found = self._fetch(0).description
        types = kinds.types_of((column.type_code for column in found), self.rows)
        return [
            ResultColumn(column.name, column.data_type, name, types[oid].kind)
            for column, name, oid in zip(
                self._columns(found),
                self._database_types(found),
                (column.type_code for column in found),
                strict=True,
            )
        ]

    def reset(self) -> bool:
        try:
            self._rollback()
            self._execute("DISCARD ALL")  # which the server wants to be on its own
        except SourceError:
            return False
        return self.conn.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE

    def ready(self) -> bool:
        if self.conn.closed:
            return False
        poll = select.poll()
        poll.register(self.conn.fileno(), select.POLLIN)
        return not poll.poll(0)  # whatever an idle server says is a farewell

    def cancel(self) -> None:
        if self.port is not None:
            self.port.open()
        self.conn.cancel()

    def close(self) -> None:
        self.resources.close()

    # -- a statement

    def _checked(self, sql: str, timeout_s: float) -> guard.Statement:
        """Begin, when the statement only reads: as text, and as the server knows its functions."""
        statement = self._read(sql)
        self._begin(timeout_s)
        self.verdicts.check(statement, self.rows)
        return statement

    def _read(self, sql: str) -> guard.Statement:
        try:
            statement = guard.read(sql)
        except guard.SyntaxTrouble as exc:
            raise _syntax_error(exc) from exc
        self._check_backslashes(sql)
        return statement

    def _check_backslashes(self, sql: str) -> None:
        off = self.conn.get_parameter_status("standard_conforming_strings") == "off"
        if off and "\\" in sql:
            raise StatementRefused(
                "The account's standard_conforming_strings is off, so that a backslash in quotes "
                "cannot be read for sure: write such a text as E'…' after turning it on."
            )

    def begin_snapshot(self, sql: str, snapshot: str | None = None) -> guard.Statement:
        """Begin a transaction that reads one state of the database, when the statement only reads.

        With `snapshot` it is the state of the session that exported this name. Its time is the
        account's to limit. Raises as `read` does, and SourceUnreachable where that session is gone.
        """
        statement = self._read(sql)
        try:
            self._start("ISOLATION LEVEL REPEATABLE READ", self._settings(), snapshot)
        except QueryFailed as exc:
            if snapshot is None:
                raise
            raise SourceUnreachable(
                f"The snapshot that the parts share cannot be read: {exc.message}",
                hint="The parts have to reach the one server, and no replica of it.",
                stage="query",
            ) from exc
        self.verdicts.check(statement, self.rows)
        return statement

    def export_snapshot(self) -> str:
        """Return the name of the state that this transaction reads, which waits from now on."""
        self._execute("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
        ((name,),) = self.rows("SELECT pg_catalog.pg_export_snapshot()")
        return str(name)

    def fields(self, sql: str) -> Any:
        """Return what libpq describes of the columns of a statement that was checked."""
        self._execute(_DECLARE + sql, offset=len(_DECLARE))
        found = self._fetch(0).description
        self._execute("CLOSE etl_preview")
        return found

    def rows_of(self, sql: str) -> tuple[list[str], list[list[str | None]]]:
        """Return names and rows, as text, of a statement that no cursor takes."""
        cursor = self._execute(sql)
        names = [self._name(column.name) for column in cursor.description or ()]
        return names, [[self._text(cell) for cell in row] for row in cursor.fetchall()]

    def name_of(self, name: str) -> str:
        """Return a column's name, as libpq gave it, in the database's letters."""
        return self._name(name)

    def database_types(self, description: Any) -> list[str]:
        """Return the columns' types as `numeric(10,2)`; of types of a fixed size without more."""
        return self._database_types(description)

    def _begin(self, timeout_s: float) -> None:
        """Begin what cannot be made writable again: its first query has run."""
        self._start("", {"statement_timeout": str(self._timeout_ms(timeout_s)), **self._settings()})

    def _settings(self) -> dict[str, str]:
        """Return what is set for each use.

        Settings that change what a statement means are left as the account has them; how dates
        and fractions are written is only set where the account's own way is not exact.
        """
        settings = {}
        if not self.own.get("DateStyle", "ISO").startswith("ISO"):
            settings["datestyle"] = "ISO"  # which keeps the order of day and month
        if int(self.own.get("extra_float_digits", 1)) < 1:
            settings["extra_float_digits"] = "1" if self.conn.server_version >= 120000 else "3"
        if "client_connection_check_interval" in self.own:
            settings["client_connection_check_interval"] = "500"
        if "jit" in self.own:
            settings["jit"] = "off"  # compiling takes longer than the first rows do
        return settings

    def _start(
        self, characteristics: str, settings: dict[str, str], snapshot: str | None = None
    ) -> None:
        calls = ", ".join(f"set_config('{k}', '{v}', true)" for k, v in settings.items())
        # Waited for in this way, psycopg2 also tells what a pooler says before it closes.
        extensions.set_wait_callback(extras.wait_select)
        try:
            shared = f"SET TRANSACTION SNAPSHOT '{snapshot}'; " if snapshot else ""
            self._execute(f"BEGIN {characteristics} READ ONLY; {shared}SELECT {calls or 1}")
        finally:
            extensions.set_wait_callback(None)

    def _timeout_ms(self, timeout_s: float) -> int:
        """Return the smaller one of our limit and the account's, in which 0 is none."""
        ours, own = int(timeout_s * 1000) + 500, int(self.own.get("statement_timeout", 0))
        return min(ours, own) if own else ours

    def _rollback(self) -> None:
        if self.conn.info.transaction_status != extensions.TRANSACTION_STATUS_IDLE:
            self._execute("ROLLBACK")

    def _execute(self, sql: str, offset: int = 0) -> Any:
        """Run one text and return its cursor; errors count characters after `offset`."""
        try:
            cursor = self.conn.cursor()
            cursor.execute(sql.encode())
            return cursor
        except psycopg2.Error as exc:
            raise self._failure(exc, offset) from exc
        except UnicodeDecodeError as exc:
            raise QueryFailed("A column's name is not in the database's encoding.") from exc
        except MemoryError as exc:
            raise values.too_large() from exc

    def rows(self, sql: str) -> list[list[str | None]]:
        """Run a query of our own and return its rows as text."""
        cursor = self._execute(sql)
        if cursor.rowcount > MAX_CATALOG_ROWS:
            raise too_many_rows(MAX_CATALOG_ROWS)
        return [[self._text(cell) for cell in row] for row in cursor.fetchall()]

    def _text(self, cell: bytes | str | None) -> str | None:
        raw = self._raw(cell)
        return None if raw is None else raw.decode("utf-8", "backslashreplace")

    def _raw(self, cell: bytes | str | None) -> bytes | None:
        return cell.encode(self.charset) if isinstance(cell, str) else cell

    # -- rows

    def _fetch(self, count: int) -> Any:
        return self._execute(f"FETCH FORWARD {count} FROM etl_preview")

    def _more(self, first: Any, limit_rows: int) -> Iterator[tuple[bytes | str | None, ...]]:
        """Yield rows, one more than the limit, in parts that fit the memory."""
        left, part, largest = limit_rows, first, 1
        while part is not None and (rows := part.fetchall()):
            largest = max([largest, *map(_size, rows)])
            yield from rows
            count = min(left, max(1, CHUNK_BYTES // largest))
            left -= count
            part = self._fetch(count) if count else None

    def failure(self, exc: psycopg2.Error, offset: int = 0) -> SourceError:
        """Return what went wrong with a statement; `offset` is what stood before the query."""
        return self._failure(exc, offset)

    def _rest(self, cursor: Any) -> Iterator[tuple[bytes | str | None, ...]]:
        yield from cursor

    def _result(self, cursor: Any, rows: Iterator[Any], limit_rows: int) -> Result:
        oids = [column.type_code for column in cursor.description or ()]
        self.types.learn(oids, self.rows)
        readers = [converter(oid, self.types) for oid in oids]
        budget = Budget(limit_rows)
        budget.add_all(values.read_rows(self._raw_rows(rows), readers))
        return Result(tuple(self._columns(cursor.description or ())), budget.rows, budget.truncated)

    def _raw_rows(self, rows: Iterator[Any]) -> Iterator[tuple[values.Cells, int]]:
        for row in rows:
            raw = [self._raw(cell) for cell in row]
            yield raw, _size(raw)

    def _columns(self, description: Any) -> list[ResultColumn]:
        self.types.learn([column.type_code for column in description], self.rows)
        return [
            ResultColumn(self._name(column.name), column_type(column.type_code, self.types))
            for column in description
        ]

    def _name(self, name: str) -> str:
        return name.encode(self.charset).decode("utf-8", "backslashreplace")

    def _database_types(self, description: Any) -> list[str]:
        """Return the columns' types as `numeric(10,2)`; of types of a fixed size without more."""
        if not description:
            return []
        parts = [f"format_type({c.type_code}, {_modifier(c)})" for c in description]
        return [str(name) for name in self.rows(f"SELECT {', '.join(parts)}")[0]]

    # -- what goes wrong

    def _failure(self, exc: psycopg2.Error, offset: int) -> SourceError:
        code, diag = exc.pgcode or "", exc.diag
        if not code:
            if "out of memory" in str(exc) or isinstance(exc.__cause__, MemoryError):
                return values.too_large()
            return SourceUnreachable(
                f"The connection to {self.params.address} broke: {login.said(exc, self.params)}",
                hint="See the server's log.",
                stage="query",
            )
        words = self._said(diag.message_primary or str(exc))
        if code == "57014":
            return SourceTimeout(f"The database ended the query: {words}.", stage="query")
        if code.startswith(("08", "57P")):
            return SourceUnreachable(
                f"{self.params.address} ended the connection: {words}.",
                hint="Try again, and see the server's log.",
                stage="query",
            )
        return QueryFailed(
            self._query_message(words, diag, code, offset),
            database_code=code,
            hint=self._said(diag.message_hint or ""),
            stage="query",
        )

    def _said(self, words: str) -> str:
        """Return the server's words, in the database's letters and without secrets."""
        read = words.encode(self.charset, "replace").decode("utf-8", "backslashreplace")
        return without_secrets(read, self.params)[:MAX_MESSAGE]

    def _query_message(self, words: str, diag: Any, code: str, offset: int) -> str:
        """Return the database's message, its detail, and where in the query it points."""
        if diag.message_detail:
            words += f" ({self._said(diag.message_detail).rstrip('.')})"
        if code == "25006":
            words = f"The session is read-only: {words}"
        position = int(diag.statement_position or 0) - offset
        return f"{words} (at character {position})" if position > 0 else words


def _modifier(column: Any) -> str:
    """Return a type's modifier as pg_attribute has it, from what psycopg2 makes of it."""
    if column.type_code == _NUMERIC and column.precision and column.precision <= 1000:
        return str((column.precision << 16 | column.scale) + 4)
    if column.type_code in _SIZED and column.internal_size > 0:
        return str(column.internal_size + 4)
    return "NULL"


def _syntax_error(exc: guard.SyntaxTrouble) -> QueryFailed:
    """Return the words of the grammar as the database would say them."""
    place = f" (at character {exc.position})" if exc.position else ""
    return QueryFailed(f"{exc.words}{place}", database_code="42601", stage="query")


def _size(row: Sequence[bytes | str | None]) -> int:
    return sum(map(len, filter(None, row)))
