"""Schemas over REST: the records, what a change of one would be, and what it was before."""

from typing import Any, ClassVar

from bson import ObjectId
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.parameters import ListParameters
from common.api.roles import Access, Role
from common.api.views import DocumentViewSet, records_access
from common.documents.models import exists
from common.documents.store import Stored
from common.exceptions import NotFound
from schemas import impact
from schemas.models import Schema, SchemaVersion
from schemas.serializers import SchemaReportSerializer, SchemaSerializer, VersionSerializer


class SchemaViewSet(DocumentViewSet):
    serializer_class = SchemaSerializer
    parameters = ListParameters(Schema, filters=["name"], search=["name", "description"])
    access = records_access(writes=Role.EDITOR) | {"check_change": Role.VIEWER}

    examples: ClassVar = {
        "create": {
            "name": "contacts",
            "columns": [
                {"name": "contact_id", "data_type": "integer"},
                {"name": "full_name", "data_type": "string"},
                {"name": "registered_at", "data_type": "timestamp"},
            ],
        },
        "update": {"description": "Customers of the demo shop, and where they live."},
        "partial_update": {"description": "Customers of the demo shop, and where they live."},
        "check_change": {"columns": [{"name": "customer_id", "data_type": "string"}]},
    }

    @extend_schema(request=SchemaSerializer, responses=SchemaReportSerializer)
    @action(detail=True, methods=["post"], url_path="check")
    def check_change(self, request: Request, **kwargs: Any) -> Response:
        """Say what a change would be and whom it touches; the body is a change's."""
        schema = Schema.from_document(self.get_document())
        serializer = SchemaSerializer(
            schema, data=request.data, partial=True, context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        return Response(impact.report(schema.pk, schema.differences()))


class VersionParameters(ListParameters):
    """The newest first; its number is all that a version is asked for by."""

    def __init__(self) -> None:
        super().__init__(SchemaVersion, filters=["version"], order="-version")
        self.orderable = ["version"]


class SchemaVersionViewSet(DocumentViewSet):
    """What the columns of one schema were."""

    serializer_class: Any = VersionSerializer
    parameters = VersionParameters()
    access: ClassVar[Access] = {"list": Role.VIEWER}
    http_method_names = ("get", "head", "options")

    def scope(self) -> Stored:
        return {"schema_id": ObjectId(self.kwargs["schema_id"])}

    @extend_schema(responses=VersionSerializer(many=True))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """List the versions of a schema's columns, newest first; none before the first change."""
        schema_id = self.kwargs["schema_id"]
        if not exists(Schema, ObjectId(schema_id)):
            raise NotFound(f"There is no schema with the id {schema_id}.")
        return super().list(request, *args, **kwargs)
