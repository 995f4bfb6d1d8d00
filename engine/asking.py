"""The service's side of the engine: it has children move rows, and tells what became of them.

Nothing here, and nothing that this imports, loads pyarrow: the API's process stays small.

    report = run(RunSpec(plan, source, target, token), on_note, stop)

A child meets the source and the target; what it says is JSON. It knows no key of the service, and
ends with the process that asked.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from children import networks
from children.host import Child, ChildError, ChildFailed, ChildGone, ChildLate, NoChildren
from engine.kinds import SourceColumn
from engine.launchers import processes, spark
from engine.launchers.choice import Means
from engine.launchers.processes import (
    RUN_LIMITS,
    SERVING,
    SLICE_S,
    PartFailed,
    host,
    lost,
    problem_of,
    unforeseen,
)
from engine.launchers.spark import Cluster
from engine.plan import Plan
from engine.problems import Problem
from engine.target import TargetParams
from engine.trouble import out_of_memory, target_problem
from sources.asking import as_error, check_params, host as sources_host, pooled, timed_out
from sources.contract import Json, SourceParams
from sources.errors import SourceTimeout, SourceUnreachable

logger = logging.getLogger(__name__)

BEAT_S = 1.0
END_S = 2.5  # after the order to stop
TARGET_S = 60.0
LENT = ("AWS_", "AZURE_", "GOOGLE_", "GCP_", "GCS_")

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


def warm() -> None:
    """Start the processes that children are forked from, so that the first run does not wait."""
    try:
        host.warm()
        sources_host.warm()
    except NoChildren:
        logger.exception("The engine's processes cannot be started")


def run(
    spec: RunSpec,
    on_note: Callable[[Note], None],
    stop: threading.Event,
    deadline: float | None = None,
) -> RunReport:
    """Do a whole run; return what it did.

    Calls `on_note` at least every two seconds, from this thread; what it raises ends the run. When
    `stop` is set, everything has ended within 5 s, the query in the database, too. `deadline` is
    on the monotonic clock.

    Raises RunProblem, Stopped.
    """
    try:
        started = host.start(RUN_LIMITS)
    except NoChildren as exc:
        raise _lost(str(exc), "plan") from exc
    try:
        return _Attempt(spec, started, on_note, stop, deadline).watched()
    finally:
        started.kill()


class _Over(Exception):
    """A run that was to stop, or to end by a deadline, and has committed nevertheless."""

    def __init__(self, report: RunReport) -> None:
        super().__init__()
        self.report = report


class _Attempt:
    """A run's child, watched, and the parts that it has others do."""

    def __init__(
        self,
        spec: RunSpec,
        started: Child,
        on_note: Callable[[Note], None],
        stop: threading.Event,
        deadline: float | None,
    ) -> None:
        self.spec = spec
        self.child = started
        self.on_note = on_note
        self.stop = stop
        self.deadline = deadline
        self.note = Note("plan", engine="spark" if spec.means.engine == "spark" else "embedded")
        self.told_at = 0.0

    def watched(self) -> RunReport:
        try:
            said = self._answer("run", self._arguments())
            if said["parts"] is not None:
                said = self._in_parts(said["parts"])
            return _reported(said)
        except _Over as over:
            return over.report
        except ChildGone as exc:
            raise _lost("The process of the run ended before it had an answer.", self.note.stage,
                        self._so_far()) from exc  # fmt: skip
        except ChildFailed as exc:
            problem = problem_of(exc, self.spec.source, self.note.stage)
            raise RunProblem(**problem.as_dict(), report=self._so_far()) from exc

    def _answer(self, call: str, arguments: dict[str, Json]) -> Json:
        self.child.send(f"{SERVING}:{call}", arguments)
        while True:
            self._look()
            answered, said = self._heard()
            if answered:
                return said

    def _look(self) -> None:
        """End the run where it is to end."""
        if self.stop.is_set():
            raise _Over(self._stopped())
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise _Over(self._timed_out())

    def _in_parts(self, cut: dict[str, Json]) -> Json:
        """Have the parts done, then committed by the child that holds their snapshot."""
        self.note = replace(self.note, stage="transform", message=None, engine=cut["engine"])
        self._tell(self.note)
        try:
            done = self._launched(cut)
        except PartFailed as failed:
            if failed.problem["code"] != "too_many_rejected":
                report = self._answer("give_up", {"done": failed.done})
                return {"report": report, "problem": failed.problem}
            done = failed.done  # which the commit refuses, and tells of all of them
        return self._answer("finish", {"done": done})

    def _launched(self, cut: dict[str, Json]) -> list[Json]:
        if cut["engine"] == "spark":
            assert self.spec.cluster is not None  # noqa: S101 - else there is no such means
            return spark.launch(self.spec.cluster, cut["told"], cut["ranges"], self._watch)
        logins = {"source": self.spec.source.to_json(), "target": _lent(self.spec.target).to_json()}
        questions = [{**cut["told"], **logins, "part": each} for each in cut["ranges"]]
        return processes.launch(
            questions, self.spec.means.processes, self.spec.plan.max_rejected, self._watch,
            lambda read, refused: self._count(read, refused, cut["rows"]),
        )  # fmt: skip

    def _watch(self) -> None:
        self._look()
        if self.child.ended:
            raise ChildGone
        if time.monotonic() - self.told_at > BEAT_S:
            self._tell(self.note)

    def _count(self, read: int, refused: int, rows: int | None) -> None:
        progress = min(0.99, read / max(1, rows)) if rows else self.note.progress
        self.note = replace(self.note, rows_read=read, rows_rejected=refused, progress=progress)

    def _arguments(self) -> dict[str, Json]:
        return {
            "plan": self.spec.plan.to_json(),
            "source": self.spec.source.to_json(),
            "target": _lent(self.spec.target).to_json(),
            "token": self.spec.token,
            "lost_tokens": list(self.spec.lost_tokens),
            "means": self.spec.means.to_json(),
        }

    def _heard(self) -> tuple[bool, Json]:
        """Return the next that the child says, if it says anything soon."""
        try:
            answered, said = self.child.hear(SLICE_S)
        except ChildLate:
            answered, said = False, None
        if answered:
            return True, said
        if self._take(answered, said):
            self._tell(self.note)
        elif time.monotonic() - self.told_at > BEAT_S:
            self._tell(replace(self.note, message=None))
        return False, None

    def _take(self, answered: bool, said: Json) -> bool:
        """Keep what the child says of how far it is; tell whether it said that."""
        if answered or not isinstance(said, dict):  # a text is a step of a login
            return False
        self.note = Note(**said, engine=self.note.engine)
        return True

    def _tell(self, note: Note) -> None:
        self.told_at = time.monotonic()
        self.on_note(note)

    def _stopped(self) -> RunReport:
        """End the run; return a report all the same where it has committed meanwhile."""
        found = self._ended()
        if found is None:
            raise Stopped
        return found

    def _timed_out(self) -> RunReport:
        found = self._ended()
        if found is not None:
            return found
        raise RunProblem(
            "run_timeout",
            "The run took longer than a run may.",
            hint="Read less at once, by a cursor, or let RUN_TIMEOUT_S be more.",
            stage=self.note.stage,
            report=self._so_far(),
        )

    def _ended(self) -> RunReport | None:
        """Stop the child. A commit under way may hold: the target is asked, and then fenced.

        The child may have gone further than what was heard of it when the order came.
        """
        with suppress(ChildFailed):
            for answered, said in self.child.last_words(END_S):
                self._take(answered, said)
        self.child.kill()
        if self.note.stage != "commit":
            return None
        found = fence(self.spec.target, self.spec.plan, [self.spec.token])
        return found.report(self._so_far()) if found else None

    def _so_far(self) -> RunReport:
        return RunReport(
            rows_read=self.note.rows_read,
            rows_rejected=self.note.rows_rejected,
            table=self.spec.plan.table,
        )


