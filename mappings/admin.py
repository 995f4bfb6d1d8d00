"""Mappings in the admin: what is read, and its column mappings as rows and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

from bson import ObjectId
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from audit.admin import AuditedHistory
from common.admin.actions import do_each, report
from common.admin.badges import BAD, GOOD, QUIET, WARN, badge, link
from common.admin.conflicts import Difference
from common.admin.fields import MONO, TEXTAREA, LinesField, NamesField
from common.admin.forms import DocumentForm, version_of, version_of_all
from common.admin.model_admin import DocumentAdmin
from common.admin.permissions import may
from common.admin.records import (
    note_users,
    record_of,
    totals_by_reference,
    users_link,
)
from common.api.problems import translated
from common.documents import store, writes
from common.documents.models import RuleErrors
from common.exceptions import ServiceError
from connections.models import Connection
from mappings import dryrun, lineage_pages, posted, proof, rules, source, verify
from mappings.copying import copy_mapping
from mappings.dry_run_table import ROWS, dry_run_context
from mappings.models import (
    ColumnMapping,
    Mapping,
    RuleConfig,
    Verification,
    VerificationStatus,
    texts,
)
from mappings.picture import NARROW, WIDE, Rule, draw, visible
from mappings.preview_table import preview_context
from mappings.proof import Proof
from mappings.rule_forms import LoneRuleForm, RuleForm, RulesFormSet
from schemas.evolution import stored_columns
from schemas.models import Schema


class RuleInline(TabularInline):
    model = ColumnMapping
    form = RuleForm
    formset = RulesFormSet
    fields = (
        "version",
        "type",
        "source_columns",
        "target_fields",
        "option",
        "overflow",
        "problems",
    )
    readonly_fields = ("problems",)
    verbose_name = "column mapping"
    verbose_name_plural = "Column mappings"
    hide_title = True
    extra = 0
    max_num = rules.MAX_RULES

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    @admin.display(description="Problems")
    def problems(self, obj: Any) -> SafeString:
        """Return what the last verification said of a rule; the page's script adds a dry run's."""
        told = format_html_join("", "<li>{}</li>", ((one,) for one in getattr(obj, "told", ())))
        return format_html('<ul class="etl-problems" data-rule="{}">{}</ul>', obj.pk or "", told)


class MappingForm(DocumentForm):
    instance: Mapping

    source_query = LinesField(
        max_length=100_000,
        widget=forms.Textarea({"rows": 8, "class": f"{TEXTAREA} {MONO}", "spellcheck": "false"}),
        help_text="One statement that only reads.",
    )
    key_fields = NamesField(required=False, help_text="Of an upsert: what makes two rows the same.")

    class Meta:
        help_texts: ClassVar = {
            "target": "Empty: the service's own folder of Delta tables.",
            "target_table": "Empty: the name of the schema.",
        }

    class Media:
        css: ClassVar = {"all": ["mappings/workbench.css"]}
        js: ClassVar = [
            "django_ace/ace/ace.js",
            "django_ace/ace/mode-sql.js",
            "django_ace/ace/theme-sqlserver.js",
            "django_ace/ace/theme-tomorrow_night.js",
            "django_ace/ace/ext-language_tools.js",
            "mappings/workbench.js",
        ]

    def clean(self) -> dict[str, Any] | None:
        if f"{posted.PREFIX}-TOTAL_FORMS" in self.data:
            rows = posted.rules(cast("QueryDict", self.data))
            self.instance.writes = {name for _, rule in rows for name in rule["target_fields"]}
        return super().clean()

    @property
    def page_version(self) -> str:
        stored = rules.in_order(self.instance.pk) if self.instance.is_stored else []
        return version_of_all([self.stored_version, *map(version_of, stored)])


@admin.register(Mapping)
class MappingAdmin(AuditedHistory, DocumentAdmin):
    form = MappingForm
    inlines = (RuleInline,)
    list_display = ("name", "source", "schema", "mapped", "proven", "schedules", "changed")
    list_filter = (
        ("source_connection", AutocompleteSelectFilter),
        ("target_schema", AutocompleteSelectFilter),
    )
    search_fields = ("name", "description")
    autocomplete_fields = ("source_connection", "target_schema", "target")
    actions = ("copy_selected", "delete_selected")
    readonly_fields = ("schedules", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "description")}),
        ("Source", {"fields": ("source_connection", "source_query")}),
        ("Target", {"fields": ("target_schema", "target", "target_table", "write_mode")}),
        (
            "How rows are read and written",
            {
                "fields": (
                    "key_fields",
                    "cursor_column",
                    "cursor_lag_s",
                    "max_rejected",
                    "split_column",
                    "engine",
                ),
                "classes": ["collapse"],
            },
        ),
        ("History", {"fields": ("schedules", "created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        posts: dict[str, Callable[..., HttpResponse]] = {
            "preview/": self.preview_view,
            "dry-run/": self.dry_run_view,
            "picture/": self.picture_view,
            "<str:object_id>/verify/": self.verify_view,
        }
        return [
            path(
                address,
                view(require_POST(posted_to)),
                name="mappings_mapping_" + address.split("/")[-2].replace("-", "_"),
            )
            for address, posted_to in posts.items()
        ] + [
            path(
                "<str:object_id>/lineage/",
                view(self.lineage_view),
                name="mappings_mapping_lineage",
            ),
            path(
                "lineage/schema/<str:object_id>/",
                view(self.lineage_into_view),
                name="mappings_lineage_schema",
            ),
            path(
                "lineage/connection/<str:object_id>/",
                view(self.lineage_out_view),
                name="mappings_lineage_connection",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        mapping = record_of(Mapping, object_id)
        context: dict[str, Any] = {}
        if mapping is not None:
            context = {
                "picture": picture_of(mapping),
                "columns": columns_of(mapping),
                "verification_badge": verification_badge(mapping.verification),
                "may_verify": may(request, "mappings.verify_mapping"),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        tell_unproven(context)
        record = context["original"]
        may_write = (
            self.has_change_permission(request, record)
            if record
            else self.has_add_permission(request)
        )
        context |= {
            "may_preview": self.may_preview(request),
            "may_connect": may_write,
            "may_write_schemas": may_write and may(request, "schemas.change_schema"),
            "api": settings.API_V1_PREFIX,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def inline_differences(self, formsets: Sequence[Any]) -> Iterable[Difference]:
        return [found for formset in formsets for found in formset.differences()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Leave it to `save_related`, which writes the mapping and its rules as one step."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        if (
            not change
            or {*proof.ASKED_OF, *FORM_ASKS} & {*form.changed_data}
            or any(formset.has_changed() for formset in formsets)
        ):
            refuse_unproven(form.instance, [rule for one in formsets for rule in one.kept_rules()])
        elif errors := proof.unasked_errors(form.instance):
            raise ValidationError(errors)

        def work() -> None:
            form.instance.save()
            for formset in formsets:
                formset.save()

        writes.transaction(work)

    # --- Columns ---------------------------------------------------------------------------------

    def prefetch(self, records: Sequence[Any]) -> None:
        sources = store.documents_of(
            Connection, (one.source_connection_id for one in records), "name"
        )
        schemas = store.documents_of(
            Schema, (one.target_schema_id for one in records), "name", "columns"
        )
        written = written_fields([mapping.pk for mapping in records])
        for mapping in records:
            source = sources.get(mapping.source_connection_id)
            schema = schemas.get(mapping.target_schema_id)
            mapping.prefetched_source = Connection.from_document(source) if source else None
            mapping.prefetched_target = Schema.from_document(schema) if schema else None
            mapping.rule_count, mapping.written_count = written.get(mapping.pk, (0, 0))
        note_users(records, Mapping, "schedules")

    @admin.display(description="Source")
    def source(self, obj: Any) -> SafeString:
        return link(obj.prefetched_source) if obj.prefetched_source else badge("missing", BAD)

    @admin.display(description="Schema")
    def schema(self, obj: Any) -> SafeString:
        return link(obj.prefetched_target) if obj.prefetched_target else badge("missing", BAD)

    @admin.display(description="Mapped fields")
    def mapped(self, obj: Any) -> SafeString:
        if not obj.rule_count:
            return badge("no column mappings", WARN)
        total = len(obj.prefetched_target.columns or []) if obj.prefetched_target else 0
        tone = GOOD if obj.written_count >= total else QUIET
        title = f"by {obj.rule_count} column mapping{'s' if obj.rule_count > 1 else ''}"
        return badge(f"{obj.written_count} of {total}", tone, title)

    @admin.display(description="Verification")
    def proven(self, obj: Mapping) -> SafeString:
        return verification_badge(obj.verification)

    @admin.display(description="Schedules")
    def schedules(self, obj: Any) -> SafeString:
        return users_link(obj, "schedules")

    # --- Actions ---------------------------------------------------------------------------------

    @admin.action(permissions=["add"], description="Copy the selected, with their column mappings")
    def copy_selected(self, request: HttpRequest, queryset: models.QuerySet[Mapping]) -> None:
        copies: list[Mapping] = []
        selected = self.selected(request, queryset, self.list_per_page)
        outcomes = do_each(selected, lambda mapping: copies.append(copy_mapping(mapping)))
        report(request, "copied", outcomes)
        if copies:
            links = format_html_join(", ", "{}", ((link(one),) for one in copies))
            messages.info(request, format_html("Made {}.", links))

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Run the query as the form has it; the answer is a table, or the sentence that refuses."""
        if not self.may_preview(request):
            raise PermissionDenied
        return render(request, "mappings/admin/preview.html", preview_context(request))

    def dry_run_view(self, request: HttpRequest) -> HttpResponse:
        """Show what rows would become: of the form, or of what is stored where one only reads."""
        if not may(request, "mappings.dry_run_unsaved_mapping"):
            raise PermissionDenied
        stored = record_of(Mapping, request.GET.get("id", ""))
        if stored is not None and "name" not in request.POST:
            asked = {"limit": ROWS, "slot_start": None, "slot_end": None}
            found = dry_run_context(lambda: dryrun.of_stored(stored, asked))
        else:
            body = posted.body(request.POST) | {"limit": ROWS}
            found = dry_run_context(lambda: dryrun.of_body(body))
        return render(request, "mappings/admin/dry_run.html", found)

    def picture_view(self, request: HttpRequest) -> HttpResponse:
        """Draw the column mappings as the form has them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        drawn = [
            Rule(
                one["type"],
                one["source_columns"],
                one["target_fields"],
                one["config"].get("delimiter") or one["config"].get("separator"),
                row,
            )
            for row, one in posted.rules(request.POST)
        ]
        schema_id = request.POST.get("target_schema", "")
        fields = fields_of(ObjectId(schema_id)) if ObjectId.is_valid(schema_id) else {}
        size = NARROW if "narrow" in request.POST else WIDE
        return HttpResponse(draw(drawn, fields, request.POST.getlist("columns"), size))

    def verify_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the source whether the stored mapping can run, and show what it says."""
        if not may(request, "mappings.verify_mapping") or not ObjectId.is_valid(object_id):
            raise PermissionDenied
        context: dict[str, Any] = {"asked": True}
        try:
            found = verify.verify(ObjectId(object_id))
        except ServiceError as refusal:
            if refusal.status == 503:
                raise
            context = {"refusal": translated(refusal).detail}
        else:
            context |= {"verification": found, "verification_badge": verification_badge(found)}
        return render(request, "mappings/admin/problems.html", context)

    # --- Lineage ----------------------------------------------------------------------------------

    def lineage_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show where the fields of a mapping's target come from."""
        return self._lineage_page(request, lambda: lineage_pages.of_mapping(object_id))

    def lineage_into_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what feeds a schema, or one of its columns."""
        column = lineage_pages.given(request, "column")
        return self._lineage_page(request, lambda: lineage_pages.into_schema(object_id, column))

    def lineage_out_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show where a table, or a column, of a source flows to."""
        table, column = (lineage_pages.given(request, name) for name in ("table", "column"))
        return self._lineage_page(
            request, lambda: lineage_pages.out_of_connection(object_id, table, column)
        )

    def _lineage_page(
        self, request: HttpRequest, shown: Callable[[], dict[str, Any]]
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "subtitle": None,
            "opts": self.opts,
            "media": self.media,
            "kinds": LINES,
            **shown(),
        }
        return TemplateResponse(request, "mappings/admin/lineage.html", context)

    def may_preview(self, request: HttpRequest) -> bool:
        """Tell whether a person may read by connections, as the API's preview does."""
        return may(request, "mappings.preview_mapping")


