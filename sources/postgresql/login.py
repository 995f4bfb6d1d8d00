"""Connect and log in to PostgreSQL, and tell what went wrong with it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import psycopg2

from sources import network, tls, tunnel
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceUnreachable
from sources.login import in_brief, refused, suspicious
from sources.postgresql import POSTGRESQL
from sources.postgresql.refusals import REFUSALS

LABEL = POSTGRESQL.label
_NO_PROTOCOL = (
    r"invalid response to SSL|expected authentication request|message type 0x|message contents do"
    r"|lost synchronization|invalid message|out of memory|received unencrypted data|packet length"
)


class _ClearTextAsked(SourceUnreachable):
    """The server wants the password as it is, where nothing hides it."""


def log_in(params: SourceParams, clock: Clock, stack: ExitStack) -> tuple[Any, tunnel.Port | None]:
    """Return a logged-in connection, and the port of the tunnel that it goes through.

    `stack` ends both. Raises SourceUnreachable.
    """
    tls.check_mode(params)
    port, peer = _way(params, clock, stack)
    options = _options(params, peer) | tls.libpq_options(params, stack)
    clock.stage = "login" if params.ssl_mode == "disable" else "tls"
    with suspicious(peer, params, POSTGRESQL, clock):
        conn = _logged_in(options, params, peer, clock)
    stack.callback(conn.close)
    if port is not None:
        port.close()
    return conn, port


def _way(
    params: SourceParams, clock: Clock, stack: ExitStack
) -> tuple[tunnel.Port | None, tuple[str, int]]:
    """Return where to connect: the address that answers first, or the tunnel's port."""
    if params.ssh is not None:
        port = stack.enter_context(tunnel.listening(params, clock))
        return port, ("127.0.0.1", port.number)
    addresses = network.resolve(params.host, clock)
    with network.dial(addresses, params.port, params.address, clock) as sock:
        found = sock.getpeername()
    return None, (str(found[0]), int(found[1]))


def _logged_in(
    options: dict[str, Any], params: SourceParams, peer: tuple[str, int], clock: Clock
) -> Any:
    try:
        return _connect(options | _methods(params), params, peer, clock)
    except _ClearTextAsked as asked:
        if params.ssl_mode != "prefer":
            raise
        # Where the server insists on the password as it is, TLS is no matter of taste.
        secure = replace(params, ssl_mode="require")
        try:
            return _connect(
                options | {"sslmode": "require"} | _methods(secure), params, peer, clock
            )
        except SourceUnreachable as exc:
            raise (asked if exc.error_code == "tls_failed" else exc) from exc


def _options(params: SourceParams, peer: tuple[str, int]) -> dict[str, Any]:
    """Return libpq's options, all of them, so that no file has a say."""
    return {
        "host": params.hostname,
        "hostaddr": peer[0],
        "port": peer[1],
        "dbname": params.database,
        "user": params.username,
        "password": params.password,
        "passfile": "/nonexistent",
        "client_encoding": "UTF8",
        "application_name": "etl-engine",
        "gssencmode": "disable",
        "target_session_attrs": "any",
        "channel_binding": "prefer",
        # A host that acknowledges nothing for a minute is gone, however long a query takes.
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 4,
        "tcp_user_timeout": 60_000,
    }


def _methods(params: SourceParams) -> dict[str, str]:
    """Return how we log in: never by Kerberos, with the password as it is only inside of TLS."""
    clear = params.ssl_mode not in ("disable", "prefer")
    return {"require_auth": "!gss,!sspi" if clear else "!gss,!sspi,!password"}


def _connect(
    options: dict[str, Any], params: SourceParams, peer: tuple[str, int], clock: Clock
) -> Any:
    try:
        conn = psycopg2.connect(**options)
        if conn.get_parameter_status("server_encoding") != "SQL_ASCII":
            return conn
        # Whatever bytes there are can be read as Latin-1, and be told apart later.
        conn.close()
        return psycopg2.connect(**options | {"client_encoding": "LATIN1"})
    except psycopg2.Error as exc:
        raise _refused(exc, params, peer, clock) from exc
    except UnicodeDecodeError as exc:
        raise network.something_else(params.address, LABEL, "something else", clock.stage) from exc


def _refused(
    exc: psycopg2.Error, params: SourceParams, peer: tuple[str, int], clock: Clock
) -> SourceUnreachable:
    """Return the error for a login that failed."""
    text = _without_preamble(str(exc))
    if "server requested a cleartext password" in text:
        return _ClearTextAsked(
            f"{params.address} asks for the password in clear text, on a connection without TLS.",
            error_code="authentication_failed",
            hint="Set ssl_mode to require, or let the server's pg_hba.conf say scram-sha-256.",
            stage="login",
        )
    for words, refusal in REFUSALS:
        if not words.search(text):
            continue
        if refusal.error_code == "tls_failed":
            network.refuse_strangers(peer, params.address, LABEL, clock)
        return refused(params, refusal, said(exc, params))
    network.refuse_strangers(peer, params.address, LABEL, clock)
    if re.search(_NO_PROTOCOL, text):
        return network.something_else(params.address, LABEL, "something else", clock.stage)
    return SourceUnreachable(
        f"{params.address} ended the connection: {said(exc, params)}",
        hint="See the server's log.",
        stage=clock.stage,
    )


def _without_preamble(text: str) -> str:
    return re.sub(r'connection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: ', "", text)


def said(exc: psycopg2.Error, params: SourceParams) -> str:
    """Return the server's words on one line, without libpq's preamble and the secrets."""
    words = re.sub(r"(?:FATAL|ERROR):\s+", "", _without_preamble(str(exc)))
    return (in_brief(words, params) or "it is closed") + "."
