"""Connections over REST, and the test of one."""

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common.listing import Parameters
from common.views import DocumentViewSet
from connections.models import Connection
from connections.probe import probe
from connections.refusals import as_refusals
from connections.serializers import (
    ConnectionSerializer,
    ConnectionTestSerializer,
    NothingSerializer,
    TestResultSerializer,
)


class ConnectionViewSet(DocumentViewSet):
    serializer_class = ConnectionSerializer
    parameters = Parameters(
        Connection,
        filters=["name", "db_type", "host", "port", "database", "username", "last_test_status"],
        search=["name", "host", "database", "username"],
        ordered_by=["last_tested_at"],
    )
    source_refusals: ClassVar = {"probe_unsaved": ("429",), "probe_saved": ("429",)}

    @extend_schema(request=ConnectionTestSerializer, responses=TestResultSerializer)
    @action(detail=False, methods=["post"], url_path="test", url_name="test-unsaved")
    def probe_unsaved(self, request: Request) -> Response:
        """Test a connection that is not stored; its name does not matter."""
        serializer = ConnectionTestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(self._probe(serializer.record))

    @extend_schema(request=NothingSerializer, responses=TestResultSerializer)
    @action(detail=True, methods=["post"], url_path="test", url_name="test")
    def probe_saved(self, request: Request, **kwargs: Any) -> Response:
        """Test a stored connection, and note how it went; takes no overrides."""
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        connection = Connection.from_document(self.get_document())
        result = self._probe(connection)
        connection.record_test(result["success"])
        return Response(result)

    def _probe(self, connection: Connection) -> dict[str, Any]:
        with as_refusals():
            result = probe(connection.params(), timeout_s=settings.PROBE_TIMEOUT_S)
        return {"success": result.success, "message": result.message, "details": result.details}
