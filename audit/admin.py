"""The history of a record in the admin: what the audit says of it, before and after."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from bson import ObjectId
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from audit import entries
from audit.models import Entry
from common.documents import store
from common.documents.trail import SECRET

MOST_SHOWN = 100
_Base: Any = object


class FieldChange(NamedTuple):
    """A field's value before and after as text, "" for what was not; both "" for a secret."""

    field: str
    before: str
    after: str
    is_secret: bool = False


class AuditedHistory(_Base):
    """Puts the audit in the place of Django's own log: `class SomeAdmin(AuditedHistory, …)`."""

    def log_addition(self, *args: Any) -> None:
        """The audit has it."""

    def log_change(self, *args: Any) -> None:
        """The audit has it."""

    def log_deletions(self, *args: Any) -> None:
        """The audit has it."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Show the newest entries of a record, also of one that is gone."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if not ObjectId.is_valid(object_id):
            raise Http404
        record = self.get_object(request, object_id)
        found = history_of(ObjectId(object_id))
        if record is None and not found:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {record or found[0]['name']}",
            "subtitle": None,
            "entries": found[:MOST_SHOWN],
            "has_more": len(found) > MOST_SHOWN,
            "opts": self.opts,
            "object": record,
            "module_name": str(self.opts.verbose_name_plural),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "audit/history.html", context)


def history_of(record_id: ObjectId) -> list[dict[str, Any]]:
    """Return the newest entries of a record, and of the set that hangs on it."""
    found = store.collection(Entry).find(
        {"record_id": record_id}, sort=[("at", -1), ("_id", -1)], limit=MOST_SHOWN + 1
    )
    return [
        {**document, "fields": fields(document), "is_sealed": document["seq"] is not None}
        for document in found
    ]


def fields(document: dict[str, Any]) -> list[FieldChange]:
    changes = entries.show(document)["changes"] or {}
    return [
        FieldChange(name, "", "", is_secret=True)
        if change == SECRET
        else FieldChange(name, text(change[0]), text(change[1]))
        for name, change in changes.items()
    ]


def text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
