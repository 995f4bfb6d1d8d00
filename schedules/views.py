"""Schedules over REST."""

from common.api.parameters import ListParameters
from common.api.roles import Role
from common.api.views import DocumentViewSet, records_access
from schedules.models import Schedule
from schedules.serializers import ScheduleSerializer


class ScheduleViewSet(DocumentViewSet):
    serializer_class = ScheduleSerializer
    access = records_access(writes=Role.EDITOR)
    parameters = ListParameters(
        Schedule,
        filters=["name", "mapping_id", "enabled", "timezone", "cron_expression"],
        search=["name", "cron_expression"],
        ordered_by=["next_run_at", "last_run_at"],
    )
