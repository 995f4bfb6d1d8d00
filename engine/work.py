"""A whole run, in a child: from the plan to the commit, telling its host how far it has come.

One process reads, transforms, stages and commits: the rows of one run cross no border, and what
ends it ends all of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from children import child
from engine.extract.contract import Extract
from engine.extract.opening import Reach, open_extract, reach
from engine.load.contract import Committed, Cursor, Loader
from engine.load.opening import open_loader
from engine.part import Outcome, Part, TooManyRejected, Warned, commit, last_cursor, run_part
from engine.plan import Plan, check_source
from engine.problems import Problem
from engine.target import TargetParams
from engine.trouble import out_of_memory, source_problem
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceError

CONNECT_S = 30.0
NOTE_S = 0.5


@dataclass
class Run:
    """An attempt while it is made. `report` is what has been done, whatever comes."""

    plan: Plan
    source: SourceParams
    target: TargetParams
    token: str
    lost_tokens: Sequence[str]
    stage: str = "plan"
    part: Part = field(default_factory=Part)
    last: Cursor | None = None
    reach: Reach | None = None
    outcome: Outcome | None = None
    found_token: str | None = None
    found: Committed | None = None
    estimate: int | None = None
    _told_at: float = 0.0

    def work(self) -> None:
        """Do all of it. Raises Problem."""
        try:
            with open_loader(self.plan, self.target) as loader:
                self._work(loader)
        except TooManyRejected as exc:
            self.part = exc.part
            raise
        except SourceError as exc:
            raise source_problem(exc, self.stage) from exc
        except MemoryError as exc:
            raise out_of_memory(self.stage) from exc

    def _work(self, loader: Loader) -> None:
        self.tell()
        for problem in loader.check():
            raise problem
        loader.begin()
        for token in self.lost_tokens:
            if self.found is None and (found := loader.committed(token)):
                self.found_token, self.found = token, found
        if self.found is not None:
            self.last = loader.cursor()
            self.tell("The target has what an earlier attempt committed; nothing is left to do.")
            return
        self.last = last_cursor(self.plan, loader)
        extract = open_extract(
            self.source, self.plan.query, self.plan.max_cell_bytes, Clock(CONNECT_S)
        )
        child.before_stop(extract.cancel)
        try:
            self._move(loader, extract)
        except BaseException:
            self._abort(loader)
            raise
        finally:
            extract.close()

    def _move(self, loader: Loader, extract: Extract) -> None:
        check_source(self.plan, extract.columns)
        self.reach = reach(self.plan, extract, self.last)
        self._enter("extract", self._where_from())
        if self.reach.window is None:
            self.estimate = extract.estimated_rows()
        self.part = run_part(
            self.reach.plan, extract.columns, extract.batches(self.reach.window), loader,
            last=self.last, on_progress=self._progressed,
        )  # fmt: skip
        self._enter("load", f"{self.part.rows_read} rows were read.")
        self._enter("commit")
        self.outcome = commit(self.reach.plan, loader, [self.part], self.token, self.last)
        self.tell(f"{self.outcome.committed.rows_written} rows were committed.", progress=1.0)

    def _where_from(self) -> str:
        window = self.reach.plan.cursor if self.reach else None
        if window is None:
            return "The query is read from its first row to its last."
        if window.until is None:
            return f'"{window.column}" has no value to read up to.'
        start = window.after if window.after is not None else "the beginning"
        return f'The query is read by "{window.column}" from {start} to {window.until}.'

    def _progressed(self, part: Part) -> None:
        self.part = part
        if self.stage == "extract":
            self._enter("transform")
        elif time.monotonic() - self._told_at > NOTE_S:
            self.tell()

    def _enter(self, stage: str, message: str | None = None) -> None:
        self.stage = stage
        self.tell(message)

    def tell(self, message: str | None = None, progress: float | None = None) -> None:
        """Tell the host how far the run is."""
        self._told_at = time.monotonic()
        if progress is None and self.estimate:
            progress = min(0.99, self.part.rows_read / max(1, self.estimate))
        child.note(
            {
                "stage": self.stage,
                "rows_read": self.part.rows_read,
                "rows_rejected": self.part.rows_rejected,
                "progress": progress,
                "message": message,
                "level": "info",
            }
        )

    def _abort(self, loader: Loader) -> None:
        try:
            loader.abort(self.part.staged)
        except Problem as exc:
            self.tell(f"What was staged could not be removed: {exc.message}")

    # -- what is said at the end

    def report(self) -> dict[str, Any]:
        """Return the fields of `asking.RunReport`."""
        committed = self.outcome.committed if self.outcome else self.found
        return {
            "rows_read": self.part.rows_read,
            "rows_written": committed.rows_written if committed else 0,
            "rows_rejected": self.part.rows_rejected,
            "rejected": [entry.as_dict() for entry in self.part.rejected],
            "warnings": [{"code": each.code, "message": each.message} for each in self._warnings()],
            "cursor_from": self.last.value if self.last else None,
            "cursor_to": self._cursor_to(),
            "version": committed.version if committed else None,
            "table": self.plan.table,
            "found": self.found_token is not None,
            "found_token": self.found_token,
        }

    def _warnings(self) -> list[Warned]:
        of_reach = self.reach.warnings if self.reach else []
        return [*of_reach, *(self.outcome.warnings if self.outcome else [])]

    def _cursor_to(self) -> str | None:
        window = self.reach.plan.cursor if self.reach else None
        if window is not None and window.until is not None:
            return window.until
        return self.last.value if self.last else None
