"""Rows of a target's types in the form and limits of a preview's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from engine.grammar import floating_text
from sources import values
from sources.contract import Json


def rows(table: pa.RecordBatch) -> Iterator[tuple[list[Json], int]]:
    """Give rows, and how many bytes each is about."""
    columns = [_column(column) for column in table.columns]
    for cells in zip(*columns, strict=True):
        yield list(cells), size(cells)


def size(cells: Iterable[Json]) -> int:
    """Return about how many bytes a row has."""
    return sum(len(cell) if isinstance(cell, str) else 8 for cell in cells)


def value(found: Any) -> Json:
    """Return a value of Python's as a preview shows it."""
    if found is None:
        return None
    return next(show(found) for kind, show in _SHOWN if isinstance(found, kind))


def _column(column: pa.Array) -> list[Json]:
    return [value(found) for found in column.to_pylist()]


def _floating(number: float) -> Json:
    return values.floating(floating_text(number).encode())


def _moment(moment: datetime) -> str:
    """Return a moment in UTC, as PostgreSQL writes it there."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    text = moment.isoformat()
    return (text.rstrip("0") if "." in text else text) + "+00:00"


_SHOWN: list[tuple[type, Callable[[Any], Json]]] = [
    (bool, lambda found: found),
    (int, lambda found: values.whole(str(found).encode())),
    (float, _floating),
    (str, lambda found: values.text(found.encode("utf-8", "surrogatepass"))),
    (datetime, _moment),
    (date, lambda found: found.isoformat()),
    (bytes, values.binary),
    (object, str),
]
