"""Tokens, users and logins over REST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from rest_framework import serializers
from rest_framework.fields import SkipField, empty

from access.memberships import roles_in_groups
from access.models import ROLE_CHOICES, Account, Token
from common.api.fields import NameField, TextField
from common.api.roles import ROLES, Role
from common.api.serializers import DocumentSerializer, StrictSerializer
from common.documents.models import Document
from common.documents.store import Stored

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
    active = serializers.BooleanField(source="is_active", default=True)
    password = NewPasswordField(write_only=True)

    class Meta:
        model = Account
        fields = ["username", "role", "active", "password", "created_at", "updated_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"role": {"required": True}}

    @classmethod
    def projection(cls) -> Stored:
        return {**super().projection(), "is_superuser": 1}

    def shown(self) -> Mapping[str, Any]:
        account: Any = self.instance
        return self.show(with_roles([account.document])[0]) if account else {}

    def with_values(self, values: Mapping[str, Any]) -> Document:
        plain = {name: values[name] for name in ("username", "is_active") if name in values}
        account: Any = super().with_values(plain)
        if "role" in values:
            account.choose_role(ROLES.get(values["role"], Role.EVERYONE))
        if "password" in values:
            account.set_password(values["password"])
        return cast("Document", account)


def with_roles(documents: Sequence[Stored]) -> list[Stored]:
    """Return the documents of users with the roles that they have now."""
    granted = roles_in_groups([one["_id"] for one in documents])
    roles = [
        Role.ADMIN if one.get("is_superuser") else granted.get(one["_id"], Role.EVERYONE)
        for one in documents
    ]
    return [
        {**one, "role": role.word if role else None}
        for one, role in zip(documents, roles, strict=True)
    ]


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
