"""What a crash, or another program, can leave behind: references to records that are gone.

A record that goes with the one it refers to is an orphan, and of no more use. For any other it
takes a person: to say what it should refer to, or to delete it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bson import ObjectId
from django.apps import apps
from django.db import models

from common.documents import store, writes
from common.documents.models import Document, references_of, verbose_name
from common.documents.store import Stored
from common.documents.writes import Change
from common.exceptions import NotFound, Stale

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
        return f"{verbose_name(self.model)}{name} ({self.id}): {self.field} {self.target} is gone"


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
    found = {model: references_of(model) for model in _document_models()}
    return [(model, fields) for model, fields in found.items() if fields]


def _next(documents: Iterator[Stored]) -> list[Stored]:
    with store.command_timeout():
        return list(islice(documents, BATCH))


def _dangling_in(
    model: type[Document], field: models.ForeignKey[Any, Any], batch: list[Stored]
) -> Iterator[Dangling]:
    column = str(field.column)
    there = _existing(field.related_model, [found.get(column) for found in batch])
    lost = [found for found in batch if _identifier(found.get(column)) not in there]
    # Read before its target was looked for, a record may have gone together with it.
    still_there = _existing(model, [found["_id"] for found in lost])
    goes_with_target = field.remote_field.on_delete is models.CASCADE
    for found in lost:
        if found["_id"] in still_there:
            named = found.get(column)
            orphan = goes_with_target and _identifier(named) is not None
            name = str(found.get("name", ""))
            yield Dangling(model, found["_id"], name, column, field.related_model, named, orphan)


def _identifier(stored: Any) -> ObjectId | None:
    """Return the id that a reference names, also one in text; None for what is no reference."""
    if isinstance(stored, ObjectId):
        return stored
    is_id = isinstance(stored, str) and ObjectId.is_valid(stored)
    return ObjectId(stored) if is_id else None


def _existing(model: type[models.Model], references: list[Any]) -> set[ObjectId | None]:
    """Return which of the records there are that some references name."""
    asked = {identifier for one in references if (identifier := _identifier(one))}
    with store.command_timeout():
        found = store.find(model, {"_id": {"$in": [*asked]}}, {"_id": 1})
        return {document["_id"] for document in found}


def remove(orphan: Dangling) -> bool:
    """Remove an orphan, unless it changed or its target is there after all; tell whether it did."""
    if _existing(orphan.target_model, [orphan.target]):
        return False
    found = store.find_one(orphan.model, {"_id": orphan.id, orphan.field: orphan.target})
    if found is None:
        return False
    try:
        writes.apply(Change(orphan.model, found, None))
    except (Stale, NotFound):
        return False
    return True
