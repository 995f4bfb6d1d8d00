"""How the records of a model are stored: a plan made once a model, for documents in and out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from bson import ObjectId
from django.db import connection, models
from django_mongodb_backend.fields import ArrayField, EmbeddedModelField

from common.documents.store import Stored
from common.secrets.fields import EncryptedTextField, Secret

Default = Callable[[], Any] | None


class Planned(NamedTuple):
    """How one field of a model is stored.

    Values of the type `stored_as` are stored as they are. `default` makes the value of a record
    whose document lacks the field; None where that is null.
    """

    column: str
    attribute: str
    field: models.Field[Any, Any]
    stored_as: type | None
    default: Default


@cache
def plan(model: type[models.Model]) -> list[Planned]:
    """Return how each field of a model is stored, in their order."""
    return [
        Planned(
            str(field.column),
            field.attname,
            field,
            _stored_as_is(field),
            None if field.get_default() is None else field.get_default,
        )
        for field in model._meta.concrete_fields
    ]


@cache
def attributes(model: type[models.Model]) -> frozenset[str]:
    return frozenset(planned.attribute for planned in plan(model))


@cache
def references_of(model: type[models.Model]) -> list[models.ForeignKey[Any, Any]]:
    fields = model._meta.concrete_fields
    return [field for field in fields if isinstance(field, models.ForeignKey)]


def _stored_as_is(field: models.Field[Any, Any]) -> type | None:
    if isinstance(field, EncryptedTextField):
        return None
    if isinstance(field, models.ForeignKey) or field.primary_key:
        return ObjectId
    types = {models.CharField: str, models.TextField: str, models.BooleanField: bool}
    types |= {models.PositiveIntegerField: int}
    return types.get(type(field))


def as_stored(record: models.Model) -> Stored:
    """Return a record, or one that is embedded in it, as it is stored."""
    values = record.__dict__
    stored = {
        column: value
        if (value := values[attribute]) is None or type(value) is expected
        else _prepared(field, value)
        for column, attribute, field, expected, _ in plan(type(record))
        if attribute in values
    }
    if stored.get("_id") is None:
        stored.pop("_id", None)
    return stored


def _prepared(field: models.Field[Any, Any], value: Any) -> Any:
    if isinstance(value, Secret):
        return value.token
    if isinstance(field, EmbeddedModelField) and isinstance(value, field.embedded_model):
        return as_stored(value)
    if type(value) is datetime and value.tzinfo and isinstance(field, models.DateTimeField):
        return value.astimezone(UTC).replace(tzinfo=None)
    if type(value) is list and _is_of_texts(field, value):
        return [*value]
    return field.get_db_prep_save(value, connection)


def _is_of_texts(field: models.Field[Any, Any], items: list[Any]) -> bool:
    return (
        isinstance(field, ArrayField)
        and isinstance(field.base_field, models.CharField)
        and all(type(item) is str for item in items)
    )


def value_of(field: models.Field[Any, Any], default: Default, stored: Any) -> Any:
    """Return the value of a stored one; the default where it is not there, or cannot be one.

    Other programs may have written anything: a record must still be read, mended and deleted.
    """
    if stored is None:
        return default() if default else None
    if type(stored) is datetime and isinstance(field, models.DateTimeField):
        return stored.replace(tzinfo=UTC)
    try:
        value = _converted(field, stored)
        field.get_db_prep_save(value, connection)
    except Exception:
        return field.get_default()
    return value


def _converted(field: models.Field[Any, Any], stored: Any) -> Any:
    from_db = getattr(field, "from_db_value", None)
    if from_db:
        return from_db(stored, None, connection)
    return field.to_python(stored)
