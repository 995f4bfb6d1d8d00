"""What a crash, or another program, can leave behind: references that lead to no record.

A record that goes with the one it refers to, and names an id that is gone, is an orphan, and of no
more use. For any other it takes a person: to say what it should refer to, or to delete it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bson import ObjectId
from django.apps import apps
from django.db import models

from common.documents import store, writes
from common.documents.models import Document, exists, references_of, verbose_name
from common.documents.store import Stored
from common.documents.writes import Change
from common.exceptions import NotFound, Stale

BATCH = 1000

Advance = Callable[[int], None]
References = list["models.ForeignKey[Any, Any]"]


@dataclass(frozen=True)
class Dangling:
    """A record whose `field` leads to no record; an `orphan` may be removed.

    `target` is what is stored there: an id that is gone, also one in text, or no id at all.
    """

    model: type[Document]
    id: Any
    name: str
    field: str
    target_model: type[models.Model]
    target: Any
    orphan: bool

    def __str__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f"{verbose_name(self.model)}{name} ({self.id}): {self.field} {self._lack()}"

    def _lack(self) -> str:
        if self.target is None:
            return "is not there"
        return f"{self.target} is {'gone' if identifier_of(self.target) else 'no id'}"


def count_documents() -> int:
    return sum(
        store.collection(model).estimated_document_count() for model, _ in _models_with_references()
    )


def dangling(advance: Advance) -> Iterator[Dangling]:
    """Yield every reference that leads to no record."""
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
    lost = [
        found
        for found in batch
        if identifier_of(found.get(column)) not in there
        and not (field.null and found.get(column) is None)
    ]
    # Read before its target was looked for, a record may have gone together with it.
    still_there = _still_there(model, lost)
    for found in lost:
        if found["_id"] in still_there:
            yield _dangling(model, field, found)


def _dangling(model: type[Document], field: models.ForeignKey[Any, Any], found: Stored) -> Dangling:
    reference = found.get(str(field.column))
    goes_with_target = field.remote_field.on_delete is models.CASCADE
    return Dangling(
        model=model,
        id=found["_id"],
        name=str(found.get("name", "")),
        field=str(field.column),
        target_model=field.related_model,
        target=reference,
        orphan=goes_with_target and identifier_of(reference) is not None,
    )


def _still_there(model: type[Document], lost: list[Stored]) -> list[Any]:
    # A list, as ids of other programs may be anything.
    condition = {"_id": {"$in": [found["_id"] for found in lost]}}
    with store.command_timeout():
        return [found["_id"] for found in store.find(model, condition, {"_id": 1})]


def identifier_of(reference: Any) -> ObjectId | None:
    """Return the id that a stored reference names, also one in text; None for what is none."""
    if isinstance(reference, ObjectId):
        return reference
    is_id = isinstance(reference, str) and ObjectId.is_valid(reference)
    return ObjectId(reference) if is_id else None


def _existing(model: type[models.Model], references: Iterable[Any]) -> set[ObjectId | None]:
    """Return which of the records there are that some references name."""
    ids = {identifier for one in references if (identifier := identifier_of(one))}
    with store.command_timeout():
        found = store.find(model, {"_id": {"$in": [*ids]}}, {"_id": 1})
        return {document["_id"] for document in found}


def remove(orphan: Dangling) -> bool:
    """Remove an orphan, unless it changed or its target is there after all; tell whether it did."""
    target = identifier_of(orphan.target)
    found = store.find_one(orphan.model, {"_id": orphan.id, orphan.field: orphan.target})
    if found is None or target is None or exists(orphan.target_model, target):
        return False
    try:
        writes.apply(Change(orphan.model, found, None))
    except (Stale, NotFound):
        return False
    return True
