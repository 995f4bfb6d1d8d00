"""Reading the records of a list: counted, in order, page by page, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from django.db import models
from pymongo import timeout as within
from pymongo.errors import ExecutionTimeout, NetworkTimeout
from rest_framework.request import Request

from common import paging, reach, store
from common.exceptions import SearchTooBroad
from common.http import to_json
from common.listing import Listing
from common.store import Stored

NEWEST_FIRST: paging.Order = [("updated_at", -1), ("_id", -1)]

ODD: Stored = {
    "updated_at": {
        "$type": ["string", "number", "bool", "object", "objectId", "binData", "timestamp"]
    }
}
"""What another program can have put in the place of a moment."""

BATCH = 500
"""Records that are fetched and rendered at a time; a list that is longer is streamed."""

SEARCH_TIMEOUT_S = 2.0

EXACT_UP_TO = 10_000
COUNT_TTL_S = 10.0
LONG = 1000
"""From so many records on the pages of a list are looked for in stretches of time."""
_counts: dict[bytes, tuple[float, int]] = {}


@contextmanager
def within_reason(searches: bool) -> Iterator[None]:
    """End a search, which reads every record, before its client gives up.

    Raises SearchTooBroad.
    """
    if not searches:
        yield
        return
    try:
        with within(SEARCH_TIMEOUT_S):
            yield
    except (ExecutionTimeout, NetworkTimeout) as slow:
        raise SearchTooBroad(
            f"The search took longer than {SEARCH_TIMEOUT_S:g} s; narrow it with a filter, "
            "or ask by exact name."
        ) from slow


def count(model: type[models.Model], condition: Stored) -> int:
    """Return how many records meet a condition.

    Never by reading the records: all of them are counted in the collection's own figures, those
    of a filter in its index. Up to `EXACT_UP_TO` each time, and beyond it once in `COUNT_TTL_S`.
    """
    collection = store.collection(model)
    key = to_json([collection.full_name, condition])
    counted_at, known = _counts.get(key, (0.0, 0))
    if known > EXACT_UP_TO and time.monotonic() - counted_at < COUNT_TTL_S:
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


def is_long(model: type[models.Model], at_least: int | None = None) -> bool:
    """Tell whether a collection had `at_least` so many records (else `LONG`) a moment ago."""
    key = to_json([store.collection(model).full_name, {}])
    counted_at, known = _counts.get(key, (0.0, 0))
    if time.monotonic() - counted_at >= COUNT_TTL_S:
        known = count(model, {})
    return known >= (at_least or LONG)


def page(
    model: type[models.Model], projection: Stored, listing: Listing
) -> tuple[list[Stored], Iterator[Stored], int]:
    """Return the first `BATCH` documents of a page, the rest of it, and the whole list's length.

    The store reads the rest as it is taken. Nothing is counted where the page shows the end.
    """
    total = count(model, listing.condition) if _is_deep(listing) else None
    documents = _found(model, projection, listing, total or 0)
    first = list(islice(documents, BATCH))
    if total is None:
        total = _ends_at(listing, len(first))
    if total is None:
        total = count(model, listing.condition)
    return first, documents, total


def _is_deep(listing: Listing) -> bool:
    return bool(listing.limit) and listing.offset > EXACT_UP_TO


def _ends_at(listing: Listing, taken: int) -> int | None:
    """Return the length of a list whose end is among the documents that were taken."""
    is_full = taken >= min(listing.limit or BATCH, BATCH)
    is_behind_the_end = not taken and listing.offset
    if listing.cursor or is_full or is_behind_the_end:
        return None
    return listing.offset + taken


def _found(
    model: type[models.Model], projection: Stored, listing: Listing, total: int
) -> Iterator[Stored]:
    """Return the documents of the page, in order."""
    limit, offset = listing.limit or 0, listing.offset
    if _is_deep(listing) and total - offset <= min(limit, BATCH):
        return iter(_last(model, projection, listing, total - offset))
    if _is_of_all(listing) and 0 < limit <= reach.MOST:
        last = paging.values(listing.cursor, listing.order) if listing.cursor else None
        return iter(_reached(model, projection, limit, offset, last))
    if _is_of_all(listing) and not limit and not offset and is_long(model, EXACT_UP_TO):
        return _walked(model, projection)
    return iter(_find(model, projection, listing.page_condition, listing.order, offset, limit))


def _is_of_all(listing: Listing) -> bool:
    return not listing.condition and listing.order == NEWEST_FIRST


def _reached(
    model: type[models.Model],
    projection: Stored,
    limit: int,
    offset: int = 0,
    last: list[Any] | None = None,
) -> list[Stored]:
    """Return a page of all records, newest first: from an offset, or behind a position."""
    name, is_long_here = model._meta.db_table, partial(is_long, model)

    def read(stretch: Stored, limit: int) -> list[Stored]:
        condition = stretch or (paging.behind(last, NEWEST_FIRST) if last else {})
        return [*_find(model, projection, condition, NEWEST_FIRST, offset, limit)]

    match last:
        case None if offset + limit <= reach.MOST:
            return reach.newest(name, limit, offset + limit, read, is_long_here)
        case [datetime() as moment, ObjectId() as identifier]:
            return reach.behind(name, limit, reach.Position(moment, identifier), read, is_long_here)
    return read({}, limit)


def _walked(model: type[models.Model], projection: Stored) -> Iterator[Stored]:
    """Yield all records, newest first; no cursor of the store has to wait for a slow client.

    Those to which another program gave something else than a moment come last.
    """
    last, seen = None, set()
    while found := _reached(model, projection, BATCH, last=last):
        yield from found
        last = paging.position(found[-1], NEWEST_FIRST)
        seen |= {str(document["_id"]) for document in found if _is_odd(document)}
    for document in _find(model, projection, ODD, NEWEST_FIRST, 0, 0):
        if str(document["_id"]) not in seen:
            yield document


def _is_odd(document: Stored) -> bool:
    return not isinstance(document.get("updated_at"), datetime | DatetimeMS | None)


def _last(
    model: type[models.Model], projection: Stored, listing: Listing, limit: int
) -> list[Stored]:
    """Return the last documents of a list: the first of the list read backwards."""
    if limit <= 0:
        return []

    def read(stretch: Stored, limit: int) -> list[Stored]:
        backwards = paging.reverse(listing.order)
        return [*_find(model, projection, stretch or listing.condition, backwards, 0, limit)]

    if _is_of_all(listing):
        found = reach.oldest(model._meta.db_table, limit, read, partial(is_long, model))
    else:
        found = read({}, limit)
    return found[::-1]


def _find(
    model: type[models.Model],
    projection: Stored,
    condition: Stored,
    order: paging.Order,
    skip: int,
    limit: int,
) -> Any:
    # What is limited to a page comes at once.
    batch = limit if 0 < limit <= reach.MOST + reach.TIES else BATCH
    return store.collection(model).find(
        condition, projection, sort=order, skip=skip, limit=limit, batch_size=batch
    )


def link_header(request: Request, listing: Listing, total: int, documents: Sequence[Stored]) -> str:
    """Return the `Link` header (RFC 8288) of a page; none where the list is not paged."""
    if not listing.limit:
        return ""
    if listing.cursor is None:
        pages: dict[str, Any] = paging.offsets(total, listing.limit, listing.offset)
        parameter = "offset"
    else:
        pages = {"first": ""}
        if len(documents) == listing.limit:
            pages["next"] = paging.cursor_after(documents[-1], listing.order)
        parameter = "cursor"
    asked = [pair for pair in request.query_params.items() if pair[0] != parameter]
    address = f"{request.build_absolute_uri(request.path)}?{urlencode(asked)}&{parameter}="
    return ", ".join(f'<{address}{value}>; rel="{rel}"' for rel, value in pages.items())
