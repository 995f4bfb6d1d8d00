"""The contract that every kind of source database keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from .watch import Watch

SCHEMA_TYPES = ("string", "integer", "float", "boolean", "date", "timestamp")
SSL_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")

# Everything in a row is one of JSON's own: text, whole number, finite float, bool, None, list,
# dict.
Json = Any


@dataclass(frozen=True)
class SshTunnel:
    """A host that reaches the database; `host_key` is a line such as `ssh-ed25519 AAAA…`."""

    host: str
    username: str
    port: int = 22
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    host_key: str | None = None


@dataclass(frozen=True)
class SourceParams:
    """All that is needed to open a source; certificates and keys are PEM text, never paths."""

    kind: str
    host: str
    port: int
    database: str
    username: str
    password: str = field(default="", repr=False)
    ssl_mode: str = "prefer"
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = field(default=None, repr=False)
    ssh: SshTunnel | None = None

    @property
    def hostname(self) -> str:
        """Return the name or address of the host, without the brackets around an IPv6 one."""
        return self.host.strip().strip("[]")

    @property
    def address(self) -> str:
        """Return host:port for messages."""
        host = self.host.strip("[]")
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class ServerFacts:
    """Who answered: the product, its version such as "15.18", and what the account may do."""

    product: str
    version: str
    tls: bool
    can_write: bool | None  # None where the server does not say
    warnings: tuple[str, ...] = ()


def account_warnings(can_write: bool | None, powerful: bool) -> tuple[str, ...]:
    """Return what a person should know of an account that is meant to read."""
    warnings = []
    if powerful:
        warnings.append(
            "The account administers the server: a read-only session does not stop it from all."
        )
    if can_write:
        warnings.append("The account may write; an account that can only read is safer.")
    return tuple(warnings)


@dataclass(frozen=True)
class ResultColumn:
    """`data_type` is the fitting one of SCHEMA_TYPES, or None."""

    name: str
    data_type: str | None


@dataclass(frozen=True)
class Result:
    """At most the rows asked for; `truncated` tells whether the query has more."""

    columns: tuple[ResultColumn, ...]
    rows: list[list[Json]]
    truncated: bool


@dataclass(frozen=True)
class Table:
    """A table or view; `estimated_rows` is the database's own guess, None where it has none."""

    schema: str
    name: str
    kind: str
    estimated_rows: int | None


@dataclass(frozen=True)
class TableColumn:
    """`database_type` as the database writes it; `key` is "primary", "unique" or None."""

    name: str
    database_type: str
    nullable: bool
    key: str | None
    data_type: str | None


class Wire(Protocol):
    """What bytes of a session travel through."""

    params: SourceParams
    watch: Watch


W = TypeVar("W", bound=Wire)


class Session(ABC, Generic[W]):
    """An open, logged-in connection; used by one thread at a time, under the watch of that use."""

    def __init__(self, wire: W, resources: ExitStack) -> None:
        self.params = wire.params
        self.wire = wire
        self.resources = resources

    @property
    def watch(self) -> Watch:
        return self.wire.watch

    @watch.setter
    def watch(self, watch: Watch) -> None:
        self.wire.watch = watch

    @abstractmethod
    def facts(self) -> ServerFacts:
        """Run the first query and tell who answered."""

    @abstractmethod
    def read(self, sql: str, limit_rows: int) -> Result:
        """Run one statement that only reads, in a session that cannot write.

        With `limit_rows` 0 only the columns are asked for, and `truncated` says nothing.

        Raises QueryFailed, SourceTimeout, AnswerTooLarge, RequestAborted.
        """

    @abstractmethod
    def tables(self) -> list[Table]:
        """List what can be read, ordered by schema and name; system schemas are left out."""

    @abstractmethod
    def table_columns(self, schema: str | None, name: str) -> list[TableColumn]:
        """Describe a table's columns in order; empty where there is no such table."""

    @abstractmethod
    def reset(self) -> bool:
        """Send what makes the server forget all of the last use; its answer is not waited for.

        False when the session must be closed.
        """

    @abstractmethod
    def ready(self) -> bool:
        """Tell whether the server still holds the connection, and has forgotten the last use.

        Waits for nothing but the answer to `reset`, which has usually come by then.
        """

    @abstractmethod
    def abort(self) -> None:
        """Stop what runs in the database, then close; takes a second at most, never raises."""

    def close(self) -> None:
        """Close without waiting; never raises."""
        self.resources.close()


class Driver:
    """One kind of source database."""

    kind: ClassVar[str]
    label: ClassVar[str]
    default_port: ClassVar[int]
    sql_dialect: ClassVar[str]  # "postgres" or "mysql": whose language the statement guard reads
    side_effects: ClassVar[str]  # verbose pattern of the functions that do more than read
    stages: ClassVar[Sequence[str]] = ("name", "port", "tls", "login", "database", "query")
    sessions: ClassVar[str]
    """The module beside this one that opens sessions, loaded with the first of them."""

    def open(self, params: SourceParams, watch: Watch) -> Session:
        """Connect and log in before the watch ends; `watch.stage` follows the steps.

        Raises SourceUnreachable, SourceTimeout, RequestAborted.
        """
        opened: Session = import_module(f".{self.sessions}", __package__).opened(params, watch)
        return opened
