"""Schedules in the admin: when each runs next, on its own clock, and switches for many at once."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.forms import ActionForm

import clock
from common.admin.actions import do_each, report
from common.admin.badges import BAD, GOOD, NOTHING, QUIET, age, badge, span
from common.admin.fields import INPUT, MONO
from common.admin.forms import DocumentForm
from common.documents import store, trail
from mappings.admin import MappingChildAdmin
from schedules.models import Schedule, upcoming_run

RUNS = 10
MAX_NOTE = 500


class TimezoneInput(forms.TextInput):
    """A text with every zone's name to choose from."""

    template_name = "schedules/admin/timezone.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"]["zones"] = sorted(clock.zone_names())
        return context


class ScheduleForm(DocumentForm):
    class Meta:
        widgets = {
            "cron_expression": forms.TextInput({"class": f"{INPUT} {MONO}"}),
            "timezone": TimezoneInput({"class": INPUT}),
        }
        help_texts = {
            "cron_expression": "Minute, hour, day of month, month, day of week; or @daily and "
            "the like. Both days set: either counts.",
            "timezone": "The clock that the expression is read on.",
        }


class SwitchForm(ActionForm):
    """What is done to the selected, and why: the audit keeps it."""

    note = forms.CharField(
        required=False,
        max_length=MAX_NOTE,
        label="",
        widget=forms.TextInput(
            {
                "class": "etl-why",
                "placeholder": "Why? The audit keeps it.",
                "aria-label": "Why, for the audit",
                "x-show": "['enable', 'disable'].includes(action)",
            }
        ),
    )


class Run(NamedTuple):
    """A firing time: on the schedule's own clock, in UTC, and how far off."""

    local: datetime
    utc: datetime
    distance: str

    @property
    def local_text(self) -> str:
        return f"{self.local:%a %d %b %Y %H:%M %Z}"

    @property
    def utc_text(self) -> str:
        return f"{self.utc:%d %b %H:%M}"


@admin.register(Schedule)
class ScheduleAdmin(MappingChildAdmin):
    form = ScheduleForm
    list_display = ("name", "of_mapping", "cron", "next_run", "last_run", "state", "changed")
    list_filter = ("enabled", ("mapping", AutocompleteSelectFilter))
    search_fields = ("name", "cron_expression", "timezone")
    autocomplete_fields = ("mapping",)
    actions = ("enable", "disable", "delete_selected")
    action_form = SwitchForm
    readonly_fields = ("next_run", "last_run", "created_at", "updated_at")
    fieldsets = (
        (
            None,
            {"fields": ("name", "mapping", "cron_expression", "timezone", "enabled")},
        ),
        (
            "Firing",
            {
                "fields": (
                    "overlap",
                    "catch_up",
                    "catch_up_window_s",
                    "jitter_s",
                    "start_at",
                    "end_at",
                ),
                "classes": ["collapse"],
            },
        ),
        (
            "History",
            {
                "fields": ("next_run", "last_run", "created_at", "updated_at"),
                "classes": ["collapse"],
            },
        ),
    )

    def get_urls(self) -> list[Any]:
        runs = self.admin_site.admin_view(require_POST(self.runs_view))
        return [path("runs/", runs, name="schedules_schedule_runs"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        schedule: Any = self.get_object(request, object_id)
        runs = upcoming(schedule.cron_expression, schedule.timezone) if schedule else {}
        context = {**runs, "is_enabled": bool(schedule and schedule.enabled)}
        context |= extra_context or {}
        return super().change_view(request, object_id, form_url, context)

    def runs_view(self, request: HttpRequest) -> HttpResponse:
        """List the next runs of the expression as the form has it."""
        if not (self.has_change_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        expression = request.POST.get("cron_expression", "")
        runs = upcoming(expression, request.POST.get("timezone", ""))
        is_enabled = bool(request.POST.get("enabled"))
        return render(request, "schedules/admin/runs.html", {**runs, "is_enabled": is_enabled})

    # --- Columns ---------------------------------------------------------------------------------

    @admin.display(description="Cron", ordering="cron_expression")
    def cron(self, obj: Schedule) -> SafeString:
        return format_html(
            '<code>{}</code> <span class="etl-quiet">{}</span>', obj.cron_expression, obj.timezone
        )

    @admin.display(description="Next run", ordering="next_run_at")
    def next_run(self, obj: Schedule) -> SafeString:
        if not obj.enabled:
            return NOTHING
        run = next_run_of(obj)
        if run is None:
            return badge("never", BAD, "The expression or its time zone makes no sense.")
        # The page's script shows it on the clock of whoever looks; the title stays the schedule's.
        text = f"{run.local:%a %d %b %H:%M %Z}"
        return format_html(
            '<time data-local datetime="{}" title="{}">{}</time> '
            '<span class="etl-age">in {}</span>',
            run.utc.isoformat(), f"{text}, {obj.timezone}", text, run.distance,
        )  # fmt: skip

    @admin.display(description="Last run", ordering="last_run_at")
    def last_run(self, obj: Schedule) -> SafeString:
        return age(obj.last_run_at)

    @admin.display(description="State", ordering="enabled")
    def state(self, obj: Schedule) -> SafeString:
        return badge("enabled", GOOD) if obj.enabled else badge("disabled", QUIET)

    # --- Actions ---------------------------------------------------------------------------------

    @admin.action(permissions=["change"], description="Enable the selected")
    def enable(self, request: HttpRequest, queryset: models.QuerySet[Schedule]) -> None:
        self._switch(request, queryset, True)

    @admin.action(permissions=["change"], description="Disable the selected")
    def disable(self, request: HttpRequest, queryset: models.QuerySet[Schedule]) -> None:
        self._switch(request, queryset, False)

    def _switch(
        self, request: HttpRequest, queryset: models.QuerySet[Schedule], enabled: bool
    ) -> None:
        selected = self.selected(request, queryset)
        others = [schedule for schedule in selected if schedule.enabled is not enabled]
        word = "enabled" if enabled else "disabled"
        if len(others) < len(selected):
            before = len(selected) - len(others)
            messages.info(request, f"{before} of {len(selected)} had been {word} before.")
        with trail.because(request.POST.get("note", "")[:MAX_NOTE]):
            report(request, word, do_each(others, partial(switch, enabled=enabled)))


def switch(schedule: Schedule, enabled: bool) -> None:
    """Enable or disable a schedule, by the rules of any other change."""
    schedule.enabled = enabled
    schedule.clean()
    schedule.save()


def next_run_of(schedule: Schedule) -> Run | None:
    moment = upcoming_run(schedule.to_document())
    if moment is None:
        return None
    try:
        return as_run(moment.replace(tzinfo=UTC), clock.zone_named(schedule.timezone))
    except clock.UnknownZone:
        return None


def upcoming(expression: str, timezone: str) -> dict[str, Any]:
    """Return an expression in words and its next runs, or the sentence that refuses it."""
    try:
        zone = clock.zone_named(timezone)
        runs = clock.next_slots(expression, zone, store.now(), RUNS)
    except (clock.UnknownZone, clock.InvalidCron) as wrong:
        return {"refusal": str(wrong)}
    words = clock.describe(expression)
    return {"runs": [as_run(run, zone) for run in runs], "zone": timezone, "words": words}


def as_run(moment: datetime, zone: ZoneInfo) -> Run:
    return Run(moment.astimezone(zone), moment, span(moment - store.now()))
