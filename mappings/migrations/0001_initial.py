import django.db.models.deletion
import django_mongodb_backend.fields
from django.db import migrations, models

import mappings.models
from common.documents.adoption import AdoptModel


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("connections", "0001_initial"),
        ("schemas", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="RuleConfig",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("delimiter", models.CharField(blank=True, max_length=100, null=True)),
                ("separator", models.CharField(blank=True, max_length=100, null=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        AdoptModel(
            name="Mapping",
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
                ("source_query", models.TextField(max_length=100000)),
                (
                    "source_connection",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="mappings",
                        to="connections.connection",
                    ),
                ),
                (
                    "target_schema",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="mappings",
                        to="schemas.schema",
                    ),
                ),
            ],
            options={
                "db_table": "mappings",
                "ordering": ["-updated_at", "-id"],
                "abstract": False,
            },
        ),
        AdoptModel(
            name="ColumnMapping",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("created_at", models.DateTimeField(editable=False, null=True)),
                ("updated_at", models.DateTimeField(editable=False, null=True)),
                (
                    "type",
                    models.CharField(
                        choices=[("direct", "Direct"), ("split", "Split"), ("join", "Join")],
                        max_length=10,
                    ),
                ),
                (
                    "source_columns",
                    django_mongodb_backend.fields.ArrayField(
                        base_field=models.CharField(max_length=100)
                    ),
                ),
                (
                    "target_fields",
                    django_mongodb_backend.fields.ArrayField(
                        base_field=models.CharField(max_length=100)
                    ),
                ),
                (
                    "config",
                    django_mongodb_backend.fields.EmbeddedModelField(
                        blank=True,
                        default=mappings.models.RuleConfig,
                        embedded_model=mappings.models.RuleConfig,
                    ),
                ),
                (
                    "mapping",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="column_mappings",
                        to="mappings.mapping",
                    ),
                ),
            ],
            options={
                "db_table": "column_mappings",
                "ordering": ["created_at", "id"],
                "abstract": False,
            },
        ),
        migrations.AddIndex(
            model_name="mapping",
            index=models.Index(fields=["-updated_at", "-id"], name="mappings_newest"),
        ),
        migrations.AddIndex(
            model_name="mapping",
            index=models.Index(fields=["name", "-updated_at", "-id"], name="mappings_by_name"),
        ),
        migrations.AddIndex(
            model_name="mapping",
            index=models.Index(
                fields=["source_connection", "-updated_at", "-id"], name="mappings_connection"
            ),
        ),
        migrations.AddIndex(
            model_name="mapping",
            index=models.Index(
                fields=["target_schema", "-updated_at", "-id"], name="mappings_schema"
            ),
        ),
        migrations.AddIndex(
            model_name="columnmapping",
            index=models.Index(
                fields=["mapping", "created_at", "id"], name="column_mappings_in_order"
            ),
        ),
        migrations.AddIndex(
            model_name="columnmapping",
            index=models.Index(fields=["-updated_at", "-id"], name="column_mappings_newest"),
        ),
        migrations.AddConstraint(
            model_name="columnmapping",
            constraint=models.UniqueConstraint(
                fields=("mapping", "target_fields"), name="column_mappings_write_once"
            ),
        ),
    ]
