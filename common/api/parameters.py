"""The query parameters of a list: which records, in which order, which page of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.http import QueryDict

from common.api import pagination
from common.api.pagination import Order
from common.api.problems import Invalid
from common.documents.codecs import MAX_NUMBER, codec_of, whole_number
from common.documents.models import field_of
from common.documents.store import Stored
from common.exceptions import FieldError

NEWEST_FIRST = "-updated_at"
MAX_SEARCH = 200


@dataclass(frozen=True)
class ListQuery:
    """A parsed list request: `condition` and `order` in MongoDB's terms, `limit` None for all.

    `after` is None where pages go by offset, else the values that the last page ended with.
    `searches` tells that an index cannot help.
    """

    condition: Stored
    order: Order
    limit: int | None = None
    offset: int = 0
    after: list[Any] | None = None
    searches: bool = False

    @property
    def page_condition(self) -> Stored:
        """Return the condition of the page itself, within that of the whole list."""
        if not self.after:
            return self.condition
        behind = pagination.behind(self.after, self.order)
        return {"$and": [self.condition, behind]} if self.condition else behind


class ListParameters:
    """Which parameters the list of one model takes.

    `filters` are its fields that may be asked for by equality and ordered by; `search` the text
    fields that `?search=` looks into. `order` is the one where none is asked for; `page_size` the
    limit where none is given, and `max_limit` the greatest.
    """

    def __init__(
        self,
        model: type[models.Model],
        filters: Iterable[str],
        search: Iterable[str] = (),
        ordered_by: Iterable[str] = (),
        order: str = NEWEST_FIRST,
        page_size: int | None = None,
        max_limit: int = MAX_NUMBER,
    ) -> None:
        self.filters = {name: codec_of(field_of(model, name)) for name in filters}
        self.search = tuple(search)
        self.default_order = order
        self.page_size, self.max_limit = page_size, max_limit
        moments = ("created_at", "updated_at", *ordered_by)
        self.orderable = list(dict.fromkeys(["id", *self.filters, *moments]))

    def parse(self, query: QueryDict, base: Mapping[str, Any]) -> ListQuery:
        """Return the list that a query string asks for, within the condition `base`.

        Raises Invalid, naming every parameter that makes no sense.
        """
        errors: list[FieldError] = []
        asked: dict[str, Any] = {
            "condition": dict(base),
            "order": self._order(self.default_order),
            "limit": self.page_size,
        }
        for name, text in query.items():
            try:
                self._read(name, str(text), asked)
            except ValueError as wrong:
                errors.append({"field": name, "code": "invalid", "message": str(wrong)})
        if "after" in asked and not errors:
            errors = _read_cursor(asked)
        if errors:
            raise Invalid(errors)
        return ListQuery(**asked)

    def _read(self, name: str, text: str, asked: dict[str, Any]) -> None:
        """Add what one parameter says to `asked`. Raises ValueError where it makes no sense."""
        if name == "limit":
            asked["limit"] = self._limit(text)
        elif name == "offset":
            asked["offset"] = whole_number(text)
        elif name == "cursor":
            asked["after"] = text
        elif name == "ordering":
            asked["order"] = self._order(text)
        elif name == "search":
            asked["condition"] |= self._containing(text)
            asked["searches"] = True
        elif name in self.filters:
            codec = self.filters[name]
            asked["condition"] |= {codec.column: codec.condition(text)}
        else:
            raise ValueError(f"There is no such parameter; there are {self.names()}.")

    def names(self) -> str:
        searched = ["search"] if self.search else []
        return ", ".join(["limit", "offset", "cursor", "ordering", *searched, *self.filters])

    def _limit(self, text: str) -> int:
        limit = whole_number(text, minimum=1)
        if limit > self.max_limit:
            raise ValueError(f"Expected a whole number from 1 to {self.max_limit}.")
        return limit

    def _order(self, text: str) -> Order:
        """Return the sort keys of a comma-separated list, made total by age and id.

        Among equals the newest comes first, as the indexes have it; backwards, the oldest.
        """
        keys = [self._sort_key(part.strip()) for part in text.split(",")]
        named = [name for name, _ in keys]
        if len(set(named)) < len(named):
            raise ValueError("A field is named twice.")
        is_moment = named[-1].endswith("_at")
        direction = keys[-1][1] if is_moment else -keys[-1][1]
        for name in ("_id",) if is_moment or "_id" in named else ("updated_at", "_id"):
            if "_id" not in named and name not in named:
                keys.append((name, direction))
        return keys

    def _sort_key(self, part: str) -> tuple[str, int]:
        name = part.removeprefix("-")
        if name == "_id":
            name = "id"
        if name not in self.orderable:
            raise ValueError(f'Cannot order by "{name}"; choose from {", ".join(self.orderable)}.')
        codec = self.filters.get(name)
        column = "_id" if name == "id" else codec.column if codec else name
        return column, -1 if part.startswith("-") else 1

    def _containing(self, text: str) -> Stored:
        if not self.search:
            raise ValueError("This list has no text to search.")
        if "\0" in text or len(text) > MAX_SEARCH:
            raise ValueError(f"Expected up to {MAX_SEARCH} characters of plain text.")
        if not text.strip():
            return {}
        pattern = {"$regex": re.escape(text.strip()), "$options": "i"}
        return {"$or": [{name: pattern} for name in self.search]}


def _read_cursor(asked: dict[str, Any]) -> list[FieldError]:
    """Read the cursor in its place; return what it does not go with, or that it is none."""
    limit = asked.get("limit")
    try:
        if asked.get("offset"):
            raise ValueError("A page is asked for by offset or by cursor.")
        if not limit or limit > pagination.MAX_CURSOR_LIMIT:
            raise ValueError(f"A cursor needs a limit of 1 to {pagination.MAX_CURSOR_LIMIT}.")
        asked["after"] = pagination.read_cursor(asked["after"], asked["order"])
    except ValueError as wrong:
        return [{"field": "cursor", "code": "invalid", "message": str(wrong)}]
    return []


class TimelineParameters(ListParameters):
    """Of a list in the order of one moment: `since` is inclusive, `until` exclusive."""

    LIMITS: ClassVar = {"since": "$gte", "until": "$lt"}

    def __init__(
        self, model: type[models.Model], filters: Iterable[str], moment: str, **options: Any
    ) -> None:
        self.moment = moment
        options.setdefault("order", f"-{moment}")
        super().__init__(model, filters, **options)
        self.orderable = [moment]

    def _read(self, name: str, text: str, asked: dict[str, Any]) -> None:
        if name in self.LIMITS:
            limits = asked["condition"].setdefault(self.moment, {})
            limits[self.LIMITS[name]] = _moment(text)
        else:
            super()._read(name, text, asked)

    def names(self) -> str:
        return ", ".join([super().names(), *self.LIMITS])

    def _order(self, text: str) -> Order:
        if text not in (self.moment, f"-{self.moment}"):
            raise ValueError(f'Cannot order by "{text}"; choose {self.moment} or -{self.moment}.')
        direction = -1 if text.startswith("-") else 1
        return [(self.moment, direction), ("_id", direction)]


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
