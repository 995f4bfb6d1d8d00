import django.db.models.deletion
import django_mongodb_backend.fields
from django.db import migrations, models

from common.documents.adoption import AdoptModel


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("mappings", "0001_initial"),
    ]

    operations = [
        AdoptModel(
            name="Schedule",
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
                ("cron_expression", models.CharField(max_length=200)),
                ("timezone", models.CharField(default="UTC", max_length=64)),
                ("enabled", models.BooleanField(default=True)),
                ("last_run_at", models.DateTimeField(editable=False, null=True)),
                ("next_run_at", models.DateTimeField(editable=False, null=True)),
                (
                    "mapping",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="schedules",
                        to="mappings.mapping",
                    ),
                ),
            ],
            options={
                "db_table": "schedules",
                "ordering": ["-updated_at", "-id"],
                "abstract": False,
                "indexes": [
                    models.Index(fields=["-updated_at", "-id"], name="schedules_newest"),
                    models.Index(fields=["name", "-updated_at", "-id"], name="schedules_by_name"),
                    models.Index(
                        fields=["mapping", "-updated_at", "-id"], name="schedules_mapping"
                    ),
                    models.Index(
                        fields=["enabled", "-updated_at", "-id"], name="schedules_enabled"
                    ),
                    models.Index(
                        fields=["timezone", "-updated_at", "-id"], name="schedules_timezone"
                    ),
                    models.Index(
                        fields=["cron_expression", "-updated_at", "-id"], name="schedules_cron"
                    ),
                    models.Index(fields=["next_run_at", "id"], name="schedules_next_run"),
                ],
            },
        ),
    ]
