"""Makes runs: those that wait for a worker, and those that say why a slot did not run.

All of it may be a part of a caller's transaction. Nothing here is an entry of the audit: who starts
a run notes that, see `starting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from common.documents import store
from common.documents.codecs import record_codec
from common.documents.store import Stored
from common.exceptions import Conflict
from mappings.models import Mapping
from runs import dispatch, numbers, planning
from runs.life import PLAN_VERSION
from runs.models import Run
from runs.planning import Planned

WINDOW = "{{slot_"
DAY = timedelta(days=1)


SkipListener = Callable[[list[Stored]], None]
"""Called with runs that say why slots did not run, in the transaction that says so."""

_skip_listeners: list[SkipListener] = []


def on_skip(listener: SkipListener) -> None:
    """Have `listener` called with the slots that do not run."""
    _skip_listeners.append(listener)


class SlotTaken(Conflict):
    """The slot of a schedule has a run already."""

    code = "slot_taken"


@dataclass(frozen=True)
class Slot:
    """A moment of a schedule, aware, and the window that its query reads."""

    slot: datetime
    slot_start: datetime | None = None
    slot_end: datetime | None = None


def queue(
    mapping: Mapping,
    *,
    trigger: str,
    schedule_id: ObjectId | None = None,
    slot: datetime | None = None,
    slot_start: datetime | None = None,
    slot_end: datetime | None = None,
    full_refresh: bool = False,
    retry_of: ObjectId | None = None,
    run_id: ObjectId | None = None,
) -> Stored:
    """Queue a run of the mapping as it is now; return the run's document.

    Moments are aware. Raises SlotTaken where the schedule's slot has a run.
    """
    planned = planning.plan_of(mapping)
    planning.keep([planned])
    document = _queued(
        mapping.pk,
        planned,
        trigger=trigger,
        schedule_id=schedule_id,
        slot=Slot(slot, slot_start, slot_end) if slot else None,
        window=(slot_start, slot_end),
        full_refresh=full_refresh,
        retry_of=retry_of,
    )
    if run_id is not None:
        document["_id"] = run_id
    try:
        store.collection(Run).insert_one(document, session=store.mongodb.session)
    except DuplicateKeyError as clash:
        if "slot_key" not in str((clash.details or {}).get("keyPattern") or "slot_key"):
            raise
        raise SlotTaken(f"The slot {slot} of the schedule has a run already.") from clash
    dispatch.announce([document])
    return document


def queue_many(
    mapping: Mapping, slots: Sequence[Slot], *, trigger: str, schedule_id: ObjectId
) -> int:
    """Queue a run for each slot that has none; return how many that were.

    In a transaction, leave out slots that have one first; see `insert_many`.
    """
    if not slots:
        return 0
    planned = planning.plan_of(mapping)
    planning.keep([planned])
    return insert_many(
        queued(mapping.pk, planned, slot, trigger=trigger, schedule_id=schedule_id)
        for slot in slots
    )


def queued(
    mapping_id: ObjectId, planned: Planned, slot: Slot, *, trigger: str, schedule_id: ObjectId
) -> Stored:
    """Return the document of a run that waits, and stands for a slot; its plan is to be kept."""
    window = (slot.slot_start, slot.slot_end)
    return _queued(
        mapping_id, planned, trigger=trigger, schedule_id=schedule_id, slot=slot, window=window
    )


def insert_many(documents: Iterable[Stored]) -> int:
    """Insert runs, but those whose slot has one; return how many that were.

    In a transaction all are inserted: where one cannot, it is done again from its beginning.
    """
    made = list(documents)
    if not made:
        return 0
    count = store.insert_missing(Run, made, session=store.mongodb.session)
    if count < len(made) and store.mongodb.session is not None:
        raise store.WriteConflict
    dispatch.announce(made)
    return count


def insert_skipped(documents: Iterable[Stored]) -> int:
    """Insert runs of `skipped`, and tell who listens; return how many were inserted."""
    made = list(documents)
    count = insert_many(made)
    for run in made:
        numbers.count_ended(run)
    for listener in _skip_listeners if made else ():
        listener(made)
    return count


def skipped(
    mapping_id: ObjectId,
    mapping_name: str,
    *,
    schedule_id: ObjectId,
    slot: datetime,
    reason: str,
    skipped_slots: int = 1,
    trigger: str = "schedule",
) -> Stored:
    """Return the document of a run that says why a slot did not run; see `insert_skipped`."""
    now = naive(store.now())
    return {
        **_empty(),
        "_id": ObjectId(),
        "mapping_id": mapping_id,
        "mapping_name": mapping_name,
        "schedule_id": schedule_id,
        "slot": naive(slot),
        "slot_key": slot_key(schedule_id, slot),
        "trigger": trigger,
        "status": "skipped",
        "skip_reason": reason,
        "skipped_slots": skipped_slots,
        "queued_at": now,
        "ended_at": now,
    }


def revive_many(
    mapping: Mapping, skipped: Sequence[tuple[Stored, Slot]], *, trigger: str = "backfill"
) -> int:
    """Make skipped runs those that run for their slots; return how many were still skipped."""
    if not skipped:
        return 0
    planned = planning.plan_of(mapping)
    planning.keep([planned])
    revived = []
    for run, slot in skipped:
        fresh = queued(mapping.pk, planned, slot, trigger=trigger, schedule_id=run["schedule_id"])
        revived.append(fresh | {"_id": run["_id"]})
    requests = [
        UpdateOne(
            {"_id": run["_id"], "status": "skipped"},
            {"$set": {name: value for name, value in run.items() if name != "_id"}},
        )
        for run in revived
    ]
    written = store.collection(Run).bulk_write(
        requests, ordered=False, session=store.mongodb.session
    )
    dispatch.announce(revived)
    return written.modified_count


def slot_key(schedule_id: ObjectId, slot: datetime) -> str:
    """Return what no two runs that stand for a slot share."""
    return f"{schedule_id}/{naive(slot):%Y-%m-%dT%H:%M}"


def naive(moment: datetime) -> datetime:
    """Return a moment as it is stored."""
    return moment.replace(tzinfo=None) if moment.tzinfo is None else _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    offset = moment.utcoffset() or timedelta()
    return moment.replace(tzinfo=None) - offset


@cache
def _empty() -> Stored:
    """Return a run of which nothing is known; it is made once."""
    document = record_codec(Run).store(Run())
    document.pop("_id", None)
    return document


def _queued(
    mapping_id: ObjectId,
    planned: Planned,
    *,
    trigger: str,
    schedule_id: ObjectId | None = None,
    slot: Slot | None = None,
    window: tuple[datetime | None, datetime | None] = (None, None),
    full_refresh: bool = False,
    retry_of: ObjectId | None = None,
) -> Stored:
    now = store.now()
    start, end = window
    if end is None and WINDOW in planned.content["source_query"]:
        start, end = now - DAY, now
    stands_for_slot = slot is not None and schedule_id is not None and retry_of is None
    values: dict[str, Any] = {
        "_id": ObjectId(),
        "mapping_id": mapping_id,
        "mapping_name": planned.mapping_name,
        "schedule_id": schedule_id,
        "slot": naive(slot.slot) if slot else None,
        "slot_key": slot_key(schedule_id, slot.slot) if stands_for_slot else None,  # type: ignore[arg-type, union-attr]
        "slot_start": naive(start) if start else None,
        "slot_end": naive(end) if end else None,
        "trigger": trigger,
        "retry_of": retry_of,
        "status": "queued",
        "engine": "spark" if planned.content["engine"] == "spark" else "embedded",
        "queued_at": naive(now),
        "full_refresh": full_refresh,
        "plan_id": planned.id,
        "plan_version": PLAN_VERSION,
        "connection_id": planned.connection_id,
        "connection_name": planned.connection_name,
        "target_id": planned.target_id,
    }
    return {**_empty(), **values}
