"""Connections over REST."""

from typing import ClassVar

from rest_framework import serializers

from common.api.fields import UtcDateTimeField
from common.api.secrets import SecretHolderSerializer
from common.api.serializers import ShownSerializer, StrictSerializer
from connections.models import Connection, ConnectionCheck


class ConnectionSerializer(SecretHolderSerializer):
    """A source database; its secrets are taken and never given back."""

    record: Connection

    class Meta:
        model = Connection
        fields = [
            "name",
            "db_type",
            "host",
            "port",
            "database",
            "username",
            "password",
            "ssl_mode",
            "ssl_ca",
            "ssl_cert",
            "ssl_key",
            "ssh_host",
            "ssh_port",
            "ssh_username",
            "ssh_password",
            "ssh_private_key",
            "ssh_host_key",
            "secrets_from",
            "created_at",
            "updated_at",
            "last_tested_at",
            "last_test_status",
            "last_test_message",
            "last_test_error_code",
        ]
        extra_kwargs: ClassVar = {
            "port": {"min_value": 1, "max_value": 65535},
            # Or what `secrets_from` says: a rule of the model.
            "password": {"required": False},
        }


class ConnectionTestSerializer(ConnectionSerializer):
    """A connection that is tried and not stored; its name does not matter."""

    class Meta(ConnectionSerializer.Meta):
        extra_kwargs: ClassVar = ConnectionSerializer.Meta.extra_kwargs | {
            "name": {"required": False}
        }


class TestDetailsSerializer(serializers.Serializer):
    db_type = serializers.CharField()
    version = serializers.CharField(required=False, help_text="On success: the server's version.")
    server = serializers.CharField(required=False, help_text="On success: the product.")
    latency_ms = serializers.FloatField(required=False)
    tls = serializers.BooleanField(required=False)
    can_write = serializers.BooleanField(
        required=False, allow_null=True, help_text="On success; null where the server does not say."
    )
    warnings = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="On success: what to think about."
    )
    error_code = serializers.CharField(required=False, help_text="On failure: what went wrong.")
    hint = serializers.CharField(required=False, help_text="On failure: what to do about it.")
    stage = serializers.CharField(required=False, help_text="On failure: how far it came.")


class TestResultSerializer(serializers.Serializer):
    """How the test of a connection went."""

    success = serializers.BooleanField()
    message = serializers.CharField()
    details = TestDetailsSerializer()


class ConnectionCheckSerializer(ShownSerializer):
    """How a connection was at a moment."""

    at = UtcDateTimeField()
    success = serializers.BooleanField()
    error_code = serializers.CharField(allow_null=True)
    latency_ms = serializers.FloatField(allow_null=True, help_text="Null after a failure.")

    class Meta:
        model = ConnectionCheck


class TableSerializer(serializers.Serializer):
    """A table or view of a source."""

    schema = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField(help_text="`table`, `view` …")
    estimated_rows = serializers.IntegerField(
        allow_null=True, help_text="The database's own guess; null where it has none."
    )


class TableColumnSerializer(serializers.Serializer):
    """A column of a source's table, in the database's order."""

    name = serializers.CharField()
    database_type = serializers.CharField()
    nullable = serializers.BooleanField()
    key = serializers.CharField(allow_null=True, help_text="`primary`, `unique` or null.")
    data_type = serializers.CharField(
        allow_null=True, help_text="The fitting type of a schema's column; null where none fits."
    )


class NothingSerializer(StrictSerializer):
    """A body that has nothing to say: none, or `{}`."""
