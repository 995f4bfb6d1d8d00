"""Targets in the admin: where each leads, and how its last test went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.utils.safestring import SafeString

from audit.admin import AuditedHistory
from common.admin.badges import BAD, GOOD, QUIET, badge
from common.admin.forms import SecretHolderForm
from common.admin.model_admin import DocumentAdmin
from common.admin.records import note_users, users_link
from common.documents import store
from common.exceptions import ServiceError
from connections.models import Connection, TestStatus
from targets.models import Target
from targets.trial import try_target

TONES: dict[str, str] = {TestStatus.SUCCESS: GOOD, TestStatus.FAILED: BAD}


class TargetForm(SecretHolderForm):
    class Meta:
        labels: ClassVar = {"uri": "Address", "db_schema": "Schema of the database"}
        help_texts: ClassVar = {
            "uri": "Of Delta tables: a path below DATA_DIR or LAKE_DIRS, s3://, gs:// or az://.",
            "connection": "Of a database: its account must be able to write.",
            "db_schema": "PostgreSQL alone; empty: public.",
            "credentials": 'JSON, such as {"AWS_ACCESS_KEY_ID": "…"}.',
        }


@admin.register(Target)
class TargetAdmin(AuditedHistory, DocumentAdmin):
    form = TargetForm
    list_display = ("name", "kind", "place", "last_test", "mappings", "changed")
    list_filter = ("kind",)
    search_fields = ("name", "uri")
    autocomplete_fields = ("connection",)
    actions = ("test_selected", "delete_selected")
    readonly_fields = ("mappings", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "kind")}),
        ("Delta tables", {"fields": ("uri", "credentials", "secrets_from")}),
        ("Database", {"fields": ("connection", "db_schema")}),
        ("History", {"fields": ("mappings", "created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def prefetch(self, records: Sequence[Any]) -> None:
        found = store.documents_of(Connection, (one.connection_id for one in records), "name")
        for record in records:
            record.connection_name = found.get(record.connection_id, {}).get("name", "")
        note_users(records, Target, "mappings")

    @admin.display(description="Place")
    def place(self, obj: Any) -> str:
        return str(obj.uri or obj.connection_name or "")

    @admin.display(description="Last test")
    def last_test(self, obj: Any) -> SafeString:
        status = obj.last_test_status
        return badge(status or "never tested", TONES.get(status, QUIET))

    @admin.display(description="Mappings")
    def mappings(self, obj: Any) -> SafeString:
        return users_link(obj, "mappings")

    @admin.action(permissions=["change"], description="Test the selected")
    def test_selected(self, request: HttpRequest, queryset: models.QuerySet[Target]) -> None:
        for target in self.selected(request, queryset, 20):
            try:
                result = try_target(target)
            except ServiceError as refusal:
                messages.error(request, f"{target}: {refusal.detail}")
                continue
            target.record_test(result["message"], result["details"].get("error_code"))
            tell = messages.success if result["success"] else messages.error
            tell(request, f"{target}: {result['message']}")
