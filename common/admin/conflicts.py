"""What a person typed beside what somebody else stored meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms

from common.admin.forms import DocumentForm
from common.admin.records import record_of


@dataclass(frozen=True)
class Difference:
    """A field with what is typed into it, and what is stored now, as text."""

    label: str
    typed: str
    stored: str


@dataclass(frozen=True)
class Conflict:
    """What a stale page may save over: the version that is stored now, and where it differs."""

    version: str
    differences: list[Difference]


def differences(form: DocumentForm) -> Iterator[Difference]:
    """Yield the fields of a form that was sent whose values are not those that are stored now."""
    for name in form.changed_data:
        bound = form[name]
        if name != "version":
            typed, stored = as_text(bound.field, bound.data), as_text(bound.field, bound.initial)
            yield Difference(str(bound.label), typed, stored)


def as_text(field: Any, value: Any) -> str:
    """Return a field's value as a person reads it."""
    match field:
        case forms.ModelChoiceField():
            model = field.queryset.model if field.queryset is not None else None
            return str((model and record_of(model, value)) or value or "")
        case forms.MultipleChoiceField():
            several: Any = field.choices
            words = {str(key): str(word) for key, word in several}
            return ", ".join(words.get(one, one) for one in map(str, value or ()))
        case forms.ChoiceField():
            choices: Any = field.choices
            return str(dict(choices).get(value, value or ""))
        case forms.BooleanField():
            return "yes" if field.to_python(value) else "no"
        case _ if hasattr(field, "as_text"):
            return str(field.as_text(value))
    return "" if value is None else str(value)
