"""The document store below the ORM: collections, time limits, transactions.

The API and every write of a `Document` speak PyMongo through here; the ORM serves the admin's lists
and Django's own models, on the same client and in the same transactions.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

import bson
import pymongo
from bson import ObjectId
from django.db import DatabaseError, connection, models
from django_mongodb_backend.transaction import atomic
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    PyMongoError,
)

from common.exceptions import StoreUnavailable

T = TypeVar("T")

DUPLICATE_KEY = 11000

Stored = dict[str, Any]
"""A document as the driver returns it: ObjectIds, naive UTC datetimes, plain lists and dicts.

A moment before the year 1 or after 9999 is a `DatetimeMS`.
"""

REQUEST_TIMEOUT_S = 2.0
"""What a request may wait for the store in all, so that one that is down is told within 3 s.

The driver may wait half a second more, for its next look at the server.
"""
BATCH_TIMEOUT_S = 10.0
"""What a batch of a list that is streamed may take; nobody waits for an answer to begin."""
COMMAND_TIMEOUT_S = 60.0
ROLLBACK_TIMEOUT_S = 0.3
CONFLICT_TIMEOUT_S = 2.0
"""How long a transaction is repeated while others write the same records."""

_pending: ContextVar[Mapping[ObjectId, Stored] | None] = ContextVar("pending", default=None)

mongodb: Any = connection
"""Django's connection, with what only MongoDB's backend knows: its database and session."""


# --- Collections ----------------------------------------------------------------------------------


def collection(model: type[models.Model]) -> Collection[Stored]:
    """Return the collection that holds `model`'s records."""
    return named(model._meta.db_table)


def named(name: str) -> Collection[Stored]:
    found: Collection[Stored] = mongodb.get_collection(name)
    return found


def find_one(
    model: type[models.Model], condition: Stored, projection: Stored | None = None
) -> Stored | None:
    """Return the first document that meets `condition`, as the open transaction sees it."""
    pending = _pending.get()
    if pending and (found := pending.get(condition.get("_id", ObjectId()))):
        return found
    return collection(model).find_one(condition, projection, session=mongodb.session)


def find(
    model: type[models.Model], condition: Stored, projection: Stored | None = None, **options: Any
) -> Cursor[Stored]:
    """Return the documents that meet `condition`, as the open transaction sees them."""
    return collection(model).find(condition, projection, session=mongodb.session, **options)


def documents_of(
    model: type[models.Model], identifiers: Iterable[Any], *fields: str
) -> dict[ObjectId, Stored]:
    """Return the documents with these ids, by id; only the `fields` where some are named."""
    ids = {one for one in identifiers if isinstance(one, ObjectId)}
    if not ids:
        return {}
    found = find(model, {"_id": {"$in": [*ids]}}, dict.fromkeys(fields, 1) or None)
    return {document["_id"]: document for document in found}


def insert_missing(model: type[models.Model], documents: Sequence[Stored], **options: Any) -> int:
    """Insert documents but those that a unique index refuses; return how many that were.

    Raises BulkWriteError for every other refusal.
    """
    try:
        return len(collection(model).insert_many(documents, ordered=False, **options).inserted_ids)
    except BulkWriteError as failure:
        details = failure.details or {}
        if {error.get("code") for error in details.get("writeErrors", ())} != {DUPLICATE_KEY}:
            raise
        return int(details.get("nInserted", 0))


def count(model: type[models.Model], condition: Stored, **options: Any) -> int:
    """Return how many documents meet a condition; of all by the collection's own figures."""
    if not condition and not options and mongodb.session is None:
        return collection(model).estimated_document_count()
    return collection(model).count_documents(condition, session=mongodb.session, **options)


@contextmanager
def as_if_stored(documents: Mapping[ObjectId, Stored]) -> Iterator[None]:
    """Let `find_one` by id find these documents too, so that rules can be asked before a write."""
    token = _pending.set(documents)
    try:
        yield
    finally:
        _pending.reset(token)


def decoded(raw: bytes) -> Stored:
    """Return the document of some BSON, as a collection reads it."""
    return bson.decode(raw, codec_options=mongodb.database.codec_options)


def ping() -> None:
    """Ask the store whether it is there. Raises PyMongoError."""
    mongodb.database.command("ping")


# --- Values ---------------------------------------------------------------------------------------


