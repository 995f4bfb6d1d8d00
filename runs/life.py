"""The life of a run: its words, and which way it may go. Nothing here asks the store.

queued → running → succeeded | failed | cancelled       skipped
   ↑________|  between attempts, or handed back
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

STATUSES = ("queued", "running", "succeeded", "failed", "cancelled", "skipped")
LIVE = ("queued", "running")
ENDED = ("succeeded", "failed", "cancelled", "skipped")
RETRIED = ("failed", "cancelled", "skipped")
TRIGGERS = ("manual", "schedule", "backfill", "retry")
STAGES = ("plan", "extract", "transform", "load", "commit")
SKIP_REASONS = ("mapping_gone", "too_late", "missed", "overlap", "queue_full")

PLAN_VERSION = 1
"""Of what a worker understands: it leaves alone what a newer version planned."""
MAX_QUEUED_MANUAL = 100
PAUSE_GROWS = 3

TRIED_AGAIN = frozenset(
    {
        "source_unreachable",
        "source_timeout",
        "target_unreachable",
        "target_timeout",
        "worker_lost",
        # The engine's words for what passes by itself.
        "too_many_connections",
        "deadlock",
        "server_going_down",
    }
)
UNCERTAIN_STAGES = frozenset({"load", "commit"})
"""Where an attempt that failed may have committed all the same."""

Stored = dict[str, Any]


def is_tried_again(code: str, attempt: int, max_attempts: int) -> bool:
    return code in TRIED_AGAIN and attempt < max_attempts


def pause_s(attempt: int, first_pause_s: float) -> float:
    """Return the seconds between the end of an attempt, counted from 1, and the next one."""
    return first_pause_s * PAUSE_GROWS ** max(attempt - 1, 0)


def next_moment(now: datetime, attempt: int, first_pause_s: float) -> datetime:
    return now + timedelta(seconds=pause_s(attempt, first_pause_s))


def holds_mapping(mapping_id: Any) -> str:
    return f"mapping/{mapping_id}"


def holds_source(connection_id: Any, place: int) -> str:
    return f"source/{connection_id}/{place}"


def turn(run: Stored) -> tuple[bool, bool, datetime, datetime]:
    """Return what waiting runs are ordered by, the first to go first.

    One that has begun goes on; backfills come last; then by slot, or when it was queued.
    """
    has_slot = run.get("trigger") in ("schedule", "backfill") and run.get("slot")
    moment = run["slot"] if has_slot else run["queued_at"]
    return (not run.get("attempt"), run.get("trigger") == "backfill", moment, run["queued_at"])


def candidates(live: Iterable[Stored], now: datetime) -> list[Stored]:
    """Return the runs that may begin now, the first to go first: one of each idle mapping.

    A mapping is busy with the run that is under way, or that waits for its next attempt.
    """
    live = list(live)
    busy = {run["mapping_id"] for run in live if run["status"] == "running"}
    first: dict[Any, Stored] = {}
    for run in sorted((run for run in live if run["status"] == "queued"), key=turn):
        first.setdefault(run["mapping_id"], run)
    return [
        run
        for mapping_id, run in first.items()
        if mapping_id not in busy
        and run.get("plan_version", 1) <= PLAN_VERSION
        and (run.get("cancel_asked") or (run.get("not_before") or now) <= now)
    ]


def places_taken(live: Iterable[Stored], connection_id: Any) -> set[str]:
    """Return which places at a source are held."""
    prefix = f"source/{connection_id}/"
    return {held for run in live for held in run.get("holds") or () if str(held).startswith(prefix)}


def free_places(live: Iterable[Stored], connection_id: Any, most: int) -> list[str]:
    """Return the places at a source that nobody holds, out of `most`."""
    taken = places_taken(live, connection_id)
    places = [holds_source(connection_id, place) for place in range(most)]
    return [place for place in places if place not in taken]
