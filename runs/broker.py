"""Workers that a broker tells of runs: the same as any other, but woken by messages.

`look` is what a message has a process of the broker's library do. A `Keeper` lives beside these: it
announces what nobody has claimed, and does all that workers do beside runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from bson import ObjectId
from django.conf import settings

from common.documents import store
from common.documents.store import Stored
from runs import claims, dispatch, life, routing
from runs.models import Run
from runs.queueing import naive
from runs.worker import ORDERS_EVERY_S, Worker

TURN_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
"""A run that nobody claims is announced again after this, each time after twice as long."""


def look(run_id: ObjectId, is_leaving: Callable[[], bool]) -> bool:
    """Do the run that a message names, if it may begin; tell whether it was.

    What may begin after it, of its mapping or at its source, is announced; so is, by a `Keeper`,
    what no message names any more. `is_leaving` is asked now and then: the run is handed back where
    it says yes.
    """
    return Errand(run_id).work_once(is_leaving)


def _has_place(run: Stored) -> bool:
    """Tell whether the source has room; most messages of a long queue end here, at little cost."""
    if run.get("cancel_asked"):
        return True
    reads = {"connection_id": run.get("connection_id"), "status": "running"}
    most = settings.RUN_MAX_PER_SOURCE
    return store.count(Run, reads, limit=most) < most


def ready(live: Sequence[Stored]) -> list[Stored]:
    """Return the runs that may begin now: of each connection as many as have a place there."""
    places: dict[ObjectId | None, int] = {}
    found = []
    for run in life.candidates(live, naive(store.now())):
        source = run.get("connection_id")
        if source not in places:
            free = life.free_places(live, source, settings.RUN_MAX_PER_SOURCE)
            places[source] = len(free)
        places[source] -= 1
        if places[source] >= 0:
            found.append(run)
    return found


class Errand(Worker):
    """A worker for one run."""

    def __init__(self, run_id: ObjectId) -> None:
        super().__init__(1)
        self.run_id = run_id

    def work_once(self, is_leaving: Callable[[], bool]) -> bool:
        """Do the run, if it may begin, to its end; tell whether it was done."""
        claim = None if is_leaving() else self._guarded(self._claim)
        if claim is None:
            return False
        self._begin(claim)
        while held := [one for one, _, _ in self._held()]:
            self._guarded(partial(claims.beat, held))
            self._guarded(self._hear)
            if is_leaving():
                self._stop_all("handed back")
            self._wait(ORDERS_EVERY_S)
        self._guarded(lambda: dispatch.announce(ready(claims.live_beside(claim.run))))
        return True

    def _takes(self, run: Stored) -> bool:
        return bool(run["_id"] == self.run_id)

    def _live_runs(self) -> list[Stored]:
        """Return what the run may wait for, and itself; nothing where its source has no place."""
        run = store.find_one(Run, {"_id": self.run_id})
        return claims.live_beside(run) if run is not None and _has_place(run) else []


class Keeper(Worker):
    """Beside the processes that do runs, without any of its own."""

    def __init__(self, concurrency: int, queues: Sequence[str], busy: Callable[[], int]) -> None:
        super().__init__(concurrency)
        self.queues = list(queues)
        self.busy = busy
        self.announced: dict[ObjectId, tuple[int, float, float]] = {}

    def _prepare(self) -> None:
        """What moves rows is started where runs are done."""

    def _turn(self) -> float:
        self._guarded(self._announce)
        return TURN_S

    def _announce(self) -> None:
        """Tell of runs that might have begun, and whose message may be lost."""
        may_begin, workers = ready(claims.live_runs()), routing.living_workers()
        gone = self.announced.keys() - {run["_id"] for run in may_begin}
        for run_id in gone:
            del self.announced[run_id]
        dispatch.announce(
            run for run in may_begin
            if any(routing.takes(one, run.get("connection_name")) for one in workers)
            and self._is_due(run)
        )  # fmt: skip

    def _is_due(self, run: Stored) -> bool:
        """Tell whether a run is to be announced now, and note that it was."""
        now = time.monotonic()
        attempt, due, pause_s = self.announced.get(run["_id"], (-1, 0.0, FIRST_PAUSE_S))
        if attempt == run["attempt"] and now < due:
            return False
        again_s = min(2 * pause_s, LONGEST_PAUSE_S) if attempt == run["attempt"] else FIRST_PAUSE_S
        self.announced[run["_id"]] = (run["attempt"], now + again_s, again_s)
        return True

    def _sign(self) -> Stored:
        return super()._sign() | {"connections": None, "queues": self.queues,
                                  "running": self.busy()}  # fmt: skip
