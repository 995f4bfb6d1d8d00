"""MySQL and MariaDB, through PyMySQL over a socket of our own."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pymysql

from . import network, tls, values
from .base import (
    Driver,
    Json,
    Result,
    ResultColumn,
    ServerFacts,
    Session,
    SourceParams,
    Table,
    TableColumn,
    account_warnings,
)
from .errors import AnswerTooLarge, QueryFailed, SourceError, SourceTimeout, SourceUnreachable
from .mysql_values import column_type, reader
from .mysql_wire import MySQLConnection
from .values import Budget, Reader
from .watch import Watch
from .watched_socket import WatchedSocket

SNIFF_AFTER_S = 1.0
KILL_S = 1.0
DRAIN_BYTES = 1024 * 1024
DRAIN_ROWS = 2000
ESTIMATED_TABLES = 500

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
_TIMED_OUT = {1317, 1969, 3024}
_READ_ONLY = 1792
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?:\w+ )?(?P<scope>\*|`(?:[^`]|``)+`)\.")
_WRITES = re.compile(
    r"ALL PRIVILEGES|\b(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|SUPER|FILE|TRIGGER)\b"
)
_POWERS = re.compile(r"ALL PRIVILEGES|\b(SUPER|FILE|SHUTDOWN|RELOAD|PROCESS|CONNECTION ADMIN)\b")

_TABLES = """
SELECT table_schema, table_name, table_type FROM information_schema.tables
WHERE table_schema = DATABASE() ORDER BY table_name
"""
_ROWS = """
SELECT table_name, table_rows FROM information_schema.tables WHERE table_schema = DATABASE()
"""
_INNODB_ROWS = """
SELECT table_name, n_rows FROM mysql.innodb_table_stats WHERE database_name = DATABASE()
"""
_COLUMNS = """
SELECT column_name, column_type, is_nullable, column_key, data_type
FROM information_schema.columns
WHERE table_schema = {schema} AND table_name = {name} ORDER BY ordinal_position
"""
_CHECKS = """
SELECT check_clause FROM information_schema.check_constraints
WHERE constraint_schema = {schema} AND table_name = {name}
"""

_LOGIN_ERRORS: dict[int, tuple[str, str, str, str]] = {}
for _codes, _error in (
    (
        (1045, 1698, 1251, 1275, 1820, 1862, 2059, 3118, 3955, 4151),
        (
            "authentication_failed",
            "login",
            "{address} refused the login of user {user}",
            "Check the user name and the password.",
        ),
    ),
    (
        (1049,),
        (
            "unknown_database",
            "database",
            "{address} has no database {database}",
            "Check the database's name; capitals can count.",
        ),
    ),
    (
        (1044,),
        (
            "permission_denied",
            "database",
            "User {user} may not use database {database} at {address}",
            "Check the database's name, and grant the account SELECT on it.",
        ),
    ),
    (
        (1129, 1130),
        (
            "permission_denied",
            "login",
            "{address} accepts no connection from this machine",
            "Allow this machine in the account's host part; FLUSH HOSTS unblocks a blocked one.",
        ),
    ),
    (
        (1040, 1203, 1226),
        (
            "too_many_connections",
            "login",
            "{address} has no connection left for user {user}",
            "Wait, raise the server's limit, or close connections that are not needed.",
        ),
    ),
    ((2026, 3159), ("tls_failed", "tls", "TLS with {address} failed", "Check ssl_mode.")),
    (
        (1053, 1077, 1079, 3169),
        ("unknown", "login", "{address} is starting up or shutting down", "Try again in a moment."),
    ),
):
    _LOGIN_ERRORS |= dict.fromkeys(_codes, _error)


# They change something outside the query, or run text as SQL where no guard looks.
_SIDE_EFFECTS = r"""
    load_file | get_lock | release_lock | release_all_locks | sys_(exec|eval|set|get)
  | nextval | setval | (master|source)_\w+_wait | wait_for_\w+ | wait_until_\w+
  | keyring_\w+ | group_replication_\w+ | asynchronous_connection_failover_\w+
  | service_\w+_locks? | audit_\w+ | mysql_firewall_\w+ | http\w*
