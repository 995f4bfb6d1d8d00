"""Mappings over REST: the records, their column mappings, and the preview of a query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar, cast

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError as InvalidBody
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common import demo
from common.api.json import JSON, to_json
from common.api.parameters import ListParameters
from common.api.problems import Invalid
from common.api.roles import Access, Role
from common.api.views import DocumentViewSet, records_access
from common.documents.codecs import IdCodec, record_codec, reference_to
from common.documents.models import Document, exists, field_of
from common.documents.store import Stored
from common.exceptions import FieldError, NotFound
from connections.models import Connection
from connections.serializers import NothingSerializer
from mappings import dryrun, lineage, preview, proof, rows as target_rows, rules, source, verify
from mappings.dryrun import DryRunBodySerializer, DryRunSerializer, LimitSerializer
from mappings.models import ColumnMapping, Mapping, Verification, column_names, written_fields
from mappings.serializers import (
    ColumnMappingSerializer,
    FedFieldSerializer,
    FieldSourcesSerializer,
    LineageSerializer,
    MappingSerializer,
    PreviewQuerySerializer,
    PreviewSerializer,
    ProposalQuerySerializer,
    ProposalSerializer,
    VerificationSerializer,
)
from mappings.source import Answer
from mappings.validation import Targets
from schemas.models import Schema
from targets.models import DEFAULT


class TargetCodec(IdCodec):
    """A mapping's target in a filter: an id, or `default` for that without one."""

    def condition(self, text: str) -> Any:
        return None if text == DEFAULT else super().condition(text)


QUERY = {
    "source_connection_id": demo.example_id("connections"),
    "source_query": "SELECT id, full_name, city FROM customers",
}
CUSTOMERS = QUERY | {"target_schema_id": demo.example_id("schemas")}


