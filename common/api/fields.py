"""What the fields of a body take: strict about types, and in the words of the service."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from rest_framework import serializers
from rest_framework.fields import SkipField, empty

from common.documents import names, store
from common.secrets.fields import Secret
from common.times import show_moment

MAX_SOURCE_NAME = 256
"""MySQL's longest alias; a column of a source is called what the source calls it."""


class TextField(serializers.CharField):
    """Text, and nothing that merely could be written as text."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class NameField(TextField):
    """A name: trimmed, composed, of characters that can be seen.

    A name that is stored already is taken as it is; the view puts those into the context's
    `known_names`.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs["max_length"] = names.MAX_LENGTH
        super().__init__(**kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        if isinstance(data, str) and data in self.context.get("known_names", ()):
            return data
        name = super().run_validation(data)
        if isinstance(name, str) and (problem := names.problem(name)):
            raise serializers.ValidationError(problem, code="invalid")
        return name

    def to_internal_value(self, data: Any) -> str:
        return names.normalized(super().to_internal_value(data))


class SourceNameField(TextField):
    """The name of a column of a source: called what the source calls it, white space and all."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_SOURCE_NAME, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not name.strip():
            self.fail("blank")
        return name


class TextListField(serializers.ListField):
    """A list of texts; its length is looked at before what is in it."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, list) and self.max_length and len(data) > self.max_length:
            raise serializers.ValidationError(
                f"Ensure this field has no more than {self.max_length} elements.", code="max_length"
            )
        return super().to_internal_value(data)


class IdField(serializers.Field):
    """The id of a record: 24 hexadecimal digits."""

    def to_internal_value(self, data: Any) -> ObjectId:
        try:
            return store.object_id(data)
        except ValueError as wrong:
            raise serializers.ValidationError(str(wrong), code="invalid") from wrong

    def to_representation(self, value: ObjectId) -> str:
        return str(value)


class ChoiceField(serializers.ChoiceField):
    """One of a few words; the refusal lists them."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            listed = ", ".join(str(choice) for choice in self.choices)
            raise serializers.ValidationError(f"Expected one of {listed}.", code="invalid_choice")
        return data


class UtcDateTimeField(serializers.DateTimeField):
    """A moment in UTC, ISO 8601 with milliseconds and `Z`."""

    def to_representation(self, value: Any) -> Any:
        return show_moment(value)


class SecretField(TextField):
    """Text that is taken and never given back.

    In a change, an empty text keeps the stored one, and so does null where a secret is required;
    elsewhere null removes it.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs |= {"write_only": True, "trim_whitespace": False}
        super().__init__(**kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        keeps = data == "" or (data is None and not self.allow_null)
        if keeps and (self.parent.instance is not None or self._is_referred_to()):
            raise SkipField
        plain_text = super().run_validation(data)
        return Secret.of(plain_text) if isinstance(plain_text, str) else plain_text

    def _is_referred_to(self) -> bool:
        """Tell whether the body says where the secret is found."""
        ask = getattr(self.parent, "refers_to", None)
        return ask is not None and bool(ask(self.field_name))
