"""The slots of a stored schedule, and the runs that stand for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from bson import ObjectId

import clock
from common.documents import store
from common.documents.store import Stored
from runs import numbers
from runs.models import Run
from runs.queueing import Slot, naive, slot_key
from runs.starting import duration_ms
from schedules.models import Schedule

TICK = timedelta(microseconds=1)
FEW = 100
"""Of so many slots the store is asked one by one."""
TOLD = dict.fromkeys(("schedule_id", "slot", "slot_key", "status", "queued_at"), 1)


def between(schedule: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """Return the slots with `start` ≤ slot < `end`, within the schedule's `start_at` and `end_at`.

    Raises InvalidCron, UnknownZone.
    """
    zone = clock.zone_named(schedule.timezone)
    start, end = max(start, schedule.start_at or start), min(end, schedule.end_at or end)
    return clock.slots_between(schedule.cron_expression, zone, start, end)


def with_window(schedule: Schedule, slot: datetime) -> Slot:
    """Return a slot with its window: from the slot before, whether that ran or not."""
    zone = clock.zone_named(schedule.timezone)
    before = clock.previous_slots(schedule.cron_expression, zone, slot, 1)
    return Slot(slot, before[0] if before else None, slot if before else None)


def runs_of(schedule_id: ObjectId, slots: list[datetime]) -> dict[datetime, Stored]:
    """Return the runs that stand for slots of a schedule, by slot in UTC."""
    found = runs_by_key([slot_key(schedule_id, slot) for slot in slots])
    return {run["slot"].replace(tzinfo=UTC): run for run in found.values()}


def runs_by_key(keys: Sequence[str]) -> dict[str, Stored]:
    """Return what tells of the runs that stand for slots, of any schedules, by `slot_key`."""
    wanted = set(keys)
    return {
        run["slot_key"]: run
        for condition in _conditions(keys)
        for run in store.find(Run, condition, TOLD)
        if run["slot_key"] in wanted
    }


def _conditions(keys: Sequence[str]) -> Iterator[Stored]:
    """Yield what to ask the store for: of a schedule with many slots all between the outermost."""
    by_schedule: dict[str, list[str]] = {}
    for key in keys:
        by_schedule.setdefault(key.partition("/")[0], []).append(key)
    few: list[str] = []
    for found in by_schedule.values():
        if len(found) > FEW:
            yield {"slot_key": {"$gte": min(found), "$lte": max(found)}}
        else:
            few += found
    if few:
        yield {"slot_key": {"$in": few}}


def cancel_queued(schedule_id: ObjectId) -> None:
    """Cancel the runs of a schedule that wait.

    Of one that may have committed something, a worker asks the target first.
    """
    now, session, runs = naive(store.now()), store.mongodb.session, store.collection(Run)
    waiting = {"schedule_id": schedule_id, "status": "queued"}
    ended = {"cancel_asked": True, "status": "cancelled", "ended_at": now, "holds": None}
    ended |= {"not_before": None, "progress": None}
    # As a rule all of them, and a thousand: no look at each.
    fresh = {**waiting, "started_at": None, "lost_tokens": {"$in": [None, []]}}
    cancelled = runs.update_many(fresh, {"$set": ended}, session=session).modified_count
    numbers.count_ended({"status": "cancelled"}, cancelled)
    for run in store.find(Run, waiting):
        change: Stored = {"cancel_asked": True}
        if not run.get("lost_tokens"):
            change = ended | {"duration_ms": duration_ms(run.get("started_at"), now)}
        as_read = {"_id": run["_id"], "status": "queued", "attempt": run.get("attempt")}
        written = runs.update_one(as_read, {"$set": change}, session=session)
        if written.matched_count and "status" in change:
            numbers.count_ended(run | change)
