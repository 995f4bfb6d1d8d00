"""A run, as the service sees it: a child does it, others its parts, and this process watches them.

    report = run(RunSpec(plan, source, target, token), on_note, stop)

What a child says is JSON. It knows no key of the service, and ends with the process that asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from children.host import Child, ChildFailed, ChildGone, ChildLate, NoChildren
from engine import asking
from engine.launchers import processes, spark
from engine.launchers.processes import (
    RUN_LIMITS,
    SERVING,
    SLICE_S,
    PartFailed,
    host,
    lost,
    problem_of,
)
from engine.messages import Note, RunProblem, RunReport, RunSpec, Stopped
from sources.contract import Json

BEAT_S = 1.0
END_S = 2.5  # after the order to stop


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
            return spark.launch(
                self.spec.cluster, cut["told"], cut["ranges"], self._watch,
                lambda parts: self._count_parts(parts, len(cut["ranges"])),
            )  # fmt: skip
        logins = {"source": self.spec.source.to_json(), "target": self.spec.target.lent().to_json()}
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

    def _count_parts(self, done: int, parts: int) -> None:
        """Show how many parts a cluster has done; it tells their rows when all of them are."""
        if progress := min(0.99, done / parts):
            self.note = replace(self.note, progress=progress)

    def _arguments(self) -> dict[str, Json]:
        return {
            "plan": self.spec.plan.to_json(),
            "source": self.spec.source.to_json(),
            "target": self.spec.target.lent().to_json(),
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
        found = asking.fence(self.spec.target, self.spec.plan, [self.spec.token])
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