def _reported(said: Json) -> RunReport:
    report = RunReport(**said["report"])
    if said["problem"] is not None:
        raise RunProblem(**said["problem"], report=report)
    return report


def _lost(message: str, stage: str, report: RunReport | None = None) -> RunProblem:
    return RunProblem(**lost(message, stage).as_dict(), report=report)


def committed(target: TargetParams, plan: Plan, tokens: Sequence[str]) -> Found | None:
    """Return what the mapping's last commit did, None where it has none of `tokens`.

    Raises Problem.
    """
    return _of_target("committed", target, plan, tokens)


def fence(target: TargetParams, plan: Plan, tokens: Sequence[str] = ()) -> Found | None:
    """Refuse every commit of the mapping that has begun by now: a lost worker writes no more.

    Where the last commit is of one of `tokens`, nothing is done, and what that did returned.
    Raises Problem.
    """
    return _of_target("fence", target, plan, tokens)


def tidy(target: TargetParams, table: str, timeout_s: float = 600.0) -> bool:
    """Put a Delta table's small files together, once they are many; tell whether it was done.

    Raises Problem.
    """
    arguments = {"target": _lent(target).to_json(), "table": table}
    with _target_told(timeout_s):
        return bool(_asked("tidy", arguments, timeout_s))


def dry_run(
    source: SourceParams, plan: Plan, limit_rows: int = 100, timeout_s: float = 5.0
) -> DryRun:
    """Return what the first rows of a run would become; nothing is written anywhere.

    Raises SourceError, as previews do, and Problem where nothing can be shown.
    """
    check_params(source)
    arguments = {
        "source": source.to_json(),
        "plan": plan.to_json(),
        "limit_rows": limit_rows,
        "timeout_s": timeout_s,
    }
    with _source_told(source, timeout_s):
        return DryRun(**_asked("dry_run", arguments, timeout_s))


