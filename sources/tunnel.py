"""Reach a database through an SSH server, whose host key must be the pinned one.

The tunnel lives as long as the session that it was opened for.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import paramiko

from children import networks
from sources import network
from sources.clock import Clock
from sources.contract import SourceParams, SshTunnel
from sources.errors import SourceTimeout, SourceUnreachable

_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_CHUNK = 64 * 1024
LOOKS = 10
LOOK_UP_S = 0.5
_REFUSALS = {
    1: ("permission_denied", "does not allow forwarding to"),
    2: ("connection_refused", "cannot connect to"),
}

# It logs tracebacks of what is answered as an error here.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@contextmanager
def connected(params: SourceParams, clock: Clock) -> Iterator[socket.socket]:
    """Yield a socket that leads to the database through `params.ssh`.

    Raises SourceUnreachable with the stage "ssh".
    """
    with _logged_in(params, clock) as (transport, tunnel):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            _pump(theirs, _channel(transport, params, tunnel, clock))
            yield ours


@contextmanager
def listening(params: SourceParams, clock: Clock) -> Iterator[Port]:
    """Yield a loopback port that leads to the database through `params.ssh`: libpq takes
    addresses and no sockets, and ignores its own `sslmode` where the address is a Unix socket's.

    Raises SourceUnreachable with the stage "ssh".
    """
    with _logged_in(params, clock) as (transport, tunnel):
        first = _channel(transport, params, tunnel, clock)
        port = Port(transport, params, first)
        port.open()
        try:
            yield port
        finally:
            port.close()


class Port:
    """A port of 127.0.0.1 that takes connections of this process alone, while it is open."""

    def __init__(
        self, transport: paramiko.Transport, params: SourceParams, first: paramiko.Channel
    ) -> None:
        self.transport = transport
        self.params = params
        self.first: paramiko.Channel | None = first
        self.number = 0
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Listen, again on the same number."""
        self._listener = socket.create_server(("127.0.0.1", self.number))
        self.number = self._listener.getsockname()[1]
        threading.Thread(
            target=self._serve, args=(self._listener,), name="ssh-port", daemon=True
        ).start()

    def close(self) -> None:
        """Take no further connection; those that are open stay."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            if not _is_own(peer):
                sock.close()
                continue
            try:
                channel, self.first = self.first or _open(self.transport, self.params, 2.0), None
                _pump(sock, channel)
            except (paramiko.SSHException, EOFError, OSError):
                sock.close()


def _is_own(peer: tuple[str, int]) -> bool:
    """Tell whether the other end of a loopback connection is a socket of this process.

    The kernel's list is not read in one moment: while others come and go, it can miss one.
    """
    for _ in range(LOOKS):
        if _is_listed_as_own(peer):
            return True
        time.sleep(0.01)
    return False


def _is_listed_as_own(peer: tuple[str, int]) -> bool:
    address = f"{socket.inet_aton(peer[0])[::-1].hex().upper()}:{peer[1]:04X}"
    rows = (row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:])
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == address}
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(fd.readlink()) in inodes:
                return True
    return False


@contextmanager
def _logged_in(
    params: SourceParams, clock: Clock
) -> Iterator[tuple[paramiko.Transport, SshTunnel]]:
    tunnel = params.ssh
    assert tunnel is not None  # noqa: S101 - the callers ask first
    _refuse_far_end(params)
    transport = _connect(tunnel, clock)
    try:
        yield transport, tunnel
    finally:
        transport.close()


def _refuse_far_end(params: SourceParams) -> None:
    """Raise SourceUnreachable where the database's host is known to be no place to connect to.

    A name is the SSH server's to look up. What it leads to from here is judged, where that is
    known soon: a server behind it that has its own names may still be led elsewhere.
    """
    found: list[str] = []
    looker = threading.Thread(
        target=lambda: found.extend(network.known_addresses(params.hostname)), daemon=True
    )
    looker.start()
    looker.join(LOOK_UP_S)
    denied = [address for address in found if not networks.in_force().permit(address)]
    if denied:
        raise network.not_allowed(params.address, denied)


def _address(tunnel: SshTunnel) -> str:
    return f"{tunnel.host}:{tunnel.port}"


def _failed(tunnel: SshTunnel, message: str, code: str, hint: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"SSH server {_address(tunnel)}: {message}.", error_code=code, hint=hint, stage="ssh"
    )


def _connect(tunnel: SshTunnel, clock: Clock) -> paramiko.Transport:
    """Return a transport that is logged in at the SSH server whose key is pinned."""
    key = _private_key(tunnel)
    sock = _dial(tunnel, clock)
    clock.stage = "ssh"
    transport = paramiko.Transport(sock)
    transport.daemon = True
    try:
        _prefer_pinned(transport, tunnel)
        transport.banner_timeout = transport.handshake_timeout = clock.remaining_s()
        transport.start_client(timeout=clock.remaining_s())
        _check_host_key(transport.get_remote_server_key(), tunnel)
        transport.auth_timeout = clock.remaining_s()
        _log_in(transport, tunnel, key)
        transport.set_keepalive(30)
        return transport
    except paramiko.AuthenticationException as exc:
        transport.close()
        raise _failed(
            tunnel, f'the login of user "{tunnel.username}" was refused', "authentication_failed",
            "Check the tunnel's user name, password and private key.",
        ) from exc  # fmt: skip
    except (paramiko.SSHException, EOFError, OSError) as exc:
        transport.close()
        _check_time(tunnel, clock, exc)
        raise _failed(
            tunnel, "it does not answer as an SSH server should", "not_this_database",
            "Check the tunnel's host and port.",
        ) from exc  # fmt: skip
    except BaseException:
        transport.close()
        raise


def _check_time(tunnel: SshTunnel, clock: Clock, exc: Exception) -> None:
    if (
        clock.remaining_s() < 0.1
        or "timed out" in str(exc).lower()
        or "timeout" in str(exc).lower()
    ):
        raise SourceTimeout(
            f"SSH server {_address(tunnel)} did not answer in time.",
            hint="Check the tunnel's host and port.",
            stage="ssh",
        ) from exc


def _dial(tunnel: SshTunnel, clock: Clock) -> socket.socket:
    clock.stage_kept = "ssh"
    try:
        addresses = network.resolve(tunnel.host, clock)
        return network.dial(addresses, tunnel.port, _address(tunnel), clock)
    except SourceUnreachable as exc:
        exc.stage = "ssh"
        exc.message = f"SSH server: {exc.message}"
        raise
    finally:
        clock.stage_kept = None


def _private_key(tunnel: SshTunnel) -> paramiko.PKey | None:
    if not tunnel.private_key:
        return None
    for kind in _KEYS:
        with suppress(paramiko.SSHException, ValueError, IndexError):
            return kind.from_private_key(io.StringIO(tunnel.private_key))
    raise _failed(
        tunnel, "the tunnel's private key cannot be read", "authentication_failed",
        "It is an Ed25519, ECDSA or RSA key in OpenSSH's or PEM form, without a passphrase.",
    )  # fmt: skip


def _pinned(tunnel: SshTunnel) -> tuple[str, str] | None:
    """Return kind and base64 of the pinned key, a line as in known_hosts or a .pub file."""
    words = (tunnel.host_key or "").split()
    for kind, data in pairwise(words):
        if kind.startswith(("ssh-", "ecdsa-", "sk-")):
            return kind, data
    return None


def _prefer_pinned(transport: paramiko.Transport, tunnel: SshTunnel) -> None:
    """Ask for a host key of the pinned kind: a server has several."""
    pinned = _pinned(tunnel)
    if pinned is None:
        return
    wanted = ["rsa-sha2-512", "rsa-sha2-256"] if pinned[0] == "ssh-rsa" else [pinned[0]]
    options = transport.get_security_options()
    if known := [kind for kind in wanted if kind in options.key_types]:
        options.key_types = known


def _check_host_key(offered: paramiko.PKey, tunnel: SshTunnel) -> None:
    pinned = _pinned(tunnel)
    line = f"{offered.get_name()} {offered.get_base64()}"
    digest = base64.b64encode(hashlib.sha256(offered.asbytes()).digest()).decode().rstrip("=")
    if pinned is None:
        raise _failed(
            tunnel, f"its host key is not pinned; it shows {offered.get_name()} SHA256:{digest}",
            "authentication_failed", f'If that is its key, set the tunnel\'s host_key to "{line}".',
        )  # fmt: skip
    if pinned != (offered.get_name(), offered.get_base64()):
        raise _failed(
            tunnel,
            f"its host key is not the pinned one; it shows {offered.get_name()} SHA256:{digest}",
            "authentication_failed",
            "Somebody may be in between. Change host_key only if the server was renewed.",
        )


def _log_in(transport: paramiko.Transport, tunnel: SshTunnel, key: paramiko.PKey | None) -> None:
    if key is not None:
        transport.auth_publickey(tunnel.username, key)
    else:
        transport.auth_password(tunnel.username, tunnel.password or "")
    if not transport.is_authenticated():
        raise paramiko.AuthenticationException("another step is wanted")


def _channel(
    transport: paramiko.Transport, params: SourceParams, tunnel: SshTunnel, clock: Clock
) -> paramiko.Channel:
    try:
        return _open(transport, params, clock.remaining_s())
    except paramiko.ChannelException as exc:
        code, said = _REFUSALS.get(exc.code, ("unknown", "does not lead to"))
        raise _failed(
            tunnel, f"it {said} {params.address}", code,
            "The database's host and port are reached from the SSH server.",
        ) from exc  # fmt: skip
    except (paramiko.SSHException, EOFError, OSError) as exc:
        _check_time(tunnel, clock, exc)
        raise _failed(tunnel, "the tunnel broke", "unknown", "See the SSH server's log.") from exc


def _open(
    transport: paramiko.Transport, params: SourceParams, timeout_s: float
) -> paramiko.Channel:
    there, here = (params.hostname, params.port), ("127.0.0.1", 0)
    return transport.open_channel("direct-tcpip", there, here, timeout=max(0.05, timeout_s))


def _pump(sock: socket.socket, channel: paramiko.Channel) -> None:
    for pump in (_upstream, _downstream):
        threading.Thread(target=pump, args=(sock, channel), name="ssh-pump", daemon=True).start()


def _upstream(sock: socket.socket, channel: paramiko.Channel) -> None:
    with suppress(OSError, EOFError):
        while data := sock.recv(_CHUNK):
            channel.sendall(data)
    with suppress(OSError, EOFError):
        channel.close()


def _downstream(sock: socket.socket, channel: paramiko.Channel) -> None:
    with suppress(OSError, EOFError):
        while data := channel.recv(_CHUNK):
            sock.sendall(data)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
