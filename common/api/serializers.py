"""The base of every serializer: strict bodies in, stored documents straight out.

A serializer is the one place that says which fields a record has. Written ones are checked
against it and against the model's `clean()`, all errors at once; read ones go from the stored
document to the record through the `Reader` it describes, without a model instance.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bson import ObjectId
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import models
from django_mongodb_backend.fields import ObjectIdAutoField, ObjectIdField as ObjectIdModelField
from rest_framework import serializers
from rest_framework.fields import SkipField, empty
from rest_framework.settings import api_settings
from rest_framework.utils.model_meta import RelationInfo
from rest_framework.utils.serializer_helpers import BindingDict

from common.api.fields import ChoiceField, IdField, SecretField, TextField, UtcDateTimeField
from common.api.json import moment
from common.documents.models import Document, field_of, target
from common.documents.store import Stored
from common.secrets.fields import EncryptedTextField


def plain(value: Any) -> Any:
    return value


def hexed(value: Any) -> Any:
    return value.binary.hex() if isinstance(value, ObjectId) else value


class Column(NamedTuple):
    """How one field of a record comes out of a stored document."""

    name: str
    stored_name: str
    convert: Callable[[Any], Any]
    default: Any


class Reader:
    """Makes records of stored documents, as a serializer declares their fields."""

    def __init__(self, serializer: serializers.Serializer[Any]) -> None:
        model = getattr(getattr(serializer, "Meta", None), "model", None)
        fields = serializer.fields.items()
        columns = [_column(name, field, model) for name, field in fields if not field.write_only]
        self.projection = {column.stored_name: 1 for column in columns}
        self.known = self.projection.keys()
        # Order and nulls; what differs from the stored form is put in afterwards.
        self.template = dict.fromkeys(column.name for column in columns)
        self.renamed = [(c.name, c.stored_name) for c in columns if c.name != c.stored_name]
        self.converted = [(c.name, c.convert) for c in columns if c.convert is not plain]
        self.defaults = [(c.name, c.default) for c in columns if c.default is not None]

    def record(self, document: Stored) -> dict[str, Any]:
        """Return the record a client sees; what the document lacks has the field's default."""
        if not document.keys() <= self.known:
            document = {name: document[name] for name in self.known if name in document}
        record = {**self.template, **document}
        for name, stored_name in self.renamed:
            record[name] = document.get(stored_name)
        for name, default in self.defaults:
            if record[name] is None:
                record[name] = default
        for name, convert in self.converted:
            if (value := record[name]) is not None:
                record[name] = convert(value)
        return record

    def record_or_as_is(self, value: Any) -> Any:
        return self.record(value) if isinstance(value, dict) else value

    def clocked(self, document: Stored) -> str:
        """Return what of the record changes with the clock alone; part of its ETag."""
        return ""


def _column(
    name: str, field: serializers.Field[Any, Any, Any, Any], model: type[models.Model] | None
) -> Column:
    named = field.source or name
    source = field_of(model, named) if model and named != "pk" else None
    stored_name = str(source.column) if source else "_id" if named == "pk" else named
    return Column(name, stored_name, _converter(field), _default(source, field))


def _converter(field: serializers.Field[Any, Any, Any, Any]) -> Callable[[Any], Any]:
    match field:
        case IdField():
            return hexed
        case serializers.DateTimeField():
            return moment
        case serializers.ListSerializer(child=serializers.Serializer() as child):
            row = Reader(child).record_or_as_is
            return lambda rows: [row(item) for item in rows] if isinstance(rows, list) else rows
        case serializers.Serializer():
            return Reader(field).record_or_as_is
    return plain


def _default(source: Any, field: serializers.Field[Any, Any, Any, Any]) -> Any:
    if isinstance(field, serializers.Serializer):
        return Reader(field).record({})
    if source is None or source.null or source.primary_key or not source.has_default():
        return None
    return source.get_default()


class _Made(threading.local):
    def __init__(self) -> None:
        self.fields: dict[type, dict[str, Any]] = {}


_made = _Made()

if TYPE_CHECKING:
    _Serializer = serializers.Serializer[Any]
else:
    _Serializer = object


