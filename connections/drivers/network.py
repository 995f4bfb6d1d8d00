"""Reach a host within a deadline, and recognise what else may be listening there."""

from __future__ import annotations

import errno
import ipaddress
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from .errors import SourceTimeout, SourceUnreachable
from .watch import SLICE_S, Watch

MAX_LOOKUPS = 64
MAX_ADDRESSES = 8
HEAD_START_S = 0.25
SNIFF_AFTER_S = 1.0
SNIFF_S = 0.6

_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


def resolve(host: str, watch: Watch) -> list[str]:
    """Return the numeric addresses of `host`, at most eight.

    The system's resolver knows no time limit: it runs in a thread of its own, which is left behind
    when the deadline passes first. The number of such threads is bounded.

    Raises SourceUnreachable (host_not_found), SourceTimeout, RequestAborted.
    """
    watch.stage = "name"
    name = host.strip().strip("[]")
    if not name or "\0" in name:
        raise _not_found(host)
    if literal := _literal(name):
        return [literal]
    found = _in_thread(name, host, watch)
    if isinstance(found, Exception):
        raise _not_found(host) from found
    return found


def _literal(name: str) -> str | None:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


def _in_thread(name: str, host: str, watch: Watch) -> list[str] | Exception:
    places = _lookups
    if not places.acquire(blocking=False):
        raise SourceTimeout(
            f'Too many look-ups of names are waiting; "{host}" was not tried.', stage="name"
        )
    answer: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()
    threading.Thread(
        target=_look_up, args=(name, answer, places), name="lookup", daemon=True
    ).start()
    while True:
        try:
            return answer.get(timeout=max(0.001, min(SLICE_S, watch.remaining_s())))
        except queue.Empty:
            _check_lookup(host, watch)


def _check_lookup(host: str, watch: Watch) -> None:
    try:
        watch.check()
    except SourceTimeout as exc:
        raise SourceTimeout(
            f'The name "{host}" could not be looked up in time.',
            hint="Check the name and this machine's DNS, or use the address in its place.",
            stage="name",
        ) from exc


def _look_up(
    name: str,
    answer: queue.SimpleQueue[list[str] | Exception],
    places: threading.BoundedSemaphore,
) -> None:
    try:
        found = _system_lookup(name)
        addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
        answer.put(list(addresses)[:MAX_ADDRESSES])
    except (OSError, UnicodeError, ValueError) as exc:
        answer.put(exc)
    finally:
        places.release()


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


def dial(addresses: Sequence[str], port: int, address: str, watch: Watch) -> socket.socket:
    """Connect to the first address that answers; each has 250 ms before the next one joins.

    `address` is the host:port for messages. The socket is returned without a timeout, blocking.

    Raises SourceUnreachable (connection_refused), SourceTimeout, RequestAborted.
    """
    watch.stage = "port"
    waiting: dict[int, socket.socket] = {}
    failures: list[int] = []
    try:
        return _race(list(addresses), port, address, watch, waiting, failures)
    except SourceTimeout as exc:
        raise SourceTimeout(
            f"{address} did not answer in time.",
            hint="Check the host and port, and that no firewall drops the connection.",
            stage="port",
        ) from exc
    finally:
        for sock in waiting.values():
            sock.close()


def _race(
    addresses: list[str],
    port: int,
    address: str,
    watch: Watch,
    waiting: dict[int, socket.socket],
    failures: list[int],
) -> socket.socket:
    poll = select.poll()
    next_start = time.monotonic()
    while addresses or waiting:
        watch.check()
        if addresses and (not waiting or time.monotonic() >= next_start):
            _start(addresses.pop(0), port, poll, waiting, failures)
            next_start = time.monotonic() + HEAD_START_S
        for fd, _ in poll.poll(1000 * min(SLICE_S, watch.remaining_s()) if waiting else 0):
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
        problem = sock.connect_ex((host, port))
    except (OSError, OverflowError) as exc:
        problem = getattr(exc, "errno", None) or errno.EINVAL
    if problem not in (0, errno.EINPROGRESS):
        sock.close()
        failures.append(problem)
        return
    waiting[sock.fileno()] = sock
    poll.register(sock.fileno(), select.POLLOUT)


def _ready(sock: socket.socket) -> socket.socket:
    sock.setblocking(True)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


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


def await_answer(sock: socket.socket, address: str, label: str, watch: Watch) -> None:
    """Wait for what `label` says first; after a second of silence look what else is listening.

    Raises SourceUnreachable (not_this_database), SourceTimeout, RequestAborted.
    """
    if not readable(sock, SNIFF_AFTER_S, watch):
        refuse_strangers(sock.getpeername()[:2], address, label, watch)


def refuse_strangers(peer: tuple[str, int], address: str, label: str, watch: Watch) -> None:
    """Raise SourceUnreachable (not_this_database) if something else than `label` is known there."""
    found = sniff(peer, watch)
    if found and found != label:
        raise something_else(address, label, found, watch.stage)


def sniff(peer: tuple[str, int], watch: Watch) -> str | None:
    """Name what listens at `peer`, such as "an SSH server", within 0.6 s; None if unknown.

    Three connections at once: one listens, one asks as PostgreSQL's clients do, one asks as a
    browser does.
    """
    greetings = (b"", b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"GET / HTTP/1.0\r\n\r\n")
    until = time.monotonic() + min(SNIFF_S, watch.remaining_s())
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


def dial_one(peer: tuple[str, int], address: str, watch: Watch) -> socket.socket:
    """Connect to one numeric address and port; `address` is the host:port for messages."""
    return dial([peer[0]], peer[1], address, watch)


def readable(sock: socket.socket, seconds: float, watch: Watch) -> bool:
    """Wait until `sock` has something to read, at most `seconds`; False when it stays silent."""
    until = time.monotonic() + seconds
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while (rest := until - time.monotonic()) > 0:
        watch.check()
        if poll.poll(1000 * min(SLICE_S, rest)):
            return True
    return False
