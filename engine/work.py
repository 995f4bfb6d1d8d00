"""A whole run, in a child: from the plan to the commit, telling its host how far it has come.

One process reads, transforms, stages and commits: the rows of one run cross no border, and what
ends it ends all of it. Where a run is cut into parts, other processes do these, while this one
holds the snapshot that they read, and then commits what they have staged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from children import child
from engine import parts
from engine.cut import Cut, cut
from engine.extract.contract import Extract
from engine.extract.opening import Reach, open_extract, reach
from engine.launchers.choice import Means
from engine.load.contract import Committed, Cursor, Loader
from engine.load.opening import open_loader
from engine.part import (
    Outcome,
    Part,
    TooManyRejected,
    Warned,
    commit,
    last_cursor,
    refuse_too_many,
    run_part,
)
from engine.plan import Plan, check_source
from engine.problems import Problem
from engine.target import TargetParams
from engine.trouble import out_of_memory, source_problem
from sources.clock import Clock
from sources.contract import SourceParams
from sources.errors import SourceError


@dataclass
class Run:
    """An attempt while it is made. `report` is what has been done, whatever comes."""

    plan: Plan
    source: SourceParams
    target: TargetParams
    token: str
    lost_tokens: Sequence[str]
    means: Means
    stage: str = "plan"
    part: Part = field(default_factory=Part)
    last: Cursor | None = None
    reach: Reach | None = None
    outcome: Outcome | None = None
    found_token: str | None = None
    found: Committed | None = None
    estimate: int | None = None
    cut: Cut = field(default_factory=Cut)
    _told_at: float = 0.0
    _open: ExitStack = field(default_factory=ExitStack)
    loader: Loader = field(init=False)

    def work(self) -> bool:
        """Do all of it, and return True; or only begin, where it is cut into parts.

        Then `parts` says what others do; `finish` or `give_up` does the rest. Raises Problem.
        """
        with self._translated(), ExitStack() as stack:
            self.loader = stack.enter_context(open_loader(self.plan, self.target))
            self._work(self.loader, stack)
            if self.cut.ranges:
                self._open = stack.pop_all()
        return not self.cut.ranges

    def parts(self) -> dict[str, Any]:
        """Return what is to be done elsewhere, and by which engine, as JSON."""
        assert self.reach is not None  # noqa: S101 - it was found before the cut
        return {
            "engine": self.cut.engine,
            "rows": self.estimate,
            "told": parts.told(self.reach.plan, self.reach.window, self.last, self.cut.snapshot),
            "ranges": [asdict(each) for each in self.cut.ranges],
        }

    def finish(self, done: Sequence[Part]) -> None:
        """Commit what the parts have staged. Raises Problem."""
        with self._translated(), self._open:
            self.part = parts.whole(done)
            refuse_too_many(self.plan, self.part)
            if len(done) != len(self.cut.ranges):
                raise _parts_missing(len(done), len(self.cut.ranges))
            self._commit(self.loader, done)

    def give_up(self, done: Sequence[Part]) -> None:
        """Remove what the parts have staged, as far as is known, and end."""
        self.part = parts.whole(done)
        with self._open:
            self._abort(self.loader)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TooManyRejected as exc:
            self.part = exc.part
            raise
        except SourceError as exc:
            raise source_problem(exc, self.stage) from exc
        except MemoryError as exc:
            raise out_of_memory(self.stage) from exc

    def _work(self, loader: Loader, stack: ExitStack) -> None:
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
            self.source, self.plan.query, self.plan.max_cell_bytes, Clock(parts.CONNECT_S)
        )
        stack.callback(extract.close)
        child.before_stop(extract.cancel)
        stack.push(self._abort_after_trouble)
        self._move(loader, extract)

    def _move(self, loader: Loader, extract: Extract) -> None:
        check_source(self.plan, extract.columns)
        self.reach = reach(self.plan, extract, self.last)
        self._enter("extract", self._where_from())
        if self.reach.window is None:
            self.estimate = extract.estimated_rows()
        self.cut = cut(self.plan, self.target.kind, extract, self.reach.window, self.means)
        if self.cut.reason:
            self.tell(self.cut.reason)
        if self.cut.ranges:
            self.tell(self._cut_how())
            return
        self.part = run_part(
            self.reach.plan, extract.columns, extract.batches(self.reach.window), loader,
            last=self.last, on_progress=self._progressed,
        )  # fmt: skip
        self._commit(loader, [self.part])

    def _commit(self, loader: Loader, done: Sequence[Part]) -> None:
        assert self.reach is not None  # noqa: S101 - it was found before the first row
        self._enter("load", f"{self.part.rows_read} rows were read.")
        self._enter("commit")
        self.outcome = commit(
            self.reach.plan, loader, done, self.token, self.last, fences=bool(self.lost_tokens)
        )
        self.tell(f"{self.outcome.committed.rows_written} rows were committed.", progress=1.0)

    def _cut_how(self) -> str:
        count = len(self.cut.ranges)
        if count == 1:
            return "The query is read in one part."
        seen = "one snapshot" if self.cut.snapshot else "a snapshot for each"
        return f'The query is read in {count} ranges of "{self.plan.split_column}", in {seen}.'

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
        elif time.monotonic() - self._told_at > parts.NOTE_S:
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

    def _abort_after_trouble(self, kind: Any, trouble: Any, trace: Any) -> None:
        if kind is not None:
            self._abort(self.loader)

    def _abort(self, loader: Loader) -> None:
        try:
            loader.abort(self.part.staged)
        except Problem as exc:
            self.tell(f"What was staged could not be removed: {exc.message}")

    # -- what is said at the end

    def report(self) -> dict[str, Any]:
        """Return the fields of `messages.RunReport`."""
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
        found = list(self.reach.warnings) if self.reach else []
        if len(self.cut.ranges) > 1 and not self.cut.snapshot:
            found.append(_no_common_snapshot(len(self.cut.ranges)))
        return [*found, *(self.outcome.warnings if self.outcome else [])]

    def _cursor_to(self) -> str | None:
        window = self.reach.plan.cursor if self.reach else None
        if window is not None and window.until is not None:
            return window.until
        return self.last.value if self.last else None


def _parts_missing(done: int, wanted: int) -> Problem:
    return Problem(
        "internal_error",
        f"{done} of {wanted} parts came back.",
        hint="See the service's log, and report it.",
        stage="load",
    )


def _no_common_snapshot(count: int) -> Warned:
    return Warned(
        "snapshot_per_part",
        f"Each of {count} parts read a snapshot of its own: a row that moved from one range to "
        "another meanwhile may be missing, or there twice. Each range is consistent in itself.",
    )
