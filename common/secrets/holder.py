"""Records that hold secrets: each as a stored value, or as a reference to where it is kept.

A model that takes part derives from `SecretHolder`, its serializer from `SecretHolderSerializer` of
`common.api.secrets`; what uses a secret asks `reveal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

from common.documents.codecs import CODECS, Codec
from common.documents.models import Document, RuleErrors
from common.secrets import references
from common.secrets.fields import EncryptedTextField, Secret

if TYPE_CHECKING:
    _JSONField = models.JSONField[Any, Any]
else:
    _JSONField = models.JSONField


class SecretReferencesField(_JSONField):
    """Where each secret of a record is found, by its field's name; null where all are stored."""


class SecretReferencesCodec(Codec):
    def value_of(self, stored: Any) -> dict[str, Any]:
        if not isinstance(stored, Mapping):
            raise ValueError("Not an object.")
        return dict(stored)


CODECS[SecretReferencesField] = SecretReferencesCodec

BOTH = "This secret is given, and referred to in secrets_from: send one of the two."


class SecretHolder(Document):
    """A record whose secrets may be kept elsewhere."""

    secrets_from = SecretReferencesField(null=True, blank=True)

    brought: frozenset[str] = frozenset()
    """The secrets whose references were sent, changed or not: they may go to another place."""

    class Meta(Document.Meta):
        abstract = True

    @classmethod
    def secret_names(cls) -> tuple[str, ...]:
        return _secret_names(cls)

    @property
    def references(self) -> Mapping[str, Any]:
        """Return where secrets are found, by field; what is no object has none."""
        return self.secrets_from if isinstance(self.secrets_from, Mapping) else {}

    def holds(self, name: str) -> bool:
        """Tell whether there is a secret, stored or referred to."""
        return bool(getattr(self, name)) or name in self.references

    def reveal(self, name: str) -> str | None:
        """Return a secret, fetched or decrypted now; None where there is none.

        Raises UnreadableSecret where no key opens it, or where its reference cannot be followed.
        """
        if name in self.references:
            return references.fetch(self.references[name], name)
        value = getattr(self, name)
        return value.reveal() if isinstance(value, Secret) else value

    def is_as_stored(self, name: str) -> bool:
        """Tell whether there is a secret that was stored, or referred to, and was not brought."""
        if not self.holds(name) or self.has_changed(name):
            return False
        stays = self.references.get(name) == self._referred_before().get(name)
        return stays and name not in self.brought

    def rule_errors(self) -> RuleErrors:
        errors = self._settle() | self._errors_of_references()
        return super().rule_errors() | errors

    def _settle(self) -> RuleErrors:
        """Let each secret be a value or a reference: the one that is new. Both new are refused."""
        errors: RuleErrors = {}
        given = dict(self.references)
        for name in self.secret_names():
            if name not in given or getattr(self, name) is None:
                continue
            is_new = given[name] != self._referred_before().get(name)
            if is_new and self.has_changed(name):
                errors[name] = ValidationError(BOTH, code="given_twice")
            elif is_new:
                setattr(self, name, None)
            else:
                del given[name]
        if self.references:
            self.secrets_from = given or None
        elif self.secrets_from == {}:
            self.secrets_from = None
        return errors

    def _errors_of_references(self) -> RuleErrors:
        if not self.has_changed("secrets_from"):
            return {}
        return {
            f"secrets_from.{path}".rstrip("."): ValidationError(said, code="invalid_reference")
            for path, said in references.problems(self.secrets_from, self.secret_names())
        }

    def _referred_before(self) -> Mapping[str, Any]:
        found = self._loaded.get("secrets_from")
        return found if isinstance(found, Mapping) else {}


@cache
def _secret_names(model: type[models.Model]) -> tuple[str, ...]:
    fields = model._meta.concrete_fields
    return tuple(field.name for field in fields if isinstance(field, EncryptedTextField))
