"""Ends a connection that is being flooded.

libpq makes room for a whole cell before it hands anything over, and reads as long as bytes come
in: nobody who waits for it can count. One thread a process asks the kernel how much each guarded
socket has received.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .watch import Watch

EVERY_S = 0.01
_BYTES_RECEIVED_AT = 128  # tcpi_bytes_received in Linux's struct tcp_info, a u64


@dataclass
class Guarded:
    """A socket, and whether it had to be shut."""

    sock: socket.socket
    limit: int
    tripped: bool = False


_entries: dict[int, Guarded] = {}
_changed = threading.Condition()
_thread: threading.Thread | None = None


def _after_fork() -> None:
    """A fork copies no threads: the child starts with nothing guarded."""
    global _changed, _thread
    _changed = threading.Condition()
    _entries.clear()
    _thread = None


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def guard(fd: int, watch: Watch) -> Iterator[Guarded]:
    """Shut the socket `fd` down once it has received more than the watch allows.

    Whoever uses the socket finds it closed, and `tripped` says why.
    """
    entry = _watch_over(fd, watch.max_received_bytes)
    try:
        yield entry
    finally:
        with _changed:
            _entries.pop(id(entry), None)
            entry.sock.close()


def _watch_over(fd: int, limit: int) -> Guarded:
    global _thread
    sock = socket.socket(fileno=os.dup(fd))
    entry = Guarded(sock, received_bytes(sock) + limit)
    with _changed:
        _entries[id(entry)] = entry
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_patrol, name="receive-guard", daemon=True)
            _thread.start()
        _changed.notify()
    return entry


def _patrol() -> None:
    while True:
        with _changed:
            while not _entries:
                _changed.wait()
            for entry in _entries.values():
                _look(entry)
            _changed.wait(EVERY_S)


def _look(entry: Guarded) -> None:
    try:
        if not entry.tripped and received_bytes(entry.sock) > entry.limit:
            entry.tripped = True
            entry.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        entry.tripped = False


def received_bytes(sock: socket.socket) -> int:
    """Return how many bytes the socket has received since it was opened (Linux)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED_AT + 8)
    return int(struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)[0])


def bytes_in(fd: int) -> int:
    """Return how many bytes have come in on somebody else's socket; 0 if it is none."""
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            return received_bytes(sock)
    except OSError:
        return 0
