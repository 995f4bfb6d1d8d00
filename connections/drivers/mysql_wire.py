"""PyMySQL's connection over a watched socket, with what it lacks for reading strangers' servers."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pymysql
from pymysql.constants import CLIENT, COMMAND, CR
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

from .base import SourceParams
from .errors import QueryFailed, SourceError, SourceTimeout, SourceUnreachable
from .login import in_brief
from .tls import context
from .watch import Watch, check_rows
from .watched_socket import WatchedSocket, WatchedTls

T = TypeVar("T")

COM_RESET_CONNECTION = 31
_ERROR, _END = 0xFF, 0xFE  # first byte of the packets that end an answer
_MAX_COLUMNS = 4096
_FULL = 2**24 - 1  # a packet of this size has a continuation
_EXTENDED_METADATA = 1 << 3  # MARIADB_CLIENT_EXTENDED_METADATA, bit 35 of all capabilities
_TIMED_OUT = {1317, 1969, 3024}
_READ_ONLY = 1792
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

    def __init__(self, params: SourceParams, watch: Watch) -> None:
        super().__init__(
            host=params.hostname.rstrip("."),
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
            program_name="etl-engine",
            auth_plugin_map={"mysql_clear_password": _ClearPassword, "dialog": _ClearPassword},
        )
        self.params = params
        self._watch = watch
        self.user = params.username
        self.clean = True  # nothing of an answer is left to read
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS
        self.socket: WatchedSocket | None = None
        self._greeted = False
        self._extended = False
        self._responding = True
        self._resetting = False
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
    def is_mariadb(self) -> bool:
        return "mariadb" in self.server_version.lower()

    # -- the socket and its watch

    @property
    def watched(self) -> WatchedSocket:
        socket: WatchedSocket = self._sock
        return socket

    @property
    def watch(self) -> Watch:
        return self._watch

    @watch.setter
    def watch(self, watch: Watch) -> None:
        self._watch = watch
        if self._sock is not None:
            self.watched.watch = watch
            self.watched.received = 0

    # -- statements

    def rows(self, sql: str) -> list[list[str | None]]:
        """Run a query of our own and return its rows as text."""
        width = len(self.select(sql.encode()))
        return self.trap(lambda: [_texts(cells(data, width)) for data in self._all()])

    def _all(self) -> Iterator[bytes]:
        for count in itertools.count():
            check_rows(count, self.watch)
            if (data := self.row()) is None:
                return
            yield data

    def commands(self, *statements: str) -> None:
        """Run statements without results, sent at once; the first error closes the connection."""
        self.trap(lambda: self._commands(*statements))

    def _commands(self, *statements: str) -> None:
        self.settle()
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

    def select(self, sql: bytes) -> Sequence[FieldDescriptorPacket]:
        """Run a stranger's query and return its columns; `row` reads on."""
        self.clean = False
        self.watched.received = 0
        self.trap(lambda: self.query(sql, unbuffered=True))
        self.clean = not self._result.unbuffered_active
        return () if self.clean else self._result.fields

    def query(self, sql: bytes, unbuffered: bool = False) -> Any:
        self._columns = 0
        return super().query(sql, unbuffered)

    def row(self) -> bytes | None:
        """Return the answer's next row as it came, or None after the last one."""
        if self.clean:
            return None
        data = self._payload()
        if data[0] == _ERROR:
            self._result.unbuffered_active = False
            MysqlPacket(data, self.encoding).raise_for_error()
        if data[0] == _END and len(data) < 9:
            self._result.unbuffered_active = False
            self.clean = True
            return None
        return data

    def reset(self) -> None:
        """Send what makes the server forget the transaction, variables, locks and tables."""
        self._execute_command(COM_RESET_CONNECTION, b"")
        self._resetting = True

    def settle(self) -> None:
        """Read the answer to `reset`, if it is still to come."""
        if self._resetting:
            self._resetting = False
            self._read_ok_packet()

    # -- what goes wrong

    def trap(self, work: Callable[[], T]) -> T:
        """Run `work`; what goes wrong becomes a SourceError."""
        try:
            return work()
        except SourceError:
            raise
        except pymysql.Error as exc:
            raise self._failure(exc) from exc
        except Exception as exc:
            self._force_close()
            raise SourceUnreachable(
                f"{self.params.address} sent what is not MySQL's protocol.",
                hint="See the server's log.",
                stage=self.watch.stage,
            ) from exc

    def _failure(self, exc: pymysql.Error) -> SourceError:
        code = error_number(exc)
        if code in _TIMED_OUT:
            return SourceTimeout("The query did not end in time and was cancelled.", stage="query")
        if code is None or 2000 <= code < 3000 or code == 0 or not self.open:
            return SourceUnreachable(
                f"The connection to {self.params.address} broke: {said(exc, self.params)}",
                hint="See the server's log.",
                stage=self.watch.stage,
            )
        self.clean = True  # an error ends the answer: the session can go on
        words = said(exc, self.params).rstrip(".")
        if code == _READ_ONLY:
            words = f"The session is read-only: {words}"
        return QueryFailed(words, database_code=str(code), stage="query")

    # -- packets

    def _payload(self) -> bytes:
        """Return a packet's bytes, put together where it came in parts of 16 MB."""
        read = self.watched.read
        header = read(4)
        if len(header) < 4:
            raise self._ended()
        if header[3] != self._next_seq_id:
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "packets came out of order")
        self._next_seq_id = (header[3] + 1) % 256
        size = int.from_bytes(header[:3], "little")
        data = read(size)
        if len(data) < size:
            raise self._ended()
        return data if size < _FULL else data + self._payload()

    def _ended(self) -> pymysql.Error:
        self._force_close()
        return pymysql.err.OperationalError(
            CR.CR_SERVER_LOST, "Lost connection to MySQL server during query"
        )

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


def error_number(exc: BaseException) -> int | None:
    return exc.args[0] if exc.args and isinstance(exc.args[0], int) else None


def said(exc: pymysql.Error, params: SourceParams) -> str:
    """Return the server's own words on one line, without the password."""
    words = in_brief(str(exc.args[1] if len(exc.args) > 1 else exc), params)
    return (words or "it is closed") + "."


def plain_version(version: str) -> str:
    """Return the numbers of a version such as 5.5.5-10.11.19-MariaDB-log."""
    found = re.search(r"\d+\.\d+(?:\.\d+)?", version.removeprefix("5.5.5-"))
    return found.group() if found else version


def _texts(row: list[bytes | None]) -> list[str | None]:
    return [None if cell is None else cell.decode("utf-8", "replace") for cell in row]


def cells(data: bytes, count: int) -> list[bytes | None]:
    """Split a row of the text protocol: each cell is its length and its bytes, or 251 for NULL."""
    cells: list[bytes | None] = []
    at = 0
    for _ in range(count):
        size = data[at]
        at += 1
        if size == 251:
            cells.append(None)
            continue
        if size > 251:
            width = {252: 2, 253: 3, 254: 8}[size]
            size = int.from_bytes(data[at : at + width], "little")
            at += width
        cells.append(data[at : at + size])
        at += size
    return cells
