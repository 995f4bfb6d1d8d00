import django.core.validators
import django_mongodb_backend.fields
from django.db import migrations, models

import common.secrets.fields
import connections.models
from common.documents.adoption import AdoptModel


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        AdoptModel(
            name="Connection",
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
                ("db_type", models.CharField(choices=connections.models.kinds, max_length=20)),
                (
                    "host",
                    models.CharField(
                        max_length=255,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[\\w.:%\\[\\]-]+\\Z",
                                "Not a host: give a name or an address, without a scheme, a port, a path or spaces.",
                                code="invalid_host",
                            )
                        ],
                    ),
                ),
                (
                    "port",
                    models.PositiveIntegerField(
                        blank=True,
                        validators=[
                            django.core.validators.MinValueValidator(
                                1, "Not a port: expected 1 to 65535."
                            ),
                            django.core.validators.MaxValueValidator(
                                65535, "Not a port: expected 1 to 65535."
                            ),
                        ],
                    ),
                ),
                ("database", models.CharField(max_length=255)),
                ("username", models.CharField(max_length=255)),
                ("password", common.secrets.fields.EncryptedTextField(max_length=1000)),
                (
                    "ssl_mode",
                    models.CharField(
                        choices=[
                            ("disable", "Disable"),
                            ("prefer", "Prefer"),
                            ("require", "Require"),
                            ("verify-ca", "Verify Ca"),
                            ("verify-full", "Verify Full"),
                        ],
                        default="prefer",
                        max_length=20,
                    ),
                ),
                ("ssl_ca", models.TextField(blank=True, max_length=100000, null=True)),
                ("ssl_cert", models.TextField(blank=True, max_length=100000, null=True)),
                (
                    "ssl_key",
                    common.secrets.fields.EncryptedTextField(
                        blank=True, max_length=100000, null=True
                    ),
                ),
                (
                    "ssh_host",
                    models.CharField(
                        blank=True,
                        max_length=255,
                        null=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[\\w.:%\\[\\]-]+\\Z",
                                "Not a host: give a name or an address, without a scheme, a port, a path or spaces.",
                                code="invalid_host",
                            )
                        ],
                    ),
                ),
                (
                    "ssh_port",
                    models.PositiveIntegerField(
                        blank=True,
                        default=22,
                        validators=[
                            django.core.validators.MinValueValidator(
                                1, "Not a port: expected 1 to 65535."
                            ),
                            django.core.validators.MaxValueValidator(
                                65535, "Not a port: expected 1 to 65535."
                            ),
                        ],
                    ),
                ),
                ("ssh_username", models.CharField(blank=True, max_length=255, null=True)),
                (
                    "ssh_password",
                    common.secrets.fields.EncryptedTextField(
                        blank=True, max_length=1000, null=True
                    ),
                ),
                (
                    "ssh_private_key",
                    common.secrets.fields.EncryptedTextField(
                        blank=True, max_length=100000, null=True
                    ),
                ),
                ("ssh_host_key", models.TextField(blank=True, max_length=10000, null=True)),
                ("last_tested_at", models.DateTimeField(editable=False, null=True)),
                (
                    "last_test_status",
                    models.CharField(
                        choices=[("success", "Success"), ("failed", "Failed")],
                        editable=False,
                        max_length=20,
                        null=True,
                    ),
                ),
            ],
            options={
                "db_table": "connections",
                "ordering": ["-updated_at", "-id"],
                "abstract": False,
                "indexes": [
                    models.Index(fields=["-updated_at", "-id"], name="connections_newest"),
                    models.Index(fields=["name", "-updated_at", "-id"], name="connections_by_name"),
                    models.Index(
                        fields=["db_type", "-updated_at", "-id"], name="connections_db_type"
                    ),
                    models.Index(
                        fields=["last_test_status", "-updated_at", "-id"], name="connections_status"
                    ),
                    models.Index(fields=["host", "-updated_at", "-id"], name="connections_host"),
                    models.Index(fields=["port", "-updated_at", "-id"], name="connections_port"),
                    models.Index(
                        fields=["database", "-updated_at", "-id"], name="connections_database"
                    ),
                    models.Index(
                        fields=["username", "-updated_at", "-id"], name="connections_username"
                    ),
                ],
            },
        ),
    ]
