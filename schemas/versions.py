"""The versions of a schema: what its columns were, when, and who changed them.

Nothing is kept before the first change; then version 1 is what was stored before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from audit.entries import actor
from common.documents import store
from common.documents.store import Stored
from schemas import evolution
from schemas.evolution import StoredColumn

COLLECTION = "schema_versions"


def note(before: Mapping[str, Any], columns: Sequence[StoredColumn]) -> None:
    """Keep what the columns of a schema become, in the transaction that writes them.

    `before` is its document until now. What another program made of the columns meanwhile is a
    version, too, of nobody.
    """
    schema_id, stored = before["_id"], evolution.stored_columns(before)
    last = newest(schema_id)
    if last is None or last["columns"] != _plain(stored):
        known = [] if last is None else last["columns"]
        changes = evolution.differences(known, stored) if last else []
        last = _added(schema_id, last, before.get("updated_at"), None, stored, changes)
    now = store.now().replace(tzinfo=None)
    _added(schema_id, last, now, actor(), columns, evolution.differences(stored, columns))


def newest(schema_id: ObjectId) -> Stored | None:
    """Return the newest version of a schema, None where there is none."""
    found = list(_versions().find({"schema_id": schema_id}, session=store.mongodb.session))
    return max(found, key=lambda one: one["version"], default=None)


def forget(schema_id: ObjectId) -> None:
    """Remove the versions of a schema that goes."""
    _versions().delete_many({"schema_id": schema_id}, session=store.mongodb.session)


def _added(
    schema_id: ObjectId,
    last: Stored | None,
    at: Any,
    by: str | None,
    columns: Sequence[StoredColumn],
    changes: Sequence[evolution.Move],
) -> Stored:
    document: Stored = {
        "_id": ObjectId(),
        "schema_id": schema_id,
        "version": last["version"] + 1 if last else 1,
        "at": at,
        "actor": by,
        "columns": _plain(columns),
        "changes": [change.as_dict() for change in changes],
    }
    try:
        _versions().insert_one(document, session=store.mongodb.session)
    except DuplicateKeyError as first:
        # Another writer was first: the transaction is run again, and finds what it left.
        raise store.WriteConflict from first
    return document


def _plain(columns: Sequence[StoredColumn]) -> list[dict[str, Any]]:
    return [{"name": one["name"], "data_type": one.get("data_type")} for one in columns]


def _versions() -> Collection[Stored]:
    return store.named(COLLECTION)
