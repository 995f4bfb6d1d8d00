"""The kinds of records in a file, and the form that each record has there."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from bson import ObjectId
from django.conf import settings
from django.db import models
from rest_framework.serializers import ListField

from common.api.fields import SecretField
from common.api.serializers import DocumentSerializer
from common.documents import store
from common.documents.models import Document, verbose_name
from common.documents.references import identifier_of
from common.documents.store import Stored
from connections.serializers import ConnectionSerializer
from mappings.serializers import ColumnMappingSerializer, MappingSerializer
from notifications.serializers import NotificationSerializer
from portability.text import OneLine, OneLineMapping
from schedules.serializers import ScheduleSerializer
from schemas.serializers import SchemaSerializer
from targets.serializers import TargetSerializer

VERSION = 2
"""What is written. A file that says nothing, or 1, is of the older form."""

RULES = "column_mappings"

Form = dict[str, Any]
"""A record as the file has it, without its name."""

Variables = Mapping[tuple[str, str, str], str]
"""The environment variable of each secret, by section, name and field."""


@dataclass(frozen=True)
class Kind:
    """One section of a file; its fields are those that the API lets a client write."""

    section: str
    serializer: type[DocumentSerializer]
    references: Mapping[str, str] = field(default_factory=dict)
    """The section that each reference points into, by the reference's name in the file."""

    @property
    def model(self) -> type[Document]:
        return self.serializer.Meta.model

    @property
    def verbose_name(self) -> str:
        return verbose_name(self.model)

    def is_in(self, version: int) -> bool:
        """Tell whether files of a version have this section."""
        return version > 1 or self.section in FIELDS_OF_VERSION_1

    def fields_in(self, version: int) -> dict[str, Any]:
        """Return the fields that files of a version know."""
        if version > 1:
            return self.fields
        known = FIELDS_OF_VERSION_1.get(self.section, frozenset())
        return {name: declared for name, declared in self.fields.items() if name in known}

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Return the serializer's fields by their names in the file, the name itself left out."""
        return {
            self.in_file(name): declared
            for name, declared in self.serializer().fields.items()
            if not declared.read_only and name != "name"
        }

    @cached_property
    def kept_secrets(self) -> list[str]:
        """Return the secrets that no record is without: absent or null, one that is there stays."""
        return [name for name in self.secrets if not self.fields[name].allow_null]

    @cached_property
    def secrets(self) -> list[str]:
        return [name for name, declared in self.fields.items() if isinstance(declared, SecretField)]

    def in_file(self, field_name: str) -> str:
        """Return the name in the file of a field: `target` of `target_id`, `mappings` of
        `mapping_ids`.
        """
        short = re.sub(r"_id(s?)$", r"\1", field_name)
        return short if short in self.references else field_name

    def model_field(self, name: str) -> models.Field[Any, Any]:
        return cast("models.Field[Any, Any]", self.model._meta.get_field(self.api_name(name)))

    def api_name(self, name: str) -> str:
        """Return what the API calls a field: `target_id`, where the file has `target`."""
        return str(self.fields[name].field_name)

    def refers_to_many(self, reference: str) -> bool:
        """Tell whether a reference is a list: what it names may go, and is told of no more."""
        return isinstance(self.fields[reference], ListField)

    def column(self, name: str) -> str:
        """Return the name under which a field is stored."""
        return str(self.model_field(name).column)

    def documents(self, condition: Stored) -> list[Stored]:
        with store.command_timeout():
            return list(store.collection(self.model).find(condition))


KINDS = (
    Kind("connections", ConnectionSerializer),
    Kind("schemas", SchemaSerializer),
    Kind("targets", TargetSerializer, {"connection": "connections"}),
    Kind(
        "mappings",
        MappingSerializer,
        {"source_connection": "connections", "target_schema": "schemas", "target": "targets"},
    ),
    Kind("schedules", ScheduleSerializer, {"mapping": "mappings"}),
    Kind("notifications", NotificationSerializer, {"mappings": "mappings"}),
)
"""In the order in which they are written: what is referred to comes first."""

