"""Runs for the slots of a schedule that lie in the past."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

import clock
from common.api.fields import UtcDateTimeField
from common.api.json import JSON, to_json
from common.api.roles import Access, Role
from common.api.serializers import StrictSerializer
from common.api.views import DocumentViewSet
from common.documents import store, trail, writes
from common.documents.store import Stored
from common.documents.trail import Entry
from common.times import iso_utc
from mappings.models import Mapping
from runs import last_run, queueing, slots
from runs.starting import MappingGone
from schedules.models import Schedule
from schedules.serializers import ScheduleSerializer

MOST = 1000


class SpanSerializer(StrictSerializer):
    """Which slots are asked for: from one moment, up to another."""

    to = UtcDateTimeField(help_text="Exclusive.")

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python's own.
        return {"from": UtcDateTimeField(help_text="Inclusive."), **super().get_fields()}

    def more_errors(self, values: dict[str, Any], errors: dict[str, Any], data: Any) -> Any:
        if "from" in values and "to" in values and values["to"] <= values["from"]:
            said = "Expected a moment after `from`."
            errors["to"] = [serializers.ErrorDetail(said, code="invalid")]
        return errors


class BackfilledSerializer(serializers.Serializer):
    queued = serializers.IntegerField(help_text="So many runs were queued.")
    left_out = serializers.IntegerField(help_text="So many slots had a run already.")


class BackfillViewSet(DocumentViewSet):
    """Slots of one schedule that are run now."""

    serializer_class = ScheduleSerializer
    access: ClassVar[Access] = {"backfill": Role.EDITOR}
    http_method_names = ("post", "options")
    writes_many = frozenset({"backfill"})
    source_refusals: ClassVar = {"backfill": ("400", "409")}

    @extend_schema(request=SpanSerializer, responses={202: BackfilledSerializer})
    def backfill(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Queue a run for each slot that has come and has none: a repeat is harmless."""
        schedule = Schedule.from_document(self.get_document())
        body = SpanSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        queued, left_out = backfill(schedule, asked["from"], asked["to"])
        answer = to_json({"queued": queued, "left_out": left_out})
        return HttpResponse(answer, status=status.HTTP_202_ACCEPTED, content_type=JSON)


def backfill(schedule: Schedule, start: datetime, end: datetime) -> tuple[int, int]:
    """Queue the slots with `start` ≤ slot < `end` that have come.

    Returns how many were queued, and how many had a run. Raises ValidationError where they are too
    many, and MappingGone.
    """
    asked = _asked(schedule, start, min(end, store.now() + slots.TICK))

    def work() -> tuple[int, int]:
        queued = _queue(schedule, _held_mapping(schedule), asked)
        if queued:
            span = {"from": iso_utc(start), "to": iso_utc(end), "queued": queued}
            kind, changes = Schedule._meta.db_table, {"backfill": [None, span]}
            trail.note(Entry("update", kind, schedule.pk, schedule.name, changes))
        return queued, len(asked) - queued

    return writes.transaction(work)


def _asked(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    try:
        found = list(islice(slots.between(schedule, start, end), MOST + 1))
    except (clock.InvalidCron, clock.UnknownZone) as wrong:
        raise ValidationError({"to": [f"The schedule has no slots: {wrong}"]}) from wrong
    if len(found) > MOST:
        said = f"There are more than {MOST:,} slots up to here; ask for a part of them at a time."
        raise ValidationError({"to": [serializers.ErrorDetail(said, code="too_many")]})
    return found


def _held_mapping(schedule: Schedule) -> Mapping:
    writes.hold(Mapping, schedule.mapping_id)
    found = store.find_one(Mapping, {"_id": schedule.mapping_id})
    if found is None:
        raise MappingGone(f'The mapping of the schedule "{schedule.name}" was deleted.')
    return Mapping.from_document(found)


def _queue(schedule: Schedule, mapping: Mapping, asked: list[datetime]) -> int:
    taken = slots.runs_of(schedule.pk, asked)
    fresh = [slots.with_window(schedule, slot) for slot in asked if slot not in taken]
    queued = queueing.queue_many(mapping, fresh, trigger="backfill", schedule_id=schedule.pk)
    skipped = [
        (run, slots.with_window(schedule, slot))
        for slot, run in sorted(taken.items())
        if run["status"] == "skipped"
    ]
    queued += queueing.revive_many(mapping, skipped)
    if queued:
        last_run.note(_newest(schedule, asked))
    return queued


def _newest(schedule: Schedule, asked: list[datetime]) -> Stored:
    """Return the run of the newest slot that was asked for; none of them is skipped now."""
    runs = slots.runs_of(schedule.pk, asked)
    return runs[max(runs)]
