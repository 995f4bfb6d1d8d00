"""Addresses of the connections."""

from django.urls import re_path

from common.api.routers import SlashlessRouter
from connections.views import ConnectionCheckViewSet, ConnectionViewSet

router = SlashlessRouter()
router.register("connections", ConnectionViewSet, basename="connection")

urlpatterns = [
    *router.urls,
    re_path(
        r"^connections/(?P<id>[0-9a-fA-F]{24})/checks/?$",
        ConnectionCheckViewSet.as_view({"get": "list"}),
        name="connection-checks",
    ),
]
