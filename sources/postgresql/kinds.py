"""What a type of PostgreSQL is to the rules that move rows: see `engine.kinds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

KINDS = {
    "bool": "boolean", "int2": "integer", "int4": "integer", "int8": "integer", "oid": "integer",
    "xid": "integer", "cid": "integer", "xid8": "integer", "float4": "float32",
    "float8": "float64", "numeric": "decimal", "date": "date", "timestamp": "timestamp",
    "timestamptz": "timestamptz", "time": "time", "bytea": "binary", "json": "json",
    "jsonb": "json",
}  # fmt: skip

_TYPES = """
WITH RECURSIVE found(oid, base) AS (
  SELECT oid, oid FROM pg_catalog.pg_type WHERE oid IN ({oids})
  UNION ALL
  SELECT found.oid, t.typbasetype FROM found
  JOIN pg_catalog.pg_type t ON t.oid = found.base WHERE t.typtype = 'd'
)
SELECT found.oid, t.typname, t.typcategory = 'A', t.typtype = 'e',
  t.typtype = 'c' OR t.typname = 'record', pg_catalog.format_type(t.oid, NULL)
FROM found JOIN pg_catalog.pg_type t ON t.oid = found.base WHERE t.typtype <> 'd'
"""


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """A type, or what a domain is made of. `written` is its name in SQL."""

    name: str
    is_array: bool
    is_enumeration: bool
    is_record: bool
    written: str

    @property
    def kind(self) -> str:
        if self.is_record:
            return "record"
        return "json" if self.is_array else KINDS.get(self.name, "text")


def types_of(
    oids: Iterable[int], ask: Callable[[str], list[list[str | None]]]
) -> dict[int, TypeFacts]:
    """Return what the database tells of types, by their oids."""
    wanted = sorted(set(oids))
    if not wanted:
        return {}
    rows = ask(_TYPES.format(oids=",".join(map(str, wanted))))
    return {
        int(str(oid)): TypeFacts(str(name), array == "t", word == "t", record == "t", str(written))
        for oid, name, array, word, record, written in rows
    }
