"""Schedules over REST."""

from common.api.parameters import Parameters
from common.api.views import DocumentViewSet
from schedules.models import Schedule
from schedules.serializers import ScheduleSerializer


class ScheduleViewSet(DocumentViewSet):
    serializer_class = ScheduleSerializer
    parameters = Parameters(
        Schedule,
        filters=["name", "mapping_id", "enabled", "timezone", "cron_expression"],
        search=["name", "cron_expression"],
        ordered_by=["next_run_at", "last_run_at"],
    )
