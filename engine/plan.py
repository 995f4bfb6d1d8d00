"""What a run does, fixed when it is planned: from a query through rules into a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from engine.columns import impossible, misnamed, misplaced, unwritten_key
from engine.kinds import DATA_TYPES, SourceColumn
from engine.problems import Problem

OWN_COLUMNS = ("_mapping_id", "_run_id", "_loaded_at")
WRITE_MODES = ("append", "replace", "upsert")
OVERFLOWS = ("drop", "keep", "reject")
MAX_CELL_BYTES = 16 * 1024 * 1024
HINTS = {
    "unknown_column": "Names count letter by letter. Change the mapping, or name the column so in "
    "the query.",
    "ambiguous_column": "Give each column of the query a name of its own, with AS.",
    "impossible_cast": "Mend the query or the rule, then run it again.",
    "mapping_incomplete": "Complete the mapping, then run it again.",
    "query_refused": "Mend the mapping's query; a preview shows the same.",
}
"""What to do about a mapping that cannot run, by the code that says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the target's schema; `data_type` is one of the six."""

    name: str
    data_type: str


@dataclass(frozen=True, slots=True)
class Rule:
    """How source columns become target fields: `direct`, `split` or `join`."""

    id: str
    type: str
    source_columns: tuple[str, ...]
    target_fields: tuple[str, ...]
    delimiter: str | None = None
    separator: str | None = None
    overflow: str = "drop"