LINES = ("identity", "expression", "aggregate", "window", "unknown")
"""The kinds of lines that a picture of lineage has."""
FORM_ASKS = ("source_connection", "target_schema")
ASKED = ("source_query", *FORM_ASKS)


def refuse_unproven(mapping: Mapping, kept: Sequence[ColumnMapping]) -> None:
    """Ask the source of a mapping that is being saved with these rules; note what it says.

    Raises ValidationError for what the API refuses, too.
    """
    answer = source.ask(mapping.source_connection_id, mapping.source_query)
    proven = proof.prove(mapping, kept, answer)
    if errors := _errors(mapping, kept, proven):
        raise ValidationError(errors)
    proven.note_on(mapping)


def _errors(mapping: Mapping, kept: Sequence[ColumnMapping], proven: Proof) -> RuleErrors:
    errors = proof.mapping_errors(mapping, proven)
    if not errors and (found := proof.new_mismatches(kept, proven)):
        errors = {NON_FIELD_ERRORS: ValidationError(found)}
    return errors


def tell_unproven(context: dict[str, Any]) -> None:
    """Tell on a page that is refused what the source says of it, too: problems of rules in their
    rows.
    """
    form: MappingForm = context["adminform"].form
    formsets: list[RulesFormSet] = [each.formset for each in context["inline_admin_formsets"]]
    is_refused = form.is_bound and (form.errors or any(one.total_error_count() for one in formsets))
    if not is_refused or (not form.refusal and {*ASKED} & {*form.errors}):
        return
    mapping, kept = form.instance, [rule for one in formsets for rule in one.sound_rules()]
    answer = source.ask(mapping.source_connection_id, mapping.source_query)
    proven = proof.prove(mapping, kept, answer)
    for rule, planned in zip(kept, proof.plan_rules(kept), strict=True):
        found = [one.message for one in proven.mismatches if one.rule.id == planned.id]
        rule.told = found  # type: ignore[attr-defined]
    if not form.refusal and (errors := _errors(mapping, kept, proven)):
        form.add_refused(ValidationError(errors))


