"""Rows of PostgreSQL: one COPY in one snapshot, whose CSV Arrow reads.

Every type arrives as the database writes it, so that there is nothing that a driver could not
carry. A query stands inside another one only where a column has to be cut, converted or compared.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.csv as pc_csv

from engine.cast import cells, text_of
from engine.edge import AFTER, UNTIL
from engine.extract.contract import BATCH_BYTES, Extract, Range, Window, no_cursor, where_clause
from engine.kinds import SourceColumn
from sources import values
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import QueryFailed, SourceError
from sources.postgresql import kinds
from sources.postgresql.driver import PostgresDriver, PostgresSession
from sources.postgresql.values import column_type

_ARROW = {
    "bool": pa.bool_(), "int2": pa.int64(), "int4": pa.int64(), "int8": pa.int64(),
    "float4": pa.float32(), "float8": pa.float64(),
}  # fmt: skip
# Types whose texts are never long; all others are cut.
_SHORT = {
    *(kinds.KINDS.keys() - {"bytea", "json", "jsonb"}), "timetz", "uuid", "inet", "cidr", "macaddr",
    "macaddr8", "money", "interval", "name", "char", "point", "line", "lseg", "box", "circle",
    "pg_lsn", "tid",
}  # fmt: skip
_SIZED = {"varchar", "bpchar", "bit", "varbit"}
_UTC = {"UTC", "ETC/UTC", "UCT", "ZULU", "ETC/UCT", "ETC/ZULU", "UNIVERSAL", "GMT", "ETC/GMT"}
_MOST_WAITING = 2  # chunks between the thread that reads and the one that works


@dataclass(frozen=True, slots=True)
class _Column:
    """What decides how a column is read. `written` is its type's name in SQL."""

    name: str
    type_name: str
    kind: str
    is_array: bool
    most_bytes: int | None
    written: str

    @property
    def arrow(self) -> pa.DataType:
        return pa.string() if self.is_array else _ARROW.get(self.type_name, pa.string())


