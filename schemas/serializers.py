"""Schemas over REST."""

from collections.abc import Mapping
from typing import Any, ClassVar

from common.api.fields import ChoiceField, TextField
from common.api.serializers import DocumentSerializer, StrictSerializer
from schemas.models import Column, DataType, Schema


class ColumnSerializer(StrictSerializer):
    """A column of a target table."""

    name = TextField(max_length=100)
    data_type = ChoiceField(choices=DataType.choices)


class SchemaSerializer(DocumentSerializer):
    """A target table; its columns are added to and moved, and never change their type."""

    columns = ColumnSerializer(many=True, allow_empty=False)

    class Meta:
        model = Schema
        fields = ["name", "description", "columns", "created_at", "updated_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {}

    def with_values(self, values: Mapping[str, Any]) -> Any:
        columns = [Column(**column) for column in values.get("columns", [])]
        return super().with_values({**values, "columns": columns} if columns else values)