def written_fields(identifiers: list[ObjectId]) -> dict[ObjectId, tuple[int, int]]:
    """Return how many rules each mapping has, and how many fields they write."""
    size = {"$cond": [{"$isArray": "$target_fields"}, {"$size": "$target_fields"}, 0]}
    found = totals_by_reference(ColumnMapping, "mapping_id", identifiers, fields={"$sum": size})
    return {identifier: (row["count"], row["fields"]) for identifier, row in found.items()}


def picture_of(mapping: Mapping) -> str:
    """Return the picture of a stored mapping."""
    drawn = [drawable(rule) for rule in rules.in_order(mapping.pk)]
    picture = draw(drawn, fields_of(mapping.target_schema_id), columns_of(mapping))
    return mark_safe(picture)  # noqa: S308 - the picture escapes every text


def fields_of(schema_id: Any) -> dict[str, str]:
    """Return the types of a schema's columns, by name."""
    schema = store.find_one(Schema, {"_id": schema_id}, {"columns": 1}) or {}
    return {str(one["name"]): str(one.get("data_type")) for one in stored_columns(schema)}


def columns_of(mapping: Mapping) -> list[str]:
    """Return the columns of a mapping's query, as its source described them last."""
    verification = mapping.verification
    return [str(one.name) for one in (verification.columns if verification else None) or []]


