import access.models
import django.contrib.auth.validators
import django_mongodb_backend.fields
from typing import Any

from django.db import migrations, models

ROLES = ("viewer", "analyst", "editor", "operator", "admin")
EXPIRE_AFTER_S = 120


def expire(apps: Any, schema_editor: Any) -> None:
    attempts = schema_editor.connection.get_collection("attempts")
    attempts.create_index("since", name="attempts_expire", expireAfterSeconds=EXPIRE_AFTER_S)


def make_groups(apps: Any, schema_editor: Any) -> None:
    for name in ROLES:
        apps.get_model("auth", "Group").objects.get_or_create(name=name)


class Migration(migrations.Migration):
    initial = True

    dependencies = [("auth", "0001_initial"), ("admin", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("updated_at", models.DateTimeField(editable=False, null=True)),
                (
                    "username",
                    models.CharField(
                        max_length=100,
                        unique=True,
                        validators=[django.contrib.auth.validators.UnicodeUsernameValidator()],
                    ),
                ),
                ("password", access.models.HashField(editable=False, max_length=128)),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("viewer", "viewer"),
                            ("analyst", "analyst"),
                            ("editor", "editor"),
                            ("operator", "operator"),
                            ("admin", "admin"),
                        ],
                        max_length=16,
                        null=True,
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
                ("is_staff", models.BooleanField(default=True, editable=False)),
                ("is_superuser", models.BooleanField(default=False, editable=False)),
                ("first_name", models.CharField(default="", editable=False, max_length=150)),
                ("last_name", models.CharField(default="", editable=False, max_length=150)),
                ("email", models.CharField(default="", editable=False, max_length=254)),
                ("last_login", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_column="date_joined", editable=False, null=True),
                ),
            ],
            options={
                "verbose_name": "user",
                "db_table": "auth_user",
                "abstract": False,
                "managed": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Token",
            fields=[
                (
                    "id",
                    django_mongodb_backend.fields.ObjectIdAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("created_at", models.DateTimeField(editable=False, null=True)),
                ("updated_at", models.DateTimeField(editable=False, null=True)),
                ("name", models.CharField(max_length=100)),
                ("prefix", models.CharField(editable=False, max_length=16)),
                ("hash", access.models.HashField(editable=False, max_length=64, unique=True)),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("viewer", "viewer"),
                            ("analyst", "analyst"),
                            ("editor", "editor"),
                            ("operator", "operator"),
                            ("admin", "admin"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "owner_id",
                    django_mongodb_backend.fields.ObjectIdField(editable=False, null=True),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "db_table": "tokens",
                "ordering": ["-updated_at", "-id"],
                "abstract": False,
                "indexes": [
                    models.Index(fields=["-updated_at", "-id"], name="tokens_newest"),
                    models.Index(fields=["owner_id", "-updated_at", "-id"], name="tokens_owner"),
                ],
            },
        ),
        migrations.RunPython(expire, migrations.RunPython.noop),
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
