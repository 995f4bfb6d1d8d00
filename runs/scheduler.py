"""Fires schedules: one process leads, and any other may take its place.

Nothing depends on the lease: a slot has one run by a unique index, and a schedule moves on only
from where it was read. A leader that was thought dead does what is done already.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from django.db import DatabaseError
from pymongo.errors import DuplicateKeyError, PyMongoError

import clock
from common.documents import store, writes
from common.documents.store import Stored
from common.exceptions import ServiceError
from mappings.models import Mapping
from runs import claims, firing, queueing, routing, slots
from runs.firing import LATE, Decision, Rules, Situation
from runs.life import LIVE
from runs.models import Run
from runs.queueing import naive, slot_key
from schedules.models import MOVES_THE_NEXT_RUN, Schedule, not_before

SCHEDULER = "run_scheduler"
"""The collection of the lease, and of when a scheduler first began on this store."""
LEASE_S = 8.0
EVERY_S = 0.2
RENEWED_EVERY_S = 1.0
TAKEN_UP_EVERY_S = 20.0
DOWN_S = 1.0

logger = logging.getLogger("scheduler")


class Scheduler:
    """A process that fires what is due while it leads."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.token = secrets.token_hex(8)
        self.stopped = threading.Event()
        self.waits_until: dict[ObjectId, datetime] = {}

    def stop(self) -> None:
        self.stopped.set()

    def work(self) -> None:
        """Lead whenever nobody else does, until it is told to stop; then hand over at once."""
        renewed = taken_up = -TAKEN_UP_EVERY_S
        leads = False
        while not self.stopped.wait(EVERY_S):
            try:
                with store.batch_timeout():
                    now = time.monotonic()
                    if now - renewed >= RENEWED_EVERY_S:
                        leads, renewed = self.has_lease(), now
                    if leads and now - taken_up >= TAKEN_UP_EVERY_S:
                        self.take_up()
                        routing.note_unroutable(claims.live_runs())
                        taken_up = now
                    if leads:
                        self.turn()
            except (PyMongoError, DatabaseError, ServiceError) as failure:
                logger.warning("The store does not let slots fire: %s", type(failure).__name__)
                self.stopped.wait(DOWN_S)
        self.hand_over()

    # --- The lease --------------------------------------------------------------------------------

    def has_lease(self) -> bool:
        """Take the lease, or prolong it; tell whether it is this process's."""
        moment = naive(store.now())
        mine_or_over: list[Stored] = [{"holder": self.token}, {"until": {"$lt": moment}}]
        until = moment + timedelta(seconds=LEASE_S)
        taken = {"holder": self.token, "name": self.name, "until": until, "seen_at": moment}
        try:
            found = store.named(SCHEDULER).update_one(
                {"_id": "lease", "$or": mine_or_over}, {"$set": taken}, upsert=True
            )
        except DuplicateKeyError:
            # It is there, and another's.
            return False
        return bool(found.matched_count or found.upserted_id)

    def hand_over(self) -> None:
        """Let another lead at once."""
        over = {"$set": {"until": datetime(2000, 1, 1)}}  # noqa: DTZ001 - as it is stored
        try:
            store.named(SCHEDULER).update_one({"_id": "lease", "holder": self.token}, over)
        except PyMongoError as failure:
            logger.warning("The lease was not given back: %s", type(failure).__name__)

    # --- What is due ------------------------------------------------------------------------------

    def turn(self) -> int:
        """Fire what is due; return how many schedules did."""
        now = store.now()
        begun = begun_at(now)
        due = store.collection(Schedule).find({"next_run_at": {"$lte": naive(now)}})
        fired = sum(self._fired(document, begun, now) for document in sorted(due, key=_moment))
        follow_runs()
        return fired

    def _fired(self, document: Stored, begun: datetime, now: datetime) -> bool:
        waits_until = self.waits_until.get(document["_id"])
        if document.get("enabled") is False or (waits_until and waits_until > now):
            return False
        self.waits_until.pop(document["_id"], None)
        schedule = Schedule.from_document(document)
        jitter = firing.jitter_of(schedule.pk, schedule.jitter_s)
        if schedule.next_run_at and now < schedule.next_run_at + jitter:
            return False
        try:
            return fire(schedule, begun, now)
        except (clock.InvalidCron, clock.UnknownZone) as wrong:
            logger.warning("The schedule %s does not fire: %s", schedule.pk, wrong)
            self.waits_until[schedule.pk] = now + timedelta(minutes=1)
        except DuplicateKeyError:
            logger.info("A slot of the schedule %s was queued by another.", schedule.pk)
        return False

    def take_up(self) -> None:
        """Give a next run to what another program stored without one."""
        for document in store.collection(Schedule).find({"next_run_at": None}):
            schedule = Schedule.from_document(document)
            if schedule.enabled and (found := schedule.next_runs(1)):
                condition = {**_as_read(document), "next_run_at": None}
                writes.keep(Schedule, condition, {"next_run_at": naive(found[0])})


def _moment(document: Stored) -> datetime:
    found: datetime = document["next_run_at"]
    return found


