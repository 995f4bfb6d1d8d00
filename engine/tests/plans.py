"""Plans and batches that show only what a test is about."""

from datetime import UTC, datetime

import pyarrow as pa

from engine.kinds import SourceColumn
from engine.plan import Field, Plan, Rule

LOADED_AT = datetime(2026, 1, 31, 3, 4, 5, tzinfo=UTC)


def direct(column, field, rule_id="r1"):
    return Rule(rule_id, "direct", (column,), (field,))


def split(column, *fields, delimiter=",", overflow="drop", rule_id="r1"):
    return Rule(rule_id, "split", (column,), fields, delimiter=delimiter, overflow=overflow)


def join(columns, field, separator=" ", rule_id="r1"):
    return Rule(rule_id, "join", tuple(columns), (field,), separator=separator)


def a_plan(rules, fields, **given):
    """Return a plan; `fields` is name to type, or names that are all text."""
    types = fields if isinstance(fields, dict) else dict.fromkeys(fields, "string")
    columns = tuple(Field(name, data_type) for name, data_type in types.items())
    values = {
        "query": "SELECT 1",
        "table": "people",
        "write_mode": "append",
        "mapping_id": "m" * 24,
        "run_id": "a" * 24,
        "loaded_at": LOADED_AT,
    } | given
    return Plan(rules=tuple(rules), columns=columns, **values)


def a_batch(**columns):
    """Return a batch of text columns and their description."""
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return pa.record_batch(arrays), [SourceColumn(name, "text", "text") for name in columns]
