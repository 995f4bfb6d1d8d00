"""Whether workers and a scheduler live, and how long runs and slots wait.

For `/health`, and for Prometheus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from common import metrics
from common.documents import store
from common.documents.store import Stored
from runs import claims, firing, life, routing
from runs.queueing import naive
from runs.scheduler import SCHEDULER
from schedules.models import Schedule

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def worker() -> dict[str, Any]:
    """Return `up` or `absent`, how many workers there are, the longest wait in seconds, and how
    many runs wait that none of them takes.
    """
    live, workers = claims.live_runs(), routing.living_workers()
    return {
        "status": "up" if workers else "absent",
        "workers": len(workers),
        "lag_s": _queue_lag_s(live, naive(store.now())),
        "unroutable": len(routing.unroutable(live, workers)),
    }


def scheduler() -> dict[str, Any]:
    """Return `up` or `absent`, who leads, and for how many seconds a slot has been due."""
    now = naive(store.now())
    lease = store.named(SCHEDULER).find_one({"_id": "lease"}) or {}
    seen, until = lease.get("seen_at"), lease.get("until")
    lives = bool(seen and until and seen > now - timedelta(seconds=routing.ALIVE_S) and until > now)
    leader = {"leader": lease["name"]} if lives else {}
    return {"status": "up" if lives else "absent", **leader, "lag_s": _schedule_lag_s(now)}


def _queue_lag_s(live: Sequence[Stored], now: datetime) -> float:
    """Return how long the run has waited that may begin, and waits the longest."""
    waits = [
        (now - max(run["queued_at"], run.get("not_before") or run["queued_at"])).total_seconds()
        for run in life.candidates(live, now)
    ]
    return round(max([0.0, *waits]), 1)


def _schedule_lag_s(now: datetime) -> float:
    """Return how long the slot has been due that is due the longest; a jitter is no lateness."""
    due = store.collection(Schedule).find(
        {"next_run_at": {"$lt": now}, "enabled": {"$ne": False}}, {"next_run_at": 1, "jitter_s": 1}
    )
    waits = [
        (now - one["next_run_at"] - firing.jitter_of_stored(one)).total_seconds() for one in due
    ]
    return round(max([0.0, *waits]), 1)


@metrics.on_scrape
def look() -> Iterator[Metric]:
    """Yield how many runs wait and run, who does and queues them, and how late these are."""
    with store.request_timeout():
        live, workers, schedules = claims.live_runs(), routing.living_workers(), scheduler()
    count, lag_s = Counter(run["status"] for run in live), _queue_lag_s(live, naive(store.now()))
    yield metrics.gauge("etl_runs_queued", "Runs that wait.", count["queued"])
    yield metrics.gauge("etl_runs_running", "Runs under way.", count["running"])
    yield metrics.gauge("etl_queue_lag_seconds", "How long a run waits that may begin.", lag_s)
    yield metrics.gauge("etl_workers", "Workers that live.", len(workers))
    lost = len(routing.unroutable(live, workers))
    yield metrics.gauge("etl_runs_unroutable", "Runs that wait, and no worker takes.", lost)
    is_up, due_s = schedules["status"] == "up", schedules["lag_s"]
    yield metrics.gauge("etl_scheduler_up", "Whether a scheduler leads.", is_up)
    yield metrics.gauge("etl_schedule_lag_seconds", "How long a slot has been due.", due_s)
