"""A client that costs little, so that the service is what is measured: raw, kept-alive sockets."""

import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from devtools.processes import LOOPBACK

TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    first_byte_s: float = 0.0

    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else None


def request(method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}) -> bytes:
    """Return a request as it goes over the wire."""
    content = b"" if body is None else orjson.dumps(body)
    sent = {"Host": LOOPBACK, "Accept": "application/json", **headers}
    if content:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Client:
    """One connection, kept alive, opened again when the service closes it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def send(self, wire: bytes) -> Answer:
        """Send one request and read its answer whole. Raises OSError."""
        if self._socket is None:
            self._socket = socket.create_connection((LOOPBACK, self.port), TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        self._socket.sendall(wire)
        head = self._until(b"\r\n\r\n")
        first_byte_s = time.perf_counter() - started
        status, headers = _head(head)
        body = self._body(status, headers)
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, headers, body, first_byte_s)

    def _body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        return self._exactly(int(headers.get("content-length", 0)))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size + 2)[:-2]
        self._until(b"\r\n")

    def _until(self, mark: bytes) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            self._buffer += self._received()
        found, self._buffer = self._buffer[:end], self._buffer[end + len(mark) :]
        return found

    def _exactly(self, size: int) -> bytes:
        parts, missing = [self._buffer], size - len(self._buffer)
        while missing > 0:
            parts.append(self._received())
            missing -= len(parts[-1])
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]

    def _received(self) -> bytes:
        assert self._socket  # noqa: S101 - only send() comes here
        received = self._socket.recv(262_144)
        if not received:
            raise ConnectionResetError("The service closed the connection in the middle.")
        return received


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, value in pairs}


@dataclass
class Sample:
    """What one run of requests took."""

    latencies_s: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    unexpected: Answer | None = None

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.elapsed_s


def run(port: int, wires: Sequence[bytes], expected: int, clients: int, seconds: float) -> Sample:
    """Send `wires` in their order from so many clients at once.

    Ends after `seconds`, but not before ten requests, and in any case when all are sent.
    """
    sample = Sample()
    position = itertools.count()
    deadline = time.perf_counter() + seconds

    def work() -> None:
        with Client(port) as client:
            while (at := next(position)) < len(wires) and not sample.unexpected:
                if time.perf_counter() > deadline and at >= 10:
                    return
                with _timed(sample):
                    answer = client.send(wires[at])
                if answer.status != expected:
                    sample.unexpected = answer

    started = time.perf_counter()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sample.elapsed_s = time.perf_counter() - started
    return sample


@contextmanager
def _timed(sample: Sample) -> Iterator[None]:
    started = time.perf_counter()
    yield
    sample.latencies_s.append(time.perf_counter() - started)
