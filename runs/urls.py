"""Addresses of runs, and of what starts them."""

from django.urls import re_path

from runs.backfill import BackfillViewSet
from runs.views import LogViewSet, MappingRunsViewSet, RunViewSet

RUN = r"^runs/(?P<id>[0-9a-fA-F]{24})"

urlpatterns = [
    re_path(r"^runs/?$", RunViewSet.as_view({"get": "list"}), name="run-list"),
    re_path(RUN + r"/?$", RunViewSet.as_view({"get": "retrieve"}), name="run-detail"),
    re_path(RUN + r"/cancel/?$", RunViewSet.as_view({"post": "cancel"}), name="run-cancel"),
    re_path(RUN + r"/retry/?$", RunViewSet.as_view({"post": "retry"}), name="run-retry"),
    re_path(RUN + r"/log/?$", LogViewSet.as_view({"get": "list"}), name="run-log"),
    re_path(RUN + r"/rejected/?$", RunViewSet.as_view({"get": "rejected"}), name="run-rejected"),
    re_path(
        r"^mappings/(?P<mapping_id>[0-9a-fA-F]{24})/runs/?$",
        MappingRunsViewSet.as_view({"post": "start"}),
        name="mapping-runs",
    ),
    re_path(
        r"^schedules/(?P<id>[0-9a-fA-F]{24})/backfill/?$",
        BackfillViewSet.as_view({"post": "backfill"}),
        name="schedule-backfill",
    ),
]
