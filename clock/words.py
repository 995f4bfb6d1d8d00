"""What an expression means, in English words with 24-hour times."""

from collections.abc import Sequence
from itertools import pairwise

from clock.cron import FIELDS, MONTHS, WEEKDAYS, Expression, Field, listed, parse

_, _, _, MONTH, WEEKDAY = FIELDS
FEW_TIMES = 6
RUN = 3
"""From how many neighbours on a list becomes `a to b`."""


def describe(expression: str) -> str:
    """Return an expression in words: `At 06:30 from Monday to Friday`. Raises InvalidCron."""
    read = parse(expression)
    return " ".join(part for part in (_times(read), _days(read), _months(read)) if part)


# --- Times ----------------------------------------------------------------------------------------


def _times(read: Expression) -> str:
    minutes, hours = read.minutes, read.hours
    if read.is_hourly:
        return _of_every_hour(minutes)
    if len(minutes) * len(hours) <= FEW_TIMES:
        return f"At {listed([_clock(hour, minute) for hour in hours for minute in minutes])}"
    step = _step(hours)
    if len(minutes) == 1 and step:
        return f"{_every('hour', step)} {_span(read)}"
    if _are_neighbours(hours) and (step := _step_through_the_hour(minutes)):
        return f"{_every('minute', step)} {_span(read)}"
    return f"At {_numbered('minute', minutes)} of {_numbered('hour', hours)}"


def _of_every_hour(minutes: Sequence[int]) -> str:
    if minutes == (0,):
        return "Every hour"
    if step := _step_through_the_hour(minutes):
        return _every("minute", step)
    return f"At {_numbered('minute', minutes)} of every hour"


def _span(read: Expression) -> str:
    first = _clock(read.hours[0], read.minutes[0])
    return f"from {first} to {_clock(read.hours[-1], read.minutes[-1])}"


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _every(unit: str, step: int) -> str:
    return f"Every {unit}" if step == 1 else f"Every {step} {unit}s"


def _step(values: Sequence[int]) -> int:
    """Return the distance of values that are evenly spaced, 0 for others and for one alone."""
    distances = {after - before for before, after in pairwise(values)}
    return distances.pop() if len(distances) == 1 else 0


def _are_neighbours(values: Sequence[int]) -> bool:
    return values[-1] - values[0] == len(values) - 1


def _step_through_the_hour(minutes: Sequence[int]) -> int:
    """Return the distance of minutes that are evenly spaced from one hour to the next, or 0."""
    return _step((*minutes, 60)) if minutes[0] == 0 and len(minutes) > 1 else 0


def _numbered(unit: str, values: Sequence[int]) -> str:
    """Return values with what they are: `minutes 0, 7, 14 … 56`, `hours 1 and 9 to 17`."""
    if len(values) == 1:
        return f"{unit} {values[0]}"
    if len(values) > FEW_TIMES and _step(values) > 1:
        return f"{unit}s {values[0]}, {values[1]}, {values[2]} … {values[-1]}"
    return f"{unit}s {listed(_runs(values))}"


def _runs(values: Sequence[int]) -> list[str]:
    """Return values with neighbours put together: 1, 2, 3 and 5 are `1 to 3` and `5`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [word for run in runs for word in _run(run)]


def _run(run: list[int]) -> list[str]:
    return [f"{run[0]} to {run[-1]}"] if len(run) >= RUN else [str(value) for value in run]


# --- Days and months ------------------------------------------------------------------------------


def _days(read: Expression) -> str:
    by_month, by_week = len(read.days) < 31, len(read.weekdays) < 7
    if not (by_month and by_week) and (read.either_day or not (by_month or by_week)):
        return "" if read.is_hourly else "every day"
    if not by_month:
        return _weekdays(read)
    days = f"on {_numbered('day', read.days)} of {_of_month(read)}"
    if not by_week:
        return days
    return f"{days} or {_weekdays(read)}" if read.either_day else f"{days} if it is {_any_of(read)}"


def _weekdays(read: Expression) -> str:
    if run := _run_of_circle(WEEKDAY, read.weekdays):
        return f"from {WEEKDAYS[run[0]]} to {WEEKDAYS[run[1]]}"
    return f"on {listed(_weekday_names(read))}"


def _any_of(read: Expression) -> str:
    return listed(_weekday_names(read), "or")


def _weekday_names(read: Expression) -> list[str]:
    """Return the names of days, Monday first."""
    return [WEEKDAYS[day] for day in sorted(read.weekdays, key=lambda day: (day - 1) % 7)]


def _of_month(read: Expression) -> str:
    """Return the month that a day is of; in words of its own where these fit in."""
    return listed(_month_names(read)) if _fit_beside_days(read) else "the month"


def _months(read: Expression) -> str:
    if len(read.months) == 12 or (_fit_beside_days(read) and not read.either_day):
        return ""
    if run := _run_of_circle(MONTH, read.months):
        return f"from {MONTHS[run[0] - 1]} to {MONTHS[run[1] - 1]}"
    return f"in {listed(_month_names(read))}"


def _fit_beside_days(read: Expression) -> bool:
    """Tell whether the months can stand beside the days: `on day 1 of January and July`."""
    has_names = len(read.months) < 12 and _run_of_circle(MONTH, read.months) is None
    return has_names and len(read.days) < 31


def _month_names(read: Expression) -> list[str]:
    return [MONTHS[month - 1] for month in read.months]


def _run_of_circle(field: Field, values: Sequence[int]) -> tuple[int, int] | None:
    """Return the first and last of neighbours on a circle, such as November to February."""
    firsts = [value for value in values if field.wrapped(value - 1) not in values]
    lasts = [value for value in values if field.wrapped(value + 1) not in values]
    return (firsts[0], lasts[0]) if len(firsts) == 1 and len(values) >= RUN else None
