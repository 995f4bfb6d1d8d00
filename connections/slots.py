"""A bounded number of places, for work that strangers can make last.

The bound holds for all workers together: a place is a byte of a file that they share, locked by
whoever has it. The kernel takes the lock back from a worker that dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .drivers.errors import TooManyProbes

ROOM = 10_000  # bytes of the file for each kind of work


def _file() -> int:
    """Return the file that the server opened for its workers; a lone process has its own."""
    return int(os.environ.get("SLOTS_FD") or os.memfd_create("slots", os.MFD_CLOEXEC))


_fd = _file()


class Slots:
    """`limit` places; whoever finds none is turned away at once.

    `number` tells this kind of work from others in the file.
    """

    def __init__(self, limit: int, error: type[TooManyProbes], what: str, number: int) -> None:
        self.limit = limit
        self.error = error
        self.what = what
        self._first = number * ROOM
        self._after_fork()
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """Locks are a process's own: a child starts without any."""
        self._mine: set[int] = set()
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place; raise TooManyProbes or TooManyPreviews where there is none."""
        place = self._occupy()
        if place is None:
            raise self.error(
                f"{self.limit} {self.what} are running already; try again in a few seconds.",
                hint="Wait for one of them to end.",
            )
        try:
            yield
        finally:
            self._leave(place)

    def _occupy(self) -> int | None:
        with self._lock:
            for place in range(min(self.limit, ROOM)):
                # The kernel sees no difference between a process's threads.
                if place not in self._mine and self._locked(place):
                    self._mine.add(place)
                    return place
        return None

    def _locked(self, place: int) -> bool:
        try:
            fcntl.lockf(_fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._first + place)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _leave(self, place: int) -> None:
        with self._lock:
            self._mine.discard(place)
            fcntl.lockf(_fd, fcntl.LOCK_UN, 1, self._first + place)
