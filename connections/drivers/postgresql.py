"""PostgreSQL, through libpq's asynchronous calls (psycopg 3), so that every wait is ours.

The query goes out in the extended protocol as `DECLARE … CURSOR FOR <query>`: the server itself
refuses a second statement, and whatever is not a SELECT, VALUES, TABLE or WITH that only reads.
"""

from __future__ import annotations

import re
import select
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import generators, pq
from psycopg.conninfo import make_conninfo
from psycopg.waiting import Ready, Wait

from connections.sql_tokens import first_word

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
from .pg_values import TypeNames, column_type, converter
from .receive_guard import Guarded, bytes_in, guard
from .values import Budget, Reader
from .watch import Watch, too_large

T = TypeVar("T")

SNIFF_AFTER_S = 1.0
MAX_LOGIN_BYTES = 1024 * 1024
MAX_MESSAGE = 1000
_LABEL = "PostgreSQL"
CANCEL_S = 1.0

# One command, whose SELECT is also the transaction's first query: from then on it cannot be made
# writable. The statement guard relies on standard_conforming_strings, the values on the rest.
_BEGIN = """
BEGIN READ ONLY;
SELECT set_config('statement_timeout', '{timeout_ms}', true),
  set_config('standard_conforming_strings', 'on', true),
  set_config('datestyle', 'ISO, YMD', true), set_config('intervalstyle', 'postgres', true),
  set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true){jit}
"""
_DECLARE = b"DECLARE etl_preview NO SCROLL CURSOR FOR "

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

_LOGIN_ERRORS: tuple[tuple[str, str, str, str], ...] = (
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "permission_denied",
        "{address} accepts no login of user {user} to database {database} from this machine",
        "Add a line for this machine to the server's pg_hba.conf; some lines also ask for TLS.",
    ),
    (
        r"database .* does not exist",
        "unknown_database",
        "{address} has no database {database}",
        "Check the database's name; capitals count.",
    ),
    (
        r"permission denied for database|does not have CONNECT privilege",
        "permission_denied",
        "User {user} may not connect to database {database} at {address}",
        "Grant the account CONNECT on the database.",
    ),
    (
        r"too many clients|too many connections|remaining connection slots|connection limit",
        "too_many_connections",
        "{address} has no connection left for user {user}",
        "Wait, raise the server's limit, or close connections that are not needed.",
    ),
    (
        r"authentication failed|no password supplied|role .* does not exist"
        r"|not permitted to log in|SCRAM|GSSAPI|LDAP|RADIUS|Ident",
        "authentication_failed",
        "{address} refused the login of user {user}",
        "Check the user name and the password.",
    ),
    (
        r"server does not support SSL|SSL error|SSL SYSCALL|certificate|private key|TLS",
        "tls_failed",
        "TLS with {address} failed",
        "Check ssl_mode, and with verify-ca or verify-full that ssl_ca signed the certificate.",
    ),
    (
        r"starting up|shutting down|recovery mode|not yet accepting",
        "unknown",
        "{address} is starting up or shutting down",
        "Try again in a moment.",
    ),
)


# They change something outside the query, or run text as SQL where no guard looks.
_SIDE_EFFECTS = r"""
    pg_(terminate|cancel)_backend | pg_(reload_conf|promote|nextoid|notify|export_snapshot)
  | pg_rotate_logfile\w* | pg_read_(binary_)?file\w* | pg_stat_file | pg_ls_\w+ | pg_file_\w+
  | pg_write\w* | pg_(try_)?advisory_\w+ | pg_logical_\w+ | pg_replication_\w+ | pg_copy_\w+
  | pg_create_\w+ | pg_drop_\w+ | pg_switch_\w+ | pg_wal_replay_\w+ | pg_(start|stop)_backup
  | pg_backup_\w+ | pg_stat_reset\w* | pg_stat_statements_reset | pg_log_\w+ | pg_import_\w+
  | pg_extension_config_dump | pg_stop_making_pinned_objects | pg_sync_\w+ | pg_restore_\w+
  | pg_clear_\w+ | pg_truncate_\w+ | pg_prewarm | autoprewarm_\w+ | pg_buffercache_evict\w*
  | binary_upgrade_\w+ | heap_force_\w+ | brin_(de)?summarize\w* | gin_clean_\w+
  | lo_\w+ | loread | lowrite | nextval | setval | set_config | dblink\w*
  | postgres_fdw_disconnect\w* | (query|cursor|table|schema|database)_to_xml\w* | ts_stat
  | ts_rewrite | crosstab\w* | connectby | xpath_table | plpgsql_\w+
"""