class StrictMixin(_Serializer):
    """Refuses fields a record does not have, and collects every error before it refuses.

    The fields of a serializer are made once a thread: making them costs more than all else that a
    small request does. They answer to the serializer that validates.
    """

    @property
    def fields(self) -> Any:
        made = _made.fields.get(type(self))
        if made is None:
            binding = BindingDict(self)
            for name, field in self.get_fields().items():
                binding[name] = field
            made = _made.fields[type(self)] = dict(binding)
        return made

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError(
                {api_settings.NON_FIELD_ERRORS_KEY: ["Expected a JSON object."]}, code="invalid"
            )
        values, errors = self._known(data)
        errors |= self._unknown(data)
        errors = self.more_errors(values, errors, data)
        if errors:
            raise serializers.ValidationError(errors)
        return values

    def _known(self, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, field in self.fields.items():
            if field.read_only:
                continue
            if name not in data:
                if not self.partial:
                    self._absent(name, field, values, errors)
                continue
            field.parent = self
            try:
                values[field.source] = field.run_validation(data[name])
            except serializers.ValidationError as wrong:
                errors[name] = wrong.detail
            except SkipField:
                pass
        return values, errors

    def _absent(self, name: str, field: Any, values: Any, errors: dict[str, Any]) -> None:
        """Note what a field that is not sent means.

        Only the record as a whole is changed in part: what stands in its lists is whole.
        """
        if field.required:
            required = serializers.ErrorDetail(field.error_messages["required"], code="required")
            errors[name] = [required]
        elif field.default is not empty:
            # Its `get_default()` would skip it wherever the record around it is changed in part.
            values[field.source] = field.default

    def _unknown(self, data: Mapping[str, Any]) -> dict[str, Any]:
        fields = self.fields
        return {
            str(name): [serializers.ErrorDetail("There is no such field.", code="unknown_field")]
            for name in data
            if name not in fields
        }

    def run_validators(self, value: Any) -> None:
        """Do nothing more: what spans fields is seen to in `more_errors`."""

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return `errors` and what only all fields together show."""
        return errors


class StrictSerializer(StrictMixin, serializers.Serializer):
    """A body that stands for no stored record, or a part of one."""


class DocumentSerializer(StrictMixin, serializers.ModelSerializer):
    """The base of the serializers of `Document` models."""

    serializer_field_mapping: ClassVar = serializers.ModelSerializer.serializer_field_mapping | {
        models.CharField: TextField,
        models.TextField: TextField,
        models.DateTimeField: UtcDateTimeField,
        EncryptedTextField: SecretField,
        ObjectIdAutoField: IdField,
        ObjectIdModelField: IdField,
    }
    reader_class: ClassVar[type[Reader]] = Reader
    record: Document
    """The record that the body describes, once it is validated."""

    # A reference is its id, whatever the stubs have it be.
    serializer_related_field = IdField  # type: ignore[assignment]
    serializer_choice_field = ChoiceField

    class Meta:
        model: type[Document]

    def get_fields(self) -> dict[str, Any]:
        """Return the declared fields, the id under both of its names first."""
        id_fields = {name: IdField(source="pk", read_only=True) for name in ("id", "_id")}
        return id_fields | super().get_fields()

    def build_field(self, field_name: str, info: Any, model_class: Any, nested_depth: int) -> Any:
        # A reference is written by its stored name: `mapping_id`, not `mapping`.
        for name, relation in info.forward_relations.items():
            if relation.model_field.attname == field_name:
                return self.build_reference_field(name, relation)
        return super().build_field(field_name, info, model_class, nested_depth)

    def build_reference_field(self, name: str, relation: RelationInfo) -> Any:
        return IdField, {"help_text": f"The id of the {target(relation).noun}."}

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        field_class, kwargs = super().build_standard_field(field_name, model_field)
        # Uniqueness is the index's word, at the moment of the write: 409, not a 400 before it.
        kwargs["validators"] = [
            validator
            for validator in kwargs.get("validators", [])
            if not hasattr(validator, "queryset")
        ]
        if not kwargs["validators"]:
            del kwargs["validators"]
        return field_class, kwargs

    @classmethod
    @cache
    def reader(cls) -> Reader:
        return cls.reader_class(cls())

    # --- Validation ------------------------------------------------------------------------------

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Ask the model's own rules, about the fields that are right by themselves."""
        self.record = self.with_values(values)
        try:
            self.record.clean()
        except ModelValidationError as wrong:
            found = self._detail(wrong)
            errors |= {
                path: detail for path, detail in found.items() if path.split(".")[0] not in errors
            }
        return errors

    def _detail(self, wrong: ModelValidationError) -> dict[str, Any]:
        """Return a model's errors by the serializer's field names."""
        return {
            self._field_name(name): [
                serializers.ErrorDetail(message, code=error.code or "invalid")
                for error in found
                for message in error.messages
            ]
            for name, found in wrong.error_dict.items()
        }

    def with_values(self, values: Mapping[str, Any]) -> Document:
        """Return the record with `values` set: the loaded one, or a new one."""
        record: Document | None = self.instance
        if record is None:
            return self.Meta.model.made_of(values)
        for name, value in values.items():
            setattr(record, name, value)
        return record

    def _field_name(self, name: str) -> str:
        head, _, rest = name.partition(".")
        for field in self.Meta.model._meta.concrete_fields:
            if field.name == head:
                head = field.attname
        return f"{head}.{rest}" if rest else head

    def save(self, **kwargs: Any) -> Document:
        """Write the record that was validated. Raises ValidationError where it no longer fits."""
        try:
            self.record.save()
        except ModelValidationError as wrong:
            raise serializers.ValidationError(self._detail(wrong)) from wrong
        return self.record
