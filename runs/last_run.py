"""What a schedule tells of its last run: that of its newest slot that was not skipped.

`last_run_id` and `last_run_at` are noted when a run is queued, `last_run_status` each time it moves
on: in the same transaction, or right after it. What a crash between the two leaves is mended by
the scheduler's look at all of them.
"""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from common.documents import store, writes
from common.documents.store import Stored
from runs.life import LIVE
from runs.models import Run
from schedules.models import Schedule


def told(run: Stored) -> Stored:
    """Return what a schedule notes of a run."""
    return {
        "last_run_id": run["_id"],
        "last_run_status": run["status"],
        "last_run_at": run["queued_at"],
    }


def note(run: Stored) -> None:
    """Have the schedule of a queued run tell of it, unless that tells of a newer slot."""
    schedule = store.find_one(Schedule, {"_id": run["schedule_id"]}, {"last_run_id": 1}) or {}
    before: ObjectId | None = schedule.get("last_run_id")
    last = store.find_one(Run, {"_id": before}, {"slot": 1}) if before else None
    if last and last.get("slot") and last["slot"] > run["slot"]:
        return
    writes.keep(Schedule, {"_id": run["schedule_id"], "last_run_id": before}, told(run))


def follow(run: Stored, status: str) -> None:
    """Have the schedule whose last run this is tell of its status."""
    if run.get("schedule_id") is not None:
        condition = {"_id": run["schedule_id"], "last_run_id": run["_id"]}
        writes.keep(Schedule, condition, {"last_run_status": status})


def follow_all() -> None:
    """Mend the status of the last runs that had not ended."""
    live = {"last_run_status": {"$in": list(LIVE)}}
    names = {"last_run_id": 1, "last_run_status": 1}
    found = list(store.find(Schedule, live, names))
    runs = store.documents_of(Run, (one.get("last_run_id") for one in found), "status")
    status: dict[Any, str] = {key: run["status"] for key, run in runs.items()}
    writes.keep_many(
        Schedule,
        (
            (one, {"last_run_status": status[one["last_run_id"]]})
            for one in found
            if status.get(one.get("last_run_id"), one["last_run_status"]) != one["last_run_status"]
        ),
    )
