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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from django.db import DatabaseError
from pymongo.errors import DuplicateKeyError, PyMongoError

import clock
from common.documents import store, writes
from common.documents.store import Stored
from common.exceptions import ServiceError
from mappings.models import Mapping
from runs import claims, firing, last_run, planning, queueing, routing, slots
from runs.firing import LATE, Decision, Rules, Situation
from runs.life import LIVE
from runs.models import Run
from runs.planning import Planned
from runs.queueing import naive, slot_key
from schedules.models import MOVES_THE_NEXT_RUN, Schedule, not_before

SCHEDULER = "run_scheduler"
"""The collection of the lease, and of when a scheduler first began on this store."""
LEASE_S = 8.0
EVERY_S = 0.2
RENEWED_EVERY_S = 1.0
MENDED_EVERY_S = 20.0
DOWN_S = 1.0
AT_ONCE = 100
"""So many schedules fire in one transaction, with at most so many slots, unless one has more.

Fewer do where the store is too slow for them.
"""
SLOW_S = 0.5

logger = logging.getLogger("scheduler")


class Scheduler:
    """A process that fires what is due while it leads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.seen: Stored = {}
        self.seen_since = 0.0
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.token = secrets.token_hex(8)
        self.stopped = threading.Event()
        self.begun: datetime | None = None
        self.at_once = AT_ONCE
        self.waits_until: dict[ObjectId, datetime] = {}

    def stop(self) -> None:
        self.stopped.set()

    def work(self) -> None:
        """Lead whenever nobody else does, until it is told to stop; then hand over at once."""
        renewed = mended = -MENDED_EVERY_S
        leads = False
        while not self.stopped.wait(pause_s(store.now())):
            try:
                now = time.monotonic()
                if now - renewed >= RENEWED_EVERY_S:
                    leads, renewed = self.has_lease(), now
                if leads and now - mended >= MENDED_EVERY_S:
                    self.mend()
                    mended = now
                if leads:
                    self.turn()
            except (PyMongoError, DatabaseError, ServiceError) as failure:
                logger.warning("The store does not let slots fire: %s", type(failure).__name__)
                self.at_once = max(1, self.at_once // 2)
                self.stopped.wait(DOWN_S)
        self.hand_over()

    # --- The lease --------------------------------------------------------------------------------

    def has_lease(self) -> bool:
        """Take the lease, or prolong it; tell whether it is this process's.

        Another's is over when it has stood still for `LEASE_S`: by this machine's clock alone, as
        those of two machines may be apart.
        """
        moment, lease = naive(store.now()), store.named(SCHEDULER)
        until = moment + timedelta(seconds=LEASE_S)
        taken = {"holder": self.token, "name": self.name, "until": until, "seen_at": moment}
        with store.batch_timeout():
            found = lease.find_one({"_id": "lease"}) or {}
            if not self._may_take(found):
                return False
            as_seen = {name: found.get(name) for name in ("holder", "until")}
            try:
                lease.update_one({"_id": "lease", **as_seen}, {"$set": taken}, upsert=True)
            except DuplicateKeyError:
                # Another was first.
                return False
        return True

    def _may_take(self, lease: Stored) -> bool:
        if lease.get("holder") in (None, self.token):
            return True
        if lease != self.seen:
            self.seen, self.seen_since = lease, self.clock()
        return self.clock() - self.seen_since >= LEASE_S

    def hand_over(self) -> None:
        """Let another lead at once."""
        over = {"$set": {"holder": None, "until": None}}
        try:
            with store.batch_timeout():
                store.named(SCHEDULER).update_one({"_id": "lease", "holder": self.token}, over)
        except PyMongoError as failure:
            logger.warning("The lease was not given back: %s", type(failure).__name__)

    # --- What is due ------------------------------------------------------------------------------

    def turn(self) -> int:
        """Fire what is due, the rest of it next time where the lease has to be prolonged.

        Returns how many schedules did.
        """
        if self.begun is None:
            self.begun = begun_at(store.now())
        now, until, fired = store.now(), time.monotonic() + RENEWED_EVERY_S, 0
        ids = self._due_ids(now)
        while ids and time.monotonic() < until:
            ids, taken = ids[self.at_once :], ids[: self.at_once]
            for together in _together(self._due(taken, now)):
                began = time.monotonic()
                fired += fire(together, now)
                self._adapt(time.monotonic() - began)
                if time.monotonic() > until:
                    break
        return fired

    def _adapt(self, took_s: float) -> None:
        """Have more or fewer fire together, as the store is quick or slow."""
        if took_s > SLOW_S:
            self.at_once = max(1, self.at_once // 2)
        elif took_s < SLOW_S / 4:
            self.at_once = min(AT_ONCE, 2 * self.at_once)

    def _due_ids(self, now: datetime) -> list[ObjectId]:
        """Return the schedules of which a slot has come, jitter included: the oldest slot first."""
        condition = {"next_run_at": {"$lte": naive(now)}}
        names = dict.fromkeys(("next_run_at", "jitter_s", "enabled"), 1)
        with store.batch_timeout():
            found = list(store.collection(Schedule).find(condition, names))
        self.waits_until = {key: until for key, until in self.waits_until.items() if until > now}
        due = [
            one
            for one in found
            if one.get("enabled") is not False
            and one["_id"] not in self.waits_until
            and one["next_run_at"] + firing.jitter_of_stored(one) <= naive(now)
        ]
        return [one["_id"] for one in sorted(due, key=_moment)]

    def _due(self, ids: Sequence[ObjectId], now: datetime) -> list[Due]:
        """Return what is due of schedules; one that makes no sense waits for a minute."""
        with store.batch_timeout():
            found = {
                one["_id"]: one for one in store.collection(Schedule).find({"_id": {"$in": ids}})
            }
        due: list[Due] = []
        for document in (found[key] for key in ids if key in found):
            try:
                due += due_of(Schedule.from_document(document), self.begun or now, now)
            except (clock.InvalidCron, clock.UnknownZone) as wrong:
                logger.warning("The schedule %s does not fire: %s", document["_id"], wrong)
                self.waits_until[document["_id"]] = now + timedelta(minutes=1)
        return due

    def mend(self) -> None:
        """Give a next run to what another program stored without one, and the last run its status.

        The latter is what a process that was killed left. Runs that no worker takes say so.
        """
        with store.batch_timeout():
            last_run.follow_all()
            routing.note_unroutable(claims.live_runs())
            for document in store.collection(Schedule).find({"next_run_at": None}):
                schedule = Schedule.from_document(document)
                if schedule.enabled and (found := schedule.next_runs(1)):
                    condition = {**_as_read(document), "next_run_at": None}
                    writes.keep(Schedule, condition, {"next_run_at": naive(found[0])})


def pause_s(now: datetime) -> float:
    """Return how long to wait for the next look: at most until the second in which a slot comes."""
    return min(EVERY_S, 1 - now.microsecond / 1_000_000)


def _moment(document: Stored) -> datetime:
    found: datetime = document["next_run_at"]
    return found


def begun_at(now: datetime) -> datetime:
    """Return when a scheduler first began on this store: no slot before counts."""
    key = {"_id": "begun"}
    begun = store.named(SCHEDULER)
    with store.batch_timeout():
        begun.update_one(key, {"$setOnInsert": {"at": naive(now)}}, upsert=True)
        found = begun.find_one(key) or {"at": naive(now)}
    moment: datetime = found["at"]
    return moment.replace(tzinfo=UTC)


def has_begun() -> bool:
    """Tell whether a scheduler ever fired on this store."""
    return store.named(SCHEDULER).find_one({"_id": "begun"}) is not None


def _as_read(document: Stored) -> Stored:
    """Return the condition that what decides on slots is still what was read."""
    return {"_id": document["_id"]} | {
        name: {"$eq": document.get(name)} for name in MOVES_THE_NEXT_RUN
    }


# --- What fires together --------------------------------------------------------------------------


@dataclass(frozen=True)
class Due:
    """The slots of a schedule that have come, oldest first, and the one after them."""

    schedule: Schedule
    rules: Rules
    slots: list[datetime]
    next: datetime | None

    @property
    def document(self) -> Stored:
        return self.schedule.document

    @property
    def condition(self) -> Stored:
        """Return the condition that the schedule is still what was read."""
        return {**_as_read(self.document), "next_run_at": self.document["next_run_at"]}

    def is_still(self, document: Stored) -> bool:
        names = (*MOVES_THE_NEXT_RUN, "next_run_at")
        return all(document.get(name) == self.document.get(name) for name in names)

    def key(self, slot: datetime) -> str:
        return slot_key(self.schedule.pk, slot)


def due_of(schedule: Schedule, begun: datetime, now: datetime) -> Iterator[Due]:
    """Yield what is due of a schedule, if its next run is. Raises InvalidCron, UnknownZone."""
    if schedule.next_run_at is None:
        return
    jitter = firing.jitter_of(schedule.pk, schedule.jitter_s)
    window = timedelta(seconds=schedule.catch_up_window_s)
    first = not_before(max(schedule.next_run_at, begun), schedule.start_at)
    end = now - jitter + slots.TICK
    end = min(end, schedule.end_at) if schedule.end_at else end
    yield Due(
        schedule,
        Rules(schedule.overlap, schedule.catch_up, window, jitter),
        list(slots.between(schedule, first, end)),
        _next(schedule, max(first, end) - slots.TICK),
    )


def _next(schedule: Schedule, after: datetime) -> datetime | None:
    zone = clock.zone_named(schedule.timezone)
    found = clock.next_slots(schedule.cron_expression, zone, after, 1)
    is_over = not found or (schedule.end_at is not None and found[0] >= schedule.end_at)
    return None if is_over else naive(found[0])


def _together(due: Sequence[Due]) -> Iterator[list[Due]]:
    """Yield what fires in one transaction: of few slots each many schedules."""
    together: list[Due] = []
    for one in due:
        if together and sum(len(each.slots) for each in (*together, one)) > AT_ONCE:
            yield together
            together = []
        together.append(one)
    if together:
        yield together


def fire(due: Sequence[Due], now: datetime) -> int:
    """Queue the slots that are due, or note why they do not run, and move their schedules on.

    In one transaction; returns how many schedules were still as they were read. On a server without
    transactions a crash in the middle leaves runs whose schedules have not moved on: whoever leads
    next finds that these slots have their runs, and moves the schedules on.
    """

    def work() -> int:
        ids = [one.schedule.pk for one in due]
        stored = {one["_id"]: one for one in store.find(Schedule, {"_id": {"$in": ids}})}
        still = [one for one in due if one.is_still(stored.get(one.schedule.pk, {}))]
        kept = _written(still, now)
        moved = writes.keep_many(Schedule, kept)
        if moved < len(kept) and store.mongodb.session is not None:
            raise store.WriteConflict
        return moved

    with store.batch_timeout():
        return writes.transaction(work)


def _written(due: Sequence[Due], now: datetime) -> list[tuple[Stored, Stored]]:
    """Write the runs of what is due; return what each schedule notes, and on which condition."""
    taken = slots.runs_by_key([one.key(slot) for one in due for slot in one.slots])
    found = store.documents_of(Mapping, (one.schedule.mapping_id for one in due))
    mappings = {key: Mapping.from_document(document) for key, document in found.items()}
    live = _live()
    decided = []
    for one in due:
        have_run = {slot for slot in one.slots if one.key(slot) in taken}
        situation = _situation(one, mappings, live)
        decided.append((one, firing.decide(one.slots, now, one.rules, situation, have_run)))
    runs = _queued(decided, mappings)
    queueing.insert_many(runs.values())
    queueing.insert_skipped(_skipped(decided, mappings))
    return [
        (one.condition, {"next_run_at": one.next} | _last_run(one, {**taken, **runs}))
        for one, _ in decided
    ]


Decided = list[tuple[Due, list[Decision]]]


def _live() -> dict[ObjectId, list[Stored]]:
    """Return the runs that schedules fired and that are not done, by schedule."""
    wanted = {"status": {"$in": list(LIVE)}, "trigger": "schedule"}
    names = dict.fromkeys(("schedule_id", "status", "slot", "queued_at"), 1)
    found: dict[ObjectId, list[Stored]] = {}
    for run in store.find(Run, wanted, names):
        found.setdefault(run["schedule_id"], []).append(run)
    return found


def _situation(
    due: Due, mappings: dict[Any, Mapping], live: dict[ObjectId, list[Stored]]
) -> Situation:
    """Return what else decides on a schedule's slots now."""
    runs, jitter = live.get(due.schedule.pk, []), due.rules.jitter
    in_time = any(run["queued_at"] - run["slot"] - jitter <= LATE for run in runs)
    waiting = sum(run["status"] == "queued" for run in runs)
    return Situation(due.schedule.mapping_id not in mappings, in_time, waiting)


