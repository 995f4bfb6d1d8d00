"""Schedules over REST: the records, and when they run next."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common import demo
from common.api.parameters import ListParameters
from common.api.roles import Role
from common.api.views import DocumentViewSet, records_access
from schedules.models import Schedule
from schedules.serializers import (
    ExpressionQuerySerializer,
    NextRunsQuerySerializer,
    NextRunsSerializer,
    ScheduleSerializer,
)


class ScheduleViewSet(DocumentViewSet):
    serializer_class = ScheduleSerializer
    access = {
        **records_access(writes=Role.EDITOR),
        "next_runs": Role.VIEWER,
        "next_runs_of": Role.VIEWER,
    }
    parameters = ListParameters(
        Schedule,
        filters=["name", "mapping_id", "enabled", "timezone", "cron_expression"],
        search=["name", "cron_expression"],
        ordered_by=["next_run_at", "last_run_at"],
    )

    # The runs that wait are cancelled, a thousand, it may be.
    writes_many = frozenset({"destroy"})
    source_refusals: ClassVar = {"next_runs": ("400",), "next_runs_of": ("400",)}
    examples: ClassVar = {
        "create": {
            "name": "Customers every weekday",
            "mapping_id": demo.example_id("mappings"),
            "cron_expression": "30 6 * * MON-FRI",
            "timezone": "Europe/Berlin",
        },
        "update": {"cron_expression": "15 2 * * *"},
        "partial_update": {"cron_expression": "15 2 * * *"},
    }

    @extend_schema(
        operation_id="schedules_next_runs",
        parameters=[ExpressionQuerySerializer],
        responses=NextRunsSerializer,
    )
    @action(detail=False, url_path="next-runs")
    def next_runs(self, request: Request) -> Response:
        """Tell when an expression would run next, and what it means; nothing is stored."""
        query = _validated(ExpressionQuerySerializer, request)
        count = query.pop("count")
        return _next_runs(Schedule(**query), count)

    @extend_schema(
        operation_id="schedules_next_runs_of",
        parameters=[NextRunsQuerySerializer],
        responses=NextRunsSerializer,
    )
    @action(detail=True, url_path="next-runs")
    def next_runs_of(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Tell when a schedule runs next: never while it is disabled."""
        schedule = Schedule.from_document(self.get_document())
        return _next_runs(schedule, _validated(NextRunsQuerySerializer, request)["count"])


def _validated(query: type[NextRunsQuerySerializer], request: Request) -> dict[str, Any]:
    """Return what a query string asks for. Raises ValidationError, all errors at once."""
    serializer = query(data=request.query_params.dict())
    serializer.is_valid(raise_exception=True)
    validated: dict[str, Any] = serializer.validated_data
    return validated


def _next_runs(schedule: Schedule, count: int) -> Response:
    return Response(
        {
            "cron_expression": schedule.cron_expression,
            "timezone": schedule.timezone,
            "description": schedule.description,
            "next_runs": schedule.next_runs(count),
        }
    )
