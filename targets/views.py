"""Targets over REST, and the test of one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common import demo
from common.api import lists
from common.api.json import JSON, to_json
from common.api.parameters import ListParameters, ListQuery
from common.api.roles import Role
from common.api.views import DocumentViewSet, records_access
from common.documents.store import Stored
from common.exceptions import Conflict
from connections.serializers import NothingSerializer
from targets.listing import with_default
from targets.models import DEFAULT, Target, default_document
from targets.serializers import TargetSerializer, TargetTestSerializer, TrialSerializer
from targets.trial import try_target


class ReadOnly(Conflict):
    code = "read_only"


DATABASE = {"kind": "postgresql", "connection_id": demo.example_id("connections")}


class TargetViewSet(DocumentViewSet):
    serializer_class = TargetSerializer
    lookup_value_regex = "[0-9a-fA-F]{24}|default"
    parameters = ListParameters(
        Target,
        filters=["name", "kind", "uri", "connection_id", "db_schema", "last_test_status"],
        search=["name", "uri", "db_schema"],
        ordered_by=["last_tested_at"],
    )
    access = records_access(writes=Role.OPERATOR) | {
        "probe_unsaved": Role.OPERATOR,
        "probe_saved": Role.OPERATOR,
    }
    asks_sources = frozenset({"probe_unsaved", "probe_saved"})
    source_refusals: ClassVar = dict.fromkeys(("probe_unsaved", "probe_saved"), ("429",))
    examples: ClassVar = {"create": {"name": "A database", **DATABASE}, "probe_unsaved": DATABASE}

    @property
    def is_default(self) -> bool:
        return bool(self.kwargs.get(self.lookup_field) == DEFAULT)

    def page(self, query: ListQuery) -> lists.Page:
        return with_default(super().page(query), query)

    def get_document(self) -> Stored:
        return default_document() if self.is_default else super().get_document()

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Read one target; `default` is the one that is there without any."""
        if not self.is_default:
            return super().retrieve(request, *args, **kwargs)
        # It is stored nowhere, and never changes: there is no version to name.
        return HttpResponse(to_json(TargetSerializer.show(default_document())), content_type=JSON)

    def current_document(self, request: Request) -> Stored:
        if self.is_default:
            _ = request.data  # What is no JSON is refused first.
            raise ReadOnly("The default target is a part of the service, and cannot be changed.")
        return super().current_document(request)

    @extend_schema(request=TargetTestSerializer, responses=TrialSerializer)
    @action(detail=False, methods=["post"], url_path="test", url_name="test-unsaved")
    def probe_unsaved(self, request: Request) -> Response:
        """Test a target that is not stored; its name does not matter."""
        serializer = TargetTestSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return Response(try_target(serializer.record))

    @extend_schema(request=NothingSerializer, responses=TrialSerializer)
    @action(detail=True, methods=["post"], url_path="test", url_name="test")
    def probe_saved(self, request: Request, **kwargs: Any) -> Response:
        """Test a stored target, and note how it went; takes no overrides."""
        document = self.get_document()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        if self.is_default:
            return Response(try_target(None))
        target = Target.from_document(document)
        result = try_target(target)
        target.record_test(result["message"], result["details"].get("error_code"))
        return Response(result)