class PostgresDriver(Driver):
    kind = "postgresql"
    label = _LABEL
    default_port = 5432
    sql_dialect = "postgres"
    side_effects = _SIDE_EFFECTS

    def open(self, params: SourceParams, watch: Watch) -> PostgresSession:
        tls.check_mode(params)
        with ExitStack() as stack:
            host, peer = _reach(params, watch, stack)
            options = _options(params, host, peer) | tls.libpq_options(params, stack)
            pgconn = _connect(options, params, peer, watch)
            return PostgresSession(params, watch, pgconn, stack.pop_all())
        raise AssertionError("unreachable")


def _reach(params: SourceParams, watch: Watch, stack: ExitStack) -> tuple[str, tuple[str, int]]:
    """Return the host's name and the numeric address that answers, tunnelled where asked."""
    if params.ssh is not None:
        from .ssh import relay  # only tunnels need paramiko, which is slow to import

        return params.host, stack.enter_context(relay(params, watch))
    addresses = network.resolve(params.host, watch)
    with network.dial(addresses, params.port, params.address, watch) as sock:
        found = sock.getpeername()
    return params.host.strip().strip("[]"), (found[0], found[1])


def _options(params: SourceParams, host: str, peer: tuple[str, int]) -> dict[str, Any]:
    """Return libpq's options, all of them, so that no environment variable or file has a say."""
    return {
        "host": host,
        "hostaddr": peer[0],
        "port": peer[1],
        "dbname": params.database,
        "user": params.username,
        "password": params.password,
        "passfile": "/nonexistent",
        "options": "",
        "client_encoding": "UTF8",
        "application_name": "etl-engine",
        "gssencmode": "disable",
        "target_session_attrs": "any",
        "channel_binding": "prefer",
    }


def _connect(
    options: dict[str, Any], params: SourceParams, peer: tuple[str, int], watch: Watch
) -> pq.abc.PGconn:
    watch.stage = "login" if params.ssl_mode == "disable" else "tls"
    try:
        conninfo = make_conninfo("", **options)
        return _drive_connection(generators.connect(conninfo), params, peer, watch)
    except psycopg.Error as exc:
        raise _login_error(str(exc), params, peer, watch) from exc
    except SourceTimeout as exc:
        raise SourceTimeout(
            f"{params.address} accepted the connection, but did not answer as PostgreSQL in time.",
            hint="Check that PostgreSQL listens on that port and is not overloaded.",
            stage=watch.stage,
        ) from exc


def _drive_connection(
    steps: Generator[tuple[int, Any], Any, T],
    params: SourceParams,
    peer: tuple[str, int],
    watch: Watch,
) -> T:
    """Advance libpq's connecting; after a second of silence look what else may be listening."""
    sniff_at = time.monotonic() + SNIFF_AFTER_S
    try:
        fd, wants = next(steps)
        while True:
            ready = _poll(fd, wants, watch)
            if bytes_in(fd) > MAX_LOGIN_BYTES:
                raise network.something_else(params.address, _LABEL, "something else", watch.stage)
            if not ready and time.monotonic() > sniff_at:
                sniff_at = watch.ends_at
                _refuse_strangers(params, peer, watch)
            fd, wants = steps.send(ready)
    except StopIteration as done:
        value: T = done.value
        return value
    finally:
        steps.close()


def _poll(fd: int, wants: int, watch: Watch) -> int:
    """Wait a slice of time for what libpq wants, and say which of it came (0 for none)."""
    watch.check()
    poll = select.poll()
    poll.register(
        fd,
        (select.POLLIN if wants & Wait.R else 0) | (select.POLLOUT if wants & Wait.W else 0),
    )
    ready = 0
    for _, event in poll.poll(max(1.0, 1000 * min(0.05, watch.remaining_s()))):
        if event & ~select.POLLOUT:
            ready |= wants & Ready.R
        if event & ~select.POLLIN:
            ready |= wants & Ready.W
    return ready


