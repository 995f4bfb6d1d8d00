"""What PostgreSQL tells about itself: who it is, what the account may do, what there is to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sources.contract import (
    Named,
    Relation,
    Relations,
    ServerFacts,
    SourceParams,
    Table,
    TableColumn,
    account_warnings,
)
from sources.errors import QueryFailed
from sources.postgresql.values import TypeNames, column_type

Ask = Callable[[str], list[list[str | None]]]

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
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relnatts > 0
  AND n.nspname !~ '^(pg_|information_schema$)'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')
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
    WHERE k.relname = {name} AND k.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND CASE WHEN {schema}::text IS NULL THEN n.nspname !~ '^(pg_|information_schema$)'
        ELSE n.nspname = {schema} END
    ORDER BY pg_table_is_visible(k.oid) DESC, n.nspname LIMIT 1)
  AND a.attnum > 0 AND NOT a.attisdropped
  AND has_schema_privilege(c.relnamespace, 'USAGE')
  AND has_column_privilege(c.oid, a.attnum, 'SELECT')
ORDER BY a.attnum
"""

_SEARCH_PATH = "SELECT unnest(current_schemas(true))"
_RELATIONS = """
SELECT w.i, n.nspname, c.relname, a.attname
FROM (VALUES {names}) w (i, oid) JOIN pg_class c ON c.oid = w.oid
  JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY w.i, a.attnum
"""


def facts(ask: Ask, params: SourceParams, tls: bool) -> ServerFacts:
    version, number = (str(value) for value in ask(_FACTS)[0])
    superuser, can_write = _rights(ask)
    return ServerFacts(
        product=version.split()[0],
        version=number.split()[0],
        tls=tls,
        can_write=can_write,
        warnings=account_warnings(can_write, superuser, params.ssl_mode, tls),
    )


def _rights(ask: Ask) -> tuple[bool, bool | None]:
    """Tell whether the account is a superuser, and whether it may write: None where unknown.

    Some databases that speak PostgreSQL's protocol do not have all that this asks for.
    """
    try:
        superuser, can_write = ask(_RIGHTS)[0]
    except QueryFailed:
        return False, None
    return superuser == "t", can_write == "t"


def tables(ask: Ask) -> list[Table]:
    return [
        Table(str(schema), str(name), str(kind), None if rows is None else int(rows))
        for schema, name, kind, rows in ask(_TABLES)
    ]


def table_columns(ask: Ask, types: TypeNames, schema: str | None, name: str) -> list[TableColumn]:
    place = {"schema": "NULL" if schema is None else literal(schema), "name": literal(name)}
    found = ask(_COLUMNS.format(**place))
    types.learn([int(str(row[4])) for row in found], ask)
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


def relations(ask: Ask, names: Sequence[Named]) -> Relations:
    path = tuple(str(row[0]) for row in ask(_SEARCH_PATH))
    if not names:
        return Relations(path)
    listed = ", ".join(
        f"({place}, to_regclass({literal(_quoted(*name))})::oid)"
        for place, name in enumerate(names)
    )
    columns: dict[tuple[str, str], list[str]] = {}
    for _, schema, table, column in ask(_RELATIONS.format(names=listed)):
        found = columns.setdefault((str(schema), str(table)), [])
        if column not in found:
            found.append(str(column))
    return Relations(path, tuple(Relation(*name, tuple(of)) for name, of in columns.items()))


def _quoted(schema: str | None, name: str) -> str:
    parts = [schema, name] if schema else [name]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """Return a literal that no setting of the session reads differently."""
    doubled = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{doubled}'"
