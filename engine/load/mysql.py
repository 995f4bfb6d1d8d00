"""A table of a MySQL or MariaDB database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pymysql

from engine.load.contract import Refusal, TableColumn, incompatible
from engine.load.sql import (
    LOADS,
    ORDER,
    SEQUENCE,
    STAGE,
    TOO_WIDE,
    Connect,
    SqlLoader,
    marked,
)
from engine.plan import Plan
from engine.problems import Problem

STATEMENT_ROWS = 5_000
MOST_NAME = 64
MOST_KEY = 255
_TEXT = "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_SHORT_TEXT = f"varchar({MOST_KEY}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_INDEXED_KEYS = 2  # more would pass the 3,072 bytes that an index takes
_SPARE_BYTES = 64 * 1024

# Names of tables count letter by letter, but on servers that write them all small.
_THIS = "(BINARY table_name = %s OR @@lower_case_table_names > 0 AND table_name = %s)"
_COLUMNS = f"""
SELECT column_name, data_type, column_type, character_set_name, is_nullable, column_default, extra
FROM information_schema.columns WHERE table_schema = DATABASE() AND {_THIS}
ORDER BY ordinal_position
"""
_RELATION = f"""
SELECT table_type, engine FROM information_schema.tables
WHERE table_schema = DATABASE() AND {_THIS}
"""


class MysqlLoader(SqlLoader):
    """`connect` returns a session of PyMySQL in the database that holds the table.

    What the service makes compares text letter by letter. `LOAD DATA LOCAL` would be faster, and
    would let a hostile server read files of this machine.
    """

    types = {
        "string": "longtext",
        "integer": "bigint",
        "float": "double",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "datetime(6)",
    }
    own_types = {"_mapping_id": "longtext", "_run_id": "longtext", "_loaded_at": "datetime(6)"}
    driver_error = pymysql.MySQLError

    def __init__(self, plan: Plan, connect: Connect) -> None:
        super().__init__(plan, connect)
        self._packet_bytes = 1024 * 1024
        self._short: set[str] = set()

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def prepare(self, session: Any) -> None:
        session.autocommit(True)
        with session.cursor() as cursor:
            cursor.execute("SET NAMES utf8mb4")
            cursor.execute(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES',"
                " SESSION time_zone = '+00:00', SESSION lock_wait_timeout = 60,"
                " SESSION wait_timeout = 28800, SESSION net_read_timeout = 600"
            )
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("SELECT @@max_allowed_packet")
            self._packet_bytes = int(cursor.fetchone()[0])

    def begin(self) -> None:
        super().begin()
        with self.translated("load"):
            rows = self.run(_COLUMNS, *[self._plan.table] * 2)
        self._short = {row[0] for row in rows if str(row[2]).lower() == f"varchar({MOST_KEY})"}

    def relation_problems(self) -> list[Problem]:
        found = self.run(_RELATION, *[self._plan.table] * 2)
        if not found:
            return []
        ((kind, engine),) = found
        if kind not in ("BASE TABLE", "SYSTEM VERSIONED"):
            return [incompatible(f'"{self._plan.table}" is a {kind.lower()}, not a table.')]
        if str(engine).lower() != "innodb":
            return [
                incompatible(
                    f'"{self._plan.table}" has the engine {engine}, which cannot undo what a '
                    "run that fails has written."
                )
            ]
        return []

    def name_problems(self) -> list[Problem]:
        return [
            incompatible(
                f'The name "{name}" has more than {MOST_NAME} characters, one beyond U+FFFF '
                "or a blank at the end; MySQL would change it."
            )
            for name in [*(field.name for field in self._plan.columns), self._plan.table]
            if len(name) > MOST_NAME or name.endswith(" ") or max(name) > "\uffff"
        ]

    def table_columns(self) -> list[TableColumn]:
        found = self.run(_COLUMNS, *[self._plan.table] * 2)
        return [_table_column(*row) for row in found]

    def has_loads(self) -> bool:
        return bool(self.run(_RELATION, LOADS, LOADS))

    def make_loads(self) -> str:
        return (
            f"CREATE TABLE IF NOT EXISTS {self.loads} (table_name varchar(64),"
            " mapping_id varchar(64), token varchar(255), run_id varchar(64), rows_written bigint,"
            " duplicates bigint, committed_at datetime(6), cursor_value longtext,"
            " PRIMARY KEY (table_name, mapping_id))"
            " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )

    def make_table(self) -> list[str]:
        fields = [f"{self.quote(f.name)} {self.ddl_type(f.name)}" for f in self._plan.columns]
        own = [f"_mapping_id {_SHORT_TEXT}", f"_run_id {_SHORT_TEXT}", "_loaded_at datetime(6)"]
        names = "".join(f", {self.quote(name)}" for name in self._plan.keys[:_INDEXED_KEYS])
        index = f"KEY _etl_rows (_mapping_id(24){names})"
        return [
            f"CREATE TABLE IF NOT EXISTS {self.table} ({', '.join([*fields, *own, index])})"
            " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ]

    def forget_cursors(self) -> None:
        self.run(
            f"UPDATE {self.loads} SET cursor_value = NULL WHERE table_name = %s"
            f" AND NOT EXISTS ({_RELATION})",
            *[self._plan.table] * 3,
        )

    def limit_time(self, timeout_s: float) -> None:
        ((version,),) = self.run("SELECT version()")
        # MariaDB counts this timeout in seconds, MySQL its counterpart in milliseconds.
        if "mariadb" in version.lower():
            self.run(f"SET SESSION max_statement_time = {timeout_s:.3f}")
        else:
            self.run(f"SET SESSION max_execution_time = {int(timeout_s * 1000)}")

    def make_stage(self, columns: Sequence[str]) -> str:
        names = ", ".join(map(self.quote, self._plan.keys[:_INDEXED_KEYS]))
        keys = [f"PRIMARY KEY ({SEQUENCE})", f"KEY ({names})"] if names else []
        return (
            f"CREATE TEMPORARY TABLE {STAGE} ({', '.join([*columns, *keys])})"
            " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )

    def ddl_type(self, name: str) -> str:
        if self.type_of(name) == "string":
            return _SHORT_TEXT if name in self._plan.keys else _TEXT
        return super().ddl_type(name)

    def order_type(self, data_type: pa.DataType) -> str:
        if pa.types.is_decimal(data_type):
            return "decimal(65,27)"
        if pa.types.is_timestamp(data_type):
            return "datetime(6)"
        return "bigint" if pa.types.is_integer(data_type) else _TEXT

    def send(self, rows: pa.Table) -> None:
        tuples = _tuples(rows.combine_chunks())
        with self.open_cursor() as cursor:
            for few in _statements(tuples, self._packet_bytes - _SPARE_BYTES):
                cursor.execute(f"INSERT INTO {STAGE} VALUES ".encode() + few)

    def claim_place(self) -> str:
        return f"INSERT IGNORE INTO {self.loads} (table_name, mapping_id) VALUES (%s, %s)"

    def remove_duplicates(self) -> int:
        # A temporary table cannot be named twice in one statement.
        order = f"{ORDER} DESC, " if self._order_type is not None else ""
        names = ", ".join(map(self._bytes_of, self._plan.keys))
        self.run("DROP TEMPORARY TABLE IF EXISTS _etl_lost")
        self.run(
            f"CREATE TEMPORARY TABLE _etl_lost AS SELECT {SEQUENCE} FROM (SELECT {SEQUENCE},"
            f" row_number() OVER (PARTITION BY {names} ORDER BY {order}{SEQUENCE} DESC) AS place"
            f" FROM {STAGE}) ranked WHERE place > 1"
        )
        return self.change(
            f"DELETE {STAGE} FROM {STAGE} JOIN _etl_lost"
            f" ON {STAGE}.{SEQUENCE} = _etl_lost.{SEQUENCE}"
        )

    def remove_overwritten(self) -> None:
        same = " AND ".join(map(self._same, self._plan.keys))
        self.run(
            f"DELETE old FROM {self.table} old JOIN {STAGE} new ON {same}"
            " WHERE old._mapping_id = %s",
            self._plan.mapping_id,
        )

    def _same(self, name: str) -> str:
        """Return the condition of equal keys: an index finds them, their bytes decide."""
        quoted = self.quote(name)
        found = f"old.{quoted} = new.{quoted}"
        if self.type_of(name) != "string":
            return found
        return f"{found} AND CAST(old.{quoted} AS BINARY) = CAST(new.{quoted} AS BINARY)"

    def _bytes_of(self, name: str) -> str:
        quoted = self.quote(name)
        return f"CAST({quoted} AS BINARY)" if self.type_of(name) == "string" else quoted

    def refused_values(self, rows: pa.RecordBatch) -> list[Refusal]:
        limit = self._packet_bytes - _SPARE_BYTES
        short = self._short.union(self._plan.keys)
        return [
            *marked(rows, _not_finite, "not_finite", pa.types.is_floating),
            *marked(
                rows,
                lambda column: pc.greater(pc.binary_length(column), limit),
                "value_too_large",
                pa.types.is_string,
            ),
            *marked(
                rows.select([name for name in rows.schema.names if name in short]),
                lambda column: pc.greater(pc.utf8_length(column), MOST_KEY),
                "key_too_long",
                pa.types.is_string,
            ),
        ]

    def moment(self, value: datetime) -> str:
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def trouble(self, exc: Exception) -> tuple[str, str] | None:
        number = exc.args[0] if exc.args else 0
        if number in _AGAIN:
            return None
        if number in _LOST or isinstance(exc, pymysql.InterfaceError):
            return "target_unreachable", "See whether the database is up; the run is tried again."
        if number in _SLOW:
            return "target_timeout", "See what holds the table; the run is tried again."
        if number in _WIDE or "Too many columns" in str(exc):
            return "target_refused", TOO_WIDE
        return "target_refused", "Give the account the right to do this, or the server the space."


# Numbers of errors: a deadlock, what another made meanwhile; a lost server, or one that is full or
# ends; a lock that was not given, a statement that took too long; columns that are too many.
_AGAIN = (1213, 1050, 1060, 1062)
_LOST = (1040, 1053, 1203, 1226, 1927, 2002, 2003, 2006, 2013)
_SLOW = (1205, 1969, 3024)
_WIDE = (1117, 1118)


def _table_column(
    name: str,
    data_type: str,
    column_type: str,
    charset: str | None,
    nullable: str,
    default: str | None,
    extra: str,
) -> TableColumn:
    given = nullable == "YES" or default is not None or "auto_increment" in extra.lower()
    # MySQL has DEFAULT_GENERATED, too, for a default that is an expression.
    generated = "stored generated" in extra.lower() or "virtual generated" in extra.lower()
    kind = _kind(str(data_type).lower(), str(column_type).lower(), charset)
    return TableColumn(name, kind, required=not given and not generated, generated=generated)


def _kind(data_type: str, column_type: str, charset: str | None) -> str:
    """Return a column's type as `MysqlLoader.types` names it, where it is one of these."""
    if column_type in ("longtext", f"varchar({MOST_KEY})"):
        return "longtext" if charset == "utf8mb4" else f"{column_type} in {charset}"
    if column_type == "tinyint(1)":
        return "boolean"
    return re.sub(r"^bigint\(\d+\)", "bigint", column_type)


