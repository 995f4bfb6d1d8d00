"""What is to be told: written in the transaction of what it tells of, and sent by `sending`.

On a server without transactions a crash in the middle leaves a run that has ended and some of its
messages; nothing mends that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from common.documents import store
from common.documents.codecs import reference_to
from common.documents.store import Stored
from connections.models import Connection
from mappings.models import Mapping
from notifications.models import Delivery, DeliveryStatus, Notification
from runs.queueing import naive
from runs.serializers import RunSerializer

GROUP = timedelta(seconds=60)
"""Events of one kind of one mapping that come within it are one message."""
KEPT = timedelta(days=30)

OUTCOMES = "mapping_outcomes"
"""The collection of which mappings fail: `_id` is the mapping's."""

TOLD_OF_RUN = (
    "id", "status", "slot", "started_at", "ended_at", "rows_read", "rows_written", "rows_rejected",
    "error",
)  # fmt: skip


# --- What has happened ----------------------------------------------------------------------------


def run_ended(run: Stored) -> None:
    """Note what a run's end is told as: that it failed, recovered its mapping, refused rows."""
    has_recovered = _has_recovered(run)
    if run["status"] == "failed":
        _tell_of_runs("failed", [run])
    if has_recovered:
        _tell_of_runs("recovered", [run])
    if run["status"] in ("failed", "succeeded") and run.get("rows_rejected"):
        _tell_of_runs("rejected", [run])


def slots_skipped(runs: Iterable[Stored]) -> None:
    """Note the slots that did not run, each mapping's together."""
    by_mapping: dict[Any, list[Stored]] = {}
    for run in runs:
        by_mapping.setdefault(run["mapping_id"], []).append(run)
    for found in by_mapping.values():
        _tell_of_runs("skipped", found)


def connection_turned(event: str, connection: Connection) -> None:
    """Note that a connection went down, or is up again."""
    condition = {"source_connection_id": reference_to(connection.pk)}
    readers = {one["_id"] for one in store.find(Mapping, condition, {"_id": 1})}
    about = {"connection_id": connection.pk, "connection_name": connection.name}
    for notification in _listening(event, readers):
        _insert(new_delivery(notification, event, due=_now(), **about))


def _has_recovered(run: Stored) -> bool:
    """Note whether a run's mapping fails now; tell whether it did until this run."""
    outcomes, key = store.named(OUTCOMES), {"_id": run["mapping_id"]}
    session = store.mongodb.session
    if run["status"] == "failed":
        outcomes.update_one(key, {"$set": {"fails": True}}, upsert=True, session=session)
    if run["status"] != "succeeded":
        return False
    return bool(outcomes.delete_one({**key, "fails": True}, session=session).deleted_count)


def _tell_of_runs(event: str, runs: list[Stored]) -> None:
    newest = runs[-1]
    shown = RunSerializer.show(newest)
    about = {
        "mapping_id": newest["mapping_id"],
        "mapping_name": newest["mapping_name"],
        "run_id": newest["_id"],
        "run": {name: shown[name] for name in TOLD_OF_RUN},
    }
    count = sum(run.get("skipped_slots") or 1 for run in runs)
    for notification in _listening(event, {newest["mapping_id"]}):
        _join_or_insert(notification, event, count, about)


def _listening(event: str, mappings: set[ObjectId]) -> list[Notification]:
    """Return who is told of an event that is about these mappings."""
    found = map(Notification.from_document, store.find(Notification, {"events": event}))
    return [notification for notification in found if notification.wants(event, mappings)]


# --- The outbox -----------------------------------------------------------------------------------


def new_delivery(notification: Notification, event: str, due: datetime, **about: Any) -> Stored:
    """Return a message that waits to be sent."""
    now = _now()
    return {
        "_id": ObjectId(),
        "notification_id": notification.pk,
        "at": now,
        "event": event,
        "count": 1,
        "mapping_id": None,
        "mapping_name": None,
        "connection_id": None,
        "connection_name": None,
        "run_id": None,
        "run": None,
        "status": str(DeliveryStatus.PENDING),
        "attempts": 0,
        "next_attempt_at": due,
        "response": None,
        "group_key": None,
        "token": None,
        "expires_at": now + KEPT,
    } | about


def _join_or_insert(notification: Notification, event: str, count: int, about: Stored) -> None:
    """Add an event to the message that waits, or begin one that is sent when its time is over."""
    now, session = _now(), store.mongodb.session
    deliveries = store.collection(Delivery)
    key = {"group_key": f"{notification.pk}/{event}/{about['mapping_id']}"}
    newest = {name: about[name] for name in ("run_id", "run")}
    joined = deliveries.update_one(
        {**key, "at": {"$gt": now - GROUP}},
        {"$inc": {"count": count}, "$set": newest},
        session=session,
    )
    if joined.matched_count:
        return
    # One that is older than that, and not sent yet, stays what it is.
    deliveries.update_one(key, {"$set": {"group_key": None}}, session=session)
    try:
        _insert(new_delivery(notification, event, now + GROUP, count=count, **key, **about))
    except DuplicateKeyError as first:
        # Another event came at the same moment: this one joins it, once the work is done again.
        if session is None:
            deliveries.update_one(key, {"$inc": {"count": count}, "$set": newest})
            return
        raise store.WriteConflict from first


def _insert(delivery: Stored) -> None:
    store.collection(Delivery).insert_one(delivery, session=store.mongodb.session)


def message_of(delivery: Stored) -> dict[str, Any]:
    """Return a delivery as it is told, in JSON's terms."""
    return {
        "id": str(delivery["_id"]),
        "event": delivery["event"],
        "at": delivery["at"],
        "count": delivery["count"],
        "mapping": _named(delivery, "mapping"),
        "run": delivery["run"],
        "connection": _named(delivery, "connection"),
    }


def _named(delivery: Stored, what: str) -> dict[str, str] | None:
    identifier = delivery[f"{what}_id"]
    if identifier is None:
        return None
    return {"id": str(identifier), "name": delivery[f"{what}_name"]}


def _now() -> datetime:
    return naive(store.now())