"""


class MySQLDriver(Driver):
    kind = "mysql"
    label = "MySQL or MariaDB"
    default_port = 3306
    sql_dialect = "mysql"
    side_effects = _SIDE_EFFECTS

    def open(self, params: SourceParams, watch: Watch) -> MySQLSession:
        tls.check_mode(params)
        with ExitStack() as stack:
            conn = _connect(params, watch, stack)
            return MySQLSession(params, watch, conn, stack.pop_all())
        raise AssertionError("unreachable")


def _connect(params: SourceParams, watch: Watch, stack: ExitStack) -> MySQLConnection:
    sock = _reach(params, watch, stack)
    peer = sock.getpeername()[:2]
    conn = MySQLConnection(params)
    stack.callback(conn.quit)
    try:
        watch.stage = "login"
        _await_greeting(sock, params, peer, watch)
        conn.connect(WatchedSocket(sock, watch))
        return conn
    except SourceTimeout as exc:
        raise SourceTimeout(
            f"{params.address} accepted the connection, but did not answer as MySQL in time.",
            hint="Check that MySQL or MariaDB listens on that port and is not overloaded.",
            stage=watch.stage,
        ) from exc
    except SourceError:
        raise
    except pymysql.Error as exc:
        raise _login_error(exc, params, peer, watch) from exc
    except Exception as exc:  # what PyMySQL says to bytes that are not its protocol has many names
        raise _stranger(params, peer, watch, "something else") from exc


def _reach(params: SourceParams, watch: Watch, stack: ExitStack) -> socket.socket:
    if params.ssh is not None:
        from .ssh import relay  # only tunnels need paramiko, which is slow to import

        return network.dial_one(stack.enter_context(relay(params, watch)), params.address, watch)
    addresses = network.resolve(params.host, watch)
    return network.dial(addresses, params.port, params.address, watch)


def _await_greeting(
    sock: socket.socket, params: SourceParams, peer: tuple[str, int], watch: Watch
) -> None:
    """The server speaks first; after a second of silence look what else may be listening."""
    if network.readable(sock, SNIFF_AFTER_S, watch):
        return
    found = network.sniff(peer, watch)
    if found and found != "MySQL or MariaDB":
        raise network.something_else(params.address, MySQLDriver.label, found, watch.stage)


def _login_error(
    exc: pymysql.Error, params: SourceParams, peer: tuple[str, int], watch: Watch
) -> SourceUnreachable:
    code = _code(exc)
    if code in _LOGIN_ERRORS:
        error_code, stage, message, hint = _LOGIN_ERRORS[code]
        place = {
            "address": params.address,
            "user": f'"{params.username}"',
            "database": f'"{params.database}"',
        }
        return SourceUnreachable(
            f"{message.format(**place)}: {_said(exc, params)}",
            error_code=error_code,
            hint=hint,
            stage=stage,
        )
    if code and 1000 <= code < 2000:
        return SourceUnreachable(
            f"{params.address} refused the connection: {_said(exc, params)}",
            hint="See the server's log.",
            stage=watch.stage,
        )
    nonsense = isinstance(exc, pymysql.err.InternalError)
    return _stranger(params, peer, watch, "something else" if nonsense else None)


def _stranger(
    params: SourceParams, peer: tuple[str, int], watch: Watch, guess: str | None
) -> SourceUnreachable:
    """Return the error for a server that did not get through the login as MySQL would."""
    found = network.sniff(peer, watch) or guess
    if found and found != "MySQL or MariaDB":
        return network.something_else(params.address, MySQLDriver.label, found, watch.stage)
    return SourceUnreachable(
        f"{params.address} ended the connection before the login was complete.",
        hint="Check the port and the kind of database, and see the server's log.",
        stage=watch.stage,
    )


def _code(exc: BaseException) -> int | None:
    return exc.args[0] if exc.args and isinstance(exc.args[0], int) else None


def _said(exc: pymysql.Error, params: SourceParams) -> str:
    """Return the server's own words on one line, without the password."""
    words = " ".join(str(exc.args[1] if len(exc.args) > 1 else exc).split())
    if len(params.password) >= 4:
        words = words.replace(params.password, "…")
    return (words.rstrip(".")[:500] or "it is closed") + "."


