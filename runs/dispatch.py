"""Tells workers elsewhere of runs that wait, where something can: a broker that is set.

A message says "look here", and no more. Whoever hears it has to win the run in the store; one that
was lost, came twice or too late does no harm: what nobody has claimed is announced again.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from bson import ObjectId
from django.conf import settings

from common.documents import writes
from common.documents.store import Stored

QUEUE = "runs"
"""Where runs are announced whose connections have no queue of their own."""
COMPLAINT_EVERY_S = 60.0

logger = logging.getLogger("runs")

Sender = Callable[[ObjectId, str], None]
"""Sends a run's id to a queue. It may raise, and need not wait for long."""


def queue_of(connection_name: str | None) -> str:
    """Return the queue of the runs that read a connection: the first that fits CELERY_QUEUES."""
    for route in settings.CELERY_QUEUES:
        pattern, _, name = route.rpartition("=")
        if fnmatchcase(connection_name or "", pattern):
            return str(name)
    return QUEUE


class Announcer:
    """Sends from a thread of its own, so that no request waits for a broker; one a process."""

    def __init__(self, send: Sender) -> None:
        self.send = send
        self.complained_at = -COMPLAINT_EVERY_S
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Start with nothing: a thread does not pass through a fork."""
        self.waiting: queue.SimpleQueue[tuple[ObjectId, str]] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    def put(self, told: Iterable[tuple[ObjectId, str]]) -> None:
        for one in told:
            self.waiting.put(one)
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name="announcer", daemon=True)
                self.thread.start()

    def _work(self) -> None:
        while True:
            try:
                self.send(*self.waiting.get())
            except Exception as failure:
                self._give_up(failure)

    def _give_up(self, failure: Exception) -> None:
        """Forget what waits: it is announced again from the store once the broker is there."""
        while not self.waiting.empty():
            self.waiting.get()
        if time.monotonic() - self.complained_at >= COMPLAINT_EVERY_S:
            self.complained_at = time.monotonic()
            # What it says may quote the broker's address, and with it a password.
            logger.warning("The broker takes no messages (%s).", type(failure).__name__)


_announcer: Announcer | None = None


def send_by(send: Sender) -> None:
    """Have runs announced by `send` from here on."""
    global _announcer
    _announcer = Announcer(send)


def announce(runs: Iterable[Stored]) -> None:
    """Tell of runs that wait, once the open transaction is committed; never waits, never raises."""
    if (announcer := _announcer) is None:
        return
    told = [(run["_id"], queue_of(run.get("connection_name"))) for run in runs
            if run["status"] == "queued"]  # fmt: skip
    if told:
        writes.after_commit(lambda: announcer.put(told))
