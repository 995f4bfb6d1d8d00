"""Ask a PostgreSQL for the first step of SCRAM, and work out the keys in libpq's place.

The server says how many rounds of hashing the password goes through, and libpq obeys: thousands of
millions of rounds stop the whole process for an hour, deadline or not. Given the keys it hashes
nothing. Where the server does not ask for SCRAM here, libpq is told to refuse it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct

from psycopg import pq

from . import network, tls
from .base import SourceParams
from .errors import SourceUnreachable
from .postgresql import LABEL
from .watch import Watch
from .watched_socket import WatchedSocket, WatchedTls

MAX_ROUNDS = 1_000_000
_MAX_MESSAGE_BYTES = 64 * 1024
_MAX_MESSAGES = 100
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROTOCOL = struct.pack("!i", 196608)  # 3.0
_SASL, _SASL_CONTINUE = 10, 11
_MECHANISM = b"SCRAM-SHA-256"


def options(sock: socket.socket, params: SourceParams, watch: Watch) -> dict[str, str]:
    """Return libpq's options for the login over a connection of its own, which `sock` leads to.

    Raises SourceUnreachable, SourceTimeout, RequestAborted.
    """
    wire = _encrypted(WatchedSocket(sock, watch), params)
    first = _server_first(wire, params) if wire is not None else None
    if first is None:
        return {"require_auth": "!scram-sha-256"}
    keys = _keys(first, params)
    return keys if pq.version() >= 180000 else {}  # an older libpq cannot be given any


def _encrypted(wire: WatchedSocket, params: SourceParams) -> WatchedSocket | None:
    """Return the connection as `ssl_mode` wants it; None where the server does not let us."""
    if params.ssl_mode == "disable":
        return wire
    wire.sendall(_SSL_REQUEST)
    network.await_answer(wire.sock, params.address, LABEL, wire.watch)
    answer = wire.read(1)
    if answer == b"S" and wire.quiet:  # what came with it would not have come through TLS
        return WatchedTls(tls.context(params), params.address).wrap_socket(wire, params.hostname)
    wire.watch.stage = "login"
    return wire if answer == b"N" and params.ssl_mode == "prefer" else None


def _server_first(wire: WatchedSocket, params: SourceParams) -> dict[str, str] | None:
    """Return what the server tells of its rounds and salt; None where it does not ask for SCRAM."""
    nonce = secrets.token_urlsafe(18)
    fields = ("user", params.username, "database", params.database, "")
    startup = _PROTOCOL + b"".join(field.encode() + b"\0" for field in fields)
    wire.sendall(struct.pack("!i", len(startup) + 4) + startup)
    network.await_answer(wire.sock, params.address, LABEL, wire.watch)
    kind, mechanisms = _authentication(wire)
    if kind != _SASL or _MECHANISM not in mechanisms.split(b"\0"):
        return None
    first = f"n,,n=,r={nonce}".encode()
    reply = _MECHANISM + b"\0" + struct.pack("!i", len(first)) + first
    wire.sendall(b"p" + struct.pack("!i", len(reply) + 4) + reply)
    kind, told = _authentication(wire)
    pairs = (item.partition("=") for item in told.decode("ascii", "replace").split(","))
    return {name: value for name, _, value in pairs} if kind == _SASL_CONTINUE else None


def _authentication(wire: WatchedSocket) -> tuple[int, bytes]:
    """Return the kind and the content of the server's next request; -1 where none comes."""
    for _ in range(_MAX_MESSAGES):
        head = wire.read(5)
        size = int.from_bytes(head[1:], "big") - 4
        if len(head) < 5 or not 0 <= size <= _MAX_MESSAGE_BYTES:
            return -1, b""
        content = wire.read(size)
        if head[:1] == b"R" and size >= 4:
            return int.from_bytes(content[:4], "big"), content[4:]
        if head[:1] == b"E":
            return -1, b""
    return -1, b""


def _keys(first: dict[str, str], params: SourceParams) -> dict[str, str]:
    try:
        rounds, salt = int(first["i"]), base64.b64decode(first["s"], validate=True)
    except (KeyError, ValueError):
        return {"require_auth": "!scram-sha-256"}
    if not 0 < rounds <= MAX_ROUNDS:
        raise SourceUnreachable(
            f"{params.address} asks for {rounds:,} rounds of hashing the password; "
            f"at most {MAX_ROUNDS:,} are accepted.",
            error_code="authentication_failed",
            hint="See scram_iterations in the server's configuration; 4,096 are usual.",
            stage="login",
        )
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(params.password), salt, rounds)
    names = {"scram_client_key": b"Client Key", "scram_server_key": b"Server Key"}
    return {
        option: base64.b64encode(hmac.digest(salted, name, "sha256")).decode()
        for option, name in names.items()
    }


def _prepared(password: str) -> bytes:
    """Return the password as SCRAM hashes it: by SASLprep, or as it is where that forbids it."""
    from pymongo.saslprep import saslprep

    try:
        # Both a space and nothing in RFC 4013's tables: to PostgreSQL it is a space.
        return str(saslprep(password.replace("\u200b", " "))).encode()
    except ValueError:
        return password.encode()
