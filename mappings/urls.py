"""Addresses of the mappings and, below each, of its column mappings."""

from django.urls import re_path

from common.api.routers import SlashlessRouter
from mappings.views import (
    ColumnMappingViewSet,
    ConnectionLineageView,
    MappingViewSet,
    ProposalView,
    SchemaLineageView,
)

router = SlashlessRouter()
router.register("mappings", MappingViewSet, basename="mapping")

RULES = r"^mappings/(?P<mapping_id>[0-9a-fA-F]{24})/column-mappings"

urlpatterns = [
    *router.urls,
    re_path(r"^schemas/from-query/?$", ProposalView.as_view(), name="schema-from-query"),
    re_path(
        r"^schemas/(?P<id>[0-9a-fA-F]{24})/lineage/?$",
        SchemaLineageView.as_view(),
        name="schema-lineage",
    ),
    re_path(
        r"^connections/(?P<id>[0-9a-fA-F]{24})/lineage/?$",
        ConnectionLineageView.as_view(),
        name="connection-lineage",
    ),
    re_path(
        RULES + r"/?$",
        ColumnMappingViewSet.as_view(
            {"get": "list", "post": "create", "put": "replace", "delete": "clear"}
        ),
        name="column-mapping-list",
    ),
    re_path(
        RULES + r"/(?P<column_mapping_id>[0-9a-fA-F]{24})/?$",
        ColumnMappingViewSet.as_view(
            {
                "get": "retrieve",
                "put": "update",
                "patch": "partial_update",
                "delete": "destroy",
            }
        ),
        name="column-mapping-detail",
    ),
]
