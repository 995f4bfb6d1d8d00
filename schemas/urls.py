"""Addresses of the schemas."""

from django.urls import re_path

from common.api.routers import SlashlessRouter
from schemas.views import SchemaVersionViewSet, SchemaViewSet

router = SlashlessRouter()
router.register("schemas", SchemaViewSet, basename="schema")

urlpatterns = [
    *router.urls,
    re_path(
        r"^schemas/(?P<schema_id>[0-9a-fA-F]{24})/versions/?$",
        SchemaVersionViewSet.as_view({"get": "list"}),
        name="schema-version-list",
    ),
]
