"""How the values of each class of model field are stored, read, shown and asked for.

One codec a field class, found by `codec_of`; a new class of fields registers its own. The records
of the API, the admin, the filters of lists and the documents all go by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, ClassVar

from bson import ObjectId
from django.db import connection, models
from django_mongodb_backend.fields import (
    ArrayField,
    EmbeddedModelArrayField,
    EmbeddedModelField,
    ObjectIdAutoField,
    ObjectIdField,
)

from common.documents import store
from common.documents.store import Stored
from common.times import show_moment

MAX_NUMBER = 2**31 - 1


class Codec:
    """How the values of one model field are stored, read, shown and asked for.

    Other programs may have stored anything: what cannot be a value is read as the field's default,
    and shown as it is.
    """

    is_secret: ClassVar[bool] = False

    def __init__(self, field: models.Field[Any, Any]) -> None:
        self.field = field
        self.name = field.attname
        self.column = str(field.column)

    @property
    def default(self) -> Any:
        """Return the value of a record whose document lacks the field; None where it is null."""
        return self.field.get_default()

    def of(self, document: Mapping[str, Any]) -> Any:
        """Return what a document has stored; None where it lacks the field."""
        return document.get(self.column)

    def read(self, stored: Any) -> Any:
        """Return the record's value of a stored one; the default where it cannot be one."""
        if stored is None:
            return self.default
        try:
            return self.value_of(stored)
        except Exception:
            # Each class of fields has its own words for a wrong type.
            return self.default

    def value_of(self, stored: Any) -> Any:
        """Return the value of a stored one. Raises whatever says that it is none."""
        value = self.field.to_python(stored)
        self.store(value)
        return value

    def store(self, value: Any) -> Any:
        """Return a record's value as it is stored."""
        return self.field.get_db_prep_save(value, connection)

    def show(self, stored: Any) -> Any:
        """Return a stored value as answers have it, in JSON's terms."""
        return self.default_shown if stored is None else stored

    @cached_property
    def default_shown(self) -> Any:
        has_one = self.field.has_default() and not self.field.null
        return self.show(self.store(self.default)) if has_one else None

    def condition(self, text: str) -> Any:
        """Return what a stored value fulfils that is shown as a parameter's text.

        Raises ValueError where the text is no such value.
        """
        wanted = self.parse(text)
        is_default = self.default_shown is not None and wanted == self.store(self.default)
        return {"$in": [wanted, None]} if is_default else wanted

    def parse(self, text: str) -> Any:
        """Return the stored form of a parameter's text. Raises ValueError."""
        choices = [value for value, _ in self.field.flatchoices]
        if choices and text not in choices:
            raise ValueError(f"Expected one of {', '.join(choices)}.")
        return text


class TextCodec(Codec):
    def store(self, value: Any) -> Any:
        return value if type(value) is str else super().store(value)

    def value_of(self, stored: Any) -> Any:
        return stored if type(stored) is str else super().value_of(stored)


class NumberCodec(Codec):
    def parse(self, text: str) -> int:
        return whole_number(text)


class OptionalNumberField(models.IntegerField):
    """A number whose null means something: only a document that lacks it has the default."""


class OptionalNumberCodec(NumberCodec):
    def of(self, document: Mapping[str, Any]) -> Any:
        return document.get(self.column, self.default)

    def read(self, stored: Any) -> Any:
        return None if stored is None else super().read(stored)


class BooleanCodec(Codec):
    WORDS: ClassVar = {"true": True, "false": False, "1": True, "0": False}

    def parse(self, text: str) -> bool:
        if text.lower() not in self.WORDS:
            raise ValueError("Expected true or false.")
        return self.WORDS[text.lower()]


class MomentCodec(Codec):
    def value_of(self, stored: Any) -> Any:
        return stored.replace(tzinfo=UTC) if type(stored) is datetime else super().value_of(stored)

    def store(self, value: Any) -> Any:
        if type(value) is datetime and value.tzinfo:
            return value.astimezone(UTC).replace(tzinfo=None)
        return super().store(value)

    def show(self, stored: Any) -> Any:
        return super().show(show_moment(stored))


class IdCodec(Codec):
    """Ids and references. A reference that another program stored as text counts as one."""

    def value_of(self, stored: Any) -> ObjectId:
        return stored if isinstance(stored, ObjectId) else store.object_id(stored)

    def store(self, value: Any) -> Any:
        return value

    def show(self, stored: Any) -> Any:
        if isinstance(stored, ObjectId):
            return str(stored)
        is_id = isinstance(stored, str) and ObjectId.is_valid(stored)
        return stored.lower() if is_id else stored

    def condition(self, text: str) -> Stored:
        return reference_to(store.object_id(text))


