"""Connections: how a source database is reached, and how its last test went."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django_mongodb_backend.fields import ObjectIdField

from common.documents import store, writes
from common.documents.models import Held, RuleErrors, page_index, users_of
from common.documents.writes import unchanged
from common.exceptions import InUse
from common.secrets.fields import EncryptedTextField
from common.secrets.holder import SecretHolder
from sources.contract import SourceParams, SshTunnel
from sources.kinds import KINDS

is_host = RegexValidator(
    r"^[\w.:%\[\]-]+\Z",
    "Not a host: give a name or an address, without a scheme, a port, a path or spaces.",
    code="invalid_host",
)
# An IPv6 address has two colons at least, so that one with digits after it is a port.
WITH_PORT = re.compile(r"(?P<host>[^:]+|\[.+\]):(?P<port>\d+)")
port_range = [
    MinValueValidator(1, "Not a port: expected 1 to 65535."),
    MaxValueValidator(65535, "Not a port: expected 1 to 65535."),
]


DATABASE_SECRETS = ("password", "ssl_key")
TUNNEL_SECRETS = ("ssh_password", "ssh_private_key")
TUNNEL = ("ssh_host", "ssh_username", "ssh_host_key", *TUNNEL_SECRETS)


def kinds() -> list[tuple[str, str]]:
    """Return the kinds of source database there are; a new one needs no migration."""
    return [(kind, driver.label) for kind, driver in KINDS.items()]


def default_port(kind: Any) -> Any:
    """Return the usual port of a kind of database, None of one that is unknown."""
    return KINDS[kind].default_port if kind in KINDS else None


class SslMode(models.TextChoices):
    """libpq's names: what is encrypted, and what of the server's certificate is verified."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class TestStatus(models.TextChoices):
    SUCCESS = "success"
    FAILED = "failed"


