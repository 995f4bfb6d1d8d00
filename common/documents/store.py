"""The document store below the ORM: collections, transactions, exclusive leases.

Reads of the API and every write of a `Document` speak PyMongo through here; the ORM serves the
admin and the commands on the same client and collections.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import uuid4

import bson
import pymongo
from bson import ObjectId
from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, ExecutionTimeout, NetworkTimeout, PyMongoError

from common.exceptions import NotFound, StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

Stored = dict[str, Any]
"""A document as the driver returns it: ObjectIds, naive UTC datetimes, plain lists and dicts.

A moment before the year 1 or after 9999 is a `DatetimeMS`.
"""


class _Held(threading.local):
    def __init__(self) -> None:
        self.holders: dict[tuple[str, ObjectId], str] = {}


_held = _Held()

LEASE = "_lease"
"""The field that a leased document has for a while: who holds it, until when."""
WITHOUT_LEASE = {LEASE: 0}
LEASE_S = 10.0
WAIT_S = 8.0
"""How long a change waits for its turn: many at once on one record are served, not refused."""


_pending: ContextVar[Mapping[ObjectId, Stored] | None] = ContextVar("pending", default=None)

PATIENCE_S = 60.0

mongodb: Any = connection
"""Django's connection, with what only MongoDB's backend knows: its database and collections."""


def collection(model: type[models.Model]) -> Collection[Stored]:
    """Return the collection that holds `model`'s records."""
    found = named(model._meta.db_table)
    pending = _pending.get()
    return found if pending is None else cast(Collection[Stored], _WithPending(found, pending))


def decoded(raw: bytes) -> Stored:
    """Return the document of some BSON, as a collection reads it."""
    return bson.decode(raw, codec_options=mongodb.database.codec_options)


def named(name: str) -> Collection[Stored]:
    """Return a collection by its name; made once a thread, unless queries are being counted."""
    # Past the proxy, which looks the connection up for each attribute.
    here: Any = connections[DEFAULT_DB_ALIAS]
    if here.queries_logged:
        return here.get_collection(name)
    made: dict[str, Collection[Stored]] = here.database.__dict__.setdefault("_made", {})
    if name not in made:
        made[name] = here.get_collection(name)
    return made[name]


@contextmanager
def as_if_stored(documents: Mapping[ObjectId, Stored]) -> Iterator[None]:
    """Let `find_one` by id find these documents too, so that rules can be asked before a write."""
    token = _pending.set(documents)
    try:
        yield
    finally:
        _pending.reset(token)


