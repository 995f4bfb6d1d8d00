"""Reading the records of a list: in order, page by page, within a time limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from bson import ObjectId
from django.db import models
from rest_framework.request import Request

from common import counting, paging, reach, store
from common.counting import count, goes_by_stretches
from common.exceptions import SearchTooBroad
from common.listing import Listing
from common.store import Stored

NEWEST_FIRST: paging.Order = [("updated_at", -1), ("_id", -1)]

BATCH = 500
"""Records that are fetched and rendered at a time; a list that is longer is streamed."""

SEARCH_TIMEOUT_S = 2.0


def within_reason(searches: bool) -> AbstractContextManager[None]:
    """End a search, which reads every record, before its client gives up.

    Raises SearchTooBroad.
    """
    if not searches:
        return nullcontext()
    too_broad = SearchTooBroad(
        f"The search took longer than {SEARCH_TIMEOUT_S:g} s; narrow it with a filter, "
        "or ask by exact name."
    )
    return store.at_most(SEARCH_TIMEOUT_S, too_broad)


def page(
    model: type[models.Model], projection: Stored, listing: Listing
) -> tuple[list[Stored], Iterator[Stored], int]:
    """Return the first `BATCH` documents of a page, the rest of it, and the whole list's length.

    The store reads the rest as it is taken. Nothing is counted where the page shows the end.
    """
    total = count(model, listing.condition, counting.FIGURES_TTL_S) if _is_deep(listing) else None
    documents = _found(model, projection, listing, total or 0)
    # Whether a page by cursor has a next one, its last record says.
    first = list(islice(documents, BATCH if listing.cursor is None else listing.limit))
    if total is None:
        total = _ends_at(listing, len(first))
    if total is None:
        total = count(model, listing.condition)
    return first, documents, total


def _is_deep(listing: Listing) -> bool:
    return bool(listing.limit) and listing.offset > counting.LONG


def _ends_at(listing: Listing, taken: int) -> int | None:
    """Return the length of a list whose end is among the documents that were taken."""
    is_full = taken >= min(listing.limit or BATCH, BATCH)
    is_behind_the_end = not taken and listing.offset
    is_deeper = listing.cursor and listing.cursor.values
    if is_deeper or is_full or is_behind_the_end:
        return None
    return listing.offset + taken


def _found(
    model: type[models.Model], projection: Stored, listing: Listing, total: int
) -> Iterator[Stored]:
    """Return the documents of the page, in order."""
    limit, offset = listing.limit or 0, listing.offset
    if _is_deep(listing) and total - offset <= min(limit, BATCH):
        return iter(_last(model, projection, listing, total - offset))
    if (
        _is_of_all(listing)
        and not offset
        and not limit
        and goes_by_stretches(model, counting.EXACT_UP_TO)
    ):
        return _walked(model, projection)
    if _is_of_all(listing) and 0 < limit <= reach.MOST and goes_by_stretches(model):
        return iter(_reached(model, projection, listing))
    return iter(_find(model, projection, listing.page_condition, listing.order, offset, limit))


def _is_of_all(listing: Listing) -> bool:
    return not listing.condition and listing.order == NEWEST_FIRST


def _reached(model: type[models.Model], projection: Stored, listing: Listing) -> list[Stored]:
    """Return a page of all records, newest first."""
    limit, offset = listing.limit or 0, listing.offset

    def read(stretch: Stored, limit: int) -> list[Stored]:
        condition = stretch or listing.page_condition
        return [*_find(model, projection, condition, listing.order, offset, limit)]

    if listing.cursor and listing.cursor.values:
        return _behind(listing.cursor, limit, read)
    if offset + limit <= reach.MOST:
        return reach.newest(model._meta.db_table, limit, offset + limit, read)
    return read({}, limit)


def _behind(cursor: paging.Cursor, limit: int, read: reach.Read) -> list[Stored]:
    match cursor.values:
        case [datetime() as moment, ObjectId() as identifier]:
            return reach.behind(limit, reach.Position(moment, identifier, cursor.span), read)
    return read({}, limit)


def _walked(model: type[models.Model], projection: Stored) -> Iterator[Stored]:
    """Yield all records, newest first; no cursor of the store has to wait for a slow client."""
    rest: Stored = {}

    def read(stretch: Stored, limit: int) -> list[Stored]:
        return [*_find(model, projection, stretch or rest, NEWEST_FIRST, 0, limit)]

    found = reach.newest(model._meta.db_table, BATCH, BATCH, read)
    while found:
        yield from found
        last = paging.Cursor(paging.position(found[-1], NEWEST_FIRST), reach.span_of(found))
        rest = paging.behind(last.values, NEWEST_FIRST)
        if not last.span:
            # Of one moment, or of none: stretches are of no help.
            yield from _find(model, projection, rest, NEWEST_FIRST, 0, 0)
            return
        found = _behind(last, BATCH, read)


def _last(
    model: type[models.Model], projection: Stored, listing: Listing, limit: int
) -> list[Stored]:
    """Return the last documents of a list: the first of the list read backwards."""
    if limit <= 0:
        return []

    def read(stretch: Stored, limit: int) -> list[Stored]:
        backwards = paging.reverse(listing.order)
        return [*_find(model, projection, stretch or listing.condition, backwards, 0, limit)]

    if _is_of_all(listing) and goes_by_stretches(model):
        found = reach.oldest(model._meta.db_table, limit, read)
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
            span = reach.span_of(documents)
            pages["next"] = paging.cursor_after(documents[-1], listing.order, span)
        parameter = "cursor"
    asked = [pair for pair in request.query_params.items() if pair[0] != parameter]
    address = f"{request.build_absolute_uri(request.path)}?{urlencode(asked)}&{parameter}="
    return ", ".join(f'<{address}{value}>; rel="{rel}"' for rel, value in pages.items())
