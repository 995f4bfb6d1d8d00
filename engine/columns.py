"""What names in a mapping mean among the columns of its query, and what is said of wrong ones."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.kinds import SourceColumn

MOST_NAMES = 10
"""So many columns are named where none is near."""


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
    known = {column.name: column for column in columns}
    named = (("cursor_column", cursor_column), ("split_column", split_column))
    for field, name in named:
        if not name:
            continue
        if counted[name] != 1:
            code, message = misnamed(name, counted)
            yield Misplaced(code, f"The {field.replace('_', ' ')}: {message}", field)
        elif field == "cursor_column" and not known[name].has_order:
            yield Misplaced("mapping_incomplete", unordered(known[name]), field)


def misnamed(name: str, counted: Counter[str]) -> tuple[str, str]:
    """Return code and sentence of a name that the query's columns have never, or several times."""
    if counted[name]:
        times = f"{counted[name]} times" if counted[name] > 2 else "twice"
        return "ambiguous_column", (
            f'The query returns the column "{name}" {times}; give each a name of its own, with AS.'
        )
    said = f'The query does not return the column "{name}"'
    if near := nearest(name, list(counted)):
        return "unknown_column", f'{said}; the nearest is "{near}".'
    return "unknown_column", f"{said}; {_returned(list(counted))}."


def _returned(names: Sequence[str]) -> str:
    if not names:
        return "it returns none"
    more = ["…"] if len(names) > MOST_NAMES else []
    return "it returns " + ", ".join([*(f'"{name}"' for name in names[:MOST_NAMES]), *more])


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
        f'becomes the {data_type} of the field "{field}"; cast it in the query, or write it to '
        "another field."
    )


def unwritten_key(name: str) -> str:
    return f'No rule writes the key field "{name}"; add one that does, or choose another key.'


def unordered(column: SourceColumn) -> str:
    return (
        f'The cursor column "{column.name}" is {column.database_type or column.kind}, which is '
        "neither number, date, timestamp nor text; choose another, or cast it in the query."
    )
