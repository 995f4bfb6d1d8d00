"""The service's side of the engine: it has children move rows, and tells what became of them.

Nothing here, and nothing that this imports, loads pyarrow: the API's process stays small.

    report = run(RunSpec(plan, source, target, token), on_note, stop)

A child meets the source and the target; what it says is JSON. It knows no key of the service, and
ends with the process that asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.kinds import SourceColumn
from engine.plan import Plan
from engine.problems import Problem
from engine.target import TargetParams
from sources.contract import Json, SourceParams

STAGES = ("plan", "extract", "transform", "load", "commit")


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


@dataclass(frozen=True)
class RunSpec:
    """A run's attempt. `token` is its own; one of `lost_tokens` may have committed already."""

    plan: Plan
    source: SourceParams
    target: TargetParams
    token: str
    lost_tokens: Sequence[str] = ()


@dataclass(frozen=True)
class RunReport:
    """What an attempt did. With `found`, an attempt of one of the lost tokens had done it before,
    and all else is unknown but the cursor, which is what the target has.

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


def run(
    spec: RunSpec,
    on_note: Callable[[Note], None],
    stop: threading.Event,
    deadline: float | None = None,
) -> RunReport:
    """Do a whole run; return what it did.

    Calls `on_note` at least every two seconds, from this thread. When `stop` is set, everything
    has ended within 5 s, the query in the database, too. `deadline` is on the monotonic clock.

    Raises RunProblem, Stopped.
    """
    raise NotImplementedError


def committed(target: TargetParams, plan: Plan, tokens: Sequence[str]) -> str | None:
    """Return the one of `tokens` that the mapping's last commit in the target has, or None.

    Raises Problem.
    """
    raise NotImplementedError


def fence(target: TargetParams, plan: Plan, tokens: Sequence[str] = ()) -> str | None:
    """Refuse every commit of the mapping that has begun by now: a lost worker writes no more.

    Where the last commit is of one of `tokens`, nothing is done, and that token returned.
    Raises Problem.
    """
    raise NotImplementedError


def dry_run(
    source: SourceParams, plan: Plan, limit_rows: int = 100, timeout_s: float = 5.0
) -> DryRun:
    """Return what the first rows of a run would become; nothing is written anywhere.

    Raises SourceError, as previews do, and Problem where nothing can be shown.
    """
    raise NotImplementedError


def describe(source: SourceParams, sql: str, timeout_s: float = 3.0) -> list[DescribedColumn]:
    """Return the columns of a query as a run meets them, and read no row. Raises SourceError."""
    raise NotImplementedError


def test_target(target: TargetParams, timeout_s: float = 10.0) -> TargetFacts:
    """Make, write, read and remove a table.

    Raises SourceError, whose `error_code` is one of a connection's test, `unknown_schema`,
    `bucket_not_found` or `not_a_folder`.
    """
    raise NotImplementedError


def read_rows(
    target: TargetParams,
    plan_table: str,
    columns: Sequence[tuple[str, str]],
    limit: int = 100,
    offset: int = 0,
    run_id: str | None = None,
    timeout_s: float = 10.0,
) -> RowsResult:
    """Return rows of a table, newest `_loaded_at` first, the service's own columns last.

    `columns` are the schema's names and types, shown where there is no table yet. Raises Problem
    `target_unreachable`, `target_timeout` or `target_refused`.
    """
    raise NotImplementedError
