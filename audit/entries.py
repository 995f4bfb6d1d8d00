"""What an entry is: as it is stored, and as answers show it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from bson import ObjectId

from audit.models import Entry
from common import context
from common.api.json import to_json
from common.documents import store, trail
from common.documents.codecs import record_codec
from common.documents.store import Stored

MOST_BYTES = 8 * 1024
"""A value that is longer is told by its length and its SHA-256."""
UNSEALED: Stored = {"seq": None, "previous_hash": None, "hash": None}
OPEN = "open"
"""Who asks an API that asks for nobody."""


def record(entries: Sequence[trail.Entry]) -> None:
    """Write entries of the open transaction, said to be those of the current context."""
    documents = [document_of(entry) for entry in entries]
    collection = store.collection(Entry)
    if len(documents) == 1:
        collection.insert_one(documents[0], session=store.mongodb.session)
    else:
        collection.insert_many(documents, session=store.mongodb.session)


def actor() -> str | None:
    """Return who writes, None where nobody is known."""
    who = context.current()
    return who.actor or (OPEN if who.via == "api" else None)


def document_of(entry: trail.Entry) -> Stored:
    who = context.current()
    return {
        "_id": ObjectId(),
        "at": store.now().replace(tzinfo=None),
        "actor": actor(),
        "via": who.via,
        "address": who.address,
        "request_id": who.request_id,
        "action": entry.action,
        "kind": entry.kind,
        "record_id": entry.record_id,
        "name": entry.name,
        "changes": {field: told(change) for field, change in entry.changes.items()},
        **UNSEALED,
    }


def told(change: Any) -> Any:
    """Return a change as it is stored: in JSON's terms, and long values by what they come to."""
    return [short(value) for value in change] if isinstance(change, list) else change


def short(value: Any) -> Any:
    """Return a value, or `{"length", "sha256"}` of more than `MOST_BYTES`.

    Those of a text are of itself in UTF-8, those of anything else of its JSON, keys sorted and
    without white space.
    """
    plain = orjson.loads(to_json(value))
    content = plain.encode() if isinstance(plain, str) else canonical(plain)
    if len(content) <= MOST_BYTES:
        return plain
    return {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def canonical(value: Any) -> bytes:
    """Return a value as JSON with sorted keys and no white space, in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def show(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as answers have it."""
    identifier = str(document["_id"])
    return {"id": identifier, "_id": identifier, **record_codec(Entry).show(document)}
