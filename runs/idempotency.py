"""Keys by which a client asks twice and gets one run: of one address and user, for 24 hours."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from common import context
from common.api.problems import Invalid
from common.documents import store, writes
from common.documents.store import Stored
from common.exceptions import Conflict
from runs.models import KEYS, Run

KEPT = timedelta(hours=24)
KEY = re.compile(r"[\x20-\x7e]{1,255}")
HEADER = "Idempotency-Key"


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"


def checked(key: str | None) -> str | None:
    """Return the key that a header gives. Raises Invalid where it is none."""
    if key is not None and not KEY.fullmatch(key):
        message = f"Expected 1 to 255 printable ASCII characters in {HEADER}."
        raise Invalid([{"field": HEADER, "code": "invalid", "message": message}])
    return key


def once(
    key: str | None, scope: str, asked: Mapping[str, Any], start: Callable[[ObjectId], Stored]
) -> Stored:
    """Return the run that the key stands for as it is now, or else `start(id)` with a new id.

    `start` is given what writes the key in the run's own transaction. Raises IdempotencyConflict
    where the key stands for something else that was `asked`.
    """
    if key is None:
        return start(ObjectId())
    name, digest = _hashed([scope, context.current().actor, key]), _hashed(asked)
    while True:
        if found := _run_of(name, digest):
            return found
        try:
            return _started(name, digest, start)
        except DuplicateKeyError as clash:
            if "_id" not in ((clash.details or {}).get("keyPattern") or {"_id": 1}):
                raise
            # Another request with the key came first.


def _started(name: str, digest: str, start: Callable[[ObjectId], Stored]) -> Stored:
    run_id = ObjectId()
    document = {"_id": name, "asked": digest, "run_id": run_id, "at": _now()}

    def both() -> Stored:
        keys = store.named(KEYS)
        keys.insert_one(document, session=store.mongodb.session)
        try:
            return start(run_id)
        except BaseException:
            if store.mongodb.session is None:
                keys.delete_one({"_id": name})
            raise

    return writes.transaction(both)


def _run_of(name: str, digest: str) -> Stored | None:
    """Return the run of a key; None where there is none, and the key is free."""
    keys = store.named(KEYS)
    found = keys.find_one({"_id": name})
    if found is None:
        return None
    run = store.find_one(Run, {"_id": found["run_id"]})
    if found["at"] <= _now() - KEPT or run is None:
        keys.delete_one({"_id": name, "run_id": found["run_id"]})
        return None
    if found["asked"] != digest:
        raise IdempotencyConflict(
            f"This {HEADER} was used with another body; take a new key, or send the body of then."
        )
    return run


def _now() -> Any:
    return store.now().replace(tzinfo=None)


def _hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
