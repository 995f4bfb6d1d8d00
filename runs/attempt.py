"""One attempt of a run: its plan and logins go to the engine, its progress to the store."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from pymongo.errors import PyMongoError

from common.documents import store
from common.documents.store import Stored
from common.exceptions import NotFound, ServiceError, Stale, StoreUnavailable, UnreadableSecret
from connections.models import Connection
from engine import asking, running
from engine.messages import Found, Note, RunProblem, RunReport, RunSpec, Stopped
from engine.plan import HINTS, CursorWindow, Field, Plan, Rule
from engine.problems import Problem
from engine.target import TargetParams
from mappings import verify
from mappings.models import Mapping, VerificationStatus
from mappings.proof import DRIFT
from mappings.source import ASK_S
from runs import engines, life, outcomes, planning, shared
from runs.claims import Claim
from runs.log import RunLog
from runs.models import Run
from runs.queueing import naive
from sources import windows
from targets.models import Target
from targets.params import target_params

NOTED_EVERY_S = 0.5
MOVED_ON_S = 0.1
"""How often the store is told how far a run is; the latter where its stage is another."""
TIDIED_EVERY = 25
"""After so many versions of a Delta table it is looked at: many small files become few."""
SETTLE_S = 600.0
"""So long a target is asked what it has of a run that ends without success."""
SETTLE_TRIES = 3
"""So often it is where somebody waits for the cancel."""
AGAIN_S = 1.0
LEFT_S = 5.0
"""A worker that is to stop waits so long for a store that is away, then leaves its run behind."""
WARNED_EVERY_S = 30.0
NOTED = ("stage", "rows_read", "rows_rejected", "progress", "engine", "target")

logger = logging.getLogger("runs")


class StopReason:
    """Why an attempt is to stop; the first that is given counts."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.word: str | None = None

    def give(self, word: str) -> None:
        """Stop because of a `cancel`, because the run is `lost`, or to be `handed back`."""
        self.word = self.word or word
        self.event.set()


