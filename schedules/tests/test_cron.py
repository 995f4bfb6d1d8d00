from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from schedules import cron

BERLIN = ZoneInfo("Europe/Berlin")


def runs(expression, after, count=1, tz=UTC):
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = cron.next_runs(expression, tz, moment, count)
    return [run.strftime("%Y-%m-%dT%H:%M") for run in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "2026-01-01T00:01"),
        ("*/15 * * * *", "2026-01-01T00:15"),
        ("5-10/2 * * * *", "2026-01-01T00:05"),
        ("0 6,18 * * *", "2026-01-01T06:00"),
        ("0 0 31 * *", "2026-01-31T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 * feb *", "2026-02-01T00:00"),
        ("0 0 * * MON", "2026-01-05T00:00"),
        ("0 0 * * mon-fri", "2026-01-02T00:00"),
        ("0 0 * * 0", "2026-01-04T00:00"),
        ("0 0 * * 7", "2026-01-04T00:00"),
        ("0 0 13 * 5", "2026-01-02T00:00"),
        ("0 0 * * 5-7", "2026-01-02T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
        ("@monthly", "2026-02-01T00:00"),
        ("@weekly", "2026-01-04T00:00"),
        ("@daily", "2026-01-02T00:00"),
        ("@midnight", "2026-01-02T00:00"),
        ("@hourly", "2026-01-01T01:00"),
        ("@DAILY", "2026-01-02T00:00"),
        ("  0\t6  * * * ", "2026-01-01T06:00"),
    ],
)
def test_the_next_run(expression, expected):
    assert runs(expression, "2026-01-01T00:00") == [expected]


def test_day_of_month_and_day_of_week_both_set_mean_either():
    assert runs("0 0 13 * FRI", "2026-02-05T12:00", 4) == [
        "2026-02-06T00:00",
        "2026-02-13T00:00",
        "2026-02-20T00:00",
        "2026-02-27T00:00",
    ]
    assert runs("0 0 10 * FRI", "2026-02-07T00:00", 2) == ["2026-02-10T00:00", "2026-02-13T00:00"]


def test_a_time_that_spring_skips_fires_right_after_the_gap():
    assert runs("30 2 * * *", "2026-03-28T12:00", 2, BERLIN) == [
        "2026-03-29T01:00",
        "2026-03-30T00:30",
    ]


def test_a_time_that_autumn_repeats_fires_once():
    assert runs("30 2 * * *", "2026-10-24T12:00", 2, BERLIN) == [
        "2026-10-25T00:30",
        "2026-10-26T01:30",
    ]


def test_midday_stays_midday_across_the_change_of_the_clock():
    assert runs("0 12 * * *", "2026-03-28T00:00", 3, BERLIN) == [
        "2026-03-28T11:00",
        "2026-03-29T10:00",
        "2026-03-30T10:00",
    ]


FIVE = "expected five: minute, hour, day of month, month, day of week"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("* * * *", f'"* * * *" has 4 fields; {FIVE}.'),
        ("*", f'"*" has 1 field; {FIVE}.'),
        (
            "* * * * * *",
            f'"* * * * * *" has 6 fields; {FIVE} (seconds are not supported).',
        ),
        ("61 * * * *", '"61" is not a minute: expected 0-59'),
        ("-1 * * * *", '"-1" is not a minute: expected 0-59'),
        ("x * * * *", '"x" is not a minute: expected 0-59'),
        ("*/0 * * * *", '"*/0" is not a minute: expected 0-59'),
        ("1,,2 * * * *", '"1,,2" is not a minute: expected 0-59'),
        ("10-5 * * * *", '"10-5" is not a minute: expected 0-59'),
        ("1.5 * * * *", '"1.5" is not a minute: expected 0-59'),
        ("* 24 * * *", '"24" is not a hour: expected 0-23'),
        ("* * 0 * *", '"0" is not a day of month: expected 1-31'),
        ("* * 32 * *", '"32" is not a day of month: expected 1-31'),
        ("* * L * *", '"L" is not a day of month: expected 1-31'),
        ("* * * 13 *", '"13" is not a month: expected 1-12 or JAN-DEC'),
        ("* * * FOO *", '"FOO" is not a month: expected 1-12 or JAN-DEC'),
        ("* * * * 8", '"8" is not a day of week: expected 0-7 or SUN-SAT'),
        ("* * * * 5L", '"5L" is not a day of week: expected 0-7 or SUN-SAT'),
        ("* * * * MON#1", '"MON#1" is not a day of week: expected 0-7 or SUN-SAT'),
        ("0 0 30 2 *", '"0 0 30 2 *" never fires: February has no day 30.'),
        ("0 0 31 4 *", '"0 0 31 4 *" never fires: April has no day 31.'),
        ("0 0 31 4,6 *", '"0 0 31 4,6 *" never fires: no month of 4,6 has a day of 31.'),
        ("@reboot", '"@reboot" is not an alias; there are @yearly, '),
        ("@", '"@" is not an alias; there are @yearly, '),
        ("", f'"" has 0 fields; {FIVE}.'),
        ("१ * * * *", '"१" is not a minute: expected 0-59'),
    ],
)
def test_an_expression_that_cannot_run_says_which_part_is_wrong(expression, reason):
    with pytest.raises(cron.InvalidCron) as raised:
        cron.parse(expression)
    assert str(raised.value).startswith(reason)
