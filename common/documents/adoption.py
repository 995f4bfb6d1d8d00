"""Migrations of collections that may be there already, filled by other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connections, migrations, models
from django.db.migrations import Migration
from django_mongodb_backend.fields import ArrayField

from common.documents import store
from common.documents.names import printable

MAX_DUPLICATES = 20
"""So many are listed of each collection."""


class AdoptModel(migrations.CreateModel):
    """Creates a model's collection and indexes; a collection that is there keeps its documents.

    Databases of the service's predecessors, or filled by other programs, are taken as they are.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        if model._meta.db_table in schema_editor.connection.introspection.table_names():
            schema_editor._create_model_indexes(model)
        else:
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class AddNullableField(migrations.AddField):
    """Adds a field to the model alone: a document that lacks it is read as null, and stays."""

    def database_forwards(self, *args: Any) -> None:
        """Leave the documents as they are."""

    def database_backwards(self, *args: Any) -> None:
        """Leave the documents as they are."""


# --- What stands in the way of a unique index -----------------------------------------------------


def refuse_duplicates(plan: list[tuple[Migration, bool]], using: str, **kwargs: Any) -> None:
    """Raise CommandError before the first migration where unique values are there twice.

    A receiver of `pre_migrate`: it lists them all, so that nothing is half-done.
    """
    found = [line for model in _adopted(plan) for line in _duplicates(model, using)]
    if found:
        raise CommandError(
            "\n".join(
                [
                    "Nothing was migrated: these must be unique, and are there twice or more.",
                    *(f"  {printable(line)}" for line in found),
                    "Change or remove all but one of each, then run this again. In mongosh, for "
                    'example: db.COLLECTION.updateOne({_id: ObjectId("ID")}, {$set: {name: "…"}})',
                ]
            )
        )


def _adopted(plan: list[tuple[Migration, bool]]) -> Iterator[type[models.Model]]:
    for migration, backwards in plan:
        for operation in migration.operations:
            if isinstance(operation, AdoptModel) and not backwards:
                yield apps.get_model(migration.app_label, operation.name)


def unique_fields(model: type[models.Model]) -> Iterator[list[models.Field[Any, Any]]]:
    """Yield the fields of each unique index that a model declares, that of its ids left out."""
    for field in model._meta.local_concrete_fields:
        if field.unique and not field.primary_key:
            yield [field]
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            yield [_field(model, name) for name in constraint.fields]


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    return cast("models.Field[Any, Any]", model._meta.get_field(name))


def _duplicates(model: type[models.Model], using: str) -> Iterator[str]:
    """Yield what two documents have and only one may: the values, and two of the ids."""
    for fields in unique_fields(model):
        with store.command_timeout():
            found = list(store.collection(model).aggregate(_pipeline(fields, using)))
        for one in found[:MAX_DUPLICATES]:
            values = ", ".join(f"{name} {_shown(value)}" for name, value in one["_id"].items())
            ids = f"{one['first']}, {one['last']}"
            yield f"{model._meta.db_table}: {values} ({one['count']} documents, such as {ids})"
        if len(found) > MAX_DUPLICATES:
            yield f"{model._meta.db_table}: and more"


def _pipeline(fields: list[models.Field[Any, Any]], using: str) -> list[dict[str, Any]]:
    columns = [str(field.column) for field in fields]
    # An index holds the values of the type that its field has.
    types = {str(field.column): {"$type": field.db_type(connections[using])} for field in fields}
    arrays = [{"$unwind": f"${field.column}"} for field in fields if isinstance(field, ArrayField)]
    group = {
        "_id": {column: f"${column}" for column in columns},
        "first": {"$min": "$_id"},
        "last": {"$max": "$_id"},
        "count": {"$sum": 1},
    }
    return [
        {"$match": types},
        *arrays,
        {"$group": group},
        {"$match": {"$expr": {"$ne": ["$first", "$last"]}}},
        {"$sort": {"_id": 1}},
        {"$limit": MAX_DUPLICATES + 1},
    ]


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