@dataclass
class Attempt:
    """A claimed run on its way."""

    claim: Claim
    stop: StopReason
    worker: str
    stage: str = "plan"
    noted_at: float = 0.0
    noted_stage: str = "plan"
    progress: float | None = None

    def __post_init__(self) -> None:
        self.log = RunLog(self.claim.id, self.claim.attempt)

    def perform(self) -> None:
        """Do what is to be done, and note how it ended; never raises for what a run meets."""
        try:
            self._perform_or_end()
        finally:
            self.log.flush()

    def _perform_or_end(self) -> None:
        try:
            self._perform()
        except Exception as failure:
            if _is_store_away(failure):
                # It has read nothing yet: whatever comes later waits for the store.
                self.say("The store did not answer; the run goes back to the queue.", "warning")
                self._ended(lambda: outcomes.handed_back(self.claim))
                return
            logger.exception("The run %s ended unexpectedly", self.claim.id)
            problem = _internal(self.stage)
            self._end_badly(problem, RunReport(), None)

    def _perform(self) -> None:
        if self.claim.settled:
            self._settle()
            return
        self.say(f"Attempt {self.claim.attempt} begins on {self.worker}.")
        outcomes.begun(self.claim.run)
        spec: RunSpec | None = None
        try:
            shared.require_keys()
            spec = spec_of(self.claim)
            shared.require_folder(spec.target)
            self.claim.run["target"] = _target(spec)
            self._note()
            self._verify()
            report = running.run(spec, self.on_note, self.stop.event, self._deadline())
        except Stopped:
            self._stopped()
        except RunProblem as problem:
            self._end_badly(problem, problem.report, spec)
        except Problem as problem:
            self._end_badly(problem, RunReport(), spec)
        else:
            self._succeed(report, spec)

    def _verify(self) -> None:
        """Ask the source whether the mapping can run, before a row is read. Raises Problem.

        A source that does not answer is the engine's to tell, with its own codes; so is a plan
        that its mapping has left behind.
        """
        found = store.find_one(Mapping, {"_id": self.claim.run["mapping_id"]})
        if found is None:
            return
        mapping = Mapping.from_document(found)
        if planning.plan_of(mapping).id != self.claim.run.get("plan_id"):
            return
        try:
            verification = verify.verify(mapping.pk, ASK_S)
        except (NotFound, Stale):
            return
        if verification.status == VerificationStatus.BROKEN.value:
            why = next(one for one in verification.problems if one.code not in DRIFT)
            hint = HINTS.get(why.code, HINTS["mapping_incomplete"])
            raise Problem(why.code, why.message, hint=hint, stage="plan")

    def _deadline(self) -> float | None:
        """Return when the run has taken too long, on the monotonic clock."""
        if settings.RUN_TIMEOUT_S <= 0:
            return None
        started: datetime = self.claim.run["started_at"]
        gone = (naive(store.now()) - started).total_seconds()
        return time.monotonic() + max(0.0, settings.RUN_TIMEOUT_S - gone)

    # --- On the way -------------------------------------------------------------------------------

    def on_note(self, note: Note) -> None:
        """Tell the store how far the run is, now and then. A store that is down ends nothing."""
        self.stage = note.stage
        if note.progress is not None:
            self.progress = max(self.progress or 0.0, min(note.progress, 0.999))
        if note.message:
            self.say(note.message, note.level)
        self.claim.run.update(
            stage=note.stage,
            rows_read=note.rows_read,
            rows_rejected=note.rows_rejected,
            progress=self.progress,
            engine=note.engine,
        )
        every_s = NOTED_EVERY_S if note.stage == self.noted_stage else MOVED_ON_S
        if time.monotonic() - self.noted_at >= every_s:
            self._note()
        self.log.write()

    def _note(self) -> None:
        self.noted_at, self.noted_stage = time.monotonic(), self.stage
        change = {name: self.claim.run.get(name) for name in NOTED}
        try:
            with store.request_timeout():
                store.collection(Run).update_one(self.claim.condition, {"$set": change})
        except (PyMongoError, DatabaseError) as failure:
            logger.warning("A run's progress was not noted: %s", type(failure).__name__)

    def say(self, message: str, level: str = "info") -> None:
        """Add a line to the run's log."""
        self.log.say(self.stage, message, level)

    # --- The end ----------------------------------------------------------------------------------

    def _succeed(self, report: RunReport, spec: RunSpec) -> None:
        if report.found:
            self.say("The target has what an earlier attempt committed.", "warning")
        self.stage = "commit"
        target = _target(spec)
        if self._ended(lambda: outcomes.succeeded(self.claim, report, target)):
            self.say(
                f"Succeeded: {report.rows_read:,} rows read, {report.rows_written:,} written, "
                f"{report.rows_rejected:,} rejected."
            )
        if report.version and report.version % TIDIED_EVERY == 0:
            threading.Thread(target=_tidy, args=(spec,), name="tidy", daemon=True).start()

    def _stopped(self) -> None:
        if self.stop.word == "cancel":
            self._ended(lambda: outcomes.cancelled(self.claim))
            self.say("Cancelled.")
        elif self.stop.word == "handed back":
            self.say("The worker stops; the run goes to another.")
            self._ended(lambda: outcomes.handed_back(self.claim))

    def _end_badly(self, problem: Problem, report: RunReport, spec: RunSpec | None) -> None:
        """Try again, ask the target what it has, or fail."""
        error = told(problem, self.stage)
        self.stage = error["stage"]
        is_uncertain = spec is not None and (
            error["stage"] in life.UNCERTAIN_STAGES or error["code"] == "worker_lost"
        )
        self.say(f"{error['message']} ({error['code']})", "error")
        again = life.is_tried_again(error["code"], self.claim.attempt, settings.RUN_MAX_ATTEMPTS)
        if again and self.stop.word != "cancel":
            self._ended(lambda: outcomes.tried_again(self.claim, error, report, is_uncertain))
            return
        tokens = [*self.claim.lost_tokens, *([self.claim.token] if is_uncertain else [])]
        try:
            found = self._committed(spec, tokens)
        except Stopped:
            self._ended(lambda: outcomes.tried_again(self.claim, error, report, is_uncertain))
            return
        if spec is not None and found:
            self._succeed(found.report(report), spec)
        elif self.stop.word == "cancel":
            self._ended(lambda: outcomes.cancelled(self.claim))
        else:
            self._ended(lambda: outcomes.failed(self.claim, error, report))

    def _settle(self) -> None:
        """End a run that is not tried again, as its target says that it went."""
        self.stage = self.claim.run.get("stage") or "plan"
        spec: RunSpec | None = None
        try:
            spec = spec_of(self.claim)
        except Problem as problem:
            self.say(f"The target cannot be asked what it has: {problem.message}", "warning")
        try:
            found = self._committed(spec, self.claim.lost_tokens)
        except Stopped:
            self._ended(lambda: outcomes.handed_back(self.claim))
            return
        if spec is not None and found:
            self._succeed(found.report(), spec)
        elif self._is_cancelled():
            self._ended(lambda: outcomes.cancelled(self.claim))
            self.say("Cancelled.")
        else:
            error = self.claim.run.get("error") or told(_internal(self.stage), self.stage)
            self._ended(lambda: outcomes.failed(self.claim, error, _as_noted(self.claim.run)))

    def _is_cancelled(self) -> bool:
        return bool(self.claim.run.get("cancel_asked")) or self.stop.word == "cancel"

    def _committed(self, spec: RunSpec | None, tokens: list[str]) -> Found | None:
        """Return what the target has of the lost attempts, and let them commit no more.

        One that is away is asked again, for what it has is no failure. Raises Stopped where the run
        is to go to another worker, which will ask.
        """
        until, tries = time.monotonic() + SETTLE_S, 0
        while spec is not None and tokens:
            try:
                return asking.fence(spec.target, spec.plan, tokens)
            except Problem as problem:
                tries += 1
                if tries == 1:
                    self.say(f"The target does not say what it has: {problem.message}", "warning")
                is_over = (
                    tries >= SETTLE_TRIES if self._is_cancelled() else time.monotonic() > until
                )
                if is_over or problem.code not in life.TRIED_AGAIN:
                    self.say(
                        "It was asked no more; see in it whether it has rows of this run.",
                        "warning",
                    )
                    break
            self._wait_for_target()
        return None

    def _wait_for_target(self) -> None:
        self.log.flush()
        if self._is_cancelled():
            time.sleep(settings.RUN_RETRY_PAUSE_S)
            return
        if self.stop.event.wait(settings.RUN_RETRY_PAUSE_S) and self.stop.word == "handed back":
            raise Stopped

    def _ended(self, write: Any) -> bool:
        """Write how the run ended, however long the store is away; tell whether it counted.

        Where the run was taken away meanwhile, its end is for whoever has it. So it is where this
        worker is to stop: the next one finds the run lost, and asks the target what it has.
        """
        self.log.flush()
        away_since, warned_at = time.monotonic(), 0.0
        while self.stop.word != "lost":
            is_leaving = self.stop.word == "handed back"
            try:
                with store.request_timeout() if is_leaving else store.batch_timeout():
                    return bool(write())
            except (PyMongoError, DatabaseError, ServiceError) as failure:
                is_left = is_leaving and time.monotonic() > away_since + LEFT_S
                if is_left or time.monotonic() - warned_at > WARNED_EVERY_S:
                    warned_at = time.monotonic()
                    logger.warning(
                        "The end of the run %s is not noted%s: %s",
                        self.claim.id,
                        ", and left to another worker" if is_left else " yet",
                        type(failure).__name__,
                    )
                if is_left:
                    break
                time.sleep(AGAIN_S)
        return False


