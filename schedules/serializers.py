"""Schedules over REST."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.fields import get_error_detail

from common.api.fields import TextField, UtcDateTimeField
from common.api.serializers import DocumentSerializer, StrictSerializer
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
            "overlap",
            "catch_up",
            "catch_up_window_s",
            "jitter_s",
            "start_at",
            "end_at",
            "created_at",
            "updated_at",
            "last_run_id",
            "last_run_status",
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


class NextRunsQuerySerializer(StrictSerializer):
    """How many of a schedule's next runs are asked for."""

    count = serializers.IntegerField(min_value=1, max_value=100, default=10)


class ExpressionQuerySerializer(NextRunsQuerySerializer):
    """An expression that no schedule needs to have."""

    cron_expression = TextField(
        max_length=200, help_text="Five fields, or an alias such as `@daily`."
    )
    timezone = TextField(
        max_length=64, default="UTC", help_text="The IANA zone whose clock it is read on."
    )

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Ask what a schedule of these would be refused for."""
        named = {name: values[name] for name in ("cron_expression", "timezone") if name in values}
        refused = Schedule(**named).clock_errors()
        return {name: get_error_detail(wrong) for name, wrong in refused.items()} | errors


class NextRunsSerializer(serializers.Serializer):
    """When a schedule runs next."""

    cron_expression = serializers.CharField()
    timezone = serializers.CharField()
    description = serializers.CharField(
        allow_null=True, help_text="In English words; null where other programs stored nonsense."
    )
    next_runs = serializers.ListField(
        child=UtcDateTimeField(), help_text="Earliest first; empty while disabled."
    )
