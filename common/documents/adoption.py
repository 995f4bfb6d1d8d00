"""Migration operations for collections that may be there already."""

from typing import Any

from django.db import migrations


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
