"""The base of every serializer: strict bodies in, stored documents straight out.

A serializer says which fields a record has, and in which order. Written ones are checked against
it and against the model's rules, all errors at once; read ones go from the stored document to the
record by the codecs of the model's fields, without a model instance.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Set
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from django.core.exceptions import ValidationError as ModelValidationError
from django.db import models
from django_mongodb_backend.fields import ObjectIdAutoField, ObjectIdField as ObjectIdModelField
from rest_framework import serializers
from rest_framework.fields import SkipField, empty
from rest_framework.settings import api_settings
from rest_framework.utils.model_meta import RelationInfo

from common.api.fields import (
    ChoiceField,
    IdField,
    NameField,
    SecretField,
    TextField,
    UtcDateTimeField,
)
from common.api.json import to_json
from common.documents.codecs import Codec, codec_of, record_codec
from common.documents.models import Document, field_of, target
from common.documents.store import Stored
from common.exceptions import MAX_ERRORS
from common.secrets.fields import EncryptedTextField

if TYPE_CHECKING:
    _Serializer = serializers.Serializer[Any]
else:
    _Serializer = object


class StrictMixin(_Serializer):
    """Refuses fields a record does not have, and collects every error before it refuses."""

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
        shown = self.shown()
        for name, field in self.fields.items():
            if field.read_only or (name in shown and _is_sent_back(data, name, shown[name])):
                continue
            if name not in data:
                if not self.partial:
                    self._absent(name, field, values, errors)
                continue
            try:
                values[str(field.source)] = field.run_validation(data[name])
            except serializers.ValidationError as wrong:
                errors[name] = wrong.detail
            except SkipField:
                pass
        return values, errors

    def shown(self) -> Mapping[str, Any]:
        """Return the record as it was answered: what is sent back like that is no change."""
        return {}

    def field_names(self) -> Set[str]:
        """Return the names that a body may have."""
        return self.fields.keys()

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
        unknown = data.keys() - self.field_names()
        found = [name for name in data if name in unknown][:MAX_ERRORS] if unknown else []
        errors = {
            str(name): [serializers.ErrorDetail("There is no such field.", code="unknown_field")]
            for name in found
        }
        if more := len(unknown) - len(found):
            said = f"There are {more} more fields that are none."
            errors[api_settings.NON_FIELD_ERRORS_KEY] = [
                serializers.ErrorDetail(said, code="unknown_field")
            ]
        return errors

    def run_validators(self, value: Any) -> None:
        """Do nothing more: what spans fields is seen to in `more_errors`."""

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return `errors` and what only all fields together show."""
        return errors


def _is_sent_back(data: Mapping[str, Any], name: str, shown: Any) -> bool:
    # As JSON, where true is not 1.
    return name in data and to_json(data[name]) == to_json(shown)


class StrictSerializer(StrictMixin, serializers.Serializer):
    """A body that stands for no stored record, or a part of one."""


class Answered(NamedTuple):
    """A field of a record: its name in answers, and how its value comes out of a document."""

    name: str
    codec: Codec


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
    record: Document
    """The record that the body describes, once it is validated."""

    # A reference is its id, whatever the stubs have it be.
    serializer_related_field = IdField  # type: ignore[assignment]
    serializer_choice_field = ChoiceField
    id_field: type[IdField] = IdField
    """How the record's own id is read and written."""

    class Meta:
        model: type[Document]

    # --- Fields -----------------------------------------------------------------------------------

    def get_fields(self) -> dict[str, Any]:
        """Return the declared fields, the id under both of its names first; of a body, its own."""
        built = self._built_fields()
        if hasattr(self, "initial_data"):
            built = {name: field for name, field in built.items() if self._is_read(name, field)}
        return {name: _fresh(field) for name, field in built.items()}

    def _is_read(self, name: str, field: Any) -> bool:
        """Tell whether a body's field, or its absence, means something."""
        sent: Any = self.initial_data
        is_sent = not isinstance(sent, Mapping) or name in sent
        return not field.read_only and (is_sent or not self.partial)

    def field_names(self) -> Set[str]:
        return self._built_fields().keys()

    @classmethod
    @cache
    def _built_fields(cls) -> dict[str, Any]:
        """Return the fields as the model has them: they are looked up once, and copied after."""
        id_fields = {name: cls.id_field(source="pk", read_only=True) for name in ("id", "_id")}
        return id_fields | super(DocumentSerializer, cls()).get_fields()

    def build_field(self, field_name: str, info: Any, model_class: Any, nested_depth: int) -> Any:
        # A reference is written by its stored name: `mapping_id`, not `mapping`.
        for name, relation in info.forward_relations.items():
            if relation.model_field.attname == field_name:
                return self.build_reference_field(name, relation)
        return super().build_field(field_name, info, model_class, nested_depth)

    def build_reference_field(self, name: str, relation: RelationInfo) -> Any:
        return IdField, {"help_text": f"The id of the {target(relation)._meta.verbose_name}."}

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        if field_name == "name":
            return NameField, {}
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

    # --- Answers ----------------------------------------------------------------------------------

    @classmethod
    @cache
    def answered(cls) -> list[Answered]:
        """Return the fields that answers have, in their order."""
        fields = cls().fields.items()
        return [
            Answered(name, codec_of(_model_field(cls.Meta.model, field.source or name)))
            for name, field in fields
            if not field.write_only
        ]

    @classmethod
    def projection(cls) -> Stored:
        """Return what of a document an answer needs: secrets need not travel."""
        return {column.codec.column: 1 for column in cls.answered()}

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        """Return the record a client sees; what the document lacks has the field's default."""
        return {name: codec.show(codec.of(document)) for name, codec in cls.answered()}

    @classmethod
    def clocked(cls, document: Stored) -> str:
        """Return what of the record changes with the clock alone; part of its ETag."""
        return ""

    def shown(self) -> Mapping[str, Any]:
        return self.show(self.instance.document) if self.instance else {}

    # --- Validation -------------------------------------------------------------------------------

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
        record: Document = self.instance or self.Meta.model()
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


def _fresh(field: Any) -> Any:
    """Return a field that may be bound: of one without parts a copy of its attributes will do."""
    has_parts = isinstance(field, serializers.BaseSerializer) or hasattr(field, "child")
    return copy.deepcopy(field) if has_parts else copy.copy(field)


def _model_field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    return model._meta.pk if name == "pk" else field_of(model, name)


IDENTIFIERS = ("id", "_id")


class ShownSerializer(serializers.Serializer):
    """What answers show of documents that the service alone writes; its fields are declared."""

    class Meta:
        model: type[models.Model]

    @classmethod
    @cache
    def answered(cls) -> list[Codec]:
        by_column = record_codec(cls.Meta.model).by_column
        names = [name for name in map(str, cls().fields) if name not in IDENTIFIERS]
        return [by_column[name] for name in names if name in by_column]

    @classmethod
    @cache
    def identifiers(cls) -> list[str]:
        return [name for name in IDENTIFIERS if name in cls().fields]

    @classmethod
    def projection(cls) -> Stored:
        return {codec.column: 1 for codec in cls.answered()}

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        shown = {codec.column: codec.show(document.get(codec.column)) for codec in cls.answered()}
        return dict.fromkeys(cls.identifiers(), str(document["_id"])) | shown
