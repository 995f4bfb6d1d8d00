"""What ends a run, and what refuses a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SHOWN_CHARACTERS = 80
KEPT_ENTRIES = 10_000
"""Of the refused values of a run."""


class Problem(Exception):
    """A run cannot go on. Says what happened, at which stage, and what to do about it."""

    def __init__(self, code: str, message: str, *, hint: str, stage: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.stage = stage

    def as_dict(self) -> dict[str, str]:
        names = ("code", "message", "hint", "stage")
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> Any:
        # A problem crosses from a child process to its worker.
        return _problem, (self.code, self.message, self.hint, self.stage)


def _problem(code: str, message: str, hint: str, stage: str) -> Problem:
    return Problem(code, message, hint=hint, stage=stage)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One refused value. `row` counts the query's rows from 1; `value` is cut to 80 characters."""

    row: int
    rule_id: str | None
    source_columns: tuple[str, ...]
    target_field: str | None
    value: str | None
    code: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "rule_id": self.rule_id,
            "source_columns": list(self.source_columns),
            "target_field": self.target_field,
            "value": self.value,
            "code": self.code,
            "message": self.message,
        }


# Each sentence is about `{value}`, on its way into the field `{field}` of `{type}`.
_SENTENCES = {
    "impossible_cast": "{value} is of a type that never becomes {type}.",
    "not_a_number": "{value} is not a number.",
    "not_whole": "{value} is not a whole number.",
    "out_of_range": "{value} is beyond what {type} holds.",
    "not_a_boolean": "{value} is neither true nor false.",
    "not_a_date": "{value} is not a date of the form YYYY-MM-DD.",
    "not_a_timestamp": "{value} is not a timestamp of the form YYYY-MM-DDTHH:MM:SS.",
    "no_such_date": "{value} is no day of the calendar.",
    "no_such_time": "{value} is no time of a day.",
    "too_many_pieces": "{value} has more pieces than the rule has fields.",
    "value_too_large": "The value is larger than a cell may be.",
    "null_key": "The key field {field} is null.",
    "key_too_long": "{value} is longer than the 255 characters that a key may have in MySQL.",
    "not_finite": "{value} is a number that MySQL cannot hold.",
    "null_character": "{value} contains U+0000, which PostgreSQL cannot hold.",
}
_TYPES = {
    "string": "text",
    "integer": "an integer of 64 bits",
    "float": "a float",
    "boolean": "a boolean",
    "date": "a date of the years 1 to 9999",
    "timestamp": "a timestamp of the years 1 to 9999",
}


def shown(value: str | None) -> str | None:
    """Return at most the first 80 characters."""
    return None if value is None else value[:SHOWN_CHARACTERS]


def sentence(code: str, value: str | None, field: str | None, data_type: str | None) -> str:
    """Return why a value was refused, in one sentence."""
    return _SENTENCES[code].format(
        value=f'"{shown(value)}"', field=f'"{field}"', type=_TYPES.get(data_type or "", "text")
    )
