"""Pages of a list: by offset, or by keyset, which costs the same however deep it goes.

A cursor names the record a page ended with, by the values it is ordered by. The next page is what
comes after these in the same order, found in the index rather than counted from the start.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import bson
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

from common.documents import store
from common.documents.store import Stored

Order = list[tuple[str, int]]

MAX_CURSOR_LIMIT = 1000
PLAIN = (str, int, float, bool, ObjectId, datetime, DatetimeMS, type(None))
NO_CURSOR = "Not a cursor; take it from the Link header of the last page."


def offsets(total: int, limit: int, offset: int) -> dict[str, int]:
    """Return the offset of each related page there is: first, prev, next and last."""
    found = {"first": 0, "last": max(total - 1, 0) // limit * limit}
    if offset > 0:
        found["prev"] = max(offset - limit, 0)
    if offset + limit < total:
        found["next"] = offset + limit
    return found


def cursor_after(document: Stored, order: Order) -> str:
    """Return the cursor of the page that follows a page ending with `document`."""
    content = {"order": _named(order), "after": [document.get(name) for name, _ in order]}
    return base64.urlsafe_b64encode(bson.encode(content)).decode().rstrip("=")


def behind(last: Sequence[Any], order: Order) -> Stored:
    """Return what a record fulfils that comes after one with the values `last` in `order`.

    The store compares values of one type, and null: others have no place on the pages of a cursor.
    """
    alternatives = [
        {**dict(zip((name for name, _ in order), last[:position], strict=False)), **beyond}
        for position, (name, direction) in enumerate(order)
        for beyond in _beyond(name, direction, last[position])
    ]
    return {"$or": alternatives}


def _beyond(name: str, direction: int, value: Any) -> list[Stored]:
    """Return the ways to stand behind `value`. MongoDB puts null, and what is missing, lowest."""
    if direction > 0:
        return [{name: {"$ne": None} if value is None else {"$gt": value}}]
    if value is None:
        return []
    null_is_lower = [] if name == "_id" else [{name: None}]
    return [{name: {"$lt": value}}, *null_is_lower]


def _named(order: Order) -> str:
    return ",".join(f"{'-' if direction < 0 else ''}{name}" for name, direction in order)


def read_cursor(text: str, order: Order) -> list[Any]:
    """Return the values that a cursor names; an empty one stands before the first page: none.

    Raises ValueError where it is no cursor, or one of another order.
    """
    if not text:
        return []
    content = _content(text)
    if content.get("order") != _named(order):
        raise ValueError("The cursor belongs to another ordering.")
    return _values(content.get("after"), order)


def _content(text: str) -> Stored:
    try:
        padded = text + "=" * (-len(text) % 4)
        return store.decoded(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, BSONError):
        raise ValueError(NO_CURSOR) from None


def _values(found: Any, order: Order) -> list[Any]:
    """Return the values of a cursor, each of a kind that a record can have there."""
    if not isinstance(found, list) or len(found) != len(order):
        raise ValueError(NO_CURSOR)
    for (name, _), value in zip(order, found, strict=True):
        # Whatever else it says would be more than a value to the store.
        if not isinstance(value, PLAIN) or (name == "_id" and value is None):
            raise ValueError(NO_CURSOR)
    return found
