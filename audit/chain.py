"""How the entries hang together: each is sealed with a key, and with the hash of the one before.

Beside the entries, in a collection of its own, stands the *head*, the newest `seq` and `hash`, and
the *cut*, the last entry that was removed for its age. Both are sealed in the same way, so that
what was cut off by others shows.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.conf import settings

from audit import entries
from audit.models import Entry
from common.documents import store
from common.documents.store import Stored

MARKS = "audit_marks"
"""The collection of head, cut and the lease of who seals."""
FIRST_HASH = 64 * "0"
UNHASHED = frozenset({"id", "_id", "hash"})

FIELDS = frozenset(str(field.column) for field in Entry._meta.concrete_fields)

MarkName = Literal["head", "cut"]


class ChainBroken(Exception):
    """Sealing cannot go on: others changed what it goes on from."""


@dataclass(frozen=True)
class Link:
    """A place in the chain: an entry's number and hash."""

    seq: int = 0
    hash: str = FIRST_HASH


START = Link()


def sealing_key() -> str:
    return settings.AUDIT_KEY or derived(settings.SECRET_KEY)


def keys() -> list[str]:
    """Return the keys that verify: today's, and the retired ones.

    A retired one may be a former SECRET_KEY, whose derived key was the audit's.
    """
    retired = settings.AUDIT_KEYS_RETIRED
    mine = [sealing_key(), derived(settings.SECRET_KEY)]
    return list(dict.fromkeys([*mine, *retired, *(derived(key) for key in retired)]))


def derived(secret_key: str) -> str:
    """Return the audit's key where it has none of its own."""
    return seal(secret_key, {"purpose": "audit"})


def seal(key: str, value: Any) -> str:
    """Return the HMAC-SHA-256 of a value's JSON, in hexadecimal digits."""
    return hmac.new(key.encode(), entries.canonical(value), hashlib.sha256).hexdigest()


def is_sealed(value: Any, seal_found: Any) -> bool:
    if not isinstance(seal_found, str):
        return False
    found = seal_found.encode()
    return any(hmac.compare_digest(seal(key, value).encode(), found) for key in keys())


# --- Entries --------------------------------------------------------------------------------------


def content(document: Stored) -> dict[str, Any]:
    """Return what the hash of an entry is made of: all that answers show but id and hash."""
    shown = entries.show(document)
    return {name: shown[name] for name in shown if name not in UNHASHED}


def linked(document: Stored, last: Link, key: str) -> Stored:
    """Return the seal of an entry as the next after `last`: its place, and its hash."""
    place = {"seq": last.seq + 1, "previous_hash": last.hash}
    return {**place, "hash": seal(key, content({**document, **place}))}


def is_genuine(document: Stored) -> bool:
    """Tell whether an entry is what was sealed, with nothing added."""
    is_plain = document.keys() == FIELDS and isinstance(document["at"], datetime)
    return is_plain and is_sealed(content(document), document["hash"])


def follows(last: Link, document: Stored) -> bool:
    """Tell whether an entry is what was sealed next after `last`."""
    place = (document.get("seq"), document.get("previous_hash"))
    return place == (last.seq + 1, last.hash) and is_genuine(document)


def link_of(document: Stored) -> Link:
    return Link(document["seq"], document["hash"])


# --- Marks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """A place that is kept outside of the entries.

    `seals` are those of the last entries up to the head, which may not be in their entries yet.
    """

    link: Link
    seals: tuple[Stored, ...] = ()


def read_mark(name: MarkName) -> Mark | None:
    """Return where a mark stands, None where there is none. Raises ChainBroken."""
    found = store.named(MARKS).find_one({"_id": name})
    if found is None:
        return None
    content = {field: found.get(field) for field in ("_id", "seq", "hash", "seals")}
    if not is_sealed(content, found.get("seal")):
        raise ChainBroken(f"The {name} of the audit was changed: its seal is not ours.")
    return Mark(Link(found["seq"], found["hash"]), tuple(found["seals"]))


def move_mark(name: MarkName, before: Mark | None, after: Mark) -> bool:
    """Move a mark on from where it was read; tell whether it still stood there."""
    marks = store.named(MARKS)
    place = {"_id": name, "seq": after.link.seq, "hash": after.link.hash}
    content = {**place, "seals": list(after.seals)}
    document = {**content, "seal": seal(sealing_key(), content)}
    if before is None:
        made = marks.update_one({"_id": name}, {"$setOnInsert": document}, upsert=True)
        return made.upserted_id is not None
    condition = {"_id": name, "seq": before.link.seq, "hash": before.link.hash}
    return bool(marks.update_one(condition, {"$set": document}).matched_count)
