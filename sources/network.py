"""Reach a host within a deadline, and recognise what else may be listening there."""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Any

from children import networks
from sources.clock import Clock
from sources.errors import SourceUnreachable

MAX_ADDRESSES = 8
HEAD_START_S = 0.25
SNIFF_AFTER_S = 1.0
SNIFF_S = 0.6


def resolve(host: str, clock: Clock) -> list[str]:
    """Return the numeric addresses of `host`, at most eight.

    Raises SourceUnreachable (host_not_found).
    """
    clock.stage = "name"
    if not (found := known_addresses(host)):
        raise _not_found(host)
    return found


def known_addresses(host: str) -> list[str]:
    """Return the numeric addresses of `host`, at most eight; none where it is not known.

    A path is no host, and neither is the name of a socket.
    """
    name = host.strip().strip("[]")
    if not name or "\0" in name or "/" in name or name.startswith("@"):
        return []
    if literal := _literal(name):
        return [literal]
    try:
        found = _system_lookup(name)
    except (OSError, UnicodeError, ValueError):
        return []
    return list(dict.fromkeys(_written(entry[4]) for entry in found))[:MAX_ADDRESSES]


def _literal(name: str) -> str | None:
    """Return an address as it is dialled; one with a zone is the system's to look up."""
    try:
        return None if "%" in name else str(ipaddress.ip_address(name))
    except ValueError:
        return None


def _written(address: tuple[Any, ...]) -> str:
    """Return a numeric address, a link-local one with its zone."""
    zone = f"%{address[3]}" if len(address) == 4 and address[3] and "%" not in address[0] else ""
    return f"{address[0]}{zone}"


def _system_lookup(name: str) -> list[tuple[Any, ...]]:
    """Look up `name`; a final dot, which a hosts file does not know, is dropped if need be."""
    try:
        return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        if not name.endswith("."):
            raise
        return socket.getaddrinfo(name.rstrip("."), None, type=socket.SOCK_STREAM)


def _not_found(host: str) -> SourceUnreachable:
    return SourceUnreachable(
        f'The host "{host}" was not found.',
        error_code="host_not_found",
        hint="Check the spelling of the host, and that this machine's DNS knows it.",
        stage="name",
    )


def dial(addresses: Sequence[str], port: int, address: str, clock: Clock) -> socket.socket:
    """Connect to the first address that answers; each has 250 ms before the next one joins.

    `address` is the host:port for messages. The socket is returned without a timeout, blocking.
    An address that the networks in force deny is not dialled.

    Raises SourceUnreachable (connection_refused, host_not_allowed).
    """
    clock.stage = "port"
    waiting: dict[int, socket.socket] = {}
    failures: list[int] = []
    allowed = [one for one in addresses if networks.in_force().permit(one)]
    denied = [one for one in addresses if one not in allowed]
    try:
        if not allowed and denied:
            raise not_allowed(address, denied)
        return _race([*allowed], port, address, waiting, failures)
    except SourceUnreachable as exc:
        if allowed and denied:
            raise not_allowed(address, denied) from exc
        raise
    finally:
        for sock in waiting.values():
            sock.close()


def _race(
    addresses: list[str],
    port: int,
    address: str,
    waiting: dict[int, socket.socket],
    failures: list[int],
) -> socket.socket:
    poll = select.poll()
    next_start = time.monotonic()
    while addresses or waiting:
        if addresses and (not waiting or time.monotonic() >= next_start):
            _start(addresses.pop(0), port, poll, waiting, failures)
            next_start = time.monotonic() + HEAD_START_S
        for fd, _ in poll.poll(1000 * HEAD_START_S if waiting else 0):
            poll.unregister(fd)
            sock = waiting.pop(fd)
            problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not problem:
                return _ready(sock)
            sock.close()
            failures.append(problem)
    raise _refused(address, failures)


def _start(
    host: str, port: int, poll: select.poll, waiting: dict[int, socket.socket], failures: list[int]
) -> None:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        problem = sock.connect_ex(found[0][4])
    except (OSError, OverflowError):
        problem = errno.EINVAL
    if problem not in (0, errno.EINPROGRESS):
        sock.close()
        failures.append(problem)
        return
    waiting[sock.fileno()] = sock
    poll.register(sock.fileno(), select.POLLOUT)


