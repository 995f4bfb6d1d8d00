"""Which schedules a change of a schema touches: those of its mappings."""

from __future__ import annotations

from collections.abc import Iterator

from bson import ObjectId

from common.documents import store
from common.documents.codecs import reference_to
from mappings.impact import mappings_onto
from schedules.models import Schedule
from schemas.impact import Named


def schedules_onto(schema_id: ObjectId, columns: frozenset[str]) -> Iterator[Named]:
    """Yield the schedules whose mapping uses a schema."""
    mappings = [identifier for identifier, _ in mappings_onto(schema_id)]
    condition = {"mapping_id": reference_to(*mappings)}
    for one in store.find(Schedule, condition, {"name": 1}) if mappings else ():
        yield one["_id"], str(one.get("name", one["_id"]))
