"""Whole tables of MySQL and MariaDB by mysqlclient, three times as fast as PyMySQL reads them.

Its library connects without TLS where TLS was required, gives the password to a server that asks
for it in clear, and takes a key from whoever sends one. So it serves only where that cannot
matter: where it verifies the server's certificate, or where TLS is no condition and the measures
below hold. What it serves not, PyMySQL reads.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from children.places import folder
from sources import network, tls
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceUnreachable
from sources.login import refused
from sources.mysql.login import NOBODYS_KEY, REFUSALS, error_number, said

CONNECT_S = 30.0
PLUGIN = "caching_sha2_password.so"
_MODES = {"disable": "DISABLED", "prefer": "PREFERRED", "verify-ca": "VERIFY_CA",
          "verify-full": "VERIFY_IDENTITY"}  # fmt: skip
_PLUGIN_FOLDERS = ("/usr/lib/*/libmariadb3/plugin", "/usr/lib/*/mariadb*/plugin",
                   "/usr/lib64/mariadb/plugin", "/usr/local/lib/mariadb/plugin")  # fmt: skip

try:
    import MySQLdb
except ImportError:  # it has no wheel, and cannot be built everywhere
    MySQLdb = None


def serves(params: SourceParams) -> bool:
    """Tell whether mysqlclient may read this source: else PyMySQL does."""
    return MySQLdb is not None and params.ssh is None and params.ssl_mode in _MODES


def connect(params: SourceParams, stack: ExitStack) -> Any:
    """Return a connection in a transaction that only reads; `stack` closes it.

    No second statement in a text, no local file, raw bytes in UTF-8. Raises SourceUnreachable.
    """
    os.environ["MARIADB_PLUGIN_DIR"] = str(_plugins())
    verifies = params.ssl_mode.startswith("verify")
    try:
        conn = MySQLdb.connect(
            host=_host(params),
            port=params.port,
            user=params.username,
            password=params.password,
            database=params.database,
            conv={},
            use_unicode=False,
            charset="utf8mb4",
            multi_statements=False,
            local_infile=0,
            autocommit=None,
            ssl_mode=_MODES[params.ssl_mode],
            ssl=_certificates(params, stack),
            server_public_key_path=stack.enter_context(tls.memory_file(NOBODYS_KEY.decode())),
        )
    except MySQLdb.Error as exc:
        raise _refused(exc, params) from exc
    stack.callback(conn.close)
    with socket.socket(fileno=os.dup(conn.fileno())) as sock:
        network.notice_silence(sock)
    if verifies and not _fetched(conn, b"SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1]:
        raise tls.failed(f"{params.address} was reached without TLS.", "See the server's log.")
    conn.query(b"START TRANSACTION READ ONLY")
    return conn


def _host(params: SourceParams) -> str:
    """Return the address that answers and may be dialled; a name where the library verifies it."""
    clock = Clock(CONNECT_S)
    addresses = network.resolve(params.host, clock)
    with network.dial(addresses, params.port, params.address, clock) as sock:
        peer = str(sock.getpeername()[0])
    return params.hostname if params.ssl_mode == "verify-full" else peer


def _fetched(conn: Any, sql: bytes) -> Any:
    conn.query(sql)
    return conn.store_result().fetch_row(0)


def _plugins() -> Path:
    """Return a folder with the one plugin of the library that sends no password as it is."""
    made = folder("mysql-plugins")
    places = (Path("/").glob(f"{each[1:]}/{PLUGIN}") for each in _PLUGIN_FOLDERS)
    found = next(chain.from_iterable(places), None)
    if found is not None and not (made / PLUGIN).exists():
        (made / PLUGIN).unlink(missing_ok=True)
        (made / PLUGIN).symlink_to(found)
    return made


def _certificates(params: SourceParams, stack: ExitStack) -> dict[str, str]:
    given = {"ca": params.ssl_ca, "cert": params.ssl_cert, "key": params.ssl_key}
    if params.ssl_mode == "disable":
        return {}
    found = {k: stack.enter_context(tls.memory_file(v)) for k, v in given.items() if v}
    if params.ssl_mode.startswith("verify") and "ca" not in found and (path := tls.system_ca()):
        found["ca"] = path
    return found


def _refused(exc: Exception, params: SourceParams) -> SourceUnreachable:
    number = error_number(exc)
    words = said(exc, params)
    if number in REFUSALS:
        return refused(params, REFUSALS[number], words)
    return SourceUnreachable(
        f"{params.address} refused the connection: {words}",
        hint="See the server's log.",
        stage="login",
    )
