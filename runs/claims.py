"""How workers come by runs, and how they lose them.

A claim is one conditional write. What it holds is under a unique index, so that no two workers run
one mapping at once, or read one source more often than they may; nothing depends on who looked
first.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from django.conf import settings
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from common.documents import store
from common.documents.store import Stored
from runs import last_run, life
from runs.models import Run
from runs.queueing import naive

LOST_AFTER_S = 12.0
"""So long a running run may show no sign of life before another worker takes it up."""
AWAY_S = 6.0
"""After so long without a look nobody is taken for lost by what was seen before."""

SEEN = (
    "mapping_id", "mapping_name", "status", "attempt", "trigger", "slot", "queued_at", "not_before",
    "plan_version", "connection_id", "connection_name", "holds", "token", "heartbeat",
    "cancel_asked", "lost_tokens", "warnings", "schedule_id",
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A run that is this worker's: as it was before, and the token that only this attempt has.

    One that is to be `settled` is not tried again: it ends as its target says it did.
    """

    run: Stored
    token: str
    attempt: int
    settled: bool

    @property
    def id(self) -> ObjectId:
        return ObjectId(self.run["_id"])

    @property
    def condition(self) -> Stored:
        """Return what holds while the run is still this worker's."""
        return {"_id": self.run["_id"], "status": "running", "token": self.token}

    @property
    def lost_tokens(self) -> list[str]:
        return list(self.run.get("lost_tokens") or ())


Takes = Callable[[Stored], bool]
"""Tells whether a worker takes a run."""


def takes_all(run: Stored) -> bool:
    return True


def live_runs(among: Stored | None = None) -> list[Stored]:
    """Return what claiming needs to know of the runs that have not ended."""
    condition = {"status": {"$in": list(life.LIVE)}, **(among or {})}
    return list(store.collection(Run).find(condition, dict.fromkeys(SEEN, 1)))


def live_beside(run: Stored) -> list[Stored]:
    """Return the runs that have not ended and that wait for a run, or it for them: those of its
    mapping, and those that read its source.
    """
    found = [live_runs({name: run.get(name)}) for name in ("mapping_id", "connection_id")]
    return list({each["_id"]: each for some in found for each in some}.values())


class Queue:
    """The runs that had not ended when the store was last asked.

    Claims are conditional writes, so that an old look costs a try in vain and no more: one look
    serves several claims, however many runs wait.
    """

    FRESH_S = 1.0

    def __init__(
        self,
        worker: str,
        takes: Takes = takes_all,
        look: Callable[[], list[Stored]] = live_runs,
    ) -> None:
        self.worker = worker
        self.takes = takes
        self.look = look
        self.live: list[Stored] = []
        self.looked_at = float("-inf")

    def claim(self) -> Claim | None:
        """Return the first run that waits and may begin, now the worker's; None where none may."""
        is_fresh = time.monotonic() < self.looked_at + self.FRESH_S
        if is_fresh and (claim := self._claim()):
            return claim
        self.looked_at, self.live = time.monotonic(), self.look()
        return self._claim()

    def _claim(self) -> Claim | None:
        for run in filter(self.takes, life.candidates(self.live, naive(store.now()))):
            claim = _take(run, self.live, self.worker)
            # Another worker may have it, or what it needs: its mapping is busy until the next look.
            run.update(status="running", holds=claim.run["holds"] if claim else run.get("holds"))
            if claim:
                return claim
        return None


def _take(run: Stored, live: Sequence[Stored], worker: str) -> Claim | None:
    is_settled = bool(run.get("cancel_asked")) or run["attempt"] >= settings.RUN_MAX_ATTEMPTS
    holds = [life.holds_mapping(run["mapping_id"])]
    if is_settled:
        return _taken(run, worker, run["attempt"], holds, is_settled)
    places = life.free_places(live, run.get("connection_id"), settings.RUN_MAX_PER_SOURCE)
    if not places:
        return None
    # Any of them: who claims at the same time shall not meet at the first.
    holds.append(secrets.choice(places))
    return _taken(run, worker, run["attempt"] + 1, holds, is_settled)


def _taken(
    run: Stored, worker: str, attempt: int, holds: list[str], is_settled: bool
) -> Claim | None:
    token, now = secrets.token_hex(16), naive(store.now())
    begun: Stored = {
        "status": "running",
        "token": token,
        "worker": worker,
        "attempt": attempt,
        "holds": holds,
        "heartbeat": 0,
        "not_before": None,
    }
    if not is_settled:
        begun |= {"stage": "plan", "error": None, "progress": None}
        begun |= {"rows_read": 0, "rows_written": 0, "rows_rejected": 0, "warnings": []}
    runs = store.collection(Run)
    as_seen = {"_id": run["_id"], "status": "queued", "attempt": run["attempt"]}
    before = runs.find_one(as_seen)
    if before is None:
        return None
    if not is_settled and before.get("started_at") is None:
        begun["started_at"] = now
    as_seen["cancel_asked"] = before.get("cancel_asked")
    try:
        written = runs.update_one(as_seen, {"$set": begun})
    except DuplicateKeyError:
        # Another run holds the mapping, or took the place at the source.
        return None
    if not written.modified_count:
        return None
    last_run.follow(before, "running")
    return Claim({**before, **begun, "before": before}, token, attempt, is_settled)


# --- Signs of life --------------------------------------------------------------------------------


def beat(claims: Sequence[Claim]) -> None:
    """Show that runs are under way."""
    signs = [UpdateOne(held.condition, {"$inc": {"heartbeat": 1}}) for held in claims]
    if signs:
        store.collection(Run).bulk_write(signs, ordered=False)


def orders(claims: Sequence[Claim]) -> dict[str, str | None]:
    """Return what claims, by token, are to do: "cancel", "lost" where it is another's, or None."""
    ids = [held.id for held in claims]
    names = {"token": 1, "cancel_asked": 1, "status": 1}
    found = {run["_id"]: run for run in store.collection(Run).find({"_id": {"$in": ids}}, names)}
    return {held.token: _order(held, found.get(held.id)) for held in claims}


def _order(held: Claim, run: Stored | None) -> str | None:
    if run is None or run.get("token") != held.token:
        return "lost"
    return "cancel" if run.get("cancel_asked") else None


class Watch:
    """Finds runs whose worker is gone: by this machine's clock alone, whatever others' say.

    While it could not look, as the store was away, nobody could show a sign of life either.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.seen: dict[Any, tuple[Any, float]] = {}
        self.looked_at = clock()

    def lost(self, live: Sequence[Stored]) -> list[Stored]:
        """Return the running runs that have shown no sign of life for `LOST_AFTER_S`."""
        now, seen = self.clock(), {}
        if now - self.looked_at > AWAY_S:
            self.seen = {}
        self.looked_at = now
        for run in live:
            if run["status"] == "running":
                sign = (run.get("token"), run.get("heartbeat"))
                last = self.seen.get(run["_id"])
                seen[run["_id"]] = last if last and last[0] == sign else (sign, now)
        self.seen = seen
        return [
            run for run in live if run["_id"] in seen and now - seen[run["_id"]][1] >= LOST_AFTER_S
        ]
