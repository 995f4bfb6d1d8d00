import django_mongodb_backend.fields
from django.db import migrations, models

from common.documents.adoption import AdoptModel


class Migration(migrations.Migration):
    dependencies = [("schemas", "0001_initial")]

    operations = [
        AdoptModel(
            name="SchemaVersion",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("schema_id", django_mongodb_backend.fields.ObjectIdField()),
                ("version", models.PositiveIntegerField()),
                ("at", models.DateTimeField(null=True)),
                ("actor", models.CharField(max_length=200, null=True)),
                ("columns", models.JSONField()),
                ("changes", models.JSONField()),
            ],
            options={
                "db_table": "schema_versions",
                "ordering": ["-version"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("schema_id", "version"), name="schema_versions_once"
                    )
                ],
            },
        ),
    ]
