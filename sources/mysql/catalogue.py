"""What MySQL and MariaDB tell about themselves: who they are, what the account may do, what there
is to read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sources.contract import (
    Named,
    Relation,
    Relations,
    ServerFacts,
    Table,
    TableColumn,
    account_warnings,
)
from sources.errors import QueryFailed
from sources.mysql.login import plain_version
from sources.mysql.values import column_type

if TYPE_CHECKING:
    from sources.mysql.driver import MySQLSession

ESTIMATED_TABLES = 500

_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?:\w+ )?(?P<scope>\*|`(?:[^`]|``)+`)\.")
_WRITES = re.compile(
    r"ALL PRIVILEGES|\b(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|SUPER|FILE|TRIGGER)\b"
)
_POWERS = re.compile(r"ALL PRIVILEGES|\b(SUPER|FILE|SHUTDOWN|RELOAD|PROCESS|CONNECTION ADMIN)\b")

_TABLES = """
SELECT table_schema, table_name, table_type FROM information_schema.tables
WHERE table_schema = DATABASE() ORDER BY table_name
"""
_ESTIMATES = """
SELECT table_name, table_rows, table_type = 'VIEW' AND table_comment LIKE '%references invalid%'
FROM information_schema.tables WHERE table_schema = DATABASE()
"""
_INNODB_ROWS = """
SELECT table_name, n_rows FROM mysql.innodb_table_stats WHERE database_name = DATABASE()
"""
_COLUMNS = """
SELECT column_name, column_type, is_nullable, column_key, data_type
FROM information_schema.columns
WHERE table_schema = {schema} AND table_name = {name} ORDER BY ordinal_position
"""
_RELATION = """
SELECT table_schema, table_name, column_name FROM information_schema.columns
WHERE table_schema = {schema} AND table_name = {name} ORDER BY ordinal_position
"""
_CHECKS = """
SELECT check_clause FROM information_schema.check_constraints
WHERE constraint_schema = {schema} AND table_name = {name}
"""


def facts(session: MySQLSession, tls: bool) -> ServerFacts:
    version, comment = (
        str(value) for value in session.rows("SELECT version(), @@version_comment")[0]
    )
    powerful, can_write = _rights(session)
    return ServerFacts(
        product="MariaDB" if "mariadb" in f"{version} {comment}".lower() else "MySQL",
        version=plain_version(version),
        tls=tls,
        can_write=can_write,
        warnings=account_warnings(can_write, powerful, session.params.ssl_mode, tls),
    )


def _rights(session: MySQLSession) -> tuple[bool, bool | None]:
    """Tell whether the account administers, and whether it may write: None where unknown."""
    try:
        grants = [_GRANT.match(str(row[0])) for row in session.rows("SHOW GRANTS")]
    except QueryFailed:
        return False, None
    here = [g for g in grants if g and _applies(g["scope"], session.params.database)]
    powerful = any(g["scope"] == "*" and _POWERS.search(g["rights"]) for g in here)
    return powerful, any(_WRITES.search(grant["rights"]) for grant in here)


def _applies(scope: str, database: str) -> bool:
    """Tell whether a grant's scope, "*" or a quoted pattern as for LIKE, takes `database` in."""
    if scope == "*":
        return True
    pattern = re.escape(scope[1:-1].replace("``", "`"))
    pattern = re.sub(r"(?<!\\)%", ".*", re.sub(r"(?<!\\)_", ".", pattern))
    return re.fullmatch(pattern.replace("\\\\", ""), database, re.IGNORECASE) is not None


def tables(session: MySQLSession) -> list[Table]:
    names = session.rows(_TABLES)
    quick = not session.conn.is_mariadb or len(names) <= ESTIMATED_TABLES
    estimates, broken = _estimates(session) if quick else (_cheap_estimates(session), set())
    return [
        Table(str(schema), str(name), _table_kind(str(kind)), estimates.get(str(name)))
        for schema, name, kind in names
        if name not in broken
    ]


def _estimates(session: MySQLSession) -> tuple[dict[str, int], set[str]]:
    """Return the database's guesses, and the views that nobody can read."""
    found = session.rows(_ESTIMATES)
    estimates = {str(name): int(rows) for name, rows, _ in found if rows is not None}
    return estimates, {str(name) for name, _, broken in found if broken == "1"}


def _cheap_estimates(session: MySQLSession) -> dict[str, int]:
    """Ask InnoDB's statistics, for those who may read them.

    MariaDB opens every table to answer what information_schema.tables estimates.
    """
    try:
        return {str(name): int(str(rows)) for name, rows in session.rows(_INNODB_ROWS)}
    except QueryFailed:
        return {}


def _table_kind(kind: str) -> str:
    return {"BASE TABLE": "table", "VIEW": "view", "SYSTEM VIEW": "view"}.get(kind, kind.lower())


def table_columns(session: MySQLSession, schema: str | None, name: str) -> list[TableColumn]:
    place = {"schema": _literal(schema) if schema else "DATABASE()", "name": _literal(name)}
    found = session.rows(_COLUMNS.format(**place))
    json_columns = _json_columns(session, place) if found else set()
    return [
        TableColumn(
            name=str(column),
            database_type=str(full),
            nullable=nullable == "YES",
            key={"PRI": "primary", "UNI": "unique"}.get(str(key)),
            data_type=column_type(str(data_type), str(full), str(column) in json_columns),
        )
        for column, full, nullable, key, data_type in found
    ]


def relations(session: MySQLSession, names: Sequence[Named]) -> Relations:
    path = tuple(str(row[0]) for row in session.rows("SELECT DATABASE()") if row[0])
    found = []
    for schema, name in dict.fromkeys(names):
        place = {"schema": _literal(schema) if schema else "DATABASE()", "name": _literal(name)}
        # One by one: with several at once MariaDB opens every table.
        if rows := session.rows(_RELATION.format(**place)):
            columns = tuple(str(row[2]) for row in rows)
            found.append(Relation(str(rows[0][0]), str(rows[0][1]), columns))
    return Relations(path, tuple(found))


def _json_columns(session: MySQLSession, place: dict[str, str]) -> set[str]:
    """MariaDB keeps JSON as text with a check; the check tells."""
    if not session.conn.is_mariadb:
        return set()
    try:
        found = session.rows(_CHECKS.format(**place))
    except QueryFailed:
        return set()
    clauses = (re.fullmatch(r"json_valid\(`(.+)`\)", str(row[0])) for row in found)
    return {match[1].replace("``", "`") for match in clauses if match}


def _literal(text: str) -> str:
    """Return a literal that no SQL mode reads differently."""
    return f"_utf8mb4 x'{text.encode().hex()}'"
