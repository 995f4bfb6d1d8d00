"""Tokens, users and logins over REST."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from rest_framework import serializers
from rest_framework.fields import SkipField, empty

from access.models import ROLE_CHOICES, Account, Token
from common.api.fields import ChoiceField, NameField, TextField
from common.api.roles import ROLES, Role
from common.api.serializers import Answered, DocumentSerializer, StrictSerializer
from common.documents.codecs import codec_of
from common.documents.models import field_of
from common.documents.store import Stored

ROLE_KEY = "role"
"""Where the view puts a user's role beside what is stored."""
MAX_PASSWORD = 1000


class TokenSerializer(DocumentSerializer):
    """A token; its text is answered once, when it is made."""

    class Meta:
        model = Token
        fields = [
            "name",
            "prefix",
            "role",
            "owner_id",
            "created_at",
            "last_used_at",
            "expires_at",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {}


class NewTokenSerializer(TokenSerializer):
    """A token that was just made."""

    token = serializers.CharField(read_only=True, help_text="Shown this once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class PasswordField(TextField):
    """A password: taken and never given back. In a change null and `""` keep the stored one."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs |= {"trim_whitespace": False, "max_length": MAX_PASSWORD}
        super().__init__(**kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        if data in (None, "") and getattr(self.parent, "instance", None) is not None:
            raise SkipField
        return super().run_validation(data)


class NewPasswordField(PasswordField):
    def run_validation(self, data: Any = empty) -> Any:
        password = super().run_validation(data)
        try:
            validate_password(password)
        except ValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="invalid") from wrong
        return password


class UserSerializer(DocumentSerializer):
    """A user of Django's, with the role that its groups give."""

    username = NameField()
    role = ChoiceField(choices=ROLE_CHOICES, allow_null=True)
    active = serializers.BooleanField(source="is_active", default=True)
    password = NewPasswordField(write_only=True)

    class Meta:
        model = Account
        fields = ["username", "role", "active", "password", "created_at", "updated_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {}

    @classmethod
    def answered(cls) -> list[Answered]:
        """Return the fields that come from the document itself."""
        named = [("id", Account._meta.pk), ("_id", Account._meta.pk)]
        named += [
            ("username", field_of(Account, "username")),
            ("active", field_of(Account, "is_active")),
        ]
        named += [(name, field_of(Account, name)) for name in ("created_at", "updated_at")]
        return [Answered(name, codec_of(field)) for name, field in named]

    @classmethod
    def projection(cls) -> Stored:
        return {**super().projection(), "is_superuser": 1}

    @classmethod
    def show(cls, document: Stored) -> dict[str, Any]:
        shown = super().show(document)
        return {name: {**shown, "role": document.get(ROLE_KEY)}[name] for name in ORDER}

    def with_values(self, values: Any) -> Any:
        values = dict(values)
        role, password = values.pop("role", empty), values.pop("password", None)
        account: Any = super().with_values(values)
        if role is not empty:
            account.choose_role(ROLES[role] if role else Role.EVERYONE)
        if password:
            account.set_password(password)
        return account


ORDER = ("id", "_id", "username", "role", "active", "created_at", "updated_at")


class LoginSerializer(StrictSerializer):
    """A name and a password."""

    username = TextField(trim_whitespace=False)
    password = PasswordField()


class PasswordChangeSerializer(StrictSerializer):
    """One's own password, and what it shall be."""

    old = PasswordField()
    new = NewPasswordField()


class MeSerializer(serializers.Serializer):
    """Who one is, and what one may."""

    username = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLE_CHOICES)
    may = serializers.ListField(
        child=serializers.CharField(), help_text="The `operationId`s of what the role may."
    )


class SessionSerializer(MeSerializer):
    """A session that has begun."""

    csrf_token = serializers.CharField(help_text="To be sent as `X-CSRFToken` with each write.")
