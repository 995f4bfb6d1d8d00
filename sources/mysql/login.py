"""Connect and log in to MySQL or MariaDB, and tell what went wrong with it."""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import ExitStack

import pymysql
from pymysql.constants import CLIENT, CR

from sources import network, tls, tunnel
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceUnreachable
from sources.login import (
    AUTHENTICATION,
    FULL,
    STARTING,
    UNKNOWN_DATABASE,
    Refusal,
    in_brief,
    refused,
    suspicious,
)
from sources.mysql import MYSQL
from sources.mysql.wire import ClearPassword, MySQLConnection, RefusedMethod

LABEL = MYSQL.label

# Outside of TLS no key is taken from a server: what it would be sent is sealed for nobody. The
# private half of this one was thrown away when it was made.
NOBODYS_KEY = b"""\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvW2if//+wqxaZiE5G8B6
bcCzjTf3DMXpAOi8ttvVOzMXPCTedurM7jb87wsKlX/g+IfXsABtfPgLswBsdym8
Y4Im73mQSrK46obSTGSGrd4gkcrlx1/NjadNFjVtgjtCQdBMLdwUKHzRXWbLIPbp
64NiYBRjwJYLjSJZ7U07TqRXq68YEpi29xo0hsctPGL5OQbbau/wxF1pHxC90k1b
htsog4EaYcBb6ZEar+kl2oqHBKd5bKCNwxj/Y+qDqGlIR2DvtxHqfQ69Qo+JQVIy
tND6V9m95NlYX9cKJPxtN3I34Lzqllygmdf6oP4GN5HSHuKpzWZJcd7ZRATiBIyi
fwIDAQAB
-----END PUBLIC KEY-----
"""
_KEEPS_HASHES_ALONE = {"caching_sha2_password", "sha256_password"}
_NEEDS_TLS = Refusal(
    "authentication_failed",
    "login",
    "{address} refused the login of user {user}, perhaps because it needs TLS",
    "Set ssl_mode to require, and let the server offer TLS: accounts of caching_sha2_password and "
    "sha256_password log in without it only while the server remembers the password.",
)

_NO_RIGHT = Refusal(
    "permission_denied",
    "database",
    "User {user} may not use database {database} at {address}",
    "Check the database's name, and grant the account SELECT on it.",
)
_NO_HOST = Refusal(
    "permission_denied",
    "login",
    "{address} accepts no connection from this machine",
    "Allow this machine in the account's host part; FLUSH HOSTS unblocks a blocked one.",
)
_TLS = Refusal("tls_failed", "tls", "TLS with {address} failed", "Check ssl_mode.")

REFUSALS: dict[int, Refusal] = {
    **dict.fromkeys((1045, 1698, 1251, 1275, 1820, 1862, 2059, 3118, 3955, 4151), AUTHENTICATION),
    **dict.fromkeys((1049,), UNKNOWN_DATABASE),
    **dict.fromkeys((1044,), _NO_RIGHT),
    **dict.fromkeys((1129, 1130), _NO_HOST),
    **dict.fromkeys((1040, 1203, 1226), FULL),
    **dict.fromkeys((2026, 3159), _TLS),
    **dict.fromkeys((1053, 1077, 1079, 3169), STARTING),
}


def log_in(params: SourceParams, clock: Clock, stack: ExitStack) -> MySQLConnection:
    """Return a logged-in connection, which `stack` ends together with all that it needs.

    Raises SourceUnreachable.
    """
    tls.check_mode(params)
    if params.ssl_mode == "disable":
        return _connect(params, clock, stack, secure=False)
    try:
        return _connect(params, clock, stack, secure=True)
    except _NoTls as exc:
        if params.ssl_mode != "prefer":
            raise exc.error from exc
    return _connect(params, clock, stack, secure=False)


class _NoTls(Exception):
    """The server has no TLS to offer."""

    def __init__(self, error: SourceUnreachable) -> None:
        super().__init__()
        self.error = error


