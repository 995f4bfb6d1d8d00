from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from clock import InvalidCron, next_slots, previous_slots, slots_between


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def on_the_wall(slots, zone):
    return [f"{slot.astimezone(ZoneInfo(zone)):%d %H:%M%z}"[:-2] for slot in slots]


def following(expression, zone, after, count):
    slots = next_slots(expression, ZoneInfo(zone), at(after), count)
    assert previous_slots(expression, ZoneInfo(zone), slots[-1], count - 1) == slots[-2::-1]
    return on_the_wall(slots, zone)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "2026-01-01T00:01"),
        ("*/15 * * * *", "2026-01-01T00:15"),
        ("0 6,18 * * *", "2026-01-01T06:00"),
        ("0 0 31 * *", "2026-01-31T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 29 2 */7", "2032-02-29T00:00"),
        ("0 0 * feb *", "2026-02-01T00:00"),
        ("0 0 * * MON", "2026-01-05T00:00"),
        ("0 0 13 * 5", "2026-01-02T00:00"),
        ("0 0 */2 * 5", "2026-01-09T00:00"),
        ("0 0 * * SAT-SUN", "2026-01-03T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@weekly", "2026-01-04T00:00"),
    ],
)
def test_the_next_slot(expression, expected):
    assert next_slots(expression, UTC, at("2026-01-01T00:00"), 1) == [at(expected)]


def test_day_of_month_and_day_of_week_both_set_mean_either():
    slots = next_slots("0 0 13 * FRI", UTC, at("2026-02-05T12:00"), 4)
    assert on_the_wall(slots, "UTC") == ["06 00:00+00", "13 00:00+00", "20 00:00+00", "27 00:00+00"]


def test_midday_stays_midday_across_the_change_of_the_clock():
    assert following("0 12 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == [
        "28 12:00+01",
        "29 12:00+02",
        "30 12:00+02",
    ]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # The clock goes from 02:00 to 03:00.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00+02", "30 02:30+02"]),
        ("*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00+02", "30 02:00+02"]),
        ("30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00+02", "29 03:30+02"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00+02", "30 02:00+02"]),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00",
            ["29 01:30+01", "29 03:00+02", "29 03:30+02"],
        ),
        ("45 2 * 3 *", "America/New_York", "2026-03-08T00:00", ["08 03:00-04", "09 02:45-04"]),
        # Midnight itself is skipped.
        ("0 0 * * *", "America/Santiago", "2026-09-05T12:00", ["06 01:00-03", "07 00:00-03"]),
        ("0 */6 * * *", "America/Santiago", "2026-09-05T23:00", ["06 01:00-03", "06 06:00-03"]),
        ("0 */6 * * *", "Africa/Cairo", "2026-04-23T20:00", ["24 01:00+03", "24 06:00+03"]),
        ("0 */6 * * *", "America/Havana", "2026-03-08T00:00", ["08 01:00-04", "08 06:00-04"]),
        # Half an hour.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["04 02:30+11", "05 02:15+11"]),
        (
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2026-10-03T15:14",
            ["04 01:45+10", "04 02:30+11", "04 02:45+11"],
        ),
        # A whole day.
        (
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00",
            ["29 12:00-10", "31 00:00+14", "31 12:00+14"],
        ),
        ("0 0 30 * *", "Pacific/Apia", "2011-12-01T00:00", ["31 00:00+14", "30 00:00+14"]),
        ("0 0 30-31 12 *", "Pacific/Apia", "2011-12-01T00:00", ["31 00:00+14", "30 00:00+14"]),
        ("0 * * * *", "Pacific/Apia", "2011-12-30T08:30", ["29 23:00-10", "31 00:00+14"]),
        ("0 * 30 12 *", "Pacific/Apia", "2011-12-01T00:00", ["30 00:00+14", "30 01:00+14"]),
    ],
)
def test_what_the_clock_skips(expression, zone, after, expected):
    assert following(expression, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # From 03:00 back to 02:00.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["25 02:30+02", "26 02:30+01"]),
        (
            "0 0-22 * * *",
            "Europe/Berlin",
            "2026-10-24T23:30",
            ["25 02:00+02", "25 03:00+01", "25 04:00+01"],
        ),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:45",
            ["25 02:00+02", "25 02:30+02", "25 02:00+01", "25 02:30+01", "25 03:00+01"],
        ),
        (
            "0 0-23 * * *",
            "Europe/Berlin",
            "2026-10-24T23:45",
            ["25 02:00+02", "25 02:00+01", "25 03:00+01"],
        ),
        ("0 0 * * *", "America/Havana", "2026-10-31T12:00", ["01 00:00-04", "02 00:00-05"]),
        ("30 23 * * *", "America/Santiago", "2026-04-04T12:00", ["04 23:30-03", "05 23:30-04"]),
        (
            "59 * 31 10 *",
            "Africa/Cairo",
            "2024-10-31T19:30",
            ["31 22:59+03", "31 23:59+03", "31 23:59+02", "31 00:59+02"],
        ),
        (
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:40",
            ["05 01:45+11", "05 01:30+10", "05 01:45+10", "05 02:00+10"],
        ),
        (
            "*/15 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:20",
            ["05 01:30+11", "05 01:45+11", "06 01:00+10"],
        ),
        ("0 */3 * * *", "Antarctica/Troll", "2026-10-25T00:30", ["25 03:00+00", "25 06:00+00"]),
        (
            "0 * * * *",
            "Antarctica/Troll",
            "2026-10-25T00:30",
            ["25 01:00+00", "25 02:00+00", "25 03:00+00"],
        ),
    ],
)
def test_what_the_clock_repeats(expression, zone, after, expected):
    assert following(expression, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-10-25T00:10", "25 02:30+02"),
        ("2026-10-25T00:30", "26 02:30+01"),
        ("2026-10-25T01:10", "26 02:30+01"),
        ("2026-10-25T01:30", "26 02:30+01"),
    ],
)
def test_asked_within_the_repeated_hour_it_fires_no_slot_again(after, expected):
    assert following("30 2 * * *", "Europe/Berlin", after, 2)[0] == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("2026-10-25T01:10", "25 02:30+02"),
        ("2026-10-25T00:30", "24 02:30+02"),
        ("2026-10-25T00:31", "25 02:30+02"),
        ("2026-10-26T00:00", "25 02:30+02"),
        ("2026-03-29T01:00", "28 02:30+01"),
        ("2026-03-29T01:01", "29 03:00+02"),
    ],
)
def test_the_slot_before(before, expected):
    zone = "Europe/Berlin"
    slots = previous_slots("30 2 * * *", ZoneInfo(zone), at(before), 1)
    assert on_the_wall(slots, zone) == [expected]


