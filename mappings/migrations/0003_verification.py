import django_mongodb_backend.fields
import mappings.models
from django.db import migrations, models

from common.documents.adoption import AddNullableField


class Migration(migrations.Migration):
    dependencies = [
        ("mappings", "0002_overflow_and_long_aliases"),
    ]

    operations = [
        migrations.CreateModel(
            name="DescribedTable",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("schema", models.CharField(max_length=1000)),
                ("name", models.CharField(max_length=1000)),
                (
                    "columns",
                    django_mongodb_backend.fields.ArrayField(
                        base_field=models.CharField(max_length=1000), default=list
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Description",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("query", models.CharField(max_length=64)),
                (
                    "columns",
                    django_mongodb_backend.fields.EmbeddedModelArrayField(
                        default=list, embedded_model=mappings.models.VerifiedColumn
                    ),
                ),
                (
                    "search_path",
                    django_mongodb_backend.fields.ArrayField(
                        base_field=models.CharField(max_length=1000), default=list
                    ),
                ),
                (
                    "tables",
                    django_mongodb_backend.fields.EmbeddedModelArrayField(
                        default=list, embedded_model=mappings.models.DescribedTable
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Verification",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("verified", "Verified"),
                            ("unverified", "Unverified"),
                            ("drifted", "Drifted"),
                            ("broken", "Broken"),
                        ],
                        default="unverified",
                        max_length=20,
                    ),
                ),
                ("checked_at", models.DateTimeField(null=True)),
                (
                    "columns",
                    django_mongodb_backend.fields.EmbeddedModelArrayField(
                        default=list, embedded_model=mappings.models.VerifiedColumn
                    ),
                ),
                (
                    "problems",
                    django_mongodb_backend.fields.EmbeddedModelArrayField(
                        default=list, embedded_model=mappings.models.VerificationProblem
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="VerificationProblem",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("code", models.CharField(max_length=40)),
                ("message", models.CharField(max_length=2000)),
                ("rule_id", django_mongodb_backend.fields.ObjectIdField(null=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="VerifiedColumn",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=1000)),
                ("database_type", models.CharField(max_length=1000)),
                ("data_type", models.CharField(max_length=20, null=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        AddNullableField(
            model_name="mapping",
            name="described",
            field=django_mongodb_backend.fields.EmbeddedModelField(
                editable=False, embedded_model=mappings.models.Description, null=True
            ),
        ),
        AddNullableField(
            model_name="mapping",
            name="verification",
            field=django_mongodb_backend.fields.EmbeddedModelField(
                default=mappings.models.Verification,
                editable=False,
                embedded_model=mappings.models.Verification,
            ),
        ),
    ]
