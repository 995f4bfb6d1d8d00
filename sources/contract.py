"""The contract that every kind of source database keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sources.clock import Clock

SCHEMA_TYPES = ("string", "integer", "float", "boolean", "date", "timestamp")
SSL_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")

# Everything in a row is one of JSON's own: text, whole number, finite float, bool, None, list,
# dict.
Json = Any


@dataclass(frozen=True)
class Kind:
    """A kind of database: its name in records, its label for people, what it is in a sentence."""

    name: str
    label: str
    default_port: int
    title: str


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

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> SourceParams:
        """Return what `to_json` was made of."""
        tunnel = given["ssh"]
        return cls(**{**given, "ssh": SshTunnel(**tunnel) if tunnel else None})

    def to_json(self) -> dict[str, Json]:
        """Return everything, secrets too: for the socket of a child and nothing else."""
        return {**vars(self), "ssh": self.ssh and {**vars(self.ssh)}}

    @property
    def secrets(self) -> list[str]:
        """Return what no message may show, the longest first."""
        tunnel = self.ssh or SshTunnel("", "")
        given = (self.password, self.ssl_key, tunnel.password, tunnel.private_key)
        return sorted(filter(None, given), key=len, reverse=True)

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


def account_warnings(
    can_write: bool | None, powerful: bool, ssl_mode: str, tls: bool
) -> tuple[str, ...]:
    """Return what a person should know of an account that is meant to read, and its way here."""
    warnings = []
    if tls and ssl_mode not in ("verify-ca", "verify-full"):
        warnings.append(
            "The server's certificate was not verified: set ssl_mode to verify-full, and ssl_ca."
        )
    if powerful:
        warnings.append(
            "The account administers the server: a read-only session does not stop it from all."
        )
    if can_write:
        warnings.append("The account may write; an account that can only read is safer.")
    return tuple(warnings)


@dataclass(frozen=True)
class ResultColumn:
    """`data_type` is the fitting one of SCHEMA_TYPES, or None.

    `database_type` is as the database writes it, `kind` one of those of rows that are moved; both
    are empty where nobody asked for them.
    """

    name: str
    data_type: str | None
    database_type: str = ""
    kind: str = ""


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


@dataclass(frozen=True)
class Relation:
    """A table or view that a query names: where it is, and its columns in order."""

    schema: str
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Relations:
    """What names of tables mean in a session; what it does not know is not among them.

    `search_path` are the schemas in which a name without one is looked for, in order.
    """

    search_path: tuple[str, ...] = ()
    found: tuple[Relation, ...] = ()


Named = tuple[str | None, str]
"""A table as a query names it: its schema, or None, and its name."""


class Session(ABC):
    """An open, logged-in connection; used by the main thread of a child."""

    @abstractmethod
    def facts(self, timeout_s: float) -> ServerFacts:
        """Run the first query, as a preview runs it, and tell who answered."""

    @abstractmethod
    def read(self, sql: str, limit_rows: int, timeout_s: float) -> Result:
        """Run one statement that only reads, in a session that cannot write.

        It means what it means in the account's own session. The server ends it by itself soon
        after `timeout_s`, or earlier where the account has a smaller limit.

        Raises StatementRefused, QueryFailed, SourceTimeout, AnswerTooLarge, SourceUnreachable.
        """

    @abstractmethod
    def describe(self, sql: str, timeout_s: float) -> list[ResultColumn]:
        """Return the columns of such a statement, with the database's types, and read no row."""

    @abstractmethod
    def tables(self, timeout_s: float) -> list[Table]:
        """List what can be read, ordered by schema and name; system schemas are left out."""

    @abstractmethod
    def table_columns(self, schema: str | None, name: str, timeout_s: float) -> list[TableColumn]:
        """Describe the columns that can be read, in order; empty where there is no such table."""

    @abstractmethod
    def relations(self, names: list[Named], timeout_s: float) -> Relations:
        """Return the tables that such names mean here, system ones too."""

    @abstractmethod
    def reset(self) -> bool:
        """Make the server forget all of the last use; False when the session must be closed."""

    @abstractmethod
    def ready(self) -> bool:
        """Tell, without asking the server, whether it still holds the connection."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop what runs in the database. Called from another thread; the process ends after."""

    @abstractmethod
    def close(self) -> None:
        """Close without waiting; never raises."""


class Driver(ABC):
    """What a child does with one kind of database."""

    @abstractmethod
    def open(self, params: SourceParams, clock: Clock) -> Session:
        """Connect and log in; `clock.stage` follows the steps.

        Raises SourceUnreachable, SourceTimeout.
        """

    @abstractmethod
    def check_statement(self, sql: str) -> None:
        """Return when `sql` is one statement that only reads, as far as can be told without a
        connection.

        Raises StatementRefused.
        """
