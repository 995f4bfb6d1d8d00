"""Five-field cron expressions, read as Vixie cron reads them.

Day of month and day of week, both set, mean either. A time that the clock skips in spring fires
once right after the gap; one that it repeats in autumn fires once (as Debian's cron(8) does).
"""

import calendar
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day of month": "1-31",
    "month": "1-12 or JAN-DEC",
    "day of week": "0-7 or SUN-SAT",
}
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
NAMES = {
    3: frozenset(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
    ),
    4: frozenset(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
}
SYNTAX = frozenset("0123456789*,-/")
LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ANY_MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


class InvalidCron(ValueError):
    """An expression that cannot be parsed, or never fires; the message says which part and why."""


@lru_cache(maxsize=4096)
def parse(expression: str) -> str:
    """Return the five fields of an expression, aliases expanded. Raises InvalidCron."""
    text = expression.strip()
    if text.startswith("@"):
        return _alias(text)
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise InvalidCron(
            f'"{text}" has {len(fields)} field{"" if len(fields) == 1 else "s"}; expected five: '
            f"{', '.join(FIELDS)}{' (seconds are not supported)' if len(fields) == 6 else ''}."
        )
    for position, field in enumerate(fields):
        _check_field(position, field)
    _check_fires(fields)
    return " ".join(fields)


def next_runs(expression: str, tz: ZoneInfo, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` firing times of a five-field cron expression, in UTC.

    `after` is timezone-aware and exclusive. The expression is read on `tz`'s clock: 02:30 on a
    spring-forward night fires at 03:00, a repeated autumn hour fires once (as cron(8) does).

    Raises InvalidCron.
    """
    runs = CronSim(parse(expression), after.astimezone(tz))
    return [run.astimezone(UTC) for run in islice(runs, count)]


@cache
def timezone_names() -> frozenset[str]:
    """Return the IANA names that a schedule may use."""
    return frozenset(available_timezones())


def _alias(text: str) -> str:
    try:
        return ALIASES[text.lower()]
    except KeyError:
        raise InvalidCron(f'"{text}" is not an alias; there are {", ".join(ALIASES)}.') from None


def _check_field(position: int, field: str) -> None:
    name, allowed = list(FIELDS.items())[position]
    known = SYNTAX | LETTERS if position >= 3 else SYNTAX
    try:
        if not set(field.upper()) <= known or _has_letters_beside_names(field, position):
            raise CronSimError
        CronSim(" ".join(field if i == position else "*" for i in range(5)), ANY_MOMENT)
    except CronSimError:
        raise InvalidCron(
            f'"{field}" is not a {name}: expected {allowed}, with *, lists, ranges and steps.'
        ) from None


def _has_letters_beside_names(field: str, position: int) -> bool:
    """Tell whether there are words that are no names: `L`, which other crons read, is one."""
    words = "".join(c if c.isalpha() else " " for c in field.upper()).split()
    return not set(words) <= NAMES.get(position, frozenset())


def _check_fires(fields: list[str]) -> None:
    try:
        next(CronSim(" ".join(fields), ANY_MOMENT))
    except (CronSimError, StopIteration):
        raise InvalidCron(f'"{" ".join(fields)}" never fires: {_missing_day(fields)}.') from None


def _missing_day(fields: list[str]) -> str:
    days, months = fields[2], fields[3]
    if months.isdigit():
        month = int(months)
        if days.isdigit():
            return f"{calendar.month_name[month]} has no day {int(days)}"
    return f"no month of {months} has a day of {days}"
