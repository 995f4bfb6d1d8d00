"""The values that a run refused: the first 10,000, of its last attempt, for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId
from django.conf import settings

from common.documents import store
from common.documents.store import Stored
from runs.models import RejectedPart

MOST = 10_000
PART_ROWS = 500


def keep(run_id: ObjectId, entries: Sequence[dict[str, Any]]) -> int:
    """Keep the entries of an attempt in the place of those of the one before; return how many."""
    forget(run_id)
    kept = sorted(entries, key=lambda entry: entry["row"])[:MOST]
    now = store.now().replace(tzinfo=None)
    until = now + timedelta(days=settings.REJECTED_KEEP_DAYS)
    parts = [
        {
            "run_id": run_id,
            "part": number,
            "entries": kept[first : first + PART_ROWS],
            "expires_at": until,
        }
        for number, first in enumerate(range(0, len(kept), PART_ROWS))
    ]
    if parts:
        store.collection(RejectedPart).insert_many(parts)
    return len(kept)


def forget(run_id: ObjectId) -> None:
    store.collection(RejectedPart).delete_many({"run_id": run_id})


def read(run: Stored, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return a page of a run's entries by row, and how many it has."""
    numbers = range(offset // PART_ROWS, (offset + limit - 1) // PART_ROWS + 1)
    condition = {"run_id": run["_id"], "part": {"$in": list(numbers)}}
    parts = sorted(store.find(RejectedPart, condition), key=lambda part: int(part["part"]))
    if not parts:
        return [], _total(run)
    entries = [entry for part in parts for entry in part["entries"]]
    skipped = offset - int(parts[0]["part"]) * PART_ROWS
    return entries[skipped : skipped + limit], _total(run)


def _total(run: Stored) -> int:
    """Return how many entries there still are: all of a run expire together."""
    total = int(run.get("rejected_kept") or 0)
    if total and not store.find_one(RejectedPart, {"run_id": run["_id"]}, {"_id": 1}):
        return 0
    return total