def _ready(sock: socket.socket) -> socket.socket:
    sock.setblocking(True)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    notice_silence(sock)
    return sock


def not_allowed(address: str, denied: Sequence[str]) -> SourceUnreachable:
    """Return the error for a host that leads where nobody may connect."""
    leads = f"{address} leads to {', '.join(denied)}" if denied else address
    return SourceUnreachable(
        f"{leads}, where this service may not connect.",
        error_code="host_not_allowed",
        hint="Take another host, or have the operator change SOURCE_DENY_NETWORKS or "
        "SOURCE_ALLOW_NETWORKS.",
        stage="port",
    )


def notice_silence(sock: socket.socket) -> None:
    """Have the kernel give up a host that acknowledges nothing for a minute."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 20),
        (socket.TCP_KEEPINTVL, 10),
        (socket.TCP_KEEPCNT, 4),
        (socket.TCP_USER_TIMEOUT, 60_000),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _refused(address: str, failures: list[int]) -> SourceUnreachable:
    if not failures or errno.ECONNREFUSED in failures:
        return SourceUnreachable(
            f"{address} refused the connection.",
            error_code="connection_refused",
            hint="Check the port, and that the database runs and listens on that address.",
            stage="port",
        )
    return SourceUnreachable(
        f"{address} cannot be reached: {os.strerror(failures[-1])}.",
        error_code="connection_refused",
        hint="Check the host, and that this machine has a route to it.",
        stage="port",
    )


def refuse_strangers(peer: tuple[str, int], address: str, label: str, clock: Clock) -> None:
    """Raise SourceUnreachable (not_this_database) if something else than `label` is known there."""
    found = sniff(peer, clock)
    if found and found != label:
        raise something_else(address, label, found, clock.stage)


def sniff(peer: tuple[str, int], clock: Clock) -> str | None:
    """Name what listens at `peer`, such as "an SSH server", within 0.6 s; None if unknown.

    Three connections at once: one listens, one asks as PostgreSQL's clients do, one asks as a
    browser does.
    """
    greetings = (b"", b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"GET / HTTP/1.0\r\n\r\n")
    until = time.monotonic() + min(SNIFF_S, clock.remaining_s())
    socks: dict[int, tuple[socket.socket, bytes]] = {}
    try:
        for greeting in greetings:
            sock = socket.create_connection(peer, timeout=max(0.05, until - time.monotonic()))
            socks[sock.fileno()] = (sock, greeting)
            sock.sendall(greeting)
        return _listen(socks, until)
    except OSError:
        return None
    finally:
        for sock, _ in socks.values():
            sock.close()


def _listen(socks: dict[int, tuple[socket.socket, bytes]], until: float) -> str | None:
    poll = select.poll()
    for fd in socks:
        poll.register(fd, select.POLLIN)
    left = len(socks)
    while left and (rest := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(rest * 1000):
            sock, greeting = socks[fd]
            if known := recognise(sock.recv(256), greeting):
                return known
            poll.unregister(fd)
            left -= 1
    return None


def recognise(answer: bytes, greeting: bytes = b"") -> str | None:
    """Name the kind of server whose first bytes are `answer`."""
    if answer.startswith(b"SSH-"):
        return "an SSH server"
    if answer.startswith(b"HTTP/"):
        return "a web server"
    if len(answer) > 5 and answer[3] == 0 and (answer[4] == 10 or answer[4] == 255):
        return "MySQL or MariaDB"
    if answer in (b"S", b"N") and greeting.startswith(b"\x00\x00\x00\x08"):
        return "PostgreSQL"
    if answer.startswith((b"220 ", b"220-", b"+OK", b"* OK")):
        return "a mail or file server"
    if answer.startswith(b"-ERR"):
        return "Redis"
    return None


def something_else(address: str, label: str, found: str, stage: str) -> SourceUnreachable:
    """Return the error for a port behind which `found` answers where `label` was expected."""
    return SourceUnreachable(
        f"{found[0].upper()}{found[1:]} answers at {address}, not {label}.",
        error_code="not_this_database",
        hint="Check the port and the kind of database.",
        stage=stage,
    )
