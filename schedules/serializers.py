"""Schedules over REST."""

from typing import Any, ClassVar

from common.api.json import iso_utc
from common.api.serializers import DocumentSerializer, Reader
from common.documents.store import Stored
from schedules.models import Schedule, upcoming_run


class ScheduleReader(Reader):
    """Shows the next run from now on, where the stored one has passed meanwhile."""

    def record(self, document: Stored) -> dict[str, Any]:
        record = super().record(document)
        record["next_run_at"] = self.clocked(document) or None
        return record

    def clocked(self, document: Stored) -> str:
        run = upcoming_run(document)
        return iso_utc(run) if run else ""


class ScheduleSerializer(DocumentSerializer):
    """When a mapping runs: five cron fields or an alias, on the clock of a time zone."""

    reader_class = ScheduleReader

    class Meta:
        model = Schedule
        fields = [
            "name",
            "mapping_id",
            "cron_expression",
            "timezone",
            "enabled",
            "created_at",
            "updated_at",
            "last_run_at",
            "next_run_at",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {}
