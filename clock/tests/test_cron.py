import pytest

from clock import InvalidCron, parse

FIVE = "expected five: minute, hour, day of month, month, day of week"
WITH = "with *, lists, ranges and steps"
OTHERS = "(L, W, # and ? are not supported)"
ALL_DAYS = tuple(range(7))


@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        ("*", range(60)),
        ("*/1", range(60)),
        ("*/15", (0, 15, 30, 45)),
        ("*/60", (0,)),
        ("5/15", (5, 20, 35, 50)),
        ("5-59/15", (5, 20, 35, 50)),
        ("5-10/2", (5, 7, 9)),
        ("5-5/15", (5,)),
        ("5-10/60", (5,)),
        ("59,0,007", (0, 7, 59)),
        ("0-2,1-3,*/30", (0, 1, 2, 3, 30)),
    ],
)
def test_a_field_names_values(field, minutes):
    assert parse(f"{field} * * * *").minutes == tuple(minutes)


@pytest.mark.parametrize(
    ("field", "weekdays"),
    [
        ("*", ALL_DAYS),
        ("0", (0,)),
        ("7", (0,)),
        ("MON-FRI", (1, 2, 3, 4, 5)),
        ("mon,Wed", (1, 3)),
        ("5-7", (0, 5, 6)),
        ("0-7", ALL_DAYS),
        ("MON-SUN", ALL_DAYS),
        ("SUN-SAT", ALL_DAYS),
        ("SAT-SUN", (0, 6)),
        ("FRI-MON", (0, 1, 5, 6)),
        ("5-1", (0, 1, 5, 6)),
        ("7-2", (0, 1, 2)),
        ("FRI-MON/2", (0, 5)),
        ("1/2", (0, 1, 3, 5)),
        ("*/2", (0, 2, 4, 6)),
        ("*/7", (0,)),
    ],
)
def test_days_of_the_week_are_a_circle_and_7_is_sunday_too(field, weekdays):
    assert parse(f"0 0 * * {field}").weekdays == weekdays


@pytest.mark.parametrize(
    ("field", "months"),
    [
        ("feb", (2,)),
        ("JAN-MAR", (1, 2, 3)),
        ("NOV-FEB", (1, 2, 11, 12)),
        ("11-2", (1, 2, 11, 12)),
        ("NOV-FEB/2", (1, 11)),
        ("*/3", (1, 4, 7, 10)),
    ],
)
def test_months_are_a_circle(field, months):
    assert parse(f"0 0 1 {field} *").months == months


@pytest.mark.parametrize(
    ("alias", "fields"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
    ],
)
def test_an_alias_in_any_case_stands_for_five_fields(alias, fields):
    assert parse(alias).fields == fields


@pytest.mark.parametrize(
    ("days", "either"),
    [("13 * FRI", True), ("* * FRI", False), ("*/2 * FRI", False), ("13 * */2", False)],
)
def test_one_day_field_is_enough_where_neither_begins_with_a_star(days, either):
    assert parse(f"0 0 {days}").either_day is either


@pytest.mark.parametrize(
    ("hours", "is_hourly"),
    [
        ("*", True),
        ("*/1", True),
        ("0-23", True),
        ("0-11,12-23", True),
        ("0/1", True),
        ("*/2", False),
        ("0-22", False),
        ("5", False),
    ],
)
def test_an_expression_that_names_every_hour_is_hourly(hours, is_hourly):
    assert parse(f"0 {hours} * * *").is_hourly is is_hourly


