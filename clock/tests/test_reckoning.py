"""Random expressions around the changes of the clock, against a reckoning minute by minute.

It knows nothing of the code: it walks through the real minutes, looks at the wall, and matches
fields by a reader of its own.
"""

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from clock import next_slots, previous_slots, slots_between

MINUTE = timedelta(minutes=1)
DAYS = 6
EXPRESSIONS = 80
WINDOWS = [  # a zone, and the first day of each window: three days before the clock changes
    ("Europe/Berlin", "2026-03-26", "2026-10-22"),
    ("America/New_York", "2026-03-05", "2026-10-29"),
    ("Australia/Lord_Howe", "2026-10-01", "2026-04-02"),
    ("America/Santiago", "2026-09-03", "2026-04-02"),
    ("Africa/Cairo", "2026-04-21", "2026-10-27"),
    ("America/Havana", "2026-03-05", "2026-10-29"),
    ("Pacific/Apia", "2011-12-27", "2012-03-29"),
    ("Antarctica/Troll", "2026-03-26", "2026-10-22"),
    ("Africa/Casablanca", "2026-02-12", "2026-03-19"),
    ("Asia/Kathmandu", "2026-02-26", "1985-12-29"),
]
RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


def random_field(luck, position):
    first, last = RANGES[position]
    terms = []
    for _ in range(luck.choice([1, 1, 1, 2])):
        low, high = sorted((luck.randint(first, last), luck.randint(first, last)))
        if position >= 3 and luck.random() < 0.3:
            low, high = high, low
        step = luck.randint(1, 7 if position == 4 else 12)
        kinds = ["*", f"*/{step}", f"{low}", f"{low}-{high}", f"{low}-{high}/{step}",
                 f"{low}/{step}"]  # fmt: skip
        terms.append(luck.choices(kinds, [4, 2, 2, 1, 1, 1])[0])
    return ",".join(terms)


def around(position, low, high):
    """Return the months or days of the week from one to an earlier one."""
    circle = [*range(7)] if position == 4 else [*range(1, 13)]
    turned = circle[circle.index(low % 7 if position == 4 else low) :] + circle
    return turned[: turned.index(high) + 1]


def values_of(field, position):
    first, last = RANGES[position]
    found = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        low, _, high = span.partition("-")
        if span == "*":
            low, high = first, last
        elif not high:
            high = last if step else low
        numbers = list(range(int(low), int(high) + 1)) or around(position, int(low), int(high))
        found.update(
            number % 7 if position == 4 else number for number in numbers[:: int(step or 1)]
        )
    return found


@cache
def walls(zone, start):
    """Return the real minutes of a window: each moment with what the wall shows then."""
    tz = ZoneInfo(zone)
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    moments = [begin + MINUTE * number for number in range(DAYS * 24 * 60)]
    return [(moment, moment.astimezone(tz).replace(tzinfo=None)) for moment in moments]


@cache
def passages(zone, start):
    """Return which wall minutes are reached for the first time at each moment, all skipped too."""
    reached, found = walls(zone, start)[0][1] - MINUTE, []
    for moment, wall in walls(zone, start):
        while reached < wall:
            reached += MINUTE
            found.append((moment, reached))
    return found


def reckoned(expression, zone, start):
    fields = expression.split()
    minutes, hours, days, months, weekdays = (
        values_of(field, position) for position, field in enumerate(fields)
    )
    both = fields[2][0] == "*" or fields[4][0] == "*"

    @cache
    def is_day(day):
        tests = (day.day in days, day.isoweekday() % 7 in weekdays)
        return day.month in months and (all(tests) if both else any(tests))

    table = walls(zone, start) if hours == set(range(24)) else passages(zone, start)
    return sorted(
        {
            moment
            for moment, wall in table
            if wall.minute in minutes and wall.hour in hours and is_day(wall.date())
        }
    )


@pytest.mark.parametrize(("zone", "spring", "autumn"), WINDOWS, ids=lambda value: value)
def test_slots_are_what_a_walk_through_the_minutes_finds(zone, spring, autumn):
    luck, tz = random.Random(zone), ZoneInfo(zone)  # noqa: S311 - the same on every run
    for number in range(EXPRESSIONS):
        start = spring if number % 2 else autumn
        month = luck.choice(["*", start[5:7].lstrip("0"), random_field(luck, 3)])
        parts = [random_field(luck, position) for position in range(5)]
        if luck.random() < 0.3:
            parts[1] = luck.choice(["*", "*/1", "0-23"])
        expression = " ".join([*parts[:3], month, parts[4]])
        if min(values_of(parts[2], 2)) > 28:
            continue  # it may never fire
        check(expression, tz, zone, start, luck)


def check(expression, tz, zone, start, luck):
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC) + timedelta(hours=26)
    end = begin + timedelta(days=DAYS - 2)
    expected = [slot for slot in reckoned(expression, zone, start) if begin <= slot < end]
    assert list(slots_between(expression, tz, begin, end)) == expected, expression
    for _ in range(3):
        moment = begin + timedelta(seconds=luck.randint(0, (DAYS - 2) * 86_400))
        after = [slot for slot in expected if slot > moment][:20]
        before = [slot for slot in reversed(expected) if slot < moment][:20]
        assert next_slots(expression, tz, moment, len(after)) == after, (expression, moment)
        assert previous_slots(expression, tz, moment, len(before)) == before, (expression, moment)