class Connection(SecretHolder):
    """A source database and the account that reads it."""

    kept = frozenset(
        {"last_tested_at", "last_test_status", "last_test_message", "last_test_error_code"}
    )

    name = models.CharField(max_length=100, unique=True)
    db_type = models.CharField(max_length=20, choices=kinds)
    host = models.CharField(max_length=255, validators=[is_host])
    # None until the rules make it the usual one of its kind.
    port: models.PositiveIntegerField[Any, Any] = models.PositiveIntegerField(
        blank=True, validators=port_range
    )
    database = models.CharField(max_length=255)
    username = models.CharField(max_length=255)
    password = EncryptedTextField(max_length=1000)

    ssl_mode = models.CharField(
        max_length=20, choices=SslMode.choices, default=SslMode.PREFER.value
    )
    ssl_ca = models.TextField(null=True, blank=True, max_length=100_000)
    ssl_cert = models.TextField(null=True, blank=True, max_length=100_000)
    ssl_key = EncryptedTextField(max_length=100_000, null=True, blank=True)

    ssh_host = models.CharField(max_length=255, null=True, blank=True, validators=[is_host])
    ssh_port = models.PositiveIntegerField(default=22, blank=True, validators=port_range)
    ssh_username = models.CharField(max_length=255, null=True, blank=True)
    ssh_password = EncryptedTextField(max_length=1000, null=True, blank=True)
    ssh_private_key = EncryptedTextField(max_length=100_000, null=True, blank=True)
    ssh_host_key = models.TextField(null=True, blank=True, max_length=10_000)

    last_tested_at = models.DateTimeField(null=True, editable=False)
    last_test_status = models.CharField(
        max_length=20, choices=TestStatus.choices, null=True, editable=False
    )
    last_test_message = models.CharField(max_length=1000, null=True, editable=False)
    last_test_error_code = models.CharField(max_length=40, null=True, editable=False)

    class Meta(SecretHolder.Meta):
        db_table = "connections"
        ordering = ["-updated_at", "-id"]
        indexes = [
            page_index("connections_newest"),
            page_index("connections_by_name", "name"),
            page_index("connections_db_type", "db_type"),
            page_index("connections_status", "last_test_status"),
            page_index("connections_host", "host"),
            page_index("connections_port", "port"),
            page_index("connections_database", "database"),
            page_index("connections_username", "username"),
        ]

    def rule_errors(self) -> RuleErrors:
        if self.port is None:
            self.port = default_port(self.db_type)
        # What a secret is, value or reference, is settled first.
        errors = super().rule_errors() | self._password_errors() | self._host_errors()
        return self._tls_errors() | self._ssh_errors() | self._travel_errors() | errors

    def held_by_save(self) -> list[Held]:
        """Return the connection itself, too, where its kind changes: targets depend on it."""
        this: list[Held] = [(Connection, self.pk)] if self._becomes_another_kind() else []
        return super().held_by_save() + this

    def confirm(self) -> None:
        super().confirm()
        if not self._becomes_another_kind():
            return
        names, total = users_of(self._meta.get_field("targets"), self.pk)
        if total:
            raise InUse(f'The kind of the connection "{self}"', "target", names, total)

    def _becomes_another_kind(self) -> bool:
        return self.is_stored and self.has_changed("db_type")

    def _password_errors(self) -> RuleErrors:
        stays = self.is_stored and not self.has_changed("password", "secrets_from")
        if self.holds("password") or stays:
            return {}
        return {"password": ValidationError("This field is required.", code="required")}

    def _host_errors(self) -> RuleErrors:
        given = {"host": "port", "ssh_host": "ssh_port"}
        changed = [name for name in given if self.has_changed(name)]
        found = {name: WITH_PORT.fullmatch(getattr(self, name) or "") for name in changed}
        return {
            name: ValidationError(
                f'Not a host: it holds a port. Give {name} "{match["host"]}" and '
                f"{given[name]} {match['port']}.",
                code="invalid_host",
            )
            for name, match in found.items()
            if match
        }

    def _tls_errors(self) -> RuleErrors:
        changed = self.has_changed("ssl_cert", "ssl_key", "secrets_from")
        if bool(self.ssl_cert) == self.holds("ssl_key") or not changed:
            return {}
        missing, given = ("ssl_key", "ssl_cert") if self.ssl_cert else ("ssl_cert", "ssl_key")
        return {missing: ValidationError(f"Required together with {given}.", code="required")}

    def _ssh_errors(self) -> RuleErrors:
        if not self.ssh_host or not self.has_changed(*TUNNEL, "secrets_from"):
            return {}
        errors = {
            name: ValidationError("Required with ssh_host.", code="required")
            for name in ("ssh_username", "ssh_host_key")
            if not getattr(self, name)
        }
        if not (self.holds("ssh_password") or self.holds("ssh_private_key")):
            errors["ssh_private_key"] = ValidationError(
                "Give ssh_private_key or ssh_password with ssh_host.", code="required"
            )
        return errors

    def _travel_errors(self) -> RuleErrors:
        """Refuse to send a stored secret where it has not been sent before.

        Whoever moves the database's place, or makes its encryption weaker, brings the secrets that
        would go there; whoever moves the tunnel's, those that log in there as well. So nobody
        learns a password who did not know it.
        """
        if not self.is_stored:
            return {}
        return {
            name: ValidationError(
                f"The connection would lead elsewhere: give {name} again with the new place.",
                code="password_required",
            )
            for name in self._secrets_that_would_travel()
            if self.is_as_stored(name)
        }

    def _secrets_that_would_travel(self) -> tuple[str, ...]:
        has_tunnel = bool(self.ssh_host)
        if self._moves("ssh_host") or (has_tunnel and self._moves("ssh_port", "ssh_host_key")):
            return DATABASE_SECRETS + (TUNNEL_SECRETS if has_tunnel else ())
        if self._moves("db_type", "host", "port", "ssl_ca") or self._is_less_encrypted():
            return DATABASE_SECRETS
        return ()

    def _moves(self, *names: str) -> bool:
        before = {"port": default_port(self._loaded.get("db_type"))} | {
            name: value for name, value in self._loaded.items() if value is not None
        }
        # Empty is as good as null.
        return any((getattr(self, name) or None) != (before.get(name) or None) for name in names)

    def _is_less_encrypted(self) -> bool:
        modes = SslMode.values
        if self.ssl_mode not in modes:
            return False
        return modes.index(self.ssl_mode) < modes.index(self._loaded["ssl_mode"])

    def params(self) -> SourceParams:
        """Return what a driver needs, secrets opened or fetched. Raises UnreadableSecret."""
        return SourceParams(
            kind=self.db_type,
            host=self.host,
            port=self.port,
            database=self.database,
            username=self.username,
            password=self.reveal("password") or "",
            ssl_mode=self.ssl_mode,
            ssl_ca=self.ssl_ca or None,
            ssl_cert=self.ssl_cert or None,
            ssl_key=self.reveal("ssl_key"),
            ssh=self._tunnel(),
        )

    def _tunnel(self) -> SshTunnel | None:
        if not self.ssh_host:
            return None
        return SshTunnel(
            host=self.ssh_host,
            port=self.ssh_port,
            username=self.ssh_username or "",
            password=self.reveal("ssh_password"),
            private_key=self.reveal("ssh_private_key"),
            host_key=self.ssh_host_key or None,
        )

    def record_test(self, message: str | None = None, error_code: str | None = None) -> None:
        """Note how a test went, unless what was tested is no longer what is stored.

        `message` and `error_code` say why it failed; without them it succeeded.
        """
        status = TestStatus.FAILED if error_code else TestStatus.SUCCESS
        result = {
            "last_tested_at": store.now().replace(tzinfo=None),
            "last_test_status": str(status),
            "last_test_message": message if error_code else None,
            "last_test_error_code": error_code,
        }
        not_tested = {*self.kept, "name", "created_at", "updated_at"}
        writes.keep(Connection, unchanged(self.document, not_tested), result)


class ConnectionCheck(models.Model):
    """How a connection was at a moment, until `expires_at`; see `monitoring`."""

    kept: ClassVar[frozenset[str]] = frozenset()

    connection_id = ObjectIdField()
    at = models.DateTimeField()
    success = models.BooleanField()
    error_code = models.CharField(max_length=40, null=True)
    latency_ms = models.FloatField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "connection_checks"
        ordering = ["-at", "-id"]
        indexes = [
            # Upwards: the embedded server leaves out what a range of a descending index ends with.
            models.Index(fields=["connection_id", "at", "id"], name="connection_checks_newest")
        ]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.at}"


def connection_kind(identifier: Any) -> str | None:
    """Return the `db_type` of a stored connection, None where there is none."""
    found = store.find_one(Connection, {"_id": identifier}, {"db_type": 1})
    return found.get("db_type") if found else None
