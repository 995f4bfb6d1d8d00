"""Notifications: who is told of what; and the outbox of what is to be told."""

from __future__ import annotations

from typing import Any, ClassVar

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.db import models
from django_mongodb_backend.fields import ArrayField, ObjectIdField

from common.documents import store
from common.documents.codecs import CODECS, ListCodec
from common.documents.models import RuleErrors, exists, page_index
from common.documents.references import identifier_of
from common.exceptions import UnreadableSecret
from common.secrets.fields import EncryptedTextField
from common.secrets.holder import SecretHolder
from mappings.models import Mapping
from notifications import addresses

EVENTS = ("failed", "recovered", "rejected", "skipped", "connection_down", "connection_up")
TEST = "test"
"""The event of a delivery that somebody asked for."""
MOST_MAPPINGS = 1000


class NotificationKind(models.TextChoices):
    """How a message travels."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    APPRISE = "apprise"


class DeliveryStatus(models.TextChoices):
    """`failed` is what was given up, after a day."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class MappingIdsField(ArrayField):
    """Ids of mappings; null stands for all of them."""


class MappingIdsCodec(ListCodec):
    """Shown as text. An id that another program stored as text counts as one."""

    def value_of(self, stored: Any) -> list[ObjectId]:
        return [one if isinstance(one, ObjectId) else store.object_id(one) for one in stored]

    def show(self, stored: Any) -> Any:
        return (
            [str(one).lower() for one in stored]
            if isinstance(stored, list)
            else super().show(stored)
        )


CODECS[MappingIdsField] = MappingIdsCodec