def _queued(decided: Decided, mappings: dict[Any, Mapping]) -> dict[str, Stored]:
    """Return the runs of the slots that run, by the key of their slot; their plans are kept."""
    running = [(due, one.slot) for due, made in decided for one in made if one.reason is None]
    wanted = {due.schedule.mapping_id for due, _ in running}
    plans: dict[ObjectId, Planned] = planning.plans_of([mappings[one] for one in wanted])
    planning.keep(plans.values())
    return {
        due.key(slot): queueing.queued(
            due.schedule.mapping_id,
            plans[due.schedule.mapping_id],
            slots.with_window(due.schedule, slot),
            trigger="schedule",
            schedule_id=due.schedule.pk,
        )
        for due, slot in running
    }


def _skipped(decided: Decided, mappings: dict[Any, Mapping]) -> list[Stored]:
    """Return the runs that say why slots do not run."""
    names = {identifier: mapping.name for identifier, mapping in mappings.items()}
    return [
        queueing.skipped(
            due.schedule.mapping_id,
            names.get(due.schedule.mapping_id, "(deleted)"),
            schedule_id=due.schedule.pk,
            slot=one.slot,
            reason=one.reason,
            skipped_slots=one.skipped_slots or 1,
        )
        for due, made in decided
        for one in made
        if one.reason
    ]


def _last_run(due: Due, runs: dict[str, Stored]) -> Stored:
    """Return what a schedule notes of the newest of its slots that runs, or did."""
    found = (runs.get(due.key(slot)) for slot in reversed(due.slots))
    newest = next((run for run in found if run and run["status"] != "skipped"), None)
    return last_run.told(newest) if newest else {}