def _not_finite(column: pa.Array) -> pa.Array:
    return pc.invert(pc.is_finite(column))


def _tuples(rows: pa.Table) -> pa.Array:
    """Return each row as the text of its values in a statement: `(1,'a',NULL)`."""
    columns = [pc.fill_null(_literals(_whole(column)), "NULL") for column in rows.columns]
    joined = pc.binary_join_element_wise(*columns, ",")
    return pc.binary_join_element_wise("(", joined, ")", "")


def _whole(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.combine_chunks()
    return chunks.chunk(0) if isinstance(chunks, pa.ChunkedArray) else chunks


def _literals(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.string())
    if pa.types.is_floating(kind):
        # With an exponent it is a double; without one MySQL reads a decimal first.
        text = column.cast(pa.string())
        return pc.if_else(
            pc.match_substring(text, "e"), text, pc.binary_join_element_wise(text, "e0", "")
        )
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_timestamp(kind):
        text = column.cast(pa.timestamp("us")).cast(pa.string())
    else:
        text = pc.replace_substring(column.cast(pa.string()), "'", "''")
    return pc.binary_join_element_wise("'", text, "'", "")


def _statements(tuples: pa.Array, most_bytes: int) -> Iterator[bytes]:
    """Return the values of statements, each of at most 5,000 rows and within a packet."""
    sizes = pc.add(pc.binary_length(tuples), 1).to_pylist()
    start, size = 0, 0
    for at, length in enumerate(sizes):
        if at > start and (at - start == STATEMENT_ROWS or size + length > most_bytes):
            yield _joined(tuples, start, at)
            start, size = at, 0
        size += length
    if len(sizes) > start:
        yield _joined(tuples, start, len(sizes))


def _joined(tuples: pa.Array, start: int, end: int) -> bytes:
    few = tuples.slice(start, end - start)
    whole = pa.ListArray.from_arrays(pa.array([0, len(few)], pa.int32()), few)
    joined: bytes = pc.binary_join(whole, ",")[0].as_buffer().to_pybytes()
    return joined
