"""Rows of MySQL and MariaDB as the text that the server writes, in one snapshot.

mysqlclient reads them where it may, PyMySQL elsewhere. A query stands inside another one only
where a FLOAT has to come exact, a cell has to be cut, or a cursor is compared.
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Any

import pyarrow as pa
import pymysql
from pymysql.constants import FIELD_TYPE as T, FLAG

from engine.cast import cells, text_of
from engine.edge import AFTER, UNTIL
from engine.extract.contract import BATCH_BYTES, Extract, Range, Window, no_cursor, where_clause
from engine.kinds import SourceColumn
from sources import values
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import QueryFailed, SourceError, SourceTimeout, SourceUnreachable
from sources.mysql import login, streaming, wkb
from sources.mysql.driver import MySQLDriver, MySQLSession
from sources.mysql.values import STRINGS, database_type, kind_of, reader

_TIMED_OUT = {1969, 3024}
_AGAIN = {1205, 1213, 1040, 1053, 1203, 1226}  # deadlocks, a server that is full or going down
FETCH_ROWS = 1000
BATCH_CHUNKS = 50
FETCH_BYTES = 32 * 1024 * 1024
_ZEROS = {T.FLOAT: "0e0", T.BIT: "0"}  # added to what is compared as a number
WRITE_S = 3600  # how long the server waits for a reader whose target is slow

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}(:[0-9]{2}){2}(\.[0-9]{1,6})?)?")

_SNAPSHOT = (
    "SET NAMES utf8mb4",
    f"SET SESSION net_write_timeout = {WRITE_S}",
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
)


_Row = values.Cells


class _Wire(ABC):
    """A connection that brings rows as bytes."""

    thread_id: int

    @abstractmethod
    def run(self, sql: str) -> list[_Row]:
        """Run a statement of ours; return all its rows."""

    @abstractmethod
    def stream(self, sql: str, count: int) -> Iterator[list[_Row]]:
        """Give the rows of a query, at most `count` at a time."""

    @abstractmethod
    def close(self) -> None:
        """Close without waiting."""


class _Quick(_Wire):
    """By mysqlclient."""

    def __init__(self, params: SourceParams) -> None:
        with ExitStack() as stack:
            self._conn = streaming.connect(params, stack)
            self.thread_id = self._conn.thread_id()
            self._stack = stack.pop_all()

    def run(self, sql: str) -> list[_Row]:
        self._conn.query(sql.encode())
        result = self._conn.store_result()
        return list(result.fetch_row(0)) if result is not None else []

    def stream(self, sql: str, count: int) -> Iterator[list[_Row]]:
        self._conn.query(sql.encode())
        result = self._conn.use_result()
        while batch := result.fetch_row(count):
            yield batch

    def close(self) -> None:
        # To close it politely is to read what is left: the process ends instead.
        return


class _Plain(_Wire):
    """By PyMySQL, through a tunnel or where mysqlclient is not to be trusted."""

    def __init__(self, session: MySQLSession) -> None:
        self._session = session
        self.thread_id = session.thread_id

    def run(self, sql: str) -> list[_Row]:
        cursor = self._session.conn.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []

    def stream(self, sql: str, count: int) -> Iterator[list[_Row]]:
        fields = self._session.select(sql)
        rows: Iterator[_Row] = (row for row, _ in self._session.conn.rows(len(fields)))
        while batch := list(islice(rows, count)):
            yield batch

    def close(self) -> None:
        self._session.close()


class MySQLExtract(Extract):
    """`sql` in a session of its own. Raises SourceError."""

    def __init__(self, params: SourceParams, sql: str, most_bytes: int, clock: Clock) -> None:
        self._params = params
        self._most_bytes = most_bytes
        session = MySQLDriver().open(params, clock)
        clock.stage = "query"
        try:
            self._statement, fields = session.fields(sql, 600.0)
            self._describe(fields)
            self._wire = self._open(session)
            self._trap(lambda: self._begin(session))
        except BaseException:
            session.close()
            raise

    def _describe(self, fields: list[Any]) -> None:
        self._fields = fields
        self._kinds = [kind_of(field) for field in fields]
        self.columns = [
            SourceColumn(_name(field.name), kind, database_type(field))
            for field, kind in zip(fields, self._kinds, strict=True)
        ]
        self.data_types = [reader(field)[1] for field in fields]
        self._readers = [_reader(field) for field in fields]

    def _open(self, session: MySQLSession) -> _Wire:
        if not streaming.serves(self._params):
            return _Plain(session)
        session.close()
        return _Quick(self._params)

    def _begin(self, session: MySQLSession) -> None:
        """Begin a transaction that reads one state of the database."""
        self._wire.run("ROLLBACK")
        for statement in _SNAPSHOT:
            self._wire.run(statement)
        own = [f"sql_select_limit={session.own_rows}"]
        if session.limit:
            own.append(f"{session.limit}={session.own_limit:g}")
        if "timestamptz" in self._kinds:
            own.append("time_zone='+00:00'")
        self._wire.run(f"SET {', '.join(own)}")
        self._wire.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    # -- the contract

    def greatest(
        self, column: int, after: str | None = None, below: str | None = None, lag_s: float = 0.0
    ) -> str | None:
        name, kind = self._compared(column), self._kinds[column]
        conditions = [f"{name} >= {_literal(kind, after)}"] if after is not None else []
        if below is not None:
            conditions.append(f"{name} < {_literal(kind, below)}")
        if lag_s and kind in ("date", "timestamp", "timestamptz"):
            conditions.append(
                f"{name} <= UTC_TIMESTAMP(6) - INTERVAL {round(lag_s * 1e6)} MICROSECOND"
            )
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        ((found,),) = self._run(self._around(f"max({name})", where))
        return None if found is None else self._text(column, found)

    def bounds(self, column: int, window: Window | None) -> tuple[str | None, str | None]:
        name = self._compared(column)
        ((least, greatest),) = self._run(
            self._around(f"min({name}), max({name})", self._where(window))
        )
        if least is None or greatest is None:
            return None, None
        return self._text(column, least), self._text(column, greatest)

    def shared(self) -> str | None:
        return None  # each session has its own

    def _text(self, column: int, found: bytes) -> str:
        is_bits = self._fields[column].type_code == T.BIT
        array = (_texts if is_bits else self._readers[column])([found])
        text: str = text_of(cells(array, self._kinds[column]))[0].as_py()
        return text

    def count_at(self, column: int, value: str, most: int) -> int:
        name, kind = self._compared(column), self._kinds[column]
        inner = self._around("1", f" WHERE {name} = {_literal(kind, value)} LIMIT {most}")
        ((found,),) = self._run(f"SELECT count(*) FROM ({inner}) counted")
        return int(found or b"0")

    def estimated_rows(self, window: Window | None = None) -> int | None:
        return None

    def batches(
        self,
        window: Window | None = None,
        limit_rows: int | None = None,
        part: Range | None = None,
    ) -> Iterator[pa.RecordBatch]:
        if limit_rows is not None:
            self._run(f"SET sql_select_limit={limit_rows}")
        readers = [*self._readers, *([_whole] if window and window.marks else [])]
        chunks: list[pa.RecordBatch] = []
        size = 0
        for rows in self._chunks(self._query(window, part)):
            chunks.append(_batch(rows, readers))
            size += chunks[-1].nbytes
            if size >= BATCH_BYTES or len(chunks) == BATCH_CHUNKS:
                yield pa.concat_batches(chunks)
                chunks, size = [], 0
        if chunks:
            yield pa.concat_batches(chunks)

    def _chunks(self, sql: str) -> Iterator[list[_Row]]:
        """Give rows that are few enough to be made arrays while they are in the processor's cache,
        and of a size that memory has for them.
        """
        count = self._fetch_rows()
        fetched = self._wire.stream(sql, count)
        rows: list[_Row] = []
        size = 0
        while some := self._trap(lambda: next(fetched, None)):
            rows += some
            if count < FETCH_ROWS:
                size += sum(len(cell) for row in some for cell in row if cell is not None)
            if len(rows) >= FETCH_ROWS or size >= BATCH_BYTES:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def cancel(self) -> None:
        """Kill the session from a second one: the server does not notice a reader's going."""
        with ExitStack() as stack:
            other = login.log_in(self._params, Clock(1.0), stack)
            other.query(f"KILL {self._wire.thread_id}")

    def close(self) -> None:
        with suppress(Exception):
            self._wire.close()

    # -- the statement

    def _query(self, window: Window | None, part: Range | None) -> str:
        found = [self._cell(at) for at in range(len(self._fields))]
        if self._statement.whole:
            return self._statement.text
        where = self._where(window, part)
        if not where and all(cell == f"c{at}" for at, cell in enumerate(found)):
            return self._statement.text
        found += self._marks(window)
        return self._around(", ".join(found), where)

    def _marks(self, window: Window | None) -> list[str]:
        """Return the column that tells which rows are at an end of the window."""
        if window is None or not window.marks:
            return []
        name, kind = self._compared(window.column), self._kinds[window.column]
        bits = [
            f"{bit} * COALESCE({name} = {_literal(kind, value)}, 0)"
            for value, bit in ((window.after, AFTER), (window.until, UNTIL))
            if value is not None
        ]
        return [" + ".join(bits) or "0"]

    def _around(self, selected: str, rest: str) -> str:
        return self._statement.around(selected, len(self._fields), rest)

    def _cell(self, at: int) -> str:
        """Return how a column is selected: a FLOAT exactly, what can be too large cut."""
        field, name = self._fields[at], f"c{at}"
        if field.type_code == T.FLOAT:
            return f"{name} + 0e0"  # the text protocol shortens FLOATs, and DOUBLEs not
        if field.type_code == T.JSON:
            return f"LEFT(CAST({name} AS CHAR), {self._most_bytes + 1})"
        if field.type_code in STRINGS and field.length > 2 * self._most_bytes:
            return f"LEFT({name}, {self._most_bytes + 1})"
        return name

    def _where(self, window: Window | None, part: Range | None = None) -> str:
        return where_clause(
            window, part, self._compared, lambda at, value: _literal(self._kinds[at], value)
        )

    def _compared(self, column: int) -> str:
        field = self._fields[column]
        is_other = self._kinds[column] == "text" and not self.columns[column].has_order
        if self._statement.whole or is_other:
            raise no_cursor(self.columns[column])
        zero = _ZEROS.get(field.type_code)
        return f"(c{column} + {zero})" if zero else f"c{column}"

    def _fetch_rows(self) -> int:
        """Return how many rows are fetched at once, so that the largest ones fit the memory."""
        row = sum(min(field.length, self._most_bytes) for field in self._fields)
        return max(1, min(FETCH_ROWS, FETCH_BYTES // max(1, row)))

    # -- what goes wrong

    def _run(self, sql: str) -> list[_Row]:
        found: list[_Row] = self._trap(lambda: self._wire.run(sql))
        return found

    def _trap(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except SourceError:
            raise
        except MemoryError as exc:
            raise values.too_large() from exc
        except Exception as exc:
            if not isinstance(exc, pymysql.Error) and type(exc).__module__ != "MySQLdb":
                raise
            raise self._failure(exc) from exc

    def _failure(self, exc: Exception) -> SourceError:
        code, words = login.error_number(exc), login.said(exc, self._params).rstrip(".")
        if code in _TIMED_OUT:
            return SourceTimeout(f"The database ended the query: {words}.", stage="query")
        if code is None or code == 0 or 2000 <= code < 3000 or code in _AGAIN or code == 1317:
            return SourceUnreachable(
                f"The connection to {self._params.address} broke: {words}.",
                hint="See the server's log.",
                stage="query",
            )
        return QueryFailed(words, database_code=str(code), stage="query")


def _name(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


_Reader = Callable[[Sequence[bytes | None]], pa.Array]


def _batch(rows: list[_Row], readers: list[_Reader]) -> pa.RecordBatch:
    arrays = [read(cells) for read, cells in zip(readers, zip(*rows, strict=True), strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[f"c{at}" for at in range(len(arrays))])


def _reader(field: Any) -> _Reader:
    """Return how a column's cells become an array of its kind."""
    kind = kind_of(field)
    if field.type_code == T.BIT:
        return lambda cells: _texts(_each(cells, lambda raw: b"%d" % int.from_bytes(raw, "big")))
    if field.type_code == T.GEOMETRY:
        return lambda cells: _texts(_each(cells, _geometry))
    if kind == "binary":
        return lambda cells: pa.array(cells, pa.binary())
    if kind == "float32":
        return lambda cells: _texts(cells).cast(pa.float64()).cast(pa.float32(), safe=False)
    if kind == "float64":
        return lambda cells: _texts(cells).cast(pa.float64())
    unsigned = field.type_code == T.LONGLONG and field.flags & FLAG.UNSIGNED
    if kind in ("integer", "tinyint1") and not unsigned:
        return _whole
    return _texts


def _whole(cells: Sequence[bytes | None]) -> pa.Array:
    return _texts(cells).cast(pa.int64())


def _each(cells: Sequence[bytes | None], read: Callable[[bytes], bytes]) -> Sequence[bytes | None]:
    return [None if cell is None else read(cell) for cell in cells]


def _texts(cells: Sequence[bytes | None]) -> pa.Array:
    array = pa.array(cells, pa.binary())
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        texts = (None if cell is None else values.full_text(cell) for cell in cells)
        return pa.array(texts, pa.string())


def _geometry(raw: bytes) -> bytes:
    """Return WKT, base64 of what is none: as a preview shows it, and never shortened."""
    try:
        return wkb.to_text(raw).encode()
    except (ValueError, KeyError, struct.error):
        return values.full_binary(raw).encode()


def _literal(kind: str, value: str) -> str:
    """Return a value as SQL that no mode reads differently."""
    if kind == "float32":  # compared as a double, which the shortest digits are not
        return repr(struct.unpack("f", struct.pack("f", float(value)))[0])
    if kind in ("integer", "decimal", "float64") and _NUMBER.fullmatch(value):
        return value
    moment = value.removesuffix("Z").replace("T", " ")
    if kind in ("date", "timestamp", "timestamptz") and _MOMENT.fullmatch(moment):
        return f"'{moment}'"
    return f"_utf8mb4 x'{value.encode().hex()}'"