BY_SECTION = {kind.section: kind for kind in KINDS}

FIELDS_OF_VERSION_1: Mapping[str, frozenset[str]] = {
    "connections": frozenset(
        {
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
        }
    ),
    "schemas": frozenset({"description", "columns"}),
    "mappings": frozenset({"description", "source_connection", "source_query", "target_schema"}),
    "schedules": frozenset({"mapping", "cron_expression", "timezone", "enabled"}),
}
"""All that files of the older form can say; they leave everything else as it is stored."""

RULE_OPTIONS_OF_VERSION_1 = frozenset({"delimiter", "separator"})

Names = dict[str, dict[ObjectId, str]]
"""The name of each record, by section and id."""


def form_of(
    kind: Kind, document: Stored, names: Names, variables: Variables, rules: list[Stored]
) -> Form:
    """Return a stored record as the file has it: no ids, no nulls, no secrets."""
    record = kind.serializer.show(document)
    form: Form = {}
    for name in kind.fields:
        if name in kind.secrets:
            has_one = document.get(kind.column(name)) is not None
            value = f"${{{variables[kind.section, record['name'], name]}}}" if has_one else None
        elif name in kind.references:
            value = _referred(kind, name, document, names)
        else:
            value = _readable(record[name])
        if value is not None or _null_counts(kind, name):
            form[name] = value
    if kind.section == "mappings":
        form[RULES] = [rule_form(rule) for rule in rules]
    return form


def _referred(kind: Kind, reference: str, document: Stored, names: Names) -> Any:
    """Return the name of what a record refers to, or the names; None where it refers to nothing."""
    known, stored = names[kind.references[reference]], document.get(kind.column(reference))
    if not kind.refers_to_many(reference):
        referred = identifier_of(stored)
        return known.get(referred) if referred else None
    if not isinstance(stored, list):
        return None
    found = map(identifier_of, stored)
    return OneLine(known[one] for one in found if one in known)


def _null_counts(kind: Kind, name: str) -> bool:
    """Tell whether null is a value beside the default."""
    field = kind.model_field(name)
    return field.null and field.has_default()


def rule_form(document: Stored, version: int = VERSION) -> Form:
    """Return a column mapping as files of a version have it."""
    record = ColumnMappingSerializer.show(document)
    config = record["config"] if isinstance(record["config"], dict) else {}
    form = {
        "type": record["type"],
        "source_columns": _readable(record["source_columns"]),
        "target_fields": _readable(record["target_fields"]),
        "config": OneLineMapping(
            {
                name: value
                for name, value in config.items()
                if value is not None and (version > 1 or name in RULE_OPTIONS_OF_VERSION_1)
            }
        ),
    }
    return {name: value for name, value in form.items() if value not in (None, {})}


def _readable(value: Any) -> Any:
    """Return lists of texts, and the columns of a schema, so that each is written on one line."""
    if not isinstance(value, list):
        return value
    if any(isinstance(item, dict) for item in value):
        return [OneLineMapping(item) if isinstance(item, dict) else item for item in value]
    return OneLine(value)


# --- The variables of secrets ---------------------------------------------------------------------


def variables_for(names: Mapping[str, Iterable[str]]) -> Variables:
    """Return a variable for each secret of these records, by section: ETL_SECRET_CRM_PASSWORD.

    Where two would share one, each gets a few digits made of its record's name.
    """
    plain = {
        (kind.section, name, secret): _variable(name, secret)
        for kind in KINDS
        for name in names[kind.section]
        for secret in kind.secrets
    }
    uses = Counter(plain.values())
    return {
        key: variable if uses[variable] == 1 else _variable(f"{key[1]} {_digits(key[1])}", key[2])
        for key, variable in plain.items()
    }


def _variable(name: str, secret: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Z0-9]+", "_", plain.upper()).strip("_") or "CONNECTION"
    return f"{settings.SECRET_ENV_PREFIX}{words}_{secret.upper()}"


def _digits(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