class MappingViewSet(DocumentViewSet):
    serializer_class = MappingSerializer
    parameters = ListParameters(
        Mapping,
        filters=[
            "name",
            "source_connection_id",
            "target_schema_id",
            "target_id",
            "target_table",
            "write_mode",
        ],
        search=["name", "description", "source_query"],
    )

    parameters.filters["target_id"] = TargetCodec(field_of(Mapping, "target_id"))
    access = records_access(writes=Role.EDITOR) | {
        "preview": Role.ANALYST,
        "verify": Role.EDITOR,
        "dry_run_unsaved": Role.ANALYST,
        "dry_run_saved": Role.ANALYST,
        "lineage": Role.VIEWER,
        "rows": Role.ANALYST,
    }
    asks_sources = frozenset(
        {
            "preview",
            "create",
            "update",
            "partial_update",
            "verify",
            "dry_run_unsaved",
            "dry_run_saved",
            "lineage",
            "rows",
        }
    )
    source_refusals: ClassVar = dict.fromkeys(
        ("preview", "dry_run_unsaved", "dry_run_saved", "rows"), ("429", "502", "504")
    ) | dict.fromkeys(("create", "update", "partial_update"), ("429",))

    examples: ClassVar = {
        "create": {"name": "Shop customers once more", **CUSTOMERS},
        "update": {"description": "Customers, by their id."},
        "partial_update": {"description": "Customers, by their id."},
        "preview": QUERY | {"limit": 5},
        "dry_run_unsaved": {
            **CUSTOMERS,
            "column_mappings": [
                {"type": "direct", "source_columns": ["id"], "target_fields": ["customer_id"]},
                {
                    "type": "split",
                    "source_columns": ["full_name"],
                    "target_fields": ["first_name", "last_name"],
                    "config": {"delimiter": " "},
                },
            ],
            "limit": 5,
        },
        "dry_run_saved": {"limit": 5},
    }

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "ask": self._asked_once}

    def _asked_once(self, connection_id: ObjectId, sql: str) -> Answer:
        """Return what the source says, the same however often this request tries its write."""
        kept: Answer | None = getattr(self, "answer", None)
        if kept is None or kept.query != source.digest(connection_id, sql):
            self.answer = kept = source.ask(connection_id, sql)
        return kept

    @extend_schema(request=NothingSerializer, responses=VerificationSerializer)
    @action(detail=True, methods=["post"], url_path="verify")
    def verify(self, request: Request, **kwargs: Any) -> Response:
        """Ask the source whether the mapping can run, and note the answer on it."""
        document = self.get_document()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        found = verify.verify(document["_id"])
        return Response(record_codec(Verification).show(record_codec(Verification).store(found)))

    @extend_schema(request=PreviewQuerySerializer, responses=PreviewSerializer)
    @action(detail=False, methods=["post"], url_path="preview")
    def preview(self, request: Request) -> Response:
        """Run one read-only statement against a saved connection and show its first rows."""
        return Response(asdict(preview.preview(request.data)))

    @extend_schema(request=DryRunBodySerializer, responses=DryRunSerializer)
    @action(detail=False, methods=["post"], url_path="dry-run")
    def dry_run_unsaved(self, request: Request) -> Response:
        """Show what the first rows of a run would become; nothing is stored."""
        return Response(dryrun.of_body(request.data))

    @extend_schema(request=LimitSerializer, responses=DryRunSerializer)
    @action(detail=True, methods=["post"], url_path="dry-run")
    def dry_run_saved(self, request: Request, **kwargs: Any) -> Response:
        """Show what the first rows of a run of the mapping would become."""
        mapping = Mapping.from_document(self.get_document())
        serializer = LimitSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(dryrun.of_stored(mapping, serializer.validated_data))

    @extend_schema(
        parameters=[
            OpenApiParameter("limit", int, description="1 to 1000; 100 unless told."),
            OpenApiParameter("offset", int),
            OpenApiParameter("run_id", str, description="Only what this run wrote."),
        ],
        responses=PreviewSerializer,
    )
    @action(detail=True, methods=["get"], url_path="rows")
    def rows(self, request: Request, **kwargs: Any) -> Response:
        """Show rows of the target table, other mappings' too, the newest first."""
        mapping = Mapping.from_document(self.get_document())
        return Response(target_rows.rows_of(mapping, **target_rows.asked(request.query_params)))

    @extend_schema(
        parameters=[
            OpenApiParameter("indirect", bool, description="Also columns that only choose rows."),
            OpenApiParameter("format", str, enum=["openlineage"]),
        ],
        responses=LineageSerializer,
    )
    @action(detail=True, methods=["get"], url_path="lineage")
    def lineage(self, request: Request, **kwargs: Any) -> Response:
        """Tell from which columns of the source each target field comes."""
        asked = asked_for(request, indirect=("true", "false"), format=("openlineage",))
        mapping = Mapping.from_document(self.get_document())
        indirect = asked.get("indirect") == "true"
        found = lineage.fields_of(mapping, rules.in_order(mapping.pk), indirect)
        if asked.get("format") == "openlineage":
            from mappings import openlineage  # half a second that nobody else waits for

            records = lineage.connection_and_schema(mapping)
            found = openlineage.event(mapping, *records, found["fields"])
        return Response(found)


def asked_for(request: Request, **known: tuple[str, ...] | None) -> dict[str, str]:
    """Return the query's parameters; `known` has the values that each may have, None for any.

    Raises Invalid, naming every one that makes no sense.
    """
    errors: list[FieldError] = []
    for name, text in request.query_params.items():
        values = known.get(name)
        said = ""
        if name not in known:
            said = f"There is no such parameter; there are {', '.join(known)}."
        elif values is not None and text not in values:
            said = f"Expected {' or '.join(values)}."
        elif not text or "\0" in text:
            said = "Expected plain text."
        if said:
            errors.append({"field": str(name), "code": "invalid", "message": said})
    if errors:
        raise Invalid(errors)
    return {str(name): str(text) for name, text in request.query_params.items()}


