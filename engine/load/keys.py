"""Keys of rows as one column, and which rows give way to others with the same key."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from engine.load.contract import Refusal


def key_column(rows: pa.RecordBatch | pa.Table, names: Sequence[str]) -> pa.Array:
    """Return each row's key as one value: equal keys have equal ones, others do not."""
    if len(names) == 1:
        return _comparable(_one(rows.column(names[0])))
    texts = [_comparable(_one(rows.column(name))).cast(pa.string()) for name in names]
    sizes = [pc.binary_length(text).cast(pa.string()) for text in texts]
    parts = [part for pair in zip(sizes, texts, strict=True) for part in pair]
    return pc.binary_join_element_wise(*parts, ":")


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _comparable(values: pa.Array) -> pa.Array:
    # By their texts floats are equal to themselves, NaN too; -0.0 becomes 0.0 before.
    return pc.add(values, 0.0).cast(pa.string()) if pa.types.is_floating(values.type) else values


def null_keys(rows: pa.RecordBatch, names: Sequence[str]) -> list[Refusal]:
    """Return a refusal for each row and key field that is null."""
    return [
        Refusal(position, name, None, "null_key")
        for name in names
        for position in pc.indices_nonzero(rows.column(name).is_null()).to_pylist()
    ]


def losers(keys: pa.Array, order: pa.Array | None) -> pa.Array:
    """Return a mask of the rows that give way: of one key the greatest order stays, or the last."""
    if pc.count_distinct(keys).as_py() == len(keys):
        return _nothing(len(keys))
    table = pa.table({"key": keys, "at": _numbers(len(keys))})
    if order is None:
        kept = table.group_by("key").aggregate([("at", "max")])["at_max"]
    else:
        kept = _greatest(table.append_column("order", order))
    return pc.invert(pc.is_in(table["at"], value_set=_one(kept))).combine_chunks()


def _greatest(table: pa.Table) -> pa.ChunkedArray:
    ranked = table.sort_by([("order", "ascending"), ("at", "ascending")])
    # Nulls sort to the end, and are the least.
    nulls = ranked["order"].is_valid()
    ranked = pa.concat_tables([ranked.filter(pc.invert(nulls)), ranked.filter(nulls)])
    ranked = ranked.append_column("rank", _numbers(ranked.num_rows))
    last = ranked.group_by("key").aggregate([("rank", "max")])["rank_max"]
    return ranked["at"].take(last)


def beaten(
    keys: pa.Array, order: pa.Array | None, later_keys: pa.Array, later_order: pa.Array | None
) -> tuple[pa.Array, pa.Array]:
    """Return which rows give way to later ones, and which of the later ones to them.

    `later_keys` are distinct.
    """
    position = pc.index_in(keys, value_set=later_keys)
    met = position.is_valid()
    if order is None or later_order is None:
        return met, _nothing(len(later_keys))
    theirs = later_order.take(position)
    greater = pc.and_(order.is_valid(), pc.fill_null(pc.greater(order, theirs), True))
    stay = pc.and_(met, greater)
    lost = pc.filter(position, stay).to_pylist()
    return pc.and_(met, pc.invert(greater)), _mask(len(later_keys), lost)


def _numbers(count: int) -> pa.Array:
    return pa.array(range(count), pa.int64())


def _nothing(count: int) -> pa.Array:
    return _mask(count, [])


def _mask(count: int, positions: Sequence[int]) -> pa.Array:
    mask = [False] * count
    for position in positions:
        mask[position] = True
    return pa.array(mask, pa.bool_())


def any_of(masks: Sequence[pa.Array]) -> pa.Array:
    """Return the rows that any mask marks."""
    return functools.reduce(pc.or_, masks)
