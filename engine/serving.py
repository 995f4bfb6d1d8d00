"""What a child of the engine can be asked: JSON in, JSON out. `asking` is the other side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from children import child
from children.frames import Json
from engine import dryrun, parts as parts_of_runs, rows as table_rows, trial
from engine.launchers.choice import Means
from engine.load import upkeep
from engine.load.contract import Loader
from engine.load.opening import open_loader, store_options
from engine.plan import Plan
from engine.problems import Problem
from engine.target import TargetParams
from engine.work import Run
from sources.contract import SourceParams
from sources.errors import SourceError, to_json

# One core is enough for a run: others have theirs, and each thread has a stack and an arena.
pa.set_cpu_count(1)
pa.set_io_thread_count(2)


_run: Run | None = None
"""The run of this child that waits for its parts."""


def run(
    plan: Json, source: Json, target: Json, token: str, lost_tokens: list[str], means: Json
) -> dict[str, Any]:
    """Do a run; return its report, and the problem that ended it, if any.

    Where it is cut, `parts` says what is to be done elsewhere before `finish` or `give_up`.
    """
    global _run
    work = Run(
        Plan.from_json(plan),
        SourceParams.from_json(source),
        TargetParams.from_json(target),
        token,
        lost_tokens,
        Means.from_json(means),
    )
    problem = None
    try:
        if not work.work():
            _run = work
            return {"parts": work.parts()}
    except Problem as exc:
        problem = exc.as_dict()
    return {"report": work.report(), "problem": problem, "parts": None}


def finish(done: list[Json]) -> dict[str, Any]:
    """Commit the parts of the run that waits for them; return what `run` does."""
    work, problem = _waiting(), None
    try:
        work.finish([parts_of_runs.from_json(part) for part in done])
    except Problem as exc:
        problem = exc.as_dict()
    return {"report": work.report(), "problem": problem}


def give_up(done: list[Json]) -> dict[str, Any]:
    """End the run that waits for its parts without a commit; return its report."""
    work = _waiting()
    work.give_up([parts_of_runs.from_json(part) for part in done])
    return work.report()


def _waiting() -> Run:
    if _run is None:
        raise ValueError("no run waits for its parts")
    return _run


part = parts_of_runs.work


def committed(plan: Json, target: Json, tokens: list[str]) -> Json:
    """Return the fields of `messages.Found`, None where the last commit has none of `tokens`."""
    with _told(), _loader(plan, target) as loader:
        return next((found for token in tokens if (found := _found(loader, token))), None)


def fence(plan: Json, target: Json, tokens: list[str]) -> Json:
    """Refuse all commits that have begun; return what has committed already, as `committed`."""
    with _told(), _loader(plan, target) as loader:
        token = loader.fence(tokens)
        return _found(loader, token) if token else None


def _found(loader: Loader, token: str) -> Json:
    done = loader.committed(token)
    if done is None:
        return None
    return {"token": token, "rows_written": done.rows_written, "version": done.version}


def dry_run(source: Json, plan: Json, limit_rows: int, timeout_s: float) -> Json:
    """Return what the first rows would become."""
    with _told():
        given = SourceParams.from_json(source)
        return dryrun.dry_run(given, Plan.from_json(plan), limit_rows, timeout_s)


def test_target(target: Json, timeout_s: float) -> Json:
    """Return who answers in a target, and can be written."""
    with _told():
        return trial.test_target(TargetParams.from_json(target), timeout_s)


def read_rows(
    target: Json,
    table: str,
    columns: list[Sequence[str]],
    limit: int,
    offset: int,
    run_id: str | None,
    timeout_s: float,
) -> Json:
    """Return rows of a table."""
    with _told():
        given = [(name, data_type) for name, data_type in columns]
        params = TargetParams.from_json(target)
        return table_rows.read_rows(params, table, given, limit, offset, run_id, timeout_s)


def tidy(target: Json, table: str) -> bool:
    """Put a Delta table's small files together where that is due."""
    with _told():
        params = TargetParams.from_json(target)
        if params.kind != "delta":
            return False
        return upkeep.tidy(params.uri or "", table, store_options(params))


@contextmanager
def _loader(plan: Json, target: Json) -> Iterator[Loader]:
    with open_loader(Plan.from_json(plan), TargetParams.from_json(target)) as loader:
        yield loader


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SourceError as exc:
        raise child.Failure(*to_json(exc)) from exc
    except Problem as exc:
        raise child.Failure("Problem", exc.as_dict()) from exc
