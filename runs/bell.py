"""Rings when a run is queued: by a change stream of the store, where it has them.

Nothing depends on it: who is rung looks for runs now and then anyway, only less often while the
bell hangs. A stand-alone server has no change streams.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pymongo.errors import OperationFailure, PyMongoError

from common.documents import store
from runs.models import Run

AWAIT_MS = 1000
AGAIN_S = 5.0
STAND_ALONE = 40573
QUEUED = [{"$match": {"operationType": "insert", "fullDocument.status": "queued"}}]


class Bell:
    """Calls `ring`, from a thread of its own, whenever runs are queued, until it is taken down."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self.ring = ring
        self.hangs = False
        """Whether each run that is queued now will ring."""
        self.down = threading.Event()
        self.thread = threading.Thread(target=self._listen, name="bell", daemon=True)

    def hang(self) -> None:
        self.thread.start()

    def take_down(self) -> None:
        self.down.set()

    def _listen(self) -> None:
        while not self.down.is_set():
            try:
                self._follow()
            except PyMongoError as failure:
                if isinstance(failure, OperationFailure) and failure.code == STAND_ALONE:
                    return
            finally:
                self.hangs = False
            # Whoever looks for runs meets a store that is away, too, and tells of it.
            self.down.wait(AGAIN_S)

    def _follow(self) -> None:
        with store.collection(Run).watch(QUEUED, max_await_time_ms=AWAIT_MS) as stream:
            self.hangs = True
            # What was queued before the stream began rang nowhere.
            self.ring()
            while stream.alive and not self.down.is_set():
                if stream.try_next() is not None:
                    self.ring()
