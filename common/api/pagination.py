"""Pages of a list: by offset, or by keyset, which costs the same however deep it goes.

A cursor names the record a page ended with, by the values it is ordered by. The next page is what
comes after these in the same order, found in the index rather than counted from the start.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import bson
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

from common.documents import store
from common.documents.store import Stored

Order = list[tuple[str, int]]

MAX_CURSOR_LIMIT = 1000
MOST_MS = 10_000 * 366 * 86_400_000
"""Of years that Python knows there are fewer than ten thousand."""
PLAIN = (str, int, float, bool, ObjectId, datetime, DatetimeMS, type(None))
NO_CURSOR = "Not a cursor; take it from the Link header of the last page."


class Cursor(NamedTuple):
    """Where a page ended: its last record's values in the order, and the time that it spans."""

    values: list[Any]
    span: timedelta


def offsets(total: int, limit: int, offset: int) -> dict[str, int]:
    """Return the offset of each related page there is: first, prev, next and last."""
    found = {"first": 0, "last": max(total - 1, 0) // limit * limit}
    if offset > 0:
        found["prev"] = max(offset - limit, 0)
    if offset + limit < total:
        found["next"] = offset + limit
    return found


def cursor_after(document: Stored, order: Order, span: timedelta) -> str:
    """Return the cursor of the page that follows a page ending with `document`.

    `span` is the time between the first and the last record of that page: a hint how far the next
    one will reach.
    """
    content = {
        "order": _named(order),
        "after": position(document, order),
        "span_ms": span // timedelta(milliseconds=1),
    }
    return base64.urlsafe_b64encode(bson.encode(content)).decode().rstrip("=")


def behind(last: Sequence[Any], order: Order) -> dict[str, Any]:
    """Return what a record fulfils that comes after one with the values `last` in `order`.

    The store compares values of one type, and null: others have no place on the pages of a cursor.
    """
    alternatives = [
        {**dict(zip((name for name, _ in order), last[:position], strict=False)), **beyond}
        for position, (name, direction) in enumerate(order)
        for beyond in _beyond(name, direction, last[position])
    ]
    return {"$or": alternatives}


def position(document: Stored, order: Order) -> list[Any]:
    """Return the values of a record that `order` goes by."""
    return [document.get(name) for name, _ in order]


def reverse(order: Order) -> Order:
    return [(name, -direction) for name, direction in order]


def _beyond(name: str, direction: int, value: Any) -> list[dict[str, Any]]:
    """Return the ways to stand behind `value`. MongoDB puts null, and what is missing, lowest."""
    if direction > 0:
        return [{name: {"$ne": None} if value is None else {"$gt": value}}]
    if value is None:
        return []
    null_is_lower = [] if name == "_id" else [{name: None}]
    return [{name: {"$lt": value}}, *null_is_lower]


def _named(order: Order) -> str:
    return ",".join(f"{'-' if direction < 0 else ''}{name}" for name, direction in order)


def read_cursor(text: str, order: Order) -> Cursor:
    """Return what a cursor says; an empty one stands before the first page.

    Raises ValueError where it is no cursor, or one of another order.
    """
    if not text:
        return Cursor([], timedelta())
    content = _content(text)
    if content.get("order") != _named(order):
        raise ValueError("The cursor belongs to another ordering.")
    return Cursor(_values(content.get("after"), order), _span(content.get("span_ms")))


def _content(text: str) -> Stored:
    try:
        padded = text + "=" * (-len(text) % 4)
        return store.decoded(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, BSONError):
        raise ValueError(NO_CURSOR) from None


def _values(found: Any, order: Order) -> list[Any]:
    if not isinstance(found, list) or len(found) != len(order):
        raise ValueError(NO_CURSOR)
    # Whatever else it says would be more than a value to the store.
    if not all(isinstance(value, PLAIN) for value in found):
        raise ValueError(NO_CURSOR)
    return found


def _span(found: Any) -> timedelta:
    if isinstance(found, int) and 0 <= found < MOST_MS:
        return timedelta(milliseconds=found)
    return timedelta()