class MySQLSession(Session):
    """A logged-in connection; what it sends and receives is under the watch of its current use."""

    def __init__(
        self, params: SourceParams, watch: Watch, conn: MySQLConnection, resources: ExitStack
    ) -> None:
        self.params = params
        self.conn = conn
        self.resources = resources
        self.tls = bool(conn._secure)
        self.clean = True
        self.watch = watch
        self.modes = self._modes()

    @property
    def watch(self) -> Watch:
        return self._watch

    @watch.setter
    def watch(self, watch: Watch) -> None:
        self._watch = watch
        if self.conn._sock is not None:
            self.conn.watched.watch = watch
            self.conn.watched.received = 0

    def _modes(self) -> str:
        """Return the session's own SQL modes, without those that the guard does not read by."""
        modes = str(self.rows("SELECT @@sql_mode")[0][0]).split(",")
        return ",".join(mode for mode in modes if mode and mode.upper() not in _FOREIGN_MODES)

    # -- the wire

    def command(self, sql: str) -> None:
        """Run a command of our own that has no result."""
        self.trap(lambda: self.conn.query(sql.encode()))

    def rows(self, sql: str) -> list[list[str | None]]:
        """Run a query of our own and return its rows as text."""
        self.command(sql)
        found = self.conn._result.rows or ()
        return [
            [None if cell is None else cell.decode("utf-8", "replace") for cell in row]
            for row in found
        ]

    def trap(self, work: Callable[[], Any]) -> Any:
        """Run `work`; what goes wrong becomes a SourceError."""
        try:
            return work()
        except SourceError:
            raise
        except pymysql.Error as exc:
            raise self.failure(exc) from exc
        except Exception as exc:
            self.conn._force_close()
            raise SourceUnreachable(
                f"{self.params.address} sent what is not MySQL's protocol.",
                hint="See the server's log.",
                stage=self.watch.stage,
            ) from exc

    def failure(self, exc: pymysql.Error) -> SourceError:
        code = _code(exc)
        if code in _TIMED_OUT:
            return SourceTimeout("The query did not end in time and was cancelled.", stage="query")
        if code is None or (code >= 2000 and code < 3000) or code == 0 or not self.conn.open:
            return SourceUnreachable(
                f"The connection to {self.params.address} broke: {_said(exc, self.params)}",
                hint="See the server's log.",
                stage=self.watch.stage,
            )
        self.clean = True  # an error ends the answer: the session can go on
        said = _said(exc, self.params).rstrip(".")
        if code == _READ_ONLY:
            said = f"The session is read-only: {said}"
        return QueryFailed(said, database_code=str(code), stage="query")

    # -- what a session does

    def facts(self) -> ServerFacts:
        self.watch.stage = "query"
        version, comment = (
            str(value) for value in self.rows("SELECT version(), @@version_comment")[0]
        )
        powerful, can_write = self.rights()
        return ServerFacts(
            product="MariaDB" if "mariadb" in f"{version} {comment}".lower() else "MySQL",
            version=_plain_version(version),
            tls=self.tls,
            can_write=can_write,
            warnings=account_warnings(can_write, powerful),
        )

    def rights(self) -> tuple[bool, bool | None]:
        """Tell whether the account administers, and whether it may write: None where unknown."""
        try:
            grants = [_GRANT.match(str(row[0])) for row in self.rows("SHOW GRANTS")]
        except QueryFailed:
            return False, None
        here = [g for g in grants if g and _applies(g["scope"], self.params.database)]
        powerful = any(g["scope"] == "*" and _POWERS.search(g["rights"]) for g in here)
        return powerful, any(_WRITES.search(grant["rights"]) for grant in here)

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.conn.server_version.lower()

    def begin(self, limit_rows: int) -> None:
        seconds = self.watch.remaining_s() + 0.5
        # MariaDB counts this timeout in seconds, MySQL its counterpart in milliseconds.
        limit = (
            f"max_statement_time={seconds:.3f}"
            if self.is_mariadb
            else f"max_execution_time={seconds * 1000:.0f}"
        )
        if not self.is_mariadb and _numbers(self.conn.server_version) < (5, 7, 8):
            limit = "sql_auto_is_null=0"
        rows = limit_rows + 1 if limit_rows else 0
        settings = f"sql_mode='{self.modes}', sql_select_limit={rows}, {limit}"
        begin = (f"SET NAMES utf8mb4, {settings}", "START TRANSACTION READ ONLY")
        self.trap(lambda: self.conn.commands(*begin))

    def read(self, sql: str, limit_rows: int) -> Result:
        self.watch.stage = "query"
        self.begin(limit_rows)
        self.clean = False
        self.conn.watched.received = 0
        self.trap(lambda: self.conn.query(sql.encode(), unbuffered=True))
        result = self.conn._result
        budget = Budget(limit_rows)
        if not result.unbuffered_active:
            self.clean = True
            return Result((), [], False)
        readers = [reader(field) for field in result.fields]
        columns = tuple(
            ResultColumn(_text(field.name), kind)
            for field, (_, kind) in zip(result.fields, readers, strict=True)
        )
        self.collect(budget, [read for read, _ in readers])
        return Result(columns, budget.rows, budget.truncated)

    def collect(self, budget: Budget, readers: list[Reader]) -> None:
        """Take rows until there are no more, or no more fit."""
        rows = self.packets(readers)
        try:
            self.trap(lambda: budget.add_all(rows))
        except AnswerTooLarge:
            if not budget.rows:
                raise
            budget.truncated = True
            return
        self.drain()

    def packets(self, readers: list[Reader]) -> Iterator[tuple[list[Json], int]]:
        while (data := self.next_row()) is not None:
            yield values.row(_cells(data, len(readers)), readers), len(data)

    def next_row(self) -> bytes | None:
        data = self.conn.row()
        self.clean = data is None
        return data

    def drain(self) -> None:
        """Read what little is left, so that the session can be kept; a lot is not worth it."""
        until = self.conn.watched.received + DRAIN_BYTES
        for _ in range(DRAIN_ROWS):
            if self.clean or self.conn.watched.received > until:
                return
            self.trap(self.next_row)

    def tables(self) -> list[Table]:
        self.watch.stage = "query"
        names = self.rows(_TABLES)
        quick = not self.is_mariadb or len(names) <= ESTIMATED_TABLES
        estimates = self.estimates() if quick else self.cheap_estimates()
        return [
            Table(str(schema), str(name), _table_kind(str(kind)), estimates.get(str(name)))
            for schema, name, kind in names
        ]

    def estimates(self) -> dict[str, int]:
        return {str(name): int(rows) for name, rows in self.rows(_ROWS) if rows is not None}

    def cheap_estimates(self) -> dict[str, int]:
        """Ask InnoDB's statistics, for those who may read them.

        MariaDB opens every table to answer what information_schema.tables estimates.
        """
        try:
            return {str(name): int(str(rows)) for name, rows in self.rows(_INNODB_ROWS)}
        except QueryFailed:
            return {}

    def table_columns(self, schema: str | None, name: str) -> list[TableColumn]:
        self.watch.stage = "query"
        found = self.rows(_COLUMNS.format(schema=_schema(schema), name=_literal(name)))
        json_columns = self.json_columns(schema, name) if found else set()
        return [
            TableColumn(
                str(column),
                str(full),
                nullable == "YES",
                {"PRI": "primary", "UNI": "unique"}.get(str(key)),
                column_type(str(data_type), str(full), str(column) in json_columns),
            )
            for column, full, nullable, key, data_type in found
        ]

    def json_columns(self, schema: str | None, name: str) -> set[str]:
        """MariaDB keeps JSON as text with a check; the check tells."""
        if not self.is_mariadb:
            return set()
        try:
            found = self.rows(_CHECKS.format(schema=_schema(schema), name=_literal(name)))
        except QueryFailed:
            return set()
        clauses = (re.fullmatch(r"json_valid\(`(.+)`\)", str(row[0])) for row in found)
        return {match[1].replace("``", "`") for match in clauses if match}

    def reset(self) -> bool:
        if not self.clean or not self.conn.open:
            return False
        try:
            self.trap(self.conn.reset)
        except SourceError:
            return False
        return True

    def abort(self) -> None:
        """Kill the session from a second one: the server does not notice a reader's going."""
        self.conn._force_close()
        try:
            with ExitStack() as stack:
                other = _connect(self.params, Watch.seconds(KILL_S), stack)
                other.query(f"KILL {self.conn.thread_id()}".encode())
        except Exception:  # noqa: S110 - the server's own time limit remains
            pass
        finally:
            self.resources.close()

    def close(self) -> None:
        self.conn.quit()
        self.resources.close()

    @property
    def alive(self) -> bool:
        return bool(self.conn.open) and self.conn.watched.quiet


