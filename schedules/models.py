"""Schedules: when a mapping runs."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.db import models

from common.documents import store
from common.documents.models import Document, RuleErrors, page_index
from common.documents.store import Stored
from mappings.models import Mapping
from schedules import cron


class Schedule(Document):
    """A cron expression on the clock of a timezone, for one mapping."""

    kept = frozenset({"last_run_at", "next_run_at"})

    name = models.CharField(max_length=100, unique=True)
    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="schedules", db_index=False)
    mapping_id: ObjectId
    cron_expression = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
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
        ]

    def rule_errors(self) -> RuleErrors:
        return super().rule_errors() | self._timezone_errors() | self._cron_errors()

    def _timezone_errors(self) -> RuleErrors:
        if self.timezone in cron.timezone_names() or self._is_as_stored_and_off("timezone"):
            return {}
        message = f'"{self.timezone}" is not an IANA time zone name, such as Europe/Berlin or UTC.'
        return {"timezone": ValidationError(message, code="invalid")}

    def _cron_errors(self) -> RuleErrors:
        if self._is_as_stored_and_off("cron_expression"):
            return {}
        try:
            cron.parse(self.cron_expression)
        except cron.InvalidCron as wrong:
            return {"cron_expression": ValidationError(str(wrong), code="invalid_cron")}
        return {}

    def _is_as_stored_and_off(self, name: str) -> bool:
        """Tell whether a field may stay as it is: what cannot run can still be switched off."""
        return not self.enabled and getattr(self, name) == self._loaded.get(name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.next_run_at = self.next_runs(1)[0] if self.enabled else None
        super().save(*args, **kwargs)

    def next_runs(self, count: int) -> list[datetime]:
        """Return the next firing times, in UTC."""
        return cron.next_runs(self.cron_expression, ZoneInfo(self.timezone), store.now(), count)


def upcoming_run(document: Stored) -> datetime | None:
    """Return the next run of a stored schedule from now on, in naive UTC as it is stored.

    That is the stored one, or the one from now on where that has passed; None while disabled, and
    where another program stored what makes no sense.
    """
    if not document.get("enabled", True):
        return None
    stored, moment = document.get("next_run_at"), store.now().replace(tzinfo=None)
    if isinstance(stored, datetime) and stored > moment:
        return stored
    minute = moment.replace(second=0, microsecond=0)
    expression, timezone = document.get("cron_expression"), document.get("timezone") or "UTC"
    return _run_after(str(expression), str(timezone), minute)


@lru_cache(maxsize=4096)
def _run_after(expression: str, timezone: str, minute: datetime) -> datetime | None:
    try:
        (run,) = cron.next_runs(expression, ZoneInfo(timezone), minute.replace(tzinfo=UTC), 1)
    except (KeyError, ValueError, OSError):
        return None
    return run.replace(tzinfo=None)
