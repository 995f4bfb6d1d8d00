"""A dry run as the mapping's page shows it: target rows, and why others are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rest_framework.exceptions import APIException

from common.api.problems import translated
from common.exceptions import ServiceError
from mappings.dryrun import NothingToShow
from mappings.preview_table import cells

ROWS = 50
"""Rows of the source that the page asks for."""


def dry_run_context(dry_run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what the page shows of a dry run, or of what refuses it."""
    try:
        found = dry_run()
    except (ServiceError, APIException) as raised:
        refusal = translated(raised)
        if isinstance(refusal, NothingToShow):
            return {"refusals": refusal.problems}
        said = [one["message"] for one in refusal.errors] or [refusal.detail]
        return {"refusals": [{"message": message} for message in said]}
    return {
        "columns": found["columns"],
        "rows": [cells(row) for row in found["rows"]],
        "refused": refused_rows(found["columns"], found["rejected"]),
        "problems": found["problems"],
        "unwritten": found["unwritten_fields"],
        "unread": found["unread_columns"],
        "counts": [
            {"rule_id": one["rule_id"], "text": f"{one['rejected']} of {one['read']} refused"}
            for one in found["rules"]
            if one["rejected"]
        ],
    }


def refused_rows(
    columns: Sequence[str], rejected: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return each refused row once, with its entries and the cells that they are about."""
    by_row: dict[int, list[dict[str, Any]]] = {}
    for entry in rejected:
        by_row.setdefault(entry["row"], []).append(entry)
    return [
        {"number": number, "entries": entries, "cells": _cells(columns, entries)}
        for number, entries in by_row.items()
    ]


def _cells(columns: Sequence[str], entries: Sequence[dict[str, Any]]) -> list[Any]:
    by_field = {entry["target_field"]: entry for entry in entries}
    return [by_field.get(name) for name in columns]
