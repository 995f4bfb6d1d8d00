"""Schemas over REST."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from rest_framework import serializers

from common.api.fields import ChoiceField, IdField, NameField, UtcDateTimeField
from common.api.serializers import DocumentSerializer, StrictSerializer
from common.documents.codecs import record_codec
from common.documents.store import Stored
from schemas.models import MAX_COLUMNS, Column, DataType, Schema, SchemaVersion


class ColumnSerializer(StrictSerializer):
    """A column of a target table."""

    name = NameField()
    data_type = ChoiceField(choices=DataType.choices)


class SchemaSerializer(DocumentSerializer):
    """A target table; its columns are added to and moved, and never change their type."""

    # `many=True` makes a list of the serializer, which has a length.
    columns = cast("Any", ColumnSerializer)(many=True, allow_empty=False, max_length=MAX_COLUMNS)

    class Meta:
        model = Schema
        fields = ["name", "description", "columns", "created_at", "updated_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(self.instance, Schema):
            stored = self.instance.columns_before()
            context = cast("dict[str, Any]", self.context)
            context["known_names"] = {column["name"] for column in stored}
        return super().to_internal_value(data)

    def with_values(self, values: Mapping[str, Any]) -> Any:
        columns = [Column(**column) for column in values.get("columns", [])]
        return super().with_values({**values, "columns": columns} if columns else values)


class ColumnChangeSerializer(serializers.Serializer):
    """One change of a column."""

    column = serializers.CharField()
    change = serializers.ChoiceField(choices=["added", "dropped", "retyped", "moved"])

    def get_fields(self) -> dict[str, Any]:
        ends = {
            name: serializers.JSONField(
                allow_null=True, help_text="A type; of a move the place, from 0; or null."
            )
            for name in ("from", "to")
        }
        return super().get_fields() | ends


class NamedSerializer(serializers.Serializer):
    id = IdField()
    name = serializers.CharField()


class SchemaReportSerializer(serializers.Serializer):
    """What a change of a schema would be, and the records that it touches."""

    compatible = serializers.BooleanField()
    changes = ColumnChangeSerializer(many=True)
    mappings = NamedSerializer(many=True)
    column_mappings = NamedSerializer(many=True)
    schedules = NamedSerializer(many=True)


class VersionSerializer(serializers.Serializer):
    """What the columns of a schema were."""

    version = serializers.IntegerField()
    at = UtcDateTimeField(allow_null=True)
    actor = serializers.CharField(
        allow_null=True, help_text="Null for what was stored before the first change."
    )
    columns = ColumnSerializer(many=True)
    changes = ColumnChangeSerializer(many=True)

    class Meta:
        model = SchemaVersion

    @classmethod
    def projection(cls) -> Stored:
        return {}

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        shown = record_codec(SchemaVersion).show(document)
        return {name: shown[name] for name in ("version", "at", "actor", "columns", "changes")}
