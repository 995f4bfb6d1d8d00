"""Tokens, and the accounts of users as records."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import models
from django_mongodb_backend.fields import ObjectIdField
from pymongo.errors import DuplicateKeyError

from access.callers import memory
from access.memberships import Member, other_admins, roles_in_groups, set_role
from common.api.roles import ROLES, Role
from common.documents import store, writes
from common.documents.codecs import CODECS, TextCodec
from common.documents.models import Document, RuleErrors, page_index
from common.exceptions import Conflict

ROLE_CHOICES = [(word, word) for word in ROLES]


class HashField(models.CharField):
    """The hash of a secret: as secret as that, to whoever tells what a record holds."""


class HashCodec(TextCodec):
    is_secret = True


CODECS[HashField] = HashCodec


class Token(Document):
    """A key to the API. Of its text only the hash is stored, and what it begins with."""

    kept = frozenset({"last_used_at"})

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, editable=False)
    hash = HashField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=16, choices=ROLE_CHOICES)
    owner_id = ObjectIdField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta(Document.Meta):
        db_table = "tokens"
        ordering = ["-updated_at", "-id"]
        indexes = [
            page_index("tokens_newest"),
            page_index("tokens_owner", "owner_id"),
            # Its unique index is partial, by a type: nothing is looked for in that.
            models.Index(fields=["hash", "owner_id"], name="tokens_hash"),
        ]

    def rule_errors(self) -> RuleErrors:
        return super().rule_errors() | self._expiry_errors()

    def _expiry_errors(self) -> RuleErrors:
        if not self.expires_at or self.expires_at > store.now():
            return {}
        return {"expires_at": ValidationError("Expected a moment to come.", code="invalid")}

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """End the token: at once in this process, within seconds in the others."""
        deleted = super().delete(*args, **kwargs)
        writes.after_commit(memory.forget)
        return deleted


class LastAdmin(Conflict):
    code = "last_admin"

    def __init__(self) -> None:
        super().__init__(
            "This is the last admin; make another user an admin before you end this one."
        )


class DuplicateUsername(Conflict):
    code = "duplicate_name"

    def __init__(self, username: str) -> None:
        message = f'A user named "{username}" exists already; choose another name.'
        super().__init__(message, [{"field": "username", "code": self.code, "message": message}])


ADMINS = ObjectId("000000000000000000000000")
"""Whoever may change who is an admin holds this: of two who end each other one comes second."""


class Account(Document):
    """One of Django's users, as the API has it: the same document, by the seam of all writes."""

    kept = frozenset({"last_login"})

    username = models.CharField(
        max_length=100, unique=True, validators=[UnicodeUsernameValidator()]
    )
    password = HashField(max_length=128, editable=False)
    role = models.CharField(max_length=16, choices=ROLE_CHOICES, null=True)
    """What the API gave last, for whoever reads the document; the groups decide."""
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=True, editable=False)
    is_superuser = models.BooleanField(default=False, editable=False)
    first_name = models.CharField(max_length=150, default="", editable=False)
    last_name = models.CharField(max_length=150, default="", editable=False)
    email = models.CharField(max_length=254, default="", editable=False)
    last_login = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_column="date_joined", null=True, editable=False)

    class Meta(Document.Meta):
        db_table = "auth_user"
        managed = False
        default_permissions = ()
        verbose_name = "user"

    chosen_role: Role | None = None
    """The role that the next `save()` gives, None where it stays what it is."""

    def __str__(self) -> str:
        return self.username

    @property
    def granted(self) -> Role:
        """Return the role that the groups give, whether the account is active or not."""
        if self.is_superuser:
            return Role.ADMIN
        return roles_in_groups([self.pk]).get(self.pk, Role.EVERYONE)

    def set_password(self, password: str) -> None:
        self.password = make_password(password)

    def choose_role(self, role: Role) -> None:
        """Give a role with the next `save()`; EVERYONE takes it away."""
        self.chosen_role = role
        self.role = role.word if role else None
        self.is_staff = role is not Role.EVERYONE
        self.is_superuser = self.is_superuser and role is Role.ADMIN

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the account and its role. Raises LastAdmin where none would be left."""

        def work() -> None:
            writes.hold(Account, ADMINS)
            if not self.is_active or self.chosen_role not in (None, Role.ADMIN):
                self.refuse_if_last_admin()
            super(Account, self).save(*args, **kwargs)
            if self.chosen_role is not None:
                set_role(self.pk, self.chosen_role)

        writes.transaction(work)
        writes.after_commit(memory.forget)

    def refuse_if_last_admin(self) -> None:
        """Raise LastAdmin where no other admin could still log in."""
        stored = Account.from_document(self.document)
        if stored.is_active and stored.granted is Role.ADMIN and not other_admins(self.pk):
            raise LastAdmin

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Remove the account, and with it its role and its tokens. Raises LastAdmin."""

        def work() -> None:
            writes.hold(Account, ADMINS)
            self.refuse_if_last_admin()
            super(Account, self).delete()
            for model, column in ((Member, "user_id"), (LogEntry, "user_id"), (Token, "owner_id")):
                theirs = {column: self.pk}
                store.collection(model).delete_many(theirs, session=store.mongodb.session)

        writes.transaction(work)
        writes.after_commit(memory.forget)
        return 1, {self._meta.label: 1}

    def duplicate(self, clash: DuplicateKeyError) -> Exception:
        if "username" in ((clash.details or {}).get("keyPattern") or {}):
            return DuplicateUsername(self.username)
        return clash
