"""Runs in the admin: what runs, what ran and why it did not; start, stop and repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

import orjson
from bson import ObjectId
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from common.admin.badges import BAD, GOOD, INFO, NOTHING, QUIET, WARN, age, badge
from common.admin.permissions import may
from common.api.json import to_json
from common.documents import store
from common.documents.codecs import reference_to
from common.documents.store import Stored
from common.exceptions import ServiceError
from mappings.admin import MappingAdmin
from mappings.models import Mapping
from runs import life, planning, rejected, starting, timeline_page
from runs.models import LogLine, Run
from runs.timeline import REASONS, timeline
from schedules.admin import ScheduleAdmin
from schedules.models import Schedule

TONES = {
    "queued": QUIET,
    "running": INFO,
    "succeeded": GOOD,
    "failed": BAD,
    "cancelled": WARN,
    "skipped": QUIET,
}
STARTED = {
    "manual": "by hand",
    "schedule": "by its schedule",
    "backfill": "by a backfill",
    "retry": "as a retry",
}
STRIP = 30
LINES = 200
ENTRIES = 50


class RunAdmin(ModelAdmin):
    """Nothing of a run is edited; its page shows it, and moves while it runs."""

    list_display = ("of_mapping", "state", "rows", "started_by", "queued", "took")
    list_display_links = ("of_mapping",)
    list_filter = ("status", "trigger")
    search_fields = ("mapping_name",)
    search_help_text = "Names of mappings."
    actions = ("cancel_selected", "repeat_selected")
    ordering = ("-queued_at", "-id")
    list_per_page = 50
    show_full_result_count = False

    class Media:
        css: ClassVar = {"all": ["common/admin.css"]}
        js: ClassVar = ["common/admin.js"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may(request, "runs.cancel_run")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may(request, "runs.retry_run")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<str:object_id>/now/", view(self.now_view), name="runs_run_now"),
            path(
                "<str:object_id>/cancel/",
                view(require_POST(self.cancel_view)),
                name="runs_run_cancel",
            ),
            path(
                "<str:object_id>/retry/", view(require_POST(self.retry_view)), name="runs_run_retry"
            ),
            path("timeline/", view(self.timeline_view), name="runs_run_timeline"),
            path("start/<str:mapping_id>/", view(require_POST(start_view)), name="runs_run_start"),
            *super().get_urls(),
        ]

    def timeline_view(self, request: HttpRequest) -> HttpResponse:
        """Show what ran in the last day, what will run in the next, and what was skipped."""
        if not (self.has_view_permission(request) and may(request, "schedules.view_schedule")):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Timeline",
            "subtitle": None,
            "media": self.media,
            **timeline_page.page(timeline()),
        }
        return TemplateResponse(request, "runs/admin/timeline.html", context)

    # --- The page of a run ------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a run: how far it is, what it said, what it refused, and what it was to do."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = run_of(object_id)
        content = planning.content_of(run.get("plan_id"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Run of {run['mapping_name']}",
            "subtitle": None,
            "opts": self.opts,
            "media": self.media,
            "original": Run(pk=run["_id"], mapping_name=run["mapping_name"]),
            "plan": pretty(planning.shown(run, content)),
            **self.state_of(request, run),
        }
        return TemplateResponse(request, "runs/admin/run.html", context)

    def now_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the part of the page that moves."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = run_of(object_id)
        return render(request, "runs/admin/state.html", self.state_of(request, run))

    def state_of(self, request: HttpRequest, run: Stored) -> dict[str, Any]:
        sees_values = may(request, "runs.rejected_run")
        entries, total = rejected.read(run, 0, ENTRIES) if sees_values else ([], 0)
        lines = list(
            store.find(LogLine, {"run_id": run["_id"]}, sort=[("at", -1), ("_id", -1)], limit=LINES)
        )
        return {
            "run": run,
            "run_id": str(run["_id"]),
            "badge": state_badge(run),
            "is_live": run["status"] in life.LIVE,
            "percent": round(100 * float(run.get("progress") or 0)),
            "rows": rows_told(run["rows_read"], run["rows_written"], run["rows_rejected"]),
            "started_by": STARTED.get(run["trigger"], run["trigger"]),
            "rate": rate(run),
            "took": duration(run),
            "mapping_link": mapping_link(run),
            "lines": lines[::-1],
            "entries": entries,
            "entries_total": total,
            "sees_values": sees_values,
            "may_cancel": self.has_cancel_permission(request) and run["status"] in life.LIVE,
            "may_retry": self.has_retry_permission(request) and run["status"] in life.RETRIED,
        }

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        run = run_of(object_id)
        _tell(request, "The run is being cancelled.", lambda: starting.cancel(run["_id"]))
        return redirect(address_of(run["_id"]))

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_retry_permission(request):
            raise PermissionDenied
        old = run_of(object_id)
        new = _tell(request, "The run is queued again.", lambda: starting.retry(old))
        return redirect(address_of((new or old)["_id"]))

    # --- Columns ----------------------------------------------------------------------------------

    @admin.display(description="Mapping", ordering="mapping_name")
    def of_mapping(self, obj: Run) -> str:
        return obj.mapping_name

    @admin.display(description="State", ordering="status")
    def state(self, obj: Run) -> SafeString:
        shown = {"status": obj.status, "error": obj.error, "skip_reason": obj.skip_reason}
        return state_badge({**shown, "stage": obj.stage, "attempt": obj.attempt})

    @admin.display(description="Rows")
    def rows(self, obj: Run) -> SafeString | str:
        if not obj.attempt:
            return NOTHING
        return rows_told(obj.rows_read, obj.rows_written, obj.rows_rejected)

    @admin.display(description="Started by", ordering="trigger")
    def started_by(self, obj: Run) -> str:
        return obj.trigger

    @admin.display(description="Queued", ordering="queued_at")
    def queued(self, obj: Run) -> SafeString:
        return age(obj.queued_at)

    @admin.display(description="Took")
    def took(self, obj: Run) -> str:
        return seconds(obj.duration_ms) if obj.duration_ms is not None else NOTHING

    # --- Actions ----------------------------------------------------------------------------------

    @admin.action(permissions=["cancel"], description="Cancel the selected")
    def cancel_selected(self, request: HttpRequest, queryset: models.QuerySet[Run]) -> None:
        runs = [run.pk for run in queryset]
        _each(request, "cancelled", runs, starting.cancel)

    @admin.action(permissions=["retry"], description="Run the selected again")
    def repeat_selected(self, request: HttpRequest, queryset: models.QuerySet[Run]) -> None:
        runs = [run.pk for run in queryset]
        _each(request, "queued again", runs, lambda pk: starting.retry(run_of(str(pk))))


admin.site.register(Run, RunAdmin)


def run_of(identifier: str) -> Stored:
    """Return the document of a run. Raises Http404."""
    found = None
    if ObjectId.is_valid(identifier):
        found = store.find_one(Run, {"_id": ObjectId(identifier)})
    if found is None:
        raise Http404
    return found


def address_of(run_id: Any) -> str:
    return reverse("admin:runs_run_change", args=[run_id])


def state_badge(run: Stored) -> SafeString:
    status = run["status"]
    why = (run.get("error") or {}).get("message") or run.get("skip_reason") or ""
    word = status if status != "running" else f"running: {run.get('stage') or 'plan'}"
    return badge(word, TONES.get(status, QUIET), str(why))


def rows_told(read: int, written: int, rejected: int) -> str:
    """Return rows for people: `3,000 read, 2,990 written, 10 rejected`."""
    refused = f", {rejected:,} rejected" if rejected else ""
    return f"{read:,} read, {written:,} written{refused}"


def seconds(duration_ms: int | None) -> str:
    """Return a duration for people: `0.4 s`, `3 min 20 s`."""
    whole, rest = divmod(round((duration_ms or 0) / 1000), 60)
    return f"{whole} min {rest} s" if whole else f"{(duration_ms or 0) / 1000:.1f} s"


def duration(run: Stored) -> str:
    """Return how long a run took, or takes by now."""
    started: datetime | None = run.get("started_at")
    if started is None:
        return "-"
    ended = run.get("ended_at") or store.now().replace(tzinfo=None)
    return seconds(starting.duration_ms(started, ended))


def rate(run: Stored) -> str:
    """Return how many rows a second a run reads."""
    started: datetime | None = run.get("started_at")
    if started is None or not run.get("rows_read"):
        return "-"
    ended = run.get("ended_at") or store.now().replace(tzinfo=None)
    return f"{run['rows_read'] / max((ended - started).total_seconds(), 0.001):,.0f} rows/s"


def mapping_link(run: Stored) -> SafeString:
    if not store.find_one(Mapping, {"_id": run["mapping_id"]}, {"_id": 1}):
        return format_html('{} <span class="etl-quiet">deleted</span>', run["mapping_name"])
    address = reverse("admin:mappings_mapping_change", args=[run["mapping_id"]])
    return format_html('<a class="etl-link" href="{}">{}</a>', address, run["mapping_name"])


def pretty(value: Any) -> str:
    return orjson.dumps(orjson.loads(to_json(value)), option=orjson.OPT_INDENT_2).decode()


def _tell(request: HttpRequest, done: str, work: Any) -> Any:
    """Return what `work` does, and tell the person that it is done, or why not."""
    try:
        result = work()
    except ServiceError as refusal:
        if refusal.status == 503:
            raise
        messages.error(request, refusal.detail)
        return None
    messages.success(request, done)
    return result


def _each(request: HttpRequest, done: str, identifiers: Sequence[Any], work: Any) -> None:
    refusals = []
    for identifier in identifiers:
        try:
            work(identifier)
        except ServiceError as refusal:
            refusals.append(refusal.detail.rstrip("."))
    count = len(identifiers) - len(refusals)
    told = f"{count} of {len(identifiers)} runs {done}"
    level = messages.WARNING if refusals else messages.SUCCESS
    messages.add_message(request, level, f"{told}: {'; '.join(refusals)}." if refusals else told)


# --- The page of a mapping ------------------------------------------------------------------------


def start_view(request: HttpRequest, mapping_id: str) -> HttpResponse:
    """Queue a run of a mapping, and show it in its page."""
    if not may(request, "runs.start_run") or not ObjectId.is_valid(mapping_id):
        raise PermissionDenied
    identifier = ObjectId(mapping_id)
    context: dict[str, Any] = {}
    try:
        run = starting.start(identifier)
    except ServiceError as refusal:
        if refusal.status == 503:
            raise
        context["refusal"] = refusal.detail
    else:
        context["started"] = address_of(run["_id"])
    shown = cells({"mapping_id": reference_to(identifier)})
    return render(request, "runs/admin/strip.html", {**context, "cells": shown})


def cells(condition: Stored) -> list[dict[str, Any]]:
    """Return the last runs that meet a condition, oldest first, as cells of a strip."""
    found = list(
        store.find(
            Run,
            condition,
            {"status": 1, "queued_at": 1, "duration_ms": 1, "rows_written": 1, "skip_reason": 1},
            sort=[("queued_at", -1), ("_id", -1)],
            limit=STRIP,
        )
    )
    return [
        {
            "address": address_of(run["_id"]),
            "tone": TONES.get(run["status"], QUIET),
            "title": f"{run['status']}, {run['queued_at']:%Y-%m-%d %H:%M:%S} UTC, {_outcome(run)}",
            "text": seconds(run["duration_ms"])
            if run.get("duration_ms") is not None
            else run["status"],
        }
        for run in reversed(found)
    ]


def _outcome(run: Stored) -> str:
    if run["status"] == "skipped":
        return REASONS.get(run.get("skip_reason") or "", "for no known reason")
    return f"{run.get('rows_written') or 0:,} rows written"


admin.site.unregister(Mapping)


@admin.register(Mapping)
class MappingWithRuns(MappingAdmin):
    """The page of a mapping, with its last runs and a button that starts one."""

    change_form_template = "runs/admin/mapping.html"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        is_known = ObjectId.is_valid(object_id)
        context = {
            "cells": cells({"mapping_id": reference_to(ObjectId(object_id))}) if is_known else [],
            "may_start": may(request, "runs.start_run"),
            "mapping_id": object_id,
        }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


# --- The page of a schedule -----------------------------------------------------------------------

admin.site.unregister(Schedule)


@admin.register(Schedule)
class ScheduleWithRuns(ScheduleAdmin):
    """The page of a schedule, with a strip of its last runs and of the slots that did not run."""

    change_form_template = "runs/admin/schedule.html"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        is_known = ObjectId.is_valid(object_id)
        context = {
            "cells": cells({"schedule_id": ObjectId(object_id)}) if is_known else [],
            "timeline_address": reverse("admin:runs_run_timeline"),
        }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))
