"""Pages of a list, read as documents, and searches that end."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, cast

from bson import ObjectId
from django.core.paginator import Page, Paginator
from django.db import models

from common.admin.records import as_records, records_of
from common.api import lists
from common.documents import store
from common.documents.codecs import reference_to
from common.documents.models import references_of
from common.documents.query import Query, query_of
from common.documents.store import Stored
from common.exceptions import SearchTooBroad, StoreUnavailable

MAX_SEARCH_RESULTS = 1000
"""Records a search finds at most; whoever has more can say more."""

LIST_TIMEOUT_S = 30.0
"""How long a list may take, longer than the API: a slow page is better than none."""


def list_timeout() -> AbstractContextManager[None]:
    """Wait for a list up to `LIST_TIMEOUT_S`. Raises StoreUnavailable, with a way on."""
    slow = StoreUnavailable(
        f"The store took longer than {LIST_TIMEOUT_S:g} s for this list. Search for the beginning "
        "of a name instead, or try again."
    )
    return store.time_limit(LIST_TIMEOUT_S, slow)


def list_query(queryset: models.QuerySet[Any]) -> Query:
    """Return what a list asks for; a reference is found however it is stored."""
    query = query_of(queryset)
    columns = {str(field.column) for field in references_of(query.model)}
    return query._replace(condition=_any_spelling(query.condition, columns))


def _any_spelling(condition: Stored, references: set[str]) -> Stored:
    return {
        name: [_any_spelling(part, references) for part in value]
        if name == "$and"
        else reference_to(value)
        if name in references and isinstance(value, ObjectId)
        else value
        for name, value in condition.items()
    }


class DocumentPaginator(Paginator):
    """Pages of records, read as documents.

    A search is made once, and finds up to `MAX_SEARCH_RESULTS`: no index answers one.
    """

    by_beginning: models.QuerySet[Any] | None = None
    """What to look for where the search takes too long: names that begin with its text."""

    is_by_beginning = False

    @cached_property
    def query(self) -> Query:
        return list_query(cast("models.QuerySet[Any]", self.object_list))

    @cached_property
    def found(self) -> list[ObjectId]:
        """The ids that a search finds; once it takes too long, those an index can tell.

        Raises SearchTooBroad where none can.
        """
        try:
            with lists.search_timeout(searches=True):
                return self.query._replace(limit=MAX_SEARCH_RESULTS).identifiers()
        except SearchTooBroad:
            if self.by_beginning is None:
                raise
            self.is_by_beginning = True
            return list_query(self.by_beginning)._replace(limit=MAX_SEARCH_RESULTS).identifiers()

    @cached_property
    def count(self) -> int:
        with list_timeout():
            if self.query.is_search():
                return len(self.found)
            return store.count(self.query.model, self.query.condition)

    def page(self, number: int | str) -> Page:
        number = self.validate_number(number)
        with list_timeout():
            return Page(self.records_from((number - 1) * self.per_page), number, self)

    def records_from(self, first: int) -> list[Any]:
        """Return the records of the page that begins with the record `first`, counted from 0."""
        if self.query.is_search():
            return records_of(self.query.model, self.found[first : first + self.per_page])
        page = self.query._replace(skip=first, limit=self.per_page)
        return as_records(self.query.model, page.documents())


def has_some(queryset: models.QuerySet[Any]) -> bool:
    with list_timeout():
        return bool(query_of(queryset)._replace(limit=1, order=[]).documents("_id"))
