"""Small pieces of HTML that the admin's pages share: badges, ages, links."""

from datetime import UTC, datetime, timedelta

from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.documents.models import Document

GOOD, BAD, WARN, QUIET, INFO = "good", "bad", "warn", "quiet", "info"
NOTHING = format_html('<span class="etl-quiet">{}</span>', "\u2013")

_UNITS = [("d", 86400), ("h", 3600), ("min", 60), ("s", 1)]


def badge(text: str, tone: str, title: str = "") -> SafeString:
    """Return a coloured word; `tone` is one of this module's, `title` shows on hovering."""
    return format_html('<span class="etl-badge etl-{}" title="{}">{}</span>', tone, title, text)


def in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def span(length: timedelta) -> str:
    """Return a length of time in its largest whole unit: `3 d`, `5 min`."""
    seconds = max(int(abs(length).total_seconds()), 0)
    unit, size = next((pair for pair in _UNITS if seconds >= pair[1]), _UNITS[-1])
    return f"{seconds // size} {unit}"


def age(moment: datetime | None, now: datetime | None = None) -> SafeString:
    """Return how long ago (or ahead) a moment is; hovering shows the moment itself."""
    if moment is None:
        return NOTHING
    moment, now = in_utc(moment), now or datetime.now(UTC)
    text = f"{span(now - moment)} ago" if moment <= now else f"in {span(moment - now)}"
    return format_html(
        '<time class="etl-age" datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"), f"{moment:%Y-%m-%d %H:%M:%S} UTC", text,
    )  # fmt: skip


def link(record: Document | None, text: str = "") -> SafeString:
    """Return a link to a record's page; a dash where there is none."""
    if record is None:
        return NOTHING
    meta = record._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[record.pk])
    return format_html('<a class="etl-link" href="{}">{}</a>', address, text or str(record))


def list_link(model: type[models.Model], text: str, **condition: object) -> SafeString:
    """Return a link to the list of a model's records that meet a condition."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    query = "&".join(f"{name}={value}" for name, value in condition.items())
    return format_html('<a class="etl-link" href="{}?{}">{}</a>', address, query, text)
