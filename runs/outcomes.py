"""How an attempt ends: each way is one conditional write, while the run is still the worker's.

Whoever wants to know, such as those who tell people, registers and is called in the transaction of
that write: `on_end(listener)`. That an attempt begins is told by `on_begin(listener)`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings

from common.documents import store
from common.documents.store import Stored
from engine.messages import RunReport
from runs import last_run, life, numbers, rejected
from runs.claims import Claim
from runs.models import Run
from runs.queueing import naive
from runs.starting import duration_ms

Listener = Callable[[Stored], None]
"""Called with the document of a run."""

_listeners: list[Listener] = []
_of_beginnings: list[Listener] = []
FREE: Stored = {"holds": None, "token": None, "not_before": None}


def on_end(listener: Listener) -> None:
    """Have `listener` called with each run that ends by a worker, in the transaction of its end."""
    _listeners.append(listener)


def on_begin(listener: Listener) -> None:
    """Have `listener` called with each run of which a worker begins an attempt."""
    _of_beginnings.append(listener)


def begun(run: Stored) -> None:
    """Tell those who want to know that an attempt begins."""
    for listener in _of_beginnings:
        listener(run)


def succeeded(claim: Claim, report: RunReport, target: dict[str, Any]) -> bool:
    """Note that a run has committed; tell whether it was still the worker's.

    What an earlier attempt had committed is told by the target, and by what that one noted last.
    """
    read, refused = report.rows_read, report.rows_rejected
    written, version = report.rows_written, report.version
    if report.found:
        before = claim.run["before"] if report.found_token != claim.token else claim.run
        refused = refused or int(before.get("rows_rejected") or 0)
        # The worker may have ended before it noted the last of them.
        read = max(read or int(before.get("rows_read") or 0), written + refused)
    return _ended(
        claim,
        "succeeded",
        {
            "stage": "commit",
            "progress": 1.0,
            "rows_read": read,
            "rows_written": written,
            "rows_rejected": refused,
            "rejected_kept": rejected.keep(claim.id, report.rejected),
            "warnings": report.warnings,
            "cursor_from": report.cursor_from,
            "cursor_to": report.cursor_to,
            "target": {**target, "version": version},
            "error": None,
        },
    )


def failed(claim: Claim, error: Stored, report: RunReport) -> bool:
    """Note that a run has failed for good."""
    kept = rejected.keep(claim.id, report.rejected)
    found = {"error": error, "stage": error["stage"], "rejected_kept": kept, **_counts(report)}
    return _ended(claim, "failed", found)


def cancelled(claim: Claim) -> bool:
    return _ended(claim, "cancelled", {})


def tried_again(claim: Claim, error: Stored, report: RunReport, is_uncertain: bool) -> bool:
    """Let a run wait for its next attempt. Its mapping waits with it."""
    now = naive(store.now())
    change = {
        "status": "queued",
        "error": error,
        "stage": error["stage"],
        "token": None,
        "holds": [life.holds_mapping(claim.run["mapping_id"])],
        "not_before": life.next_moment(now, claim.attempt, settings.RUN_RETRY_PAUSE_S),
        "rejected_kept": rejected.keep(claim.id, report.rejected),
        **_counts(report),
    }
    if is_uncertain:
        change["lost_tokens"] = [*claim.lost_tokens, claim.token]
    return _written(claim, change)


def handed_back(claim: Claim) -> bool:
    """Let another worker have a run; the attempt counts as none."""
    attempt = claim.attempt if claim.settled else claim.attempt - 1
    change: Stored = {"status": "queued", "token": None, "attempt": attempt, "progress": None}
    if attempt == 0:
        change |= {"holds": None, "started_at": None, "stage": None, "worker": None}
        change |= {"rows_read": 0, "rows_rejected": 0, "target": None}
    else:
        change |= {"holds": [life.holds_mapping(claim.run["mapping_id"])]}
        change |= {"error": claim.run["before"].get("error")}
    return _written(claim, change)


def worker_lost(run: Stored) -> bool:
    """Take a run from a worker that shows no sign of life; tell whether it still showed none.

    What that one may have committed is asked of the target before anything else is done.
    """
    now = naive(store.now())
    error = {
        "code": "worker_lost",
        "stage": "extract",
        "message": "The worker of the run shows no sign of life.",
        "hint": "It is tried again; see why the worker ended, such as a lack of memory.",
    }
    change = {
        "status": "queued",
        "error": error,
        "token": None,
        "holds": [life.holds_mapping(run["mapping_id"])],
        "not_before": life.next_moment(now, run["attempt"], settings.RUN_RETRY_PAUSE_S),
        "lost_tokens": [*(run.get("lost_tokens") or ()), run["token"]],
    }
    if run["attempt"] >= settings.RUN_MAX_ATTEMPTS:
        change["not_before"] = None
    as_seen = {name: run.get(name) for name in ("_id", "status", "token", "heartbeat")}
    taken = store.collection(Run).update_one(as_seen, {"$set": change}).modified_count
    if taken:
        last_run.follow(run, "queued")
    return bool(taken)


def _counts(report: RunReport) -> Stored:
    return {
        "rows_read": report.rows_read,
        "rows_written": 0,
        "rows_rejected": report.rows_rejected,
    }


def _ended(claim: Claim, status: str, change: Stored) -> bool:
    now = naive(store.now())
    started: datetime | None = claim.run.get("started_at")
    ended = {
        "status": status,
        "ended_at": now,
        "duration_ms": duration_ms(started, now),
        **FREE,
        **change,
    }
    return store.transaction(lambda: _written(claim, ended, tell=True))


def _written(claim: Claim, change: Stored, tell: bool = False) -> bool:
    session = store.mongodb.session
    runs = store.collection(Run)
    written = runs.update_one(claim.condition, {"$set": change}, session=session)
    if not written.matched_count:
        return False
    last_run.follow(claim.run, change["status"])
    if tell:
        run = runs.find_one({"_id": claim.id}, session=session) or {}
        numbers.count_ended(run)
        for listener in _listeners:
            listener(run)
    return True
