"""Short questions to the engine, each to a child that is started for it; `running` does runs.

Nothing here, and nothing that this imports, loads pyarrow: the API's process stays small. What a
child says is JSON. It knows no key of the service, and ends with the process that asked.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from children import networks
from children.host import ChildError, ChildFailed, ChildLate, NoChildren
from engine.launchers.processes import RUN_LIMITS, SERVING, host, lost, unforeseen
from engine.messages import DescribedColumn, DryRun, Found, RowsResult, TargetFacts
from engine.plan import Plan
from engine.problems import Problem
from engine.target import TargetParams
from engine.trouble import out_of_memory, target_problem
from sources.asking import as_error, check_params, host as sources_host, pooled, timed_out
from sources.contract import Json, SourceParams
from sources.errors import SourceTimeout, SourceUnreachable

logger = logging.getLogger(__name__)

TARGET_S = 60.0


def warm() -> None:
    """Start the processes that children are forked from, so that the first run does not wait."""
    try:
        host.warm()
        sources_host.warm()
    except NoChildren:
        logger.exception("The engine's processes cannot be started")


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
    arguments = {"target": target.lent().to_json(), "table": table}
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
    arguments = {"target": target.lent().to_json(), "timeout_s": timeout_s}
    with _source_told(target.database, timeout_s, target.address):
        found = _asked("test_target", arguments, timeout_s)
    lists: dict[str, Any] = {name: tuple(found.pop(name, ())) for name in ("warnings", "left")}
    return TargetFacts(**found, **lists)


def read_rows(
    target: TargetParams,
    table: str,
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
        "target": target.lent().to_json(),
        "table": table,
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
        "target": target.lent().to_json(),
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
    given = {"source": source.to_json(), "target": target.lent().to_json()}
    return json.dumps(given | {"networks": networks.in_force().to_json()})


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
        raise lost(
            "The process that asked the target ended before it had an answer.", "load"
        ) from exc
