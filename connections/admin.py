"""Connections in the admin: how each is reached, how its last test went, and a test at hand."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, ClassVar

from bson import ObjectId
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from audit.admin import AuditedHistory
from common.admin.actions import add_report
from common.admin.badges import BAD, GOOD, QUIET, age, badge
from common.admin.fields import state_of
from common.admin.forms import SecretHolderForm
from common.admin.model_admin import DocumentAdmin
from common.admin.records import note_users, users_link
from common.context import client_address
from common.documents import store
from common.documents.store import Stored
from common.exceptions import ServiceError
from connections.checkup import check_all
from connections.models import Connection, ConnectionCheck, TestStatus
from connections.refusals import as_refusals
from sources.probe import probe

TESTS_AT_ONCE = 20
"""So a page of a hundred that all stay silent takes about 23 s."""
CHECKS = 30
TONES: dict[str, str] = {TestStatus.SUCCESS: GOOD, TestStatus.FAILED: BAD}


class ConnectionForm(SecretHolderForm):
    class Meta:
        labels: ClassVar = {
            "db_type": "Kind of database",
            "ssl_mode": "Mode",
            "ssl_ca": "CA certificate",
            "ssl_cert": "Client certificate",
            "ssl_key": "Client key",
            "ssh_host": "Host",
            "ssh_port": "Port",
            "ssh_username": "Username",
            "ssh_password": "Password",
            "ssh_private_key": "Private key",
            "ssh_host_key": "Host key",
        }
        help_texts: ClassVar = {
            "port": "Empty: the usual one of its kind.",
            "ssl_ca": "PEM text.",
            "ssl_cert": "PEM text; comes with its key.",
            "ssh_host_key": "As in known_hosts: ssh-ed25519 AAAA…",
        }


class LastTestFilter(admin.SimpleListFilter):
    """How the last test went, or that there was none."""

    title = "last test"
    parameter_name = "last_test"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            *((str(value), str(value)) for value in TestStatus.values),
            ("never", "never tested"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Connection]
    ) -> models.QuerySet[Connection]:
        if self.value() == "never":
            return queryset.filter(last_test_status=None)
        return queryset.filter(last_test_status=self.value()) if self.value() else queryset


@admin.register(Connection)
class ConnectionAdmin(AuditedHistory, DocumentAdmin):
    form = ConnectionForm
    list_display = ("name", "source", "last_test", "password_state", "mappings", "changed")
    list_filter = (LastTestFilter, "db_type")
    search_fields = ("name", "host", "database", "username")
    actions = ("test_selected", "delete_selected")
    readonly_fields = ("mappings", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "db_type", "host", "port", "database")}),
        ("Account", {"fields": ("username", "password", "secrets_from")}),
        (
            "Encryption",
            {
                "fields": ("ssl_mode", "ssl_ca", "ssl_cert", "ssl_key"),
                "classes": ["collapse"],
            },
        ),
        (
            "SSH tunnel",
            {
                "fields": (
                    "ssh_host",
                    "ssh_port",
                    "ssh_username",
                    "ssh_password",
                    "ssh_private_key",
                    "ssh_host_key",
                ),
                "classes": ["collapse"],
            },
        ),
        ("History", {"fields": ("mappings", "created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def get_urls(self) -> list[Any]:
        test = self.admin_site.admin_view(require_POST(self.test_view))
        return [path("test/", test, name="connections_connection_test"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        connection: Any = self.get_object(request, object_id)
        context = {"tested": connection, **(extra_context or {})}
        context["last_test"] = self.last_test(connection) if connection else ""
        if connection:
            context["health"] = health_of(connection.pk)
        return super().change_view(request, object_id, form_url, context)

    # --- Columns ---------------------------------------------------------------------------------

    def prefetch(self, records: Sequence[Any]) -> None:
        note_users(records, Connection, "mappings")

    @admin.display(description="Source", ordering="host")
    def source(self, obj: Connection) -> SafeString:
        return format_html(
            '{} <span class="etl-quiet etl-long">{}:{}/<wbr>{}</span>',
            obj.get_db_type_display(), obj.host, obj.port, obj.database,
        )  # fmt: skip

    @admin.display(description="Last test", ordering="last_tested_at")
    def last_test(self, obj: Connection) -> SafeString:
        if not obj.last_test_status:
            return badge("never tested", QUIET)
        status = badge(obj.last_test_status, TONES.get(obj.last_test_status, QUIET))
        return format_html("{} {}", status, age(obj.last_tested_at))

    @admin.display(description="Password")
    def password_state(self, obj: Connection) -> SafeString:
        if "password" in obj.references:
            return badge("elsewhere", QUIET)
        state = state_of(obj.password)
        if state == "unreadable":
            return badge(state, BAD, "No configured key opens it: enter a new one, or delete it.")
        return badge(state, QUIET)

    @admin.display(description="Mappings")
    def mappings(self, obj: Connection) -> SafeString:
        return users_link(obj, "mappings")

    # --- Tests -----------------------------------------------------------------------------------

    @admin.action(permissions=["change"], description="Test the selected")
    def test_selected(self, request: HttpRequest, queryset: models.QuerySet[Connection]) -> None:
        selected = self.selected(request, queryset, self.list_per_page)
        if not selected:
            return
        checks = list(check_all(selected, settings.PROBE_TIMEOUT_S, TESTS_AT_ONCE))
        failed = [f'"{c.connection}": {c.sentence}' for c in checks if not c.answered]
        noun = "connection" if len(checks) == 1 else "connections"
        answered = f"{len(checks) - len(failed)} of {len(checks)} {noun} answered"
        add_report(request, answered, failed)

    def test_view(self, request: HttpRequest) -> HttpResponse:
        """Test the connection as the form has it; the stored one's test is noted on it."""
        record = self.get_object(request, request.GET.get("id", ""))
        allowed = self.has_change_permission if record else self.has_add_permission
        if not (allowed(request, record) if record else allowed(request)):
            raise PermissionDenied
        form = self.get_form(request, record, change=record is not None)(
            request.POST, instance=record
        )
        return render(request, "connections/admin/test.html", self._tested(form))

    def _tested(self, form: Any) -> dict[str, Any]:
        form.is_valid()
        errors = {
            form.fields[name].label or name: sentences
            for name, sentences in form.errors.items()
            if name not in ("name", "version", "__all__")
        }
        if errors:
            return {"errors": errors}
        connection: Connection = form.instance
        is_stored = connection.is_stored and set(form.changed_data) <= {"name", "version"}
        try:
            with as_refusals():
                result = probe(connection.params(), settings.PROBE_TIMEOUT_S, client_address())
        except ServiceError as refusal:
            return {"refusal": refusal.detail}
        if is_stored:
            connection.record_test(result.message, result.details.get("error_code"))
        return {"result": result, "is_stored": is_stored}


def health_of(identifier: ObjectId) -> dict[str, Any]:
    """Return the last checks of a connection, oldest first, as cells of a strip, and their sum."""
    order = [("at", -1), ("_id", -1)]
    found = list(
        store.find(ConnectionCheck, {"connection_id": identifier}, sort=order, limit=CHECKS)
    )
    if not found:
        return {"is_checked": settings.CONNECTION_CHECK_EVERY_S > 0}
    latencies = [one["latency_ms"] for one in found if one["success"] and one["latency_ms"]]
    return {
        "cells": [_cell(one) for one in reversed(found)],
        "count": len(found),
        "answered": sum(one["success"] for one in found),
        "typical": _ms(median(latencies)) if latencies else None,
        "newest": age(found[0]["at"]),
    }


def _cell(check: Stored) -> SafeString:
    moment = f"{check['at']:%Y-%m-%d %H:%M:%S} UTC"
    if not check["success"]:
        code = check["error_code"] or "failed"
        return badge(code.replace("_", " "), BAD, f"failed, {moment}")
    latency = check["latency_ms"]
    return badge("up" if latency is None else _ms(latency), GOOD, f"success, {moment}")


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"
