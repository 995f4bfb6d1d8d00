"""Work that goes on in a thread while the caller goes on: one thing at a time, in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Behind:
    """Writes what was read, say, while the next is read."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "behind")
        self._doing: Future[None] | None = None

    def do(self, work: Callable[[T], None], what: T) -> None:
        """Begin `work(what)`, once the last is done. Raises what that one met."""
        self.wait()
        self._doing = self._thread.submit(work, what)

    def wait(self) -> None:
        """Wait until nothing is being done. Raises what the last met."""
        doing, self._doing = self._doing, None
        if doing is not None:
            doing.result()
