"""How far back in time a page of a long list reaches.

MongoDB stops at a limit by itself. A server that collects every match before it applies the limit,
as the embedded ones do, reads a million records for a page of fifty. So the pages of a long list
are looked for in a stretch of time: the one that held the page the last time, or else longer and
longer ones. A page that no stretch fills is read without.

Each process remembers its stretches; nothing but speed depends on them.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from bson import ObjectId

from common import store
from common.store import Stored

MOST = 1000
"""Up to this many records from either end of a list, or in a page, stretches are made use of."""

Read = Callable[[Stored, int], list[Stored]]
"""Returns documents of a list, up to a limit: those in a stretch, or the very page."""
IsLong = Callable[[], bool]
"""Tells whether a list is worth the effort; asked only where no stretch is known."""

FIELD = "updated_at"
LONGER = [timedelta(minutes=8**power) for power in range(7)]
"""From a minute to half a year."""
SHORTER = [timedelta(days=73_000) / 2**power for power in range(30)]
"""From two hundred years to a few seconds."""

THE_FIRST = datetime.min  # noqa: DTZ901 - naive, as the driver's moments are

TIES = 50
"""Records of the cursor's own moment that a page behind it may begin with."""

_ends: dict[tuple[str, int], datetime] = {}
"""The moment of a collection's nth record from the newest, or from the oldest where n < 0."""
_spans: dict[tuple[str, int], timedelta] = {}
"""What lay between a cursor and the end of its page, by collection and records in the page."""


class Position(NamedTuple):
    """Where a page ended: the values of its last record that it is ordered by."""

    moment: datetime
    identifier: ObjectId

    def behind(self, found: list[Stored]) -> list[Stored]:
        """Return what comes behind, of the documents from this moment on, newest first."""
        at_once = [document["_id"] for document in found if document[FIELD] == self.moment]
        if not all(isinstance(identifier, ObjectId) for identifier in at_once):
            return []  # Only the store knows how these compare.
        before = sum(identifier >= self.identifier for identifier in at_once)
        return found[before:]


def newest(name: str, limit: int, end: int, read: Read, is_long: IsLong) -> list[Stored]:
    """Return the page of `limit` documents whose last is the collection's `end`th, newest first."""
    moments = _back_from(_now(), _ends.get((name, end)), is_long)
    found = _first_filled(limit, (read({FIELD: {"$gte": low}}, limit) for low in moments))
    found = found or read({}, limit)
    _note_end(name, end, limit, found)
    return found


def behind(name: str, limit: int, last: Position, read: Read, is_long: IsLong) -> list[Stored]:
    """Return the page of `limit` documents behind a cursor, newest first."""
    span = _spans.get((name, limit))
    moments = _back_from(last.moment, _before(last.moment, span) if span else None, is_long)
    found = _first_filled(limit, _pages_behind(last, moments, limit, read)) or read({}, limit)
    if len(found) == limit and isinstance(end := found[-1].get(FIELD), datetime):
        _spans[name, limit] = 2 * (last.moment - end)
    return found


def _pages_behind(
    last: Position, moments: Iterable[datetime], limit: int, read: Read
) -> Iterator[list[Stored]]:
    for low in moments:
        # With a further condition the embedded servers would leave their index.
        found = read({FIELD: {"$gte": low, "$lte": last.moment}}, limit + TIES)
        yield last.behind(found)[:limit]
        if len(found) == limit + TIES:
            return  # So many of the cursor's moment that a longer stretch begins with the same.


def oldest(name: str, limit: int, read: Read, is_long: IsLong) -> list[Stored]:
    """Return the `limit` oldest documents, the oldest first."""
    if read({FIELD: None}, 1):
        return read({}, limit)  # Records without a moment come before all that have one.
    moments = _towards_now(_ends.get((name, -limit)), is_long)
    found = _first_filled(limit, (read({FIELD: {"$lte": high}}, limit) for high in moments))
    found = found or read({}, limit)
    _note_end(name, -limit, limit, found)
    return found


def _back_from(start: datetime, known: datetime | None, is_long: IsLong) -> Iterator[datetime]:
    if known:
        yield known
    if is_long():
        lows = (_before(start, span) for span in LONGER)
        yield from (low for low in lows if not known or low < known)


def _towards_now(known: datetime | None, is_long: IsLong) -> Iterator[datetime]:
    if known:
        yield known
    if is_long():
        highs = (_before(_now(), span) for span in SHORTER)
        yield from (high for high in highs if not known or high > known)


def _first_filled(limit: int, pages: Iterable[list[Stored]]) -> list[Stored]:
    """Return the first page that is full, none where there is no such."""
    return next((page for page in pages if len(page) == limit), [])


def _note_end(name: str, position: int, limit: int, found: list[Stored]) -> None:
    if len(found) == limit and isinstance(last := found[-1].get(FIELD), datetime):
        _ends[name, position] = last


def _before(moment: datetime, span: timedelta) -> datetime:
    return moment - min(span, moment - THE_FIRST)


def _now() -> datetime:
    return store.now().replace(tzinfo=None)
