"""Whole columns as the types of target fields, by the rules of `grammar`.

Arrow's own casts are fast, and too lax or too strict at the edges: they take `0x1F` for a number
and `1e400` for infinity, and refuse `+5` and `1e3`. So a regular expression says which cells are
of the usual form, Arrow casts these, and `grammar` looks at the others one by one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine import grammar
from engine.grammar import SPACE, Refused

TIMESTAMP = pa.timestamp("us", "UTC")
ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": TIMESTAMP,
}

# What Arrow casts exactly as `grammar` does; everything else is looked at cell by cell.
_INTEGER = r"^-?[0-9]{1,18}$"
_FLOAT = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_DAY = (  # without the first thousand years and 29 February of whole centuries
    r"(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|[1-9][0-9](?:0[48]|[2468][048]|[13579][26])-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_USUAL_DAY = f"^{_DAY}$"
_USUAL_LOCAL = f"^{_DAY}(?:[T ]{_CLOCK})?$"
# The first and last days of Arrow's and Python's years could leave these by their offset.
_USUAL_ZONED = f"^{_DAY}[T ]{_CLOCK}{_ZONE}$"
_LAST_DAY = "9999-12-31"
# A moment as a database writes it, without its zone.
_WRITTEN = f"^{_DAY}[T ][0-9:]{{8}}(?:\\.[0-9]{{1,6}})?$"
_ENDS_IN_UTC = r"(?:Z|[+-]00(?::?00)?)$"
_MANY_DIGITS = 1e15

_WORDS = pa.array([*grammar.TRUE_WORDS, *grammar.FALSE_WORDS])


@dataclass(frozen=True, slots=True)
class Cells:
    """A source column's cells, in one Arrow type for each form.

    `form` is `whole` (int64), `number` (exact text), `float` (double), `boolean`, `tinyint1`
    (int64), `day` and `moment` (a database's text), `date`, `timestamp`, `binary` or `text`.
    `zoned` is for moments.
    """

    array: pa.Array
    form: str
    zoned: bool = False


@dataclass(frozen=True, slots=True)
class Cast:
    """A field's values, null where one was refused, and the code of each refusal by position."""

    values: pa.Array
    refused: dict[int, str]


def cast(column: Cells, data_type: str) -> Cast:
    """Return a column's cells as values of a field of this type."""
    return _CASTS[data_type](column)


# --- from kinds to forms ---


def cells(array: pa.Array, kind: str) -> Cells:
    """Return a batch's column in the form of its kind; `kinds` tells what may come."""
    if kind in ("text", "record", "decimal", "json", "time"):
        return _READERS[kind](array.cast(pa.string()))
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return _READERS[kind](array)


def _whole(array: pa.Array) -> Cells:
    if pa.types.is_string(array.type):
        return Cells(array, "number")
    if pa.types.is_uint64(array.type):  # beyond int64, which is no error for text
        return Cells(array.cast(pa.string()), "number")
    return Cells(array.cast(pa.int64()), "whole")


def _floating(array: pa.Array) -> Cells:
    # A 32-bit float counts by its own shortest digits: 0.1 is 0.1, not 0.10000000149011612.
    if pa.types.is_float32(array.type):
        array = array.cast(pa.string())
    return Cells(array.cast(pa.float64()), "float")


def _boolean(array: pa.Array) -> Cells:
    if pa.types.is_string(array.type):
        array = _true_or_false(array)
    return Cells(array, "boolean")


def _moment(array: pa.Array, zoned: bool) -> Cells:
    if pa.types.is_string(array.type):
        return Cells(array, "moment", zoned)
    cut = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    return Cells(cut.cast(TIMESTAMP), "timestamp", zoned)


def _json(array: pa.Array) -> Cells:
    compact = pc.replace_substring_regex(array, r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+', r"\1")
    return Cells(
        _by_hand(compact, pc.match_substring(compact, "\\u"), grammar.compact_json), "text"
    )


_READERS: dict[str, Callable[[pa.Array], Cells]] = {
    "integer": _whole,
    "decimal": lambda array: Cells(array, "number"),
    "float32": _floating,
    "float64": _floating,
    "boolean": _boolean,
    "tinyint1": lambda array: Cells(array.cast(pa.int64()), "tinyint1"),
    "date": lambda array: Cells(array, "day" if pa.types.is_string(array.type) else "date"),
    "timestamp": lambda array: _moment(array, zoned=False),
    "timestamptz": lambda array: _moment(array, zoned=True),
    "time": lambda array: Cells(without_zeros(array), "text"),
    "binary": lambda array: Cells(array, "binary"),
    "json": _json,
    "record": lambda array: Cells(array, "text"),
    "text": lambda array: Cells(array, "text"),
}


# --- the text of a value ---


def text_of(column: Cells) -> pa.Array:
    """Return each cell's text, which is what `string`, `split` and `join` take."""
    return _TEXTS[column.form](column)


def _float_text(column: Cells) -> pa.Array:
    numbers = column.array
    written = numbers.cast(pa.string())
    size = pc.abs(numbers)
    whole = pc.and_(
        pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less(size, _MANY_DIGITS)),
        pc.not_equal(written, "-0"),
    )
    digits = pc.if_else(whole, numbers, 0.0).cast(pa.int64()).cast(pa.string())
    usual = pc.and_(
        pc.and_(pc.greater_equal(size, 1e-4), pc.is_finite(numbers)),
        pc.invert(pc.match_substring(written, "e")),
    )
    written = pc.if_else(whole, digits, written)
    return _by_hand(written, pc.invert(pc.or_(whole, usual)), grammar.floating_text, numbers)


def _tinyint1_text(column: Cells) -> pa.Array:
    small = pc.is_in(column.array, value_set=pa.array([0, 1]))
    words = pc.equal(column.array, 1).cast(pa.string())
    return pc.if_else(small, words, column.array.cast(pa.string()))


def _moment_text(column: Cells) -> pa.Array:
    text = column.array
    if not pa.types.is_string(text.type):
        text = text.cast(pa.timestamp("us")).cast(pa.string())
    local = pc.replace_substring_regex(text, _ENDS_IN_UTC, "") if column.zoned else text
    usual = pc.match_substring_regex(local, _WRITTEN)
    iso = without_zeros(pc.binary_replace_slice(local, 10, 11, "T"))
    if column.zoned:
        iso = pc.binary_join_element_wise(iso, "Z", "")
    return _by_hand(
        iso, pc.invert(usual), lambda cell: grammar.moment_text(cell, column.zoned), text
    )


def without_zeros(text: pa.Array) -> pa.Array:
    """Return times without the zeros at the end of a fraction."""
    fraction = pc.match_substring(text, ".")
    if not pc.any(fraction).as_py():
        return text
    return pc.if_else(fraction, pc.ascii_rtrim(pc.ascii_rtrim(text, "0"), "."), text)


def _base64(column: Cells) -> pa.Array:
    encoded = [
        None if cell is None else base64.b64encode(cell).decode()
        for cell in column.array.to_pylist()
    ]
    return pa.array(encoded, pa.string())


def _as_it_is(column: Cells) -> pa.Array:
    return column.array.cast(pa.string())


_TEXTS: dict[str, Callable[[Cells], pa.Array]] = {
    "whole": _as_it_is,
    "number": _as_it_is,
    "float": _float_text,
    "boolean": _as_it_is,
    "tinyint1": _tinyint1_text,
    "day": _as_it_is,
    "date": _as_it_is,
    "moment": _moment_text,
    "timestamp": _moment_text,
    "binary": _base64,
    "text": _as_it_is,
}


# --- the types of fields ---


def _to_string(column: Cells) -> Cast:
    return Cast(text_of(column), {})


def _to_integer(column: Cells) -> Cast:
    match column.form:
        case "whole" | "tinyint1":
            return Cast(column.array, {})
        case "boolean":
            return Cast(column.array.cast(pa.int64()), {})
        case "float":
            return _whole_floats(column.array)
        case "number" | "text":
            return _integers(_tidy(column.array))
    return _never(column, "integer")


def _to_float(column: Cells) -> Cast:
    match column.form:
        case "whole":
            return Cast(column.array.cast(pa.float64(), safe=False), {})
        case "tinyint1":
            truths = pc.is_in(column.array, value_set=pa.array([0, 1]))
            return _without(column.array.cast(pa.float64()), truths, "impossible_cast")
        case "float":
            return Cast(column.array, {})
        case "number" | "text":
            return _floats(_tidy(column.array))
    return _never(column, "float")


def _to_boolean(column: Cells) -> Cast:
    match column.form:
        case "boolean":
            return Cast(column.array, {})
        case "whole" | "tinyint1" | "float":
            truths = pc.equal(column.array, 1)
            # Arrow's is_in and its kin tell -0.0 from 0.
            known = pc.fill_null(pc.or_(truths, pc.equal(column.array, 0)), False)
            return _without(truths, pc.invert(known), "not_a_boolean")
        case "number":
            return _booleans(_tidy(column.array), pa.array(["1", "0"]), grammar.boolean_of_number)
        case "text":
            return _booleans(pc.ascii_lower(_tidy(column.array)), _WORDS, grammar.boolean)
    return _never(column, "boolean")


def _to_date(column: Cells) -> Cast:
    match column.form:
        case "date":
            return Cast(column.array, {})
        case "timestamp":
            return Cast(column.array.cast(pa.date32()), {})
        case "day" | "moment" | "text":
            return _days(_tidy(column.array))
    return _never(column, "date")


def _to_timestamp(column: Cells) -> Cast:
    match column.form:
        case "timestamp":
            return Cast(column.array, {})
        case "date":
            return Cast(column.array.cast(pa.timestamp("us")).cast(TIMESTAMP), {})
        case "day" | "moment" | "text":
            return _moments(_tidy(column.array))
    return _never(column, "timestamp")


_CASTS: dict[str, Callable[[Cells], Cast]] = {
    "string": _to_string,
    "integer": _to_integer,
    "float": _to_float,
    "boolean": _to_boolean,
    "date": _to_date,
    "timestamp": _to_timestamp,
}


def _never(column: Cells, data_type: str) -> Cast:
    values = pa.nulls(len(column.array), ARROW_TYPES[data_type])
    return Cast(values, dict.fromkeys(_positions(column.array.is_valid()), "impossible_cast"))


def _tidy(text: pa.Array) -> pa.Array:
    """Return text without white space around, null where nothing is left."""
    trimmed = pc.ascii_trim(text, SPACE)
    blank = pc.equal(trimmed, "")
    if not pc.any(blank).as_py():
        return trimmed
    return pc.if_else(blank, pa.scalar(None, pa.string()), trimmed)


def _integers(text: pa.Array) -> Cast:
    usual = pc.match_substring_regex(text, _INTEGER)
    return _usual_then_others(text, usual, pa.int64(), grammar.integer)


def _whole_floats(numbers: pa.Array) -> Cast:
    fits = pc.and_(pc.less(numbers, 2.0**63), pc.greater_equal(numbers, -(2.0**63)))
    whole = pc.and_(fits, pc.equal(pc.floor(numbers), numbers))
    if _all(whole):
        return Cast(numbers.cast(pa.int64()), {})
    values = pc.if_else(whole, numbers, None).cast(pa.int64())
    positions = _positions(pc.invert(whole))
    refused = numbers.take(pa.array(positions, pa.int64())).to_pylist()
    return Cast(values, dict(zip(positions, map(_why_not_whole, refused), strict=True)))


def _why_not_whole(number: float) -> str:
    if number != number:
        return "not_a_number"
    return "out_of_range" if abs(number) >= 2.0**63 else "not_whole"


def _floats(text: pa.Array) -> Cast:
    usual = pc.match_substring_regex(text, _FLOAT)
    numbers = pc.if_else(usual, text, None) if not _all(usual) else text
    values = numbers.cast(pa.float64())
    too_large = pc.fill_null(pc.is_inf(values), False)
    return _others(values, text, pc.or_(pc.invert(usual), too_large), grammar.floating)


def _booleans(text: pa.Array, words: pa.Array, read: Callable[[str], bool]) -> Cast:
    position = pc.index_in(text, value_set=words)
    values = pc.less(position, len(words) // 2)
    return _others(values, text, pc.and_(text.is_valid(), position.is_null()), read)


def _true_or_false(text: pa.Array) -> pa.Array:
    return pc.less(pc.index_in(text, value_set=_WORDS), len(grammar.TRUE_WORDS))


def _days(text: pa.Array) -> Cast:
    usual = pc.match_substring_regex(text, _USUAL_DAY)
    if _all(usual):
        return Cast(text.cast(pa.date32()), {})
    moments, others = _usual_moments(text)
    return _others(moments.cast(pa.date32()), text, others, grammar.day)


def _moments(text: pa.Array) -> Cast:
    moments, others = _usual_moments(text)
    return _others(moments, text, others, grammar.timestamp)


def _usual_moments(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return what Arrow reads as it should, in UTC, and which cells are left."""
    local = pc.match_substring_regex(text, _USUAL_LOCAL)
    if _all(local):
        return text.cast(pa.timestamp("us")).cast(TIMESTAMP), pc.invert(local)
    zoned = pc.and_(
        pc.match_substring_regex(text, _USUAL_ZONED),
        pc.invert(pc.starts_with(text, _LAST_DAY)),
    )
    without = pc.if_else(local, text, None).cast(pa.timestamp("us")).cast(TIMESTAMP)
    within = pc.if_else(zoned, text, None).cast(TIMESTAMP)
    return pc.coalesce(without, within), pc.invert(pc.or_(local, zoned))


def _usual_then_others(
    text: pa.Array, usual: pa.Array, data_type: pa.DataType, read: Callable[[str], Any]
) -> Cast:
    if _all(usual):
        return Cast(text.cast(data_type), {})
    values = pc.if_else(usual, text, None).cast(data_type)
    return _others(values, text, pc.invert(usual), read)


def _others(values: pa.Array, text: pa.Array, others: pa.Array, read: Callable[[str], Any]) -> Cast:
    """Read the other cells one by one; null in `others` is a null cell."""
    positions = _positions(others)
    if not positions:
        return Cast(values, {})
    found: list[Any] = []
    refused: dict[int, str] = {}
    for position, cell in zip(positions, text.take(pa.array(positions)).to_pylist(), strict=True):
        try:
            found.append(read(cell))
        except Refused as why:
            found.append(None)
            refused[position] = why.code
    read_cells = pa.array(found, values.type)
    return Cast(pc.replace_with_mask(values, pc.fill_null(others, False), read_cells), refused)


def _without(values: pa.Array, bad: pa.Array, code: str) -> Cast:
    bad = pc.and_(bad, values.is_valid())
    positions = _positions(bad)
    if not positions:
        return Cast(values, {})
    return Cast(pc.if_else(bad, None, values), dict.fromkeys(positions, code))


def _by_hand(
    written: pa.Array,
    which: pa.Array,
    write: Callable[[Any], str],
    cells_of: pa.Array | None = None,
) -> pa.Array:
    """Return `written`, with the cells that are marked written one by one from their values."""
    positions = _positions(which)
    if not positions:
        return written
    cells_of = written if cells_of is None else cells_of
    by_hand = [write(cell) for cell in cells_of.take(pa.array(positions)).to_pylist()]
    return pc.replace_with_mask(written, pc.fill_null(which, False), pa.array(by_hand, pa.string()))


def _all(mask: pa.Array) -> bool:
    """Tell whether every cell that is not null is marked."""
    return bool(pc.all(mask, min_count=0).as_py())


def _positions(mask: pa.Array) -> list[int]:
    positions: list[int] = pc.indices_nonzero(mask).to_pylist() if pc.any(mask).as_py() else []
    return positions
