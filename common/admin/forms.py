"""Forms of the admin: the API's sentences, secrets that are never shown, texts kept exactly."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, ClassVar, cast

import bson
from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ImproperlyConfigured, ValidationError
from django.db import models
from unfold.widgets import INPUT_CLASSES, TEXTAREA_CLASSES

from common.admin import name_lists as names
from common.documents.models import Document
from common.exceptions import ServiceError, Stale, UnreadableSecret
from common.secrets.fields import Secret

INPUT = " ".join(INPUT_CLASSES)
TEXTAREA = " ".join(TEXTAREA_CLASSES)
MONO = "font-mono etl-mono"

Refusal = ServiceError | ValidationError


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

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        if self.removable and data.get(f"{name}-remove"):
            return REMOVED
        return data.get(name)


REMOVED = object()


class SecretField(forms.CharField):
    """A secret: an empty one keeps what is `stored`."""

    widget: SecretInput
    stored: Secret | None = None

    def __init__(self, *, max_length: int | None = None, required: bool = True, **kwargs: Any):
        lines = (max_length or 0) > 5000
        kwargs["widget"] = SecretInput(lines=lines, removable=not required)
        super().__init__(max_length=max_length, required=required, strip=False, **kwargs)

    def keep(self, stored: Secret | None) -> None:
        """Note what is stored, which an empty input leaves as it is."""
        self.stored = stored
        self.widget.state = state_of(stored)
        self.required = self.required and stored is None

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


def state_of(secret: Secret | None) -> str:
    """Return whether there is a secret, and whether a key opens it."""
    if secret is None:
        return "not set"
    try:
        secret.reveal()
    except (UnreadableSecret, ImproperlyConfigured):
        return "unreadable"
    return "set"


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


class NamesField(forms.CharField):
    """A list of names in one text."""

    widget = forms.Textarea(attrs={"rows": 1, "class": f"{TEXTAREA} {MONO} etl-names"})

    def prepare_value(self, value: Any) -> Any:
        return names.to_text(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, list) else names.from_text(value or "")

    def validate(self, value: list[str]) -> None:
        if not value:
            raise ValidationError("This list may not be empty.", code="empty")
        for name in value:
            if len(name) > 100:
                raise ValidationError(
                    "Ensure this field has no more than 100 characters.", code="max_length"
                )

    def run_validators(self, value: Any) -> None:
        """A list has none of a text's."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class DocumentForm(forms.ModelForm):
    """The form of a `Document`: its rules' sentences on their fields, and no lost changes.

    It carries the `version` of what it shows, and is refused once that is no longer stored.
    """

    version = forms.CharField(widget=forms.HiddenInput, required=False)

    path_fields: ClassVar[Mapping[str, str]] = {}
    """The form's name for a part of the model, where it is another."""

    refusal: Refusal | None = None
    """What the store said when this form was saved a moment ago."""

    instance: Document

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shown = version_of(self.instance)
        self.initial["version"] = self.shown
        for name, field in self.fields.items():
            speak_as_the_api(field)
            if isinstance(field, SecretField):
                stored = getattr(self.instance, name)
                field.keep(stored if isinstance(stored, Secret) else None)
            elif isinstance(field, LinesField):
                field.keep(getattr(self.instance, name))

    def clean_version(self) -> str:
        sent = cast(str, self.cleaned_data.get("version"))
        if sent and sent != self.shown:
            self.add_error(None, ValidationError(Stale().detail, code=Stale.code))
        return sent

    def validate_unique(self) -> None:
        """Leave it to the index, at the moment of the write."""

    def _get_validation_exclusions(self) -> set[str]:
        several = {
            constraint.fields[0]
            for constraint in self._meta.model._meta.constraints
            if isinstance(constraint, models.UniqueConstraint)
        }
        # The stubs leave out what is private.
        return several | super()._get_validation_exclusions()  # type: ignore[misc]

    def _update_errors(self, errors: ValidationError) -> None:
        if not hasattr(errors, "error_dict"):
            self.add_error(None, errors)
            return
        for path, found in errors.error_dict.items():
            if self.field_of(path) not in self.errors:
                self.add_path_error(path, ValidationError(found))

    def field_of(self, path: str) -> str | None:
        """Return the field that shows what is wrong at a path such as `columns.2.name`."""
        head = path.partition(".")[0]
        name = self.path_fields.get(head, head)
        return name if name in self.fields else None

    def add_path_error(self, path: str, error: ValidationError) -> None:
        name = None if path == NON_FIELD_ERRORS else self.field_of(path)
        field: Any = self.fields[name] if name else None
        for one in error.error_list if field else ():
            if one.code in ("min_value", "max_value"):
                one.message = field.error_messages.get(one.code, one.message)
        self.add_error(name, error)
        if hasattr(field, "mark"):
            field.mark(path)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # as above
        if isinstance(self.refusal, ServiceError):
            self.add_refusal(self.refusal)
        elif self.refusal is not None:
            self._update_errors(self.refusal)

    def add_refusal(self, refusal: ServiceError) -> None:
        """Show a refusal of the store on the fields that it names."""
        for error in refusal.errors:
            name = error["field"].removesuffix("_id")
            self.add_path_error(name, ValidationError(error["message"], code=error["code"]))
        if not refusal.errors:
            self.add_error(None, ValidationError(refusal.detail, code=refusal.code))


def version_of(record: Document) -> str:
    """Return a short text that is another one once a person's change to the record is stored."""
    if not record.is_stored:
        return ""
    stored = record.document
    editable = [str(field.column) for field in record._meta.concrete_fields if field.editable]
    content = {column: stored.get(column) for column in sorted(editable)}
    return blake2b(bson.encode(content), digest_size=8).hexdigest()


def speak_as_the_api(field: forms.Field) -> None:
    """Have a form's field refuse with the sentences of the API."""
    said: dict[str, str] = {}
    match field:
        case forms.ModelChoiceField():
            model = getattr(field.queryset, "model", None)
            noun = model._meta.verbose_name if model else "record"
            said["invalid_choice"] = f"There is no {noun} with this id."
        case forms.ChoiceField():
            choices: Any = field.choices
            listed = ", ".join(str(value) for value, _ in choices if value)
            said = dict.fromkeys(("invalid_choice", "required"), f"Expected one of {listed}.")
        case forms.IntegerField():
            said = {
                "invalid": "A valid integer is required.",
                "min_value": "Ensure this value is greater than or equal to %(limit_value)s.",
                "max_value": "Ensure this value is less than or equal to %(limit_value)s.",
            }
        case forms.CharField():
            said["required"] = "This field may not be blank."
            said["max_length"] = "Ensure this field has no more than %(limit_value)d characters."
    field.error_messages |= said