def _refuse_strangers(params: SourceParams, peer: tuple[str, int], watch: Watch) -> None:
    found = network.sniff(peer, watch)
    if found and found != _LABEL:
        raise network.something_else(params.address, _LABEL, found, watch.stage)


def _login_error(
    text: str, params: SourceParams, peer: tuple[str, int], watch: Watch
) -> SourceUnreachable:
    if "FATAL" not in text:
        _refuse_strangers(params, peer, watch)
    place = {
        "address": params.address,
        "user": f'"{params.username}"',
        "database": f'"{params.database}"',
    }
    said = _said(text, params)
    for pattern, code, message, hint in _LOGIN_ERRORS:
        if re.search(pattern, text):
            stage = {"tls_failed": "tls", "unknown_database": "database"}.get(code, "login")
            if code == "permission_denied" and "CONNECT" in hint:
                stage = "database"
            return SourceUnreachable(
                f"{message.format(**place)}: {said}", error_code=code, hint=hint, stage=stage
            )
    if re.search(r"invalid response to SSL|expected authentication request|message type 0x", text):
        raise network.something_else(params.address, _LABEL, "something else", watch.stage)
    return SourceUnreachable(
        f"{params.address} ended the connection: {said}",
        hint="See the server's log.",
        stage=watch.stage,
    )


def _said(text: str, params: SourceParams) -> str:
    """Return the server's words on one line, without libpq's preamble and the password."""
    words = re.sub(r"^connection (failed|is bad): ", "", text)
    words = re.sub(r'connection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: ', "", words)
    words = re.sub(r"(?:FATAL|ERROR):\s+", "", words)
    words = " ".join(words.split())
    if len(params.password) >= 4:
        words = words.replace(params.password, "…")
    return words.rstrip(".")[:500] + "."