def object_id(text: Any) -> ObjectId:
    """Return the id that a text spells. Raises ValueError where it spells none."""
    if not isinstance(text, str) or not ObjectId.is_valid(text):
        raise ValueError("Not an id: expected 24 hexadecimal digits.")
    return ObjectId(text)


def now() -> datetime:
    """Return this moment in UTC, cut to the milliseconds that the store keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


# --- Time limits ----------------------------------------------------------------------------------


def command_timeout() -> AbstractContextManager[None]:
    """Give the operations inside the time of a command: a failover of the store is waited for."""
    return pymongo.timeout(COMMAND_TIMEOUT_S)


def request_timeout() -> AbstractContextManager[None]:
    """Give all operations inside together the time that a request may wait for the store."""
    return pymongo.timeout(REQUEST_TIMEOUT_S)


def batch_timeout() -> AbstractContextManager[None]:
    """Give a batch of a long list time, though no more than what surrounds it."""
    return pymongo.timeout(BATCH_TIMEOUT_S)


@contextmanager
def time_limit(seconds: float, otherwise: Exception) -> Iterator[None]:
    """Give the operations inside so much time in all. Raises `otherwise` where it is not enough."""
    try:
        with pymongo.timeout(seconds):
            yield
    except (ExecutionTimeout, NetworkTimeout) as slow:
        raise otherwise from slow


def is_unavailable(error: BaseException | None) -> bool:
    """Tell whether an exception says that the store is down or too slow, rather than wrong."""
    return isinstance(error, ConnectionFailure) or (
        isinstance(error, PyMongoError) and error.timeout
    )


# --- Transactions ---------------------------------------------------------------------------------


def transaction(work: Callable[[], T]) -> T:
    """Return `work()`, run as one transaction where the server has them.

    On a replica set `work` leaves all or nothing. It is run again while others write the same
    documents, for `CONFLICT_TIMEOUT_S`; StoreUnavailable is raised after that. Inside of another
    transaction it is a part of that one.

    A stand-alone server has no transactions: there `work` runs once, its writes in their order,
    and each caller says what a crash in its middle leaves.
    """
    if mongodb.in_atomic_block_mongo or not mongodb.features._supports_transactions:
        return work()
    deadline = time.monotonic() + CONFLICT_TIMEOUT_S
    pause_s = 0.005
    while True:
        try:
            return _attempt(work)
        except (PyMongoError, DatabaseError, WriteConflict) as failure:
            if not _is_transient(failure):
                raise
            if time.monotonic() + pause_s > deadline:
                if is_unavailable(failure):
                    raise
                raise StoreUnavailable(
                    "The record is busy with other changes; try again in a moment."
                ) from failure
        # Apart, so that not all who met try again at once.
        time.sleep(random.uniform(0, pause_s))  # noqa: S311 - nothing secret
        pause_s = min(2 * pause_s, 0.1)


def _attempt(work: Callable[[], T]) -> T:
    try:
        with _outside_of_atomic(), atomic():
            try:
                return work()
            except (PyMongoError, DatabaseError) as failure:
                if is_unavailable(failure) or is_unavailable(failure.__cause__):
                    Context().run(_give_up)
                raise
    finally:
        # The backend keeps a session whose commit failed, and would write on in it.
        if mongodb.session is not None:
            mongodb.session.end_session()
            mongodb.session = None


def _give_up() -> None:
    """Roll back, though the time is over: the server would keep the records for a minute.

    In a context of its own, which no time limit surrounds.
    """
    with pymongo.timeout(ROLLBACK_TIMEOUT_S):
        mongodb.rollback_mongo()


@contextmanager
def _outside_of_atomic() -> Iterator[None]:
    """Let a transaction commit inside of `django.db.transaction.atomic`, as the admin's views are.

    Django's own means nothing to MongoDB, and yet keeps what waits for a commit from being done.
    """
    is_inside, mongodb.in_atomic_block = mongodb.in_atomic_block, False
    try:
        yield
    finally:
        mongodb.in_atomic_block = is_inside


class WriteConflict(Exception):
    """Another transaction came first, in a way that the server does not tell by itself."""


def _is_transient(failure: BaseException) -> bool:
    """Tell whether a transaction may come through now: another came first, or the primary went."""
    cause = failure if isinstance(failure, PyMongoError) else failure.__cause__
    return isinstance(failure, WriteConflict) or (
        isinstance(cause, PyMongoError) and cause.has_error_label("TransientTransactionError")
    )
