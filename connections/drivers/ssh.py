"""Reach a database through an SSH server, whose host key must be the pinned one.

The tunnel ends in a loopback port of this process, because libpq takes addresses and no sockets.
It lives as long as the session that it was opened for.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import paramiko

from . import network
from .base import SourceParams, SshTunnel
from .errors import SourceTimeout, SourceUnreachable
from .watch import Watch

_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_CHUNK = 64 * 1024
_REFUSALS = {
    1: ("permission_denied", "does not allow forwarding to"),
    2: ("connection_refused", "cannot connect to"),
}

# It logs tracebacks of what is answered as an error here.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@contextmanager
def relay(params: SourceParams, watch: Watch) -> Iterator[tuple[str, int]]:
    """Yield a loopback address that leads to the database through `params.ssh`.

    Raises SourceUnreachable, SourceTimeout, RequestAborted, all with the stage "ssh".
    """
    tunnel = params.ssh
    assert tunnel is not None  # noqa: S101 - the callers ask first
    transport = _connect(tunnel, watch)
    try:
        first = _channel(transport, params, tunnel, watch)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serve = threading.Thread(
                target=_serve,
                args=(listener, transport, first, params),
                name="ssh-relay",
                daemon=True,
            )
            serve.start()
            try:
                yield "127.0.0.1", listener.getsockname()[1]
            finally:
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
    finally:
        transport.close()


def _address(tunnel: SshTunnel) -> str:
    return f"{tunnel.host}:{tunnel.port}"


def _failed(tunnel: SshTunnel, message: str, code: str, hint: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"SSH server {_address(tunnel)}: {message}.", error_code=code, hint=hint, stage="ssh"
    )


def _connect(tunnel: SshTunnel, watch: Watch) -> paramiko.Transport:
    """Return a transport that is logged in at the SSH server whose key is pinned."""
    key = _private_key(tunnel)
    sock = _dial(tunnel, watch)
    watch.stage = "ssh"
    transport = paramiko.Transport(sock)
    transport.daemon = True
    try:
        _prefer_pinned(transport, tunnel)
        transport.banner_timeout = transport.handshake_timeout = watch.remaining_s()
        transport.start_client(timeout=watch.remaining_s())
        _check_host_key(transport.get_remote_server_key(), tunnel)
        transport.auth_timeout = watch.remaining_s()
        _log_in(transport, tunnel, key)
        transport.set_keepalive(30)
        return transport
    except paramiko.AuthenticationException as exc:
        transport.close()
        watch.check()
        raise _failed(
            tunnel, f'the login of user "{tunnel.username}" was refused', "authentication_failed",
            "Check the tunnel's user name, password and private key.",
        ) from exc  # fmt: skip
    except (paramiko.SSHException, EOFError, OSError) as exc:
        transport.close()
        _check_time(tunnel, watch, exc)
        raise _failed(
            tunnel, "it does not answer as an SSH server should", "not_this_database",
            "Check the tunnel's host and port.",
        ) from exc  # fmt: skip
    except BaseException:
        transport.close()
        raise


def _check_time(tunnel: SshTunnel, watch: Watch, exc: Exception) -> None:
    if (
        watch.remaining_s() < 0.1
        or "timed out" in str(exc).lower()
        or "timeout" in str(exc).lower()
    ):
        raise SourceTimeout(
            f"SSH server {_address(tunnel)} did not answer in time.",
            hint="Check the tunnel's host and port.",
            stage="ssh",
        ) from exc


def _dial(tunnel: SshTunnel, watch: Watch) -> socket.socket:
    try:
        addresses = network.resolve(tunnel.host, watch)
        return network.dial(addresses, tunnel.port, _address(tunnel), watch)
    except (SourceUnreachable, SourceTimeout) as exc:
        exc.stage = "ssh"
        exc.message = f"SSH server: {exc.message}"
        raise


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
    transport: paramiko.Transport, params: SourceParams, tunnel: SshTunnel, watch: Watch
) -> paramiko.Channel:
    try:
        return _open(transport, params, watch.remaining_s())
    except paramiko.ChannelException as exc:
        code, said = _REFUSALS.get(exc.code, ("unknown", "does not lead to"))
        raise _failed(
            tunnel, f"it {said} {params.address}", code,
            "The database's host and port are reached from the SSH server.",
        ) from exc  # fmt: skip
    except (paramiko.SSHException, EOFError, OSError) as exc:
        _check_time(tunnel, watch, exc)
        raise _failed(tunnel, "the tunnel broke", "unknown", "See the SSH server's log.") from exc


def _open(
    transport: paramiko.Transport, params: SourceParams, timeout_s: float
) -> paramiko.Channel:
    there, here = (params.hostname, params.port), ("127.0.0.1", 0)
    return transport.open_channel("direct-tcpip", there, here, timeout=max(0.05, timeout_s))


def _serve(
    listener: socket.socket,
    transport: paramiko.Transport,
    first: paramiko.Channel | None,
    params: SourceParams,
) -> None:
    """Lead each connection to the loopback port through a channel of its own."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        try:
            channel, first = first or _open(transport, params, 2.0), None
        except (paramiko.SSHException, EOFError, OSError):
            sock.close()
            continue
        for pump in (_upstream, _downstream):
            threading.Thread(
                target=pump, args=(sock, channel), name="ssh-pump", daemon=True
            ).start()


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
