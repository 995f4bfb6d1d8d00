"""Filters of the admin's templates."""

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from common.admin import badges
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
