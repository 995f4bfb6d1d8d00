"""PyMySQL's connection over a watched socket, with what it lacks for reading strangers' servers."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.constants import CLIENT, COMMAND, CR
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

from .base import SourceParams
from .tls import context
from .watched_socket import WatchedSocket, WatchedTls

COM_RESET_CONNECTION = 31
_ERROR, _END = 0xFF, 0xFE  # first byte of the packets that end an answer
_MAX_COLUMNS = 4096
_FULL = 2**24 - 1  # a packet of this size has a continuation
_EXTENDED_METADATA = 1 << 3  # MARIADB_CLIENT_EXTENDED_METADATA, bit 35 of all capabilities
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


class _ClearPassword:
    """Sends the password readable only where TLS hides it, whatever the server asks for."""

    def __init__(self, connection: MySQLConnection) -> None:
        self.connection = connection

    def authenticate(self, _packet: MysqlPacket) -> MysqlPacket:
        if not self.connection._secure:
            raise pymysql.err.OperationalError(
                CR.CR_AUTH_PLUGIN_CANNOT_LOAD,
                "the server asks for the password in clear text on a connection without TLS",
            )
        self.connection.write_packet(self.connection.password + b"\0")
        return self.connection._read_packet()


class MySQLConnection(pymysql.Connection):
    """One statement at a time (MULTI_STATEMENTS stays off), no LOCAL INFILE, rows as raw bytes."""

    def __init__(self, params: SourceParams, program_name: str = "etl-engine") -> None:
        super().__init__(
            host=params.host.strip().strip("[]").rstrip("."),
            port=params.port,
            user=params.username,
            password=params.password.encode(),
            database=params.database or None,
            charset="utf8mb4",
            autocommit=None,
            local_infile=False,
            conv={},
            use_unicode=False,
            ssl_disabled=True,
            defer_connect=True,
            program_name=program_name,
            auth_plugin_map={"mysql_clear_password": _ClearPassword, "dialog": _ClearPassword},
        )
        self.user = params.username
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS
        self.socket: WatchedSocket | None = None
        self._greeted = False
        self._extended = False
        self._responding = True
        self._columns = 0
        if params.ssl_mode != "disable":
            self._use_tls(params)

    def _use_tls(self, params: SourceParams) -> None:
        self.ssl = True
        self._ssl_required = params.ssl_mode != "prefer"
        self.ctx = WatchedTls(context(params), params.address)
        if self._ssl_required:
            self.client_flag |= CLIENT.SSL

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """The session's own SET names the character set, each time it is used."""

    @property
    def watched(self) -> WatchedSocket:
        socket: WatchedSocket = self._sock
        return socket

    def reset(self) -> None:
        """Let the server forget the transaction, variables, locks and temporary tables."""
        self._execute_command(COM_RESET_CONNECTION, b"")
        self._read_ok_packet()

    def commands(self, *statements: str) -> None:
        """Run statements without results, sent at once; the first error closes the connection."""
        packets = (
            struct.pack("<iB", len(sql) + 1, COMMAND.COM_QUERY) + sql
            for sql in map(str.encode, statements)
        )
        self._write_bytes(b"".join(packets))
        try:
            for _ in statements:
                self._next_seq_id = 1
                self._read_ok_packet()
        except BaseException:
            self._force_close()
            raise

    def row(self) -> bytes | None:
        """Return the answer's next row as it came, or None after the last one."""
        data = self._payload()
        if data[0] == _ERROR:
            self._result.unbuffered_active = False
            MysqlPacket(data, self.encoding).raise_for_error()
        if data[0] == _END and len(data) < 9:
            self._result.unbuffered_active = False
            return None
        return data

    def _payload(self) -> bytes:
        """Return a packet's bytes, put together where it came in parts of 16 MB."""
        header = self._read_bytes(4)
        if header[3] != self._next_seq_id:
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "packets came out of order")
        self._next_seq_id = (header[3] + 1) % 256
        size = int.from_bytes(header[:3], "little")
        data: bytes = self._read_bytes(size)
        return data if size < _FULL else data + self._payload()

    def quit(self) -> None:
        """Say goodbye if that can be done without waiting, and close."""
        if self._sock is not None:
            with suppress(OSError, ValueError):
                self._sock.sock.send(struct.pack("<iB", 1, COMMAND.COM_QUIT))
        self._force_close()

    def _force_close(self) -> None:
        """Close at once; an unread result would otherwise read on when it is deleted."""
        if self._result is not None:
            self._result.unbuffered_active = False
        super()._force_close()

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        if packet_type is FieldDescriptorPacket:
            packet_type = MariaDBField if self._extended else FieldDescriptorPacket
            self._count_column()
        packet = super()._read_packet(packet_type)
        if not self._greeted:
            self._greeted = True
            self._extended = _offers_extended_metadata(packet.get_all_data())
        return packet

    def query(self, sql: bytes, unbuffered: bool = False) -> Any:
        self._columns = 0
        return super().query(sql, unbuffered)

    def _count_column(self) -> None:
        """No MySQL has more than 4,096 columns; whatever tells of more is something else."""
        self._columns += 1
        if self._columns > _MAX_COLUMNS:
            raise pymysql.err.InternalError("too many columns")

    def write_packet(self, payload: bytes) -> None:
        if self._responding and self._extended and len(payload) >= _EXTENDED_AT + 4:
            payload = _with_extended_metadata(payload)
            self._responding = (
                len(payload) == _EXTENDED_AT + 4
            )  # TLS comes first, then the real response
        super().write_packet(payload)


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
