"""The log of a run: its newest 10,000 lines, for a while."""

from __future__ import annotations

from datetime import timedelta

from bson import ObjectId
from django.conf import settings

from common.documents import store
from runs.models import LogLine, Run

MOST_LINES = 10_000
SLACK = 500
"""So many lines more are there before the oldest are cut."""
LONGEST = 4_000


def write(
    run_id: ObjectId, attempt: int, stage: str | None, message: str, level: str = "info"
) -> None:
    """Add a line."""
    now = store.now().replace(tzinfo=None)
    line = {
        "run_id": run_id,
        "at": now,
        "attempt": attempt,
        "stage": stage,
        "level": level,
        "message": message[:LONGEST],
        "expires_at": now + timedelta(days=settings.RUN_LOG_KEEP_DAYS),
    }
    store.collection(LogLine).insert_one(line)
    has_room = {"_id": run_id, "log_lines": {"$lt": MOST_LINES + SLACK}}
    if not store.collection(Run).update_one(has_room, {"$inc": {"log_lines": 1}}).matched_count:
        _cut(run_id)


def _cut(run_id: ObjectId) -> None:
    """Remove all but the newest lines."""
    lines = store.collection(LogLine)
    found = list(lines.find({"run_id": run_id}, {"_id": 1, "at": 1}))
    found.sort(key=lambda line: (line["at"], line["_id"]))
    oldest = [line["_id"] for line in found[:-MOST_LINES]]
    lines.delete_many({"_id": {"$in": oldest}})
    store.collection(Run).update_one({"_id": run_id}, {"$set": {"log_lines": MOST_LINES}})
