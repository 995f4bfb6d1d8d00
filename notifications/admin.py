"""Notifications in the admin: who is told, how the last message went, and a test at hand."""

from __future__ import annotations

from typing import Any, ClassVar

from bson import ObjectId
from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import pluralize
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2MultipleWidget,
)

from audit.admin import AuditedHistory
from common.admin.actions import add_report
from common.admin.badges import BAD, GOOD, QUIET, WARN, age, badge
from common.admin.forms import SecretHolderForm
from common.admin.model_admin import DocumentAdmin
from common.admin.permissions import may
from common.documents import store
from common.exceptions import ServiceError
from mappings.models import Mapping
from notifications.models import EVENTS, Delivery, DeliveryStatus, Notification
from notifications.trial import try_notification

TONES: dict[str, str] = {
    DeliveryStatus.DELIVERED: GOOD,
    DeliveryStatus.PENDING: WARN,
    DeliveryStatus.FAILED: BAD,
}
SHOWN = 30
TESTS = 5
"""So a page of them all that stay silent takes less than a minute."""


class NotificationForm(SecretHolderForm):
    events = forms.MultipleChoiceField(
        choices=[(event, event.replace("_", " ")) for event in EVENTS],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    mapping_ids = forms.MultipleChoiceField(
        label="Mappings",
        required=False,
        help_text="None chosen: all of them.",
        widget=UnfoldAdminSelect2MultipleWidget,
    )

    class Meta:
        labels: ClassVar = {"url": "Address"}
        help_texts: ClassVar = {
            "url": "https://hooks.example.com/etl, mailto:ops@example.com, or an address of "
            "Apprise such as slack://TOKEN_A/TOKEN_B/TOKEN_C.",
            "secret": "Signs the messages of a webhook.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._choose("events", [(event, event.replace("_", " ")) for event in EVENTS])
        found = store.find(Mapping, {}, {"name": 1}, sort=[("name", 1)])
        self._choose("mapping_ids", [(str(one["_id"]), str(one.get("name"))) for one in found])

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        """Offer choices, and what is stored beside them: such as a mapping that is gone."""
        if name not in self.fields:
            return
        stored = [str(one) for one in self.initial.get(name) or ()]
        self.initial[name] = stored
        known = {value for value, _ in choices}
        field: Any = self.fields[name]
        field.choices = choices + [(one, one) for one in stored if one not in known]

    def clean_mapping_ids(self) -> list[ObjectId] | None:
        return [ObjectId(one) for one in self.cleaned_data["mapping_ids"]] or None


@admin.register(Notification)
class NotificationAdmin(AuditedHistory, DocumentAdmin):
    form = NotificationForm
    list_display = ("name", "kind", "place", "told_of", "is_on", "last_delivery", "changed")
    list_filter = ("kind", "enabled")
    search_fields = ("name",)
    actions = ("test_selected", "delete_selected")
    readonly_fields = ("created_at", "updated_at")
    change_form_template = "notifications/admin/change_form.html"
    fieldsets = (
        (None, {"fields": ("name", "kind", "url", "secret", "secrets_from", "enabled")}),
        ("What is told", {"fields": ("events", "mapping_ids")}),
        ("History", {"fields": ("created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def get_urls(self) -> list[Any]:
        test = self.admin_site.admin_view(require_POST(self.test_view))
        address = path("<str:object_id>/test/", test, name="notifications_notification_test")
        return [address, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        sees = may(request, "notifications.list_delivery") and ObjectId.is_valid(object_id)
        context = {
            "deliveries": deliveries_of(ObjectId(object_id)) if sees else [],
            "may_test": self.has_test_permission(request),
        }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def has_test_permission(self, request: HttpRequest) -> bool:
        return may(request, "notifications.probe_saved_notification")

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a test as the notification is stored, and show how it went."""
        if not self.has_test_permission(request):
            raise PermissionDenied
        record: Any = self.get_object(request, object_id)
        if record is None:
            raise Http404
        context: dict[str, Any] = {}
        try:
            context["result"] = try_notification(record)
        except ServiceError as refusal:
            if refusal.status == 503:
                raise
            context["refusal"] = refusal.detail
        context["deliveries"] = deliveries_of(record.pk)
        return render(request, "notifications/admin/deliveries.html", context)

    # --- Columns ----------------------------------------------------------------------------------

    @admin.display(description="Place")
    def place(self, obj: Notification) -> str:
        return obj.url_shown or "elsewhere"

    @admin.display(description="Told of")
    def told_of(self, obj: Notification) -> str:
        count = len(obj.mapping_ids or ())
        of = "" if obj.mapping_ids is None else f", {count} mapping{pluralize(count)}"
        return ", ".join(event.replace("_", " ") for event in obj.events or ()) + of

    @admin.display(description="Enabled", boolean=True, ordering="enabled")
    def is_on(self, obj: Notification) -> bool:
        return obj.enabled

    @admin.display(description="Last delivery")
    def last_delivery(self, obj: Notification) -> SafeString:
        status = obj.last_delivery_status
        if not status:
            return badge("nothing sent", QUIET)
        return format_html(
            "{} {}", badge(status, TONES.get(status, QUIET)), age(obj.last_delivery_at)
        )

    @admin.action(permissions=["test"], description="Send a test to the selected")
    def test_selected(self, request: HttpRequest, queryset: models.QuerySet[Notification]) -> None:
        selected = self.selected(request, queryset, TESTS)
        failed = []
        for notification in selected:
            try:
                result = try_notification(notification)
            except ServiceError as refusal:
                failed.append(f'"{notification}": {refusal.detail}')
                continue
            if not result["success"]:
                failed.append(f'"{notification}": {result["message"]}')
        if selected:
            reached = f"{len(selected) - len(failed)} of {len(selected)} tests were delivered"
            add_report(request, reached, failed)


def deliveries_of(identifier: ObjectId) -> list[dict[str, Any]]:
    """Return the newest deliveries, as the page shows them."""
    found = store.find(
        Delivery, {"notification_id": identifier}, sort=[("at", -1), ("_id", -1)], limit=SHOWN
    )
    return [
        one
        | {"badge": badge(one["status"], TONES.get(one["status"], QUIET)), "age": age(one["at"])}
        for one in found
    ]