class SchemaLineageView(APIView):
    """What feeds a schema."""

    access: ClassVar[Access] = {"get": Role.VIEWER}

    @extend_schema(
        operation_id="schemas_lineage",
        tags=["schemas"],
        parameters=[OpenApiParameter("column", str)],
        responses=FieldSourcesSerializer(many=True),
    )
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - as records have it
        """Tell what feeds the fields of a schema, or one of them, mapping by mapping."""
        asked = asked_for(request, column=None)
        refuse_unknown(Schema, id)
        return Response(lineage.into_schema(ObjectId(id), asked.get("column")))


class ConnectionLineageView(APIView):
    """What a source feeds."""

    access: ClassVar[Access] = {"get": Role.VIEWER}

    @extend_schema(
        operation_id="connections_lineage",
        tags=["connections"],
        parameters=[OpenApiParameter("table", str), OpenApiParameter("column", str)],
        responses=FedFieldSerializer(many=True),
    )
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - as records have it
        """Tell into which fields a table, or one of its columns, flows."""
        asked = asked_for(request, table=None, column=None)
        refuse_unknown(Connection, id)
        found = lineage.out_of_connection(ObjectId(id), asked.get("table"), asked.get("column"))
        return Response(found)


def refuse_unknown(model: type[Document], identifier: str) -> None:
    if not exists(model, ObjectId(identifier)):
        raise NotFound(f"There is no {model._meta.verbose_name} with the id {identifier}.")


class ProposalView(APIView):
    """A schema that takes what a query returns."""

    access: ClassVar[Access] = {"post": Role.ANALYST}
    source_refusals: ClassVar = {"post": ("429", "502", "504")}
    examples: ClassVar = {"post": QUERY}

    @extend_schema(
        operation_id="schemas_from_query",
        tags=["schemas"],
        request=ProposalQuerySerializer,
        responses=ProposalSerializer,
    )
    def post(self, request: Request) -> Response:
        """Propose a schema from a query's result columns; nothing is stored."""
        return Response({"columns": preview.propose(request.data)})


Rules = list[ColumnMapping]

ONE_OR_SEVERAL = PolymorphicProxySerializer(
    component_name="ColumnMappings",
    serializers=[ColumnMappingSerializer, ColumnMappingSerializer(many=True)],
    resource_type_field_name=None,
    many=False,
)


# `many=True` makes a list of the serializer, which has a length.
SEVERAL = cast("Any", ColumnMappingSerializer)(many=True, max_length=rules.MAX_RULES)