@dataclass(frozen=True, slots=True)
class CursorWindow:
    """Only rows whose cursor is from `after` to `until`, both included, as texts; None is open.

    A run finds both itself. A cursor of moments ends `lag_s` seconds before the database's now.
    """

    column: str
    after: str | None = None
    until: str | None = None
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run needs to know beside logins. `loaded_at` is aware, and the same for all rows.

    Raises Problem `mapping_incomplete` where it could not run.
    """

    query: str
    rules: tuple[Rule, ...]
    columns: tuple[Field, ...]
    table: str
    write_mode: str
    mapping_id: str
    run_id: str
    loaded_at: datetime
    key_fields: tuple[str, ...] = ()
    cursor: CursorWindow | None = None
    max_rejected: int | None = 0
    full_refresh: bool = False
    max_cell_bytes: int = MAX_CELL_BYTES
    split_column: str | None = None

    def __post_init__(self) -> None:
        _require(self)

    @property
    def written_fields(self) -> frozenset[str]:
        return frozenset(name for rule in self.rules for name in rule.target_fields)

    @property
    def upserts(self) -> bool:
        return self.write_mode == "upsert"

    @property
    def keys(self) -> list[str]:
        """Return the fields whose values tell one row from another; none unless it upserts."""
        return list(self.key_fields) if self.upserts else []

    def to_json(self) -> dict[str, Any]:
        """Return plain values of JSON."""
        return asdict(self) | {"loaded_at": self.loaded_at.isoformat()}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Plan:
        """Return what `to_json` was made of. Raises Problem."""
        cursor = given["cursor"]
        return cls(
            **{
                **given,
                "rules": tuple(_rule_from_json(rule) for rule in given["rules"]),
                "columns": tuple(Field(**each) for each in given["columns"]),
                "key_fields": tuple(given["key_fields"]),
                "cursor": CursorWindow(**cursor) if cursor else None,
                "loaded_at": datetime.fromisoformat(given["loaded_at"]),
            }
        )


def _rule_from_json(given: Mapping[str, Any]) -> Rule:
    names = {each: tuple(given[each]) for each in ("source_columns", "target_fields")}
    return Rule(**{**given, **names})


def rule_of(plan: Plan, field: str) -> Rule:
    """Return the rule that writes a field."""
    return next(rule for rule in plan.rules if field in rule.target_fields)


def _require(plan: Plan) -> None:
    """Refuse what cannot run, as far as that is known without the source.

    Raises Problem `mapping_incomplete`.
    """
    for complaint in _complaints(plan):
        raise _incomplete(complaint)


def _complaints(plan: Plan) -> Sequence[str]:
    types = {field.name: field.data_type for field in plan.columns}
    written = Counter(name for rule in plan.rules for name in rule.target_fields)
    found = [
        *(f'The schema has no field "{name}", which a rule writes.' for name in written
          if name not in types),
        *(f'Two rules write the field "{name}".' for name, times in written.items() if times > 1),
        *(f'The field "{name}" has the unknown type "{kind}".' for name, kind in types.items()
          if kind not in DATA_TYPES),
        *(complaint for rule in plan.rules for complaint in _rule_complaints(rule)),
    ]  # fmt: skip
    if not plan.rules:
        found.append("The mapping has no rules, so it would write nothing.")
    if plan.write_mode not in WRITE_MODES:
        found.append(f'The mapping has the unknown write mode "{plan.write_mode}".')
    if plan.write_mode == "replace" and plan.cursor:
        found.append("A mapping that replaces its rows has no cursor column.")
    if plan.upserts:
        found += _key_complaints(plan, set(written))
    return found


def _key_complaints(plan: Plan, written: set[str]) -> list[str]:
    if not plan.key_fields:
        return ["A mapping that upserts needs at least one key field."]
    if len({*plan.key_fields}) < len(plan.key_fields):
        return ["A key field is named twice."]
    return [unwritten_key(name) for name in plan.key_fields if name not in written]


_COUNTS = {  # of source columns and of target fields: the fewest and the most
    "direct": ((1, 1), (1, 1)),
    "split": ((1, 1), (2, None)),
    "join": ((2, None), (1, 1)),
}


def _rule_complaints(rule: Rule) -> list[str]:
    if rule.type not in _COUNTS:
        return [f'The rule {rule.id} has the unknown type "{rule.type}".']
    found = [
        f"The rule {rule.id} has {len(names)} {noun}, which a {rule.type} rule cannot have."
        for names, noun, (fewest, most) in (
            (rule.source_columns, "source columns", _COUNTS[rule.type][0]),
            (rule.target_fields, "target fields", _COUNTS[rule.type][1]),
        )
        if len(names) < fewest or (most is not None and len(names) > most)
    ]
    if rule.type == "split" and not rule.delimiter:
        found.append(f"The rule {rule.id} splits, and has no delimiter.")
    if rule.type == "join" and rule.separator is None:
        found.append(f"The rule {rule.id} joins, and has no separator.")
    if rule.overflow not in OVERFLOWS:
        found.append(f'The rule {rule.id} has the unknown overflow "{rule.overflow}".')
    return found


def _incomplete(message: str) -> Problem:
    return unfit("mapping_incomplete", message)


def unfit(code: str, message: str) -> Problem:
    """Return the problem of a mapping that cannot run as it is."""
    return Problem(code, message, stage="plan", hint=HINTS[code])


def check_source(plan: Plan, source: Sequence[SourceColumn]) -> None:
    """Refuse a source whose columns the rules, the cursor or the parts cannot use.

    Raises Problem `unknown_column`, `ambiguous_column`, `impossible_cast` or
    `mapping_incomplete`.
    """
    counted = Counter(column.name for column in source)
    for name in (name for rule in plan.rules for name in rule.source_columns):
        if counted[name] != 1:
            raise unfit(*misnamed(name, counted))
    for wrong in misplaced(plan.cursor.column if plan.cursor else None, plan.split_column, source):
        raise unfit(wrong.code, wrong.message)
    _require_possible(plan, source)


def _require_possible(plan: Plan, source: Sequence[SourceColumn]) -> None:
    columns = {column.name: column for column in source}
    types = {field.name: field.data_type for field in plan.columns}
    for rule in plan.rules:
        column, field = columns[rule.source_columns[0]], rule.target_fields[0]
        if rule.type == "direct" and not column.can_become(types[field]):
            raise unfit("impossible_cast", impossible(column, field, types[field]))
