"""Schemas over REST."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from common.api.fields import ChoiceField, NameField
from common.api.serializers import DocumentSerializer, StrictSerializer
from schemas.models import MAX_COLUMNS, Column, DataType, Schema


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