class ColumnMappingViewSet(DocumentViewSet):
    """The rules of one mapping, in the order they were added."""

    serializer_class = ColumnMappingSerializer
    parameters = ListParameters(ColumnMapping, filters=["type"], search=[], order="created_at")
    access = records_access(writes=Role.EDITOR) | {"replace": Role.EDITOR, "clear": Role.EDITOR}
    lookup_url_kwarg = "column_mapping_id"
    asks_sources = frozenset({"create", "replace", "update", "partial_update"})
    examples: ClassVar = {
        "create": {"type": "direct", "source_columns": ["city"], "target_fields": ["city"]},
        # It becomes the item of an array.
        "replace": {"type": "direct", "source_columns": ["id"], "target_fields": ["customer_id"]},
    }

    @property
    def mapping_id(self) -> ObjectId:
        return ObjectId(self.kwargs["mapping_id"])

    def scope(self) -> Stored:
        return {"mapping_id": reference_to(self.mapping_id)}

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """List the rules of one mapping, in the order they were added."""
        self._refuse_without_mapping()
        return super().list(request, *args, **kwargs)

    def get_document(self) -> Stored:
        self._refuse_without_mapping()
        return super().get_document()

    def _refuse_without_mapping(self) -> None:
        if not exists(Mapping, self.mapping_id):
            raise NotFound(f"There is no mapping with the id {self.mapping_id}.")

    @extend_schema(request=ONE_OR_SEVERAL, responses={201: ONE_OR_SEVERAL})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Add one rule (an object) or several (an array, all or none)."""
        self._refuse_without_mapping()
        data = request.data
        if data == []:
            raise InvalidBody("Expected at least one column mapping.")

        answer = self._asked()

        def add(mapping: Mapping) -> Rules:
            written = written_fields(self.mapping_id)
            targets = Targets(column_names(mapping.target_schema_id), written)
            beside = len(rules.stored_rules(self.mapping_id))
            added = self._checked(data, targets, proof.columns_for(mapping, answer), beside)
            with self._by_position(data):
                if isinstance(data, list):
                    rules.add(self.mapping_id, added)
                else:
                    rules.add_one(*added)
            verify.note_rules(self.mapping_id, answer)
            return added

        added = rules.changing(self.mapping_id, add)
        if isinstance(data, list):
            return self._set_response(added, status.HTTP_201_CREATED)
        return self.created_response(added[0])

    @extend_schema(
        request=SEVERAL,
        responses=ColumnMappingSerializer(many=True),
    )
    def replace(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Make an array of rules the whole set; an empty one clears it."""
        self._refuse_without_mapping()
        data = request.data
        if not isinstance(data, list):
            raise InvalidBody("Expected a JSON array of column mappings.")

        answer = self._asked()

        def replace(mapping: Mapping) -> Rules:
            targets = Targets(column_names(mapping.target_schema_id), written={})
            wanted = self._checked(data, targets, proof.columns_for(mapping, answer))
            with self._by_position(data):
                rules.replace(self.mapping_id, wanted)
            verify.note_rules(self.mapping_id, answer)
            return wanted

        return self._set_response(rules.changing(self.mapping_id, replace), status.HTTP_200_OK)

    def clear(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove every rule of the mapping."""
        self._refuse_without_mapping()

        def clear(mapping: Mapping) -> None:
            rules.clear(self.mapping_id)
            verify.note_gone(self.mapping_id, stay=[])

        rules.changing(self.mapping_id, clear)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        self._refuse_without_mapping()
        self.current_document(request)
        answer = self._asked() if request.data else None
        if answer is not None:
            mapping = verify.loaded(self.mapping_id)
            self.columns = proof.columns_for(mapping, answer)
        response = super().update(request, *args, **kwargs)
        if answer is not None:
            verify.note_rules(self.mapping_id, answer)
        return response

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete one rule of a mapping."""
        response = super().destroy(request, *args, **kwargs)
        verify.note_gone(self.mapping_id, rules.in_order(self.mapping_id))
        return response

    columns: proof.Columns | None = None

    def get_serializer_context(self) -> dict[str, Any]:
        known = self.columns._asdict() if self.columns else {}
        return {**super().get_serializer_context(), **known}

    def _asked(self) -> Answer:
        """Return what the mapping's source says of its query, before anything is locked."""
        mapping = verify.loaded(self.mapping_id)
        return source.ask(mapping.source_connection_id, mapping.source_query)

    def _checked(
        self, data: Any, targets: Targets, columns: proof.Columns | None, beside: int = 0
    ) -> Rules:
        """Return the rules of a body, each checked against the schema, the source's columns and
        those before it.

        Raises InvalidBody with the errors of all of them; an array's by position.
        """
        items = data if isinstance(data, list) else [data]
        if len(items) + beside > rules.MAX_RULES:
            raise InvalidBody(
                f"A mapping has at most {rules.MAX_RULES} column mappings; these would make "
                f"{len(items) + beside}."
            )
        checked: Rules = []
        errors: dict[Any, Any] = {}
        known = columns._asdict() if columns else {}
        context = {"mapping_id": self.mapping_id, "targets": targets, **known}
        for position, item in enumerate(items):
            serializer = ColumnMappingSerializer(context=context)
            try:
                serializer.run_validation(item)
            except InvalidBody as wrong:
                errors[position] = wrong.detail
            else:
                rule = serializer.record
                targets.take(rule.target_fields, f"the rule at position {position}")
                checked.append(rule)
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
        records = [ColumnMappingSerializer.show(rule.document) for rule in added]
        return HttpResponse(to_json(records), status=status, content_type=JSON)
