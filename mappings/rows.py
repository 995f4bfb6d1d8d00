"""Rows of a mapping's target table, as a person looks at them."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import asdict
from typing import Any

from bson import ObjectId
from django.conf import settings

from common.api.problems import Invalid
from common.documents import store
from common.documents.codecs import whole_number
from common.exceptions import FieldError, ServiceError
from engine import asking
from engine.problems import Problem
from mappings.models import Mapping, table_of
from schemas.evolution import stored_columns
from schemas.models import Schema
from targets.models import Target
from targets.params import target_params

MOST_ROWS = 1000
DEFAULT_ROWS = 100


class TargetFailed(ServiceError):
    """A target did not show its rows."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.message} {problem.hint}".strip())
        is_late = problem.code == "target_timeout"
        self.status = 504 if is_late else 502
        self.code = "target_timeout" if is_late else "target_unreachable"


def asked(query: Dict[str, str]) -> dict[str, Any]:
    """Return `limit`, `offset` and `run_id` of a query string. Raises Invalid."""
    found: dict[str, Any] = {"limit": DEFAULT_ROWS, "offset": 0, "run_id": None}
    errors: list[FieldError] = []
    for name, text in query.items():
        try:
            found[name] = _read(name, text)
        except ValueError as wrong:
            errors.append({"field": name, "code": "invalid", "message": str(wrong)})
    if errors:
        raise Invalid(errors)
    return found


def _read(name: str, text: str) -> Any:
    if name == "run_id":
        return str(store.object_id(text))
    if name == "offset":
        return whole_number(text)
    if name != "limit":
        raise ValueError("There is no such parameter; there are limit, offset, run_id.")
    limit = whole_number(text, minimum=1)
    if limit > MOST_ROWS:
        raise ValueError(f"Expected a whole number from 1 to {MOST_ROWS}.")
    return limit


def rows_of(mapping: Mapping, limit: int, offset: int, run_id: str | None) -> dict[str, Any]:
    """Return rows of the table that a mapping writes, newest first, in a preview's form.

    Raises TargetFailed, and UnreadableSecret.
    """
    started = store.now()
    schema = store.find_one(Schema, {"_id": mapping.target_schema_id}) or {}
    columns = [(str(one["name"]), str(one.get("data_type"))) for one in stored_columns(schema)]
    table = mapping.target_table or table_of(mapping.target_schema_id) or ""
    try:
        params = target_params(_target(mapping.target_id))
        found = asking.read_rows(
            params, table, columns, limit, offset, run_id, settings.PREVIEW_TIMEOUT_S
        )
    except Problem as problem:
        raise TargetFailed(problem) from problem
    elapsed = (store.now() - started).total_seconds() * 1000
    return {**asdict(found), "row_count": len(found.rows), "elapsed_ms": round(elapsed, 1)}


def _target(identifier: ObjectId | None) -> Target | None:
    if identifier is None:
        return None
    found = store.find_one(Target, {"_id": identifier})
    if found is None:
        said = "The mapping's target was removed."
        raise Problem("target_gone", said, hint="Give the mapping another target.", stage="plan")
    return Target.from_document(found)
