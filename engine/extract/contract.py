"""What the extract of every kind of source does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from engine.columns import unordered
from engine.kinds import SourceColumn
from engine.problems import Problem

BATCH_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Window:
    """Rows whose cursor is from `after` to `until`, both included, as the database compares.

    `until` None is no row with a value; `nulls` adds those without one. With `marks` the batches
    have one column more, which `edge.AFTER` and `edge.UNTIL` describe: of texts the database alone
    knows which it takes for equal.
    """

    column: int
    after: str | None
    until: str | None
    nulls: bool
    marks: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """Rows whose `column` is from `least`, included, to `below`, excluded; None is open.

    `nulls` adds those without a value.
    """

    column: int
    least: str | None
    below: str | None
    nulls: bool


Named = Callable[[int], str]
"""Returns how a column is named where it is compared. Raises Problem where it has no order."""
Literal = Callable[[int, str], str]
"""Returns a value of a column, given as text, as the database reads it."""


def where_clause(window: Window | None, part: Range | None, named: Named, literal: Literal) -> str:
    """Return the clause for the rows of a window and of a part; nothing where it is all of them."""
    conditions = [_within(window, named, literal)] if window else []
    if part and (inside := _inside(part, named, literal)):
        conditions.append(inside)
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _within(window: Window, named: Named, literal: Literal) -> str:
    column, name = window.column, named(window.column)
    ranges = []
    if window.until is not None:
        ends = f"{name} <= {literal(column, window.until)}"
        if window.after is not None:
            ends += f" AND {name} >= {literal(column, window.after)}"
        ranges.append(ends)
    if window.nulls:
        ranges.append(f"{name} IS NULL")
    return f"({' OR '.join(ranges) or 'FALSE'})"


def _inside(part: Range, named: Named, literal: Literal) -> str:
    name = named(part.column)
    ends = [
        f"{name} {sign} {literal(part.column, value)}"
        for sign, value in ((">=", part.least), ("<", part.below))
        if value is not None
    ]
    if not ends:
        return ""
    return f"({' AND '.join(ends)}{f' OR {name} IS NULL' if part.nulls else ''})"


class Extract(ABC):
    """A query in one consistent state of its database, from the first question to the last row.

    Every method raises SourceError.
    """

    columns: list[SourceColumn]
    data_types: list[str | None]

    @abstractmethod
    def greatest(
        self, column: int, after: str | None = None, below: str | None = None, lag_s: float = 0.0
    ) -> str | None:
        """Return a column's greatest value as section "the text of a value" has it, or None.

        `after` is included, `below` is not. Moments count up to `lag_s` before the database's now.
        """

    @abstractmethod
    def count_at(self, column: int, value: str, most: int) -> int:
        """Return how many rows have a value, at most `most`."""

    @abstractmethod
    def bounds(self, column: int, window: Window | None) -> tuple[str | None, str | None]:
        """Return a column's least and greatest value, as texts, in the rows of the window.

        Raises Problem where its values have no order.
        """

    @abstractmethod
    def shared(self) -> str | None:
        """Return a name by which other sessions read the same state, while this one lasts.

        None where the database has no such thing, or the query takes no ranges.
        """

    @abstractmethod
    def batches(
        self,
        window: Window | None = None,
        limit_rows: int | None = None,
        part: Range | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Give the rows in the query's order. A cell larger than allowed may come cut."""

    @abstractmethod
    def estimated_rows(self, window: Window | None = None) -> int | None:
        """Return the database's guess of how many rows there are."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop what runs in the database; called from another thread."""

    @abstractmethod
    def close(self) -> None:
        """Close without waiting; never raises."""


def no_cursor(column: SourceColumn) -> Problem:
    """Return the problem of a cursor column whose values have no order that holds everywhere."""
    return Problem(
        "mapping_incomplete",
        unordered(column),
        hint="Choose another cursor column, or cast it in the query.",
        stage="plan",
    )
