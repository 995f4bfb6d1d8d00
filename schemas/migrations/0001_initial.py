import django_mongodb_backend.fields
from django.db import migrations, models

import schemas.models
from common.documents.adoption import AdoptModel


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Column",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "data_type",
                    models.CharField(
                        choices=[
                            ("string", "String"),
                            ("integer", "Integer"),
                            ("float", "Float"),
                            ("boolean", "Boolean"),
                            ("date", "Date"),
                            ("timestamp", "Timestamp"),
                        ],
                        max_length=20,
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        AdoptModel(
            name="Schema",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("created_at", models.DateTimeField(editable=False, null=True)),
                ("updated_at", models.DateTimeField(editable=False, null=True)),
                ("name", models.CharField(max_length=100, unique=True)),
                ("description", models.CharField(blank=True, max_length=500, null=True)),
                (
                    "columns",
                    django_mongodb_backend.fields.EmbeddedModelArrayField(
                        embedded_model=schemas.models.Column
                    ),
                ),
            ],
            options={
                "db_table": "schemas",
                "ordering": ["-updated_at", "-id"],
                "abstract": False,
                "indexes": [
                    models.Index(fields=["-updated_at", "-id"], name="schemas_newest"),
                    models.Index(fields=["name", "-updated_at", "-id"], name="schemas_by_name"),
                ],
            },
        ),
    ]