class PostgresExtract(Extract):
    """`sql` in a session of its own, in the state that another `shared`. Raises SourceError."""

    def __init__(
        self,
        params: SourceParams,
        sql: str,
        most_bytes: int,
        clock: Clock,
        snapshot: str | None = None,
    ) -> None:
        self._most_bytes = most_bytes
        self._session: PostgresSession = PostgresDriver().open(params, clock)
        clock.stage = "query"
        try:
            self._describe(sql, snapshot)
        except BaseException:
            self._session.close()
            raise

    def _describe(self, sql: str, snapshot: str | None) -> None:
        statement = self._session.begin_snapshot(sql, snapshot)
        self._whole = statement.whole
        self._sql = sql if statement.whole else statement.bare
        self._utc = _is_utc(self._session)
        if self._whole:
            self._answer = self._session.rows_of(sql)
            names, self._fields = self._answer[0], []
            self.columns = [SourceColumn(name, "text", "text") for name in names]
            self.data_types = ["string"] * len(names)
            return
        description = self._session.fields(sql)
        oids = [field.type_code for field in description]
        self._session.types.learn(oids, self._session.rows)
        written = self._session.database_types(description)
        types = kinds.types_of(oids, self._session.rows)
        self._fields = [
            self._field(field, types[field.type_code], self._session.name_of(field.name))
            for field in description
        ]
        self.data_types = [column_type(oid, self._session.types) for oid in oids]
        self.columns = [
            SourceColumn(field.name, field.kind, name)
            for field, name in zip(self._fields, written, strict=True)
        ]

    def _field(self, field: Any, found: kinds.TypeFacts, name: str) -> _Column:
        most = 1024 if found.name in _SHORT and not found.is_array else None
        if found.name in _SIZED and field.internal_size > 0:
            most = field.internal_size * 4
        if found.is_enumeration:
            most = 1024
        # `character` alone would be character(1).
        written = "bpchar" if found.name == "bpchar" else found.written
        return _Column(name, found.name, found.kind, found.is_array, most, written)

    # -- the contract

    def greatest(
        self, column: int, after: str | None = None, below: str | None = None, lag_s: float = 0.0
    ) -> str | None:
        field = self._compared(column)
        name = f"c{column}"
        conditions = [f"{name} >= {self._literal(field, after)}"] if after is not None else []
        if below is not None:
            conditions.append(f"{name} < {self._literal(field, below)}")
        if lag_s and field.kind in ("date", "timestamp", "timestamptz"):
            conditions.append(f"{name} <= {_now(field, lag_s)}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        utc = " AT TIME ZONE 'UTC'" if field.kind == "timestamptz" else ""
        ((found,),) = self._session.rows(
            f"SELECT (max({name}){utc})::text FROM {self._inner}{where}"
        )
        return None if found is None else _text(found, field.kind)

    def count_at(self, column: int, value: str, most: int) -> int:
        field = self._compared(column)
        ((found,),) = self._session.rows(
            f"SELECT count(*) FROM (SELECT 1 FROM {self._inner}"
            f" WHERE c{column} = {self._literal(field, value)} LIMIT {most}) counted"
        )
        return int(str(found))

    def bounds(self, column: int, window: Window | None) -> tuple[str | None, str | None]:
        field = self._compared(column)
        utc = " AT TIME ZONE 'UTC'" if field.kind == "timestamptz" else ""
        ends = ", ".join(f"({end}(c{column}){utc})::text" for end in ("min", "max"))
        ((least, greatest),) = self._session.rows(
            f"SELECT {ends} FROM {self._inner}{self._where(window)}"
        )
        if least is None or greatest is None:
            return None, None
        return _text(least, field.kind), _text(greatest, field.kind)

    def shared(self) -> str | None:
        return None if self._whole else self._session.export_snapshot()

    def estimated_rows(self, window: Window | None = None) -> int | None:
        if self._whole:
            return None
        sql = f"SELECT 1 FROM {self._inner}{self._where(window)}" if window else self._sql
        found = self._session.rows(f"EXPLAIN (FORMAT JSON) {sql}")
        plan = json.loads("\n".join(str(line) for (line,) in found))
        return int(plan[0]["Plan"]["Plan Rows"])

    def batches(
        self,
        window: Window | None = None,
        limit_rows: int | None = None,
        part: Range | None = None,
    ) -> Iterator[pa.RecordBatch]:
        if self._whole:
            yield from self._whole_answer(limit_rows)
            return
        statement, offset = self._statement(window, limit_rows, part)
        copied = _Copy(self._session, statement, offset)
        marks = [_MARKS] if window and window.marks else []
        reader = _Reader([*self._fields, *marks], self._session.charset)
        try:
            for chunk in copied.chunks():
                yield from reader.batches(chunk)
        finally:
            copied.end()

    def cancel(self) -> None:
        self._session.cancel()

    def close(self) -> None:
        self._session.close()

    # -- the statement

    @property
    def _inner(self) -> str:
        """Return the query as a table of columns c0, c1 …; a comment at its end ends first."""
        names = ", ".join(f"c{at}" for at in range(len(self._fields)))
        return f"({self._sql}\n) AS w({names})"

    def _statement(
        self, window: Window | None, limit_rows: int | None, part: Range | None
    ) -> tuple[str, int]:
        cells = [self._cell(at, field) for at, field in enumerate(self._fields)]
        cells += self._marks(window)
        plain = all(cell == f"c{at}" for at, cell in enumerate(cells))
        where = self._where(window, part)
        if plain and not where and limit_rows is None:
            return f"COPY ({self._sql}\n) TO STDOUT (FORMAT csv)", len("COPY (")
        head = f"COPY (SELECT {', '.join(cells)} FROM ("
        limit = "" if limit_rows is None else f" LIMIT {limit_rows}"
        tail = self._inner.removeprefix("(")
        return f"{head}{tail}{where}{limit}) TO STDOUT (FORMAT csv)", len(head)

    def _cell(self, at: int, field: _Column) -> str:
        """Return how a column is selected: cut where it can be too large, in UTC, as JSON."""
        name, most = f"c{at}", self._most_bytes + 1
        if field.is_array:
            return f"pg_catalog.left(pg_catalog.array_to_json({name})::text, {most})"
        if field.type_name == "bytea":
            return f"pg_catalog.encode(pg_catalog.substr({name}, 1, {most}), 'hex')"
        if field.kind == "timestamptz" and not self._utc:
            return f"{name} AT TIME ZONE 'UTC'"
        if field.most_bytes is not None and field.most_bytes <= self._most_bytes:
            return name
        return f"pg_catalog.left({name}::text, {most})"

    def _marks(self, window: Window | None) -> list[str]:
        """Return the column that tells which rows are at an end of the window."""
        if window is None or not window.marks:
            return []
        field, name = self._compared(window.column), f"c{window.column}"
        bits = [
            f"CASE WHEN {name} = {self._literal(field, value)} THEN {bit} ELSE 0 END"
            for value, bit in ((window.after, AFTER), (window.until, UNTIL))
            if value is not None
        ]
        return [" + ".join(bits) or "0"]

    def _where(self, window: Window | None, part: Range | None = None) -> str:
        return where_clause(
            window, part, self._named, lambda at, value: self._literal(self._fields[at], value)
        )

    def _named(self, column: int) -> str:
        self._compared(column)
        return f"c{column}"

    def _compared(self, column: int) -> _Column:
        field = self._fields[column] if self._fields else None
        if field is None or field.is_array:
            raise no_cursor(self.columns[column])
        if field.kind in ("text", "record") and not self.columns[column].has_order:
            raise no_cursor(self.columns[column])
        return field

    def _literal(self, field: _Column, value: str) -> str:
        quoted = value.replace("'", "''").replace("\\", "\\\\")
        return f"E'{quoted}'::{field.written}"

    def _whole_answer(self, limit_rows: int | None) -> Iterator[pa.RecordBatch]:
        names, rows = self._answer
        rows = rows[:limit_rows]
        arrays = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(names))]
        yield pa.RecordBatch.from_arrays(arrays, names=[f"c{at}" for at in range(len(names))])


