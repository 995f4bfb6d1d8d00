"""The OpenAPI document: what drf-spectacular cannot read from views and serializers alone."""

from __future__ import annotations

import re
from typing import Any, Final

from django.conf import settings
from drf_spectacular.extensions import (
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema as BaseAutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers

from common import demo
from common.api.endpoints import operation_name
from common.api.json import PROBLEM_JSON
from common.api.parameters import ListParameters
from common.api.roles import role_for

OBJECT_ID = {
    "type": "string",
    "pattern": "^[0-9a-f]{24}$",
    "examples": ["665f1c2ab7e4d90012ab34cd"],
}
RECORD_METHODS = ("GET", "PUT", "PATCH", "DELETE")
QUERY: Final = OpenApiParameter.QUERY
HEADER: Final = OpenApiParameter.HEADER
PATH: Final = OpenApiParameter.PATH

REFUSALS = {
    "400": "A field, parameter or the body itself is wrong; `errors` names all that are.",
    "401": "`authentication_required`, or `invalid_token`.",
    "403": "`forbidden`, which names the role that may, or `csrf_failed`.",
    "404": "There is no such record.",
    "409": "`duplicate_name`, `in_use` or `incompatible_schema`.",
    "412": "The record changed since `If-Match` was read.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not JSON.",
    "429": "Too many tests or previews are running.",
    "502": "`source_unreachable`: the source database cannot be reached, or refuses the login.",
    "503": "`store_unavailable`: the configuration store does not answer; see `Retry-After`.",
    "504": "`source_timeout`: the source database stayed silent, or the query took too long.",
}
SENTENCES = {
    "list": "List each {}, newest change first.",
    "create": "Create a {}.",
    "retrieve": "Read one {}.",
    "update": "Change the fields of a {} that are sent, and keep the others.",
    "partial_update": "Change the fields of a {} that are sent, and keep the others.",
    "destroy": "Delete a {} that nothing uses.",
}
BODY_REFUSALS = ("400", "413", "415")


class FieldErrorSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="A path such as `columns.2.data_type`.")
    code = serializers.CharField()
    message = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """A refusal, as RFC 9457 describes it."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="One readable sentence.")
    code = serializers.CharField(help_text="For programs: `invalid`, `duplicate_name`, `in_use` …")
    # DRF takes declared fields off the class, so the property of this name stays what it is.
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]


class IdFieldExtension(OpenApiSerializerFieldExtension):
    target_class = "common.api.fields.IdField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return dict(OBJECT_ID)


class StrictSerializerExtension(OpenApiSerializerExtension):
    """Says of a body that it takes no other fields, and how long its lists may be.

    What is read-only is among them: it is accepted, so that a record can be sent back whole.
    """

    target_class = "common.api.serializers.StrictMixin"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        body: Any = self.target
        schema: dict[str, Any] = auto_schema._map_serializer(
            body, direction, bypass_extensions=True
        )
        properties = schema.setdefault("properties", {})
        for name, field in body.fields.items():
            if name in properties and hasattr(field, "allow_empty"):
                properties[name] |= _lengths(field)
            if direction == "request" and field.read_only:
                # drf-spectacular takes what is marked `readOnly` out of bodies.
                properties[name] = {"description": "Read-only: accepted, and ignored."}
        for other, name in getattr(body, "ALIASES", {}).items():
            properties[other] = {**properties[name], "description": f"Another name of {name}."}
            schema["required"].remove(name)
            either = [{"required": [name]}, {"required": [other]}]
            schema.setdefault("allOf", []).append({"oneOf": either})
        if not schema.get("required", True):
            del schema["required"]
        return schema | ({"additionalProperties": False} if direction == "request" else {})


def _lengths(field: Any) -> dict[str, int]:
    """Return how many items a list field takes, in JSON Schema's words."""
    least = 0 if field.allow_empty else 1
    found = {"minItems": field.min_length or least, "maxItems": field.max_length}
    return {name: number for name, number in found.items() if number}


