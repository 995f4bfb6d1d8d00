"""Cuts a query into ranges of its split column, which are read side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any

from engine.extract.contract import Extract, Range, Window
from engine.kinds import SourceColumn
from engine.launchers.choice import Means
from engine.plan import Plan
from engine.problems import Problem

_DIGITS = 15  # of an end between two numbers, so that a double and a decimal read it alike
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - moments are counted, whatever their zone
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Cut:
    """Who does a run: its own process, where `ranges` is empty, or the engine's several.

    `snapshot` is what they read together; None is one of its own for each. `reason` says why the
    query of a mapping with a split column is read in one, where that is worth a line.
    """

    engine: str = "embedded"
    ranges: tuple[Range, ...] = ()
    snapshot: str | None = None
    reason: str | None = None


def cut(plan: Plan, target_kind: str, extract: Extract, window: Window | None, means: Means) -> Cut:
    """Return how the rows of a window are cut. Raises SourceError, Problem."""
    if means.engine == "spark" and target_kind != "delta":
        raise Problem(
            "mapping_incomplete",
            f'The engine "spark" writes Delta tables alone, and the target is {target_kind}.',
            hint="Choose the engine auto or embedded, or a target that is a Delta folder.",
            stage="plan",
        )
    if plan.split_column is None and means.engine != "spark":
        return Cut()
    rows = extract.estimated_rows(window)
    engine = means.for_rows(rows) if target_kind == "delta" else "embedded"
    count = means.parts_of(rows, engine)
    column = _split_column(plan, extract)
    reason = _whole(plan, target_kind, column) if column else None
    if column is None or reason or count == 1:
        return _in_one(plan, means, extract, reason)
    snapshot = extract.shared()
    if snapshot is None and means.engine != "spark":
        return Cut(reason="This database shows one snapshot to one session, which reads it all.")
    at = extract.columns.index(column)
    ranges = ranges_of(at, column.kind, extract.bounds(at, window), count)
    if len(ranges) == 1:
        return _in_one(plan, means, extract, f'"{column.name}" has too few values to be cut.')
    return Cut(engine, tuple(ranges), snapshot)


def _in_one(plan: Plan, means: Means, extract: Extract, reason: str | None) -> Cut:
    """Return a run that is not cut: its own process does it, unless Spark was asked for."""
    if means.engine != "spark":
        return Cut(reason=reason)
    return Cut("spark", (Range(0, None, None, nulls=True),), extract.shared(), reason)


def _split_column(plan: Plan, extract: Extract) -> SourceColumn | None:
    return next((each for each in extract.columns if each.name == plan.split_column), None)


def _whole(plan: Plan, target_kind: str, column: SourceColumn) -> str | None:
    """Return why the ranges of a column cannot be read side by side."""
    if target_kind != "delta":
        return "A database takes the rows of one session, so the query is read in one."
    if column.kind not in _SCALES:
        written = column.database_type or column.kind
        return f'"{column.name}" is {written}, which is not cut into ranges.'
    if plan.upserts and not _keeps_keys_together(plan, column):
        return (
            f'Rows of one key may have several values of "{column.name}", so the query is read '
            "in one, which knows the last of them."
        )
    return None


def _keeps_keys_together(plan: Plan, column: SourceColumn) -> bool:
    """Tell whether all rows of a key fall into one range, which knows their order."""
    types = {field.name: field.data_type for field in plan.columns}
    return column.kind == "integer" and any(
        rule.type == "direct"
        and rule.source_columns == (column.name,)
        and rule.target_fields[0] in plan.key_fields
        and types[rule.target_fields[0]] in ("integer", "string")
        for rule in plan.rules
    )


# --- Ranges ---------------------------------------------------------------------------------------


def ranges_of(
    column: int, kind: str, bounds: tuple[str | None, str | None], count: int
) -> list[Range]:
    """Return at most `count` ranges of one width, which together have every row once.

    The first one has the rows without a value; first and last are open. Bounds that are no number
    or moment of the calendar, such as infinity, give one range.
    """
    ends = _ends(kind, *bounds, count)
    least, below = [None, *ends], [*ends, None]
    return [
        Range(column, first, last, nulls=first is None)
        for first, last in zip(least, below, strict=True)
    ]


def _ends(kind: str, least: str | None, greatest: str | None, count: int) -> list[str]:
    if least is None or greatest is None:
        return []
    read, write = _SCALES[kind]
    try:
        low, high = read(least), read(greatest)
    except (ValueError, InvalidOperation):
        return []
    if not (low.is_finite() and high.is_finite()):
        return []
    width = (high - low) / count
    texts = (write(low + width * at) for at in range(1, count))
    return [text for text in dict.fromkeys(texts) if low < read(text) <= high]


def _number(text: str) -> Decimal:
    return Decimal(text)


def _whole_text(number: Decimal) -> str:
    return str(ceil(number))


def _fraction_text(number: Decimal) -> str:
    return f"{number:.{_DIGITS}g}".lower()


def _moment(text: str) -> Decimal:
    return Decimal((datetime.fromisoformat(text).replace(tzinfo=None) - _EPOCH) // _MICROSECOND)


def _moment_text(microseconds: Decimal) -> str:
    return (_EPOCH + int(microseconds) * _MICROSECOND).isoformat()


def _zoned_text(microseconds: Decimal) -> str:
    return f"{_moment_text(microseconds)}Z"


def _day(text: str) -> Decimal:
    return Decimal(date.fromisoformat(text).toordinal())


def _day_text(ordinal: Decimal) -> str:
    return date.fromordinal(int(ordinal)).isoformat()


_SCALES: dict[str, tuple[Callable[[str], Any], Callable[[Decimal], str]]] = {
    "integer": (_number, _whole_text),
    "decimal": (_number, _fraction_text),
    "float32": (_number, _fraction_text),
    "float64": (_number, _fraction_text),
    "date": (_day, _day_text),
    "timestamp": (_moment, _moment_text),
    "timestamptz": (_moment, _zoned_text),
}
"""How a kind's values lie on a line: what a text is there, and which text a place has."""
