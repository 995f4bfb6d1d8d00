import django_mongodb_backend.fields
from django.db import migrations, models

from common.documents.adoption import AdoptModel


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        AdoptModel(
            name="Entry",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=200, null=True)),
                (
                    "via",
                    models.CharField(
                        choices=[("api", "api"), ("admin", "admin"), ("command", "command")],
                        max_length=10,
                        null=True,
                    ),
                ),
                ("address", models.CharField(max_length=100, null=True)),
                ("request_id", models.CharField(max_length=100, null=True)),
                (
                    "action",
                    models.CharField(
                        choices=[("create", "create"), ("update", "update"), ("delete", "delete")],
                        max_length=10,
                    ),
                ),
                ("kind", models.CharField(max_length=100)),
                ("record_id", django_mongodb_backend.fields.ObjectIdField(null=True)),
                ("name", models.TextField(null=True)),
                ("changes", models.JSONField()),
                ("seq", models.IntegerField(null=True, unique=True)),
                ("previous_hash", models.CharField(max_length=64, null=True)),
                ("hash", models.CharField(max_length=64, null=True)),
            ],
            options={
                "db_table": "audit",
                "ordering": ["-at", "-id"],
                "indexes": [
                    models.Index(fields=["at", "id"], name="audit_newest"),
                    models.Index(fields=["actor", "at", "id"], name="audit_actor"),
                    models.Index(fields=["action", "at", "id"], name="audit_action"),
                    models.Index(fields=["kind", "at", "id"], name="audit_kind"),
                    models.Index(fields=["record_id", "at", "id"], name="audit_record"),
                    models.Index(fields=["seq", "at", "id"], name="audit_to_seal"),
                ],
            },
        ),
    ]
