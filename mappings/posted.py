"""A mapping as its page has it, saved or not: what the page's own buttons are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping as Dict
from typing import Any

from django.http import QueryDict

from common.admin import name_lists
from mappings import options
from mappings.models import RuleKind
from mappings.rules import MAX_RULES

PREFIX = "column_mappings"
EMPTY = ("source_columns", "target_fields")


def body(data: QueryDict) -> dict[str, Any]:
    """Return the mapping of a posted form as a body of a dry run.

    Each rule's id is the number of its row.
    """
    return {
        "source_connection_id": data.get("source_connection", ""),
        "source_query": data.get("source_query", ""),
        "target_schema_id": data.get("target_schema", ""),
        "write_mode": data.get("write_mode") or None,
        "key_fields": name_lists.from_text(data.get("key_fields", "")) or None,
        "cursor_column": data.get("cursor_column") or None,
        "split_column": data.get("split_column") or None,
        "column_mappings": [rule | {"id": str(row)} for row, rule in rules(data)],
    }


def rules(data: QueryDict) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rules of a posted form by row, those aside that are removed or empty."""
    total = data.get(f"{PREFIX}-TOTAL_FORMS", "")
    for row in range(min(int(total), MAX_RULES) if total.isdecimal() else 0):
        fields = _Row(data, row)
        if not fields["DELETE"] and any(fields[name] for name in EMPTY):
            yield row, fields.rule()


class _Row:
    def __init__(self, data: Dict[str, Any], row: int) -> None:
        self.data = data
        self.row = row

    def __getitem__(self, name: str) -> str:
        return str(self.data.get(f"{PREFIX}-{self.row}-{name}") or "")

    def rule(self) -> dict[str, Any]:
        option = options.from_text(self["option"])
        config: dict[str, Any] = {}
        if self["type"] == RuleKind.SPLIT:
            config = {"delimiter": option or None}
        elif self["type"] == RuleKind.JOIN:
            config = {"separator": option}
        if self["overflow"]:
            config["overflow"] = self["overflow"]
        return {
            "type": self["type"],
            "source_columns": name_lists.from_text(self["source_columns"]),
            "target_fields": name_lists.from_text(self["target_fields"]),
            "config": config,
        }
