"""A worker: it claims runs from the store, does them side by side, and looks after those of others.

One thread claims, one shows signs of life and hears of cancels, and each run has one of its own;
the work itself is done in children of the engine. Duties beside runs have threads, too.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from typing import TypeVar

from bson import ObjectId
from django.conf import settings
from django.db import DatabaseError
from pymongo.errors import PyMongoError

from common.documents import store
from common.documents.store import Stored
from common.exceptions import ServiceError
from engine import asking
from runs import claims, duties, outcomes, routing
from runs.attempt import Attempt, StopReason
from runs.claims import Claim, Queue, Watch
from runs.duties import Duty
from runs.log import RunLog
from runs.models import WORKERS
from runs.outside import HandedOver
from runs.queueing import naive

IDLE_S = 0.05
"""How often an idle worker looks for runs."""
ORDERS_EVERY_S = 0.5
BEAT_EVERY_S = 2.0
LOOK_EVERY_S = 2.0
DOWN_S = 1.0
LOOK_SHARE = 5
"""Looking for runs takes at most a fifth of a worker's time, however many wait."""
T = TypeVar("T")
STORE_TROUBLE = (PyMongoError, DatabaseError, ServiceError)

logger = logging.getLogger("runs")


class Worker:
    """Does runs until it is told to stop."""

    def __init__(
        self, concurrency: int, connections: str = "*", only: ObjectId | None = None
    ) -> None:
        self.concurrency = concurrency
        self.connections = connections
        self.only = only
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.id = f"{self.name}:{secrets.token_hex(4)}"
        self.stopping = threading.Event()
        self.woken = threading.Event()
        self.left = threading.Event()
        self.active: dict[str, tuple[Claim, StopReason, threading.Thread]] = {}
        self.lock = threading.Lock()
        self.queue = Queue(self.name, self._takes, self._live_runs)
        self.watch = Watch()
        self.complaints = Complaints()

    # --- From its start to its end ----------------------------------------------------------------

    def work(self, grace_s: float = 5.0) -> None:
        """Do runs until `stop`; then let them end for `grace_s`, and hand the rest back."""
        self._prepare()
        tender = threading.Thread(target=self._tend, name="tender", daemon=True)
        tender.start()
        self._take_on_duties()
        while not self.stopping.is_set():
            self._wait(self._turn())
        self._wind_up(grace_s)
        self.left.set()
        tender.join(5)
        self._leave()

    def _prepare(self) -> None:
        asking.warm()

    def stop(self) -> None:
        """End soon. Told twice, at once: what runs is handed back."""
        if self.stopping.is_set():
            self._stop_all("handed back")
        self.stopping.set()
        self.woken.set()

    def _wait(self, seconds: float) -> None:
        self.woken.wait(seconds)
        self.woken.clear()

    def _wind_up(self, grace_s: float) -> None:
        until = time.monotonic() + grace_s
        while self._held() and time.monotonic() < until:
            time.sleep(0.05)
        self._stop_all("handed back")
        for _, _, thread in self._held():
            thread.join()

    def _leave(self) -> None:
        gone = {"_id": self.id}
        self._guarded(lambda: store.named(WORKERS).delete_one(gone), store.request_timeout)

    # --- Claiming ---------------------------------------------------------------------------------

    def _turn(self) -> float:
        """Begin a run if one may begin; return how long to wait for the next look."""
        if len(self._held()) >= self.concurrency:
            return IDLE_S
        started = time.monotonic()
        claim = self._guarded(self._claim)
        if claim:
            self._begin(claim)
            return 0.0
        return max(IDLE_S, (time.monotonic() - started) * LOOK_SHARE)

    def _claim(self) -> Claim | None:
        return self.queue.claim()

    def _takes(self, run: Stored) -> bool:
        if self.only not in (None, run["mapping_id"]):
            return False
        return fnmatchcase(str(run.get("connection_name") or ""), self.connections)

    def _live_runs(self) -> list[Stored]:
        return claims.live_runs()

    def _begin(self, claim: Claim) -> None:
        stop = StopReason()
        kind = HandedOver if settings.RUN_DISPATCH_URL else Attempt
        attempt = kind(claim, stop, self.name)
        thread = threading.Thread(
            target=self._perform, args=(attempt,), name=f"run {claim.id}", daemon=True
        )
        with self.lock:
            self.active[claim.token] = (claim, stop, thread)
        thread.start()

    def _perform(self, attempt: Attempt) -> None:
        try:
            attempt.perform()
        finally:
            with self.lock:
                del self.active[attempt.claim.token]
            self.woken.set()

    def _held(self) -> list[tuple[Claim, StopReason, threading.Thread]]:
        with self.lock:
            return list(self.active.values())

    def _stop_all(self, word: str) -> None:
        for _, stop, _ in self._held():
            stop.give(word)

    # --- Tending ----------------------------------------------------------------------------------

    def _tend(self) -> None:
        """Show signs of life, hear of cancels, take up lost runs, remove what is old."""
        jobs = [
            (ORDERS_EVERY_S, self._hear),
            (BEAT_EVERY_S, self._beat),
            (LOOK_EVERY_S, self._look_after),
        ]
        due = [0.0] * len(jobs)
        while not self.left.is_set():
            for index, (every_s, job) in enumerate(jobs):
                if time.monotonic() >= due[index]:
                    due[index] = time.monotonic() + every_s
                    self._guarded(job)
            self.left.wait(0.1)

    def _beat(self) -> None:
        claims.beat([claim for claim, _, _ in self._held()])
        if self.only is None:
            sign = self._sign() | {"at": naive(store.now()), "version": settings.VERSION}
            store.named(WORKERS).update_one({"_id": self.id}, {"$set": sign}, upsert=True)

    def _sign(self) -> Stored:
        """Return what others may know of this worker, and which runs it takes."""
        return {
            "name": self.name,
            "concurrency": self.concurrency,
            "running": len(self._held()),
            "connections": self.connections,
        }

    def _hear(self) -> None:
        held = self._held()
        if not held:
            return
        orders = claims.orders([claim for claim, _, _ in held])
        for claim, stop, _ in held:
            if word := orders[claim.token]:
                stop.give(word)

    def _look_after(self) -> None:
        """Take up the runs of lost workers, and note on others that nobody takes them."""
        live = claims.live_runs()
        mine = {claim.token for claim, _, _ in self._held()}
        for run in self.watch.lost(live):
            if run["token"] not in mine and outcomes.worker_lost(run):
                RunLog(run["_id"], run["attempt"]).say(None, "The worker was lost.", "error")
                self.woken.set()
        routing.note_unroutable(live)

    # --- Beside runs ------------------------------------------------------------------------------

    def _take_on_duties(self) -> None:
        """Begin what is to be done beside runs; one that is here for one mapping does none."""
        for duty in duties.registered() if self.only is None else ():
            for _ in range(duty.threads):
                threading.Thread(
                    target=self._attend, args=(duty,), name=duty.name, daemon=True
                ).start()

    def _attend(self, duty: Duty) -> None:
        # What waits for strangers has no time limit at the store but that of each operation.
        while not self.stopping.is_set():
            if not self._guarded(duty.work, nullcontext):
                self.stopping.wait(duty.every_s)

    def _guarded(
        self,
        job: Callable[[], T],
        within: Callable[[], AbstractContextManager[None]] = store.batch_timeout,
    ) -> T | None:
        """Return what a job does; a store that is away is told once in a while."""
        try:
            with within():
                return job()
        except STORE_TROUBLE as failure:
            self.complaints.say(f"The store does not answer a worker ({type(failure).__name__}).")
            time.sleep(DOWN_S)
        except Exception:
            logger.exception("A worker met something that nobody foresaw; it goes on.")
            time.sleep(DOWN_S)
        return None


class Complaints:
    """What goes wrong each second is told once a minute."""

    AGAIN_S = 60.0

    def __init__(self) -> None:
        self.next = 0.0

    def say(self, sentence: str) -> None:
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + self.AGAIN_S
            logger.error(sentence)
