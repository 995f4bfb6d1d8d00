"""The table of values, cell by cell and as whole columns."""

import math

import pyarrow as pa
import pytest

from engine.cast import cast, cells
from engine.kinds import DATA_TYPES, KINDS

from .table import BLOCKS

NATIVE = {
    "integer": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "tinyint1": pa.int8(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "time": pa.time64("us"),
    "binary": pa.binary(),
}
ROWS = [
    (kind, value, data_type, expected)
    for kind, data_type, block in BLOCKS
    for value, expected in block.items()
]


def column(values, kind):
    storage = pa.string() if isinstance(values[0], str) else NATIVE[kind]
    return cells(pa.array(values, storage), kind)


def found(result, position):
    if position in result.refused:
        assert result.values[position].as_py() is None
        return ("refused", result.refused[position])
    return result.values[position].as_py()


def same(left, right):
    """Tell NaN as equal to itself, and 0.0 from -0.0 and from 0."""
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    return type(left) is type(right) and left == right


@pytest.mark.parametrize(("kind", "value", "data_type", "expected"), ROWS)
def test_a_value_becomes_what_the_table_says(kind, value, data_type, expected):
    assert same(found(cast(column([value], kind), data_type), 0), expected)


@pytest.mark.parametrize(
    ("kind", "data_type", "block"), BLOCKS, ids=[f"{kind}-{to}" for kind, to, _ in BLOCKS]
)
@pytest.mark.parametrize("of_text", [True, False], ids=["text", "values"])
def test_a_value_becomes_the_same_in_a_column_of_all(kind, data_type, block, of_text):
    values = [value for value in block if isinstance(value, str) is of_text]
    if values:
        result = cast(column([*values, None], kind), data_type)
        off = [
            (value, found(result, at), block[value])
            for at, value in enumerate(values)
            if not same(found(result, at), block[value])
        ]
        assert off == []
        assert found(result, len(values)) is None


@pytest.mark.parametrize("data_type", DATA_TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_null_stays_null_and_an_empty_column_empty(kind, data_type):
    for storage in {
        pa.string() if kind != "binary" else pa.binary(),
        NATIVE.get(kind, pa.string()),
    }:
        result = cast(cells(pa.nulls(2, storage), kind), data_type)
        assert (result.values.to_pylist(), result.refused) == ([None, None], {})
        assert len(cast(cells(pa.array([], storage), kind), data_type).values) == 0


def test_a_slice_of_a_column_reads_as_the_column():
    whole = pa.array(["1", "x", "+5", None, "5.5", "7"])
    result = cast(cells(whole.slice(2, 3), "text"), "integer")
    assert result.values.to_pylist() == [5, None, None]
    assert result.refused == {2: "not_whole"}


def test_large_whole_numbers_of_a_driver_keep_their_digits():
    unsigned = pa.array([2**64 - 1], pa.uint64())
    assert cast(cells(unsigned, "integer"), "string").values.to_pylist() == ["18446744073709551615"]


def test_text_of_any_of_arrows_types_is_text():
    for storage in (pa.large_string(), pa.string_view()):
        for kind in ("text", "integer", "date"):
            result = cast(cells(pa.array([None, "7"], storage), kind), "string")
            assert result.values.to_pylist() == [None, "7"]


def test_a_cell_of_many_digits_is_read_in_a_moment():
    digits = pa.array(["9" * 1_000_000, "0" * 1_000_000 + "7", "1" + "0" * 5000 + "e-5000"])
    result = cast(cells(digits, "text"), "integer")
    assert result.refused == {0: "out_of_range"}
    assert result.values.to_pylist() == [None, 7, 1]
