"""The query parameters of a list: which records, in which order, which page of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import QueryDict

from common.api import pagination as paging
from common.api.pagination import Cursor, Order
from common.api.problems import Invalid
from common.documents import store
from common.documents.models import field_of
from common.exceptions import FieldError

NEWEST_FIRST = "-updated_at"
MAX_SKIP = 2**31 - 1
MAX_SEARCH = 200


@dataclass(frozen=True)
class Listing:
    """A parsed list request: `condition` and `order` in MongoDB's terms, `limit` None for all.

    `cursor` is None where pages go by offset. `searches` tells that an index cannot help.
    """

    condition: dict[str, Any]
    order: Order
    limit: int | None = None
    offset: int = 0
    cursor: Cursor | None = None
    searches: bool = False

    @property
    def page_condition(self) -> dict[str, Any]:
        """Return the condition of the page itself, within that of the whole list."""
        if not self.cursor or not self.cursor.values:
            return self.condition
        behind = paging.behind(self.cursor.values, self.order)
        return {"$and": [self.condition, behind]} if self.condition else behind


class Parameters:
    """Which parameters the list of one model takes.

    `filters` are its fields that may be asked for by equality and ordered by; `search` the text
    fields that `?search=` looks into.
    """

    def __init__(
        self,
        model: type[models.Model],
        filters: Iterable[str],
        search: Iterable[str] = (),
        ordered_by: Iterable[str] = (),
        order: str = NEWEST_FIRST,
    ) -> None:
        self.filters = {name: field_of(model, name) for name in filters}
        self.search = tuple(search)
        self.default_order = order
        moments = ("created_at", "updated_at", *ordered_by)
        self.orderable = list(dict.fromkeys(["id", *self.filters, *moments]))

    def parse(self, query: QueryDict, base: Mapping[str, Any]) -> Listing:
        """Return the listing that a query string asks for, within the condition `base`.

        Raises Invalid, naming every parameter that makes no sense.
        """
        errors: list[FieldError] = []
        asked: dict[str, Any] = {"condition": dict(base), "order": self._order(self.default_order)}
        for name, text in query.items():
            try:
                self._read(name, str(text), asked)
            except ValueError as wrong:
                errors.append({"field": name, "code": "invalid", "message": str(wrong)})
        if "cursor" in asked and not errors:
            errors = _read_cursor(asked)
        if errors:
            raise Invalid(errors)
        return Listing(**asked)

    def _read(self, name: str, text: str, asked: dict[str, Any]) -> None:
        """Add what one parameter says to `asked`. Raises ValueError where it makes no sense."""
        if name == "limit":
            asked["limit"] = _whole(text, minimum=1)
        elif name == "offset":
            asked["offset"] = _whole(text, minimum=0)
        elif name == "cursor":
            asked["cursor"] = text
        elif name == "ordering":
            asked["order"] = self._order(text)
        elif name == "search":
            asked["condition"] |= self._containing(text)
            asked["searches"] = True
        elif name in self.filters:
            field = self.filters[name]
            asked["condition"] |= {str(field.column): _value(field, text)}
        else:
            raise ValueError(f"There is no such parameter; there are {self.names()}.")

    def names(self) -> str:
        searched = ["search"] if self.search else []
        return ", ".join(["limit", "offset", "cursor", "ordering", *searched, *self.filters])

    def _order(self, text: str) -> Order:
        """Return the sort keys of a comma-separated list, made total by age and id.

        Among equals the newest comes first, as the indexes have it; backwards, the oldest.
        """
        keys = [self._sort_key(part.strip()) for part in text.split(",")]
        named = [name for name, _ in keys]
        if len(set(named)) < len(named):
            raise ValueError("A field is named twice.")
        moment = named[-1].endswith("_at")
        direction = keys[-1][1] if moment else -keys[-1][1]
        for name in ("_id",) if moment or "_id" in named else ("updated_at", "_id"):
            if "_id" not in named and name not in named:
                keys.append((name, direction))
        return keys

    def _sort_key(self, part: str) -> tuple[str, int]:
        name = part.removeprefix("-")
        if name == "_id":
            name = "id"
        if name not in self.orderable:
            raise ValueError(f'Cannot order by "{name}"; choose from {", ".join(self.orderable)}.')
        field = self.filters.get(name)
        column = "_id" if name == "id" else str(field.column) if field else name
        return column, -1 if part.startswith("-") else 1

    def _containing(self, text: str) -> dict[str, Any]:
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
        if not limit or limit > paging.MAX_CURSOR_LIMIT:
            raise ValueError(f"A cursor needs a limit of 1 to {paging.MAX_CURSOR_LIMIT}.")
        asked["cursor"] = paging.read_cursor(asked["cursor"], asked["order"])
    except ValueError as wrong:
        return [{"field": "cursor", "code": "invalid", "message": str(wrong)}]
    return []


def _whole(text: str, minimum: int) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not minimum <= int(text) <= MAX_SKIP:
        raise ValueError(f"Expected a whole number from {minimum} to {MAX_SKIP}.")
    return int(text)


def _value(field: models.Field[Any, Any], text: str) -> Any:
    """Return a parameter's text as the value that `field` stores."""
    if isinstance(field, models.BooleanField):
        return _boolean(text)
    if isinstance(field, models.IntegerField):
        return _whole(text, minimum=0)
    if isinstance(field, models.ForeignKey):
        return store.object_id(text)
    choices = [value for value, _ in field.flatchoices]
    if choices and text not in choices:
        raise ValueError(f"Expected one of {', '.join(choices)}.")
    return text


def _boolean(text: str) -> bool:
    values = {"true": True, "false": False, "1": True, "0": False}
    if text.lower() not in values:
        raise ValueError("Expected true or false.")
    return values[text.lower()]
