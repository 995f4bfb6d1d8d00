"""What the fields of a body take: strict, and quick where a value is plainly right."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from bson import ObjectId
from django.core.exceptions import ValidationError as ModelValidationError
from django.core.validators import (
    MaxLengthValidator,
    MinLengthValidator,
    ProhibitNullCharactersValidator,
    RegexValidator,
)
from rest_framework import serializers
from rest_framework.fields import SkipField, empty
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from common.api.json import moment
from common.documents import store
from common.secrets.fields import Secret


class TextField(serializers.CharField):
    """Text, and nothing that merely could be written as text.

    What is plainly right is taken at once. All else goes the long way, which words the refusal.
    """

    def run_validation(self, data: Any = empty) -> Any:
        text = self.at_once(data)
        return super().run_validation(data) if text is None else text

    def at_once(self, data: Any) -> str | None:
        """Return the text of what is plainly right, None for all else."""
        if not isinstance(data, str) or not _has_no_odd_characters(data):
            return None
        text = data.strip() if self.trim_whitespace else data
        return text if text and self._is_accepted(text) else None

    def _is_accepted(self, text: str) -> bool:
        patterns = self._patterns
        if patterns is None or len(text) < (self.min_length or 0):
            return False
        if self.max_length is not None and len(text) > self.max_length:
            return False
        try:
            for pattern in patterns:
                pattern(text)
        except ModelValidationError:
            return False
        return True

    @cached_property
    def _patterns(self) -> list[Any] | None:
        """Return what else a text with no odd characters, and of the right length, has to match.

        None where there is more to ask than patterns.
        """
        others = [validator for validator in self.validators if not self._is_seen_to(validator)]
        return None if any(type(other) is not RegexValidator for other in others) else others

    def _is_seen_to(self, validator: Any) -> bool:
        match validator:
            case ProhibitNullCharactersValidator() | ProhibitSurrogateCharactersValidator():
                return True
            case MinLengthValidator():
                return bool(validator.limit_value == self.min_length)
            case MaxLengthValidator():
                return bool(validator.limit_value == self.max_length)
        return False

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextListField(serializers.ListField):
    """A list of texts."""

    child: TextField

    def __init__(self, *, max_text_length: int, **kwargs: Any) -> None:
        super().__init__(child=TextField(max_length=max_text_length), **kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        if isinstance(data, list) and data:
            taken = [self.child.at_once(item) for item in data]
            if None not in taken:
                self.run_validators(taken)
                return taken
        return super().run_validation(data)


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

    def run_validation(self, data: Any = empty) -> Any:
        if isinstance(data, str) and data in self.choices:
            return data
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            listed = ", ".join(str(choice) for choice in self.choices)
            raise serializers.ValidationError(f"Expected one of {listed}.", code="invalid_choice")
        return data


class UtcDateTimeField(serializers.DateTimeField):
    """A moment in UTC, ISO 8601 with milliseconds and `Z`."""

    def to_representation(self, value: Any) -> Any:
        return moment(value)


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
        if keeps and self.parent.instance is not None:
            raise SkipField
        plain_text = super().run_validation(data)
        return Secret.of(plain_text) if isinstance(plain_text, str) else plain_text


def _has_no_odd_characters(text: str) -> bool:
    """Tell whether a text is free of NUL and of halves of surrogate pairs; in doubt it is not."""
    return "\0" not in text and (text.isascii() or text.isprintable())
