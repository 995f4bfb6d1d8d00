"""Connect and log in to PostgreSQL, and tell what went wrong with it."""

from __future__ import annotations

import ctypes
import re
import select
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from . import login, network, pg_scram, tls
from .base import SourceParams
from .errors import SourceTimeout, SourceUnreachable
from .pg_wire import said
from .postgresql import LABEL
from .receive_guard import bytes_in
from .watch import Watch

CANCEL_S = 1.0
MAX_LOGIN_BYTES = 1024 * 1024
_USUAL, _VERBOSE = 1, 2  # libpq's PQERRORS_DEFAULT and PQERRORS_VERBOSE
_STATE = re.compile(r"(?<=:  )([0-9A-Z]{5}): ")
_LOCATION = re.compile(r"^LOCATION: .*$", re.MULTILINE)
_NO_PROTOCOL = r"invalid response to SSL|expected authentication request|message type 0x"


class _ClearTextAsked(SourceUnreachable):
    """The server wants the password as it is, where nothing hides it."""


class _Refusal(NamedTuple):
    """`state` is the SQLSTATE that means it in any language, `words` what it says in English."""

    state: str
    words: str
    error_code: str
    stage: str
    message: str
    hint: str


_REFUSALS = (
    # With ssl_mode prefer there are two attempts; a wrong password says more than a missing line.
    _Refusal(
        "28P01",
        "password authentication failed",
        "authentication_failed",
        "login",
        "{address} refused the login of user {user}",
        "Check the user name and the password.",
    ),
    _Refusal(
        "",
        r"pg_hba\.conf",
        "permission_denied",
        "login",
        "{address} accepts no login of user {user} to database {database} from this machine",
        "Add a line for this machine to the server's pg_hba.conf; some lines also ask for TLS.",
    ),
    _Refusal(
        "3D000",
        r"database .* does not exist",
        "unknown_database",
        "database",
        "{address} has no database {database}",
        "Check the database's name; capitals count.",
    ),
    _Refusal(
        "42501",
        r"permission denied for database|does not have CONNECT privilege",
        "permission_denied",
        "database",
        "User {user} may not connect to database {database} at {address}",
        "Grant the account CONNECT on the database.",
    ),
    _Refusal(
        "53300",
        r"too many clients|too many connections|remaining connection slots|connection limit",
        "too_many_connections",
        "login",
        "{address} has no connection left for user {user}",
        "Wait, raise the server's limit, or close connections that are not needed.",
    ),
    _Refusal(
        "28000",
        r"authentication failed|no password supplied|role .* does not exist"
        r"|not permitted to log in|SCRAM|GSSAPI|LDAP|RADIUS|Ident",
        "authentication_failed",
        "login",
        "{address} refused the login of user {user}",
        "Check the user name and the password.",
    ),
    _Refusal(
        "57P03",
        r"starting up|shutting down|recovery mode|not yet accepting",
        "unknown",
        "login",
        "{address} is starting up or shutting down",
        "Try again in a moment.",
    ),
    _Refusal(
        "",
        r"server does not support SSL|SSL error|SSL SYSCALL|certificate|private key|TLS",
        "tls_failed",
        "tls",
        "TLS with {address} failed",
        "Check ssl_mode, and with verify-ca or verify-full that ssl_ca signed the certificate.",
    ),
)


def log_in(params: SourceParams, watch: Watch, stack: ExitStack) -> pq.abc.PGconn:
    """Return a logged-in connection, which `stack` ends together with all that it needs.

    Raises SourceUnreachable, SourceTimeout, RequestAborted.
    """
    with login.reach(params, watch, stack) as sock:
        found = sock.getpeername()
        peer = (str(found[0]), int(found[1]))
        with _on_time(params, watch):
            options = _options(params, peer) | tls.libpq_options(params, stack)
            options |= _methods(params, pg_scram.options(sock, params, watch))
    watch.stage = "login" if params.ssl_mode == "disable" else "tls"
    with _on_time(params, watch):
        try:
            return _connect(options, params, peer, watch, stack)
        except _ClearTextAsked as asked:
            if params.ssl_mode != "prefer":
                raise
            # Where the server insists on the password as it is, TLS is no matter of taste.
            options |= {"sslmode": "require"} | _methods(replace(params, ssl_mode="require"), {})
            try:
                return _connect(options, params, peer, watch, stack)
            except SourceUnreachable as exc:
                raise (asked if exc.error_code == "tls_failed" else exc) from exc


@contextmanager
def _on_time(params: SourceParams, watch: Watch) -> Iterator[None]:
    try:
        yield
    except SourceTimeout as exc:
        raise SourceTimeout(
            f"{params.address} accepted the connection, but did not answer as PostgreSQL in time.",
            hint="Check that PostgreSQL listens on that port and is not overloaded.",
            stage=watch.stage,
        ) from exc


