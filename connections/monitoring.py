"""The health of connections over time: each is tested now and then, by one process of many.

When a connection is due is a document of its own, moved on by one conditional write before the
test: a process that dies in the middle leaves one check out. The moments of different connections
lie apart, by their ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from django.conf import settings
from pymongo.errors import DuplicateKeyError

from common.documents import store
from common.documents.store import Stored
from connections.checkup import check_all
from connections.models import Connection, ConnectionCheck
from sources.probe import ProbeResult

HEALTH = "connection_health"
"""The collection of when each connection is due, how many checks failed in a row, if it is down."""
AT_ONCE = 20
DOWN_AFTER = 2
KEPT = timedelta(days=30)

Listener = Callable[[str, Connection], None]
"""Called with `connection_down` or `connection_up`, in the transaction that says so."""

_listeners: list[Listener] = []


def on_turn(listener: Listener) -> None:
    """Have `listener` called when a connection goes down, or is up again."""
    _listeners.append(listener)


def check_due() -> bool:
    """Check the connections that are due, a few at once; tell whether there were any."""
    every_s = settings.CONNECTION_CHECK_EVERY_S
    if every_s <= 0:
        return False
    now = _now()
    _know_all(now, every_s)
    due = list(store.named(HEALTH).find({"next_at": {"$lte": now}}, limit=AT_ONCE))
    mine = [found for one in due if (found := _claimed(one, now, every_s))]
    for checked in check_all(mine, settings.PROBE_TIMEOUT_S, AT_ONCE):
        if checked.result is not None:
            record(checked.connection, checked.result)
    return bool(due)


def next_moment(identifier: ObjectId, now: datetime, every_s: float) -> datetime:
    """Return when a connection is due next: at one place of each interval, by its id."""
    digest = hashlib.sha256(str(identifier).encode()).digest()
    place_s = int.from_bytes(digest[:8]) % 10**6 / 10**6 * every_s
    whole = int((now.replace(tzinfo=UTC).timestamp() - place_s) // every_s) + 1
    return datetime.fromtimestamp(whole * every_s + place_s, UTC).replace(tzinfo=None)


def _know_all(now: datetime, every_s: float) -> None:
    """Give a moment to new connections, and to those of a longer interval; forget what is gone."""
    health = store.named(HEALTH)
    stored = {one["_id"] for one in store.collection(Connection).find({}, {"_id": 1})}
    known = {one["_id"]: one["next_at"] for one in health.find({}, {"next_at": 1})}
    for identifier in stored - known.keys():
        due = next_moment(identifier, now, every_s)
        new = {"_id": identifier, "next_at": due, "failures": 0, "is_down": False}
        try:
            health.insert_one(new)
        except DuplicateKeyError:
            continue
    latest = now + timedelta(seconds=every_s)
    for identifier, moment in known.items():
        if identifier not in stored:
            health.delete_one({"_id": identifier})
        elif moment > latest:
            sooner = {"next_at": next_moment(identifier, now, every_s)}
            health.update_one({"_id": identifier, "next_at": moment}, {"$set": sooner})


def _claimed(due: Stored, now: datetime, every_s: float) -> Connection | None:
    """Move a connection on to its next moment; return it, None where another came first."""
    as_read = {"_id": due["_id"], "next_at": due["next_at"]}
    moved = {"next_at": next_moment(due["_id"], now, every_s)}
    if not store.named(HEALTH).update_one(as_read, {"$set": moved}).modified_count:
        return None
    found = store.find_one(Connection, {"_id": due["_id"]})
    return Connection.from_document(found) if found else None


def record(connection: Connection, result: ProbeResult) -> None:
    """Keep how a check went, and tell who listens if that turned the connection."""
    now = _now()
    check: dict[str, Any] = {
        "connection_id": connection.pk,
        "at": now,
        "success": result.success,
        "error_code": result.details.get("error_code"),
        "latency_ms": result.details.get("latency_ms"),
        "expires_at": now + KEPT,
    }

    def work() -> None:
        session = store.mongodb.session
        store.collection(ConnectionCheck).insert_one({"_id": ObjectId(), **check}, session=session)
        if event := _turned(connection.pk, result.success):
            for listener in _listeners:
                listener(event, connection)

    store.transaction(work)


def _turned(identifier: ObjectId, success: bool) -> str | None:
    """Count a check; return the event that it is, if it is one."""
    health, session = store.named(HEALTH), store.mongodb.session
    key = {"_id": identifier}
    if success:
        fresh = {"failures": 0, "is_down": False}
        was_down = health.update_one({**key, "is_down": True}, {"$set": fresh}, session=session)
        if was_down.modified_count:
            return "connection_up"
        health.update_one(key, {"$set": fresh}, session=session)
        return None
    health.update_one(key, {"$inc": {"failures": 1}}, session=session)
    condition = {**key, "failures": {"$gte": DOWN_AFTER}, "is_down": False}
    down = health.update_one(condition, {"$set": {"is_down": True}}, session=session)
    return "connection_down" if down.modified_count else None


def _now() -> datetime:
    return store.now().replace(tzinfo=None)