def test_a_moment_is_exclusive_whatever_its_seconds_and_its_own_zone():
    slot = at("2026-01-01T06:00")
    for moment in (slot - timedelta(microseconds=1), slot - timedelta(seconds=59)):
        assert next_slots("0 6 * * *", UTC, moment, 1) == [slot]
    for moment in (slot + timedelta(microseconds=1), slot + timedelta(seconds=59)):
        assert previous_slots("0 6 * * *", UTC, moment, 1) == [slot]
    tokyo = slot.astimezone(ZoneInfo("Asia/Tokyo"))
    assert next_slots("0 6 * * *", UTC, tokyo, 1) == [slot + timedelta(days=1)]
    assert previous_slots("0 6 * * *", UTC, tokyo, 1) == [slot - timedelta(days=1)]


def test_slots_between_have_the_start_and_lack_the_end():
    start, end = at("2026-01-01T06:00"), at("2026-01-03T06:00")
    slots = list(slots_between("0 6 * * *", UTC, start, end))
    assert slots == [start, start + timedelta(days=1)]
    assert list(slots_between("0 6 * * *", UTC, end, start)) == []


def test_slots_between_come_one_at_a_time():
    slots = slots_between("* * * * *", UTC, at("0001-01-01T00:00"), at("9999-12-31T00:00"))
    assert len(list(islice(slots, 3))) == 3


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Niue"])
def test_the_calendar_ends_without_a_crash(zone):
    tz = ZoneInfo(zone)
    assert len(next_slots("0 0 1 1 *", tz, at("9990-06-01T00:00"), 100)) in (8, 9, 10)
    assert len(previous_slots("0 0 1 1 *", tz, at("0009-06-01T00:00"), 100)) in (8, 9)
    assert next_slots("@yearly", tz, datetime.max.replace(tzinfo=UTC), 1) == []
    assert previous_slots("@yearly", tz, datetime.min.replace(tzinfo=UTC), 1) == []


@pytest.mark.parametrize("ask", [next_slots, previous_slots])
def test_nonsense_has_no_slots(ask):
    with pytest.raises(InvalidCron):
        ask("whenever", UTC, at("2026-01-01T00:00"), 1)
    with pytest.raises(InvalidCron):
        slots_between("whenever", UTC, at("2026-01-01T00:00"), at("2026-01-02T00:00"))
