"""Schedules: when a mapping runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django_mongodb_backend.fields import ObjectIdField

import clock
from common.documents import store
from common.documents.models import Document, RuleErrors, page_index
from common.documents.store import Stored
from mappings.models import Mapping

MAX_CATCH_UP_WINDOW_S = 31 * 86_400
MAX_JITTER_S = 86_400
TICK = timedelta(microseconds=1)


class Overlap(models.TextChoices):
    """What becomes of a slot while an earlier one is not done."""

    SKIP = "skip"
    QUEUE = "queue"


class CatchUp(models.TextChoices):
    """Which of the slots that are found late run."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


def _seconds(default: int, most: int) -> models.IntegerField[Any, Any]:
    within = [MinValueValidator(0), MaxValueValidator(most)]
    return models.IntegerField(default=default, validators=within)


class Schedule(Document):
    """A cron expression on the clock of a timezone, for one mapping."""

    kept = frozenset({"last_run_at", "last_run_id", "last_run_status", "next_run_at"})

    name = models.CharField(max_length=100, unique=True)
    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="schedules", db_index=False)
    mapping_id: ObjectId
    cron_expression = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
    overlap = models.CharField(max_length=10, choices=Overlap.choices, default=Overlap.SKIP)
    catch_up = models.CharField(max_length=10, choices=CatchUp.choices, default=CatchUp.LATEST)
    catch_up_window_s = _seconds(3600, MAX_CATCH_UP_WINDOW_S)
    jitter_s = _seconds(0, MAX_JITTER_S)
    start_at = models.DateTimeField(null=True, blank=True)
    end_at = models.DateTimeField(null=True, blank=True)
    last_run_id = ObjectIdField(null=True, editable=False)
    last_run_status = models.CharField(max_length=10, null=True, editable=False)
    last_run_at = models.DateTimeField(null=True, editable=False)
    next_run_at = models.DateTimeField(null=True, editable=False)

    class Meta(Document.Meta):
        db_table = "schedules"
        ordering = ["-updated_at", "-id"]
        indexes = [
            page_index("schedules_newest"),
            page_index("schedules_by_name", "name"),
            page_index("schedules_mapping", "mapping"),
            page_index("schedules_enabled", "enabled"),
            page_index("schedules_timezone", "timezone"),
            page_index("schedules_cron", "cron_expression"),
            models.Index(fields=["next_run_at", "id"], name="schedules_next_run"),
            models.Index(fields=["last_run_status"], name="schedules_last_status"),
        ]

    def rule_errors(self) -> RuleErrors:
        return super().rule_errors() | self.clock_errors() | self._span_errors()

    def clock_errors(self) -> RuleErrors:
        """Return what is wrong with the expression and the zone it is read in."""
        return self._timezone_errors() | self._cron_errors()

    def _timezone_errors(self) -> RuleErrors:
        if not self._is_chosen("timezone") or self.timezone in clock.zone_names():
            return {}
        message = f'"{self.timezone}" is not an IANA time zone name, such as Europe/Berlin or UTC.'
        return {"timezone": ValidationError(message, code="invalid")}

    def _cron_errors(self) -> RuleErrors:
        if not self._is_chosen("cron_expression"):
            return {}
        try:
            clock.parse(self.cron_expression)
        except clock.InvalidCron as wrong:
            return {"cron_expression": ValidationError(str(wrong), code="invalid_cron")}
        return {}

    def _span_errors(self) -> RuleErrors:
        if not (self.start_at and self.end_at and self.has_changed("start_at", "end_at")):
            return {}
        if self.start_at < self.end_at:
            return {}
        return {"end_at": ValidationError("Expected a moment after start_at.", code="invalid")}

    def _is_chosen(self, name: str) -> bool:
        """Tell whether a value is new, or to be used from now on.

        What was stored under older rules may stay while others change, but not be switched on.
        """
        return self.has_changed(name) or (self.enabled and self.has_changed("enabled"))

    def delete_dependents(self) -> None:
        super().delete_dependents()
        for end in _at_deletion:
            end(self.pk)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the record; the next run moves only with what decides when it is.

        So a slot that is due stays due, whatever else is changed.
        """
        if self.has_changed(*MOVES_THE_NEXT_RUN):
            self.next_run_at = next(iter(self.next_runs(1)), None)
        super().save(*args, **kwargs)

    @property
    def description(self) -> str | None:
        """Return the expression in words, or None where it makes no sense."""
        try:
            return clock.describe(self.cron_expression)
        except clock.InvalidCron:
            return None

    def next_runs(self, count: int) -> list[datetime]:
        """Return the next slots from now on, in UTC: none while disabled, or where it has none."""
        if not self.enabled:
            return []
        after = not_before(store.now(), self.start_at)
        slots = slots_after(after, self.cron_expression, self.timezone, count)
        return [slot for slot in slots if self.end_at is None or slot < self.end_at]


_at_deletion: list[Callable[[ObjectId], None]] = []


def at_deletion(end: Callable[[ObjectId], None]) -> None:
    """Have `end` called with the id of each schedule that is deleted, in that transaction."""
    _at_deletion.append(end)


MOVES_THE_NEXT_RUN = ("cron_expression", "timezone", "enabled", "start_at", "end_at")


def not_before(moment: datetime, start: datetime | None) -> datetime:
    """Return the moment after which slots count: one at `start` itself does."""
    return max(moment, start - TICK) if start else moment


def slots_after(after: datetime, expression: str, timezone: str, count: int) -> list[datetime]:
    """Return the next slots, in UTC; none where another program stored what makes no sense."""
    try:
        return clock.next_slots(expression, clock.zone_named(timezone), after, count)
    except (clock.InvalidCron, clock.UnknownZone):
        return []


def upcoming_run(document: Stored) -> datetime | None:
    """Return the next run of a stored schedule from now on, in naive UTC as it is stored.

    That is the stored one, or the one from now on where that has passed; None while disabled, and
    where another program stored what makes no sense.
    """
    enabled = document.get("enabled")
    if enabled is not None and not enabled:
        return None
    stored, moment = document.get("next_run_at"), store.now().replace(tzinfo=None)
    start, end = (_moment(document.get(name)) for name in ("start_at", "end_at"))
    if isinstance(stored, datetime) and stored > moment and (end is None or stored < end):
        return stored
    minute = moment.replace(second=0, microsecond=0)
    expression, timezone = document.get("cron_expression"), document.get("timezone") or "UTC"
    after = not_before(minute, start)
    run = _run_after(after, str(expression), str(timezone))
    return run if run and (end is None or run < end) else None


def _moment(stored: Any) -> datetime | None:
    return stored if isinstance(stored, datetime) else None


@lru_cache(maxsize=4096)
def _run_after(minute: datetime, expression: str, timezone: str) -> datetime | None:
    slots = slots_after(minute.replace(tzinfo=UTC), expression, timezone, 1)
    return slots[0].replace(tzinfo=None) if slots else None