class AutoSchema(BaseAutoSchema):
    """Adds what every endpoint shares: problems, entity tags, the parameters of lists."""

    def get_tags(self) -> list[str]:
        head = (self._parts() or [""])[0]
        tags: Any = settings.SPECTACULAR_SETTINGS["TAGS"]
        known = {tag["name"] for tag in tags}
        return [head if head in known else "service"]

    def get_operation_id(self) -> str:
        """Return a name such as `connections_retrieve`, unique by the view's own action."""
        return operation_name(self.path, self._action())

    def _action(self) -> str:
        return str(getattr(self.view, "action", None) or self.method.lower())

    def get_summary(self) -> str:
        """Return the first sentence of the description."""
        return re.split(r"\. |[.:;]?\n|[.:;]$", self._sentence(), maxsplit=1)[0]

    def get_examples(self) -> list[OpenApiExample]:
        """Return the body that the view has for the action: it works with the demo's records."""
        body = getattr(self.view, "examples", {}).get(self._action())
        return [] if body is None else [OpenApiExample("demo", body, request_only=True)]

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's own signature
        """Return what the action's docstring says, or a sentence on the record; then the role."""
        role = role_for(self.view, self._action())
        return f"{self._sentence()}\n\n{f'Role: {role.word}.' if role else 'Open to everybody.'}"

    def _sentence(self) -> str:
        view: Any = self.view
        action = getattr(view, "action", None)
        sentence = SENTENCES.get(action or "")
        if sentence and action not in vars(type(view)):
            return sentence.format(view.serializer_class.Meta.model._meta.verbose_name)

        return str(super().get_description())

    def _parts(self) -> list[str]:
        """Return the path below the API's prefix, in parts."""
        return [part for part in self.path.removeprefix(settings.API_V1_PREFIX).split("/") if part]

    def get_override_parameters(self) -> list[Any]:
        kinds = {"id": "".join(self._parts()[:1]), "mapping_id": "mappings", "schema_id": "schemas"}
        parameters = [
            OpenApiParameter(name, OBJECT_ID, PATH, examples=demo_examples(kinds.get(name)))
            for name in ("id", "mapping_id", "column_mapping_id", "schema_id")
            if "{" + name + "}" in self.path
        ]
        listed = getattr(self.view, "parameters", None)
        if getattr(self.view, "action", None) == "list" and listed:
            return parameters + list_parameters(listed)
        return parameters + (record_parameters(self.method) if self._is_record() else [])

    def _is_record(self) -> bool:
        """Tell whether the answer is one stored record, with an ETag."""
        return getattr(self.view, "action", None) in (
            "create", "retrieve", "update", "partial_update", "destroy",
        )  # fmt: skip

    def _get_request_for_media_type(self, serializer: Any, direction: Any = "request") -> Any:
        if isinstance(serializer, serializers.ListSerializer):
            schema, required = super()._get_request_for_media_type(serializer, direction)
            return {**schema, **_lengths(serializer)}, required
        # PUT changes the fields that are sent, as PATCH does.
        if getattr(self.view, "action", None) != "update":
            return super()._get_request_for_media_type(serializer, direction)
        self.method = "PATCH"
        try:
            return super()._get_request_for_media_type(serializer, direction)
        finally:
            self.method = "PUT"

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        if self._is_record() and self.method == "GET":
            bodies["304"] = {"description": "Unchanged since `If-None-Match` was read."}
        problem = self.resolve_serializer(ProblemSerializer, direction).ref
        for code in self._refusals():
            bodies.setdefault(
                code,
                {"description": REFUSALS[code], "content": {PROBLEM_JSON: {"schema": problem}}},
            )
        return dict(sorted(bodies.items()))

    def _refusals(self) -> set[str]:
        action = getattr(self.view, "action", None)
        asks = getattr(self.view, "source_refusals", {})
        if action is None:
            own: tuple[str, ...] = asks.get(self.method.lower(), ())
            return {"401", "403", "503", *BODY_REFUSALS, *own} if own else set()
        codes = {
            "401",
            "403",
            "503",
            *(BODY_REFUSALS if self.method in ("POST", "PUT", "PATCH") else ()),
        }
        codes |= {"404"} if "{" in self.path else set()
        codes |= {"400"} if action == "list" else set()
        codes |= {"409"} if action in ("create", "update", "partial_update", "destroy") else set()
        codes |= {"412"} if action in ("update", "partial_update", "destroy") else set()
        return codes | set(asks.get(action, ()))


def demo_examples(kind: str | None) -> list[OpenApiExample]:
    """Return the id of one of the demo's records, where it has some of this kind."""
    return [OpenApiExample("demo", demo.example_id(kind))] if kind in demo.IDS else []


def list_parameters(listed: ListParameters) -> list[OpenApiParameter]:
    """Return the query parameters of a list, and the headers of its answer."""
    described = {
        "limit": "How many records; all without it.",
        "offset": "How many records to pass over.",
        "cursor": "Instead of offset: empty to begin, then as the Link header says.",
        "ordering": f"Comma-separated, `-` for descending: {', '.join(listed.orderable)}.",
    }
    if listed.search:
        described["search"] = f"A part of {', '.join(listed.search)}, in any case."
    described |= dict.fromkeys(listed.filters, "Exactly this value.")
    headers = {
        "X-Total-Count": "How many records there are in all.",
        "Link": "RFC 8288: first, prev, next and last.",
    }
    numbers = ("limit", "offset", "X-Total-Count")
    return [
        OpenApiParameter(name, int if name in numbers else str, QUERY, description=text)
        for name, text in described.items()
    ] + [
        OpenApiParameter(
            name, int if name in numbers else str, HEADER, response=[200], description=text
        )
        for name, text in headers.items()
    ]


def record_parameters(method: str) -> list[OpenApiParameter]:
    """Return the header that an operation on one record takes, and the tag that it answers."""
    tag = OpenApiParameter("ETag", str, HEADER, response=[200, 201], description="The version.")
    if method == "GET":
        return [tag, OpenApiParameter("If-None-Match", str, HEADER)]
    if method == "POST":
        return [tag]
    return [tag, OpenApiParameter("If-Match", str, HEADER, description="Change this version only.")]
