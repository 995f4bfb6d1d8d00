"""How many records a list has, and whether it is a long one."""

import math
import time

from django.db import models

from common.api.json import to_json
from common.documents import store
from common.documents.store import Stored

EXACT_UP_TO = 10_000
FIGURES_TTL_S = 1.0
COUNT_TTL_S = 10.0
LONG = 1000
"""From so many records on the pages of a list are looked for in stretches of time."""
_counts: dict[bytes, tuple[float, int]] = {}
_shapes: dict[str, tuple[float, int, bool]] = {}
"""When a collection was looked at, how many records it had, and whether some were odd."""

NO_ID = [
    "string", "number", "bool", "object", "array", "binData", "date", "timestamp", "regex",
    "javascript", "minKey", "maxKey",
]  # fmt: skip
NO_MOMENT = ["objectId", *(kind for kind in NO_ID if kind != "date")]
"""What another program can have put in the place of an id and of a moment."""


def count(model: type[models.Model], condition: Stored, ttl_s: float | None = None) -> int:
    """Return how many records meet a condition.

    Never by reading the records: all of them are counted in the collection's own figures, those
    of a filter in its index. Below `EXACT_UP_TO` each time; from there a count is kept for `ttl_s`,
    by default for `FIGURES_TTL_S` or `COUNT_TTL_S`.
    """
    collection = store.collection(model)
    if ttl_s is None:
        ttl_s = COUNT_TTL_S if condition else FIGURES_TTL_S
    key = to_json([collection.full_name, condition])
    counted_at, known = _counts.get(key, (0.0, 0))
    if known >= EXACT_UP_TO and time.monotonic() - counted_at < ttl_s:
        return known
    if not condition:
        total = collection.estimated_document_count()
    else:
        total = collection.count_documents(condition, limit=EXACT_UP_TO + 1)
        if total > EXACT_UP_TO:
            total = collection.count_documents(condition)
    if len(_counts) > 1000:
        _counts.clear()
    _counts[key] = (time.monotonic(), total)
    return total


def goes_by_stretches(model: type[models.Model], at_least: int | None = None) -> bool:
    """Tell whether a list is long enough for stretches of time, and has none but plain records.

    `at_least` is its length, else `LONG`. What was found is kept for `COUNT_TTL_S`.
    """
    name = model._meta.db_table
    looked_at, length, is_odd = _shapes.get(name, (-math.inf, 0, False))
    if time.monotonic() - looked_at >= COUNT_TTL_S:
        length = count(model, {})
        is_odd = length >= LONG and _has_odd_records(model)
        _shapes[name] = (time.monotonic(), length, is_odd)
    return length >= (at_least or LONG) and not is_odd


def _has_odd_records(model: type[models.Model]) -> bool:
    """Tell whether another program gave some record an id or a moment that is none."""
    odd = {"$or": [{"updated_at": {"$type": NO_MOMENT}}, {"_id": {"$type": NO_ID}}]}
    return store.collection(model).find_one(odd, {"_id": 1}) is not None
