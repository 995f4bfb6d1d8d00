"""What names in a mapping mean among the columns of its query, and what is said of wrong ones."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.kinds import SourceColumn

CURSOR_KINDS = frozenset(
    ("integer", "decimal", "float32", "float64", "date", "timestamp", "timestamptz", "text")
)


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A column that a mapping itself names, and cannot have; `field` is the mapping's."""

    code: str
    message: str
    field: str


def misplaced(
    cursor_column: str | None, split_column: str | None, columns: Sequence[SourceColumn]
) -> Iterator[Misplaced]:
    """Yield what a mapping's own columns cannot be.

    The codes are `unknown_column`, `ambiguous_column` and, of a cursor whose values have no order,
    `mapping_incomplete`.
    """
    counted = Counter(column.name for column in columns)
    kinds = {column.name: column.kind for column in columns}
    named = (("cursor_column", cursor_column), ("split_column", split_column))
    for field, name in named:
        if not name:
            continue
        if counted[name] != 1:
            code, message = misnamed(name, counted)
            yield Misplaced(code, f"The {field.replace('_', ' ')}: {message}", field)
        elif field == "cursor_column" and kinds[name] not in CURSOR_KINDS:
            said = f'The cursor column "{name}" is neither number, date, timestamp nor text.'
            yield Misplaced("mapping_incomplete", said, field)


def misnamed(name: str, counted: Counter[str]) -> tuple[str, str]:
    """Return code and sentence of a name that the query's columns have never, or several times."""
    if counted[name]:
        times = f"{counted[name]} times" if counted[name] > 2 else "twice"
        return "ambiguous_column", (
            f'The query returns the column "{name}" {times}; give each a name of its own, with AS.'
        )
    said = f'The query does not return the column "{name}"'
    near = nearest(name, list(counted))
    return "unknown_column", f'{said}; the nearest is "{near}".' if near else f"{said}."


def nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the name that is most like another, None where none is."""
    folded = {one.casefold(): one for one in reversed(names)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return folded[found[0]] if found else None


def impossible(column: SourceColumn, field: str, data_type: str) -> str:
    return (
        f'The column "{column.name}" is {column.database_type or column.kind}, which never '
        f'becomes the {data_type} of the field "{field}".'
    )
