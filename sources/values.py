"""Turn what a database sends into JSON that says exactly the same.

JSON's numbers reach a browser as 64-bit floats: whole numbers beyond 2^53 and fractions that a
float cannot hold would arrive changed, so they travel as text. docs/values.md has the whole
table.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from sources.contract import Json
from sources.errors import AnswerTooLarge

MAX_CELL_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_WIRE_BYTES = 32 * 1024 * 1024
MAX_JSON_DEPTH = 64
AHEAD_ROWS = 100
AHEAD_BYTES = 64 * 1024
_WHOLE = 2**53
_WORST_GROWTH = 6  # a control character of one byte becomes six in JSON
_UNREADABLE = (ValueError, IndexError, OverflowError, RecursionError)
_SURROGATE = re.compile("[\ud800-\udfff]")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[ T](\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d(?::?\d\d){0,2})?")

# What most of them are: after the year 1, without a zone.
_PLAIN_DATETIME = re.compile(
    rb"(?!0000)\d{4}-(?!00)\d\d-(?!00)\d\d \d\d:\d\d:\d\d(?:\.\d+)?"
).fullmatch

Reader = Callable[[bytes], Json]
Cells = Sequence[bytes | None]


def text(raw: bytes) -> str:
    """Return UTF-8 as text; bytes that are not (a database without an encoding) show as \\xNN."""
    if len(raw) > MAX_CELL_BYTES:
        return cut_text(raw)
    return raw.decode("utf-8", "backslashreplace")


def full_text(raw: bytes) -> str:
    """Return all of it as text, as `text` reads it."""
    return raw.decode("utf-8", "backslashreplace")


def read_rows(
    rows: Iterable[tuple[Cells, int]], readers: Sequence[Reader]
) -> Iterator[tuple[list[Json], int]]:
    """Yield rows with their cells read, and the bytes that each had on the wire.

    Up to 100 rows, or 64 KiB, are read ahead: a column at a time takes half the time of a row at a
    time. A cell in a form that its reader does not know stays text.
    """
    for ahead in _parts(rows):
        if not readers:
            yield from (([], size) for _, size in ahead)
            continue
        columns = zip(*(cells for cells, _ in ahead), strict=True)
        read = [_column(one, cells) for one, cells in zip(readers, columns, strict=True)]
        for cells, (_, size) in zip(zip(*read, strict=True), ahead, strict=True):
            yield list(cells), size


def _parts(rows: Iterable[tuple[Cells, int]]) -> Iterator[list[tuple[Cells, int]]]:
    part: list[tuple[Cells, int]] = []
    total = 0
    for row in rows:
        part.append(row)
        total += row[1]
        if len(part) == AHEAD_ROWS or total >= AHEAD_BYTES:
            yield part
            part, total = [], 0
    if part:
        yield part


def _column(read: Reader, cells: Cells) -> list[Json]:
    try:
        return [None if cell is None else read(cell) for cell in cells]
    except _UNREADABLE:
        return [None if cell is None else _tolerant(read, cell) for cell in cells]


def _tolerant(read: Reader, cell: bytes) -> Json:
    try:
        return read(cell)
    except _UNREADABLE:
        return text(cell)


def cut_text(raw: bytes) -> str:
    """Return the first 64 KiB, whole characters, and the mark of a cut."""
    return raw[:MAX_CELL_BYTES].decode("utf-8", "ignore") + cut_mark(len(raw))


def cut_mark(size: int) -> str:
    return f"…[cut: {size} bytes]"


def binary(raw: bytes) -> str:
    """Return base64; past 64 KiB that of the first 65,535 bytes, and the mark of a cut."""
    if len(raw) > MAX_CELL_BYTES:
        return base64.b64encode(raw[: MAX_CELL_BYTES - 1]).decode() + cut_mark(len(raw))
    return base64.b64encode(raw).decode()


def full_binary(raw: bytes) -> str:
    """Return all of it as base64."""
    return base64.b64encode(raw).decode()


def whole(raw: bytes) -> Json:
    """Return a number up to ±2^53, text beyond."""
    number = int(raw)
    return number if -_WHOLE <= number <= _WHOLE else raw.decode()


def floating(raw: bytes) -> Json:
    """Return a finite float, or the text of what JSON has no number for."""
    number = float(raw)
    return number if math.isfinite(number) else raw.decode()


def timestamp(raw: bytes) -> str:
    """Return ISO 8601 with a T and a full offset; infinity, BC and zero dates as they are."""
    if _PLAIN_DATETIME(raw):
        return raw.decode().replace(" ", "T")
    written = raw.decode()
    match = _DATETIME.fullmatch(written)
    if not match or written.startswith("0000") or "-00" in written[:10]:
        return written
    return f"{written[:10]}T{match[1]}{full_offset(match[2])}"


def full_offset(offset: str | None) -> str:
    """Return +02 as +02:00, which is ISO 8601's extended form."""
    if offset is None:
        return ""
    return offset + ":00" if len(offset) == 3 else offset


