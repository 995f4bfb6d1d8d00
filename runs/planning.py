"""What a run is going to do, fixed when it is queued: later changes of its mapping are not its own.

The plan names its connection and its target; where these lie, and their secrets, are read when an
attempt begins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping as Dict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

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

    @property
    def id(self) -> str:
        """Return the SHA-256 of the content, as hex digits."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()


def plan_of(mapping: Mapping) -> Planned:
    """Return what a run of the mapping would do now, complete or not: a run finds that out."""
    connection = _named(Connection, mapping.source_connection_id)
    schema = store.find_one(Schema, {"_id": mapping.target_schema_id}) or {}
    content = {
        "source_query": mapping.source_query,
        "connection": connection,
        "target": _named(Target, mapping.target_id) or DEFAULT_TARGET,
        "target_table": mapping.target_table or default_name(str(schema.get("name", ""))),
        "columns": [dict(column) for column in stored_columns(schema)],
        "rules": [_rule(document) for document in rules.stored_rules(mapping.pk)],
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


def _named(model: type[Any], identifier: ObjectId | None) -> dict[str, str] | None:
    if identifier is None:
        return None
    found = store.find_one(model, {"_id": identifier}, {"name": 1}) or {}
    return {"id": str(identifier), "name": str(found.get("name", ""))}


def _rule(document: Stored) -> dict[str, Any]:
    shown = trail.shown(ColumnMapping, document)
    names = ("id", "type", "source_columns", "target_fields", "config")
    return {name: shown.get(name) for name in names}


def keep(planned: Planned) -> str:
    """Store a plan, unless it is there; return its id."""
    found = store.find_one(Plan, {"_id": planned.id}, {"_id": 1})
    if not found:
        document = {
            "_id": planned.id,
            "content": planned.content,
            "made_at": store.now().replace(tzinfo=None),
        }
        # Outside of any transaction: two that queue the same must not meet here.
        with suppress(DuplicateKeyError):
            store.collection(Plan).insert_one(document)
    return planned.id


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
