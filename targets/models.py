"""Targets: a folder of Delta tables, or a database that is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from bson import ObjectId
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django_mongodb_backend.fields import ArrayField

from common.documents import store, writes
from common.documents.models import Held, RuleErrors, page_index
from common.documents.store import Stored
from common.documents.writes import unchanged
from common.exceptions import DuplicateName, UnreadableSecret
from common.secrets.fields import EncryptedTextField
from common.secrets.holder import SecretHolder
from connections.models import Connection, TestStatus, connection_kind
from engine import options as known_options
from targets import places

DEFAULT = "default"
"""The id and the name of the target that is always there."""

DEFAULT_SCHEMA = "public"
MAX_CREDENTIALS = 100
EXPECTED = "Expected an object of text to text, named as delta-rs names them."


class TargetKind(models.TextChoices):
    """Where rows go: into a folder of tables, or into a database."""

    DELTA = "delta"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"


OWN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "delta": ("uri", "credentials", "secrets_from"),
    "postgresql": ("connection_id", "db_schema"),
    "mysql": ("connection_id",),
}
"""The fields that a kind has; of those of other kinds each is null."""

ALL_FIELDS = ("uri", "connection_id", "db_schema", "credentials", "secrets_from")
FORM_NAMES = {"connection_id": "connection"}


class Target(SecretHolder):
    """Where the rows of runs go."""

    kept = frozenset(
        {"last_tested_at", "last_test_status", "last_test_message", "last_test_error_code"}
    )

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20, choices=TargetKind.choices)
    uri = models.CharField(max_length=2000, null=True, blank=True)
    connection = models.ForeignKey(
        Connection,
        models.PROTECT,
        related_name="targets",
        db_index=False,
        null=True,
        blank=True,
    )
    connection_id: ObjectId | None
    db_schema = models.CharField(max_length=63, null=True, blank=True)
    credentials = EncryptedTextField(max_length=100_000, null=True, blank=True)
    credential_keys = ArrayField(models.CharField(max_length=200), default=list, editable=False)

    last_tested_at = models.DateTimeField(null=True, editable=False)
    last_test_status = models.CharField(
        max_length=20, choices=TestStatus.choices, null=True, editable=False
    )
    last_test_message = models.CharField(max_length=1000, null=True, editable=False)
    last_test_error_code = models.CharField(max_length=40, null=True, editable=False)

    class Meta(SecretHolder.Meta):
        db_table = "targets"
        ordering = ["-updated_at", "-id"]
        indexes = [
            page_index("targets_newest"),
            page_index("targets_by_name", "name"),
            page_index("targets_kind", "kind"),
            page_index("targets_uri", "uri"),
            page_index("targets_connection", "connection"),
            page_index("targets_db_schema", "db_schema"),
            page_index("targets_status", "last_test_status"),
        ]

    # --- Rules ------------------------------------------------------------------------------------

    def rule_errors(self) -> RuleErrors:
        self._empty_is_null()
        if self.is_stored and self.has_changed("kind"):
            self._drop_what_other_kinds_have()
        if self.kind == TargetKind.POSTGRESQL and not self.db_schema:
            self.db_schema = DEFAULT_SCHEMA
        errors = super().rule_errors()
        own = dict([*self._foreign_errors(), *self._needed_errors()])
        own = own | self._uri_errors() | self._connection_errors() | self._credential_errors()
        return self._travel_errors() | own | errors

    def _empty_is_null(self) -> None:
        self.uri = (self.uri or "").strip() or None
        self.db_schema = self.db_schema or None

    def _drop_what_other_kinds_have(self) -> None:
        for name in _fields_of_others(self.kind):
            if not self.has_changed(name):
                setattr(self, name, None)

    def _foreign_errors(self) -> Iterator[tuple[str, ValidationError]]:
        for name in _fields_of_others(self.kind):
            if getattr(self, name) is not None and self.has_changed(name, "kind"):
                said = f"A target of the kind {self.kind} has none: leave it out, or send null."
                yield FORM_NAMES.get(name, name), ValidationError(said, code="not_of_this_kind")

    def _needed_errors(self) -> Iterator[tuple[str, ValidationError]]:
        if self.kind not in OWN_FIELDS:
            return
        name = "uri" if self.kind == TargetKind.DELTA else "connection_id"
        if getattr(self, name) is None and self.has_changed(name, "kind"):
            said = f"A target of the kind {self.kind} needs it."
            yield FORM_NAMES.get(name, name), ValidationError(said, code="required")

    def _uri_errors(self) -> RuleErrors:
        changed = self.has_changed("uri", "kind", "credentials", "secrets_from")
        if self.kind != TargetKind.DELTA or not self.uri or not changed:
            return {}
        if self.has_changed("uri", "kind") and (problem := places.problem_of(self.uri)):
            return {"uri": ValidationError(problem, code="invalid_uri")}
        if self.lacks_credentials():
            return {"credentials": ValidationError(NO_CREDENTIALS, code="required")}
        return {}

    def lacks_credentials(self) -> bool:
        """Tell whether an object store would have to be opened without any."""
        lent = settings.LAKE_AMBIENT_CREDENTIALS
        return places.is_bucket(self.uri) and not lent and not self.holds("credentials")

    def _connection_errors(self) -> RuleErrors:
        if self.kind == TargetKind.DELTA or not self.has_changed("kind", "connection_id"):
            return {}
        found = connection_kind(self.connection_id) if self.connection_id else None
        if found is None or found == self.kind:
            return {}
        said = f"The connection leads to {found}, and the target is {self.kind}."
        return {"connection": ValidationError(said, code="wrong_kind")}

    def _credential_errors(self) -> RuleErrors:
        """Note the names of new credentials; return what is wrong with them."""
        if not self.has_changed("credentials"):
            return {}
        try:
            found = as_credentials(self.reveal_stored())
        except ValueError as wrong:
            return {"credentials": ValidationError(str(wrong), code="invalid")}
        self.credential_keys = sorted(found)
        if problem := known_options.problem_of(found, settings.LAKE_AMBIENT_CREDENTIALS):
            return {"credentials": ValidationError(problem, code="unknown_option")}
        return {}

    def reveal_stored(self) -> str | None:
        """Return the stored credentials, JSON; None where there are none."""
        return self.credentials.reveal() if self.credentials is not None else None

    def _travel_errors(self) -> RuleErrors:
        """Refuse to take stored credentials where they have not been used before."""
        moves = self.has_changed("uri", "kind", "connection_id")
        if not self.is_stored or not moves or not self.is_as_stored("credentials"):
            return {}
        said = "The target would be elsewhere: give credentials again with the new place, or null."
        return {"credentials": ValidationError(said, code="password_required")}

    # --- Writes -----------------------------------------------------------------------------------

    def held_by_save(self) -> list[Held]:
        """Return the connection, too, whose kind must stay what it is."""
        held = super().held_by_save()
        own = (Connection, self.connection_id)
        needs = self.connection_id is not None and self.has_changed("kind") and own not in held
        return [*held, own] if needs and self.connection_id else held  # type: ignore[list-item]

    def confirm(self) -> None:
        super().confirm()
        if self.has_changed("name") and self.name == DEFAULT:
            raise DuplicateName("target", DEFAULT)
        if errors := self._connection_errors():
            raise ValidationError(errors)

    def record_test(self, message: str, error_code: str | None = None) -> None:
        """Note how a test went, unless what was tested is no longer what is stored."""
        status = TestStatus.FAILED if error_code else TestStatus.SUCCESS
        result = {
            "last_tested_at": store.now().replace(tzinfo=None),
            "last_test_status": str(status),
            "last_test_message": message[:1000] if error_code else None,
            "last_test_error_code": error_code,
        }
        not_tested = {*self.kept, "name", "created_at", "updated_at"}
        writes.keep(Target, unchanged(self.document, not_tested), result)

    # --- Use --------------------------------------------------------------------------------------

    def options(self) -> dict[str, str]:
        """Return the credentials by name. Raises UnreadableSecret."""
        try:
            return as_credentials(self.reveal("credentials"))
        except ValueError:
            raise UnreadableSecret(
                f"The credentials are not what they should be. {EXPECTED}"
            ) from None


NO_CREDENTIALS = (
    "An object store needs credentials: the service's own environment lends none unless "
    "LAKE_AMBIENT_CREDENTIALS is true."
)


def _fields_of_others(kind: str) -> list[str]:
    own = OWN_FIELDS.get(kind, ALL_FIELDS)
    return [name for name in ALL_FIELDS if name not in own]


def as_credentials(text: str | None) -> dict[str, str]:
    """Return credentials from their JSON; none of no text. Raises ValueError, without a value."""
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError(EXPECTED) from None
    is_one = isinstance(found, dict) and len(found) <= MAX_CREDENTIALS
    if not is_one or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(EXPECTED)
    return found


def default_document() -> Stored:
    """Return the target that is always there, as a stored document would be."""
    lacking = {str(field.column): None for field in Target._meta.concrete_fields}
    own = {"_id": DEFAULT, "name": DEFAULT, "kind": "delta", "uri": places.default_uri()}
    return lacking | own | {"credential_keys": []}


def default_target() -> Target:
    """Return the target that is always there; it is stored nowhere."""
    return Target(name=DEFAULT, kind=TargetKind.DELTA, uri=places.default_uri())
