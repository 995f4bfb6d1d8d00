"""Mappings, their column mappings and previews over REST."""

from collections.abc import Mapping as Dict
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, cast

from bson import ObjectId
from django.core.exceptions import ValidationError as ModelValidationError
from rest_framework import serializers

from common.api.fields import (
    ChoiceField,
    IdField,
    SourceNameField,
    TextField,
    TextListField,
    UtcDateTimeField,
)
from common.api.serializers import DocumentSerializer, StrictSerializer
from common.documents import store
from common.documents.models import RuleErrors
from common.documents.references import identifier_of
from common.documents.store import Stored
from connections.models import Connection
from engine.mismatches import mismatches
from mappings import proof, rules, source
from mappings.models import (
    RULE,
    ColumnMapping,
    Mapping,
    Overflow,
    RuleConfig,
    VerificationStatus,
    table_of,
    targets_of,
)
from schemas.models import DataType
from schemas.serializers import ColumnSerializer
from targets.serializers import TargetIdField


class VerifiedColumnSerializer(serializers.Serializer):
    name = serializers.CharField()
    database_type = serializers.CharField()
    data_type = serializers.ChoiceField(choices=DataType.choices, allow_null=True)


class VerificationProblemSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    rule_id = IdField(allow_null=True)


class VerificationSerializer(serializers.Serializer):
    """How a mapping stands to its source: what that described, and what does not fit."""

    status = serializers.ChoiceField(choices=VerificationStatus.choices)
    checked_at = UtcDateTimeField(allow_null=True)
    columns = VerifiedColumnSerializer(many=True)
    problems = VerificationProblemSerializer(many=True)


class MappingSerializer(DocumentSerializer):
    """What is read from a source, and the schema that it becomes."""

    verification = VerificationSerializer(read_only=True)
    target_id = TargetIdField(
        required=False, allow_null=True, help_text="The id of the target; null is the default."
    )
    target_table = TextField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=1000,
        help_text="Null: the schema's name, as it is when that is sent.",
    )
    key_fields = TextListField(
        child=TextField(max_length=100, trim_whitespace=False),
        required=False,
        allow_null=True,
        max_length=1000,
        help_text="Of an upsert: what makes two rows the same.",
    )
    cursor_column = SourceNameField(required=False, allow_null=True)
    split_column = SourceNameField(required=False, allow_null=True)

    class Meta:
        model = Mapping
        fields = [
            "name",
            "description",
            "source_connection_id",
            "source_query",
            "target_schema_id",
            "target_id",
            "target_table",
            "write_mode",
            "key_fields",
            "cursor_column",
            "cursor_lag_s",
            "max_rejected",
            "split_column",
            "engine",
            "verification",
            "created_at",
            "updated_at",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "write_mode": {"allow_null": True},
            "engine": {"allow_null": True},
            "cursor_lag_s": {"allow_null": True},
        }

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        """Return the record; what another program wrote shows the table that a run would take."""
        record = super().show(document)
        if record["target_table"] is None and "target_schema_id" in document:
            record["target_table"] = table_of(identifier_of(document["target_schema_id"]))
        return record

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Dict[str, Any]
    ) -> dict[str, Any]:
        """Ask the source, too, where the body sends what it has a say in.

        `ask` in the context is who asks; None leaves it to whoever checks the rules as well.
        """
        errors = super().more_errors(values, errors, data)
        found: dict[str, Any] = {}
        ask = cast("dict[str, Any]", self.context).get("ask", source.ask)
        mapping: Any = self.record
        sends = not mapping.is_stored or data.keys() & {*proof.ASKED_OF}
        if ask and sends and not errors.keys() & {"source_query", "source_connection_id"}:
            answer = ask(mapping.source_connection_id, mapping.source_query)
            stored = rules.in_order(mapping.pk) if mapping.is_stored else []
            proven = proof.prove(mapping, stored, answer)
            found = self._detail(ModelValidationError(proof.mapping_errors(mapping, proven)))
            proven.note_on(mapping)
            if mapping.has_changed(*proof.ASKED_OF):
                mapping.recheck = partial(_recheck, mapping, answer)
        elif ask and not sends:
            found = self._detail(ModelValidationError(proof.unasked_errors(mapping)))
        return errors | {name: detail for name, detail in found.items() if name not in errors}


