"""Which of the slots that are due run, and why the others do not. Nothing here asks the store."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

LATE = timedelta(seconds=30)
"""What is later than this is caught up, if it runs at all."""
MAX_RECORDS = 1000
MAX_WAITING = 1000


@dataclass(frozen=True)
class Rules:
    """What a schedule says of slots; its jitter is counted from each of them."""

    overlap: str = "skip"
    catch_up: str = "latest"
    catch_up_window: timedelta = timedelta(hours=1)
    jitter: timedelta = timedelta()


@dataclass(frozen=True)
class Situation:
    """What else decides: whether its mapping is there, and what of the schedule is not done.

    `is_busy` tells of a run with the trigger `schedule` that was not caught up; `waiting` counts
    those that are queued.
    """

    mapping_gone: bool = False
    is_busy: bool = False
    waiting: int = 0


@dataclass(frozen=True)
class Decision:
    """A slot that runs, or with a `reason` one that does not, and how many stand behind it."""

    slot: datetime
    reason: str | None = None
    skipped_slots: int | None = None


def jitter_of(schedule_id: object, jitter_s: int) -> timedelta:
    """Return how long after its slot a schedule's run is queued: always the same for its id."""
    digest = hashlib.sha256(str(schedule_id).encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8]) % (jitter_s + 1))


def jitter_of_stored(schedule: dict[str, Any]) -> timedelta:
    """Return the jitter of a stored schedule; none where another program stored nonsense."""
    jitter_s = schedule.get("jitter_s")
    return jitter_of(schedule["_id"], max(jitter_s, 0) if isinstance(jitter_s, int) else 0)


def decide(
    slots: Sequence[datetime],
    now: datetime,
    rules: Rules,
    situation: Situation,
    taken: Collection[datetime] = (),
) -> list[Decision]:
    """Return what becomes of slots that have come, in their order: oldest first.

    Slots whose jitter is not over are not due, and left out; so are those `taken`, which have a
    run: where the newest has one, none of the others is the newest. Of those that do not run the
    newest `MAX_RECORDS` have a decision each; the older ones share that of the oldest.
    """
    due = [slot for slot in slots if slot + rules.jitter <= now]
    decisions: list[Decision] = []
    waiting = situation.waiting
    for position, slot in enumerate(due):
        if slot in taken:
            continue
        is_newest = position == len(due) - 1
        reason = _reason(now - slot - rules.jitter, is_newest, rules, situation, waiting)
        waiting += reason is None
        decisions.append(Decision(slot, reason, None if reason is None else 1))
    return _with_shared_record(decisions)


def _reason(
    lateness: timedelta, is_newest: bool, rules: Rules, situation: Situation, waiting: int
) -> str | None:
    """Return why a slot does not run: the first reason that holds; None where it runs."""
    if situation.mapping_gone:
        return "mapping_gone"
    if lateness > LATE and lateness > rules.catch_up_window:
        return "too_late"
    if not _is_taken(lateness, is_newest, rules.catch_up):
        return "missed"
    if rules.overlap == "skip" and situation.is_busy:
        return "overlap"
    return "queue_full" if waiting >= MAX_WAITING else None


def _is_taken(lateness: timedelta, is_newest: bool, catch_up: str) -> bool:
    if catch_up == "all":
        return True
    return is_newest and (catch_up == "latest" or lateness <= LATE)


def _with_shared_record(decisions: list[Decision]) -> list[Decision]:
    skipped = [decision for decision in decisions if decision.reason]
    older = skipped[:-MAX_RECORDS]
    if not older:
        return decisions
    shared = Decision(older[0].slot, older[0].reason, len(older))
    left_out = {decision.slot for decision in older}
    return [shared, *(decision for decision in decisions if decision.slot not in left_out)]
