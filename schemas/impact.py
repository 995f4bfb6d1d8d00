"""What a change of a schema's columns touches: the mappings, rules and schedules behind it.

Schemas know nobody who uses them: whoever does registers how to find what a change touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bson import ObjectId

from schemas.evolution import Move

BREAKS = ("retyped", "dropped")

Named = tuple[Any, str]
"""A record's id and name."""
Find = Callable[[ObjectId, frozenset[str]], Iterable[Named]]
"""Finds records by a schema and the names of the columns that a change ends or makes anew."""

_finders: dict[str, Find] = {}


def register(kind: str, find: Find) -> None:
    """Have `find` asked for the records of `kind` that a change touches."""
    _finders[kind] = find


def report(schema_id: ObjectId, changes: Sequence[Move]) -> dict[str, Any]:
    """Return what a change would be: `compatible`, `changes`, and the records it touches by kind.

    A column can be dropped while no mapping uses the schema, and a type never changes.
    """
    ended = frozenset(change.column for change in changes if change.change in BREAKS)
    touched: dict[str, list[dict[str, str]]] = {
        kind: [{"id": str(identifier), "name": name} for identifier, name in find(schema_id, ended)]
        if changes
        else []
        for kind, find in _finders.items()
    }
    kinds = {change.change for change in changes}
    fits = "retyped" not in kinds and not ("dropped" in kinds and touched.get("mappings"))
    return {"compatible": fits, "changes": [change.as_dict() for change in changes], **touched}
