"""How documents are written: the one way for all of them.

A *change* is somebody's: it holds while the document is what was read, and moves `updated_at`.
What the service *keeps* itself on a record (`last_…`, `next_run_at`) is neither.

What spans records is one transaction, in which whoever refers to a record or ends it also writes a
small document that stands for it (`hold`): of two at once one comes second, and sees what the first
left. A stand-alone server has no transactions; there a reference that is made in the very moment in
which its target is deleted may be left dangling, as `check_references` tells.

Each change is told to those who keep a trail, in its own transaction; see `trail`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bson import ObjectId
from django.db import models
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import DuplicateKeyError

from common.documents import store, trail
from common.documents.store import Stored
from common.documents.trail import Action, Entry
from common.exceptions import NotFound, Stale

T = TypeVar("T")

HELD = "held_records"
"""The collection of the documents that stand for records. They expire; see its migration."""


@dataclass(frozen=True)
class Change:
    """A document before and after a change; None where there is none.

    `kept` names fields that the service keeps itself: they may have moved since the document was
    read.
    """

    model: type[models.Model]
    before: Stored | None
    after: Stored | None
    kept: frozenset[str] = frozenset()

    @property
    def action(self) -> Action:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @property
    def identifier(self) -> Any:
        return (self.after or self.before or {}).get("_id")

    def condition(self) -> Stored:
        """Return the condition that the document is still what it was."""
        return unchanged(self.before or {}, self.kept)

    def fields(self) -> Stored:
        """Return what an update sets, by name, as the store appends the fields that are new."""
        before, after = self.before or {}, self.after or {}
        return {key: after[key] for key in sorted(after) if not _is_same(before, key, after[key])}

    def entry(self, more: Mapping[str, Any] | None = None) -> Entry | None:
        """Return what a trail says of the change, and `more`; None where answers stay the same."""
        changes = trail.differences(self.model, self.before, self.after) | dict(more or {})
        if self.action == "update" and not changes:
            return None
        name = record_name(self.model, self.after or self.before or {})
        return Entry(self.action, self.model._meta.db_table, self.identifier, name, changes)


def _is_same(document: Stored, key: str, value: Any) -> bool:
    # To Python, true is 1; to whoever reads the document it is not.
    return key in document and type(document[key]) is type(value) and document[key] == value


def record_name(model: type[models.Model], document: Stored) -> str | None:
    """Return a record's name, or its text where it has none."""
    if "name" in document:
        return str(document["name"])
    from_document = getattr(model, "from_document", None)
    return str(from_document(document)) if from_document else None


def transaction(work: Callable[[], T]) -> T:
    """Return `work()`, all of whose writes are there afterwards with their trail, or none.

    See `store` for when it is run again, and for servers without transactions.
    """
    return store.transaction(lambda: trail.told(work, undone=_is_undone))


def _is_undone() -> bool:
    """Tell whether the writes of a transaction that fails leave nothing."""
    return store.mongodb.session is not None


def after_commit(work: Callable[[], None]) -> None:
    """Do `work` once the open transaction is committed, at once where there is none.

    What records remember of their documents waits for it, as a transaction may be run again.
    """
    store.mongodb.on_commit(work)


def hold(model: type[models.Model], identifier: ObjectId) -> None:
    """Write the document that stands for a record: of two transactions that do, one is first."""
    key = {"_id": f"{model._meta.db_table}/{identifier}"}
    written = {"$inc": {"writes": 1}, "$set": {"at": store.now()}}
    held, session = store.named(HELD), store.mongodb.session
    try:
        held.update_one(key, written, upsert=True, session=session)
    except DuplicateKeyError as first:
        # Two inserted it at once.
        if session is not None:
            raise store.WriteConflict from first
        held.update_one(key, written)


def apply(*changes: Change, entry: Callable[[], Entry | None] | None = None) -> None:
    """Write changes to one collection, each while its document is what it was.

    Deletions come first, then updates, then what is new, each in order. It is all one transaction,
    in which the trail gets an entry of each change, or the one that `entry` makes of them all once
    they are written.

    Raises Stale or NotFound where one is not, and DuplicateKeyError or BulkWriteError where a
    unique index refuses one.
    """

    def work() -> None:
        _delete([change for change in changes if change.action == "delete"])
        for change in changes:
            if change.action == "update":
                _update(change)
        _insert([change for change in changes if change.action == "create"])
        for made in [entry()] if entry else [change.entry() for change in changes]:
            if made is not None:
                trail.note(made)

    transaction(work)


def _delete(changes: Sequence[Change]) -> None:
    if not changes:
        return
    requests = [DeleteOne(change.condition()) for change in changes]
    collection = store.collection(changes[0].model)
    if collection.bulk_write(requests, session=store.mongodb.session).deleted_count < len(changes):
        raise_missing(changes[0].model, changes[0].identifier)


def _update(change: Change) -> None:
    collection, fields = store.collection(change.model), {"$set": change.fields()}
    session = store.mongodb.session
    if not collection.update_one(change.condition(), fields, session=session).matched_count:
        raise_missing(change.model, change.identifier)


def _insert(changes: Sequence[Change]) -> None:
    if not changes:
        return
    collection, session = store.collection(changes[0].model), store.mongodb.session
    documents = [change.after or {} for change in changes]
    if len(documents) > 1:
        collection.insert_many(documents, session=session)
        return
    try:
        collection.insert_one(documents[0], session=session)
    except DuplicateKeyError as clash:
        # The driver tries again where an answer is lost: a new id is this document's.
        if session or "_id" not in ((clash.details or {}).get("keyPattern") or {}):
            raise


def raise_missing(model: type[models.Model], identifier: Any) -> None:
    """Raise what it means that a document is no longer what it was: Stale, or NotFound."""
    if store.find_one(model, {"_id": identifier}, {"_id": 1}):
        raise Stale
    raise NotFound(f"There is no {model._meta.verbose_name} with the id {identifier}.")


def keep(model: type[models.Model], condition: Stored, values: Stored) -> bool:
    """Note what the service keeps itself on one record; tell whether one met the condition.

    It is nobody's change: `updated_at` stays, and so does what `If-Match` compares.
    """
    return bool(keep_many(model, [(condition, values)]))


def keep_many(model: type[models.Model], kept: Iterable[tuple[Stored, Stored]]) -> int:
    """Note what the service keeps on several records; return how many met their conditions."""
    requests = [UpdateOne(condition, {"$set": values}) for condition, values in kept]
    if not requests:
        return 0
    written = store.collection(model).bulk_write(
        requests, ordered=False, session=store.mongodb.session
    )
    return written.matched_count


def unchanged(document: Stored, without: Iterable[str] = ()) -> Stored:
    """Return the condition that a document's fields are all still what they were.

    A field whose name MongoDB would read as a path or an operator is left out, and so is one that
    was not read as it is stored.
    """
    return {
        key: {"$eq": value}
        for key, value in document.items()
        if key not in without
        and "." not in key
        and not key.startswith("$")
        and not (REPLACED in value if type(value) is str else _has_replaced(value))
    }


REPLACED = "\ufffd"
"""What the driver puts into a text that is no UTF-8."""


def _has_replaced(value: Any) -> bool:
    """Tell whether a list or a document holds such a text."""
    return type(value) in (list, dict) and REPLACED in repr(value)
