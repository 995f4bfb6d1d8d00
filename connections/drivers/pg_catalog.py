"""What PostgreSQL tells about itself: who it is, what the account may do, what there is to read."""

from __future__ import annotations

from .base import ServerFacts, Table, TableColumn, account_warnings
from .errors import QueryFailed
from .pg_values import TypeNames, column_type
from .pg_wire import PostgresConnection

_FACTS = "SELECT version(), current_setting('server_version')"
_RIGHTS = """
SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  NOT pg_is_in_recovery() AND (
    has_database_privilege(current_database(), 'CREATE') OR EXISTS (
      SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)'
        AND has_schema_privilege(n.oid, 'USAGE')
        AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')))
"""

_TABLES = """
SELECT n.nspname, c.relname,
  CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
    WHEN 'f' THEN 'foreign table'
    ELSE 'table' END,
  CASE WHEN c.relkind = 'v' OR c.reltuples < 0 THEN NULL
    ELSE c.reltuples::bigint END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname !~ '^(pg_|information_schema$)'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY 1, 2
"""

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  (SELECT min(CASE WHEN i.indisprimary THEN 'primary' ELSE 'unique' END) FROM pg_index i
   WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisunique AND i.indnkeyatts = 1
     AND i.indpred IS NULL)
     AND a.attnum = ANY (i.indkey::int2[])),
  CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.oid = (
    SELECT k.oid FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace
    WHERE k.relname = $2 AND k.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND CASE WHEN $1::text IS NULL THEN n.nspname !~ '^(pg_|information_schema$)'
        ELSE n.nspname = $1 END
    ORDER BY pg_table_is_visible(k.oid) DESC, n.nspname LIMIT 1)
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


def facts(wire: PostgresConnection) -> ServerFacts:
    version, number = (str(value) for value in wire.rows(_FACTS)[0])
    superuser, can_write = _rights(wire)
    return ServerFacts(
        product=version.split()[0],
        version=number.split()[0],
        tls=bool(wire.pgconn.ssl_in_use),
        can_write=can_write,
        warnings=account_warnings(can_write, superuser),
    )


def _rights(wire: PostgresConnection) -> tuple[bool, bool | None]:
    """Tell whether the account is a superuser, and whether it may write: None where unknown.

    Some databases that speak PostgreSQL's protocol do not have all that this asks for.
    """
    try:
        superuser, can_write = wire.rows(_RIGHTS)[0]
    except QueryFailed:
        return False, None
    return superuser == "t", can_write == "t"


def tables(wire: PostgresConnection) -> list[Table]:
    return [
        Table(str(schema), str(name), str(kind), None if rows is None else int(rows))
        for schema, name, kind, rows in wire.rows(_TABLES)
    ]


def table_columns(
    wire: PostgresConnection, types: TypeNames, schema: str | None, name: str
) -> list[TableColumn]:
    found = wire.rows(_COLUMNS, [schema, name])
    types.learn([int(str(row[4])) for row in found], wire.rows)
    return [
        TableColumn(
            name=str(row[0]),
            database_type=str(row[1]),
            nullable=row[2] == "t",
            key=row[3],
            data_type=column_type(int(str(row[4])), types),
        )
        for row in found
    ]
