"""Mappings over REST: the records, their column mappings, and the preview of a query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError as InvalidBody
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.api.json import JSON, to_json
from common.api.parameters import Parameters
from common.api.views import DocumentViewSet
from common.documents import store
from common.documents.store import Stored
from common.exceptions import NotFound
from mappings import preview, rules
from mappings.models import ColumnMapping, Mapping, column_names, written_fields
from mappings.serializers import (
    ColumnMappingSerializer,
    MappingSerializer,
    PreviewQuerySerializer,
    PreviewSerializer,
    ProposalQuerySerializer,
    ProposalSerializer,
)
from mappings.validation import Targets


class MappingViewSet(DocumentViewSet):
    serializer_class = MappingSerializer
    parameters = Parameters(
        Mapping,
        filters=["name", "source_connection_id", "target_schema_id"],
        search=["name", "description", "source_query"],
    )

    source_refusals: ClassVar = {"preview": ("429", "502", "504")}

    @extend_schema(request=PreviewQuerySerializer, responses=PreviewSerializer)
    @action(detail=False, methods=["post"], url_path="preview")
    def preview(self, request: Request) -> Response:
        """Run one read-only statement against a saved connection and show its first rows."""
        return Response(asdict(preview.preview(request, request.data)))


class ProposalView(APIView):
    """A schema that takes what a query returns."""

    @extend_schema(
        operation_id="schemas_from_query",
        tags=["schemas"],
        request=ProposalQuerySerializer,
        responses=ProposalSerializer,
    )
    def post(self, request: Request) -> Response:
        """Propose a schema from a query's result columns; nothing is stored."""
        return Response({"columns": preview.propose(request, request.data)})


Rules = list[ColumnMapping]

ONE_OR_SEVERAL = PolymorphicProxySerializer(
    component_name="ColumnMappings",
    serializers=[ColumnMappingSerializer, ColumnMappingSerializer(many=True)],
    resource_type_field_name=None,
    many=False,
)


class ColumnMappingViewSet(DocumentViewSet):
    """The rules of one mapping, in the order they were added."""

    serializer_class = ColumnMappingSerializer
    parameters = Parameters(ColumnMapping, filters=["type"], search=[], order="created_at")
    lookup_url_kwarg = lookup_field = "column_mapping_id"

    @property
    def mapping_id(self) -> ObjectId:
        return ObjectId(self.kwargs["mapping_id"])

    def scope(self) -> Stored:
        return {"mapping_id": self.mapping_id}

    def schema_id(self) -> ObjectId | None:
        """Return the target schema of the view's mapping. Raises NotFound."""
        found = store.collection(Mapping).find_one(self.mapping_id, {"target_schema_id": 1})
        if found is None:
            raise NotFound(f"There is no mapping with the id {self.mapping_id}.")
        return found.get("target_schema_id")

    @contextmanager
    def changing(self) -> Iterator[ObjectId | None]:
        """Hold the mapping, so that its rules are checked and written as one step.

        Yields the id of its target schema.
        """
        with store.lease(Mapping, self.mapping_id):
            yield self.schema_id()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.schema_id()
        return super().list(request, *args, **kwargs)

    @extend_schema(request=ONE_OR_SEVERAL, responses={201: ONE_OR_SEVERAL})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Add one rule (an object) or several (an array, all or none)."""
        if isinstance(request.data, list):
            with self.changing() as schema_id:
                added = self._add(request.data, schema_id)
            return self._set_response(added, status.HTTP_201_CREATED)
        with self.changing() as schema_id:
            (rule,) = self._add(request.data, schema_id)
        return self.created_response(rule)

    @extend_schema(
        request=ColumnMappingSerializer(many=True), responses=ColumnMappingSerializer(many=True)
    )
    def replace(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Make an array of rules the whole set; an empty one clears it."""
        if not isinstance(request.data, list):
            raise InvalidBody("Expected a JSON array of column mappings.")
        with self.changing() as schema_id:
            wanted = self._checked(request.data, Targets(column_names(schema_id), written={}))
            with self._by_position(request.data):
                rules.replace(self.mapping_id, wanted)
        return self._set_response(wanted, status.HTTP_200_OK)

    def clear(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove every rule of the mapping."""
        with self.changing():
            rules.clear(self.mapping_id)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        with self.changing():
            return super().update(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self.changing():
            return super().destroy(request, *args, **kwargs)

    def _add(self, data: Any, schema_id: ObjectId | None) -> Rules:
        if data == []:
            raise InvalidBody("Expected at least one column mapping.")
        written = written_fields(self.mapping_id)
        added = self._checked(data, Targets(column_names(schema_id), written))
        with self._by_position(data):
            rules.add(added)
        return added

    def _checked(self, data: Any, targets: Targets) -> Rules:
        """Return the rules of a body, each checked against the schema and those before it.

        Raises InvalidBody with the errors of all of them; an array's by position.
        """
        checked: Rules = []
        errors: dict[Any, Any] = {}
        context = {"mapping_id": self.mapping_id, "targets": targets}
        serializer = ColumnMappingSerializer(context=context)
        for position, item in enumerate(data if isinstance(data, list) else [data]):
            try:
                serializer.run_validation(item)
            except InvalidBody as wrong:
                errors[position] = wrong.detail
            else:
                targets.take(serializer.record.target_fields, f"the rule at position {position}")
                checked.append(serializer.record)
        if errors:
            raise InvalidBody(errors if isinstance(data, list) else errors[0])
        return checked

    @contextmanager
    def _by_position(self, data: Any) -> Iterator[None]:
        try:
            yield
        except ValidationError as wrong:
            found = wrong.message_dict
            raise InvalidBody(
                found if isinstance(data, list) else {"target_fields": found.popitem()[1]}
            ) from wrong

    def _set_response(self, added: Rules, status: int) -> HttpResponse:
        records = [self.reader.record(rule._stored or {}) for rule in added]
        return HttpResponse(to_json(records), status=status, content_type=JSON)
