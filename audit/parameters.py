"""The query parameters of the audit's list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.models import Entry
from common.api.pagination import MAX_CURSOR_LIMIT, Order
from common.api.parameters import ListParameters

NEWEST_FIRST = "-at"
PAGE = 100
LIMITS = {"since": "$gte", "until": "$lt"}
KIND = re.compile(r"[a-z][a-z0-9_]{0,99}")
MOST_CHARACTERS = 200


class AuditParameters(ListParameters):
    """Filters by equality, and by moments: `since` inclusive, `until` exclusive."""

    def __init__(self, filters: Iterable[str]) -> None:
        self.order_names = ("at", NEWEST_FIRST)
        super().__init__(
            Entry, filters, order=NEWEST_FIRST, page_size=PAGE, max_limit=MAX_CURSOR_LIMIT
        )
        self.orderable = ["at"]

    def _read(self, name: str, text: str, asked: dict[str, Any]) -> None:
        if name in LIMITS:
            asked["condition"].setdefault("at", {})[LIMITS[name]] = _moment(text)
            return
        if name in self.filters and ("\0" in text or not 0 < len(text) <= MOST_CHARACTERS):
            raise ValueError(f"Expected 1 to {MOST_CHARACTERS} characters of plain text.")
        if name == "kind" and not KIND.fullmatch(text):
            raise ValueError("Expected the name of a collection, such as connections.")
        super()._read(name, text, asked)

    def names(self) -> str:
        return ", ".join([super().names(), *LIMITS])

    def _order(self, text: str) -> Order:
        if text not in self.order_names:
            raise ValueError(
                f'Cannot order by "{text}"; choose from {", ".join(self.order_names)}.'
            )
        direction = -1 if text == NEWEST_FIRST else 1
        return [("at", direction), ("_id", direction)]


def _moment(text: str) -> datetime:
    """Return the moment that a parameter spells, up to the millisecond that begins with it.

    Without an offset it is UTC.
    """
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        found = found.astimezone(UTC) + timedelta(microseconds=-found.microsecond % 1000)
    except (ValueError, OverflowError):
        raise ValueError("Expected a moment, such as 2026-01-31T08:00:00.000Z.") from None
    return found.replace(tzinfo=None)
