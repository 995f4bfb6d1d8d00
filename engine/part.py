"""A run's work: parts that transform and stage, each on its own, and the one commit of all.

    last = last_cursor(plan, loader)
    part = run_part(plan, source, batches, loader, last=last)
    outcome = commit(plan, loader, [part], token, last)

A part touches nothing that anybody sees. It can be made in any process: `Part` is plain values.
Loaders of databases stage in their session, so their parts and the commit share one loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from engine.edge import Edge
from engine.kinds import SourceColumn
from engine.load.contract import MOST_EDGE_ROWS, Committed, Cursor, Loader, Refusal, Staged
from engine.plan import Plan, check_source, rule_of
from engine.problems import KEPT_ENTRIES, Problem, Rejected, sentence, shown
from engine.transform import RuleCounts, Transformed, transform


@dataclass
class Part:
    """What a part has done so far. `rows_read` leaves out what the last run knew already, which
    `rows_seen` counts.

    `rejected` has the entries of the first refused values, `rows_rejected` counts all rows that
    have one; `edge` has the digests of the rows at the new end of the cursor.
    """

    rows_read: int = 0
    rows_seen: int = 0
    rows_rejected: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    counts: dict[str, RuleCounts] = field(default_factory=dict)
    null_cursors: int = 0
    edge: list[str] = field(default_factory=list)
    staged: Staged = field(default_factory=Staged)

    def add(self, other: Part) -> None:
        """Take in the part that follows, whose rows are counted from 1."""
        moved = [replace(entry, row=entry.row + self.rows_seen) for entry in other.rejected]
        self.rejected = (self.rejected + moved)[:KEPT_ENTRIES]
        self.rows_read += other.rows_read
        self.rows_seen += other.rows_seen
        self.rows_rejected += other.rows_rejected
        self.null_cursors += other.null_cursors
        self.edge += other.edge
        self.staged.add(other.staged)
        for rule_id, counts in other.counts.items():
            self.counts.setdefault(rule_id, RuleCounts()).add(counts)


@dataclass(frozen=True)
class Warned:
    """What a run that succeeded should tell nevertheless."""

    code: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What a run has done, once it is committed."""

    committed: Committed
    cursor: Cursor | None
    warnings: list[Warned]


class TooManyRejected(Problem):
    """More rows were refused than the mapping allows; `part` tells which."""

    def __init__(self, part: Part, allowed: int) -> None:
        super().__init__(
            "too_many_rejected",
            f"{part.rows_rejected} rows were refused; the mapping allows {allowed}.",
            hint="Look at the rejected rows; mend them or the rules, or raise max_rejected.",
            stage="transform",
        )
        self.part = part
        self.allowed = allowed

    def __reduce__(self) -> Any:
        return TooManyRejected, (self.part, self.allowed)


def last_cursor(plan: Plan, loader: Loader) -> Cursor | None:
    """Return how far the mapping has read; None where the run begins at the beginning.

    Raises Problem `cursor_lost` where the target has rows of the mapping, and does not say how
    far they go.
    """
    if plan.cursor is None or plan.full_refresh:
        return None
    found = loader.cursor()
    if found is not None and found.column == plan.cursor.column:
        return found
    if found is None and not loader.has_rows():
        return None
    lost = "no value" if found is None else f'one of "{found.column}"'
    raise Problem(
        "cursor_lost",
        f'"{plan.table}" has {lost} for the cursor "{plan.cursor.column}" beside the rows of the '
        "mapping.",
        hint="Run it once with full_refresh, which reads everything and sets the cursor anew.",
        stage="plan",
    )


def run_part(
    plan: Plan,
    source: Sequence[SourceColumn],
    batches: Iterable[pa.RecordBatch],
    loader: Loader,
    *,
    last: Cursor | None = None,
    on_progress: Callable[[Part], None] | None = None,
) -> Part:
    """Transform and stage batches; return what was done. Nothing of it can be seen.

    `batches` are those of `kinds`, within the plan's cursor window; `last` is the cursor that the
    window began with. Rows are counted from 1. `on_progress` is called after each batch, and may
    raise to end the part.

    Raises Problem, TooManyRejected among them.
    """
    check_source(plan, source)
    part = Part()
    edge = Edge(plan, source, last)
    for batch in batches:
        _take(plan, source, batch, loader, edge, part)
        part.null_cursors, part.edge = edge.nulls, edge.digests
        if on_progress:
            on_progress(part)
        refuse_too_many(plan, part)
    part.staged = loader.staged()
    return part


def refuse_too_many(plan: Plan, part: Part) -> None:
    """End a run whose parts have refused more rows than the mapping allows, taken together.

    Raises TooManyRejected.
    """
    if plan.max_rejected is not None and part.rows_rejected > plan.max_rejected:
        raise TooManyRejected(part, plan.max_rejected)


