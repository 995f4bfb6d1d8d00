"""Reading the records of a list: in order, page by page, within a time limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from bson import ObjectId
from django.db import models
from rest_framework.request import Request

from common.api import counting, pagination as paging, reach
from common.api.counting import count, goes_by_stretches
from common.api.json import address_of
from common.api.parameters import Listing
from common.documents import store
from common.documents.store import Stored
from common.exceptions import SearchTooBroad

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


class Page(NamedTuple):
    """What a page shows first, and the rest, which the store reads as it is taken.

    `total` is the length of the whole list; `goes_on` tells whether it may go on behind `first`.
    """

    first: list[Stored]
    rest: Iterator[Stored]
    total: int
    goes_on: bool


def page(model: type[models.Model], projection: Stored, listing: Listing) -> Page:
    """Return a page of a list. Nothing is counted where it shows the end."""
    total = count(model, listing.condition, counting.FIGURES_TTL_S) if _is_deep(listing) else None
    limit, shown = listing.limit or 0, _at_once(listing)
    # One document more than a page shows tells whether the list goes on. A list that is streamed
    # finds its end by itself; a long one is looked for in stretches that the page just fills.
    more = 1 if shown == limit and not _is_reached(model, listing) else 0
    documents = _found(model, projection, listing, limit + more, total or 0)
    first = list(islice(documents, shown + more))
    goes_on = len(first) == shown + more
    del first[shown:]
    if total is None and not goes_on:
        total = _ends_at(listing, len(first))
    if total is None:
        total = count(model, listing.condition)
    return Page(first, documents, total, goes_on)


def _at_once(listing: Listing) -> int:
    """Return how many documents of a page come at once."""
    if listing.limit and (listing.cursor is not None or listing.limit < BATCH):
        return listing.limit
    return BATCH


def _is_deep(listing: Listing) -> bool:
    return bool(listing.limit) and listing.offset > counting.LONG


def _ends_at(listing: Listing, taken: int) -> int | None:
    """Return the length of a list whose end is among the documents that were taken."""
    is_behind_the_end = not taken and listing.offset
    is_deeper = listing.cursor and listing.cursor.values
    return None if is_deeper or is_behind_the_end else listing.offset + taken


def _found(
    model: type[models.Model], projection: Stored, listing: Listing, limit: int, total: int
) -> Iterator[Stored]:
    """Return up to `limit` documents of the page, in order."""
    offset = listing.offset
    if _is_deep(listing) and total - offset <= min(limit, BATCH):
        return iter(_last(model, projection, listing, total - offset))
    if (
        _is_of_all(listing)
        and not offset
        and not limit
        and goes_by_stretches(model, counting.EXACT_UP_TO)
    ):
        return _walked(model, projection)
    if _is_reached(model, listing):
        return iter(_reached(model, projection, listing))
    return iter(_find(model, projection, listing.page_condition, listing.order, offset, limit))


def _is_reached(model: type[models.Model], listing: Listing) -> bool:
    """Tell whether a page is looked for in stretches of time."""
    limit = listing.limit or 0
    return _is_of_all(listing) and 0 < limit <= reach.MOST and goes_by_stretches(model)


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


def link_header(request: Request, listing: Listing, page: Page) -> str:
    """Return the `Link` header (RFC 8288) of a page; none where the list is not paged."""
    if not listing.limit:
        return ""
    if listing.cursor is None:
        pages: dict[str, Any] = paging.offsets(page.total, listing.limit, listing.offset)
        parameter = "offset"
    else:
        pages = {"first": ""}
        if page.goes_on:
            span = reach.span_of(page.first)
            pages["next"] = paging.cursor_after(page.first[-1], listing.order, span)
        parameter = "cursor"
    asked = [pair for pair in request.query_params.items() if pair[0] != parameter]
    address = f"{address_of(request)}?{urlencode(asked)}&{parameter}="
    return ", ".join(f'<{address}{value}>; rel="{rel}"' for rel, value in pages.items())
