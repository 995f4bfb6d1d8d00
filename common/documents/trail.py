"""What a write changes, as answers show it: for those who keep a trail of every write.

An app registers what keeps it; nothing here knows who that is. A keeper is called in the
transaction of the writes, at its end, so that none is there without its entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from bson import ObjectId
from django.db import models

from common.documents.codecs import record_codec
from common.documents.store import Stored

T = TypeVar("T")
Action = Literal["create", "update", "delete"]

SECRET = "changed"  # noqa: S105 - in the place of one
MOMENTS = frozenset({"created_at", "updated_at"})


@dataclass(frozen=True)
class Entry:
    """One write: of a record, or of the set of records that hangs on one.

    `kind` is a collection; `changes` has `[before, after]` by field, null for what was not, or
    `SECRET`. Entries `of_set` of one transaction and one record become one.
    """

    action: Action
    kind: str
    record_id: ObjectId | None
    name: str | None
    changes: Mapping[str, Any]
    of_set: bool = False


Keeper = Callable[[Sequence[Entry]], None]

_keepers: list[Keeper] = []
_open: ContextVar[list[Entry] | None] = ContextVar("open_trail", default=None)
_reason: ContextVar[str] = ContextVar("reason", default="")


def register(keeper: Keeper) -> None:
    """Have `keeper` called with the entries of each transaction, in their order."""
    _keepers.append(keeper)


def told(work: Callable[[], T], undone: Callable[[], bool]) -> T:
    """Return `work()`, and hand the entries that it notes to the keepers.

    Where it fails, too, unless what it wrote is `undone`. Inside of another it is a part of that.
    """
    if _open.get() is not None:
        return work()
    entries: list[Entry] = []
    token = _open.set(entries)
    try:
        result = work()
    except BaseException:
        if entries and not undone():
            _keep(entries)
        raise
    else:
        _keep(entries)
        return result
    finally:
        _open.reset(token)


@contextmanager
def because(reason: str) -> Iterator[None]:
    """Keep a person's reason, if there is one, with all that is written in the block.

    It stands among an entry's changes as its `note`.
    """
    token = _reason.set(reason.strip())
    try:
        yield
    finally:
        _reason.reset(token)


def note(entry: Entry) -> None:
    """Note a write that `apply` does not make, inside of `writes.transaction`."""
    if reason := _reason.get():
        entry = replace(entry, changes={**entry.changes, "note": [None, reason]})
    entries = _open.get()
    if entries is None:
        raise RuntimeError("A write is noted inside of the transaction that makes it.")
    entries.append(entry)


def _keep(entries: list[Entry]) -> None:
    if found := _merged(entries):
        for keeper in _keepers:
            keeper(found)


def _merged(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries, those of one set as one, at the place of its last."""
    found: list[Entry] = []
    for entry in entries:
        same = next((one for one in found if entry.of_set and _is_same_set(one, entry)), None)
        if same is not None:
            found.remove(same)
            entry = replace(entry, changes=_joined(same.changes, entry.changes))
        found.append(entry)
    return [entry for entry in found if not entry.of_set or entry.changes]


def _is_same_set(one: Entry, other: Entry) -> bool:
    return one.of_set and (one.kind, one.record_id) == (other.kind, other.record_id)


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    ends = {
        name: [first.get(name, [None])[0], second[name][1] if name in second else first[name][1]]
        for name in [*first, *second]
    }
    return {name: pair for name, pair in ends.items() if pair[0] != pair[1]}


# --- What answers show ----------------------------------------------------------------------------


def shown(model: type[models.Model], document: Stored) -> dict[str, Any]:
    """Return a document as answers show it, without its secrets."""
    codecs = [codec for codec in record_codec(model).fields if not codec.is_secret]
    values = {codec.column: codec.show(codec.of(document)) for codec in codecs}
    identifier = values.pop("_id")
    return {"id": identifier, "_id": identifier, **values}


def differences(
    model: type[models.Model], before: Stored | None, after: Stored | None
) -> dict[str, Any]:
    """Return what a change makes of a record, by field: `[before, after]`, or `SECRET`.

    What the service keeps itself is left out, and so are moments: an entry has its own.
    """
    left_out = {"_id", *MOMENTS, *getattr(model, "kept", ())}
    found: dict[str, Any] = {}
    for codec in record_codec(model).fields:
        if codec.column in left_out:
            continue
        pair = [None if one is None else codec.of(one) for one in (before, after)]
        if codec.is_secret:
            if pair[0] != pair[1]:
                found[codec.column] = SECRET
            continue
        sides = zip((before, after), pair, strict=True)
        values = [None if one is None else codec.show(stored) for one, stored in sides]
        if not _is_same(*values):
            found[codec.column] = values
    return found


def _is_same(one: Any, other: Any) -> bool:
    # To Python, true is 1; to whoever reads the answer it is not.
    return type(one) is type(other) and bool(one == other)
