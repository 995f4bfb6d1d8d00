"""The query parameters of the audit's list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from audit.models import Entry
from common.api.pagination import MAX_CURSOR_LIMIT
from common.api.parameters import TimelineParameters

PAGE = 100
KIND = re.compile(r"[a-z][a-z0-9_]{0,99}")
MOST_CHARACTERS = 200


class AuditParameters(TimelineParameters):
    """Filters by equality, and by moments: `since` inclusive, `until` exclusive."""

    def __init__(self, filters: Iterable[str]) -> None:
        super().__init__(Entry, filters, "at", page_size=PAGE, max_limit=MAX_CURSOR_LIMIT)

    def _read(self, name: str, text: str, asked: dict[str, Any]) -> None:
        if name in self.filters and ("\0" in text or not 0 < len(text) <= MOST_CHARACTERS):
            raise ValueError(f"Expected 1 to {MOST_CHARACTERS} characters of plain text.")
        if name == "kind" and not KIND.fullmatch(text):
            raise ValueError("Expected the name of a collection, such as connections.")
        super()._read(name, text, asked)
