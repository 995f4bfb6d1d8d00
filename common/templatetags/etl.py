"""Filters of the admin's templates."""

from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.views.main import ChangeList
from django.utils.safestring import SafeString

from common.admin import badges
from common.admin.records import record_of
from common.documents.models import Document

register = template.Library()


@register.filter
def age(moment: datetime | None) -> SafeString:
    """Return how long ago or ahead a moment is."""
    return badges.age(moment)


@register.filter
def link(record: Document) -> SafeString:
    """Return a link to a record's page."""
    return badges.link(record)


@register.filter
def chips(changelist: ChangeList) -> list[dict[str, str]]:
    """Return what a list is filtered by: in words, and the address of the list without it."""
    return [
        {
            "title": str(spec.title),
            "words": _words(changelist, spec),
            "without": changelist.get_query_string(
                remove=list(filter(None, spec.expected_parameters()))
            ),
        }
        for spec in changelist.filter_specs
        if spec.used_parameters
    ]


def _words(changelist: ChangeList, spec: Any) -> str:
    chosen = [one["display"] for one in spec.choices(changelist) if one.get("selected")]
    if chosen:
        return str(chosen[0])
    # A record, chosen by its name among many.
    value = next(iter(spec.used_parameters.values()))
    identifier = value[-1] if isinstance(value, list) else value
    return str(record_of(spec.field.remote_field.model, identifier) or identifier)