def json_value(raw: bytes) -> Json:
    """Return JSON as JSON, its numbers by the rule for numbers; text where that is not exact."""
    if len(raw) > MAX_CELL_BYTES:
        return cut_text(raw)
    written = raw.decode("utf-8", "backslashreplace")
    try:
        value = json.loads(
            written, parse_int=_json_whole, parse_float=_json_fraction, parse_constant=str
        )
    except (ValueError, RecursionError):
        return written
    if _depth(value) > MAX_JSON_DEPTH:
        return written
    return _without_surrogates(value) if "\\u" in written else value


def _json_whole(written: str) -> Json:
    if len(written) > 17:
        return written
    number = int(written)
    return number if -_WHOLE <= number <= _WHOLE else written


def _json_fraction(written: str) -> Json:
    """Return a float where it is the very number that is written, else the text."""
    number = float(written)
    try:
        exact = math.isfinite(number) and Decimal(repr(number)) == Decimal(written)
    except InvalidOperation:
        exact = False
    return number if exact else written


def _depth(value: Json) -> int:
    """Return how deep lists and objects nest, without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            waiting.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)
    return deepest


def _without_surrogates(value: Json) -> Json:
    """Replace half a surrogate pair, which JSON can spell but UTF-8 cannot hold."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


@dataclass
class Budget:
    """Collects rows until the limit of rows or of bytes is reached.

    Most answers are far below the limit of bytes: rows are only written out and counted once a
    worst case could pass it.
    """

    limit_rows: int
    rows: list[list[Json]] = field(default_factory=list)
    truncated: bool = False
    _worst: int = 0
    _exact: int | None = None

    def add_all(self, rows: Iterable[tuple[list[Json], int]]) -> None:
        """Take rows, and the bytes each had on the wire, until no more fit."""
        for row, wire_bytes in rows:
            if wire_bytes > MAX_WIRE_BYTES and not self.rows:
                raise too_large()
            if len(self.rows) >= self.limit_rows or not self._fits(row, wire_bytes):
                self.truncated = True
                return
            self.rows.append(row)

    def _fits(self, row: list[Json], wire_bytes: int) -> bool:
        self._worst += wire_bytes * _WORST_GROWTH + 8 * len(row)
        if self._worst <= MAX_ANSWER_BYTES:
            return True
        if self._exact is None:
            self._exact = sum(map(_written_bytes, self.rows))
        self._exact += _written_bytes(row)
        if self._exact > MAX_ANSWER_BYTES and not self.rows:
            raise AnswerTooLarge(
                "The first row alone is larger than the 4 MiB that an answer may have.",
                hint="Select fewer columns.",
                stage="query",
            )
        return self._exact <= MAX_ANSWER_BYTES


def too_large() -> AnswerTooLarge:
    """Return the error for a query that sends more than a preview reads."""
    megabytes = MAX_WIRE_BYTES // (1024 * 1024)
    return AnswerTooLarge(
        f"The query's answer is larger than the {megabytes} MiB that a preview reads.",
        hint="Select fewer or shorter columns, for example left(column, 1000).",
        stage="query",
    )


def _written_bytes(row: list[Json]) -> int:
    return len(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")) + 1
