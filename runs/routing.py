"""Which workers take which runs, and the runs that none of them takes.

A worker's sign of life says which connections it reads, or from which queues of a broker it hears.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from common import metrics
from common.documents import store
from common.documents.store import Stored
from runs import claims
from runs.dispatch import queue_of
from runs.models import WORKERS, Run
from runs.queueing import naive

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

ALIVE_S = 15.0
"""So long after its last sign of life a worker counts."""
NOTED_AFTER_S = 30.0
"""So long a run waits before it says that no worker takes it: one may be about to start."""
NO_WORKER = "no_worker"


def living_workers() -> list[Stored]:
    """Return the signs of life of the workers that live."""
    since = naive(store.now()) - timedelta(seconds=ALIVE_S)
    return list(store.named(WORKERS).find({"at": {"$gt": since}}))


def takes(worker: Stored, connection_name: str | None) -> bool:
    """Tell whether a worker, by its sign of life, takes the runs that read a connection."""
    queues = worker.get("queues")
    if queues is not None:
        return queue_of(connection_name) in queues
    return fnmatchcase(connection_name or "", str(worker.get("connections") or "*"))


def unroutable(live: Sequence[Stored], workers: Sequence[Stored]) -> list[Stored]:
    """Return the runs that wait, and that none of the workers takes."""
    waiting = [run for run in live if run["status"] == "queued"]
    names = {run.get("connection_name") for run in waiting}
    taken = {name for name in names if any(takes(worker, name) for worker in workers)}
    return [run for run in waiting if run.get("connection_name") not in taken]


def note_unroutable(live: Sequence[Stored]) -> None:
    """Have runs say that for a while no worker was there for them; the next attempt forgets it."""
    before = naive(store.now()) - timedelta(seconds=NOTED_AFTER_S)
    overdue = [
        run for run in live
        if run["status"] == "queued" and run["queued_at"] < before
        and all(one["code"] != NO_WORKER for one in run.get("warnings") or ())
    ]  # fmt: skip
    for run in unroutable(overdue, living_workers()) if overdue else ():
        still = {"_id": run["_id"], "status": "queued", "warnings.code": {"$ne": NO_WORKER}}
        store.collection(Run).update_one(still, {"$push": {"warnings": _warning(run)}})


def _warning(run: Stored) -> dict[str, str]:
    name, queue = run.get("connection_name"), queue_of(run.get("connection_name"))
    return {
        "code": NO_WORKER,
        "message": f'For {NOTED_AFTER_S:g} s there was no worker that takes runs of the connection '
        f'"{name}": start one whose --connections fit, or, under Celery, one with -Q {queue}.',
    }  # fmt: skip


@metrics.on_scrape
def numbers() -> Iterator[Metric]:
    count = len(unroutable(claims.live_runs(), living_workers()))
    text = "Runs that wait, and that no worker of now takes."
    yield metrics.looked_up("etl_runs_unroutable", text, count)
