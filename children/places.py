"""A bounded number of places, for work that strangers can make last, counted over all processes.

A place is a byte of a file that the processes of a service share, locked by whoever has it: the
kernel takes the lock back from a process that dies. Beside it stands for whom the place is taken.
Whoever asks first may take all that nobody else wants. The last ten serve clients that have none,
on sources that have few; half of them also who has some, on a source that has none. So neither a
client nor a source can keep the others out.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESERVE = 10
FOR_OTHER_SOURCES = 5  # of the reserve
PATIENCE_S = 1.0
PATIENCE_OF_NEW_S = 3.0
SLICE_S = 0.05
_MARK_BYTES = 8
_LOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux


class NoPlace(Exception):
    """Every place is taken, or all those that this client or this source may have."""


def folder(name: str, given: str = "") -> Path:
    """Return the folder that the processes of a service share: `given`, or one below /tmp.

    Raises OSError for a folder that is a link, or another account's.
    """
    path = Path(given) if given else Path(tempfile.gettempdir()) / f"etl-{os.getuid()}-{name}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OSError(f"{path} is not a folder of this account: set PLACES_DIR to one that is.")
    path.chmod(0o700)
    return path


class Places:
    """`limit` places and a reserve in the file `name` of the shared folder."""

    def __init__(self, name: str, limit: int, shared: Path | None = None) -> None:
        self.name = name
        self.limit = limit
        self.shared = shared
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Locks are a process's own: one that was forked starts without any."""
        self._mine: set[int] = set()
        self._lock = threading.Lock()
        self._fd: int | None = None

    @contextmanager
    def take(self, client: str = "", source: str = "") -> Iterator[None]:
        """Hold a place for `client` and `source`, either of which may be empty for nobody.

        Who has few places waits up to a second for another one, a client that has none up to
        three. Raises NoPlace.
        """
        place = self._wait_for_place([_mark(client), _mark(source)])
        try:
            yield
        finally:
            self._leave(place)

    def _wait_for_place(self, marks: list[bytes]) -> int:
        started = time.monotonic()
        while True:
            with self._lock:
                place = self._free(range(self.limit), marks)
                if place is None:
                    client, source = self._held(marks)
                    place = self._free(self._reserve(client, source), marks)
            if place is not None:
                return place
            patience_s = PATIENCE_S if client else PATIENCE_OF_NEW_S
            late = time.monotonic() - started >= patience_s
            if late or min(client, source) >= min(RESERVE, self.limit):
                raise NoPlace
            time.sleep(SLICE_S)

    def _reserve(self, client: int, source: int) -> range:
        """Return the last places that may be taken, of these for whom so many are taken."""
        end = self.limit + RESERVE
        if client == 0 and source < RESERVE:
            return range(self.limit, end)
        return range(end - FOR_OTHER_SOURCES, end) if source == 0 else range(0)

    def _held(self, marks: list[bytes]) -> tuple[int, int]:
        """Return how many places are taken for a client and for a source.

        Nobody has as many as the other one; both are nobody: all.
        """
        size = 2 * _MARK_BYTES
        written = os.pread(self._file(), (self.limit + RESERVE) * size, 0)
        counts = [0, 0]
        for place in range(len(written) // size):
            if place not in self._mine and not self._locked_elsewhere(place):
                continue
            for index, mark in enumerate(marks):
                at = place * size + index * _MARK_BYTES
                counts[index] += mark != bytes(_MARK_BYTES) and mark == written[at : at + 8]
        known = [count for count, mark in zip(counts, marks, strict=True) if any(mark)]
        client, source = (known * 2)[:2] or (self.limit, self.limit)
        return client, source

    def _free(self, places: range, marks: list[bytes]) -> int | None:
        for place in places:
            # The kernel sees no difference between a process's threads.
            if place not in self._mine and self._locks(place):
                self._mine.add(place)
                os.pwrite(self._file(), b"".join(marks), place * 2 * _MARK_BYTES)
                return place
        return None

    def _locks(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _locked_elsewhere(self, place: int) -> bool:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
        found = fcntl.fcntl(self._file(), fcntl.F_GETLK, asked)
        return bool(_LOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def _leave(self, place: int) -> None:
        with self._lock:
            self._mine.discard(place)
            fcntl.lockf(self._file(), fcntl.LOCK_UN, 1, place)

    def _file(self) -> int:
        if self._fd is None:
            self._fd = _open(self.shared, self.name)
        return self._fd


def _open(shared: Path | None, name: str) -> int:
    """Open the file of the shared folder; a process that has none counts for itself alone."""
    if shared is None:
        return os.memfd_create(name, os.MFD_CLOEXEC)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(shared / name, flags, 0o600)


def _mark(who: str) -> bytes:
    return hashlib.sha256(who.encode()).digest()[:_MARK_BYTES] if who else bytes(_MARK_BYTES)
