"""The slots of a stored schedule, and the runs that stand for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bson import ObjectId

import clock
from common.documents import store
from common.documents.store import Stored
from runs.models import Run
from runs.queueing import Slot, naive, slot_key
from runs.starting import duration_ms
from schedules.models import Schedule

TICK = timedelta(microseconds=1)


def between(schedule: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """Return the slots with `start` ≤ slot < `end`. Raises InvalidCron, UnknownZone."""
    zone = clock.zone_named(schedule.timezone)
    return clock.slots_between(schedule.cron_expression, zone, start, end)


def with_window(schedule: Schedule, slot: datetime) -> Slot:
    """Return a slot with its window: from the slot before, whether that ran or not."""
    zone = clock.zone_named(schedule.timezone)
    before = clock.previous_slots(schedule.cron_expression, zone, slot, 1)
    return Slot(slot, before[0] if before else None, slot if before else None)


def runs_of(schedule_id: ObjectId, slots: list[datetime]) -> dict[datetime, Stored]:
    """Return the runs that stand for slots of a schedule, by slot in UTC."""
    keys = [slot_key(schedule_id, slot) for slot in slots]
    found = store.find(Run, {"slot_key": {"$in": keys}})
    return {run["slot"].replace(tzinfo=UTC): run for run in found}


def cancel_queued(schedule_id: ObjectId) -> None:
    """Cancel the runs of a schedule that wait.

    Of one that may have committed something, a worker asks the target first.
    """
    now, session = naive(store.now()), store.mongodb.session
    for run in store.find(Run, {"schedule_id": schedule_id, "status": "queued"}):
        change: Stored = {"cancel_asked": True}
        if not run.get("lost_tokens"):
            change |= {"status": "cancelled", "ended_at": now, "holds": None, "not_before": None}
            change |= {"duration_ms": duration_ms(run.get("started_at"), now), "progress": None}
        as_read = {"_id": run["_id"], "status": "queued", "attempt": run.get("attempt")}
        store.collection(Run).update_one(as_read, {"$set": change}, session=session)