def begun_at(now: datetime) -> datetime:
    """Return when a scheduler first began on this store: no slot before counts."""
    key = {"_id": "begun"}
    begun = store.named(SCHEDULER)
    begun.update_one(key, {"$setOnInsert": {"at": naive(now)}}, upsert=True)
    found = begun.find_one(key) or {"at": naive(now)}
    moment: datetime = found["at"]
    return moment.replace(tzinfo=UTC)


def _as_read(document: Stored) -> Stored:
    """Return the condition that what decides on slots is still what was read."""
    return {"_id": document["_id"]} | {
        name: {"$eq": document.get(name)} for name in MOVES_THE_NEXT_RUN
    }


# --- One schedule ---------------------------------------------------------------------------------


def fire(schedule: Schedule, begun: datetime, now: datetime) -> bool:
    """Queue the slots of a schedule that are due, or note why they do not run, and move it on.

    In one transaction; tells whether the schedule was still as it was read.
    """
    window = timedelta(seconds=schedule.catch_up_window_s)
    jitter = firing.jitter_of(schedule.pk, schedule.jitter_s)
    rules = Rules(schedule.overlap, schedule.catch_up, window, jitter)
    first = not_before(max(schedule.next_run_at or now, begun), schedule.start_at)
    end = now - jitter + slots.TICK
    end = min(end, schedule.end_at) if schedule.end_at else end
    due = list(slots.between(schedule, first, end))
    condition = {**_as_read(schedule.document), "next_run_at": schedule.document["next_run_at"]}

    def work() -> bool:
        taken = slots.runs_of(schedule.pk, due)
        found = store.find_one(Mapping, {"_id": schedule.mapping_id})
        mapping = Mapping.from_document(found) if found else None
        fresh = [slot for slot in due if slot not in taken]
        decisions = firing.decide(fresh, now, rules, situation(schedule, mapping, rules))
        kept = {"next_run_at": _next(schedule, max(first, end) - slots.TICK)}
        kept |= _written(schedule, mapping, decisions)
        if not writes.keep(Schedule, condition, kept):
            raise _Moved
        return True

    try:
        return writes.transaction(work)
    except _Moved:
        return False


class _Moved(Exception):
    """The schedule is no longer what was read: nothing of this is written."""


def _next(schedule: Schedule, after: datetime) -> datetime | None:
    zone = clock.zone_named(schedule.timezone)
    found = clock.next_slots(schedule.cron_expression, zone, after, 1)
    is_over = not found or (schedule.end_at is not None and found[0] >= schedule.end_at)
    return None if is_over else naive(found[0])


def situation(schedule: Schedule, mapping: Mapping | None, rules: Rules) -> Situation:
    """Return what else decides on a schedule's slots now."""
    wanted = {"schedule_id": schedule.pk, "status": {"$in": list(LIVE)}, "trigger": "schedule"}
    live = list(store.find(Run, wanted, {"status": 1, "slot": 1, "queued_at": 1}))
    in_time = [run for run in live if run["queued_at"] - run["slot"] - rules.jitter <= LATE]
    waiting = sum(run["status"] == "queued" for run in live)
    return Situation(mapping is None, bool(in_time), waiting)


def _written(schedule: Schedule, mapping: Mapping | None, decisions: list[Decision]) -> Stored:
    """Write the runs that were decided on; return what the schedule notes of the newest."""
    name = mapping.name if mapping else "(deleted)"
    skipped = [
        queueing.skipped(
            schedule.mapping_id,
            name,
            schedule_id=schedule.pk,
            slot=one.slot,
            reason=one.reason,
            skipped_slots=one.skipped_slots or 1,
        )
        for one in decisions
        if one.reason
    ]
    if skipped:
        queueing.insert_skipped(skipped)
    runs = [slots.with_window(schedule, one.slot) for one in decisions if not one.reason]
    if not runs or mapping is None:
        return {}
    queueing.queue_many(mapping, runs, trigger="schedule", schedule_id=schedule.pk)
    newest = store.find_one(Run, {"slot_key": slot_key(schedule.pk, runs[-1].slot)}) or {}
    return {
        "last_run_id": newest["_id"],
        "last_run_status": newest["status"],
        "last_run_at": newest["queued_at"],
    }


def follow_runs() -> None:
    """Keep `last_run_status` true of the runs that had not ended."""
    live = {"last_run_status": {"$in": list(LIVE)}}
    found = list(store.collection(Schedule).find(live, {"last_run_id": 1, "last_run_status": 1}))
    ids = [one.get("last_run_id") for one in found]
    if not ids:
        return
    runs = store.collection(Run).find({"_id": {"$in": ids}}, {"status": 1})
    status = {run["_id"]: run["status"] for run in runs}
    moved = (one for one in found if status.get(one["last_run_id"]) != one["last_run_status"])
    writes.keep_many(
        Schedule,
        (
            (
                {"_id": one["_id"], "last_run_id": one["last_run_id"]},
                {"last_run_status": status[one["last_run_id"]]},
            )
            for one in moved
            if one["last_run_id"] in status
        ),
    )