def _recheck(mapping: Mapping, answer: source.Answer) -> RuleErrors:
    """Return what is wrong with the rules that are stored now."""
    found = proof.prove(mapping, rules.in_order(mapping.pk), answer)
    return proof.mapping_errors(mapping, found)


class OptionField(TextField):
    """A delimiter or separator: any text, white space too, or null."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            allow_null=True,
            allow_blank=True,
            trim_whitespace=False,
            required=False,
            max_length=100,
            default=None,
            **kwargs,
        )


class RuleConfigSerializer(StrictSerializer):
    """What a split or join needs; a direct rule needs nothing."""

    delimiter = OptionField(help_text="Of a split: at least one character.")
    separator = OptionField(help_text="Of a join: may be empty.")
    overflow = ChoiceField(
        choices=Overflow.choices,
        allow_null=True,
        required=False,
        default=None,
        help_text="Of a split: what becomes of pieces without a field; null is `drop`.",
    )


class ColumnMappingSerializer(DocumentSerializer):
    """One rule: source columns into target fields."""

    record: ColumnMapping

    # Called what the source calls them, and written as the schema has them.
    source_columns = TextListField(child=SourceNameField(), allow_empty=False, max_length=1000)
    target_fields = TextListField(
        child=TextField(trim_whitespace=False), allow_empty=False, max_length=1000
    )
    config = RuleConfigSerializer(required=False, allow_null=True)

    class Meta:
        model = ColumnMapping
        fields = [
            "mapping_id",
            "type",
            "source_columns",
            "target_fields",
            "config",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["mapping_id"]
        extra_kwargs: ClassVar[dict[str, Any]] = {}

    def with_values(self, values: Dict[str, Any]) -> Any:
        if "config" in values:
            values = {**values, "config": RuleConfig(**(values["config"] or {}))}
        if self.instance is not None:
            targets = targets_of(self.instance.mapping_id, without=self.instance.pk)
        else:
            values = {**values, "mapping_id": self.context["mapping_id"]}
            targets = self.context["targets"]
        if "target_fields" in values:
            named = [targets.named(field) for field in values["target_fields"]]
            values = {**values, "target_fields": named}
        record: Any = super().with_values(values)
        record.targets = targets
        return record

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Dict[str, Any]
    ) -> dict[str, Any]:
        """Check the rule against the source's `columns` in the context, where they are known."""
        errors = super().more_errors(values, errors, data)
        context = cast("dict[str, Any]", self.context)
        columns = context.get("columns")
        rule: Any = self.record
        if columns is not None and rule.has_changed(*RULE):
            wrong = mismatches(proof.plan_rules([rule]), context["types"], columns)
            found = self._detail(ModelValidationError(proof.rule_errors(wrong)))
            heads = {path.partition(".")[0] for path in errors}
            errors |= {
                path: detail
                for path, detail in found.items()
                if path.partition(".")[0] not in heads
            }
        return errors


class ProposalQuerySerializer(StrictSerializer):
    """A query against a saved connection."""

    source_connection_id = IdField()
    source_query = TextField(max_length=100_000)

    ALIASES: ClassVar = {"connection_id": "source_connection_id", "sql_query": "source_query"}

    def to_internal_value(self, data: Any) -> Any:
        """Take a field under either of its names; what is wrong has the name that was sent."""
        if not isinstance(data, Dict):
            return super().to_internal_value(data)
        self.sent_as = {
            self.ALIASES[name]: name
            for name in data
            if name in self.ALIASES and self.ALIASES[name] not in data
        }
        given = {name: data[sent] for name, sent in self.sent_as.items()}
        taken = set(self.sent_as.values())
        try:
            return super().to_internal_value(
                given | {name: value for name, value in data.items() if name not in taken}
            )
        except serializers.ValidationError as wrong:
            detail: Any = wrong.detail
            raise serializers.ValidationError(
                {self.sent_as.get(name, name): errors for name, errors in detail.items()}
            ) from wrong

    @property
    def name_of_query(self) -> str:
        """Return the name under which the query was sent."""
        return self.sent_as.get("source_query", "source_query")

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Dict[str, Any]
    ) -> dict[str, Any]:
        identifier = values.get("source_connection_id")
        if identifier is not None:
            values["connection"] = _connection(identifier)
            if values["connection"] is None:
                message = "There is no connection with this id."
                errors["source_connection_id"] = [
                    serializers.ErrorDetail(message, code="unknown_reference")
                ]
        return errors


