"""The cursor of a run: which rows it knows already, and which it has to know next time.

A run reads from the last value on, that value included, so that a row which came later with the
same value is not lost. The rows with that value that were there before are known by a digest of
all their columns, and left out as often as they were there.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.cast import Cells, cast, cells, text_of, without_zeros
from engine.kinds import SourceColumn
from engine.load.contract import Cursor
from engine.plan import Plan

# A cursor of exact numbers is compared with 38 digits on each side of the point.
_EXACT = pa.decimal256(76, 38)
# Bits of the column that a source adds behind the query's: which of the cursor's ends a row is at.
AFTER, UNTIL = 1, 2
_FITS = r"^-?[0-9]{1,38}(?:\.[0-9]*)?$"
_FAR_NUMBERS = (
    (r"^NaN$", Decimal(10**38 - 1)),
    (r"^Infinity$", Decimal(10**38 - 2)),
    (r"^[0-9]{39}", Decimal(10**38 - 3)),
    (r"^-[0-9]{39}", Decimal(3 - 10**38)),
    (r"^-Infinity$", Decimal(2 - 10**38)),
)
_FAR_MOMENTS = (
    (r"^infinity$|^[0-9]{5}", datetime.max.replace(tzinfo=UTC)),
    (r"^-infinity$|BC$", datetime.min.replace(tzinfo=UTC)),
)


@dataclass
class Edge:
    """What a part knows of its cursor's edges, while its batches pass."""

    plan: Plan
    source: Sequence[SourceColumn]
    last: Cursor | None
    digests: list[str] = field(default_factory=list)
    nulls: int = 0

    def __post_init__(self) -> None:
        window = self.plan.cursor
        self._known = Counter(self.last.edge if self.last else ())
        self._column = next(
            (at for at, each in enumerate(self.source) if window and each.name == window.column), -1
        )

    def unknown(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        """Return which rows are not known from the last run; None is all of them.

        Keeps the digests of the rows at the new edge.
        """
        window = self.plan.cursor
        if window is None:
            return None
        self.nulls += self._cells(batch).array.null_count
        if window.until is not None:
            positions = self._positions(batch, window.until, UNTIL)
            self.digests += [digest for _, digest in self._digests(batch, positions)]
        if not self._known.total() or window.after is None:
            return None
        positions = self._positions(batch, window.after, AFTER)
        known = [at for at, digest in self._digests(batch, positions) if self._is_known(digest)]
        return _all_but(known, batch.num_rows) if known else None

    def order(self, batch: pa.RecordBatch) -> pa.Array | None:
        """Return the cursor's values as something that compares; None without a cursor."""
        return None if self.plan.cursor is None else _comparable(self._cells(batch))

    def _cells(self, batch: pa.RecordBatch) -> Cells:
        return cells(batch.column(self._column), self.source[self._column].kind)

    def _positions(self, batch: pa.RecordBatch, value: str, bit: int) -> pa.Array:
        """Return the positions of the rows whose cursor has a value."""
        if batch.num_columns == len(self.source):
            return _where(self._cells(batch), value)
        marks = batch.column(len(self.source))
        return pc.indices_nonzero(pc.equal(pc.bit_wise_and(marks, bit), bit))

    def _is_known(self, digest: str) -> bool:
        if not self._known[digest]:
            return False
        self._known[digest] -= 1
        return True

    def _digests(self, batch: pa.RecordBatch, positions: pa.Array) -> list[tuple[int, str]]:
        if not len(positions):
            return []
        few = batch.take(positions)
        columns = [
            text_of(cells(few.column(at), each.kind)).to_pylist()
            for at, each in enumerate(self.source)
        ]
        return list(
            zip(positions.to_pylist(), map(_digest, zip(*columns, strict=True)), strict=True)
        )


def _digest(row: Sequence[str | None]) -> str:
    """Return 32 hex digits that rows with other contents do not share."""
    hashed = hashlib.blake2b(digest_size=16)
    for text in row:
        content = b"" if text is None else text.encode()
        hashed.update(b"-:" if text is None else b"%d:" % len(content))
        hashed.update(content)
    return hashed.hexdigest()


def _where(column: Cells, text: str) -> pa.Array:
    """Return the positions of the cells that equal a value, which is given as its text."""
    texts, wanted = text_of(column), pa.array([text])
    if column.form == "number":  # 1.0 is 1.00
        texts, wanted = without_zeros(texts), without_zeros(wanted)
    if column.form == "float":  # -0 is 0
        texts, wanted = (pc.replace_substring_regex(each, "^-0$", "0") for each in (texts, wanted))
    return pc.indices_nonzero(pc.equal(texts, wanted[0]))


def _all_but(positions: list[int], count: int) -> pa.BooleanArray:
    mask = [True] * count
    for position in positions:
        mask[position] = False
    return pa.array(mask, pa.bool_())


def _comparable(column: Cells) -> pa.Array:
    """Return values that compare in every target as the cursor's do in its database."""
    match column.form:
        case "float":
            return _in_order(column.array)
        case "number":
            fits = pc.match_substring_regex(column.array, _FITS)
            cut = pc.replace_substring_regex(column.array, r"(\.[0-9]{38})[0-9]+$", r"\1")
            values = pc.if_else(fits, cut, None).cast(_EXACT)
            return _with_far(values, column.array, _FAR_NUMBERS)
        case "day" | "moment" | "date" | "timestamp":
            values = cast(column, "timestamp").values
            return _with_far(values, text_of(column), _FAR_MOMENTS)
    return column.array


def _in_order(floats: pa.Array) -> pa.Array:
    """Return whole numbers in the order of floats: not every target holds NaN, the greatest."""
    plain = pc.if_else(pc.is_nan(floats), math.nan, pc.add(floats, 0.0))  # one NaN, and no -0
    bits = plain.view(pa.int64())
    return pc.if_else(pc.less(bits, 0), pc.bit_wise_xor(bits, 2**63 - 1), bits)


def _with_far(values: pa.Array, texts: pa.Array, far: Sequence[tuple[str, Any]]) -> pa.Array:
    """Return values where those that are out of range stand at the end that they lie beyond."""
    if values.null_count == texts.null_count:
        return values
    for pattern, end in far:
        values = pc.if_else(
            pc.fill_null(pc.match_substring_regex(texts, pattern), False),
            pa.scalar(end, values.type),
            values,
        )
    return values
