"""Records read from their documents: odd ones, too, as far as they can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bson import ObjectId
from django.db import models
from django.utils.safestring import SafeString

from common.admin.badges import list_link
from common.documents import store
from common.documents.codecs import reference_to
from common.documents.store import Stored


def as_records(model: type[Any], documents: Iterable[Stored]) -> list[Any]:
    return [model.from_document(document) for document in documents]


def record_of(model: type[Any], identifier: object) -> Any:
    """Return the record with this id, None where there is none."""
    if not ObjectId.is_valid(str(identifier)):
        return None
    document = store.find_one(model, {"_id": ObjectId(str(identifier))})
    return model.from_document(document) if document else None


def records_of(model: type[Any], identifiers: Sequence[ObjectId]) -> list[Any]:
    """Return the records with these ids, in their order; those that are gone are left out."""
    documents = store.documents_of(model, identifiers)
    found = [documents[identifier] for identifier in identifiers if identifier in documents]
    return as_records(model, found)


def totals_by_reference(
    model: type[models.Model], column: str, identifiers: Sequence[ObjectId], **sums: Any
) -> dict[ObjectId, Stored]:
    """Return sums over the documents of `model` that refer to each of some records, by its id.

    `count` is how many they are. A reference may be an id, or one in text.
    """
    pipeline: list[Stored] = [
        {"$match": {column: reference_to(*identifiers)}},
        {"$group": {"_id": {"$toObjectId": f"${column}"}, "count": {"$sum": 1}, **sums}},
    ]
    found = store.collection(model).aggregate(pipeline)
    return {row["_id"]: row for row in found}


def count_users(relation: Any, identifiers: Sequence[ObjectId]) -> dict[ObjectId, int]:
    """Return how many records refer to each of some others by a relation."""
    found = totals_by_reference(relation.related_model, relation.field.column, identifiers)
    return {identifier: row["count"] for identifier, row in found.items()}


def note_users(records: Sequence[Any], model: type[models.Model], users: str) -> None:
    """Note on each record of a page how many `users`, a relation of its model, refer to it."""
    counts = count_users(model._meta.get_field(users), [record.pk for record in records])
    for record in records:
        record.user_count = counts.get(record.pk, 0)


def users_link(record: Any, users: str) -> SafeString:
    """Return how many `users` refer to a record, as a link to their list."""
    if not hasattr(record, "user_count"):
        note_users([record], type(record), users)
    relation: Any = record._meta.get_field(users)
    condition = {f"{relation.field.name}__id__exact": record.pk}
    return list_link(relation.related_model, str(record.user_count), **condition)
