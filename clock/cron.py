"""Five-field cron expressions, read as Vixie cron reads them, and refused with a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

MAX_LENGTH = 200
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
TERM = re.compile(
    r"(?:\*|(?P<start>[0-9]+|[A-Z]+)(?:-(?P<end>[0-9]+|[A-Z]+))?)(?:/(?P<step>[0-9]+))?",
    re.IGNORECASE | re.ASCII,
)
OTHER_CRONS = re.compile(r"[?#]|L$|W$", re.IGNORECASE)
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
DAYS_OF_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class InvalidCron(ValueError):
    """An expression that cannot be parsed, or never fires; the message says which part and why."""


@dataclass(frozen=True)
class Field:
    """One of the five. `size` is how many values it has; after the last a circle begins anew."""

    name: str
    first: int
    last: int
    size: int
    names: tuple[str, ...] = ()
    is_circle: bool = False

    @property
    def allowed(self) -> str:
        numbers = f"{self.first}-{self.last}"
        return f"{numbers} or {self.names[0]}-{self.names[-1]}" if self.names else numbers

    def wrapped(self, value: int) -> int:
        """Return a value, or what it is once the circle has begun anew; 7 is Sunday, too."""
        return self.first + (value - self.first) % self.size

    @property
    def a_name(self) -> str:
        return f"{'an' if self.name == 'hour' else 'a'} {self.name}"


FIELDS = (
    Field("minute", 0, 59, 60),
    Field("hour", 0, 23, 24),
    Field("day of month", 1, 31, 31),
    Field("month", 1, 12, 12, tuple(name[:3].upper() for name in MONTHS), is_circle=True),
    Field("day of week", 0, 7, 7, tuple(name[:3].upper() for name in WEEKDAYS), is_circle=True),
)


@dataclass(frozen=True)
class Expression:
    """What an expression names, in numbers and in order; Sunday is 0.

    `fields` is the expression without aliases, names and ranges that go past the end.
    """

    text: str
    fields: str
    either_day: bool
    """Whether one of the two day fields is enough: where neither begins with `*`."""
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @property
    def is_hourly(self) -> bool:
        """Tell whether it names every hour, and so follows the real clock."""
        return len(self.hours) == 24


@lru_cache(maxsize=10_000)
def parse(expression: str) -> Expression:
    """Return what a five-field expression or an alias names. Raises InvalidCron."""
    text = expression.strip()
    if len(text) > MAX_LENGTH:
        raise InvalidCron(f"The expression has {len(text)} characters; at most {MAX_LENGTH} fit.")
    fields = (_of_alias(text) if text.startswith("@") else text).split()
    if len(fields) != len(FIELDS):
        raise InvalidCron(_wrong_count(text, len(fields)))
    read = [_read(FIELDS[position], field) for position, field in enumerate(fields)]
    expanded = " ".join(text for text, _ in read)
    either_day = not (fields[2].startswith("*") or fields[4].startswith("*"))
    parsed = Expression(text, expanded, either_day, *(values for _, values in read))
    _refuse_if_it_never_fires(parsed)
    return parsed


def _of_alias(text: str) -> str:
    alias = text.lower() if text.isascii() else text
    if alias not in ALIASES:
        raise InvalidCron(f'"{text}" is not an alias; there are {", ".join(ALIASES)}.')
    return ALIASES[alias]


def _wrong_count(text: str, count: int) -> str:
    expected = ", ".join(field.name for field in FIELDS)
    seconds = " (seconds are not supported)" if count == 6 else ""
    plural = "" if count == 1 else "s"
    return f'"{text}" has {count} field{plural}; expected five: {expected}{seconds}.'


def _read(field: Field, text: str) -> tuple[str, tuple[int, ...]]:
    """Return a field with its terms as lists of numbers, and the values it names."""
    terms, found = [], set()
    for term in text.split(","):
        if not term:
            raise _wrong(field, text)
        values = _values(field, term)
        terms.append(term if term.startswith("*") else ",".join(map(str, values)))
        found.update(values)
    return ",".join(terms), tuple(sorted(found))


def _values(field: Field, term: str) -> list[int]:
    """Return what one term of a field's list names. Raises InvalidCron."""
    parts = TERM.fullmatch(term)
    if parts is None:
        raise _wrong(field, term)
    step = _step(field, term, parts["step"])
    if parts["start"] is None:
        return list(range(field.first, field.first + field.size, step))
    start = _number(field, term, parts["start"])
    if parts["end"] is None:
        end = start if parts["step"] is None else field.last
    else:
        end = _number(field, term, parts["end"])
        if end < start:
            end += _rest_of_circle(field, term, start, end)
    return [field.wrapped(value) for value in range(start, end + 1, step)]


def _number(field: Field, term: str, word: str) -> int:
    if word.upper() in field.names:
        return field.first + field.names.index(word.upper())
    if not word.isdigit() or not field.first <= int(word) <= field.last:
        raise _wrong(field, term)
    return int(word)


def _step(field: Field, term: str, word: str | None) -> int:
    step = int(word or 1)
    if not 1 <= step <= field.size:
        raise InvalidCron(
            f'"{term}" is not {field.a_name}: a step there is a number from 1 to {field.size}.'
        )
    return step


def _rest_of_circle(field: Field, term: str, start: int, end: int) -> int:
    """Return the length of the circle that a range such as FRI-MON begins anew."""
    if not field.is_circle:
        raise InvalidCron(
            f'"{term}" is not {field.a_name}: it ends before it begins; '
            f"write {start}-{field.last},{field.first}-{end} for what goes past the end."
        )
    return field.size


def _wrong(field: Field, term: str) -> InvalidCron:
    other = " (L, W, # and ? are not supported)" if OTHER_CRONS.search(term) else ""
    return InvalidCron(
        f'"{term}" is not {field.a_name}: expected {field.allowed}, '
        f"with *, lists, ranges and steps{other}."
    )


def _refuse_if_it_never_fires(expression: Expression) -> None:
    """Raise InvalidCron where no month has the days, and no day of the week makes up for it."""
    longest = max(DAYS_OF_MONTHS[month - 1] for month in expression.months)
    if expression.either_day or expression.days[0] <= longest:
        return
    months = listed([MONTHS[month - 1] for month in expression.months])
    have = "has" if len(expression.months) == 1 else "have"
    days = listed(expression.days, "or")
    raise InvalidCron(f'"{expression.text}" never fires: {months} {have} no day {days}.')


def listed(items: Iterable[object], last: str = "and") -> str:
    """Return items as a sentence lists them: `1, 2 and 3`."""
    *head, tail = map(str, items)
    return f"{', '.join(head)} {last} {tail}" if head else tail
