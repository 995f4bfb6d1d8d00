"""Moments as text: UTC, ISO 8601 with milliseconds and `Z`."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bson.datetime_ms import DatetimeMS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CALENDAR_MS = 146_097 * 86_400_000
"""The calendar repeats itself every 400 years."""


def iso_utc(moment: datetime) -> str:
    """Return a UTC moment, naive or aware, as `2026-01-31T08:00:00.000Z`."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_far(moment: DatetimeMS) -> str:
    """Return a UTC moment of a year that Python lacks as JavaScript does: `+010000-01-01T…`."""
    cycles, ms = divmod(int(moment), CALENDAR_MS)
    near = EPOCH + timedelta(milliseconds=ms)
    return f"{near.year + 400 * cycles:+07d}{iso_utc(near)[4:]}"


def show_moment(value: Any) -> Any:
    """Return a stored moment as text, and anything else as it is."""
    if isinstance(value, datetime):
        return iso_utc(value)
    return iso_far(value) if isinstance(value, DatetimeMS) else value
