"""What a crash, or another program, can leave behind: references to records that are gone.

A record that goes with the one it refers to is an orphan, and of no more use. For any other it
takes a person: to say what it should refer to, or to delete it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.apps import apps
from django.db import models

from common.documents import store
from common.documents.models import Document
from common.documents.store import Stored

BATCH = 1000

Advance = Callable[[int], None]
References = list["models.ForeignKey[Any, Any]"]


@dataclass(frozen=True)
class Dangling:
    """A record whose `field` names a record that is gone; an `orphan` may be removed."""

    model: type[Document]
    id: Any
    name: str
    field: str
    target_model: type[models.Model]
    target: Any
    orphan: bool

    def __str__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f"{self.model.noun}{name} ({self.id}): {self.field} {self.target} is gone"


def count_documents() -> int:
    return sum(
        store.collection(model).estimated_document_count() for model, _ in _models_with_references()
    )


def dangling(advance: Advance) -> Iterator[Dangling]:
    """Yield every reference to a record that is gone."""
    for model, fields in _models_with_references():
        projection = dict.fromkeys(["name", *(str(field.column) for field in fields)], 1)
        documents = iter(store.collection(model).find({}, projection, batch_size=BATCH))
        while batch := _next(documents):
            for field in fields:
                yield from _dangling_in(model, field, batch)
            advance(len(batch))


def _document_models() -> list[type[Document]]:
    return [model for model in apps.get_models() if issubclass(model, Document)]


def _models_with_references() -> list[tuple[type[Document], References]]:
    found = {
        model: [
            field for field in model._meta.concrete_fields if isinstance(field, models.ForeignKey)
        ]
        for model in _document_models()
    }
    return [(model, fields) for model, fields in found.items() if fields]


def _next(documents: Iterator[Stored]) -> list[Stored]:
    with store.patiently():
        return list(islice(documents, BATCH))


def _dangling_in(
    model: type[Document], field: models.ForeignKey[Any, Any], batch: list[Stored]
) -> Iterator[Dangling]:
    column = str(field.column)
    there = _existing(field.related_model, [found.get(column) for found in batch])
    lost = [found for found in batch if not _is_among(there, found.get(column))]
    # Read before its target was looked for, a record may have gone together with it.
    still_there = _existing(model, [found["_id"] for found in lost])
    for found in lost:
        if found["_id"] in still_there:
            orphan = field.remote_field.on_delete is models.CASCADE
            yield Dangling(
                model,
                found["_id"],
                str(found.get("name", "")),
                column,
                field.related_model,
                found.get(column),
                orphan,
            )


def _is_among(identifiers: set[Any], stored: Any) -> bool:
    # Other programs may have stored a list, or a document that reads as an operator.
    return isinstance(stored, Hashable) and stored in identifiers


def _existing(model: type[models.Model], identifiers: list[Any]) -> set[Any]:
    asked = [one for one in identifiers if isinstance(one, Hashable)]
    if not asked:
        return set()
    with store.patiently():
        found = store.collection(model).find({"_id": {"$in": asked}}, {"_id": 1})
        return {document["_id"] for document in found}


def remove(orphan: Dangling) -> bool:
    """Remove an orphan, unless it changed or its target is there after all; tell whether it did."""
    if _existing(orphan.target_model, [orphan.target]):
        return False
    condition = {"_id": orphan.id, orphan.field: orphan.target}
    return bool(store.collection(orphan.model).delete_one(condition).deleted_count)


def expired_leases() -> int:
    """Return how many records a killed program left leased; they block nobody."""
    return sum(
        store.collection(model).count_documents(store.expired_leases())
        for model in _document_models()
    )


def end_expired_leases() -> int:
    return sum(store.end_expired_leases(model) for model in _document_models())