class _WithPending:
    def __init__(self, stored: Collection[Stored], pending: Mapping[ObjectId, Stored]) -> None:
        self._collection, self._documents = stored, pending

    def find_one(self, condition: Stored, *args: Any, **kwargs: Any) -> Stored | None:
        found = self._documents.get(condition["_id"])
        return found or self._collection.find_one(condition, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


def patiently() -> AbstractContextManager[None]:
    """Give the operations inside the time of a command: a failover of the store is waited for."""
    return pymongo.timeout(PATIENCE_S)


@contextmanager
def at_most(seconds: float, otherwise: Exception) -> Iterator[None]:
    """Give the operations inside so much time in all. Raises `otherwise` where it is not enough."""
    try:
        with pymongo.timeout(seconds):
            yield
    except (ExecutionTimeout, NetworkTimeout) as slow:
        raise otherwise from slow


def ping() -> None:
    """Ask the store whether it is there. Raises PyMongoError."""
    mongodb.database.command("ping")


def object_id(text: Any) -> ObjectId:
    """Return the id that a text spells. Raises ValueError where it spells none."""
    if not isinstance(text, str) or not ObjectId.is_valid(text):
        raise ValueError("Not an id: expected 24 hexadecimal digits.")
    return ObjectId(text)


def now() -> datetime:
    """Return this moment in UTC, cut to the milliseconds that the store keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def transaction(work: Callable[[ClientSession | None], T]) -> T:
    """Return `work(session)`, run as one transaction where the server has them.

    On a replica set `work` may run more than once (write conflicts are retried) and leaves all
    or nothing. A stand-alone server has no transactions: there `work` runs once, without a
    session, and each caller says what a crash in its middle leaves.
    """
    if not mongodb.features._supports_transactions:
        return work(None)
    with mongodb.connection.start_session() as session:
        return session.with_transaction(work)


@contextmanager
def lease(
    model: type[models.Model], identifier: ObjectId, wait_s: float = WAIT_S
) -> Iterator[None]:
    """Hold a record alone, so that what spans documents is right on any server.

    Whoever removes a record, or rewrites a set that hangs on it, holds its lease; whoever adds a
    reference to it looks for the lease afterwards (`settled`). A lease is a field of the record
    itself, goes when that is removed (`gone`), and expires after `LEASE_S`: a holder that was
    killed blocks nobody for longer.

    A thread that holds it may take it again. Raises NotFound where the record is gone,
    StoreUnavailable where another holds it for longer than `wait_s`.
    """
    key = (model._meta.db_table, identifier)
    if key in _held.holders:
        yield
        return
    holder = uuid4().hex
    deadline = time.monotonic() + wait_s
    while not _acquired(model, identifier, holder):
        _pause_until(deadline)
    _held.holders[key] = holder
    try:
        yield
    finally:
        if _held.holders.pop(key, None):
            _release(model, identifier, holder)


def held(model: type[models.Model], identifier: ObjectId) -> Stored:
    """Return the condition that the lease which this thread holds was taken by nobody else."""
    holder = _held.holders.get((model._meta.db_table, identifier))
    return {f"{LEASE}.holder": holder} if holder else {}


def gone(model: type[models.Model], identifier: ObjectId) -> None:
    """Note that a record was removed, and its lease with it."""
    _held.holders.pop((model._meta.db_table, identifier), None)


def settled(model: type[models.Model], identifier: ObjectId, wait_s: float = WAIT_S) -> bool:
    """Tell whether a record is there, once nobody else holds it.

    A lease that has expired is ended here, so that its holder, should it go on after all, finds
    that it lost the record. Raises StoreUnavailable after `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    while found := collection(model).find_one({"_id": identifier}, {LEASE: 1}):
        if LEASE not in found or held(model, identifier):
            return True
        expired = {"_id": identifier, LEASE: {"$exists": True}, **_free()}
        if not collection(model).update_one(expired, {"$unset": {LEASE: ""}}).matched_count:
            _pause_until(deadline)
    return False


def expired_leases() -> Stored:
    """Return the condition of a record that holders left leased when they were killed."""
    return {f"{LEASE}.expires_at": {"$lte": now()}}


def end_expired_leases(model: type[models.Model]) -> int:
    """Take the leases that have expired off the records of a model; return how many did."""
    ended = collection(model).update_many(expired_leases(), {"$unset": {LEASE: ""}})
    return ended.modified_count


def _acquired(model: type[models.Model], identifier: ObjectId, holder: str) -> bool:
    mine = {"holder": holder, "expires_at": now() + timedelta(seconds=LEASE_S)}
    free = {"_id": identifier, **_free()}
    if collection(model).update_one(free, {"$set": {LEASE: mine}}).matched_count:
        return True
    found = collection(model).find_one({"_id": identifier}, {LEASE: 1})
    if found is None:
        raise NotFound(f"There is no {model._meta.verbose_name} with the id {identifier}.")
    # Held: by us, if the driver repeated a write whose first answer was lost.
    current = found.get(LEASE)
    return isinstance(current, dict) and current.get("holder") == holder


def _free() -> Stored:
    """Return the condition that nobody holds a record, or no longer."""
    return {f"{LEASE}.expires_at": {"$not": {"$gt": now()}}}


def _release(model: type[models.Model], identifier: ObjectId, holder: str) -> None:
    """End a lease; one that cannot be ended now expires, and what was done under it is done."""
    condition = {"_id": identifier, f"{LEASE}.holder": holder}
    try:
        collection(model).update_one(condition, {"$unset": {LEASE: ""}})
    except PyMongoError as error:
        logger.warning("A lease was left to expire: %s", type(error).__name__)


def _pause_until(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise StoreUnavailable("The record is busy with another change; try again in a moment.")
    time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - apart, so that not all ask at once


def is_unavailable(error: BaseException | None) -> bool:
    """Tell whether an exception says that the store is down or too slow, rather than wrong."""
    return isinstance(error, ConnectionFailure) or (
        isinstance(error, PyMongoError) and error.timeout
    )
