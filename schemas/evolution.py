"""How a schema may change: columns are added and moved; types stay.

Columns here are plain dicts with `name` and `data_type`, as they are stored.
"""

from bisect import bisect_left
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


class Move(NamedTuple):
    """One change of a column: `added`, `dropped`, `retyped` or `moved`.

    `old` and `new` are types, of a move positions from 0; None where there is none.
    """

    column: str
    change: str
    old: str | int | None
    new: str | int | None

    def as_dict(self) -> dict[str, Any]:
        return {"column": self.column, "change": self.change, "from": self.old, "to": self.new}


def differences(before: Sequence[StoredColumn], after: Sequence[StoredColumn]) -> list[Move]:
    """Return what makes `after` of `before`: as few moves as there can be, the rest in order."""
    retyped = changed_types(before, after)
    folded = {change.name.casefold() for change in retyped}
    gone = [name for name in dropped(before, after) if name.casefold() not in folded]
    old = {column["name"]: column.get("data_type") for column in before}
    known = {change.name for change in retyped} | old.keys()
    return [
        *(Move(change.name, "retyped", change.old, change.new) for change in retyped),
        *(Move(name, "dropped", old[name], None) for name in gone),
        *(
            Move(column["name"], "added", None, column["data_type"])
            for column in after
            if column["name"] not in known
        ),
        *_moves([column["name"] for column in before], [column["name"] for column in after]),
    ]


def _moves(before: Sequence[str], after: Sequence[str]) -> Iterator[Move]:
    """Yield the columns that leave the order in which most of them stay."""
    places = {name: place for place, name in enumerate(before)}
    kept = [name for name in after if name in places]
    # Backwards, so that of two that change places the one that now stands first has stayed.
    staying = {-place for place in _longest_rise([-places[name] for name in reversed(kept)])}
    for name in kept:
        if places[name] not in staying:
            yield Move(name, "moved", places[name], after.index(name))


def _longest_rise(numbers: Sequence[int]) -> set[int]:
    """Return the numbers of a longest part that rises; all are different."""
    tails: list[int] = []
    previous: dict[int, int | None] = {}
    for number in numbers:
        place = bisect_left(tails, number)
        previous[number] = tails[place - 1] if place else None
        tails[place : place + 1] = [number]
    found, last = set(), tails[-1] if tails else None
    while last is not None:
        found.add(last)
        last = previous[last]
    return found


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
