"""When an expression fires: its wall times by cronsim, and what a wall time is in the world.

A slot is a minute of the wall's clock in a zone. An expression that names every hour follows the
real clock: both passes of an hour that the clock repeats, and nothing in one that it skips. Every
other fires each slot once: at the first moment after the gap where the clock skips it, at the first
of two where it comes twice. Slots that fall on one moment are one.

cronsim is given naive times: on aware ones it goes by the spelling of the fields, and may answer a
moment before the one it was asked from.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile

from cronsim import CronSim

from clock.cron import Expression, parse

NEAR = timedelta(days=2)
"""Longer than any clock was ever set back; no zone changes its clock twice in it."""

EARLIEST = datetime(1, 1, 8, tzinfo=UTC)
LATEST = datetime(9999, 12, 24, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


def next_slots(expression: str, tz: tzinfo, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` slots, oldest first, in UTC.

    `after` is timezone-aware and exclusive. Fewer come only where the calendar ends, in 9999.

    Raises InvalidCron.
    """
    return list(islice(_slots(parse(expression), tz, after), count))


def previous_slots(expression: str, tz: tzinfo, before: datetime, count: int) -> list[datetime]:
    """Return the last `count` slots, newest first, in UTC.

    `before` is timezone-aware and exclusive. Fewer come only where the calendar begins.

    Raises InvalidCron.
    """
    return list(islice(_slots(parse(expression), tz, before, backwards=True), count))


def slots_between(
    expression: str, tz: tzinfo, start: datetime, end: datetime
) -> Iterator[datetime]:
    """Return the slots with `start` ≤ slot < `end`, oldest first, in UTC, one at a time.

    Raises InvalidCron.
    """
    slots = _slots(parse(expression), tz, max(start, EARLIEST) - TICK)
    return takewhile(lambda slot: slot < end, slots)


def _slots(
    expression: Expression, tz: tzinfo, origin: datetime, *, backwards: bool = False
) -> Iterator[datetime]:
    """Yield the slots beyond a moment, in the direction of time that is asked for."""
    last = min(max(origin, EARLIEST), LATEST).astimezone(UTC)
    if _is_beyond(origin, last, backwards):  # past the end of the calendar
        return
    walls = CronSim(expression.fields, _first_wall(tz, last, backwards), reverse=backwards)
    try:
        for moment in _in_order(walls, tz, expression.is_hourly, backwards):
            if _is_beyond(moment, last, backwards):
                last = moment
                yield moment
    except OverflowError:
        return


def _first_wall(tz: tzinfo, origin: datetime, backwards: bool) -> datetime:
    """Return the wall time to begin at, so that both passes of an hour near `origin` are met."""
    here, near = (
        _offset(tz, moment) for moment in (origin, origin + (-NEAR if backwards else NEAR))
    )
    return origin.replace(tzinfo=None) + (max(here, near) if backwards else min(here, near))


def _in_order(
    walls: Iterator[datetime], tz: tzinfo, is_hourly: bool, backwards: bool
) -> Iterator[datetime]:
    """Yield the moments of wall times; the second pass of an hour waits for the first to end."""
    waiting: deque[datetime] = deque()
    for wall in walls:
        moments = _moments(wall, tz, is_hourly)[:: -1 if backwards else 1]
        while moments and waiting and _is_beyond(moments[0], waiting[0], backwards):
            yield waiting.popleft()
        yield from moments[:1]
        waiting.extend(moments[1:])


def _moments(wall: datetime, tz: tzinfo, is_hourly: bool) -> list[datetime]:
    """Return the moments, in UTC, that a wall time stands for: none, one or two."""
    early, late = (wall.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early == late:
        return [early]
    if early < late:  # it comes twice
        return [early, late] if is_hourly else [early]
    # It is skipped: what Python takes for its two moments lie around the gap, the later one first.
    return [] if is_hourly else [_change_between(tz, late, early)]


def _change_between(tz: tzinfo, before: datetime, after: datetime) -> datetime:
    """Return the first moment with another offset than `before`, to the second, in UTC."""
    offset = _offset(tz, before)
    while after - before > SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        before, after = (middle, after) if _offset(tz, middle) == offset else (before, middle)
    return after


def _offset(tz: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(tz).utcoffset() or timedelta()


def _is_beyond(moment: datetime, other: datetime, backwards: bool) -> bool:
    return moment < other if backwards else moment > other
