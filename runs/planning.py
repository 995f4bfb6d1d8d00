"""What a run is going to do, fixed when it is queued: later changes of its mapping are not its own.

The plan names its connection and its target; where these lie, and their secrets, are read when an
attempt begins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping as Dict, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bson import ObjectId

from common.documents import store, trail
from common.documents.store import Stored
from connections.models import Connection
from mappings import rules
from mappings.models import ColumnMapping, Mapping
from mappings.tables import default_name
from runs.models import Plan
from schemas.evolution import stored_columns
from schemas.models import Schema
from targets.models import Target

DEFAULT_TARGET = {"id": "default", "name": "default"}
INNER = ("cursor_lag_s", "split_column", "engine")
"""What a plan holds for the engine alone, and does not show."""


@dataclass(frozen=True)
class Planned:
    """A plan, as it is kept, and the records that it uses."""

    content: Stored
    mapping_name: str
    connection_id: ObjectId | None
    connection_name: str | None
    target_id: ObjectId | None

    @cached_property
    def id(self) -> str:
        """Return the SHA-256 of the content, as hex digits."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()


def plan_of(mapping: Mapping) -> Planned:
    """Return what a run of the mapping would do now, complete or not: a run finds that out."""
    return plans_of([mapping])[mapping.pk]


def plans_of(mappings: Sequence[Mapping]) -> dict[ObjectId, Planned]:
    """Return what runs of mappings would do now, by mapping."""
    connections = store.documents_of(
        Connection, (one.source_connection_id for one in mappings), "name"
    )
    schemas = store.documents_of(Schema, (one.target_schema_id for one in mappings))
    targets = store.documents_of(Target, (one.target_id for one in mappings), "name")
    stored = rules.rules_by_mapping(one.pk for one in mappings)
    return {
        one.pk: _planned(
            one,
            _named(one.source_connection_id, connections),
            _named(one.target_id, targets) or DEFAULT_TARGET,
            schemas.get(one.target_schema_id, {}),
            stored.get(one.pk, []),
        )
        for one in mappings
    }


def _planned(
    mapping: Mapping,
    connection: dict[str, str] | None,
    target: dict[str, str],
    schema: Stored,
    stored: Sequence[Stored],
) -> Planned:
    content = {
        "source_query": mapping.source_query,
        "connection": connection,
        "target": target,
        "target_table": mapping.target_table or default_name(str(schema.get("name", ""))),
        "columns": [dict(column) for column in stored_columns(schema)],
        "rules": [_rule(document) for document in stored],
        "write_mode": mapping.write_mode,
        "key_fields": list(mapping.key_fields or ()),
        "cursor_column": mapping.cursor_column,
        "max_rejected": mapping.max_rejected,
        "cursor_lag_s": mapping.cursor_lag_s,
        "split_column": mapping.split_column,
        "engine": mapping.engine,
    }
    return Planned(
        content,
        mapping.name,
        mapping.source_connection_id,
        connection["name"] if connection else None,
        mapping.target_id,
    )


def _named(identifier: ObjectId | None, found: Dict[Any, Stored]) -> dict[str, str] | None:
    if identifier is None:
        return None
    return {"id": str(identifier), "name": str(found.get(identifier, {}).get("name", ""))}


def _rule(document: Stored) -> dict[str, Any]:
    shown = trail.shown(ColumnMapping, document)
    names = ("id", "type", "source_columns", "target_fields", "config")
    return {name: shown.get(name) for name in names}


def keep(plans: Iterable[Planned]) -> None:
    """Store plans, but those that are there."""
    wanted = {planned.id: planned for planned in plans}
    known = {"_id": {"$in": list(wanted)}}
    there = {plan["_id"] for plan in store.find(Plan, known, {"_id": 1})} if wanted else set()
    now = store.now().replace(tzinfo=None)
    documents: list[Stored] = [
        {"_id": plan_id, "content": planned.content, "made_at": now}
        for plan_id, planned in wanted.items()
        if plan_id not in there
    ]
    if documents:
        # Outside of any transaction: two that queue the same must not meet here.
        store.insert_missing(Plan, documents)


def content_of(plan_id: str | None) -> Stored | None:
    """Return the content of a kept plan."""
    if plan_id is None:
        return None
    found = store.find_one(Plan, {"_id": plan_id})
    content: Stored | None = found["content"] if found else None
    return content


def shown(run: Dict[str, Any], content: Stored | None) -> dict[str, Any] | None:
    """Return a run's plan as answers have it."""
    if content is None:
        return None
    own = ("full_refresh", "slot_start", "slot_end")
    visible = {name: value for name, value in content.items() if name not in INNER}
    return visible | {name: run.get(name) for name in own}
