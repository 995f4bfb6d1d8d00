"""Lists of the admin: pages read as documents, searches that end, filters that are declared."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cached_property, reduce
from operator import or_
from typing import Any, cast

from bson import ObjectId
from django.contrib import admin, messages
from django.core.paginator import Page, Paginator
from django.db import models
from django.http import HttpRequest
from unfold.views import ChangeList

from common.admin.records import as_records, records_of
from common.api import lists
from common.api.parameters import MAX_SEARCH
from common.documents import store
from common.documents.codecs import reference_to
from common.documents.models import references_of
from common.documents.query import Query, query_of
from common.documents.store import Stored
from common.exceptions import SearchTooBroad, StoreUnavailable

PAGE_SIZE = 100
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


class DocumentChangeList(ChangeList):
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # "7 results (show all)" where they are not all; how many there are in all is not counted.
        self.full_result_count = None if self.paginator.query.condition else self.result_count
        if self.paginator.is_by_beginning:
            messages.warning(
                request,
                f"The search took longer than {lists.SEARCH_TIMEOUT_S:g} s; these are the records "
                f'whose name begins with "{self.query}".',
            )
        if isinstance(self.result_list, models.QuerySet):
            # All of them fit on one page.
            self.result_list = self.paginator.page(1).object_list
        self.model_admin.prefetch(self.result_list)


# --- Searches -------------------------------------------------------------------------------------


def search_text(typed: str) -> str:
    return typed.strip()[:MAX_SEARCH].replace("\0", "")


def containing(
    queryset: models.QuerySet[Any], text: str, fields: Iterable[str]
) -> models.QuerySet[Any]:
    """Return the records that hold a text in one of some fields, as it is."""
    return queryset.filter(reduce(or_, [models.Q((f"{name}__icontains", text)) for name in fields]))


def beginning_with(queryset: models.QuerySet[Any], text: str) -> models.QuerySet[Any]:
    """Return the records whose name begins with a text: an index finds them."""
    return queryset.filter(name__gte=text, name__lt=text + "\uffff")


def has_some(queryset: models.QuerySet[Any]) -> bool:
    with list_timeout():
        return bool(query_of(queryset)._replace(limit=1, order=[]).documents("_id"))


# --- Filters --------------------------------------------------------------------------------------


def filter_parameters(model: type[models.Model], list_filter: Iterable[Any]) -> set[str]:
    """Return the parameters of an address that a list's own filters read."""
    return {name for one in list_filter for name in _parameters_of(model, one)}


def _parameters_of(model: type[models.Model], list_filter: Any) -> list[str]:
    if isinstance(list_filter, type) and issubclass(list_filter, admin.SimpleListFilter):
        return [str(list_filter.parameter_name)]
    name = list_filter[0] if isinstance(list_filter, tuple) else list_filter
    value = f"{name}__id__exact" if model._meta.get_field(name).is_relation else f"{name}__exact"
    return [value, f"{name}__isnull"]