class PostgresSession(Session):
    """A libpq connection, driven under the watch of whoever uses it at the moment."""

    def __init__(
        self, params: SourceParams, watch: Watch, pgconn: pq.abc.PGconn, resources: ExitStack
    ) -> None:
        self.params = params
        self.watch = watch
        self.pgconn = pgconn
        self.resources = resources
        self.types = TypeNames()
        self.guarded: Guarded | None = None
        pgconn.notice_handler = None

    # -- the wire

    @property
    def fd(self) -> int:
        try:
            return int(self.pgconn.socket)
        except psycopg.Error as exc:
            raise self.lost(exc) from exc

    def drive(self, steps: Generator[Any, Any, T]) -> T:
        """Advance libpq's steps until they end, the time is up, or too much has come in."""
        fd = self.fd
        try:
            wants = next(steps)
            while True:
                ready = _poll(fd, wants, self.watch)
                wants = steps.send(ready)
        except StopIteration as done:
            value: T = done.value
            return value
        except psycopg.Error as exc:
            raise self.lost(exc) from exc

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """End the connection when more comes in than the watch lets in."""
        outer = self.guarded
        try:
            with guard(self.fd, self.watch) as self.guarded:
                yield
        finally:
            self.guarded = outer

    def lost(self, exc: Exception) -> SourceError:
        words = _said(str(exc), self.params)
        if self.guarded is not None and self.guarded.tripped:
            return too_large(self.watch)
        return SourceUnreachable(
            f"The connection to {self.params.address} broke: {words}",
            hint="See the server's log.",
            stage=self.watch.stage,
        )

    def simple(self, sql: str) -> list[pq.abc.PGresult]:
        """Run commands of our own, several at once."""
        self.send(lambda: self.pgconn.send_query(sql.encode()))
        return self.checked(self.drive(generators.execute(self.pgconn)))

    def extended(
        self, sql: bytes, params: list[str | None] | None = None, offset: int = 0
    ) -> pq.abc.PGresult:
        """Run one statement; the server refuses more. Errors count characters after `offset`."""
        given = None if params is None else [p if p is None else p.encode() for p in params]
        self.send(lambda: self.pgconn.send_query_params(sql, given))
        return self.checked(self.drive(generators.execute(self.pgconn)), offset)[-1]

    def stream(self, sql: str) -> Iterator[pq.abc.PGresult]:
        """Run a query of our own and yield a result for each row, as it comes in."""
        self.send(lambda: self.pgconn.send_query(sql.encode()))
        self.pgconn.set_single_row_mode()
        self.drive(generators.send(self.pgconn))
        while (result := self.drive(generators.fetch(self.pgconn))) is not None:
            yield self.checked([result])[0]

    def send(self, queue: Callable[[], None]) -> None:
        try:
            queue()
        except psycopg.Error as exc:
            raise self.lost(exc) from exc

    def checked(self, results: list[pq.abc.PGresult], offset: int = 0) -> list[pq.abc.PGresult]:
        for result in results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise self.failure(result, offset)
        return results

    def failure(self, result: pq.abc.PGresult, offset: int) -> SourceError:
        field = pq.DiagnosticField
        parts = {
            name: (result.error_field(code) or b"").decode("utf-8", "replace")
            for name, code in (
                ("code", field.SQLSTATE),
                ("message", field.MESSAGE_PRIMARY),
                ("detail", field.MESSAGE_DETAIL),
                ("hint", field.MESSAGE_HINT),
                ("position", field.STATEMENT_POSITION),
            )
        }
        if parts["code"] == "57014":
            return SourceTimeout("The query did not end in time and was cancelled.", stage="query")
        if parts["code"].startswith(("08", "57P")):
            return SourceUnreachable(
                f"{self.params.address} ended the connection: {parts['message']}.",
                hint="Try again, and see the server's log.",
                stage="query",
            )
        return QueryFailed(
            _query_message(parts, offset),
            database_code=parts["code"],
            hint=parts["hint"],
            stage="query",
        )

    # -- what a session does

    def facts(self) -> ServerFacts:
        self.watch.stage = "query"
        version, number = (str(value) for value in self.rows(_FACTS)[0])
        superuser, can_write = self.rights()
        return ServerFacts(
            product=version.split()[0],
            version=number.split()[0],
            tls=bool(self.pgconn.ssl_in_use),
            can_write=can_write,
            warnings=account_warnings(can_write, superuser),
        )

    def rights(self) -> tuple[bool, bool | None]:
        """Tell whether the account is a superuser, and whether it may write: None where unknown.

        Some databases that speak PostgreSQL's protocol do not have all that this asks for.
        """
        try:
            superuser, can_write = self.rows(_RIGHTS)[0]
        except QueryFailed:
            return False, None
        return superuser == "t", can_write == "t"

    def rows(self, sql: str, params: list[str | None] | None = None) -> list[list[str | None]]:
        """Run a query of our own and return its rows as text."""
        with self.guarding():
            result = self.extended(sql.encode(), params)
        return [
            [
                None
                if (cell := result.get_value(r, c)) is None
                else cell.decode("utf-8", "replace")
                for c in range(result.nfields)
            ]
            for r in range(result.ntuples)
        ]

    def read(self, sql: str, limit_rows: int) -> Result:
        self.watch.stage = "query"
        with self.guarding():
            self.simple(self.begin())
            if first_word(sql, PostgresDriver.sql_dialect) in ("show", "explain"):
                return self.whole(sql, limit_rows)
            return self.cursor(sql, limit_rows)

    def begin(self) -> str:
        """Return the command that opens the read-only transaction.

        PostgreSQL compiles a query that looks expensive, for longer than its first rows take.
        """
        jit = ", set_config('jit', 'off', true)" if self.pgconn.server_version >= 110000 else ""
        return _BEGIN.format(timeout_ms=int(self.watch.remaining_s() * 1000) + 500, jit=jit)

    def whole(self, sql: str, limit_rows: int) -> Result:
        """Read SHOW and EXPLAIN, which a cursor does not take."""
        result = self.extended(sql.encode())
        return self.result(result, iter([result]), limit_rows)

    def cursor(self, sql: str, limit_rows: int) -> Result:
        self.extended(_DECLARE + sql.encode(), offset=len(_DECLARE))
        self.send(lambda: self.pgconn.send_describe_portal(b"etl_preview"))
        shape = self.checked(self.drive(generators.execute(self.pgconn)))[-1]
        fetch = self.stream(f"FETCH FORWARD {limit_rows + 1} FROM etl_preview")
        return self.result(shape, fetch if limit_rows else iter(()), limit_rows)

    def result(
        self, shape: pq.abc.PGresult, parts: Iterator[pq.abc.PGresult], limit_rows: int
    ) -> Result:
        oids = [shape.ftype(index) for index in range(shape.nfields)]
        names = [
            (shape.fname(index) or b"").decode("utf-8", "replace") for index in range(shape.nfields)
        ]
        self.types.learn(oids, self.rows)
        readers = [converter(oid, self.types) for oid in oids]
        columns = tuple(
            ResultColumn(name, column_type(oid, self.types))
            for name, oid in zip(names, oids, strict=True)
        )
        budget = Budget(limit_rows)
        self.collect(budget, parts, readers)
        return Result(columns, budget.rows, budget.truncated)

    def collect(
        self, budget: Budget, parts: Iterator[pq.abc.PGresult], readers: list[Reader]
    ) -> None:
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

    def tables(self) -> list[Table]:
        self.watch.stage = "query"
        return [
            Table(str(schema), str(name), str(kind), None if rows is None else int(rows))
            for schema, name, kind, rows in self.rows(_TABLES)
        ]

    def table_columns(self, schema: str | None, name: str) -> list[TableColumn]:
        self.watch.stage = "query"
        found = self.rows(_COLUMNS, [schema, name])
        self.types.learn([int(str(row[4])) for row in found], self.rows)
        return [
            TableColumn(
                str(row[0]),
                str(row[1]),
                row[2] == "t",
                row[3],
                column_type(int(str(row[4])), self.types),
            )
            for row in found
        ]

    def reset(self) -> bool:
        status = self.pgconn.transaction_status
        if status not in (
            pq.TransactionStatus.IDLE,
            pq.TransactionStatus.INTRANS,
            pq.TransactionStatus.INERROR,
        ):
            return False
        try:
            with self.guarding():
                if status != pq.TransactionStatus.IDLE:
                    self.simple("ROLLBACK")
                self.simple("DISCARD ALL")
        except SourceError:
            return False
        return bool(self.pgconn.transaction_status == pq.TransactionStatus.IDLE)

    def abort(self) -> None:
        try:
            if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                self.cancel()
        except Exception:  # noqa: S110 - the connection is given up in any case
            pass
        finally:
            self.close()

    def cancel(self) -> None:
        cancel = self.pgconn.cancel_conn()
        cancel.start()
        steps = generators.cancel(cancel)
        try:
            _drive_connection(steps, self.params, ("", 0), Watch.seconds(CANCEL_S))
        finally:
            cancel.finish()

    def close(self) -> None:
        self.pgconn.finish()
        self.resources.close()

    @property
    def alive(self) -> bool:
        return self.pgconn.status == pq.ConnStatus.OK and _quiet(self.pgconn.socket)


def _quiet(fd: int) -> bool:
    """An idle connection has nothing to read; if it has, it is the server's goodbye."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return not poll.poll(0)


def _query_message(parts: dict[str, str], offset: int) -> str:
    """Return the database's message, its detail, and where in the query it points."""
    message = parts["message"][:MAX_MESSAGE]
    if parts["detail"]:
        message += f" ({parts['detail'].rstrip('.')[:MAX_MESSAGE]})"
    if parts["code"] == "25006":
        message = f"The session is read-only: {message}"
    position = int(parts["position"] or 0) - offset
    return f"{message} (at character {position})" if position > 0 else message


def _cells(result: pq.abc.PGresult, readers: list[Reader]) -> Iterator[tuple[list[Json], int]]:
    """Yield each row as JSON values, with the bytes that it took on the wire."""
    for row in range(result.ntuples):
        raw = [result.get_value(row, column) for column in range(len(readers))]
        yield values.row(raw, readers), sum(map(len, filter(None, raw)))