def _take(
    plan: Plan,
    source: Sequence[SourceColumn],
    batch: pa.RecordBatch,
    loader: Loader,
    edge: Edge,
    part: Part,
) -> None:
    first_row = part.rows_seen + 1
    part.rows_seen += batch.num_rows
    numbers = pa.array(range(first_row, first_row + batch.num_rows), pa.int64())
    unknown = edge.unknown(batch)
    if unknown is not None:
        batch, numbers = batch.filter(unknown), numbers.filter(unknown)
    left = KEPT_ENTRIES - len(part.rejected)
    out = transform(batch, source, plan, numbers, limit_entries=left)
    part.rows_read += batch.num_rows
    part.rows_rejected += out.rejected_rows
    part.rejected += out.rejected
    for rule_id, counts in out.counts.items():
        part.counts.setdefault(rule_id, RuleCounts()).add(counts)
    order = edge.order(batch) if plan.upserts else None
    _stage(plan, out, numbers, order, loader, part)


def _stage(
    plan: Plan,
    out: Transformed,
    numbers: pa.Array,
    order: pa.Array | None,
    loader: Loader,
    part: Part,
) -> None:
    rows = out.rows
    if out.kept is not None:
        numbers = numbers.filter(out.kept)
        order = None if order is None else order.filter(out.kept)
    refusals = loader.refuses(rows)
    if refusals:
        held = _held(refusals, rows.num_rows)
        part.rows_rejected += held.false_count
        told = [_entry(plan, refusal, numbers) for refusal in refusals]
        part.rejected = sorted(part.rejected + told, key=lambda entry: entry.row)[:KEPT_ENTRIES]
        rows = rows.filter(held)
        order = None if order is None else order.filter(held)
    loader.stage(rows, order)


def _held(refusals: Sequence[Refusal], count: int) -> pa.BooleanArray:
    mask = [True] * count
    for refusal in refusals:
        mask[refusal.position] = False
    return pa.array(mask, pa.bool_())


def _entry(plan: Plan, refusal: Refusal, numbers: pa.Array) -> Rejected:
    rule = rule_of(plan, refusal.field)
    value = shown(refusal.value)
    return Rejected(
        row=numbers[refusal.position].as_py(),
        rule_id=rule.id,
        source_columns=rule.source_columns,
        target_field=refusal.field,
        value=value,
        code=refusal.code,
        message=sentence(refusal.code, value, refusal.field, None),
    )


def commit(
    plan: Plan,
    loader: Loader,
    parts: Sequence[Part],
    token: str,
    last: Cursor | None = None,
    *,
    fences: bool = False,
) -> Outcome:
    """Show all that the parts have staged, with the run's token and its cursor, at once.

    `last` is the cursor that the run began with; `fences` as a loader's commit has it. May be
    repeated with the same token.

    Raises Problem.
    """
    whole = Part()
    for part in parts:
        whole.add(part)
    refuse_too_many(plan, whole)
    appended_again = plan.full_refresh and plan.write_mode == "append" and loader.has_rows()
    cursor = _moved(plan, whole, last)
    empty = whole.rows_read == 0
    committed = loader.commit(token, whole.staged, cursor, empty_source=empty, fences=fences)
    return Outcome(committed, cursor, _warnings(plan, whole, committed, appended_again))


def _moved(plan: Plan, whole: Part, last: Cursor | None) -> Cursor | None:
    window = plan.cursor
    if window is None:
        return None
    if window.until is None:  # nothing was there to be read
        return last
    if len(whole.edge) > MOST_EDGE_ROWS:
        raise Problem(
            "internal_error",
            f"{len(whole.edge)} rows share the cursor's last value {window.until}.",
            hint="Leave the value out of the run, and read it with the next one.",
            stage="commit",
        )
    return Cursor(window.column, window.until, tuple(sorted(whole.edge)))


def _warnings(plan: Plan, whole: Part, committed: Committed, appended_again: bool) -> list[Warned]:
    told = {
        "duplicate_keys": (
            committed.duplicates,
            f"{committed.duplicates} rows gave way to another with the same key.",
        ),
        "empty_source": (
            plan.write_mode == "replace" and whole.rows_read == 0 and not plan.full_refresh,
            "The query gave no row, so the rows in the target were kept.",
        ),
        "null_cursor": (
            whole.null_cursors,
            f"{whole.null_cursors} rows have no cursor value: later runs will not read them.",
        ),
        "appended_again": (
            appended_again,
            "A full refresh appended every row again beside those of earlier runs.",
        ),
        "rows_rejected": (whole.rows_rejected, f"{whole.rows_rejected} rows were refused."),
    }
    return [Warned(code, message) for code, (applies, message) in told.items() if applies]
