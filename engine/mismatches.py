"""What rules ask of a query's columns and do not get: in the words of a run that ends by it.

Light: the API asks it at saves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.columns import impossible, misnamed
from engine.kinds import SourceColumn
from engine.plan import Rule

_TIME = re.compile(r"time(\(\d\))?( without time zone)?")
_BINARY = re.compile(r"bytea|(tiny|medium|long)?blob|(var)?binary")
_OF_FITTING = {
    "integer": "integer",
    "float": "float64",
    "date": "date",
    "timestamp": "timestamp",
    "string": "text",
}


def kind_of(database_type: str, data_type: str | None) -> str:
    """Return the kind of a column that a source described, `text` where any value may come.

    `data_type` is the fitting one of a schema's types, None where none fits.
    """
    if data_type == "boolean":
        return "tinyint1" if database_type.startswith("tinyint") else "boolean"
    if data_type == "string" and _TIME.fullmatch(database_type):
        return "time"
    if data_type is None and _BINARY.match(database_type):
        return "binary"
    if data_type is None and (database_type.startswith("json") or database_type.endswith("[]")):
        return "json"
    return _OF_FITTING.get(data_type or "", "text")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that a rule cannot have; `place` is the wrong part, such as `source_columns.0`."""

    code: str
    message: str
    rule: Rule
    place: str


def mismatches(
    rules: Sequence[Rule], types: Mapping[str, str], columns: Sequence[SourceColumn]
) -> Iterator[Mismatch]:
    """Yield what the rules cannot have of `columns`; `types` are those of the target's fields.

    The codes are `unknown_column`, `ambiguous_column` and `impossible_cast`.
    """
    counted = Counter(column.name for column in columns)
    known = {column.name: column for column in columns}
    for rule in rules:
        wrong = False
        for place, name in enumerate(rule.source_columns):
            if counted[name] != 1:
                wrong = True
                code, message = misnamed(name, counted)
                yield Mismatch(code, message, rule, f"source_columns.{place}")
        if rule.type == "direct" and rule.source_columns and rule.target_fields and not wrong:
            column, field = known[rule.source_columns[0]], rule.target_fields[0]
            if field in types and not column.can_become(types[field]):
                message = impossible(column, field, types[field])
                yield Mismatch("impossible_cast", message, rule, "target_fields.0")
