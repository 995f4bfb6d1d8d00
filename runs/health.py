"""Whether workers and a scheduler live, and how long runs and slots wait: for `/health`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from common.documents import store
from common.documents.store import Stored
from runs import claims, life, routing
from runs.queueing import naive
from runs.scheduler import SCHEDULER
from schedules.models import Schedule


def worker() -> dict[str, Any]:
    """Return `up` or `absent`, how many workers there are, the longest wait in seconds, and how
    many runs wait that none of them takes.
    """
    live, workers = claims.live_runs(), routing.living_workers()
    return {
        "status": "up" if workers else "absent",
        "workers": len(workers),
        "lag_s": _lag_s(live, naive(store.now())),
        "unroutable": len(routing.unroutable(live, workers)),
    }


def scheduler() -> dict[str, Any]:
    """Return `up` or `absent`, who leads, and for how many seconds a slot has been due."""
    now = naive(store.now())
    lease = store.named(SCHEDULER).find_one({"_id": "lease"}) or {}
    seen, until = lease.get("seen_at"), lease.get("until")
    lives = bool(seen and until and seen > now - timedelta(seconds=routing.ALIVE_S) and until > now)
    due = store.collection(Schedule).find(
        {"next_run_at": {"$lt": now}, "enabled": {"$ne": False}}, {"next_run_at": 1}
    )
    waits = [(now - one["next_run_at"]).total_seconds() for one in due]
    leader = {"leader": lease["name"]} if lives else {}
    lag_s = round(max([0.0, *waits]), 1)
    return {"status": "up" if lives else "absent", **leader, "lag_s": lag_s}


def _lag_s(live: list[Stored], now: datetime) -> float:
    """Return how long the run has waited that may begin, and waits the longest."""
    waits = [
        (now - max(run["queued_at"], run.get("not_before") or run["queued_at"])).total_seconds()
        for run in life.candidates(live, now)
    ]
    return round(max([0.0, *waits]), 1)
