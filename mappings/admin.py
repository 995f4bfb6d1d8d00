"""Mappings in the admin: what is read and what it becomes, its rules as rows and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bson import ObjectId
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST
from rest_framework.exceptions import APIException
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from common.admin.badges import BAD, GOOD, QUIET, WARN, badge, link
from common.admin.base import DocumentAdmin, attempt, count_uses, documents_of, uses_link
from common.admin.forms import MONO, TEXTAREA, DocumentForm, LinesField
from common.api.problems import translated
from common.documents import store
from common.documents.store import Stored
from common.exceptions import ServiceError
from connections.models import Connection
from mappings import rules
from mappings.copying import copy_mapping
from mappings.models import ColumnMapping, Mapping, RuleConfig, texts
from mappings.picture import Rule, draw, visible
from mappings.preview import preview
from mappings.rule_forms import LoneRuleForm, RuleForm, RulesFormSet
from schemas.models import Schema

PREVIEW_ROWS = 50
MOST_COPIED = 20


class RuleInline(TabularInline):
    model = ColumnMapping
    form = RuleForm
    formset = RulesFormSet
    fields = ("version", "type", "source_columns", "target_fields", "option")
    verbose_name = "rule"
    verbose_name_plural = "Column mappings"
    hide_title = True
    extra = 0
    max_num = 1000

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1


class MappingForm(DocumentForm):
    source_query = LinesField(
        max_length=100_000,
        widget=forms.Textarea({"rows": 8, "class": f"{TEXTAREA} {MONO}", "spellcheck": "false"}),
        help_text="One statement that only reads.",
    )


@admin.register(Mapping)
class MappingAdmin(DocumentAdmin):
    form = MappingForm
    inlines = (RuleInline,)
    list_display = ("name", "source", "target", "mapped", "schedules", "changed")
    list_filter = (
        ("source_connection", AutocompleteSelectFilter),
        ("target_schema", AutocompleteSelectFilter),
    )
    search_fields = ("name", "description")
    autocomplete_fields = ("source_connection", "target_schema")
    actions = ("copy_chosen", "delete_selected")
    readonly_fields = ("schedules", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "description")}),
        ("Source", {"fields": ("source_connection", "source_query")}),
        ("Target", {"fields": ("target_schema",)}),
        ("History", {"fields": ("schedules", "created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def get_urls(self) -> list[Any]:
        preview = self.admin_site.admin_view(require_POST(self.preview_view))
        return [path("preview/", preview, name="mappings_mapping_preview"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        picture = picture_of(object_id) if ObjectId.is_valid(object_id) else ""
        context = {"picture": picture, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save()

    # --- Columns ---------------------------------------------------------------------------------

    def prepare_page(self, page: Sequence[Any]) -> None:
        identifiers = [mapping.pk for mapping in page]
        sources = documents_of(Connection, (m.source_connection_id for m in page), "name")
        schemas = documents_of(Schema, (m.target_schema_id for m in page), "name", "columns")
        written = written_by(identifiers)
        for mapping in page:
            source = sources.get(mapping.source_connection_id)
            schema = schemas.get(mapping.target_schema_id)
            mapping.shown_source = Connection.from_document(source) if source else None
            mapping.shown_target = Schema.from_document(schema) if schema else None
            mapping.rule_count, mapping.written_count = written.get(mapping.pk, (0, 0))
        count_uses(page, Mapping, "schedules")

    @admin.display(description="Source")
    def source(self, obj: Any) -> SafeString:
        return link(obj.shown_source) if obj.shown_source else badge("missing", BAD)

    @admin.display(description="Target")
    def target(self, obj: Any) -> SafeString:
        return link(obj.shown_target) if obj.shown_target else badge("missing", BAD)

    @admin.display(description="Mapped fields")
    def mapped(self, obj: Any) -> SafeString:
        if not obj.rule_count:
            return badge("no column mappings", WARN)
        total = len(obj.shown_target.columns or []) if obj.shown_target else 0
        tone = GOOD if obj.written_count >= total else QUIET
        return badge(f"{obj.written_count} of {total}", tone, f"by {obj.rule_count} rules")

    @admin.display(description="Schedules")
    def schedules(self, obj: Any) -> SafeString:
        return uses_link(obj, "schedules")

    # --- Actions ---------------------------------------------------------------------------------

    @admin.action(permissions=["add"], description="Copy the chosen, with their rules")
    def copy_chosen(self, request: HttpRequest, queryset: models.QuerySet[Mapping]) -> None:
        copies: list[Mapping] = []
        outcomes = [
            (str(mapping), attempt(lambda one: copies.append(copy_mapping(one)), mapping))
            for mapping in self.chosen(request, queryset, MOST_COPIED)
        ]
        if outcomes:
            self.report(request, "copied", outcomes)
        if copies:
            links = format_html_join(", ", "{}", ((link(one),) for one in copies))
            messages.info(request, format_html("Made {}.", links))

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Run the query as the form has it; the answer is a table, or the sentence that refuses."""
        if not (self.has_change_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        return render(request, "mappings/admin/preview.html", previewed(request))


def previewed(request: HttpRequest) -> dict[str, Any]:
    if not request.POST.get("source_connection"):
        return {"refusal": "Choose a source connection first."}
    query = {
        "source_connection_id": request.POST["source_connection"],
        "source_query": request.POST.get("source_query", ""),
        "limit": PREVIEW_ROWS,
    }
    try:
        found = preview(query)
    except (ServiceError, APIException) as raised:
        refusal = translated(raised)
        return {"refusal": " ".join(e["message"] for e in refusal.errors) or refusal.detail}
    heads = list(zip(found.columns, found.column_types, strict=True))
    return {"preview": found, "heads": heads, "rows": [cells(row) for row in found.rows]}


def cells(row: Iterable[Any]) -> list[dict[str, Any]]:
    """Return how a preview's values look: numbers to the right, null unlike any text."""
    return [
        {"text": shown(value), "is_null": value is None, "is_number": is_number(value)}
        for value in row
    ]


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def written_by(identifiers: list[ObjectId]) -> dict[ObjectId, tuple[int, int]]:
    """Return how many rules each mapping has, and how many fields they write."""
    size = {"$cond": [{"$isArray": "$target_fields"}, {"$size": "$target_fields"}, 0]}
    pipeline: list[Stored] = [
        {"$match": {"mapping_id": {"$in": identifiers}}},
        {"$group": {"_id": "$mapping_id", "rules": {"$sum": 1}, "fields": {"$sum": size}}},
    ]
    found = store.collection(ColumnMapping).aggregate(pipeline)
    return {row["_id"]: (row["rules"], row["fields"]) for row in found}


def picture_of(object_id: str) -> str:
    """Return the picture of a stored mapping, nothing where there is none."""
    found = store.collection(Mapping).find_one({"_id": ObjectId(object_id)})
    if found is None:
        return ""
    schemas = documents_of(Schema, [found.get("target_schema_id")], "columns")
    columns = [c for schema in schemas.values() for c in schema.get("columns") or []]
    fields = {str(c.get("name")): str(c.get("data_type")) for c in columns if isinstance(c, dict)}
    drawn = [drawable(rule) for rule in rules.in_order(found["_id"])]
    return mark_safe(draw(drawn, fields))  # noqa: S308 - the picture escapes every text


def drawable(rule: ColumnMapping) -> Rule:
    config = rule.config or RuleConfig()
    option = config.delimiter if config.delimiter is not None else config.separator
    return Rule(rule.type, texts(rule.source_columns), texts(rule.target_fields), option)


class OfMapping(DocumentAdmin):
    """What belongs to a mapping shows which: one query a page."""

    def prepare_page(self, page: Sequence[Any]) -> None:
        mappings = documents_of(Mapping, (record.mapping_id for record in page), "name")
        for record in page:
            found = mappings.get(record.mapping_id)
            record.shown_mapping = Mapping.from_document(found) if found else None

    @admin.display(description="Mapping")
    def of_mapping(self, obj: Any) -> SafeString:
        if not hasattr(obj, "shown_mapping"):
            self.prepare_page([obj])
        return link(obj.shown_mapping) if obj.shown_mapping else badge("missing", BAD)


@admin.register(ColumnMapping)
class ColumnMappingAdmin(OfMapping):
    """Every rule there is, to be searched; rules are added on the page of their mapping."""

    form = LoneRuleForm
    list_display = ("rule", "kind", "of_mapping", "changed")
    # Not by type: each is a third of all rules, and no index would be worth its writes.
    list_filter = (("mapping", AutocompleteSelectFilter),)
    ordering = ("-updated_at", "-id")
    search_fields = ("source_columns", "target_fields")
    readonly_fields = ("of_mapping", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("of_mapping", "type", "source_columns", "target_fields", "option")}),
        ("History", {"fields": ("created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Rule")
    def rule(self, obj: ColumnMapping) -> SafeString:
        sources, targets = (
            ", ".join(texts(names)) for names in (obj.source_columns, obj.target_fields)
        )
        return format_html('<span class="etl-mono">{} → {}</span>', sources, targets)

    @admin.display(description="Type", ordering="type")
    def kind(self, obj: ColumnMapping) -> SafeString:
        option = drawable(obj).option
        return badge(f"{obj.type} {visible(option)}" if option else obj.type, QUIET)