TONES = {
    VerificationStatus.VERIFIED.value: GOOD,
    VerificationStatus.DRIFTED.value: WARN,
    VerificationStatus.BROKEN.value: BAD,
}


def verification_badge(verification: Verification | None) -> SafeString:
    """Return how a mapping was found; hovering shows what is wrong with it."""
    status = verification.status if verification else VerificationStatus.UNVERIFIED.value
    problems = (verification.problems if verification else None) or []
    return badge(status, TONES.get(status, QUIET), " ".join(one.message for one in problems))


def drawable(rule: ColumnMapping) -> Rule:
    config = rule.config or RuleConfig()
    option = config.delimiter if config.delimiter is not None else config.separator
    return Rule(rule.type, texts(rule.source_columns), texts(rule.target_fields), option)


class MappingChildAdmin(AuditedHistory, DocumentAdmin):
    """What belongs to a mapping shows which: one query a page."""

    def prefetch(self, records: Sequence[Any]) -> None:
        mappings = store.documents_of(Mapping, (record.mapping_id for record in records), "name")
        for record in records:
            found = mappings.get(record.mapping_id)
            record.prefetched_mapping = Mapping.from_document(found) if found else None

    @admin.display(description="Mapping")
    def of_mapping(self, obj: Any) -> SafeString:
        if not hasattr(obj, "prefetched_mapping"):
            self.prefetch([obj])
        return link(obj.prefetched_mapping) if obj.prefetched_mapping else badge("missing", BAD)


