"""Addresses of the schedules."""

from common.api.routers import SlashlessRouter
from schedules.views import ScheduleViewSet

router = SlashlessRouter()
router.register("schedules", ScheduleViewSet, basename="schedule")

urlpatterns = router.urls