class Notification(SecretHolder):
    """Who is told of what, and by which way."""

    kept = frozenset({"last_delivery_at", "last_delivery_status"})

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20, choices=NotificationKind.choices)
    url = EncryptedTextField(max_length=2000)
    url_shown = models.CharField(max_length=1000, null=True, editable=False)
    secret = EncryptedTextField(max_length=1000, null=True, blank=True)
    events = ArrayField(
        models.CharField(max_length=20, choices=[(event, event) for event in EVENTS])
    )
    mapping_ids = MappingIdsField(ObjectIdField(), null=True, blank=True)
    enabled = models.BooleanField(default=True)

    last_delivery_at = models.DateTimeField(null=True, editable=False)
    last_delivery_status = models.CharField(
        max_length=20, choices=DeliveryStatus.choices, null=True, editable=False
    )

    class Meta(SecretHolder.Meta):
        db_table = "notifications"
        ordering = ["-updated_at", "-id"]
        indexes = [
            page_index("notifications_newest"),
            page_index("notifications_by_name", "name"),
            page_index("notifications_kind", "kind"),
            page_index("notifications_enabled", "enabled"),
        ]

    # --- Rules ------------------------------------------------------------------------------------

    def rule_errors(self) -> RuleErrors:
        errors = super().rule_errors()
        own = self._url_errors() | self._secret_errors() | self._event_errors()
        return self._travel_errors() | own | self._mapping_errors() | errors

    def _url_errors(self) -> RuleErrors:
        """Note what is shown of a new address; return what is wrong with it."""
        changed = self.has_changed("url", "kind", "secrets_from")
        if not changed or self.kind not in NotificationKind.values:
            return {}
        if not self.holds("url"):
            return {"url": ValidationError("This field is required.", code="required")}
        if self.is_stored and self.has_changed("kind") and self.is_as_stored("url"):
            said = "The kind changes: give the address again with it."
            return {"url": ValidationError(said, code="password_required")}
        if "url" in self.references:
            self.url_shown = None
            return {}
        try:
            url = self.reveal("url") or ""
        except UnreadableSecret:
            return {}
        if problem := addresses.problem_of(self.kind, url):
            return {"url": ValidationError(problem, code="invalid_url")}
        self.url_shown = addresses.shown(self.kind, url)
        return {}

    def _secret_errors(self) -> RuleErrors:
        """Let only webhooks have a secret; one that is stored goes with a change of the kind."""
        others = {NotificationKind.EMAIL, NotificationKind.APPRISE}
        if self.kind not in others or not self.holds("secret"):
            return {}
        if self.has_changed("kind") and self.is_as_stored("secret"):
            self.secret = None
            self.secrets_from = {k: v for k, v in self.references.items() if k != "secret"} or None
            return {}
        if not self.has_changed("secret", "secrets_from", "kind"):
            return {}
        said = "Only webhooks are signed: leave it out, or send null."
        return {"secret": ValidationError(said, code="not_of_this_kind")}

    def _event_errors(self) -> RuleErrors:
        if self.has_changed("events") and not self.events:
            said = f"Expected one or more of {', '.join(EVENTS)}."
            return {"events": ValidationError(said, code="required")}
        self.events = list(dict.fromkeys(self.events or ()))
        return {}

    def _mapping_errors(self) -> RuleErrors:
        """Refuse ids of no mapping, but those that it has: of a mapping that was deleted."""
        if not self.has_changed("mapping_ids") or self.mapping_ids is None:
            return {}
        before = self._loaded.get("mapping_ids")
        known = set(map(identifier_of, before)) if isinstance(before, list) else set()
        new = [one for one in self.mapping_ids if one not in known]
        known |= {one["_id"] for one in store.find(Mapping, {"_id": {"$in": new}}, {"_id": 1})}
        return {
            f"mapping_ids.{place}": ValidationError(
                "There is no mapping with this id.", code="unknown_reference"
            )
            for place, identifier in enumerate(self.mapping_ids)
            if identifier not in known and not exists(Mapping, identifier)
        }

    def _travel_errors(self) -> RuleErrors:
        """Refuse to sign with a stored secret for a place that it was not given for."""
        if not self.is_stored or not self.is_as_stored("secret"):
            return {}
        is_elsewhere = self.has_changed("url_shown", "kind") or (
            self.references.get("url") != self._referred_before().get("url")
        )
        if not is_elsewhere:
            return {}
        said = "The messages would go elsewhere: give the secret again with the new place, or null."
        return {"secret": ValidationError(said, code="password_required")}

    # --- Whom it tells ----------------------------------------------------------------------------

    def wants(self, event: str, mappings: set[ObjectId]) -> bool:
        """Tell whether an event is told that is about these mappings."""
        if not self.enabled or event not in (self.events or ()):
            return False
        return self.mapping_ids is None or bool(set(self.mapping_ids) & mappings)


class Delivery(models.Model):
    """A message of the outbox, until `expires_at`: what is told, and how far it has come.

    `group_key` is there while further events may join it, and unique; `token` is that of the
    attempt under way. Until then `next_attempt_at` says when it is due, and after its end null.
    """

    kept: ClassVar[frozenset[str]] = frozenset()

    notification_id = ObjectIdField()
    at = models.DateTimeField()
    event = models.CharField(max_length=20, choices=[(event, event) for event in (*EVENTS, TEST)])
    count = models.IntegerField(default=1)
    mapping_id = ObjectIdField(null=True)
    mapping_name = models.CharField(max_length=100, null=True)
    connection_id = ObjectIdField(null=True)
    connection_name = models.CharField(max_length=100, null=True)
    run_id = ObjectIdField(null=True)
    run = models.JSONField(null=True)
    status = models.CharField(max_length=20, choices=DeliveryStatus.choices)
    attempts = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    response = models.CharField(max_length=1000, null=True)
    group_key = models.CharField(max_length=100, null=True, unique=True)
    token = models.CharField(max_length=32, null=True)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "deliveries"
        ordering = ["-at", "-id"]
        indexes = [
            # Upwards: the embedded server leaves out what a range of a descending index ends with.
            models.Index(fields=["notification_id", "at", "id"], name="deliveries_newest"),
            models.Index(fields=["status", "next_attempt_at"], name="deliveries_due"),
            # Its unique index is partial, by a type: nothing is looked for in that.
            models.Index(fields=["group_key", "at"], name="deliveries_group"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"
