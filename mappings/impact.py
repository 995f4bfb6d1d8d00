"""Which mappings and rules a change of their schema touches."""

from __future__ import annotations

from collections.abc import Iterator

from bson import ObjectId

from common.documents import store
from common.documents.codecs import reference_to
from mappings.models import ColumnMapping, Mapping, texts
from schemas.impact import Named


def mappings_onto(schema_id: ObjectId, columns: frozenset[str] = frozenset()) -> Iterator[Named]:
    """Yield the mappings that use a schema, by name, whatever changes of it."""
    condition = {"target_schema_id": reference_to(schema_id)}
    found = [
        (one["_id"], str(one.get("name", one["_id"])))
        for one in store.find(Mapping, condition, {"name": 1})
    ]
    yield from sorted(found, key=lambda named: named[1])


def rules_onto(schema_id: ObjectId, columns: frozenset[str]) -> Iterator[Named]:
    """Yield the rules that write one of these columns, ignoring case."""
    ended = {column.casefold() for column in columns}
    mappings = [identifier for identifier, _ in mappings_onto(schema_id)] if ended else []
    if not mappings:
        return
    for document in store.find(ColumnMapping, {"mapping_id": reference_to(*mappings)}):
        rule = ColumnMapping.from_document(document)
        if any(field.casefold() in ended for field in texts(rule.target_fields)):
            yield rule.pk, str(rule)
