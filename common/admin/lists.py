"""The lists of the admin: their pages, searches, filters, and the records an action is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from common.admin.badges import age
from common.admin.filters import beginning_with, containing, filter_parameters, search_text
from common.admin.paginator import DocumentPaginator, has_some, list_query
from common.admin.records import as_records
from common.api.lists import SEARCH_TIMEOUT_S
from common.documents.models import Document
from common.exceptions import SearchTooBroad

PAGE_SIZE = 100
MAX_SELECTED = 500
"""Records an action takes at a time: each is a write of its own."""


class DocumentChangeList(ChangeList):
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # "7 results (show all)" where they are not all; how many there are in all is not counted.
        self.full_result_count = None if self.paginator.query.condition else self.result_count
        if self.paginator.is_by_beginning:
            messages.warning(
                request,
                f"The search took longer than {SEARCH_TIMEOUT_S:g} s; these are the records "
                f'whose name begins with "{self.query}".',
            )
        if isinstance(self.result_list, models.QuerySet):
            # All of them fit on one page.
            self.result_list = self.paginator.page(1).object_list
        self.model_admin.prefetch(self.result_list)


class ListAdmin(ModelAdmin):
    """A list of records that stays fast, and tells nobody what its columns do not."""

    paginator = DocumentPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = PAGE_SIZE
    list_max_show_all = PAGE_SIZE
    list_filter_submit = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DocumentChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().changelist_view(request, extra_context)
        except SearchTooBroad as refusal:
            messages.error(request, refusal.detail)
        except ValidationError as refusal:
            # Selected was an id that another program made, and that is none of the service's.
            messages.error(request, " ".join(refusal.messages))
        return redirect(self.address("changelist"))

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow what the list's own filters ask, and no other.

        Django's would allow any field, with which a secret is guessed letter by letter.
        """
        return lookup in filter_parameters(self.model, self.get_list_filter(request))

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Look for the text as it is, as the API does.

        To choose a record, in its name alone: an index finds those that begin with the text, and
        only where none does is it looked for inside of names.
        """
        chooses = request.path.endswith("/autocomplete/")
        fields = ("name",) if chooses else self.get_search_fields(request)
        text = search_text(search_term)
        if not text:
            return queryset, False
        if any(field.name == "name" for field in self.opts.fields):
            begins = beginning_with(queryset, text)
            if chooses and has_some(begins):
                return begins, False
            request.by_beginning = begins  # type: ignore[attr-defined]
        return containing(queryset, text, fields), False

    def get_paginator(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> Paginator:
        if queryset.model is not self.model:
            return Paginator(queryset, *args, **kwargs)
        paginator: DocumentPaginator = super().get_paginator(request, queryset, *args, **kwargs)
        paginator.by_beginning = getattr(request, "by_beginning", None)
        return paginator

    def prefetch(self, records: Sequence[Any]) -> None:
        """Read what the columns of a page need beyond its records, all at once."""

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, obj: Document) -> SafeString:
        return age(obj.updated_at)

    def selected(
        self, request: HttpRequest, queryset: models.QuerySet[Any], limit: int = MAX_SELECTED
    ) -> list[Any]:
        """Return the selected records; none, and a message, where they are more than `limit`."""
        documents = list_query(queryset)._replace(limit=limit + 1).documents()
        if len(documents) > limit:
            messages.error(
                request,
                f"Nothing was done: more than {limit} are selected. Go page by page, which is up "
                f"to {self.list_per_page} at a time, or filter the list first.",
            )
            return []
        return as_records(self.model, documents)

    def address(self, page: str, *args: Any) -> str:
        """Return the address of a page of this model: `change`, `changelist`, `add` or its own."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=args)
