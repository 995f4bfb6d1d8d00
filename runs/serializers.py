"""Runs over REST: what a run is asked for, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from common.api.fields import IdField, UtcDateTimeField
from common.api.serializers import ShownSerializer, StrictSerializer
from common.documents.store import Stored
from runs import planning
from runs.life import SKIP_REASONS, STAGES, STATUSES, TRIGGERS
from runs.models import LogLine, Run


class StartSerializer(StrictSerializer):
    """What a run may be asked for: nothing, or any of these."""

    full_refresh = serializers.BooleanField(
        default=False,
        help_text="Ignore the cursor: append adds every row again, upsert overwrites by key, "
        "replace takes an empty source at its word.",
    )
    slot_start = UtcDateTimeField(
        required=False, default=None, allow_null=True, help_text="Of `{{slot_start}}` in a query."
    )
    slot_end = UtcDateTimeField(
        required=False, default=None, allow_null=True, help_text="Of `{{slot_end}}` in a query."
    )

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Take both ends of a window or neither, the earlier one first."""
        if type(data.get("full_refresh", False)) is not bool:
            errors.setdefault("full_refresh", [_detail("Expected true or false.")])
        if errors:
            return errors
        start, end = values["slot_start"], values["slot_end"]
        if (start is None) != (end is None):
            errors["slot_end"] = [_detail("Expected both slot_start and slot_end, or neither.")]
        elif start is not None and start >= end:
            errors["slot_end"] = [_detail("Expected a moment after slot_start.")]
        return errors


def _detail(message: str) -> serializers.ErrorDetail:
    return serializers.ErrorDetail(message, code="invalid")


class RunTargetSerializer(serializers.Serializer):
    kind = serializers.CharField()
    table = serializers.CharField()
    version = serializers.IntegerField(
        allow_null=True, help_text="Delta's version that the run made; null for a database."
    )


class RunErrorSerializer(serializers.Serializer):
    code = serializers.CharField()
    stage = serializers.CharField()
    message = serializers.CharField()
    hint = serializers.CharField(help_text="What to do.")


class WarningSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()


class RunSerializer(ShownSerializer):
    """A run: what was done, is done, or waits to be done for a mapping."""

    id = IdField()
    _id = IdField()
    mapping_id = IdField()
    mapping_name = serializers.CharField(help_text="As it was when the run was queued.")
    schedule_id = IdField(allow_null=True)
    slot = UtcDateTimeField(allow_null=True, help_text="The moment that it stands for.")
    trigger = serializers.ChoiceField(choices=TRIGGERS)
    retry_of = IdField(allow_null=True)
    status = serializers.ChoiceField(choices=STATUSES)
    skip_reason = serializers.ChoiceField(choices=SKIP_REASONS, allow_null=True)
    skipped_slots = serializers.IntegerField(allow_null=True)
    stage = serializers.ChoiceField(choices=STAGES, allow_null=True)
    attempt = serializers.IntegerField(help_text="From 1; 0 while it never started.")
    queued_at = UtcDateTimeField()
    started_at = UtcDateTimeField(allow_null=True)
    ended_at = UtcDateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    rows_read = serializers.IntegerField()
    rows_written = serializers.IntegerField()
    rows_rejected = serializers.IntegerField()
    progress = serializers.FloatField(
        allow_null=True, help_text="0 to 1; null where it is not known."
    )
    engine = serializers.CharField(allow_null=True)
    worker = serializers.CharField(allow_null=True, help_text="`host:pid`.")
    target = RunTargetSerializer(allow_null=True)
    cursor_from = serializers.CharField(allow_null=True)
    cursor_to = serializers.CharField(allow_null=True)
    full_refresh = serializers.BooleanField()
    warnings = WarningSerializer(many=True)
    error = RunErrorSerializer(allow_null=True)

    class Meta:
        model = Run

    @classmethod
    def clocked(cls, document: Stored) -> str:
        return ""


class PlanSerializer(serializers.Serializer):
    """What ran, without secrets."""

    source_query = serializers.CharField()
    connection = serializers.DictField(child=serializers.CharField(), allow_null=True)
    target = serializers.DictField(child=serializers.CharField())
    target_table = serializers.CharField()
    columns = serializers.ListField(child=serializers.DictField())
    rules = serializers.ListField(child=serializers.DictField())
    write_mode = serializers.CharField()
    key_fields = serializers.ListField(child=serializers.CharField())
    cursor_column = serializers.CharField(allow_null=True)
    max_rejected = serializers.IntegerField(allow_null=True)
    full_refresh = serializers.BooleanField()
    slot_start = UtcDateTimeField(allow_null=True)
    slot_end = UtcDateTimeField(allow_null=True)


class WholeRunSerializer(RunSerializer):
    """A run with the plan that it keeps."""

    plan = PlanSerializer(allow_null=True)

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        content = planning.content_of(document.get("plan_id"))
        return super().show(document) | {"plan": planning.shown(document, content)}


class LogLineSerializer(ShownSerializer):
    at = UtcDateTimeField()
    attempt = serializers.IntegerField()
    stage = serializers.ChoiceField(choices=STAGES, allow_null=True)
    level = serializers.CharField()
    message = serializers.CharField()

    class Meta:
        model = LogLine


class RejectedSerializer(serializers.Serializer):
    """A value that was refused, and with it its row."""

    row = serializers.IntegerField(help_text="The query's rows, from 1.")
    rule_id = serializers.CharField(allow_null=True)
    # DRF takes declared fields off the class.
    source_columns = serializers.ListField(child=serializers.CharField())
    target_field = serializers.CharField(allow_null=True)
    value = serializers.CharField(allow_null=True, help_text="Cut to 80 characters.")
    code = serializers.CharField()
    message = serializers.CharField()
