"""Sends events of runs to OPENLINEAGE_URL, in their order, beside the runs of this process.

Nothing waits for them, and none is kept: what cannot be sent, or waits while the process ends, is
lost, and the log says so.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time

from django.conf import settings

from common.documents import store, writes
from common.documents.store import Stored
from notifications import addresses, sending

ENDPOINT = "api/v1/lineage"
MOST_WAITING = 1000
TRIES_AFTER_S = (0.0, 1.0, 5.0)
FINISH_S = 5.0
"""How long a process that ends waits for what is still to be sent."""

logger = logging.getLogger("runs")


class Emitter:
    """A queue and the thread that empties it, once there is something to send."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Stored] = queue.Queue(MOST_WAITING)
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, run: Stored) -> None:
        """Have the event of a run sent as the run is now; returns at once."""
        try:
            self._waiting.put_nowait(dict(run))
        except queue.Full:
            _lost(run, f"{MOST_WAITING:,} others wait")
            return
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="openlineage", daemon=True)
                self._thread.start()
                atexit.register(self.finish)

    def finish(self, timeout_s: float = FINISH_S) -> None:
        """Wait for what is still to be sent; tell of what is not sent by then."""
        waiting = self._waiting
        with waiting.all_tasks_done:
            waiting.all_tasks_done.wait_for(lambda: not waiting.unfinished_tasks, timeout_s)
            left = waiting.unfinished_tasks
        if left:
            logger.warning("%d OpenLineage events were lost: the process ends.", left)

    def _work(self) -> None:
        while True:
            run = self._waiting.get()
            try:
                _emit(run)
            except Exception:
                logger.exception("An OpenLineage event could not be made")
                _lost(run, "it could not be made")
            finally:
                self._waiting.task_done()


emitter = Emitter()


def run_began(run: Stored) -> None:
    """Tell of a run's first attempt."""
    if settings.OPENLINEAGE_URL and run["attempt"] == 1:
        emitter.put(run)


def run_ended(run: Stored) -> None:
    """Tell of the end of a run that had begun, once it is committed."""
    if settings.OPENLINEAGE_URL and run.get("started_at"):
        writes.after_commit(lambda: emitter.put(run))


def _emit(run: Stored) -> None:
    from notifications import run_events  # half a second that no run waits for

    with store.batch_timeout():
        body = run_events.event_of(run)
    outcome = sending.Outcome(False, "")
    for pause_s in TRIES_AFTER_S:
        time.sleep(pause_s)
        outcome = sending.post(address(), headers(), body)
        if outcome.success:
            return
    _lost(run, f"{addresses.shown('webhook', address())}: {outcome.response}")


def address() -> str:
    return f"{settings.OPENLINEAGE_URL.rstrip('/')}/{ENDPOINT}"


def headers() -> dict[str, str]:
    found = {"Content-Type": "application/json", "User-Agent": settings.USER_AGENT}
    if settings.OPENLINEAGE_API_KEY:
        found["Authorization"] = f"Bearer {settings.OPENLINEAGE_API_KEY}"
    return found


def _lost(run: Stored, why: str) -> None:
    logger.warning(
        "The OpenLineage event of the run %s (%s) was lost: %s", run["_id"], run["status"], why
    )
