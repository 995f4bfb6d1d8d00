"""Targets over REST."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from bson import ObjectId
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import SkipField, empty

from common.api.fields import IdField, SecretField
from common.api.secrets import SecretHolderSerializer
from targets.models import DEFAULT, EXPECTED, MAX_CREDENTIALS, Target


@extend_schema_field(
    {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "writeOnly": True}
)
class CredentialsField(SecretField):
    """An object of text to text that is taken and never given back.

    Empty text keeps what is stored, null and an empty object remove it. A file of configuration
    refers to the object's JSON.
    """

    def run_validation(self, data: Any = empty) -> Any:
        if data == "":
            raise SkipField
        if isinstance(data, Mapping):
            data = self._as_text(data) if data else None
        elif data is not empty and data is not None and not isinstance(data, str):
            raise serializers.ValidationError(EXPECTED, code="invalid")
        return super().run_validation(data)

    def _as_text(self, data: Mapping[str, Any]) -> str:
        wrong = [name for name, value in data.items() if not isinstance(value, str)]
        if wrong or len(data) > MAX_CREDENTIALS:
            raise serializers.ValidationError(EXPECTED, code="invalid")
        return json.dumps(dict(data), sort_keys=True)


@extend_schema_field({"type": "string", "pattern": "^([0-9a-f]{24}|default)$"})
class TargetIdField(IdField):
    """The id of a target; `default` is that without an id."""

    def to_internal_value(self, data: Any) -> ObjectId | None:  # type: ignore[override]
        return None if data == DEFAULT else super().to_internal_value(data)


class TargetSerializer(SecretHolderSerializer):
    """Where the rows of runs go; its credentials are taken and never given back."""

    record: Target
    id_field = TargetIdField
    credentials = CredentialsField(required=False, allow_null=True, max_length=100_000)

    class Meta:
        model = Target
        fields = [
            "name",
            "kind",
            "uri",
            "connection_id",
            "db_schema",
            "credentials",
            "credential_keys",
            "secrets_from",
            "created_at",
            "updated_at",
            "last_tested_at",
            "last_test_status",
            "last_test_message",
            "last_test_error_code",
        ]
        read_only_fields = ("credential_keys",)
        extra_kwargs: ClassVar = {"connection_id": {"required": False, "allow_null": True}}

    connection_id = IdField(required=False, allow_null=True, help_text="Of a database.")
    credential_keys = serializers.ListField(child=serializers.CharField(), read_only=True)


class TargetTestSerializer(TargetSerializer):
    """A target that is tried and not stored; its name does not matter."""

    class Meta(TargetSerializer.Meta):
        extra_kwargs: ClassVar = {"name": {"required": False}}


class TrialDetailsSerializer(serializers.Serializer):
    db_type = serializers.CharField(help_text="The target's kind.")
    version = serializers.CharField(required=False, help_text="On success: the server's version.")
    server = serializers.CharField(required=False, help_text="On success: the product.")
    latency_ms = serializers.FloatField(required=False)
    tls = serializers.BooleanField(required=False, allow_null=True)
    warnings = serializers.ListField(child=serializers.CharField(), required=False)
    left = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="What could not be removed."
    )
    error_code = serializers.CharField(required=False, help_text="On failure: what went wrong.")
    hint = serializers.CharField(required=False, help_text="On failure: what to do about it.")
    stage = serializers.CharField(required=False, help_text="On failure: how far it came.")


class TrialSerializer(serializers.Serializer):
    """How the test of a target went."""

    success = serializers.BooleanField()
    message = serializers.CharField()
    details = TrialDetailsSerializer()
