"""The set of column mappings that hangs on one mapping: added to, replaced and cleared whole.

Every change holds the mapping's lease, so that of two clients one comes after the other and sees
what the first wrote; a unique index on (mapping, target field) holds against other programs.
"""

from collections.abc import Sequence

from bson import ObjectId
from django.core.exceptions import ValidationError
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from common import store
from mappings.models import ColumnMapping, written_twice

DUPLICATE_KEY = 11000


def add(rules: Sequence[ColumnMapping]) -> None:
    """Store several checked rules of one mapping, all or none, in their order.

    In one transaction where the server has them; without, those that went in before a failure
    are taken out again, and a crash in the middle leaves the first few, which a repeated
    request reports as already written.
    """
    _write(rules, clear_first=None)


def replace(mapping_id: ObjectId, rules: Sequence[ColumnMapping]) -> None:
    """Make `rules` the whole set of a mapping.

    In one transaction where the server has them; without, a crash in the middle leaves the
    mapping with fewer rules than were sent, and the same request again mends it.
    """
    _write(rules, clear_first=mapping_id)


def clear(mapping_id: ObjectId) -> None:
    """Remove every rule of a mapping."""
    store.collection(ColumnMapping).delete_many({"mapping_id": mapping_id})


def _write(rules: Sequence[ColumnMapping], clear_first: ObjectId | None) -> None:
    collection = store.collection(ColumnMapping)
    documents = [rule.as_new() for rule in rules]
    cleared = {"mapping_id": clear_first}
    before = list(collection.find(cleared)) if clear_first else []

    def work(session: ClientSession | None) -> None:
        if before:
            collection.delete_many(cleared, session=session)
        if not documents:
            return
        try:
            collection.insert_many(documents, session=session)
        except BulkWriteError:
            if session is None:
                collection.delete_many({"_id": {"$in": [rule.pk for rule in rules]}})
                collection.insert_many(before) if before else None
            raise

    try:
        store.transaction(work)
    except BulkWriteError as failure:
        raise _refusal(failure) from failure
    for rule, document in zip(rules, documents, strict=True):
        rule.stored_as(document)


def _refusal(failure: BulkWriteError) -> Exception:
    errors = (failure.details or {}).get("writeErrors") or []
    if errors and errors[0].get("code") == DUPLICATE_KEY:
        return ValidationError({f"{errors[0]['index']}.target_fields": written_twice().messages})
    return failure