def _cells(data: bytes, count: int) -> list[bytes | None]:
    """Split a row of the text protocol: each cell is its length and its bytes, or 251 for NULL."""
    cells: list[bytes | None] = []
    at = 0
    for _ in range(count):
        size = data[at]
        at += 1
        if size == 251:
            cells.append(None)
            continue
        if size > 251:
            width = {252: 2, 253: 3, 254: 8}[size]
            size = int.from_bytes(data[at : at + width], "little")
            at += width
        cells.append(data[at : at + size])
        at += size
    return cells


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _literal(text: str) -> str:
    """Return a literal that no SQL mode reads differently."""
    return f"_utf8mb4 x'{text.encode().hex()}'"


def _schema(name: str | None) -> str:
    return _literal(name) if name else "DATABASE()"


def _table_kind(kind: str) -> str:
    return {"BASE TABLE": "table", "VIEW": "view", "SYSTEM VIEW": "view"}.get(kind, kind.lower())


def _plain_version(version: str) -> str:
    found = re.search(r"\d+\.\d+(?:\.\d+)?", version.removeprefix("5.5.5-"))
    return found.group() if found else version


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _plain_version(version).split(".") if part.isdigit())


def _applies(scope: str, database: str) -> bool:
    """Tell whether a grant's scope, "*" or a quoted pattern as for LIKE, takes `database` in."""
    if scope == "*":
        return True
    pattern = re.escape(scope[1:-1].replace("``", "`"))
    pattern = re.sub(r"(?<!\\)%", ".*", re.sub(r"(?<!\\)_", ".", pattern))
    return re.fullmatch(pattern.replace("\\\\", ""), database, re.IGNORECASE) is not None
