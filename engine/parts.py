"""A part of a run, done in a process of its own, and how it comes back as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from children import child
from engine.extract.contract import Range, Window
from engine.extract.opening import open_extract
from engine.load.contract import Cursor, Staged
from engine.load.opening import open_loader
from engine.load.parquet import DataFile
from engine.part import Part, TooManyRejected, run_part
from engine.plan import Plan
from engine.problems import Problem, Rejected
from engine.target import TargetParams
from engine.trouble import out_of_memory, source_problem
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceError

CONNECT_S = 30.0
NOTE_S = 0.5

Json = Any


def told(
    plan: Plan, window: Window | None, last: Cursor | None, snapshot: str | None
) -> dict[str, Json]:
    """Return what all parts of a run are told, as JSON; logins are not among it."""
    return {
        "plan": plan.to_json(),
        "window": asdict(window) if window else None,
        "last": last.to_json() if last else None,
        "snapshot": snapshot,
    }


class PartWork:
    """A part while it is done; `part` is what has been done, whatever comes."""

    def __init__(self, plan: Plan, source: SourceParams, target: TargetParams) -> None:
        self.plan = plan
        self.source = source
        self.target = target
        self.part = Part()
        self._told_at = 0.0

    def work(
        self, window: Window | None, last: Cursor | None, snapshot: str | None, part: Range
    ) -> None:
        """Read, transform and stage the rows of a range. Raises Problem."""
        try:
            self._work(window, last, snapshot, part)
        except TooManyRejected as exc:
            self.part = exc.part
            raise
        except SourceError as exc:
            raise source_problem(exc, "extract") from exc
        except MemoryError as exc:
            raise out_of_memory("transform") from exc

    def _work(
        self, window: Window | None, last: Cursor | None, snapshot: str | None, part: Range
    ) -> None:
        with open_loader(self.plan, self.target) as loader:
            loader.begin()
            extract = open_extract(
                self.source, self.plan.query, self.plan.max_cell_bytes, Clock(CONNECT_S), snapshot
            )
            child.before_stop(extract.cancel)
            try:
                self.part = run_part(
                    self.plan, extract.columns, extract.batches(window, part=part), loader,
                    last=last, on_progress=self._progressed,
                )  # fmt: skip
            except BaseException:
                loader.abort()
                raise
            finally:
                extract.close()

    def _progressed(self, part: Part) -> None:
        if time.monotonic() - self._told_at > NOTE_S:
            self._told_at = time.monotonic()
            child.note({"rows_read": part.rows_read, "rows_rejected": part.rows_rejected})


def work(
    plan: Json, source: Json, target: Json, window: Json, last: Json, snapshot: Json, part: Json
) -> dict[str, Json]:
    """Do a part; return what was done, and the problem that ended it, if any."""
    done = PartWork(
        Plan.from_json(plan), SourceParams.from_json(source), TargetParams.from_json(target)
    )
    problem = None
    try:
        done.work(
            Window(**window) if window else None,
            Cursor.from_json(last) if last else None,
            snapshot,
            Range(**part),
        )
    except Problem as exc:
        problem = exc.as_dict()
    return {"part": to_json(done.part), "problem": problem}


def to_json(part: Part) -> dict[str, Json]:
    """Return a part, without the counts of its rules."""
    return {
        "rows_read": part.rows_read,
        "rows_seen": part.rows_seen,
        "rows_rejected": part.rows_rejected,
        "rejected": [entry.as_dict() for entry in part.rejected],
        "null_cursors": part.null_cursors,
        "edge": part.edge,
        "rows": part.staged.rows,
        "files": [asdict(file) for file in part.staged.files],
    }


def from_json(given: Mapping[str, Json]) -> Part:
    """Return what `to_json` was made of."""
    return Part(
        rows_read=given["rows_read"],
        rows_seen=given["rows_seen"],
        rows_rejected=given["rows_rejected"],
        rejected=[_entry(entry) for entry in given["rejected"]],
        null_cursors=given["null_cursors"],
        edge=list(given["edge"]),
        staged=Staged(given["rows"], [DataFile(**file) for file in given["files"]]),
    )


def _entry(given: Mapping[str, Json]) -> Rejected:
    return Rejected(**{**given, "source_columns": tuple(given["source_columns"])})


def whole(done: Sequence[Part]) -> Part:
    """Return parts as one, in their order."""
    found = Part()
    for part in done:
        found.add(part)
    return found