def _tidy(spec: RunSpec) -> None:
    """Keep a table quick to read. Nothing waits for it, and runs go first."""
    try:
        asking.tidy(spec.target, spec.plan.table)
    except Problem as problem:
        logger.warning("The table %s was not tidied: %s", spec.plan.table, problem.message)


def _is_store_away(failure: Exception) -> bool:
    return isinstance(failure, StoreUnavailable) or any(
        store.is_unavailable(one) for one in (failure, failure.__cause__)
    )


def _as_noted(run: Stored) -> RunReport:
    return RunReport(
        rows_read=int(run.get("rows_read") or 0), rows_rejected=int(run.get("rows_rejected") or 0)
    )


def _target(spec: RunSpec) -> dict[str, Any]:
    return {"kind": spec.target.kind, "table": spec.plan.table, "version": None}


def told(problem: Problem, stage: str) -> Stored:
    """Return a problem as a run tells it."""
    known = problem.stage if problem.stage in life.STAGES else stage
    return {
        "code": problem.code,
        "stage": known,
        "message": problem.message,
        "hint": problem.hint or "See the log of the run.",
    }


def _internal(stage: str) -> Problem:
    return Problem(
        "internal_error",
        "The run failed in a way that nobody foresaw.",
        stage=stage,
        hint="The log of the worker says how; run it again.",
    )


