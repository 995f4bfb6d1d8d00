"""A proxy of this process's own for an object store's library, which looks names up by itself.

It listens on loopback, asks for a password that this process alone knows, and dials no address
but one that the networks in force permit: a name that leads elsewhere the next time leads nowhere.
"""

from __future__ import annotations

import base64
import hmac
import mmap
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from urllib.parse import urlsplit

import orjson

from children.limits import die_with_parent
from sources import network
from sources.clock import Clock
from sources.errors import SourceError, SourceUnreachable

DIAL_S = 10.0
CHUNK_BYTES = 256 * 1024
USER = "etl"
STACK_BYTES = 256 * 1024
TOLD_BYTES = 4096
OF_ONE_HOP = ("proxy-authorization", "connection")


@dataclass(frozen=True)
class Proxy:
    """`url` is what a client is given."""

    url: str
    _told: mmap.mmap

    @property
    def trouble(self) -> SourceError | None:
        """Return why the last host that was asked for was not reached; None where it was."""
        told = self._told[:].rstrip(b"\0")
        return SourceUnreachable(**orjson.loads(told)) if told else None


@cache
def running() -> Proxy:
    """Return the proxy of this process, which ends with it; it keeps the networks now in force.

    It is a process, as a library that waits for its answer may hold this one's threads.
    """
    password = secrets.token_hex(16)
    told = mmap.mmap(-1, TOLD_BYTES)
    with _Server(password, told) as server:
        this = os.getpid()
        if os.fork() == 0:
            _serve(server, this)
        port = server.server_address[1]
    return Proxy(f"http://{USER}:{password}@127.0.0.1:{port}", told)


def trouble() -> SourceError | None:
    """Return the trouble of this process's proxy, if it has one."""
    return running().trouble if running.cache_info().currsize else None


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, password: str, told: mmap.mmap) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authorization = b"Basic " + base64.b64encode(f"{USER}:{password}".encode())
        self.told = told

    def tell(self, trouble: SourceError | None) -> None:
        said = b""
        if trouble:
            content = {"message": trouble.message[:1000], "error_code": trouble.error_code}
            said = orjson.dumps(content)
        self.told[:] = said.ljust(TOLD_BYTES, b"\0")


def _serve(server: _Server, parent: int) -> None:
    """Serve until the parent ends, with nothing of its own in hand."""
    try:
        die_with_parent()
        if os.getppid() != parent:
            return  # it ended before that
        os.closerange(3, server.fileno())
        os.closerange(server.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        threading.stack_size(STACK_BYTES)
        server.serve_forever()
    finally:
        os._exit(1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_CONNECT(self) -> None:
        """Tunnel to a host, as a client asks for that speaks TLS with it."""
        if upstream := self._reached(self.path, 443):
            self.send_response_only(HTTPStatus.OK)
            self.end_headers()
            self._exchange(upstream)

    def _pass_on(self) -> None:
        """Pass on a request in clear, the last of its connection: the next may be for another."""
        address, _, path = self.path.partition("://")[2].partition("/")
        if upstream := self._reached(address, 80):
            kept = [
                (name, said)
                for name, said in self.headers.items()
                if name.lower() not in OF_ONE_HOP
            ]
            lines = [f"{self.command} /{path} HTTP/1.1", "Connection: close"]
            lines += [f"{name}: {said}" for name, said in kept]
            upstream.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            self._exchange(upstream)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def _reached(self, address: str, default_port: int) -> socket.socket | None:
        """Return a connection to a host; without one the client's is closed, unanswered.

        So the client takes it for the host's own silence, and asks again where it would then.
        """
        self.close_connection = True
        said = self.headers.get("Proxy-Authorization", "")
        if not hmac.compare_digest(said.encode(), self.server.authorization):
            self.send_error(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
            return None
        try:
            reached = _dialled(address, default_port)
        except SourceError as exc:
            self.server.tell(exc)
            return None
        self.server.tell(None)
        return reached

    def _exchange(self, upstream: socket.socket) -> None:
        """Carry bytes both ways until one side ends."""
        with upstream:
            arguments = (self.rfile.read1, upstream)
            up = threading.Thread(target=_carry, args=arguments, daemon=True)
            up.start()
            _carry(upstream.recv, self.connection)
            up.join()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
        """Say nothing: whoever asked is told by `trouble`."""


def _dialled(address: str, default_port: int) -> socket.socket:
    """Return a connection to `host` or `host:port`. Raises SourceError."""
    parts = urlsplit(f"//{address}")
    host, port = parts.hostname or "", parts.port or default_port
    clock = Clock(DIAL_S, "store")
    clock.stage_kept = "store"  # the notes of a run are its own
    return network.dial(network.resolve(host, clock), port, f"{host}:{port}", clock)


def _carry(read: Callable[[int], bytes], to: socket.socket) -> None:
    with suppress(OSError):
        while data := read(CHUNK_BYTES):
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_RDWR)
