"""Hands runs to an executor elsewhere, where RUN_DISPATCH_URL names one, and waits for its answer.

The executor reads the same collections. It is asked once for a run, as nobody could say whether
asking twice writes twice: only what certainly never reached it is tried again.
"""

from __future__ import annotations

import json
import time
from typing import Any

from django.conf import settings

from children.host import Child, ChildFailed, ChildGone, ChildLate, Host, NoChildren
from common.documents import store
from common.documents.names import printable
from common.documents.store import Stored
from engine.messages import RunReport, Stopped
from engine.problems import Problem
from runs import outcomes, planning
from runs.attempt import Attempt, told
from runs.models import Run
from sources.asking import as_error
from sources.errors import SourceError, SourceTimeout
from targets.models import Target

OUTSIDE = "outside"
"""What a run's `engine` says."""
POSTING = "sources.posting"
PATH = "/executions/run"
SLICE_S = 0.2
ANSWER_BYTES = 64 * 1024
LONGEST_SAID = 500
SUCCEEDED = frozenset({"success", "succeeded", "completed"})
"""The words for a `status` that say so; every other one is a failure."""
MEND = "Check RUN_DISPATCH_URL, and that the executor is there."
UNKNOWN = "See in the target and the executor's log what it did, then run it again."

host = Host([POSTING])


class HandedOver(Attempt):
    """A claimed run that an executor elsewhere does.

    The store says `extract` before the executor is asked: a run that was lost from there on is not
    handed over again.
    """

    is_sent = False

    def _perform(self) -> None:
        before = self.claim.run["before"]
        if self.claim.settled or (self.claim.lost_tokens and before.get("stage") != "plan"):
            self._settle()
            return
        self.say(f"Attempt {self.claim.attempt} is handed to the executor by {self.worker}.")
        try:
            self._begin_outside()
            report = self._report(self._answer())
        except Stopped:
            self._stopped()
        except Problem as problem:
            self._end_badly(problem, RunReport(), None)
        else:
            self._succeed_outside(report)

    def _begin_outside(self) -> None:
        """Have the store say that the executor may hear of the run. Raises Problem, Stopped."""
        self.stage = "extract"
        change = {"stage": self.stage, "engine": OUTSIDE, "target": _target(self.claim.run)}
        self.claim.run.update(change)
        with store.batch_timeout():
            written = store.collection(Run).update_one(self.claim.condition, {"$set": change})
        if not written.matched_count:
            self.stop.give("lost")
            raise Stopped

    # --- The question and its answer --------------------------------------------------------------

    def _answer(self) -> dict[str, Any]:
        """Return what the executor answers, as `sources.posting` gives it. Raises Problem."""
        try:
            child = host.start()
        except NoChildren as exc:
            raise _unreached(str(exc)) from exc
        try:
            return self._heard(child)
        except ChildFailed as exc:
            raise self._failed(as_error(exc, None)) from exc
        except ChildGone as exc:
            raise self._failed(SourceError("The process that waited for it ended.")) from exc
        finally:
            child.kill()

    def _heard(self, child: Child) -> dict[str, Any]:
        limit_s = settings.RUN_DISPATCH_TIMEOUT_S
        deadline = min(time.monotonic() + limit_s, self._deadline() or float("inf"))
        child.send(f"{POSTING}:post", _question(self.claim.run, deadline - time.monotonic()))
        while not self.stop.event.is_set():
            if time.monotonic() > deadline:
                raise _late()
            try:
                is_answer, said = child.hear(SLICE_S)
            except ChildLate:
                continue
            if is_answer:
                return dict(said)
            self.is_sent = self.is_sent or said == "sent"
        raise Stopped

    def _failed(self, error: SourceError) -> Problem:
        if not self.is_sent:
            return _unreached(error.message)
        if isinstance(error, SourceTimeout):
            return _late()
        return _failed(f"The executor gave no answer: {error.message}", UNKNOWN)

    def _report(self, answer: dict[str, Any]) -> RunReport:
        """Return what the executor did. Raises Problem where it failed, or answers nonsense."""
        found = _object(answer["body"])
        status, execution = str(found.get("status", "")), found.get("execution_id")
        if execution:
            self.say(f"The executor calls it the execution {_cut(execution)}.")
        why = f": {_cut(found['error_message'])}" if found.get("error_message") else "."
        if not 200 <= answer["status"] < 300:
            raise _failed(f"The executor answered {answer['status']}{why}", MEND)
        if status.lower() not in SUCCEEDED:
            word = _cut(status) or "no status"
            raise _failed(f'The executor ended the run with "{word}"{why}', UNKNOWN)
        rows = found.get("rows_written")
        return RunReport(rows_written=rows if type(rows) is int and rows > 0 else 0)

    # --- The end ----------------------------------------------------------------------------------

    def _succeed_outside(self, report: RunReport) -> None:
        target = self.claim.run["target"]
        if self._ended(lambda: outcomes.succeeded(self.claim, report, target)):
            self.say(f"Succeeded: {report.rows_written:,} rows written by the executor.")

    def _stopped(self) -> None:
        if self.stop.word == "handed back" and self.is_sent:
            self._fail(_abandoned("The worker was stopped"))
            return
        if self.stop.word == "cancel" and self.is_sent:
            self.say("The executor cannot be told; what it writes stays.", "warning")
        super()._stopped()

    def _settle(self) -> None:
        """End a run that is not handed over again. Its target knows nothing of it."""
        run = self.claim.run
        if run.get("cancel_asked"):
            self._ended(lambda: outcomes.cancelled(self.claim))
            self.say("Cancelled.")
        else:
            self._fail(_abandoned("The worker was lost"))

    def _fail(self, problem: Problem) -> None:
        error = told(problem, self.stage)
        self.say(f"{error['message']} ({error['code']})", "error")
        self._ended(lambda: outcomes.failed(self.claim, error, RunReport()))


def _question(run: Stored, timeout_s: float) -> dict[str, Any]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": settings.USER_AGENT,
        "Idempotency-Key": str(run["_id"]),
    }
    return {
        "url": settings.RUN_DISPATCH_URL.rstrip("/") + PATH,
        "headers": headers,
        "body": json.dumps({"mapping_id": str(run["mapping_id"])}),
        "timeout_s": timeout_s,
        "answer_bytes": ANSWER_BYTES,
    }


def _object(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _cut(said: Any) -> str:
    return printable(str(said))[:LONGEST_SAID]


def _target(run: Stored) -> dict[str, Any]:
    content = planning.content_of(run.get("plan_id")) or {}
    found = store.find_one(Target, {"_id": run.get("target_id")}, {"kind": 1}) or {}
    kind = found.get("kind") or "delta"
    return {"kind": kind, "table": content.get("target_table") or "", "version": None}


def _unreached(message: str) -> Problem:
    said = f"The executor was not reached: {message}"
    return Problem("worker_lost", said, hint=MEND, stage="plan")


def _late() -> Problem:
    said = "The executor gave no answer in the time that a run has."
    hint = f"{UNKNOWN} RUN_DISPATCH_TIMEOUT_S and RUN_TIMEOUT_S say how long that is."
    return Problem("run_timeout", said, hint=hint, stage="load")


def _failed(message: str, hint: str) -> Problem:
    return Problem("internal_error", message, hint=hint, stage="load")


def _abandoned(what: str) -> Problem:
    said = f"{what} while the executor had the run; what the executor did is not known."
    return Problem("worker_lost", said, hint=UNKNOWN, stage="load")
