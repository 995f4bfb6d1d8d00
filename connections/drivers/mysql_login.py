"""Connect and log in to MySQL or MariaDB, and tell what went wrong with it."""

from __future__ import annotations

from contextlib import ExitStack

import pymysql

from . import login, network
from .base import SourceParams
from .errors import SourceError, SourceTimeout, SourceUnreachable
from .mysql import LABEL
from .mysql_wire import MySQLConnection, error_number, said
from .watch import Watch
from .watched_socket import WatchedSocket

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


def log_in(params: SourceParams, watch: Watch, stack: ExitStack) -> MySQLConnection:
    """Return a logged-in connection, which `stack` ends together with all that it needs.

    Raises SourceUnreachable, SourceTimeout, RequestAborted.
    """
    sock = login.reach(params, watch, stack)
    peer = sock.getpeername()[:2]
    conn = MySQLConnection(params, watch)
    stack.callback(conn.quit)
    try:
        watch.stage = "login"
        network.await_answer(sock, params.address, LABEL, watch)
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


def _login_error(
    exc: pymysql.Error, params: SourceParams, peer: tuple[str, int], watch: Watch
) -> SourceUnreachable:
    number = error_number(exc)
    if number in _LOGIN_ERRORS:
        code, stage, sentence, hint = _LOGIN_ERRORS[number]
        words = said(exc, params)
        return login.refused(params, sentence, words, error_code=code, stage=stage, hint=hint)
    if number and 1000 <= number < 2000:
        return SourceUnreachable(
            f"{params.address} refused the connection: {said(exc, params)}",
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
    if found and found != LABEL:
        return network.something_else(params.address, LABEL, found, watch.stage)
    return SourceUnreachable(
        f"{params.address} ended the connection before the login was complete.",
        hint="Check the port and the kind of database, and see the server's log.",
        stage=watch.stage,
    )
