"""Geometry: MySQL's stored form (four bytes of SRID, then well-known binary) as well-known text."""

from __future__ import annotations

import struct

_NAMES = {
    1: "POINT",
    2: "LINESTRING",
    3: "POLYGON",
    4: "MULTIPOINT",
    5: "MULTILINESTRING",
    6: "MULTIPOLYGON",
    7: "GEOMETRYCOLLECTION",
}
MAX_DEPTH = 32


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, form: str) -> tuple[float, ...]:
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def geometry(self, depth: int = 0) -> tuple[str, str]:
        """Return the name and the text in parentheses of the geometry that comes next."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        order = "<" if self.take("B")[0] else ">"
        kind = int(self.take(f"{order}I")[0])
        return _NAMES[kind], self.body(kind, order, depth)

    def body(self, kind: int, order: str, depth: int) -> str:
        if kind == 1:
            return f"({self.point(order)})"
        if kind == 2:
            return self.points(order)
        count = int(self.take(f"{order}I")[0])
        if kind == 3:
            parts = [self.points(order) for _ in range(count)]
        else:
            parts = [self.member(kind, depth) for _ in range(count)]
        return f"({','.join(parts)})" if parts else " EMPTY"

    def member(self, kind: int, depth: int) -> str:
        name, text = self.geometry(depth + 1)
        if kind == 4:
            return text.strip("()")
        return name + text if kind == 7 else text

    def points(self, order: str) -> str:
        count = int(self.take(f"{order}I")[0])
        return f"({','.join(self.point(order) for _ in range(count))})"

    def point(self, order: str) -> str:
        return " ".join(_number(value) for value in self.take(f"{order}dd"))


def _number(value: float) -> str:
    """Return the shortest text that reads back as `value`: 1 for 1.0, as the database writes it."""
    written = repr(value)
    return written.removesuffix(".0")


def to_text(stored: bytes) -> str:
    """Return WKT such as "POINT(1 2)".

    Raises ValueError, KeyError or struct.error for what is not a stored geometry.
    """
    reader = _Reader(stored[4:])
    name, text = reader.geometry()
    return name + text