def _connect(params: SourceParams, clock: Clock, stack: ExitStack, secure: bool) -> MySQLConnection:
    sock = _reach(params, clock, stack)
    peer = sock.getpeername()[:2] if params.ssh is None else None
    conn = _connection(params, secure)
    clock.stage = "tls" if secure else "login"
    try:
        if peer is None:
            conn.connect(sock)
        else:
            with suspicious(peer, params, MYSQL, clock):
                conn.connect(sock)
    except pymysql.Error as exc:
        sock.close()
        raise _login_error(exc, conn, params, peer, clock, secure) from exc
    except Exception as exc:  # what PyMySQL says to bytes that are not its protocol has many names
        sock.close()
        raise _stranger(params, peer, clock, "something else") from exc
    stack.callback(conn._force_close)  # a goodbye could wait for a server that does not read
    return conn


def _reach(params: SourceParams, clock: Clock, stack: ExitStack) -> socket.socket:
    if params.ssh is not None:
        return stack.enter_context(tunnel.connected(params, clock))
    addresses = network.resolve(params.host, clock)
    return network.dial(addresses, params.port, params.address, clock)


def _connection(params: SourceParams, secure: bool) -> MySQLConnection:
    """Return a connection that is not open yet: no second statement, no local file, raw bytes."""
    method = ClearPassword if secure else RefusedMethod
    refused_ones = (
        {} if secure else dict.fromkeys(("mysql_clear_password", "sha256_password"), method)
    )
    return MySQLConnection(
        host=params.hostname.rstrip("."),
        port=params.port,
        user=params.username,
        password=params.password.encode(),
        database=params.database or None,
        charset="utf8mb4",
        autocommit=None,
        local_infile=False,
        conv={},
        use_unicode=False,
        ssl=tls.context(params) if secure else None,
        ssl_disabled=not secure,
        defer_connect=True,
        program_name="etl-engine",
        auth_plugin_map={"dialog": method, **refused_ones},
        server_public_key=None if secure else NOBODYS_KEY,
    )


def _login_error(
    exc: pymysql.Error,
    conn: MySQLConnection,
    params: SourceParams,
    peer: tuple[str, int] | None,
    clock: Clock,
    secure: bool,
) -> SourceUnreachable | _NoTls:
    number = error_number(exc)
    words = said(exc, params)
    cause = getattr(exc, "original_exception", None)
    if isinstance(cause, ssl.SSLError):
        return refused(params, _TLS, in_brief(str(cause), params))
    if number == CR.CR_SSL_CONNECTION_ERROR and not _offers_tls(conn):
        return _NoTls(refused(params, _TLS, words))
    method = getattr(conn, "_auth_plugin_name", "")
    if number == 1045 and not secure and method in _KEEPS_HASHES_ALONE:
        return refused(params, _NEEDS_TLS, words)
    if number is not None and number in REFUSALS:
        return refused(params, REFUSALS[number], words)
    if number and 1000 <= number < 2000:
        return SourceUnreachable(
            f"{params.address} refused the connection: {words}",
            hint="See the server's log.",
            stage=clock.stage,
        )
    nonsense = isinstance(exc, pymysql.err.InternalError)
    return _stranger(params, peer, clock, "something else" if nonsense else None)


def _offers_tls(conn: MySQLConnection) -> bool:
    return bool(getattr(conn, "server_capabilities", 0) & CLIENT.SSL)


def _stranger(
    params: SourceParams, peer: tuple[str, int] | None, clock: Clock, guess: str | None
) -> SourceUnreachable:
    """Return the error for a server that did not get through the login as MySQL would."""
    found = (network.sniff(peer, clock) if peer else None) or guess
    if found and found != LABEL:
        return network.something_else(params.address, LABEL, found, clock.stage)
    return SourceUnreachable(
        f"{params.address} ended the connection before the login was complete.",
        hint="Check the port and the kind of database, and see the server's log.",
        stage=clock.stage,
    )


def error_number(exc: BaseException) -> int | None:
    return exc.args[0] if exc.args and isinstance(exc.args[0], int) else None


def said(exc: BaseException, params: SourceParams) -> str:
    """Return the server's own words on one line, without secrets."""
    words = in_brief(str(exc.args[1] if len(exc.args) > 1 else exc), params)
    return (words or "it is closed") + "."


def plain_version(version: str) -> str:
    """Return the numbers of a version such as 5.5.5-10.11.19-MariaDB-log."""
    found = re.search(r"\d+\.\d+(?:\.\d+)?", version.removeprefix("5.5.5-"))
    return found.group() if found else version
