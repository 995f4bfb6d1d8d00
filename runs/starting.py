"""Starts runs, starts them again and stops them, as people do: each is an entry of the audit."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from common.documents import store, trail, writes
from common.documents.codecs import reference_to
from common.documents.store import Stored
from common.documents.trail import Entry
from common.exceptions import Conflict, NotFound, ServiceError
from mappings.models import Mapping
from runs import last_run, numbers, queueing
from runs.life import LIVE, MAX_QUEUED_MANUAL, RETRIED
from runs.models import Run


class QueueFull(ServiceError):
    status = 429
    code = "queue_full"
    headers = {"Retry-After": "60"}


class RunEnded(Conflict):
    code = "run_ended"


class RunSucceeded(Conflict):
    code = "run_succeeded"


class RunActive(Conflict):
    code = "run_active"


class MappingGone(Conflict):
    code = "mapping_gone"


def start(
    mapping_id: ObjectId,
    *,
    full_refresh: bool = False,
    slot_start: datetime | None = None,
    slot_end: datetime | None = None,
    run_id: ObjectId | None = None,
) -> Stored:
    """Queue a run that a person asks for. Raises NotFound, QueueFull."""

    def work() -> Stored:
        mapping = _held(mapping_id)
        if mapping is None:
            raise NotFound(f"There is no mapping with the id {mapping_id}.")
        _refuse_full(mapping)
        run = queueing.queue(
            mapping,
            trigger="manual",
            full_refresh=full_refresh,
            slot_start=slot_start,
            slot_end=slot_end,
            run_id=run_id,
        )
        trail.note(_made(run))
        return run

    return writes.transaction(work)


def retry(old: Stored, run_id: ObjectId | None = None) -> Stored:
    """Queue a run in the place of one that ended without success.

    Raises RunActive, RunSucceeded, MappingGone.
    """
    _refuse_retry(old)

    def work() -> Stored:
        mapping = _held(old["mapping_id"])
        if mapping is None:
            raise MappingGone(f'The mapping "{old["mapping_name"]}" was deleted.')
        run = queueing.queue(
            mapping,
            trigger="retry",
            retry_of=old["_id"],
            schedule_id=old.get("schedule_id"),
            slot=_aware(old.get("slot")),
            slot_start=_aware(old.get("slot_start")),
            slot_end=_aware(old.get("slot_end")),
            full_refresh=bool(old.get("full_refresh")),
            run_id=run_id,
        )
        if run["schedule_id"] is not None and run["slot"] is not None:
            last_run.note(run)
        trail.note(_made(run))
        return run

    return writes.transaction(work)


def cancel(run_id: ObjectId) -> Stored:
    """Stop a run, or have its worker stop it; return it as it is then.

    One of which nothing can have been committed ends at once. Raises NotFound, RunEnded.
    """

    def work() -> Stored:
        run = store.find_one(Run, {"_id": run_id})
        if run is None:
            raise NotFound(f"There is no run with the id {run_id}.")
        if run["status"] == "cancelled" or run.get("cancel_asked"):
            return run
        if run["status"] not in LIVE:
            raise RunEnded(f"The run has ended already: it is {run['status']}.")
        return _cancelled(run)

    while True:
        try:
            return writes.transaction(work)
        except _Moved:
            continue


class _Moved(Exception):
    """A worker changed the run since it was read."""


def _cancelled(run: Stored) -> Stored:
    at_once = run["status"] == "queued" and not run.get("lost_tokens")
    change: Stored = {"cancel_asked": True}
    if at_once:
        now = queueing.naive(store.now())
        change |= {"status": "cancelled", "ended_at": now, "holds": None, "not_before": None}
        change |= {"duration_ms": duration_ms(run.get("started_at"), now), "progress": None}
    as_read = {name: run.get(name) for name in ("_id", "status", "token", "attempt")}
    written = store.collection(Run).update_one(
        as_read, {"$set": change}, session=store.mongodb.session
    )
    if not written.matched_count:
        raise _Moved
    if at_once:
        last_run.follow(run, "cancelled")
        numbers.count_ended(run | change)
    before = {"status": run["status"], "cancel_asked": False}
    changes: dict[str, Any] = {
        str(name): [before[name], change[name]] for name in before if name in change
    }
    trail.note(Entry("update", Run._meta.db_table, run["_id"], run["mapping_name"], changes))
    return {**run, **change}


def duration_ms(started: datetime | None, ended: datetime) -> int | None:
    return None if started is None else max(0, round((ended - started).total_seconds() * 1000))


def _held(mapping_id: ObjectId) -> Mapping | None:
    """Return a mapping that nobody deletes while the transaction lasts."""
    writes.hold(Mapping, mapping_id)
    found = store.find_one(Mapping, {"_id": mapping_id})
    return Mapping.from_document(found) if found else None


def _refuse_full(mapping: Mapping) -> None:
    condition = {"mapping_id": mapping.pk, "status": "queued", "trigger": "manual"}
    if store.count(Run, condition, limit=MAX_QUEUED_MANUAL) >= MAX_QUEUED_MANUAL:
        raise QueueFull(
            f'{MAX_QUEUED_MANUAL} runs of the mapping "{mapping}" wait already; '
            "let some of them run, or cancel them."
        )


def _refuse_retry(old: Dict[str, Any]) -> None:
    if old["status"] in RETRIED:
        return
    if old["status"] == "succeeded":
        raise RunSucceeded("The run has succeeded; start a new one of its mapping.")
    raise RunActive("The run has not ended; cancel it first, or wait for its end.")


def _made(run: Stored) -> Entry:
    changes = {
        name: change
        for name, change in trail.differences(Run, None, run).items()
        if name in TOLD and change != [None, None]
    }
    return Entry("create", Run._meta.db_table, run["_id"], run["mapping_name"], changes)


TOLD = frozenset(
    {
        "mapping_id", "mapping_name", "schedule_id", "slot", "trigger", "retry_of", "full_refresh",
        "slot_start", "slot_end", "status",
    }
)  # fmt: skip


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def latest(mapping_id: ObjectId, limit: int) -> list[Stored]:
    """Return the newest runs of a mapping, newest first."""
    condition = {"mapping_id": reference_to(mapping_id)}
    order = [("queued_at", -1), ("_id", -1)]
    return list(store.find(Run, condition, sort=order, limit=limit))
