"""What a run is going to do, fixed when it is queued: later changes of its mapping are not its own.

The plan names its connection and its target; where these lie, and their secrets, are read when an
attempt begins.
"""

from __future__ import annotations

import hashlib
import json
import re
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
from runs.models import Plan
from schemas.evolution import stored_columns
from schemas.models import Schema

DEFAULT_TARGET = {"id": "default", "name": "default"}
LONGEST_TABLE = 63
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
    found = mapping.document
    connection = _named(Connection, mapping.source_connection_id)
    schema = store.find_one(Schema, {"_id": mapping.target_schema_id}) or {}
    content = {
        "source_query": mapping.source_query,
        "connection": connection,
        "target": DEFAULT_TARGET,
        "target_table": found.get("target_table") or table_name(str(schema.get("name", ""))),
        "columns": [dict(column) for column in stored_columns(schema)],
        "rules": [_rule(document) for document in rules.stored_rules(mapping.pk)],
        "write_mode": found.get("write_mode") or "append",
        "key_fields": found.get("key_fields") or [],
        "cursor_column": found.get("cursor_column"),
        "max_rejected": found.get("max_rejected", 0),
        "cursor_lag_s": found.get("cursor_lag_s") or 0,
        "split_column": found.get("split_column"),
        "engine": found.get("engine") or "auto",
    }
    return Planned(
        content,
        mapping.name,
        mapping.source_connection_id,
        connection["name"] if connection else None,
        None,
    )


def table_name(schema_name: str) -> str:
    """Return the table of a mapping that names none: its schema's name, as tables are called."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", schema_name)
    return (f"_{name}" if name[:1].isdigit() else name)[:LONGEST_TABLE] or "_"


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
