"""The target that is always there, as the last one of lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from common.api.lists import Page
from common.api.parameters import ListQuery
from common.documents.store import Stored
from targets.models import default_document


def with_default(page: Page, query: ListQuery) -> Page:
    """Return a page of a list that ends with the default target, where its condition is met."""
    last = default_document()
    if not meets(last, query.condition):
        return page
    if isinstance(page.documents, Sequence) and query.after is not None:
        return _behind_a_cursor(page, query, last)
    total = page.total
    limit = query.limit or total + 1
    is_shown = query.offset <= total < query.offset + limit
    if not is_shown:
        return page._replace(total=total + 1)
    return page._replace(documents=_added(page.documents, last), total=total + 1)


def _behind_a_cursor(page: Page, query: ListQuery, last: Stored) -> Page:
    documents: Any = page.documents
    if page.goes_on or len(documents) >= (query.limit or 0):
        return page._replace(total=page.total + 1, goes_on=True)
    return page._replace(documents=[*documents, last], total=page.total + 1)


def _added(documents: Any, last: Stored) -> Any:
    return [*documents, last] if isinstance(documents, Sequence) else chain(documents, [last])


def meets(document: Stored, condition: Stored) -> bool:
    """Tell whether a document fulfils what the parameters of a list ask for."""
    return all(_meets_one(document, name, wanted) for name, wanted in condition.items())


def _meets_one(document: Stored, name: str, wanted: Any) -> bool:
    if name == "$or":
        return any(meets(document, one) for one in wanted)
    value = document.get(name)
    if isinstance(wanted, dict) and "$in" in wanted:
        return value in wanted["$in"]
    if isinstance(wanted, dict) and "$regex" in wanted:
        return bool(re.search(wanted["$regex"], str(value or ""), re.IGNORECASE))
    return bool(value == wanted)
