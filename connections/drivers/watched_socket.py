"""A socket whose every wait ends with the watch: what PyMySQL reads from and writes to."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress

from .tls import failed
from .watch import Watch

_AT_ONCE = 64 * 1024


class WatchedSocket:
    """Looks enough like a socket and its file for PyMySQL; never blocks past `watch`.

    `received` counts the bytes of the current use, which the watch limits.
    """

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.watch = watch
        self.received = 0
        self._buffer = b""
        self._at = 0

    def makefile(self, _mode: str) -> WatchedSocket:
        return self

    def settimeout(self, _timeout: float | None) -> None:
        """PyMySQL's own timeouts hold for one call each; the watch holds for all."""

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, fewer only at the end of the stream."""
        if len(self._buffer) - self._at < size:
            self._fill(size)
        start, self._at = self._at, self._at + size
        return self._buffer[start : self._at]

    def _fill(self, size: int) -> None:
        parts = [self._buffer[self._at :]]
        missing = size - len(parts[0])
        self.watch.check_received(self.received + missing)
        while missing > 0 and (data := self._receive()):
            self.received += len(data)
            missing -= len(data)
            parts.append(data)
        self._buffer = b"".join(parts)
        self._at = 0

    def _receive(self) -> bytes:
        self.watch.check()  # a server that never pauses would never be waited for
        while True:
            try:
                return self.sock.recv(_AT_ONCE)
            except (BlockingIOError, ssl.SSLWantReadError):
                self.watch.wait(self.sock.fileno(), select.POLLIN)
            except ssl.SSLWantWriteError:
                self.watch.wait(self.sock.fileno(), select.POLLOUT)

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self.sock.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.watch.wait(self.sock.fileno(), select.POLLOUT)
            except ssl.SSLWantReadError:
                self.watch.wait(self.sock.fileno(), select.POLLIN)

    def close(self) -> None:
        self.sock.close()

    @property
    def quiet(self) -> bool:
        """Nothing is buffered or has come in: an idle server only speaks to say goodbye."""
        if self.sock.fileno() < 0 or len(self._buffer) > self._at:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


class WatchedTls:
    """Stands where PyMySQL expects an SSLContext, so that the handshake ends with the watch too."""

    def __init__(self, context: ssl.SSLContext, address: str) -> None:
        self.context = context
        self.address = address

    def wrap_socket(self, plain: WatchedSocket, server_hostname: str) -> WatchedSocket:
        plain.watch.stage = "tls"
        try:
            sock = self.context.wrap_socket(
                plain.sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._shake(sock, plain.watch)
        except ssl.SSLCertVerificationError as exc:
            raise failed(
                f"TLS with {self.address} failed: {exc.verify_message}.",
                "Check ssl_ca, and with verify-full that the certificate names this host.",
            ) from exc
        except (OSError, ValueError) as exc:
            with suppress(OSError):
                plain.close()
            reason = getattr(exc, "reason", None) or str(exc)
            raise failed(
                f"TLS with {self.address} failed: {str(reason).replace('_', ' ').lower()}.",
                "Check that the server offers TLS 1.2 or newer, or set ssl_mode to disable.",
            ) from exc
        plain.watch.stage = "login"
        return WatchedSocket(sock, plain.watch)

    def _shake(self, sock: ssl.SSLSocket, watch: Watch) -> None:
        while True:
            try:
                return sock.do_handshake()
            except ssl.SSLWantReadError:
                watch.wait(sock.fileno(), select.POLLIN)
            except ssl.SSLWantWriteError:
                watch.wait(sock.fileno(), select.POLLOUT)
