"""Addresses of runs, and of what starts them."""

from django.urls import re_path

from common.api.routers import SlashlessRouter
from runs.views import LogViewSet, MappingRunsViewSet, RunViewSet

router = SlashlessRouter()
router.register("runs", RunViewSet, basename="run")

urlpatterns = [
    *router.urls,
    re_path(
        r"^runs/(?P<id>[0-9a-fA-F]{24})/log/?$",
        LogViewSet.as_view({"get": "list"}),
        name="run-log",
    ),
    re_path(
        r"^mappings/(?P<mapping_id>[0-9a-fA-F]{24})/runs/?$",
        MappingRunsViewSet.as_view({"post": "start"}),
        name="mapping-runs",
    ),
]
