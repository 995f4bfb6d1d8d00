"""The log of a run: its newest 10,000 lines, for a while."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from bson import ObjectId
from django.conf import settings
from django.db import DatabaseError
from pymongo.errors import PyMongoError

from common.documents import store
from common.documents.store import Stored
from runs.models import LogLine

MOST_LINES = 10_000
SLACK = 500
"""After so many lines the oldest are cut."""
LONGEST = 4_000
WRITTEN_EVERY_S = 0.5

logger = logging.getLogger("runs")


class RunLog:
    """What an attempt says. A line that follows another at once is written with those behind it.

    Lines are lost where the store is away, or the process ends before `flush`: a run waits for
    neither.
    """

    def __init__(self, run_id: ObjectId, attempt: int) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.waiting: list[Stored] = []
        self.since_cut = 0
        self.written_at = float("-inf")

    def say(self, stage: str | None, message: str, level: str = "info") -> None:
        """Add a line."""
        now = store.now().replace(tzinfo=None)
        self.waiting.append(
            {
                "run_id": self.run_id,
                "at": now,
                "attempt": self.attempt,
                "stage": stage,
                "level": level,
                "message": message[:LONGEST],
                "expires_at": now + timedelta(days=settings.RUN_LOG_KEEP_DAYS),
            }
        )
        self.write()

    def write(self) -> None:
        """Write what waits, unless something was written just now."""
        if time.monotonic() >= self.written_at + WRITTEN_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write all that waits."""
        lines, self.waiting = self.waiting, []
        if not lines:
            return
        self.written_at = time.monotonic()
        try:
            with store.request_timeout():
                store.collection(LogLine).insert_many(lines)
                self.since_cut += len(lines)
                if self.since_cut >= SLACK:
                    _cut(self.run_id)
                    self.since_cut = 0
        except (PyMongoError, DatabaseError) as failure:
            logger.warning("Lines of a run's log were lost: %s", type(failure).__name__)


def _cut(run_id: ObjectId) -> None:
    """Remove all but the newest lines."""
    lines = store.collection(LogLine)
    found = list(lines.find({"run_id": run_id}, {"_id": 1, "at": 1}))
    found.sort(key=lambda line: (line["at"], line["_id"]))
    oldest = [line["_id"] for line in found[:-MOST_LINES]]
    lines.delete_many({"_id": {"$in": oldest}})
