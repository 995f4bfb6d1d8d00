"""Batches of a source's rows through rules into batches of a target's rows.

`kinds` describes the batches that come, `docs/transformation.md` what happens to each value. A
row of which one value is refused is not in the answer; each refused value is told of.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from engine.cast import ARROW_TYPES, Cast, Cells, cast, cells, text_of
from engine.kinds import SourceColumn
from engine.plan import Field, Plan, Rule
from engine.problems import KEPT_ENTRIES, SHOWN_CHARACTERS, Rejected, sentence, shown


@dataclass
class RuleCounts:
    """Rows that a rule read, those null in the source, refused, and split with pieces left out."""

    read: int = 0
    null: int = 0
    rejected: int = 0
    dropped: int = 0

    def add(self, other: RuleCounts) -> None:
        self.read += other.read
        self.null += other.null
        self.rejected += other.rejected
        self.dropped += other.dropped


@dataclass(frozen=True)
class Transformed:
    """The rows that may be written, in the schema's columns.

    `rejected` has the entries of the first refused values by row; `rejected_rows` counts all rows
    that are left out. `kept` tells which of the batch's rows are in `rows`; None is all of them.
    """

    rows: pa.RecordBatch
    kept: pa.BooleanArray | None
    rejected: list[Rejected]
    rejected_rows: int
    counts: dict[str, RuleCounts]


def transform(
    batch: pa.RecordBatch,
    source: Sequence[SourceColumn],
    plan: Plan,
    numbers: pa.Array | None = None,
    limit_entries: int = KEPT_ENTRIES,
) -> Transformed:
    """Return a batch's rows as rows of the target.

    `numbers` are its rows' places in the whole query; without them they are counted from 1. The
    source must have passed `plan.check_source`.
    """
    work = _Work(batch, source, plan, numbers, limit_entries)
    for rule in plan.rules:
        work.apply(rule)
    return work.result()


@dataclass
class _Work:
    """A batch while its rules are applied, one after the other."""

    batch: pa.RecordBatch
    source: Sequence[SourceColumn]
    plan: Plan
    numbers: pa.Array | None
    limit_entries: int
    written: dict[str, pa.Array] = field(default_factory=dict)
    entries: list[Rejected] = field(default_factory=list)
    bad_rows: set[int] = field(default_factory=set)
    rows_of_rules: dict[str, set[int]] = field(default_factory=dict)
    counts: dict[str, RuleCounts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.positions = {column.name: at for at, column in enumerate(self.source)}
        self.types = {each.name: each.data_type for each in self.plan.columns}
        self.columns: dict[str, Cells] = {}
        self.texts: dict[str, pa.Array] = {}
        self.oversized: dict[str, list[int]] = {}

    def apply(self, rule: Rule) -> None:
        counts = self.counts[rule.id] = RuleCounts(read=self.batch.num_rows)
        self._refuse_oversized(rule)
        {"direct": self._direct, "split": self._split, "join": self._join}[rule.type](rule, counts)

    def result(self) -> Transformed:
        arrays = [self._field(each) for each in self.plan.columns]
        schema = pa.schema([(each.name, ARROW_TYPES[each.data_type]) for each in self.plan.columns])
        rows = pa.RecordBatch.from_arrays(arrays, schema=schema)
        kept = self._kept()
        self.entries.sort(key=lambda entry: entry.row)
        return Transformed(
            rows=rows if kept is None else rows.filter(kept),
            kept=kept,
            rejected=self.entries[: self.limit_entries],
            rejected_rows=len(self.bad_rows),
            counts=self.counts,
        )

    def _field(self, target: Field) -> pa.Array:
        values = self.written.get(target.name)
        if values is None:
            return pa.nulls(self.batch.num_rows, ARROW_TYPES[target.data_type])
        return values

    def _kept(self) -> pa.BooleanArray | None:
        if not self.bad_rows:
            return None
        return pc.invert(_marked(self.bad_rows, self.batch.num_rows))

    # --- the three rules ---

    def _direct(self, rule: Rule, counts: RuleCounts) -> None:
        (name,), (target,) = rule.source_columns, rule.target_fields
        column = self._cells(name)
        counts.null = self._nulls(name)
        found = cast(column, self.types[target])
        self._write(rule, target, found, lambda: self._text(name))

    def _split(self, rule: Rule, counts: RuleCounts) -> None:
        text = self._text(rule.source_columns[0])
        counts.null = self._nulls(rule.source_columns[0])
        fields = len(rule.target_fields)
        # One cut more than there are fields shows whether pieces are left over.
        cuts = fields - 1 if rule.overflow == "keep" else fields
        pieces = pc.split_pattern(text, rule.delimiter, max_splits=cuts)
        lengths = pc.list_value_length(pieces)
        too_many = pc.indices_nonzero(pc.greater(lengths, fields)).to_pylist()
        if rule.overflow == "reject" and too_many:
            refused = dict.fromkeys(too_many, "too_many_pieces")
            self._refuse(rule, rule.target_fields[-1], refused, text)
            pieces = pc.split_pattern(_blanked(text, too_many), rule.delimiter, max_splits=cuts)
            lengths = pc.list_value_length(pieces)
        else:
            counts.dropped = len(too_many)
        for at, target in enumerate(rule.target_fields):
            piece = _piece(pieces, lengths, at)
            self._write_text(rule, target, piece)

    def _join(self, rule: Rule, counts: RuleCounts) -> None:
        texts = [self._text(name) for name in rule.source_columns]
        empty = functools.reduce(pc.and_, (text.is_null() for text in texts))
        counts.null = empty.true_count
        # Arrow's join leaves out a row whose texts are all null, and moves up those below.
        texts[0] = pc.if_else(empty, "", texts[0])
        joined = pc.binary_join_element_wise(*texts, rule.separator, null_handling="skip")
        joined = pc.if_else(empty, None, joined)
        self._write_text(rule, rule.target_fields[0], joined)

    def _write_text(self, rule: Rule, target: str, text: pa.Array) -> None:
        self._write(rule, target, cast(Cells(text, "text"), self.types[target]), lambda: text)

    # --- values, read once for all rules ---

    def _cells(self, name: str) -> Cells:
        if name not in self.columns:
            at = self.positions[name]
            array = self.batch.column(at)
            self.oversized[name] = _oversized(array, self.plan.max_cell_bytes)
            if self.oversized[name]:
                array = _blanked(array, self.oversized[name])
            self.columns[name] = cells(array, self.source[at].kind)
        return self.columns[name]

    def _nulls(self, name: str) -> int:
        return int(self.batch.column(self.positions[name]).null_count)

    def _text(self, name: str) -> pa.Array:
        if name not in self.texts:
            self.texts[name] = text_of(self._cells(name))
        return self.texts[name]

    # --- refusals ---

    def _refuse_oversized(self, rule: Rule) -> None:
        """Refuse the cells that are larger than a cell may be, before anything reads them."""
        for name in rule.source_columns:
            self._cells(name)
            refused = dict.fromkeys(self.oversized[name], "value_too_large")
            raw = self.batch.column(self.positions[name])
            self._refuse(rule, rule.target_fields[0], refused, raw)

    def _write(self, rule: Rule, target: str, found: Cast, text: Callable[[], pa.Array]) -> None:
        self.written[target] = found.values
        if found.refused:
            self._refuse(rule, target, found.refused, text())

    def _refuse(self, rule: Rule, target: str, refused: dict[int, str], text: pa.Array) -> None:
        if not refused:
            return
        self.bad_rows.update(refused)
        rows = self.rows_of_rules.setdefault(rule.id, set())
        rows.update(refused)
        self.counts[rule.id].rejected = len(rows)
        told = sorted(refused)[: self.limit_entries]
        for at, value in zip(told, _shown(text, told), strict=True):
            self.entries.append(
                Rejected(
                    row=at + 1 if self.numbers is None else self.numbers[at].as_py(),
                    rule_id=rule.id,
                    source_columns=rule.source_columns,
                    target_field=target,
                    value=value,
                    code=refused[at],
                    message=sentence(refused[at], value, target, self.types[target]),
                )
            )


def _piece(pieces: pa.ListArray, lengths: pa.Array, at: int) -> pa.Array:
    """Return the piece at a position of each list, null where there are fewer."""
    there = pc.fill_null(pc.greater(lengths, at), False)
    starts = pieces.offsets[:-1] if len(pieces) else pa.array([], pa.int32())
    return pieces.values.take(pc.if_else(there, pc.add(starts, at), None))


def _oversized(array: pa.Array, limit_bytes: int) -> list[int]:
    if not _has_bytes(array.type) or array.nbytes <= limit_bytes:
        return []
    positions: list[int] = pc.indices_nonzero(
        pc.greater(pc.binary_length(array), limit_bytes)
    ).to_pylist()
    return positions


def _has_bytes(data_type: pa.DataType) -> bool:
    return any(
        is_kind(data_type)
        for is_kind in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _blanked(array: pa.Array, positions: list[int]) -> pa.Array:
    return pc.if_else(_marked(positions, len(array)), pa.scalar(None, array.type), array)


def _marked(positions: Iterable[int], length: int) -> pa.BooleanArray:
    mask = [False] * length
    for position in positions:
        mask[position] = True
    return pa.array(mask, pa.bool_())


def _shown(text: pa.Array, positions: list[int]) -> list[str | None]:
    """Return the beginnings of cells, as an entry shows them; binary as base64."""
    taken = text.take(pa.array(positions, pa.int64()))
    if _is_binary(taken.type):
        heads = pc.binary_slice(taken, 0, SHOWN_CHARACTERS).to_pylist()
        return [None if head is None else shown(base64.b64encode(head).decode()) for head in heads]
    values: list[str | None] = pc.utf8_slice_codeunits(taken, 0, SHOWN_CHARACTERS).to_pylist()
    return values


def _is_binary(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type))
