"""The serializers of records whose secrets may be kept elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from common.api.serializers import DocumentSerializer
from common.documents.models import Document
from common.secrets.fields import Secret
from common.secrets.holder import BOTH, SecretHolder, SecretReferencesField

REFERENCE = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {
        "env": {"type": "string", "description": "A variable of the service's environment."},
        "file": {"type": "string", "description": "A file below SECRETS_DIR."},
        "vault": {"type": "string", "description": "Vault's path and key: kv/data/crm#password."},
    },
}


@extend_schema_field({"type": ["object", "null"], "additionalProperties": REFERENCE})
class ReferencesField(serializers.JSONField):
    """An object of references, by the secret's name. The model's rules say what it may hold."""


class SecretHolderSerializer(DocumentSerializer):
    """The base of the serializers of `SecretHolder` models; `secrets_from` is one of their fields.

    In a body, a secret is a value or a reference, and the object of references is whole.
    """

    serializer_field_mapping: ClassVar = DocumentSerializer.serializer_field_mapping | {
        SecretReferencesField: ReferencesField,
    }

    def with_values(self, values: Mapping[str, Any]) -> Document:
        record = super().with_values(values)
        if isinstance(record, SecretHolder):
            self._bring(record, values)
        return record

    def _bring(self, record: SecretHolder, values: Mapping[str, Any]) -> None:
        """Note which references were sent; without them, a secret that is null removes its own."""
        if "secrets_from" in self._sent():
            record.brought = frozenset(record.references)
            return
        removed = {name for name in record.secret_names() if name in values and not values[name]}
        if kept := dict(record.references):
            record.secrets_from = {k: v for k, v in kept.items() if k not in removed} or None

    def more_errors(
        self, values: dict[str, Any], errors: dict[str, Any], data: Mapping[str, Any]
    ) -> dict[str, Any]:
        sent = data.get("secrets_from")
        referred = sent if isinstance(sent, Mapping) else {}
        twice = [name for name, value in values.items() if isinstance(value, Secret)]
        errors = super().more_errors(values, errors, data)
        both = [serializers.ErrorDetail(BOTH, code="given_twice")]
        return errors | {name: both for name in twice if name in referred}

    def refers_to(self, name: str) -> bool:
        """Tell whether the body says where a secret is found."""
        sent = self._sent().get("secrets_from")
        return isinstance(sent, Mapping) and name in sent

    def _sent(self) -> Mapping[str, Any]:
        sent: Any = getattr(self, "initial_data", None)
        return sent if isinstance(sent, Mapping) else {}