def _options(params: SourceParams, peer: tuple[str, int]) -> dict[str, Any]:
    """Return libpq's options, all of them, so that no environment variable or file has a say."""
    return {
        "host": params.hostname,
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


def _methods(params: SourceParams, scram: dict[str, str]) -> dict[str, str]:
    """Return the options that say how we log in: never by Kerberos, which waits on its own, and
    with the password as it is only where TLS is sure.
    """
    if pq.version() < 160000:
        return scram
    refused = ["!gss", "!sspi"]
    refused += [] if params.ssl_mode not in ("disable", "prefer") else ["!password"]
    refused += [scram["require_auth"]] if "require_auth" in scram else []
    return scram | {"require_auth": ",".join(refused)}


def _connect(
    options: dict[str, Any],
    params: SourceParams,
    peer: tuple[str, int],
    watch: Watch,
    stack: ExitStack,
) -> pq.abc.PGconn:
    pgconn = pq.PGconn.connect_start(make_conninfo("", **options).encode())
    stack.callback(pgconn.finish)
    _set_verbosity(pgconn, _VERBOSE)
    try:
        if _advance(pgconn, params, watch):
            _set_verbosity(pgconn, _USUAL)
            return pgconn
    except psycopg.Error as exc:
        raise _refused(str(exc), params, peer, watch) from exc
    raise _refused(pgconn.get_error_message(), params, peer, watch)


def _set_verbosity(pgconn: pq.abc.PGconn, verbosity: int) -> None:
    """Have libpq write the SQLSTATE into its errors or not; of a login it has no other way to tell.

    psycopg has no call for it. Without it a refusal is understood by its words, in English alone.
    """
    library, pointer = _libpq(), getattr(pgconn, "pgconn_ptr", None)
    if library is not None and pointer is not None:
        library.PQsetErrorVerbosity(ctypes.c_void_p(pointer), verbosity)


@cache
def _libpq() -> ctypes.CDLL | None:
    """Return the library that psycopg has loaded."""
    mapped = (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines())
    path = next((each for each in mapped if Path(each).name.startswith("libpq")), None)
    return ctypes.CDLL(path) if path else None


def _advance(pgconn: pq.abc.PGconn, params: SourceParams, watch: Watch) -> bool:
    """Tell whether the login succeeds."""
    if pgconn.status == pq.ConnStatus.BAD:
        return False
    while (step := pgconn.connect_poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
        _wait(pgconn.socket, step, watch)
        if bytes_in(pgconn.socket) > MAX_LOGIN_BYTES:
            raise network.something_else(params.address, LABEL, "something else", watch.stage)
    return bool(step == pq.PollingStatus.OK)


def _wait(fd: int, step: int, watch: Watch) -> None:
    """Wait for what libpq wants to do next."""
    watch.wait(fd, select.POLLIN if step == pq.PollingStatus.READING else select.POLLOUT)


def _refused(
    text: str, params: SourceParams, peer: tuple[str, int], watch: Watch
) -> SourceUnreachable:
    """Return the error for a login that failed, and of which libpq says `text`."""
    states = _STATE.findall(text)
    words = _LOCATION.sub("", _STATE.sub("", text))
    if "server requested a cleartext password" in words:
        return _ClearTextAsked(
            f"{params.address} asks for the password in clear text, on a connection without TLS.",
            error_code="authentication_failed",
            hint="Set ssl_mode to require, or let the server's pg_hba.conf say scram-sha-256.",
            stage="login",
        )
    if not states:
        network.refuse_strangers(peer, params.address, LABEL, watch)
    for refusal in _REFUSALS:
        if refusal.state in states or re.search(refusal.words, words):
            return login.refused(
                params,
                refusal.message,
                said(words, params),
                error_code=refusal.error_code,
                stage=refusal.stage,
                hint=refusal.hint,
            )
    if re.search(_NO_PROTOCOL, words):
        raise network.something_else(params.address, LABEL, "something else", watch.stage)
    return SourceUnreachable(
        f"{params.address} ended the connection: {said(words, params)}",
        hint="See the server's log.",
        stage=watch.stage,
    )


def cancel(pgconn: pq.abc.PGconn) -> None:
    """Ask the server, through a connection of its own, to stop what runs in `pgconn`.

    Takes a second at most. Raises psycopg.Error, SourceTimeout.
    """
    request = pgconn.cancel_conn()
    watch = Watch.seconds(CANCEL_S)
    request.start()
    try:
        while (step := request.poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            _wait(request.socket, step, watch)
    finally:
        request.finish()
