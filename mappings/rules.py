"""The set of column mappings that hangs on one mapping: added to, replaced and cleared whole.

Every change holds the mapping's lease, so that of two clients one comes after the other and sees
what the first wrote; a unique index on (mapping, target field) holds against other programs.
"""

from collections.abc import Sequence

from bson import ObjectId
from django.core.exceptions import ValidationError
from pymongo import DeleteMany, InsertOne, ReplaceOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from common.documents import store
from common.documents.store import Stored
from common.exceptions import Stale
from mappings.models import ColumnMapping, targets_of, written_twice

DUPLICATE_KEY = 11000


def add(rules: Sequence[ColumnMapping]) -> None:
    """Store several checked rules of one mapping, all or none, in their order.

    In one transaction where the server has them; without, those that went in before a failure
    are taken out again, and a crash in the middle leaves the first few, which a repeated
    request reports as already written.
    """
    _write(rules, _as_new(rules))


def replace(mapping_id: ObjectId, rules: Sequence[ColumnMapping]) -> None:
    """Make `rules` the whole set of a mapping.

    In one transaction where the server has them; without, a crash in the middle leaves the
    mapping with fewer rules than were sent, and the same request again mends it.
    """
    _write(rules, _as_new(rules), cleared={"mapping_id": mapping_id})


def change(
    mapping_id: ObjectId,
    removed: Sequence[ColumnMapping],
    changed: Sequence[ColumnMapping],
    added: Sequence[ColumnMapping],
) -> None:
    """Remove, change and add rules of a mapping as one step, so that two may swap their fields.

    As `replace`, and every rule that stays keeps its id and its place.

    Raises Stale where one of them is no longer what was loaded, ValidationError where a rule no
    longer fits its schema or the others.
    """
    gone, written = [*removed, *changed], [*changed, *added]
    if not gone and not written:
        return
    _refuse_if_stale(gone)
    _refuse_misfits(mapping_id, gone, written)
    documents = [_as_changed(rule) for rule in changed] + _as_new(added)
    _write(written, documents, cleared={"_id": {"$in": [rule.pk for rule in gone]}})


def clear(mapping_id: ObjectId) -> None:
    """Remove every rule of a mapping."""
    store.collection(ColumnMapping).delete_many({"mapping_id": mapping_id})


def in_order(mapping_id: ObjectId) -> list[ColumnMapping]:
    """Return the rules of a mapping, in the order they were added."""
    found = store.collection(ColumnMapping).find(
        {"mapping_id": mapping_id}, sort=[("created_at", 1), ("_id", 1)]
    )
    return [ColumnMapping.from_document(document) for document in found]


def _as_new(rules: Sequence[ColumnMapping]) -> list[Stored]:
    return [rule.as_new() for rule in rules]


def _as_changed(rule: ColumnMapping) -> Stored:
    rule.updated_at = store.now()
    return {**(rule._stored or {}), **rule.to_document()}


def _refuse_if_stale(rules: Sequence[ColumnMapping]) -> None:
    wanted = {"_id": {"$in": [rule.pk for rule in rules]}}
    current = {found["_id"]: found for found in store.collection(ColumnMapping).find(wanted)}
    if any(current.get(rule.pk) != rule._stored for rule in rules):
        raise Stale


def _refuse_misfits(
    mapping_id: ObjectId, gone: Sequence[ColumnMapping], written: Sequence[ColumnMapping]
) -> None:
    targets = targets_of(mapping_id)
    for rule in gone:
        for field in (rule._stored or {}).get("target_fields") or []:
            targets.written.pop(field, None)
    for rule in written:
        if sentences := [sentence for _, sentence in targets.problems(rule.target_fields)]:
            raise ValidationError({"target_fields": sentences})
        targets.take(rule.target_fields, f"the {rule.type} rule {rule.pk}")


def _write(
    rules: Sequence[ColumnMapping], documents: list[Stored], cleared: Stored | None = None
) -> None:
    """Insert the documents of `rules`, after clearing those that meet a condition."""
    collection = store.collection(ColumnMapping)
    clearing = [DeleteMany(cleared)] if cleared else []
    requests: list[DeleteMany | InsertOne[Stored]] = [*clearing, *map(InsertOne, documents)]
    if not requests:
        return

    def work(session: ClientSession | None) -> None:
        # What a transaction would bring back has to be known where there is none.
        before = list(collection.find(cleared)) if cleared and session is None else []
        try:
            collection.bulk_write(requests, session=session)
        except BulkWriteError:
            if session is None:
                collection.delete_many({"_id": {"$in": [rule.pk for rule in rules]}})
                _put_back(before)
            raise

    try:
        store.transaction(work)
    except BulkWriteError as failure:
        raise _refusal(failure, inserted_from=len(clearing)) from failure
    for rule, document in zip(rules, documents, strict=True):
        rule.stored_as(document, made=document)


def _put_back(documents: list[Stored]) -> None:
    """Store documents as they were, whether they are still there or not."""
    if documents:
        store.collection(ColumnMapping).bulk_write(
            [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
        )


def _refusal(failure: BulkWriteError, inserted_from: int) -> Exception:
    errors = (failure.details or {}).get("writeErrors") or []
    position = errors[0]["index"] - inserted_from if errors else -1
    if position >= 0 and errors[0].get("code") == DUPLICATE_KEY:
        return ValidationError({f"{position}.target_fields": written_twice().messages})
    return failure
