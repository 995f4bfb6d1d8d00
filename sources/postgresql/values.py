"""PostgreSQL's text forms as JSON, and the schema type that fits each of its types."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sources import values
from sources.contract import Json
from sources.values import Reader

_ESCAPED = re.compile(rb"\\(\\|[0-7]{3})")
_TIMETZ = re.compile(r"(\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d(?::?\d\d){0,2})")


def boolean(raw: bytes) -> bool:
    return raw == b"t"


def bytea(raw: bytes) -> str:
    """Read either form, as the session's bytea_output has it; a long hex is cut before decoding."""
    if not raw.startswith(b"\\x"):
        return values.binary(_ESCAPED.sub(_unescaped, raw))
    size = (len(raw) - 2) // 2
    if size <= values.MAX_CELL_BYTES:
        return values.binary(bytes.fromhex(raw[2:].decode()))
    kept = bytes.fromhex(raw[2 : 2 * values.MAX_CELL_BYTES].decode())
    return base64.b64encode(kept).decode() + values.cut_mark(size)


def _unescaped(found: re.Match[bytes]) -> bytes:
    return b"\\" if found[1] == b"\\" else bytes([int(found[1], 8)])


def timetz(raw: bytes) -> str:
    written = raw.decode()
    match = _TIMETZ.fullmatch(written)
    return f"{match[1]}{values.full_offset(match[2])}" if match else written


_TEXTS = [
    "text", "varchar", "bpchar", "char", '"char"', "name", "uuid", "inet", "cidr", "macaddr",
    "macaddr8", "xml", "time", "interval", "bit", "varbit", "money", "tsvector", "tsquery",
    "pg_lsn", "jsonpath", "refcursor", "unknown", "regclass", "regtype", "regproc", "regprocedure",
    "regoper", "regoperator", "regrole", "regnamespace", "regconfig", "regdictionary", "aclitem",
    "tid",
]  # fmt: skip
# PostgreSQL's name of a type: how to read it, and which schema type fits.
_KINDS: dict[str, tuple[Reader, str | None]] = {
    "bool": (boolean, "boolean"),
    **dict.fromkeys(
        ("int2", "int4", "int8", "oid", "xid", "cid", "xid8"), (values.whole, "integer")
    ),
    **dict.fromkeys(("float4", "float8"), (values.floating, "float")),
    "numeric": (values.text, "float"),
    "date": (values.text, "date"),
    **dict.fromkeys(("timestamp", "timestamptz"), (values.timestamp, "timestamp")),
    "timetz": (timetz, "string"),
    "bytea": (bytea, None),
    **dict.fromkeys(("json", "jsonb"), (values.json_value, None)),
    **dict.fromkeys(_TEXTS, (values.text, "string")),
}
_OTHER: tuple[Reader, str | None] = (values.text, None)

_LEARN = """
SELECT oid, CASE WHEN typnamespace = 'pg_catalog'::regnamespace THEN typname END,
  typcategory, typelem, typdelim, typbasetype
FROM pg_catalog.pg_type WHERE oid IN ({oids})
"""


@dataclass
class TypeNames:
    """What this database has told about the types that came up so far."""

    kinds: dict[int, tuple[Reader, str | None]] = field(default_factory=dict)
    arrays: dict[int, tuple[int, str]] = field(default_factory=dict)

    def learn(self, oids: Iterable[int], ask: Callable[[str], list[list[str | None]]]) -> None:
        """Look up the types not yet known, and those of their elements."""
        unknown = {oid for oid in oids if self._unknown(oid)}
        for _ in range(4):  # an array of a domain over an enumeration is three steps
            if not unknown:
                return
            rows = ask(_LEARN.format(oids=",".join(map(str, sorted(unknown)))))
            unknown = {oid for oid in map(self._take, rows) if oid and self._unknown(oid)}

    def _unknown(self, oid: int) -> bool:
        return oid not in self.kinds and oid not in self.arrays

    def _take(self, row: list[str | None]) -> int:
        """Remember one row of pg_type; return the type that it is made of, or 0."""
        oid, element, base = int(row[0] or 0), int(row[3] or 0), int(row[5] or 0)
        if row[2] == "A" and element:
            self.arrays[oid] = (element, row[4] or ",")
            return element
        if base:
            self.arrays[oid] = (base, "")
            return base
        other = (values.text, "string") if row[2] in ("E", "S") else _OTHER
        self.kinds[oid] = _KINDS.get(row[1], _OTHER) if row[1] else other
        return 0

    def array(self, oid: int) -> tuple[int, str] | None:
        return self.arrays.get(oid)

    def kind(self, oid: int) -> tuple[Reader, str | None]:
        return self.kinds.get(oid, _OTHER)


def converter(oid: int, types: TypeNames) -> Reader:
    """Return the function that reads a cell of type `oid`."""
    element = types.array(oid)
    if element is None:
        return types.kind(oid)[0]
    read = converter(element[0], types)
    if not element[1]:  # a domain, which reads as what it is made of
        return read
    return lambda raw: array(raw, read, element[1])


def column_type(oid: int, types: TypeNames) -> str | None:
    """Return the schema type that fits, or None (arrays, JSON, binary, ranges, geometry)."""
    element = types.array(oid)
    if element is None:
        return types.kind(oid)[1]
    return None if element[1] else column_type(element[0], types)


_ITEM = (
    r"""(?P<open>\{{)|(?P<close>\}})|(?P<sep>{sep})"""
    r"""|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^{{}}"{sep}]+)"""
)
_ITEMS = {sep: re.compile(_ITEM.format(sep=sep), re.DOTALL) for sep in (",", ";")}
_BOUNDS = re.compile(r"(?:\[-?\d+:-?\d+\])+=")


def array(raw: bytes, read: Reader, separator: str = ",") -> Json:
    """Read {1,NULL,"a"}, nested ones too, as lists; one with bounds keeps its exact text."""
    written = values.text(raw)
    if len(raw) > values.MAX_CELL_BYTES or _BOUNDS.match(written):
        return written
    top: list[Json] = []
    stack = [top]
    for item in _ITEMS[separator].finditer(written):
        if item["open"]:
            stack[-1].append([])
            stack.append(stack[-1][-1])
        elif item["close"]:
            stack.pop()
        elif item["quoted"] is not None:
            stack[-1].append(
                read(re.sub(r"\\(.)", r"\1", item["quoted"], flags=re.DOTALL).encode())
            )
        elif item["bare"] is not None:
            stack[-1].append(None if item["bare"] == "NULL" else read(item["bare"].encode()))
    return top[0]