_MARKS = _Column("", "int4", "integer", False, 4, "integer")


def _is_utc(session: PostgresSession) -> bool:
    return str(session.conn.get_parameter_status("TimeZone")).upper() in _UTC


def _now(field: _Column, lag_s: float) -> str:
    now = f"(pg_catalog.now() - interval '{lag_s:f} seconds')"
    return now if field.kind == "timestamptz" else f"({now} AT TIME ZONE 'UTC')"


def _text(written: str, kind: str) -> str:
    """Return a value as rules see its text, from what the database wrote."""
    found: str = text_of(cells(pa.array([written], pa.string()), kind))[0].as_py()
    return found


class _Copy:
    """A COPY in a thread of its own, in chunks of whole rows: two wait at most."""

    def __init__(self, session: PostgresSession, statement: str, offset: int) -> None:
        self._session = session
        self._statement = statement
        self._offset = offset
        self._queue: queue.Queue[bytearray | SourceError | None] = queue.Queue(_MOST_WAITING)
        self._rows = bytearray()
        self._abandoned = False
        self._thread = threading.Thread(target=self._read, name="copy", daemon=True)
        self._thread.start()

    def chunks(self) -> Iterator[bytearray]:
        """Give the rows as they come. Raises SourceError."""
        while (found := self._queue.get()) is not None:
            if isinstance(found, SourceError):
                raise found
            yield found

    def end(self) -> None:
        """Have the query ended, if it goes on, and wait for that."""
        if self._thread.is_alive():
            self._abandoned = True
            with suppress(psycopg2.Error, OSError):
                self._session.cancel()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._queue.get(timeout=0.05)

    def write(self, row: bytes) -> None:
        """Take a row from libpq; nobody wants those that come after the end."""
        if self._abandoned:
            return
        rows = self._rows
        rows += row
        if len(rows) >= BATCH_BYTES:
            self._queue.put(rows)
            self._rows = bytearray()

    def _read(self) -> None:
        try:
            with self._session.conn.cursor() as cursor:
                cursor.copy_expert(self._statement.encode(), self)
            if self._rows:
                self._queue.put(self._rows)
            self._queue.put(None)
        except psycopg2.Error as exc:
            self._queue.put(self._session.failure(exc, self._offset))
        except MemoryError:
            self._rows = bytearray()
            self._queue.put(values.too_large())
        except Exception as exc:
            self._queue.put(QueryFailed(f"The rows could not be read: {type(exc).__name__}."))


class _Reader:
    """Chunks of CSV as batches."""

    def __init__(self, fields: list[_Column], charset: str) -> None:
        self._fields = fields
        self._raw = charset != "utf-8"
        names = [f"c{at}" for at in range(len(fields))]
        types = [field.arrow for field in fields]
        # Without an encoding, what a text holds is any bytes.
        given = [pa.binary() if self._raw and each == pa.string() else each for each in types]
        self._names = names
        self._parse = pc_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
        self._convert = pc_csv.ConvertOptions(
            column_types=dict(zip(names, given, strict=True)),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        )

    def batches(self, chunk: bytearray) -> Iterator[pa.RecordBatch]:
        options = pc_csv.ReadOptions(
            column_names=self._names, block_size=len(chunk) + 1, use_threads=False
        )
        table = pc_csv.read_csv(pa.py_buffer(chunk), options, self._parse, self._convert)
        for batch in table.combine_chunks().to_batches():
            yield self._read(batch)

    def _read(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            self._column(column, field)
            for column, field in zip(batch.columns, self._fields, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=self._names)

    def _column(self, column: pa.Array, field: _Column) -> pa.Array:
        if field.type_name == "bytea" and not field.is_array:
            cells = (None if c is None else bytes.fromhex(_str(c)) for c in column.to_pylist())
            return pa.array(cells, pa.binary())
        if pa.types.is_binary(column.type):
            texts = (None if c is None else values.full_text(c) for c in column.to_pylist())
            return pa.array(texts, pa.string())
        return column


def _str(cell: str | bytes) -> str:
    return cell if isinstance(cell, str) else cell.decode()
