"""Notifications over REST."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers

from common.api.fields import ChoiceField, IdField, SecretField, UtcDateTimeField
from common.api.secrets import SecretHolderSerializer
from common.api.serializers import ShownSerializer
from notifications.models import (
    EVENTS,
    MOST_MAPPINGS,
    TEST,
    Delivery,
    DeliveryStatus,
    Notification,
)


class NotificationSerializer(SecretHolderSerializer):
    """Who is told of what; the address and the secret are taken and never given back."""

    record: Notification
    url = SecretField(
        required=False,
        max_length=2000,
        help_text="https://…, mailto:…, or an address of Apprise such as slack://…; required "
        "unless secrets_from says where it is found.",
    )
    secret = SecretField(
        required=False,
        allow_null=True,
        max_length=1000,
        help_text="Signs a webhook's messages: `X-ETL-Signature`.",
    )
    events = serializers.ListField(child=ChoiceField(choices=EVENTS), max_length=len(EVENTS))
    mapping_ids = serializers.ListField(
        child=IdField(),
        required=False,
        allow_null=True,
        max_length=MOST_MAPPINGS,
        help_text="Null: all mappings.",
    )

    class Meta:
        model = Notification
        fields = [
            "name",
            "kind",
            "url",
            "url_shown",
            "secret",
            "events",
            "mapping_ids",
            "enabled",
            "secrets_from",
            "created_at",
            "updated_at",
            "last_delivery_at",
            "last_delivery_status",
        ]
        extra_kwargs: ClassVar = {"url_shown": {"read_only": True}}


class TestDeliveryDetailsSerializer(serializers.Serializer):
    kind = serializers.CharField()
    latency_ms = serializers.FloatField(required=False)
    error_code = serializers.CharField(required=False, help_text="On failure: what went wrong.")
    hint = serializers.CharField(required=False, help_text="On failure: what to do about it.")


class TestDeliverySerializer(serializers.Serializer):
    """How the test of a notification went."""

    success = serializers.BooleanField()
    message = serializers.CharField()
    details = TestDeliveryDetailsSerializer()


class DeliverySerializer(ShownSerializer):
    """A message: what it tells of, and how far it has come."""

    id = IdField(help_text="`X-ETL-Delivery`: a repeat has the same.")
    at = UtcDateTimeField(help_text="Of the first event.")
    event = serializers.ChoiceField(choices=[*EVENTS, TEST])
    count = serializers.IntegerField(help_text="Events of one kind of one mapping within 60 s.")
    mapping_id = IdField(allow_null=True)
    run_id = IdField(allow_null=True, help_text="Of the newest event.")
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = UtcDateTimeField(allow_null=True)
    response = serializers.CharField(
        allow_null=True, help_text="What came of the last attempt, in a sentence."
    )

    class Meta:
        model = Delivery
