"""Schedules over REST."""

from typing import Any, ClassVar

from common.api.serializers import DocumentSerializer
from common.documents.store import Stored
from common.times import iso_utc
from schedules.models import Schedule, upcoming_run


class ScheduleSerializer(DocumentSerializer):
    """When a mapping runs: five cron fields or an alias, on the clock of a time zone."""

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

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        """Return the record, with the next run from now on where the stored one has passed."""
        return {**super().show(document), "next_run_at": cls.clocked(document) or None}

    @classmethod
    def clocked(cls, document: Stored) -> str:
        run = upcoming_run(document)
        return iso_utc(run) if run else ""
