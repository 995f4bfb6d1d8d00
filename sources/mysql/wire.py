"""PyMySQL's connection, and what MariaDB adds to the protocol: names and formats of types.

Without them a JSON column of MariaDB is a text like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
from pymysql.constants import CLIENT, CR
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

_EXTENDED_METADATA = 1 << 3  # MARIADB_CLIENT_EXTENDED_METADATA, bit 35 of all capabilities
_ERROR, _END = 0xFF, 0xFE  # first byte of the packets that end an answer
_NULL = 251  # in place of a cell's size
_SIZE_BYTES = {252: 2, 253: 3, 254: 8}  # how many bytes of size follow
_FULL = 2**24 - 1  # a packet of this size has a continuation
_EXTENDED_AT = 28  # where a handshake response holds MariaDB's own capabilities


class MariaDBField(FieldDescriptorPacket):
    """A column with MariaDB's name for its type ("uuid") and its format ("json")."""

    def _parse_field_descriptor(self, encoding: str) -> None:
        for name in ("catalog", "db", "table_name", "org_table", "name", "org_name"):
            value = self.read_length_coded_string() or b""
            setattr(self, name, value.decode(encoding, "replace"))
        self.extended = _pairs(self.read_length_coded_string() or b"")
        self.charsetnr, self.length, self.type_code, self.flags, self.scale = self.read_struct(
            "<xHIBHBxx"
        )


def _pairs(data: bytes) -> dict[int, str]:
    """Read (kind, length, text) triples: kind 0 is the type's name, 1 its format."""
    found, at = {}, 0
    while at + 2 <= len(data):
        length = data[at + 1]
        found[data[at]] = data[at + 2 : at + 2 + length].decode("ascii", "replace")
        at += 2 + length
    return found


class RefusedMethod:
    """Stands for a way to log in that gives the password away where TLS does not hide it."""

    def __init__(self, connection: MySQLConnection) -> None:
        self.connection = connection

    def authenticate(self, _packet: MysqlPacket) -> MysqlPacket:
        raise pymysql.err.OperationalError(
            CR.CR_AUTH_PLUGIN_CANNOT_LOAD,
            "the server asks for the password in clear text on a connection without TLS",
        )


class ClearPassword(RefusedMethod):
    """Sends the password as it is, inside of TLS, as `dialog` asks for it."""

    def authenticate(self, _packet: MysqlPacket) -> MysqlPacket:
        self.connection.write_packet(self.connection.password + b"\0")
        return self.connection._read_packet()


class MySQLConnection(pymysql.Connection):
    """Asks a MariaDB to name its types; the rest is PyMySQL's."""

    _greeted = _extended = False
    _responding = True

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.server_version.lower()

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """The session's own SET NAMES names the character set, each time it is used."""

    def select(self, sql: str) -> list[FieldDescriptorPacket]:
        """Run a query and return its columns, none where it gives no rows; `rows` reads these."""
        self.query(sql, unbuffered=True)
        return list(getattr(self._result, "fields", ()))

    @property
    def has_rows(self) -> bool:
        """Tell whether the last result was not read to its end."""
        return self._result is not None and bool(self._result.unbuffered_active)

    def rows(self, width: int) -> Iterator[tuple[list[bytes | None], int]]:
        """Yield what is left of an unbuffered result's rows, as they came, and how long each was.

        PyMySQL's own way takes three times as long.
        """
        read, result = self._rfile.read, self._result
        while result.unbuffered_active:
            size = int.from_bytes(read(4)[:3], "little")
            data = read(size)
            while size == _FULL:
                size = int.from_bytes(read(4)[:3], "little")
                data += read(size)
            if not data:
                raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "the connection was lost")
            if data[0] == _ERROR or (data[0] == _END and len(data) < 9):
                result.unbuffered_active = False
                MysqlPacket(data, self.encoding).check_error()
            else:
                yield _cells(data, width), len(data)

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        if packet_type is FieldDescriptorPacket and self._extended:
            packet_type = MariaDBField
        packet = super()._read_packet(packet_type)
        if not self._greeted:
            self._greeted = True
            self._extended = _offers_extended_metadata(packet.get_all_data())
        return packet

    def write_packet(self, payload: bytes) -> None:
        if self._responding and self._extended and len(payload) >= _EXTENDED_AT + 4:
            payload = _with_extended_metadata(payload)
            # With TLS the first one is short, and the real response comes after it.
            self._responding = len(payload) == _EXTENDED_AT + 4
        super().write_packet(payload)


def _cells(data: bytes, count: int) -> list[bytes | None]:
    """Split a row of the text protocol: each cell is its length and its bytes, or 251 for NULL."""
    cells: list[bytes | None] = []
    at = 0
    for _ in range(count):
        size = data[at]
        at += 1
        if size >= _NULL:
            if size == _NULL:
                cells.append(None)
                continue
            width = _SIZE_BYTES[size]
            size = int.from_bytes(data[at : at + width], "little")
            at += width
        cells.append(data[at : at + size])
        at += size
    return cells


def _offers_extended_metadata(greeting: bytes) -> bool:
    """Tell a MariaDB that names its types: no flag CLIENT_MYSQL, and capabilities of its own."""
    end = greeting.find(b"\0", 1)
    tail = greeting[end + 1 + 4 + 9 :]
    if end < 0 or len(tail) < 18 or tail[0] & CLIENT.LONG_PASSWORD:
        return False
    return bool(int.from_bytes(tail[14:18], "little") & _EXTENDED_METADATA)


def _with_extended_metadata(payload: bytes) -> bytes:
    flags = int.from_bytes(payload[:4], "little") & ~CLIENT.LONG_PASSWORD
    own = _EXTENDED_METADATA.to_bytes(4, "little")
    return flags.to_bytes(4, "little") + payload[4:_EXTENDED_AT] + own + payload[_EXTENDED_AT + 4 :]
