"""Messages on a socket: four bytes of length, then JSON. Nothing that a child says is unpickled."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Any

import orjson

Json = Any

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct("<I")


class Broken(Exception):
    """The other end is gone, or says what is no frame."""


class Late(Exception):
    """The deadline passed before the frame was whole."""


def send(sock: socket.socket, message: Json) -> None:
    """Write a message whole. Raises Broken."""
    data = orjson.dumps(message)
    try:
        sock.sendall(_LENGTH.pack(len(data)) + data)
    except OSError as exc:
        raise Broken(str(exc)) from exc


def receive(sock: socket.socket, deadline: float | None = None) -> Json:
    """Return the next message; `deadline` is on the monotonic clock. Raises Broken, Late."""
    (size,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size, deadline))
    if size > MAX_FRAME_BYTES:
        raise Broken(f"a frame of {size:,} bytes")
    try:
        return orjson.loads(_exactly(sock, size, deadline))
    except orjson.JSONDecodeError as exc:
        raise Broken("a frame that is no JSON") from exc


def _exactly(sock: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        if deadline is not None:
            _await(sock, deadline)
        try:
            got = sock.recv_into(view[at:])
        except OSError as exc:
            raise Broken(str(exc)) from exc
        if not got:
            raise Broken("the other end is closed")
        at += got
    return data


def _await(sock: socket.socket, deadline: float) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise Late
