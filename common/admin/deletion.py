"""Deleting records: pages that say what it would mean, and a note of what was deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from common.admin.actions import do_each, is_outage, report
from common.admin.lists import ListAdmin
from common.admin.records import count_users
from common.documents.models import Document, target
from common.exceptions import InUse, ServiceError

MAX_LISTED = 20
"""Records that the page which asks whether to delete them lists by name."""


@dataclass
class Deletion:
    """A record to be deleted: what goes with it, and what keeps it from being deleted."""

    record: Document
    dependents: list[str] = field(default_factory=list)
    refusal: str = ""

    def __str__(self) -> str:
        more = f", and with it {' and '.join(self.dependents)}" if self.dependents else ""
        return f'"{self.record}"{more}'


def deletions_of(records: Sequence[Any]) -> list[Deletion]:
    """Return what deleting each of some records of one model would mean."""
    found = {record.pk: Deletion(record) for record in records}
    for relation, users in _users(records):
        used = [found[identifier] for identifier in found if identifier in users]
        for number, deletion in enumerate(used):
            if relation.on_delete is models.PROTECT:
                deletion.refusal = _refusal(deletion.record, names_users=number < MAX_LISTED)
            else:
                deletion.dependents.append(_counted(relation, users[deletion.record.pk]))
    return list(found.values())


def _users(records: Sequence[Any]) -> Iterator[tuple[Any, dict[ObjectId, int]]]:
    identifiers = [record.pk for record in records]
    for relation in records[0]._meta.related_objects if records else ():
        yield relation, count_users(relation, identifiers)


def _refusal(record: Document, names_users: bool) -> str:
    """Return why a record in use stays; it takes a look at the store to name its users."""
    if not names_users:
        return f'"{record}" is in use.'
    try:
        record.refuse_if_used()
    except InUse as refusal:
        return refusal.detail
    return ""


def _counted(relation: Any, count: int) -> str:
    meta = target(relation)._meta
    return f"{count} {meta.verbose_name if count == 1 else meta.verbose_name_plural}"


def limited(texts: list[str]) -> list[str]:
    """Return the first texts of many, and how many more there are."""
    more = len(texts) - MAX_LISTED
    return [*texts[:MAX_LISTED], f"… and {more} more"] if more > 0 else texts


class DeletionAdmin(ListAdmin):
    """Deletes by the rules of the records, one or those selected in the list."""

    actions: tuple[str, ...] = ("delete_selected",)
    delete_confirmation_template = "common/admin/delete_confirmation.html"
    delete_selected_confirmation_template = "common/admin/delete_selected_confirmation.html"

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what would go, how many, what the person may not, and what keeps some."""
        deletions = deletions_of(list(objs))
        going = [str(deletion) for deletion in deletions if not deletion.refusal]
        kept = [deletion.refusal for deletion in deletions if deletion.refusal]
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return limited(going), {str(self.opts.verbose_name_plural): len(going)}, lacking, kept

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ServiceError as refusal:
            if is_outage(refusal):
                raise
            messages.error(request, refusal.detail)
            return redirect(self.address("change", object_id))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Leave it to `delete_model`: Django asks for the entry before the record is gone."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.delete()
        super().log_deletions(request, [obj])

    @admin.action(permissions=["delete"], description="Delete the selected")
    def delete_selected(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponseBase | None:
        selected = self.selected(request, queryset)
        if not selected:
            return None
        if not request.POST.get("post"):
            return self.deletion_page(request, selected)
        outcomes = do_each(selected, lambda record: self.delete_model(request, record))
        report(request, "deleted", outcomes)
        return None

    def deletion_page(self, request: HttpRequest, selected: list[Any]) -> HttpResponse:
        going, count, lacking, kept = self.get_deleted_objects(selected, request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Delete",
            "objects_name": str(self.opts.verbose_name_plural),
            "deletable_objects": going,
            "count": sum(count.values()),
            "queryset": selected,
            "perms_lacking": lacking,
            "protected": limited(kept),
            "opts": self.opts,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.delete_selected_confirmation_template, context)