def test_blanks_around_and_between_do_not_count():
    assert parse("  0\t6  * * * ").fields == "0 6 * * *"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("* * * *", f'"* * * *" has 4 fields; {FIVE}.'),
        ("*", f'"*" has 1 field; {FIVE}.'),
        ("", f'"" has 0 fields; {FIVE}.'),
        ("* * * * * *", f'"* * * * * *" has 6 fields; {FIVE} (seconds are not supported).'),
        ("61 * * * *", f'"61" is not a minute: expected 0-59, {WITH}.'),
        ("1,61 * * * *", f'"61" is not a minute: expected 0-59, {WITH}.'),
        ("-1 * * * *", f'"-1" is not a minute: expected 0-59, {WITH}.'),
        ("x * * * *", f'"x" is not a minute: expected 0-59, {WITH}.'),
        ("MON * * * *", f'"MON" is not a minute: expected 0-59, {WITH}.'),
        ("1,,2 * * * *", f'"1,,2" is not a minute: expected 0-59, {WITH}.'),
        ("1.5 * * * *", f'"1.5" is not a minute: expected 0-59, {WITH}.'),
        ("*-5 * * * *", f'"*-5" is not a minute: expected 0-59, {WITH}.'),
        ("1/2/3 * * * *", f'"1/2/3" is not a minute: expected 0-59, {WITH}.'),
        ("१ * * * *", f'"१" is not a minute: expected 0-59, {WITH}.'),
        ("*/0 * * * *", '"*/0" is not a minute: a step there is a number from 1 to 60.'),
        ("*/61 * * * *", '"*/61" is not a minute: a step there is a number from 1 to 60.'),
        ("5/90 * * * *", '"5/90" is not a minute: a step there is a number from 1 to 60.'),
        ("0 */25 * * *", '"*/25" is not an hour: a step there is a number from 1 to 24.'),
        ("0 0 */32 * *", '"*/32" is not a day of month: a step there is a number from 1 to 31.'),
        ("0 0 1 */13 *", '"*/13" is not a month: a step there is a number from 1 to 12.'),
        ("0 0 * * */8", '"*/8" is not a day of week: a step there is a number from 1 to 7.'),
        (
            "10-5 * * * *",
            '"10-5" is not a minute: it ends before it begins; '
            "write 10-59,0-5 for what goes past the end.",
        ),
        (
            "0 22-4 * * *",
            '"22-4" is not an hour: it ends before it begins; '
            "write 22-23,0-4 for what goes past the end.",
        ),
        ("* 24 * * *", f'"24" is not an hour: expected 0-23, {WITH}.'),
        ("* * 0 * *", f'"0" is not a day of month: expected 1-31, {WITH}.'),
        ("* * 32 * *", f'"32" is not a day of month: expected 1-31, {WITH}.'),
        ("* * L * *", f'"L" is not a day of month: expected 1-31, {WITH} {OTHERS}.'),
        ("* * 15W * *", f'"15W" is not a day of month: expected 1-31, {WITH} {OTHERS}.'),
        ("* * ? * *", f'"?" is not a day of month: expected 1-31, {WITH} {OTHERS}.'),
        ("* * * 13 *", f'"13" is not a month: expected 1-12 or JAN-DEC, {WITH}.'),
        ("* * * FOO *", f'"FOO" is not a month: expected 1-12 or JAN-DEC, {WITH}.'),
        ("* * * * 8", f'"8" is not a day of week: expected 0-7 or SUN-SAT, {WITH}.'),
        ("* * * * 5L", f'"5L" is not a day of week: expected 0-7 or SUN-SAT, {WITH} {OTHERS}.'),
        (
            "* * * * MON#1",
            f'"MON#1" is not a day of week: expected 0-7 or SUN-SAT, {WITH} {OTHERS}.',
        ),
        ("* * * * \u017fUN", f'"\u017fUN" is not a day of week: expected 0-7 or SUN-SAT, {WITH}.'),
        ("0 0 30 2 *", '"0 0 30 2 *" never fires: February has no day 30.'),
        ("0 0 31 apr *", '"0 0 31 apr *" never fires: April has no day 31.'),
        ("0 0 30,31 2 *", '"0 0 30,31 2 *" never fires: February has no day 30 or 31.'),
        (
            "0 0 31 2,4,6 *",
            '"0 0 31 2,4,6 *" never fires: February, April and June have no day 31.',
        ),
        ("0 0 30 2 */2", '"0 0 30 2 */2" never fires: February has no day 30.'),
        (
            "@reboot",
            '"@reboot" is not an alias; there are @yearly, @annually, @monthly, @weekly, @daily, '
            "@midnight, @hourly.",
        ),
        ("* " * 200, "The expression has 399 characters; at most 200 fit."),
    ],
)
def test_an_expression_that_cannot_run_says_which_part_and_what_to_write(expression, reason):
    with pytest.raises(InvalidCron) as raised:
        parse(expression)
    assert str(raised.value) == reason


def test_a_day_that_february_lacks_fires_where_a_weekday_is_enough():
    assert parse("0 0 30 2 MON").either_day
