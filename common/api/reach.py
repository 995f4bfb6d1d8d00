"""How far back in time a page of a long list reaches.

MongoDB stops at a limit by itself. A server that collects every match before it applies the limit,
as the embedded ones do, reads a million records for a page of fifty. So the pages of a long list
are looked for in a stretch of time: one like that of the page before, or else longer and longer
ones. A page that no stretch fills is read without.

A stretch holds only records that have a moment; whoever calls knows that none has anything else.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bson import ObjectId

from common.documents import store
from common.documents.store import Stored

MOST = 1000
"""Up to this many records from either end of a list, or in a page, stretches are made use of."""

Read = Callable[[Stored, int], list[Stored]]
"""Returns documents of a list, up to a limit: those in a stretch, or the very page."""

FIELD = "updated_at"
LONGER = [timedelta(minutes=8**power) for power in range(7)]
"""From a minute to half a year."""
SHORTER = [timedelta(days=73_000) / 2**power for power in range(30)]
"""From two hundred years to a few seconds."""
THE_FIRST = datetime.min  # noqa: DTZ901 - naive, as the driver's moments are

TIES = 50
"""Records of the cursor's own moment that a page behind it may begin with."""

_ends: dict[tuple[str, int], datetime] = {}
"""The moment of a collection's nth record from the newest, or from the oldest where n < 0.

Each process remembers its own; nothing but speed depends on it.
"""


class Position(NamedTuple):
    """Where a page ended: the values of its last record, and the time that it spans."""

    moment: datetime
    identifier: ObjectId
    span: timedelta

    def behind(self, found: list[Stored]) -> list[Stored]:
        """Return what comes behind, of the documents from this moment on, newest first."""
        at_once = (document["_id"] for document in found if document[FIELD] == self.moment)
        return found[sum(identifier >= self.identifier for identifier in at_once) :]


def span_of(found: Sequence[Stored]) -> timedelta:
    """Return the time from the first to the last of some documents, newest first."""
    moments = [found[0].get(FIELD), found[-1].get(FIELD)] if found else []
    match moments:
        case [datetime() as first, datetime() as last]:
            return first - last
    return timedelta()


def newest(name: str, limit: int, end: int, read: Read) -> list[Stored]:
    """Return the page of `limit` documents whose last is the collection's `end`th, newest first."""
    lows = _back_from(_now(), _ends.pop((name, end), None))
    found = _first_filled(limit, (read({FIELD: {"$gte": low}}, limit) for low in lows))
    return _noted(name, end, limit, found or read({}, limit))


def behind(limit: int, last: Position, read: Read) -> list[Stored]:
    """Return the page of `limit` documents behind a cursor, newest first."""
    known = _before(last.moment, 2 * last.span) if last.span else None
    lows = _back_from(last.moment, known)
    return _first_filled(limit, _pages_behind(last, lows, limit, read)) or read({}, limit)


def _pages_behind(
    last: Position, lows: Iterable[datetime], limit: int, read: Read
) -> Iterator[list[Stored]]:
    for low in lows:
        # With a further condition the embedded servers would leave their index.
        found = read({FIELD: {"$gte": low, "$lte": last.moment}}, limit + TIES)
        yield last.behind(found)[:limit]
        if len(found) == limit + TIES:
            return  # So many of the cursor's moment that a longer stretch begins with the same.


def oldest(name: str, limit: int, read: Read) -> list[Stored]:
    """Return the `limit` oldest documents, the oldest first."""
    if read({FIELD: None}, 1):
        return read({}, limit)  # Records without a moment come before all that have one.
    highs = _towards_now(_ends.pop((name, -limit), None))
    found = _first_filled(limit, (read({FIELD: {"$lte": high}}, limit) for high in highs))
    return _noted(name, -limit, limit, found or read({}, limit))


def _back_from(start: datetime, known: datetime | None) -> Iterator[datetime]:
    if known:
        yield known
    lows = (_before(start, span) for span in LONGER)
    yield from (low for low in lows if not known or low < known)


def _towards_now(known: datetime | None) -> Iterator[datetime]:
    if known:
        yield known
    highs = (_before(_now(), span) for span in SHORTER)
    yield from (high for high in highs if not known or high > known)


def _first_filled(limit: int, pages: Iterable[list[Stored]]) -> list[Stored]:
    """Return the first page that is full, none where there is no such."""
    return next((page for page in pages if len(page) == limit), [])


def _noted(name: str, position: int, limit: int, found: list[Stored]) -> list[Stored]:
    if len(found) == limit and isinstance(last := found[-1].get(FIELD), datetime):
        _ends[name, position] = last
    return found


def _before(moment: datetime, span: timedelta) -> datetime:
    return moment - min(span, moment - THE_FIRST)


def _now() -> datetime:
    return store.now().replace(tzinfo=None)
