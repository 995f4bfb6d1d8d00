"""Removes runs that are old enough, and plans that no run has any more.

Logs, refused rows and keys expire by themselves. The last run of each mapping and schedule stays.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings

from common.documents import store
from common.documents.store import Stored
from runs.models import Plan, Run
from runs.queueing import naive

BATCH = 2_000
PLAN_REST = timedelta(days=1)


def remove_old() -> int:
    """Remove a batch of what is older than it is kept; return how many runs that were."""
    before = naive(store.now()) - timedelta(days=settings.RUN_KEEP_DAYS)
    found = list(store.collection(Run).find({"ended_at": {"$lt": before}}, NEEDED, limit=BATCH))
    last = _last(found)
    gone = [run["_id"] for run in found if run["_id"] not in last]
    removed = store.collection(Run).delete_many({"_id": {"$in": gone}}).deleted_count
    if removed:
        _remove_plans()
    return removed


NEEDED = {"mapping_id": 1, "schedule_id": 1}


def _last(found: list[Stored]) -> set[Any]:
    """Return the newest run of each mapping and of each schedule among them."""
    owners = {
        (name, run[name]) for run in found for name in NEEDED if run.get(name) is not None
    }  # fmt: skip
    newest = [
        store.collection(Run).find_one({name: owner}, {"_id": 1}, sort=[("queued_at", -1)])
        for name, owner in owners
    ]
    return {run["_id"] for run in newest if run}


def _remove_plans() -> None:
    old = {"made_at": {"$lt": naive(store.now()) - PLAN_REST}}
    for plan in store.collection(Plan).find(old, {"_id": 1}):
        if not store.collection(Run).find_one({"plan_id": plan["_id"]}, {"_id": 1}):
            store.collection(Plan).delete_one({"_id": plan["_id"]})
