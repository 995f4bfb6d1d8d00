"""A port that leads to a server, until it is cut."""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_RDWR, create_connection, create_server, socket
from threading import Thread
from typing import Self


class Relay:
    """Leads from `port` to another port of this machine, after it has hung up so many times."""

    def __init__(self, target: int, hang_ups: int = 0) -> None:
        self._target = target
        self._hang_ups = hang_ups
        self._ends: list[socket] = []
        self._server = create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """End every connection, and take none any more."""
        for end in (self._server, *self._ends):
            with suppress(OSError):
                end.shutdown(SHUT_RDWR)
            end.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                if self._hang_ups > 0:
                    self._hang_ups -= 1
                    caller.close()
                    continue
                there = create_connection(("127.0.0.1", self._target))
                self._ends += [caller, there]
                for one, other in ((caller, there), (there, caller)):
                    Thread(target=_lead_on, args=(one, other), daemon=True).start()


def _lead_on(one: socket, other: socket) -> None:
    with suppress(OSError):
        while said := one.recv(65536):
            other.sendall(said)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(SHUT_RDWR)
