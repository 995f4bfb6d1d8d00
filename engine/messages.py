"""What the engine is asked, and what it tells: plain values, which know of no process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.kinds import SourceColumn
from engine.launchers.choice import Means
from engine.launchers.spark import Cluster
from engine.plan import Plan
from engine.problems import Problem
from engine.target import TargetParams
from sources.contract import Json, SourceParams


@dataclass(frozen=True)
class Note:
    """How far a run has come. `progress` is 0 to 1, None where it cannot be known.

    `message`, where there is one, is a line for the run's log, of `level` "info" or "warning".
    """

    stage: str
    rows_read: int = 0
    rows_rejected: int = 0
    progress: float | None = None
    message: str | None = None
    level: str = "info"
    engine: str = "embedded"


@dataclass(frozen=True)
class RunSpec:
    """A run's attempt. `token` is its own; one of `lost_tokens` may have committed already.

    `means` are what it may use; `cluster` is there where Spark is among them.
    """

    plan: Plan
    source: SourceParams
    target: TargetParams
    token: str
    lost_tokens: Sequence[str] = ()
    means: Means = Means()  # noqa: RUF009 - frozen
    cluster: Cluster | None = None


@dataclass(frozen=True)
class RunReport:
    """What an attempt did. With `found`, an attempt of one of the lost tokens had done it before,
    and all else is unknown but what the target has: rows written, version and cursor.

    `rejected` are entries as `Rejected.as_dict` gives them, `warnings` {"code", "message"}.
    """

    rows_read: int = 0
    rows_written: int = 0
    rows_rejected: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    cursor_from: str | None = None
    cursor_to: str | None = None
    version: int | None = None
    table: str = ""
    found: bool = False
    found_token: str | None = None


@dataclass(frozen=True)
class Found:
    """What a lost attempt has committed, as the target says; `version` is Delta's."""

    token: str
    rows_written: int
    version: int | None

    def report(self, so_far: RunReport | None = None) -> RunReport:
        """Return the report of that attempt, of which `so_far` was known."""
        return replace(
            so_far or RunReport(), found=True, found_token=self.token,
            rows_written=self.rows_written, version=self.version,
        )  # fmt: skip


class RunProblem(Problem):
    """What ended a run; `report` has the counts and the rejected rows up to there."""

    def __init__(
        self, code: str, message: str, *, hint: str, stage: str, report: RunReport | None = None
    ) -> None:
        super().__init__(code, message, hint=hint, stage=stage)
        self.report = report or RunReport()


class Stopped(Exception):
    """The run was told to stop, and has committed nothing."""


@dataclass(frozen=True)
class TargetFacts:
    """What answered a test of a target: a table was made, written, read and removed there.

    `left` names what could not be removed.
    """

    product: str
    version: str
    tls: bool | None
    message: str
    warnings: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowsResult:
    """Rows of a target's table, newest first, in the form and limits of a preview's answer."""

    columns: list[str]
    column_types: list[str | None]
    rows: list[list[Json]]
    truncated: bool


@dataclass(frozen=True)
class DryRun:
    """What the first rows would become. `rules` are {"rule_id", "read", "null", "rejected",
    "dropped"}; `problems` {"code", "message", "rule_id"}.
    """

    columns: list[str]
    rows: list[list[Json]]
    rejected: list[dict[str, Any]]
    problems: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    unwritten_fields: list[str]
    unread_columns: list[str]


@dataclass(frozen=True)
class DescribedColumn:
    """A column of a query: what rules can make of it depends on `kind`."""

    name: str
    database_type: str
    kind: str
    data_type: str | None

    def can_become(self, data_type: str) -> bool:
        """Tell whether any of its values fits a field of this type."""
        return SourceColumn(self.name, self.kind, self.database_type).can_become(data_type)
