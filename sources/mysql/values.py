"""MySQL's and MariaDB's text forms as JSON, and the schema type that fits each of their types."""

from __future__ import annotations

import struct
from typing import Any

from pymysql.constants import FIELD_TYPE as T, FLAG

from sources import values
from sources.contract import Json
from sources.mysql import wkb
from sources.values import Reader

_BINARY = 63  # the character set of what is not text
STRINGS = {
    T.VARCHAR, T.VAR_STRING, T.STRING, T.TINY_BLOB, T.MEDIUM_BLOB, T.LONG_BLOB, T.BLOB, T.ENUM,
    T.SET,
}  # fmt: skip
_WHOLE = {T.TINY, T.SHORT, T.INT24, T.LONG, T.LONGLONG, T.YEAR}


def boolean(raw: bytes) -> Json:
    """TINYINT(1) is what BOOLEAN is stored as; it can hold other numbers, which stay numbers."""
    return raw == b"1" if raw in (b"0", b"1") else int(raw)


def bit(raw: bytes) -> Json:
    return values.whole(str(int.from_bytes(raw, "big")).encode())


def geometry(raw: bytes) -> str:
    """Return WKT; base64 for what is none, and for what is too long to be shown whole."""
    try:
        return values.binary(raw) if len(raw) > values.MAX_CELL_BYTES else wkb.to_text(raw)
    except (ValueError, KeyError, struct.error):
        return values.binary(raw)


_BY_CODE: dict[int, tuple[Reader, str | None]] = {
    **dict.fromkeys(_WHOLE, (values.whole, "integer")),
    **dict.fromkeys((T.FLOAT, T.DOUBLE), (values.floating, "float")),
    **dict.fromkeys((T.DECIMAL, T.NEWDECIMAL), (values.text, "float")),
    **dict.fromkeys((T.DATE, T.NEWDATE), (values.text, "date")),
    **dict.fromkeys((T.DATETIME, T.TIMESTAMP), (values.timestamp, "timestamp")),
    T.TIME: (values.text, "string"),
    T.BIT: (bit, "integer"),
    T.JSON: (values.json_value, None),
    T.GEOMETRY: (geometry, None),
    T.NULL: (values.text, None),
}


_KINDS = {
    **dict.fromkeys((T.TINY, T.SHORT, T.INT24, T.LONG, T.LONGLONG, T.YEAR, T.BIT), "integer"),
    **dict.fromkeys((T.DECIMAL, T.NEWDECIMAL), "decimal"),
    **dict.fromkeys((T.DATE, T.NEWDATE), "date"),
    T.FLOAT: "float32", T.DOUBLE: "float64", T.DATETIME: "timestamp", T.TIMESTAMP: "timestamptz",
    T.TIME: "time", T.JSON: "json",
}  # fmt: skip
FLOAT = T.FLOAT
_NAMES = {
    T.TINY: "tinyint", T.SHORT: "smallint", T.INT24: "mediumint", T.LONG: "int",
    T.LONGLONG: "bigint", T.YEAR: "year", T.FLOAT: "float", T.DOUBLE: "double",
    T.DECIMAL: "decimal", T.NEWDECIMAL: "decimal", T.DATE: "date", T.NEWDATE: "date",
    T.DATETIME: "datetime", T.TIMESTAMP: "timestamp", T.TIME: "time", T.BIT: "bit",
    T.JSON: "json", T.GEOMETRY: "geometry", T.NULL: "null",
}  # fmt: skip


def single(raw: bytes) -> Json:
    """Return the shortest number that is the same FLOAT, of one that was sent as a DOUBLE."""
    number = struct.unpack("f", struct.pack("f", float(raw)))[0]
    shortest = next(f"{number:.{digits}g}" for digits in range(6, 10) if _same(number, digits))
    return values.floating(shortest.encode())


def _same(number: float, digits: int) -> bool:
    return bool(struct.pack("f", float(f"{number:.{digits}g}")) == struct.pack("f", number))


def database_type(field: Any) -> str:
    """Return a result's column's type as MySQL writes it, without sizes but where they matter."""
    extended = getattr(field, "extended", {})
    if named := extended.get(1) or extended.get(0):
        return str(named)
    if field.type_code in STRINGS:
        if field.flags & (FLAG.ENUM | FLAG.SET):
            return "enum" if field.flags & FLAG.ENUM else "set"
        blob = field.type_code in (T.TINY_BLOB, T.MEDIUM_BLOB, T.LONG_BLOB, T.BLOB)
        if field.charsetnr == _BINARY:
            return "blob" if blob else "varbinary"
        return "text" if blob else "varchar"
    name = _NAMES.get(field.type_code, "unknown")
    if name == "tinyint" and field.length == 1:
        return "tinyint(1)"
    unsigned = " unsigned" if field.flags & FLAG.UNSIGNED and field.type_code in _WHOLE else ""
    return f"{name}{unsigned}"


def kind_of(field: Any) -> str:
    """Return what a result's column is to the rules that move rows: see `engine.kinds`."""
    if field.type_code == T.TINY and field.length == 1 and not field.flags & FLAG.UNSIGNED:
        return "tinyint1"
    if field.type_code in STRINGS:
        return "binary" if field.charsetnr == _BINARY and not _is_named(field) else "text"
    return _KINDS.get(field.type_code, "text")


def _is_named(field: Any) -> bool:
    """Tell MariaDB's json, uuid and inet, which are texts whatever their character set."""
    extended = getattr(field, "extended", {})
    return bool(extended.get(0) or extended.get(1))


def reader(field: Any) -> tuple[Reader, str | None]:
    """Return how to read a result's column, and the schema type that fits it."""
    if getattr(field, "is_float", False):
        return single, "float"
    if getattr(field, "extended", {}).get(1) == "json":
        return values.json_value, None
    if field.type_code == T.TINY and field.length == 1 and not field.flags & FLAG.UNSIGNED:
        return boolean, "boolean"
    if field.type_code in STRINGS:
        return (values.binary, None) if field.charsetnr == _BINARY else (values.text, "string")
    return _BY_CODE.get(field.type_code, (values.text, None))


_TYPES_BY_FIT = {
    "integer": "tinyint smallint mediumint int bigint bit year",
    "float": "float double decimal",
    "date": "date",
    "timestamp": "datetime timestamp",
    "string": "char varchar tinytext text mediumtext longtext enum set time uuid inet4 inet6",
}
_BY_NAME = {name: fit for fit, names in _TYPES_BY_FIT.items() for name in names.split()}


def column_type(data_type: str, column_type: str, is_json: bool = False) -> str | None:
    """Return the schema type that fits a table's column, by information_schema's names."""
    if column_type.lower() == "tinyint(1)":
        return "boolean"
    return None if is_json else _BY_NAME.get(data_type.lower())