def reference_to(*identifiers: Any) -> Stored:
    """Return what a stored reference to any of these records is: an id, or one in text."""
    spelled = [text for one in identifiers for text in (str(one), str(one).upper())]
    return {"$in": [*identifiers, *dict.fromkeys(spelled)]}


class ListCodec(Codec):
    def store(self, value: Any) -> Any:
        is_of_texts = isinstance(value, list) and all(type(item) is str for item in value)
        return [*value] if is_of_texts else super().store(value)


class EmbeddedCodec(Codec):
    """A sub-document. Fields that its model names in `only_where_set` are left out while null."""

    @property
    def record(self) -> RecordCodec:
        return record_codec(self.field.embedded_model)  # type: ignore[attr-defined]

    @property
    def default(self) -> Any:
        return None if self.field.null else self.record.model()

    def value_of(self, stored: Any) -> Any:
        if not isinstance(stored, Mapping):
            raise ValueError("Not a sub-document.")
        return self.record.read(stored)

    def store(self, value: Any) -> Any:
        return self.record.store(value)

    def show(self, stored: Any) -> Any:
        if stored is None:
            return self.default_shown
        return self.record.show(stored) if isinstance(stored, Mapping) else stored


class EmbeddedListCodec(Codec):
    """A list of sub-documents."""

    @property
    def record(self) -> RecordCodec:
        return record_codec(self.field.embedded_model)  # type: ignore[attr-defined]

    def value_of(self, stored: Any) -> Any:
        if not isinstance(stored, list):
            raise ValueError("Not a list.")
        return [self.record.read(item) for item in stored]

    def store(self, value: Any) -> Any:
        return [self.record.store(item) for item in value]

    def show(self, stored: Any) -> Any:
        if not isinstance(stored, list):
            return super().show(stored)
        return [self.record.show(i) if isinstance(i, Mapping) else i for i in stored]


CODECS: dict[type[models.Field[Any, Any]], type[Codec]] = {
    models.CharField: TextCodec,
    models.TextField: TextCodec,
    models.IntegerField: NumberCodec,
    OptionalNumberField: OptionalNumberCodec,
    models.BooleanField: BooleanCodec,
    models.DateTimeField: MomentCodec,
    models.ForeignKey: IdCodec,
    ObjectIdField: IdCodec,
    ObjectIdAutoField: IdCodec,
    ArrayField: ListCodec,
    EmbeddedModelField: EmbeddedCodec,
    EmbeddedModelArrayField: EmbeddedListCodec,
}
"""The codec of each class of fields; one that is not here has that of its nearest base."""


@cache
def codec_of(field: models.Field[Any, Any]) -> Codec:
    """Return how the values of a field are stored, read, shown and asked for."""
    bases = (CODECS[base] for base in type(field).__mro__ if base in CODECS)
    return next(bases, Codec)(field)


class RecordCodec:
    """How the records of a model, or what is embedded in them, are stored, read and shown."""

    def __init__(self, model: type[models.Model]) -> None:
        self.model = model
        self.fields = [codec_of(field) for field in model._meta.concrete_fields]
        self.by_column = {codec.column: codec for codec in self.fields}
        self.only_where_set: frozenset[str] = getattr(model, "only_where_set", frozenset())

    def read(self, document: Mapping[str, Any]) -> Any:
        """Return the record of a document; what it lacks, or garbles, has its default."""
        return self.model(*[codec.read(codec.of(document)) for codec in self.fields])

    def store(self, record: Any) -> Stored:
        """Return a record as it is stored, an id that it has not got left out."""
        values = record.__dict__
        stored = {
            codec.column: _stored(codec, values[codec.name])
            for codec in self.fields
            if codec.name in values
        }
        for column in self.only_where_set | {"_id"}:
            if column in stored and stored[column] is None:
                del stored[column]
        return stored

    def stored_as(self, record: Any, column: str) -> Any:
        """Return one value of a record as it is stored."""
        codec = self.by_column[column]
        return _stored(codec, record.__dict__.get(codec.name))

    def show(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is embedded as answers have it."""
        return {
            codec.column: codec.show(codec.of(document))
            for codec in self.fields
            if codec.column != "_id"
            and (codec.column not in self.only_where_set or document.get(codec.column) is not None)
        }


def _stored(codec: Codec, value: Any) -> Any:
    return None if value is None else codec.store(value)


@cache
def record_codec(model: type[models.Model]) -> RecordCodec:
    return RecordCodec(model)


def whole_number(text: str, minimum: int = 0) -> int:
    """Return the whole number that a parameter spells. Raises ValueError."""
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not minimum <= int(text) <= MAX_NUMBER:
        raise ValueError(f"Expected a whole number from {minimum} to {MAX_NUMBER}.")
    return int(text)
