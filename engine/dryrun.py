"""What the first rows of a run would become, without a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import pyarrow as pa

from children import child
from engine import shown
from engine.columns import misplaced
from engine.extract.opening import open_extract
from engine.kinds import SourceColumn
from engine.load.contract import Loader, Refusal, Staged
from engine.load.keys import null_keys
from engine.part import Part, run_part
from engine.plan import Plan, Rule, check_source
from engine.problems import Problem
from engine.transform import RuleCounts
from sources.clock import Clock
from sources.contract import SourceParams
from sources.values import Budget


def dry_run(source: SourceParams, plan: Plan, limit_rows: int, timeout_s: float) -> dict[str, Any]:
    """Return the fields of `messages.DryRun`.

    A rule that cannot be run is a problem, and left out; where none is left, there are no rows.
    Raises SourceError.
    """
    clock = Clock(timeout_s)
    extract = open_extract(source, plan.query, plan.max_cell_bytes, clock)
    child.before_stop(extract.cancel)
    try:
        possible, problems = _possible(plan, extract.columns)
        if possible is None:
            return _answer(plan, (), extract.columns, Part(), []) | {"problems": problems}
        keys = [key for key in plan.keys if key in possible.written_fields]
        target = _Shown(keys, limit_rows)
        batches = extract.batches(limit_rows=limit_rows)
        part = run_part(possible, extract.columns, batches, cast(Loader, target))
        rows = target.budget.rows
        answer = _answer(plan, possible.rules, extract.columns, part, rows)
        return answer | {"problems": problems}
    finally:
        extract.close()


def _possible(
    plan: Plan, source: Sequence[SourceColumn]
) -> tuple[Plan | None, list[dict[str, Any]]]:
    """Return the plan with the rules that can be run, and the problems of the others.

    The plan is None where no rule can be run.
    """
    rules: list[Rule] = []
    told: list[dict[str, Any]] = []
    for rule in plan.rules:
        alone = replace(_plain(plan), rules=(rule,))
        try:
            check_source(alone, source)
        except Problem as exc:
            told.append({"code": exc.code, "message": exc.message, "rule_id": rule.id})
        else:
            rules.append(rule)
    cursor = plan.cursor.column if plan.cursor else None
    told += [
        {"code": one.code, "message": one.message, "rule_id": None}
        for one in misplaced(cursor, plan.split_column, source)
    ]
    if not rules:
        return None, told
    return replace(_plain(plan), rules=tuple(rules), max_rejected=None), told


def _plain(plan: Plan) -> Plan:
    """Return a plan that only appends all rows, from the first to the last."""
    return replace(plan, cursor=None, split_column=None, write_mode="append", key_fields=())


class _Shown:
    """Takes rows as a target does, and shows them."""

    def __init__(self, keys: Sequence[str], limit_rows: int) -> None:
        self._keys = keys
        self.budget = Budget(limit_rows)

    def refuses(self, rows: pa.RecordBatch) -> list[Refusal]:
        return null_keys(rows, self._keys)

    def stage(self, rows: pa.RecordBatch, order: pa.Array | None = None) -> None:
        self.budget.add_all(shown.rows(rows))

    def staged(self) -> Staged:
        return Staged()


def _answer(
    plan: Plan,
    possible: Sequence[Rule],
    source: Sequence[SourceColumn],
    part: Part,
    rows: list[list[Any]],
) -> dict[str, Any]:
    written = plan.written_fields
    read = {name for rule in plan.rules for name in rule.source_columns}
    names = dict.fromkeys(column.name for column in source)
    return {
        "columns": [field.name for field in plan.columns],
        "rows": rows,
        "rejected": [entry.as_dict() for entry in part.rejected],
        # One that met no row has counts, too.
        "rules": [
            {"rule_id": rule.id} | asdict(part.counts.get(rule.id, RuleCounts()))
            for rule in possible
        ],
        "unwritten_fields": [each.name for each in plan.columns if each.name not in written],
        "unread_columns": [name for name in names if name not in read],
    }