# --- What the engine is told ----------------------------------------------------------------------


def spec_of(claim: Claim) -> RunSpec:
    """Return all that the engine needs: the plan of then, the logins of now. Raises Problem."""
    content = planning.content_of(claim.run.get("plan_id"))
    if content is None:
        raise _gone("internal_error", "The plan of the run is gone.", "Run the mapping again.")
    means = engines.means_of(content.get("engine"))
    source = _source(claim.run)
    target = _opened_target(claim.run)
    filled = {**content, "source_query": _filled(content["source_query"], source.kind, claim.run)}
    return RunSpec(
        plan=engine_plan(claim, filled),
        source=source,
        target=target,
        token=claim.token,
        lost_tokens=claim.lost_tokens,
        means=means,
        cluster=engines.cluster_for(means, source, target),
    )


def _filled(query: str, kind: str, run: Stored) -> str:
    """Return the query with the window that the run keeps."""
    start, end = run.get("slot_start"), run.get("slot_end")
    if start is None or end is None:
        return query
    return windows.fill(query, kind, start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))


def engine_plan(claim: Claim, content: Stored) -> Plan:
    """Return a kept plan in the engine's words. Raises Problem `mapping_incomplete`."""
    cursor = content.get("cursor_column")
    return Plan(
        query=content["source_query"],
        rules=tuple(_rule(rule) for rule in content["rules"]),
        columns=tuple(Field(one["name"], one["data_type"]) for one in content["columns"]),
        table=content["target_table"],
        write_mode=content["write_mode"],
        mapping_id=str(claim.run["mapping_id"]),
        run_id=str(claim.id),
        loaded_at=datetime.now(UTC),
        key_fields=tuple(content["key_fields"] or ()),
        cursor=CursorWindow(cursor, lag_s=content["cursor_lag_s"] or 0) if cursor else None,
        max_rejected=content["max_rejected"],
        full_refresh=bool(claim.run.get("full_refresh")),
        split_column=content["split_column"],
    )


def _rule(rule: Stored) -> Rule:
    config = rule.get("config") or {}
    return Rule(
        id=str(rule["id"]),
        type=str(rule["type"]),
        source_columns=tuple(rule["source_columns"] or ()),
        target_fields=tuple(rule["target_fields"] or ()),
        delimiter=config.get("delimiter"),
        separator=config.get("separator"),
        overflow=config.get("overflow") or "drop",
    )


def _source(run: Stored) -> Any:
    found = store.find_one(Connection, {"_id": run.get("connection_id")})
    if found is None:
        raise _gone(
            "connection_gone",
            f'The connection "{run.get("connection_name")}" was removed.',
            "Give the mapping another connection, then run it again.",
        )
    try:
        return Connection.from_document(found).params()
    except UnreadableSecret as unreadable:
        raise _gone(
            "secret_unreadable",
            unreadable.detail,
            "Enter the connection's secrets again, or give the worker the key they need.",
        ) from unreadable


def _opened_target(run: Stored) -> TargetParams:
    identifier = run.get("target_id")
    found = store.find_one(Target, {"_id": identifier}) if identifier else None
    if identifier and found is None:
        raise _gone(
            "target_gone",
            "The run's target was removed.",
            "Give the mapping another target, then run it again.",
        )
    try:
        return target_params(Target.from_document(found) if found else None)
    except UnreadableSecret as unreadable:
        raise _gone(
            "secret_unreadable",
            unreadable.detail,
            "Enter the target's secrets again, or give the worker the key they need.",
        ) from unreadable


def _gone(code: str, message: str, hint: str) -> Problem:
    return Problem(code, message, stage="plan", hint=hint)
