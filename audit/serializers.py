"""The entries of the audit over REST; nothing writes them."""

from typing import Any

from rest_framework import serializers

from audit import entries
from audit.models import Entry
from common.api.fields import IdField, UtcDateTimeField
from common.documents.store import Stored

ACTIONS = ("create", "update", "delete")
VIAS = ("api", "admin", "command")


class EntrySerializer(serializers.Serializer):
    """One write that succeeded, and its seal."""

    id = IdField()
    _id = IdField()
    at = UtcDateTimeField()
    actor = serializers.CharField(
        allow_null=True, help_text="A user, `token:NAME`, `command:<system user>` or `open`."
    )
    via = serializers.ChoiceField(choices=VIAS, allow_null=True)
    address = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    action = serializers.ChoiceField(choices=ACTIONS)
    kind = serializers.CharField(help_text="The collection.")
    record_id = IdField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    changes = serializers.DictField(
        help_text="`[before, after]` by field, values as a GET shows them, null for what was not; "
        "one over 8 KiB as `length` and `sha256`; `changed` for a secret."
    )
    seq = serializers.IntegerField(allow_null=True, help_text="1, 2, 3 …; null until it is sealed.")
    previous_hash = serializers.CharField(allow_null=True)
    hash = serializers.CharField(
        allow_null=True,
        help_text="HMAC-SHA-256 of the entry without `id`, `_id` and `hash`, as JSON with sorted "
        "keys and no white space.",
    )

    class Meta:
        model = Entry

    @classmethod
    def projection(cls) -> Stored:
        return {}

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        return entries.show(document)
