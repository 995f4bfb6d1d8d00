"""What a session of PostgreSQL does.

The query goes out in the extended protocol as `DECLARE … CURSOR FOR <query>`: the server itself
refuses a second statement, and whatever is not a SELECT, VALUES, TABLE or WITH that only reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

from psycopg import pq

from connections.sql_tokens import first_word

from . import pg_catalog, pg_login, tls, values
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
from .pg_values import TypeNames, column_type, converter
from .pg_wire import PostgresConnection
from .postgresql import PostgresDriver
from .values import Budget, Reader
from .watch import Watch

# The second is also the transaction's first query: from then on it cannot be made writable. The
# statement guard relies on standard_conforming_strings, the values on the rest.
_BEGIN = b"BEGIN READ ONLY"
_SETTINGS = """
SELECT set_config('statement_timeout', '{timeout_ms}', true),
  set_config('standard_conforming_strings', 'on', true),
  set_config('datestyle', 'ISO, YMD', true), set_config('intervalstyle', 'postgres', true),
  set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true){jit}
"""
_CURSOR = b"etl_preview"
_DECLARE = b"DECLARE etl_preview NO SCROLL CURSOR FOR "


def opened(params: SourceParams, watch: Watch) -> PostgresSession:
    """Return a session, logged in."""
    tls.check_mode(params)
    with ExitStack() as stack:
        wire = PostgresConnection(params, pg_login.log_in(params, watch, stack), watch)
        return PostgresSession(wire, stack.pop_all())
    raise AssertionError("unreachable")


class PostgresSession(Session[PostgresConnection]):
    """A session of PostgreSQL."""

    def __init__(self, wire: PostgresConnection, resources: ExitStack) -> None:
        super().__init__(wire, resources)
        self.types = TypeNames()

    def facts(self) -> ServerFacts:
        self.watch.stage = "query"
        with self.wire.understanding():
            return pg_catalog.facts(self.wire)

    def tables(self) -> list[Table]:
        self.watch.stage = "query"
        with self.wire.understanding():
            return pg_catalog.tables(self.wire)

    def table_columns(self, schema: str | None, name: str) -> list[TableColumn]:
        self.watch.stage = "query"
        with self.wire.understanding():
            return pg_catalog.table_columns(self.wire, self.types, schema, name)

    def read(self, sql: str, limit_rows: int) -> Result:
        self.watch.stage = "query"
        with self.wire.guarding(), self.wire.understanding():
            self.wire.queue(_BEGIN)
            self.wire.queue(self.settings())
            if first_word(sql, PostgresDriver.sql_dialect) in ("show", "explain"):
                return self.whole(sql, limit_rows)
            return self.cursor(sql, limit_rows)

    def settings(self) -> bytes:
        """Return the query that sets the transaction up.

        PostgreSQL compiles a query that looks expensive, for longer than its first rows take.
        """
        has_jit = self.wire.pgconn.server_version >= 110000
        jit = ", set_config('jit', 'off', true)" if has_jit else ""
        timeout_ms = int(self.watch.remaining_s() * 1000) + 500
        return _SETTINGS.format(timeout_ms=timeout_ms, jit=jit).encode()

    def whole(self, sql: str, limit_rows: int) -> Result:
        """Read SHOW and EXPLAIN, which a cursor does not take."""
        self.wire.queue(sql.encode())
        result = self.wire.results()[-1]
        return self.result(result, iter([result]), limit_rows)

    def cursor(self, sql: str, limit_rows: int) -> Result:
        self.wire.queue(_DECLARE + sql.encode())
        self.wire.queue_description(_CURSOR)
        shape = self.wire.results(offset=len(_DECLARE))[-1]
        rows = self.fetch(limit_rows + 1) if limit_rows else iter(())
        return self.result(shape, rows, limit_rows)

    def fetch(self, count: int) -> Iterator[pq.abc.PGresult]:
        self.wire.queue(b"FETCH FORWARD %d FROM %b" % (count, _CURSOR))
        yield from self.wire.stream()

    def result(
        self, shape: pq.abc.PGresult, parts: Iterator[pq.abc.PGresult], limit_rows: int
    ) -> Result:
        oids = [shape.ftype(index) for index in range(shape.nfields)]
        names = [
            (shape.fname(index) or b"").decode("utf-8", "replace") for index in range(shape.nfields)
        ]
        self.types.learn(oids, self.wire.rows)
        columns = tuple(
            ResultColumn(name, column_type(oid, self.types))
            for name, oid in zip(names, oids, strict=True)
        )
        budget = Budget(limit_rows)
        _collect(budget, parts, [converter(oid, self.types) for oid in oids])
        return Result(columns, budget.rows, budget.truncated)

    def reset(self) -> bool:
        if self.wire.owed:
            return False
        try:
            self.wire.queue(b"ROLLBACK")
            self.wire.send()
            self.wire.queue(b"DISCARD ALL")  # which the server wants to be on its own
            self.wire.send()
        except SourceError:
            return False
        return True

    def ready(self) -> bool:
        try:
            with self.wire.guarding():
                self.wire.settle()
        except SourceError:
            return False
        idle = pq.TransactionStatus.IDLE
        return self.wire.pgconn.transaction_status == idle and self.wire.quiet

    def abort(self) -> None:
        try:
            if self.wire.owed:
                pg_login.cancel(self.wire.pgconn)
        except Exception:  # noqa: S110 - the connection is given up in any case
            pass
        finally:
            self.close()


def _collect(budget: Budget, parts: Iterator[pq.abc.PGresult], readers: list[Reader]) -> None:
    """Take rows until there are no more, or no more fit; read on where little is left."""
    try:
        for part in parts:
            if not budget.add_all(_cells(part, readers)):
                break
    except AnswerTooLarge:
        if not budget.rows:
            raise
        budget.truncated = True
    if len(budget.rows) >= budget.limit_rows:
        deque(parts, maxlen=0)


def _cells(result: pq.abc.PGresult, readers: list[Reader]) -> Iterator[tuple[list[Json], int]]:
    """Yield each row as JSON values, with the bytes that it took on the wire."""
    for row in range(result.ntuples):
        raw = [result.get_value(row, column) for column in range(len(readers))]
        yield values.row(raw, readers), sum(map(len, filter(None, raw)))
