"""A bounded number of places, for work that strangers can make last."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .drivers.errors import TooManyProbes


class Slots:
    """`limit` places in this process; whoever finds none is turned away at once."""

    def __init__(self, limit: int, error: type[TooManyProbes], what: str) -> None:
        self.limit = limit
        self.error = error
        self.what = what
        self._taken = 0
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place; raise TooManyProbes or TooManyPreviews where there is none."""
        with self._lock:
            if self._taken >= self.limit:
                raise self.error(
                    f"{self.limit} {self.what} are running already; try again in a few seconds.",
                    hint="Wait for one of them to end.",
                )
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1