def describe(source: SourceParams, sql: str, timeout_s: float = 3.0) -> list[DescribedColumn]:
    """Return the columns of a query as a run meets them, and read no row. Raises SourceError."""
    found = pooled("describe", source, timeout_s, sql=sql)
    return [DescribedColumn(**column) for column in found]


def test_target(target: TargetParams, timeout_s: float) -> TargetFacts:
    """Make, write, read and remove a table.

    Raises SourceError, whose `error_code` is one of a connection's test, `unknown_schema`,
    `bucket_not_found` or `not_a_folder`.
    """
    if target.database is not None:
        check_params(target.database)
    arguments = {"target": _lent(target).to_json(), "timeout_s": timeout_s}
    with _source_told(target.database, timeout_s, target.address):
        found = _asked("test_target", arguments, timeout_s)
    lists: dict[str, Any] = {name: tuple(found.pop(name, ())) for name in ("warnings", "left")}
    return TargetFacts(**found, **lists)


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
    arguments = {
        "target": _lent(target).to_json(),
        "table": plan_table,
        "columns": [list(column) for column in columns],
        "limit": limit,
        "offset": offset,
        "run_id": run_id,
        "timeout_s": timeout_s,
    }
    with _target_told(timeout_s):
        return RowsResult(**_asked("read_rows", arguments, timeout_s))


def _of_target(call: str, target: TargetParams, plan: Plan, tokens: Sequence[str]) -> Found | None:
    arguments = {
        "plan": plan.to_json(),
        "target": _lent(target).to_json(),
        "tokens": list(tokens),
    }
    with _target_told(TARGET_S):
        found = _asked(call, arguments, TARGET_S)
    return Found(**found) if found else None


def _asked(call: str, arguments: dict[str, Json], timeout_s: float) -> Json:
    """Ask a child that is started for this question and ended after it."""
    started = host.start(RUN_LIMITS)
    try:
        answer = started.ask(f"{SERVING}:{call}", arguments, time.monotonic() + timeout_s)
    except ChildLate:
        started.stop()  # and what it has under way in a database
        raise
    except BaseException:
        started.kill()
        raise
    started.kill()
    return answer


def logins(source: SourceParams, target: TargetParams) -> str:
    """Return, as JSON, what the parts of a run log in with: to be sealed, and shown to nobody."""
    given = {"source": source.to_json(), "target": _lent(target).to_json()}
    return json.dumps(given | {"networks": networks.in_force().to_json()})


def _lent(target: TargetParams) -> TargetParams:
    """Return a target with what the service's environment lends it, where that is allowed."""
    if not target.ambient:
        return target
    lent = {name: value for name, value in os.environ.items() if name.startswith(LENT)}
    return replace(target, options=lent | target.options)


@contextmanager
def _source_told(
    source: SourceParams | None, timeout_s: float, address: str = ""
) -> Iterator[None]:
    """Raise what became of a child as the trouble with the source or target that it is."""
    try:
        yield
    except ChildFailed as exc:
        if exc.code == "Problem":
            raise Problem(**exc.details) from exc
        raise as_error(exc, source) from exc
    except ChildLate as exc:
        stage = exc.note if isinstance(exc.note, str) else "query"
        if source is not None:
            raise timed_out(source, stage, timeout_s) from exc
        raise SourceTimeout(
            f"{address} did not answer within {timeout_s:g} s.",
            hint="Check the endpoint, and that no firewall drops the connection.",
        ) from exc
    except ChildError as exc:
        raise SourceUnreachable(
            f"{source.address if source else address} could not be asked: the process ended.",
            hint="See this service's log.",
        ) from exc


@contextmanager
def _target_told(timeout_s: float) -> Iterator[None]:
    """Raise what became of a child as the problem with the target that it is."""
    try:
        yield
    except ChildFailed as exc:
        if exc.code == "Problem":
            raise Problem(**exc.details) from exc
        if exc.code == "out_of_memory":
            raise out_of_memory("load") from exc
        if exc.code == "unforeseen":
            raise unforeseen(exc, "load") from exc
        raise target_problem(as_error(exc, None), "load") from exc
    except ChildLate as exc:
        raise Problem(
            "target_timeout",
            f"The target did not answer within {timeout_s:g} s.",
            hint="See whether the target is up, and what holds its table.",
            stage="load",
        ) from exc
    except ChildError as exc:
        raise _lost(
            "The process that asked the target ended before it had an answer.", "load"
        ) from exc
