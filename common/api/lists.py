"""Reading the records of a list: in order, page by page, within a time limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db import models
from rest_framework.request import Request

from common.api import pagination
from common.api.parameters import ListQuery
from common.documents import store
from common.documents.store import Stored
from common.exceptions import SearchTooBroad

AT_ONCE = 1000
"""Records that are read before the answer begins; a longer list is streamed."""
BATCH = 500

SEARCH_TIMEOUT_S = 2.0


def search_timeout(searches: bool) -> AbstractContextManager[None]:
    """End a search, which reads every record, before its client gives up.

    Raises SearchTooBroad.
    """
    if not searches:
        return nullcontext()
    too_broad = SearchTooBroad(
        f"The search took longer than {SEARCH_TIMEOUT_S:g} s; narrow it with a filter, "
        "or ask by exact name."
    )
    return store.time_limit(SEARCH_TIMEOUT_S, too_broad)


class Page(NamedTuple):
    """A page of a list: its documents, or an iterator that reads a long one as it is taken.

    `total` is the length of the whole list; `goes_on` tells whether it goes on behind the page.
    """

    documents: Sequence[Stored] | Iterator[Stored]
    total: int
    goes_on: bool = False


def read_page(model: type[models.Model], projection: Stored, query: ListQuery) -> Page:
    """Return a page of a list. Nothing is counted where a short one shows the end."""
    if query.limit and query.limit <= AT_ONCE:
        return _short_page(model, projection, query, query.limit)
    total = store.count(model, query.condition)
    documents = _documents(model, projection, query, query.limit or 0)
    if min(query.limit or total, total - query.offset) > AT_ONCE:
        return Page(documents, total)
    return Page(list(documents), total)


def _short_page(
    model: type[models.Model], projection: Stored, query: ListQuery, limit: int
) -> Page:
    # One document more than the page shows tells whether the list goes on.
    found = list(_documents(model, projection, query, limit + 1))
    goes_on = len(found) > limit
    del found[limit:]
    if not goes_on and not query.after and (found or not query.offset):
        return Page(found, query.offset + len(found))
    return Page(found, store.count(model, query.condition), goes_on)


def _documents(
    model: type[models.Model], projection: Stored, query: ListQuery, limit: int
) -> Iterator[Stored]:
    """Yield the documents of a page; the store is asked when the first is taken.

    A list that is streamed is read after its request, each batch in a time of its own.
    """
    found = store.find(
        model,
        query.page_condition,
        projection,
        sort=query.order,
        skip=query.offset,
        limit=limit,
        batch_size=limit if 0 < limit <= AT_ONCE else BATCH,
    )
    while True:
        with store.batch_timeout():
            batch = list(islice(found, BATCH))
        if not batch:
            return
        yield from batch


def link_header(request: Request, query: ListQuery, page: Page) -> str:
    """Return the `Link` header (RFC 8288) of a page; none where the list is not paged."""
    if not query.limit:
        return ""
    pages: dict[str, Any]
    if query.after is None:
        parameter, pages = "offset", pagination.offsets(page.total, query.limit, query.offset)
    else:
        parameter, pages = "cursor", {"first": ""}
        if page.goes_on and isinstance(page.documents, Sequence):
            pages["next"] = pagination.cursor_after(page.documents[-1], query.order)
    asked = [pair for pair in request.query_params.items() if pair[0] != parameter]
    path = request.build_absolute_uri(request.path)
    address = f"{path}?{urlencode(asked)}&{parameter}="
    return ", ".join(f'<{address}{value}>; rel="{rel}"' for rel, value in pages.items())
