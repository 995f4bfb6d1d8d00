"""Connections over REST, and the test of one."""

from dataclasses import asdict
from typing import Any, ClassVar

from bson import ObjectId
from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common import demo
from common.api.parameters import ListParameters, TimelineParameters
from common.api.roles import Access, Role
from common.api.views import DocumentViewSet, records_access
from common.context import client_address
from common.documents.models import exists
from common.documents.store import Stored
from common.exceptions import NotFound
from connections.models import Connection, ConnectionCheck
from connections.refusals import as_refusals
from connections.serializers import (
    ConnectionCheckSerializer,
    ConnectionSerializer,
    ConnectionTestSerializer,
    NothingSerializer,
    TableColumnSerializer,
    TableSerializer,
    TestResultSerializer,
)
from sources.contract import SourceParams
from sources.preview import describe_table, list_tables
from sources.probe import probe

# What `make run` starts, and the name of the variable that holds its password.
SHOP = demo.place() | {"secrets_from": {"password": {"env": demo.PASSWORD}}}


class ConnectionViewSet(DocumentViewSet):
    serializer_class = ConnectionSerializer
    parameters = ListParameters(
        Connection,
        filters=["name", "db_type", "host", "port", "database", "username", "last_test_status"],
        search=["name", "host", "database", "username"],
        ordered_by=["last_tested_at"],
    )
    access = records_access(writes=Role.OPERATOR) | {
        "probe_unsaved": Role.OPERATOR,
        "probe_saved": Role.OPERATOR,
        "tables": Role.ANALYST,
        "table": Role.ANALYST,
    }
    asks_sources = frozenset({"probe_unsaved", "probe_saved", "tables", "table"})
    source_refusals: ClassVar = {
        "probe_unsaved": ("429",),
        "probe_saved": ("429",),
        "tables": ("429", "502", "504"),
        "table": ("429", "502", "504"),
    }

    examples: ClassVar = {
        "create": {"name": "My shop", **SHOP},
        "probe_unsaved": SHOP,
        "update": {"database": "shop"},
        "partial_update": {"database": "shop"},
    }

    @extend_schema(request=ConnectionTestSerializer, responses=TestResultSerializer)
    @action(detail=False, methods=["post"], url_path="test", url_name="test-unsaved")
    def probe_unsaved(self, request: Request) -> Response:
        """Test a connection that is not stored; its name does not matter."""
        serializer = ConnectionTestSerializer(
            data=request.data, context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        return Response(self._probe(serializer.record))

    @extend_schema(request=NothingSerializer, responses=TestResultSerializer)
    @action(detail=True, methods=["post"], url_path="test", url_name="test")
    def probe_saved(self, request: Request, **kwargs: Any) -> Response:
        """Test a stored connection, and note how it went; takes no overrides."""
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        connection = Connection.from_document(self.get_document())
        result = self._probe(connection)
        connection.record_test(result["message"], result["details"].get("error_code"))
        return Response(result)

    @extend_schema(responses=TableSerializer(many=True))
    @action(detail=True, methods=["get"], url_path="tables")
    def tables(self, request: Request, **kwargs: Any) -> Response:
        """List the tables and views that the connection's account may read."""
        with as_refusals():
            found = list_tables(self._params(), settings.PREVIEW_TIMEOUT_S, client_address())
        return Response([asdict(table) for table in found])

    @extend_schema(responses=TableColumnSerializer(many=True))
    @action(detail=True, methods=["get"], url_path=r"tables/(?P<table>.+?)", url_name="table")
    def table(self, request: Request, table: str, **kwargs: Any) -> Response:
        """Describe the columns of one table: `name`, or `schema.name`."""
        with as_refusals():
            found = describe_table(
                self._params(), table, settings.PREVIEW_TIMEOUT_S, client_address()
            )
        if not found:
            raise NotFound(f'The connection shows no table "{table}".')
        return Response([asdict(column) for column in found])

    def _params(self) -> SourceParams:
        return Connection.from_document(self.get_document()).params()

    def _probe(self, connection: Connection) -> dict[str, Any]:
        with as_refusals():
            result = probe(connection.params(), settings.PROBE_TIMEOUT_S, client_address())
        return {"success": result.success, "message": result.message, "details": result.details}


class ConnectionCheckViewSet(DocumentViewSet):
    """How one connection was, check by check."""

    serializer_class: Any = ConnectionCheckSerializer
    parameters = TimelineParameters(ConnectionCheck, ["success", "error_code"], "at")
    access: ClassVar[Access] = {"list": Role.VIEWER}
    http_method_names = ("get", "head", "options")

    def scope(self) -> Stored:
        return {"connection_id": ObjectId(self.kwargs["id"])}

    @extend_schema(responses=ConnectionCheckSerializer(many=True))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """List the checks of 30 days, newest first: one every CONNECTION_CHECK_EVERY_S."""
        if not exists(Connection, ObjectId(self.kwargs["id"])):
            raise NotFound(f"There is no connection with the id {self.kwargs['id']}.")
        return super().list(request, *args, **kwargs)
