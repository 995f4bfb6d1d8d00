"""How a schema may change: columns are added and moved; types stay.

Columns here are plain dicts with `name` and `data_type`, as they are stored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

StoredColumn = Mapping[str, Any]


class TypeChange(NamedTuple):
    """A column whose type would change; `position` counts in the new list, from 0."""

    position: int
    name: str
    old: str
    new: str


def stored_columns(document: Mapping[str, Any]) -> list[StoredColumn]:
    """Return the columns of a stored schema; what another program garbled counts as none."""
    columns = document.get("columns")
    rows = columns if isinstance(columns, list) else []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]


def repeated(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the position and name of each name that stood before, ignoring case."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        folded = name.casefold()
        if folded in seen:
            yield index, name
        seen.add(folded)


def changed_types(
    before: Sequence[StoredColumn], after: Sequence[StoredColumn]
) -> list[TypeChange]:
    """Return the columns that keep their name, ignoring case, and not their type."""
    old = {_folded(column): column.get("data_type") for column in before}
    return [
        TypeChange(index, column["name"], str(old[_folded(column)]), column["data_type"])
        for index, column in enumerate(after)
        if old.get(_folded(column), column["data_type"]) != column["data_type"]
    ]


def dropped(before: Sequence[StoredColumn], after: Sequence[StoredColumn]) -> list[str]:
    """Return the names that are no longer there; a name in another case is another name."""
    kept = {column["name"] for column in after}
    return [str(column.get("name")) for column in before if column.get("name") not in kept]


def carried_over(
    before: Sequence[StoredColumn], after: Sequence[StoredColumn]
) -> list[StoredColumn]:
    """Return `after`, each column with the further keys that its stored namesake has."""
    stored = {column.get("name"): column for column in before}
    return [{**stored.get(column["name"], {}), **column} for column in after]


def refusal(schema: str, changes: list[TypeChange]) -> tuple[str, list[Any]]:
    """Return the sentence and the errors, one a column, that refuse changes of types."""
    errors = [
        {
            "field": f"columns.{change.position}.data_type",
            "code": "incompatible_schema",
            "message": f'"{change.name}" is {change.old} and cannot become {change.new}.',
        }
        for change in changes
    ]
    listed = "; ".join(f'"{change.name}" from {change.old} to {change.new}' for change in changes)
    sentence = f'A column of the schema "{schema}" never changes its type: {listed}.'
    return sentence, errors


def _folded(column: StoredColumn) -> str:
    return str(column.get("name")).casefold()