class WindowSerializer(StrictSerializer):
    """The window that a query asks for, if it does; the day that ends now unless told."""

    slot_start = UtcDateTimeField(
        required=False, default=None, allow_null=True, help_text="Of `{{slot_start}}` in the query."
    )
    slot_end = UtcDateTimeField(
        required=False, default=None, allow_null=True, help_text="Of `{{slot_end}}` in the query."
    )

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Dict[str, Any]
    ) -> dict[str, Any]:
        errors = super().more_errors(values, errors, data)
        if not errors.keys() & {"slot_start", "slot_end"} and (problem := _window_problem(values)):
            errors["slot_end"] = [serializers.ErrorDetail(problem, code="invalid")]
        return errors


class PreviewQuerySerializer(WindowSerializer, ProposalQuerySerializer):
    """A query to run against a saved connection."""

    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)


def window_of(values: Dict[str, Any]) -> tuple[datetime, datetime] | None:
    """Return the ends of the window that a body gives, None where it gives none."""
    start, end = values.get("slot_start"), values.get("slot_end")
    return (start, end) if start is not None and end is not None else None


def _window_problem(values: Dict[str, Any]) -> str | None:
    """Return what is wrong with the ends of a window: there are both or neither, in order."""
    start, end = values.get("slot_start"), values.get("slot_end")
    if (start is None) != (end is None):
        return "Expected both slot_start and slot_end, or neither."
    if start is not None and end is not None and start >= end:
        return "Expected a moment after slot_start."
    return None


def _connection(identifier: ObjectId) -> Connection | None:
    document = store.find_one(Connection, {"_id": identifier})
    return Connection.from_document(document) if document else None


class PreviewSerializer(serializers.Serializer):
    """The first rows of a query."""

    columns = serializers.ListField(child=serializers.CharField())
    column_types = serializers.ListField(
        child=serializers.ChoiceField(
            choices=["string", "integer", "float", "boolean", "date", "timestamp"],
            allow_null=True,
        )
    )
    rows = serializers.ListField(child=serializers.ListField(child=serializers.JSONField()))
    row_count = serializers.IntegerField()
    truncated = serializers.BooleanField()
    elapsed_ms = serializers.FloatField()


class ProposalSerializer(serializers.Serializer):
    """The columns of a schema, as `POST schemas` takes them."""

    columns = ColumnSerializer(many=True)


class SourceSerializer(serializers.Serializer):
    schema = serializers.CharField(allow_null=True, help_text="Null where it is not known.")
    table = serializers.CharField()
    column = serializers.CharField()


class ColumnLineageSerializer(serializers.Serializer):
    name = serializers.CharField()
    sources = SourceSerializer(many=True)
    transformation = serializers.ChoiceField(
        choices=["identity", "expression", "aggregate", "window", "constant", "unknown"]
    )


class FieldLineageSerializer(serializers.Serializer):
    name = serializers.CharField()
    rule_id = IdField(allow_null=True)
    columns = ColumnLineageSerializer(many=True)


class LineageSerializer(serializers.Serializer):
    """Where each target field comes from; `message` says why it is not known, where it is not."""

    # DRF takes declared fields off the class, so the property of this name stays what it is.
    fields = FieldLineageSerializer(many=True)  # type: ignore[assignment]
    message = serializers.CharField(allow_null=True)


class FieldSourcesSerializer(serializers.Serializer):
    """What feeds a field of a schema."""

    mapping_id = IdField()
    mapping_name = serializers.CharField()
    field = serializers.CharField()
    sources = SourceSerializer(many=True)


class FedFieldSerializer(serializers.Serializer):
    """A field that a column of a source feeds."""

    mapping_id = IdField()
    mapping_name = serializers.CharField()
    schema_id = IdField()
    field = serializers.CharField()
    transformation = serializers.CharField()
