"""Fields of the admin's forms: secrets that are never shown, texts and names kept exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from unfold.widgets import INPUT_CLASSES, TEXTAREA_CLASSES

from common.admin import name_lists
from common.api.fields import MAX_SOURCE_NAME
from common.documents import names
from common.exceptions import UnreadableSecret
from common.secrets.fields import Secret

INPUT = " ".join(INPUT_CLASSES)
TEXTAREA = " ".join(TEXTAREA_CLASSES)
MONO = "font-mono etl-mono"

MAX_NAMES = 1000


# --- Secrets --------------------------------------------------------------------------------------


class SecretInput(forms.TextInput):
    """An input that never holds a secret: it tells whether there is one, and takes a new one."""

    template_name = "common/widgets/secret.html"
    input_type = "password"

    def __init__(self, lines: bool = False, removable: bool = False) -> None:
        super().__init__({"autocomplete": "new-password", "class": TEXTAREA if lines else INPUT})
        self.lines = lines
        self.removable = removable

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        # What was typed into a form that failed is not sent back either.
        context = super().get_context(name, None, attrs)
        context["widget"] |= {
            "state": self.state,
            "lines": self.lines,
            "removable": self.removable and self.state != "not set",
        }
        return context

    state = "not set"

    def use_required_attribute(self, initial: Any) -> bool:
        # It may be referred to in its place.
        return False

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        if self.removable and data.get(f"{name}-remove"):
            return REMOVED
        return data.get(name)


REMOVED = object()


class ReferencesField(forms.JSONField):
    """Where secrets are found, as JSON."""

    def __init__(self, **kwargs: Any) -> None:
        attributes = {"rows": 3, "class": f"{TEXTAREA} {MONO}"}
        super().__init__(required=False, widget=forms.Textarea(attributes), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class SecretField(forms.CharField):
    """A secret: an empty one keeps what is `stored`."""

    widget: SecretInput
    stored: Secret | None = None

    def __init__(self, *, max_length: int | None = None, required: bool = True, **kwargs: Any):
        lines = (max_length or 0) > 5000
        kwargs["widget"] = SecretInput(lines=lines, removable=not required)
        super().__init__(max_length=max_length, required=required, strip=False, **kwargs)

    def keep(self, stored: Any) -> None:
        """Note what is stored, which an empty input leaves as it is."""
        self.stored = stored if isinstance(stored, Secret) else None
        self.widget.state = state_of(self.stored)
        self.required = self.required and self.stored is None

    def clean(self, value: Any) -> Any:
        if value is REMOVED:
            return None
        if not value and self.stored is not None:
            return self.stored
        text = super().clean(value)
        if self.widget.lines:
            text = with_newlines(text)
        return Secret.of(text) if text else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)

    def as_text(self, value: Any) -> str:
        """Return what may be said of a value: nothing of the secret itself."""
        if value is REMOVED:
            return "remove it"
        return "another one: type it again" if isinstance(value, str) else state_of(value)


def state_of(secret: Secret | None) -> str:
    """Return whether there is a secret, and whether a key opens it."""
    if secret is None:
        return "not set"
    try:
        secret.reveal()
    except (UnreadableSecret, ImproperlyConfigured):
        return "unreadable"
    return "set"


# --- Texts and names ------------------------------------------------------------------------------


class LinesField(forms.CharField):
    """Text of several lines; one that is not changed stays as it is stored.

    Browsers send other line ends, and the field trims what it is given.
    """

    stored = ""

    def keep(self, stored: str | None) -> None:
        """Note what is stored."""
        self.stored = stored or ""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not isinstance(text, str):
            return text
        text = with_newlines(text)
        return self.stored if text == with_newlines(self.stored).strip() else text

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (self.to_python(data) or "") != (initial or "")


def with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class NameField(forms.CharField):
    """The name of a record: trimmed, composed, of characters that can be seen."""

    stored = ""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("max_length", None)
        super().__init__(**kwargs)
        # What is typed may be longer than what it is composed to.
        self.widget.attrs["maxlength"] = 2 * names.MAX_LENGTH

    def keep(self, stored: str | None) -> None:
        """Note what is stored, which may be a name of older rules."""
        self.stored = stored or ""

    def to_python(self, value: Any) -> Any:
        name = names.normalized(super().to_python(value) or "")
        return self.stored if name == names.normalized(self.stored) else name

    def validate(self, value: str) -> None:
        super().validate(value)
        if problem := names.problem(value):
            raise ValidationError(problem, code="invalid")


class NamesField(forms.CharField):
    """A list of names in one text; what is not changed stays as it is stored."""

    widget = forms.Textarea(attrs={"rows": 1, "class": f"{TEXTAREA} {MONO} etl-names"})
    stored: list[str] | None = None

    def keep(self, stored: Any) -> None:
        """Note what is stored."""
        self.stored = stored if isinstance(stored, list) else None

    def prepare_value(self, value: Any) -> Any:
        return self.as_text(value) if isinstance(value, list) else value

    def as_text(self, value: Any) -> str:
        return name_lists.to_text(map(str, value)) if isinstance(value, list) else str(value or "")

    def to_python(self, value: Any) -> Any:
        typed = value if isinstance(value, list) else name_lists.from_text(value or "")
        # Browsers send other line ends than may be in a name.
        is_stored = self.stored and typed == name_lists.from_text(self.as_text(self.stored))
        return list(self.stored or []) if is_stored else typed

    def validate(self, value: list[str]) -> None:
        if not value:
            raise ValidationError("This list may not be empty.", code="empty")
        if len(value) > MAX_NAMES:
            raise ValidationError(
                f"Ensure this field has no more than {MAX_NAMES} elements.", code="max_length"
            )
        if not all(name.strip() for name in value):
            raise ValidationError("This field may not be blank.", code="blank")

    def run_validators(self, value: Any) -> None:
        """A list has none of a text's."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class SourceNamesField(NamesField):
    """Names of a source's columns: called what the source calls them, white space and all."""

    def validate(self, value: list[str]) -> None:
        super().validate(value)
        if any(len(name) > MAX_SOURCE_NAME for name in value):
            raise ValidationError(
                f"Ensure this field has no more than {MAX_SOURCE_NAME} characters.",
                code="max_length",
            )
