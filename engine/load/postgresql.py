"""A table of a PostgreSQL database."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc

from engine.load import pgcopy
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

MOST_NAME_BYTES = 63
_SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
_RELATIONS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "i": "an index",
              "S": "a sequence", "c": "a type", "I": "an index"}  # fmt: skip

_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',
       a.attidentity = 'a' OR coalesce(to_jsonb(a) ->> 'attgenerated', '') <> ''
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_RELATION = """
SELECT n.oid IS NOT NULL, c.relkind
FROM (SELECT 1) one
LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = %s
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = %s
"""
# A table has a type of its name; the names of array types give way to it.
_TYPE = """
SELECT 1
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = %s AND t.typname = %s AND NOT (t.typtype = 'b' AND t.typelem <> 0)
"""


AGAIN = {"40001", "40P01", "23505", "42P07", "42701", "42710"}
"""Conflicts, deadlocks, and what the second of two who make one table at once is told."""


class PostgresLoader(SqlLoader):
    """`connect` returns a session of psycopg2; the schema has to be there."""

    types = {
        "string": "text",
        "integer": "bigint",
        "float": "double precision",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "timestamp with time zone",
    }
    own_types = {
        "_mapping_id": "text",
        "_run_id": "text",
        "_loaded_at": "timestamp with time zone",
    }
    driver_error = psycopg2.Error

    def __init__(self, plan: Plan, connect: Connect, schema: str = "public") -> None:
        super().__init__(plan, connect)
        self._schema = schema

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""').replace("%", "%%") + '"'

    @property
    def table(self) -> str:
        return f"{self.quote(self._schema)}.{self.quote(self._plan.table)}"

    @property
    def loads(self) -> str:
        return f"{self.quote(self._schema)}.{LOADS}"

    def prepare(self, session: Any) -> None:
        session.autocommit = True
        session.set_client_encoding("UTF8")
        with session.cursor() as cursor:
            cursor.execute(
                "SET TIME ZONE 'UTC'; SET DateStyle = ISO; SET statement_timeout = 0;"
                " SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = 0;"
                " SET standard_conforming_strings = on; SET search_path = pg_catalog, pg_temp"
            )
        with contextlib.suppress(psycopg2.Error), session.cursor() as cursor:
            # From PostgreSQL 14 on: a session whose child is gone ends, whatever lock it waits for.
            cursor.execute("SET client_connection_check_interval = '2s'")

    def relation_problems(self) -> list[Problem]:
        ((has_schema, kind),) = self.run(_RELATION, self._schema, self._plan.table)
        if not has_schema:
            return [incompatible(f'There is no schema "{self._schema}"; it is never made here.')]
        if kind is None and self.run(_TYPE, self._schema, self._plan.table):
            kind = "c"
        if kind is None or kind in "rp":
            return []
        what = _RELATIONS.get(kind, "no table")
        return [incompatible(f'"{self._plan.table}" is {what}, not a table.')]

    def name_problems(self) -> list[Problem]:
        names = [field.name for field in self._plan.columns]
        return [
            *(
                incompatible(
                    f'The name "{name}" has more than {MOST_NAME_BYTES} bytes; '
                    "PostgreSQL would cut it."
                )
                for name in [*names, self._plan.table]
                if len(name.encode()) > MOST_NAME_BYTES
            ),
            *(
                incompatible(f'"{name}" is the name of a system column of PostgreSQL.')
                for name in names
                if name in _SYSTEM_COLUMNS
            ),
        ]

    def table_columns(self) -> list[TableColumn]:
        found = self.run(_COLUMNS, self._schema, self._plan.table)
        return [TableColumn(*row) for row in found]

    def has_loads(self) -> bool:
        ((_, kind),) = self.run(_RELATION, self._schema, LOADS)
        return kind is not None

    def make_loads(self) -> str:
        return (
            f"CREATE TABLE IF NOT EXISTS {self.loads} (table_name text, mapping_id text,"
            " token text, run_id text, rows_written bigint, duplicates bigint,"
            " committed_at timestamptz, cursor_value text, PRIMARY KEY (table_name, mapping_id))"
        )

    def make_table(self) -> list[str]:
        types = {each.name: self.types[each.data_type] for each in self._plan.columns}
        columns = ", ".join(
            f"{self.quote(name)} {kind}" for name, kind in (types | self.own_types).items()
        )
        return [f"CREATE TABLE {self.table} ({columns})", *self._make_index()]

    def _make_index(self) -> list[str]:
        """Return an index of the keys, where it holds keys of any length."""
        names = ", ".join(map(self.quote, self._plan.keys))
        if not names:
            return []
        if all(self.type_of(name) != "string" for name in self._plan.keys):
            return [f"CREATE INDEX ON {self.table} ({names})"]
        return (
            [f"CREATE INDEX ON {self.table} USING hash ({names})"]
            if len(self._plan.keys) == 1
            else []
        )

    def forget_cursors(self) -> None:
        # Should there be one by now, this is undone: the table cannot be made.
        self.run(
            f"UPDATE {self.loads} SET cursor_value = NULL WHERE table_name = %s", self._plan.table
        )

    def limit_time(self, timeout_s: float) -> None:
        self.run(f"SET statement_timeout = {int(timeout_s * 1000)}")

    def make_stage(self, columns: Sequence[str]) -> str:
        return f"CREATE TEMPORARY TABLE {STAGE} ({', '.join(columns)})"

    def order_type(self, data_type: pa.DataType) -> str:
        if pa.types.is_timestamp(data_type):
            return "timestamptz"
        return "bigint" if pa.types.is_integer(data_type) else 'text COLLATE "C"'

    def send(self, rows: pa.Table) -> None:
        if self._order_type is not None and pa.types.is_decimal(self._order_type):
            at = rows.schema.get_field_index(ORDER)
            rows = rows.set_column(at, ORDER, rows.column(at).cast(pa.string()))
        written = io.BytesIO(pgcopy.rows_of(rows))
        with self.open_cursor() as cursor:
            cursor.copy_expert(f"COPY {STAGE} FROM STDIN WITH (FORMAT binary)", written)

    def claim_place(self) -> str:
        return (
            f"INSERT INTO {self.loads} (table_name, mapping_id) VALUES (%s, %s)"
            " ON CONFLICT DO NOTHING"
        )

    def remove_duplicates(self) -> int:
        exact = self._order_type is not None and pa.types.is_decimal(self._order_type)
        value = f"{ORDER}::numeric" if exact else ORDER
        order = f"{value} DESC NULLS LAST, " if self._order_type is not None else ""
        names = ", ".join(map(self.quote, self._plan.keys))
        return self.change(
            f"DELETE FROM {STAGE} USING (SELECT {SEQUENCE} AS lost, row_number() OVER"
            f" (PARTITION BY {names} ORDER BY {order}{SEQUENCE} DESC) AS place FROM {STAGE}) ranked"
            f" WHERE {SEQUENCE} = lost AND place > 1"
        )

    def remove_overwritten(self) -> None:
        self.run(f"ANALYZE {STAGE}")
        same = " AND ".join(f"old.{name} = new.{name}" for name in map(self.quote, self._plan.keys))
        self.run(
            f"DELETE FROM {self.table} old USING {STAGE} new WHERE old._mapping_id = %s AND {same}",
            self._plan.mapping_id,
        )

    def refused_values(self, rows: pa.RecordBatch) -> list[Refusal]:
        return marked(
            rows,
            lambda column: pc.match_substring(column, "\x00"),
            "null_character",
            pa.types.is_string,
        )

    def trouble(self, exc: Exception) -> tuple[str, str] | None:
        state = getattr(exc, "pgcode", None) or ""
        if state in AGAIN or "concurrently" in str(exc):
            return None
        if not state and isinstance(exc, psycopg2.OperationalError | psycopg2.InterfaceError):
            return "target_unreachable", "See whether the database is up; the run is tried again."
        if state[:2] == "08" or state in ("57P01", "57P02", "57P03", "53300"):
            return "target_unreachable", "See whether the database is up; the run is tried again."
        if state in ("55P03", "57014", "25P03"):
            return "target_timeout", "See what holds the table; the run is tried again."
        if state[:2] == "54":  # a limit of the server: columns of a table, bytes of a row
            return "target_refused", TOO_WIDE
        return "target_refused", "Give the account the right to do this, or the server the space."
