"""The form of a record: the API's sentences on its fields, and no lost changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, ClassVar, cast

import bson
from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models

from common.admin.fields import NamesField
from common.documents.models import Document
from common.exceptions import ServiceError, Stale
from common.secrets.holder import SecretHolder

Refusal = ServiceError | ValidationError

OVERWRITE = "_overwrite"
"""The button that saves over a newer version; its value names the version that it was shown."""

CHANGED_MEANWHILE = ValidationError(
    "This changed since you opened the page. What you typed is still here: save it over what is "
    "stored now, or take that.",
    code=Stale.code,
)


class DocumentForm(forms.ModelForm):
    """The form of a `Document`.

    It carries the `version` of what it shows, and is refused once that is no longer stored, unless
    whoever sends it has seen what is, and wants to save over it. What is stored, and not changed,
    may stay, whatever the rules of today say.
    """

    version = forms.CharField(widget=forms.HiddenInput, required=False)

    path_fields: ClassVar[Mapping[str, str]] = {}
    """The form's name for a part of the model, where it is another."""

    refusal: Refusal | None = None
    """What the store said when this form was saved a moment ago."""

    instance: Document

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored_version = version_of(self.instance)
        self.initial["version"] = self.stored_version
        for name, field in self.fields.items():
            use_api_messages(field)
            if hasattr(field, "keep"):
                field.keep(getattr(self.instance, name))
            elif isinstance(field, forms.ChoiceField):
                offer_stored(field, self.initial.get(name))

    # --- Versions ---------------------------------------------------------------------------------

    @property
    def page_version(self) -> str:
        """Return the version of all that the page shows."""
        return self.stored_version

    def overwrites(self) -> bool:
        """Tell whether the sender has seen what is stored now, and saves over it."""
        seen = self.data.get(OVERWRITE)
        return bool(seen) and seen == self.page_version

    def clean_version(self) -> str:
        sent = cast(str, self.cleaned_data.get("version"))
        if sent and sent != self.stored_version and not self.overwrites():
            self.add_error(None, CHANGED_MEANWHILE)
        return sent

    def is_stale(self) -> bool:
        return self.has_error(NON_FIELD_ERRORS, Stale.code)

    # --- Checks -----------------------------------------------------------------------------------

    def _clean_fields(self) -> None:
        super()._clean_fields()  # type: ignore[misc]  # the stubs leave out what is private
        for name in self._unchanged() & self.errors.keys():
            del self.errors[name]
            self.cleaned_data.pop(name, None)

    def _unchanged(self) -> set[str]:
        return self.fields.keys() - set(self.changed_data) if self.instance.is_stored else set()

    def _get_validation_exclusions(self) -> set[str]:
        several = {
            constraint.fields[0]
            for constraint in self._meta.model._meta.constraints
            if isinstance(constraint, models.UniqueConstraint)
        }
        names = {name for name, field in self.fields.items() if isinstance(field, NamesField)}
        mine: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # as above
        return several | names | self._unchanged() | mine

    def validate_unique(self) -> None:
        """Leave it to the index, at the moment of the write."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # as above
        if isinstance(self.refusal, ServiceError):
            self.add_refusal(self.refusal)
        elif self.refusal is not None:
            self._update_errors(self.refusal)

    # --- Errors -----------------------------------------------------------------------------------

    def _update_errors(self, errors: ValidationError) -> None:
        if not hasattr(errors, "error_dict"):
            self.add_error(None, errors)
            return
        for path, found in errors.error_dict.items():
            if self.field_of(path) not in self.errors:
                self.add_path_error(path, ValidationError(found))

    def add_refused(self, errors: ValidationError) -> None:
        """Show what is found wrong once the form was read, on fields that have no error yet."""
        self._update_errors(errors)

    def field_of(self, path: str) -> str | None:
        """Return the field that shows what is wrong at a path such as `columns.2.name`."""
        head = path.partition(".")[0]
        name = self.path_fields.get(path) or self.path_fields.get(head, head)
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

    def add_refusal(self, refusal: ServiceError) -> None:
        """Show a refusal of the store on the fields that it names."""
        if isinstance(refusal, Stale):
            if not self.is_stale():
                self.add_error(None, CHANGED_MEANWHILE)
            return
        for error in refusal.errors:
            name = error["field"].removesuffix("_id")
            self.add_path_error(name, ValidationError(error["message"], code=error["code"]))
        if not refusal.errors:
            self.add_error(None, ValidationError(refusal.detail, code=refusal.code))


class SecretHolderForm(DocumentForm):
    """The form of a `SecretHolder`: a secret may be referred to in its place."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if str(self.data.get(self.add_prefix("secrets_from")) or "").strip():
            for name in cast(SecretHolder, self.instance).secret_names():
                if name in self.fields:
                    self.fields[name].required = False


def version_of(record: Document) -> str:
    """Return a short text that is another one once a person's change to the record is stored."""
    if not record.is_stored:
        return ""
    stored = record.document
    editable = [str(field.column) for field in record._meta.concrete_fields if field.editable]
    return _digest(bson.encode({column: stored.get(column) for column in sorted(editable)}))


def version_of_all(versions: Iterable[str]) -> str:
    """Return the version of several records together."""
    return _digest(" ".join(versions).encode())


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def offer_stored(field: forms.ChoiceField, stored: Any) -> None:
    """Let a field show what is stored, also where it is none of its choices.

    A browser would choose the first of them instead.
    """
    choices: Any = field.choices
    if not isinstance(field, forms.ModelChoiceField) and stored not in (None, ""):
        known = [value for value, _ in choices]
        field.choices = choices if stored in known else [*choices, (stored, stored)]


def use_api_messages(field: forms.Field) -> None:
    """Have a form's field refuse with the sentences of the API."""
    messages: dict[str, str] = {}
    match field:
        case forms.ModelChoiceField():
            model = getattr(field.queryset, "model", None)
            noun = model._meta.verbose_name if model else "record"
            messages["invalid_choice"] = f"There is no {noun} with this id."
        case forms.ChoiceField():
            choices: Any = field.choices
            listed = ", ".join(str(value) for value, _ in choices if value)
            messages = dict.fromkeys(("invalid_choice", "required"), f"Expected one of {listed}.")
        case forms.IntegerField():
            messages = {
                "invalid": "A valid integer is required.",
                "min_value": "Ensure this value is greater than or equal to %(limit_value)s.",
                "max_value": "Ensure this value is less than or equal to %(limit_value)s.",
            }
        case forms.CharField():
            messages["required"] = "This field may not be blank."
            messages["max_length"] = (
                "Ensure this field has no more than %(limit_value)d characters."
            )
    field.error_messages |= messages