@admin.register(ColumnMapping)
class ColumnMappingAdmin(MappingChildAdmin):
    """Every column mapping, to be searched; they are added on the page of their mapping."""

    form = LoneRuleForm
    list_display = ("column_mapping", "kind", "of_mapping", "changed")
    # Not by type: each is a third of all, and no index would be worth its writes.
    list_filter = (("mapping", AutocompleteSelectFilter),)
    ordering = ("-updated_at", "-id")
    search_fields = ("source_columns", "target_fields")
    readonly_fields = ("of_mapping", "created_at", "updated_at")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "of_mapping",
                    "type",
                    "source_columns",
                    "target_fields",
                    "option",
                    "overflow",
                )
            },
        ),
        ("History", {"fields": ("created_at", "updated_at"), "classes": ["collapse"]}),
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        mapping = verify.loaded(obj.mapping_id)
        answer = source.ask(mapping.source_connection_id, mapping.source_query)
        proven = proof.prove(mapping, [obj], answer)
        if found := proof.new_mismatches([obj], proven):
            raise ValidationError({NON_FIELD_ERRORS: ValidationError(found)})
        super().save_model(request, obj, form, change)
        verify.note_rules(obj.mapping_id, answer)

    @admin.display(description="Column mapping")
    def column_mapping(self, obj: ColumnMapping) -> SafeString:
        sources, targets = (
            ", ".join(texts(names)) for names in (obj.source_columns, obj.target_fields)
        )
        return format_html('<span class="etl-mono">{} → {}</span>', sources, targets)

    @admin.display(description="Type", ordering="type")
    def kind(self, obj: ColumnMapping) -> SafeString:
        option = drawable(obj).option
        return badge(f"{obj.type} {visible(option)}" if option else obj.type, QUIET)
