"""Removes runs that are old enough, and plans that no run has any more.

Logs, refused rows and keys expire by themselves. The last run of each mapping and schedule stays,
while that is there.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

from django.conf import settings

from common.documents import store
from common.documents.store import Stored
from mappings.models import Mapping
from runs.models import Plan, Run
from runs.queueing import naive
from schedules.models import Schedule

BATCH = 2_000
PLAN_REST = timedelta(days=1)


def remove_old() -> bool:
    """Remove a batch of what is older than it is kept; tell whether there was something to remove.

    Those that stay are passed over, however many they are.
    """
    before = naive(store.now()) - timedelta(days=settings.RUN_KEEP_DAYS)
    old = store.collection(Run).find({"ended_at": {"$lt": before}}, NEEDED, sort=[("ended_at", 1)])
    with old:
        while found := list(islice(old, BATCH)):
            last = _last(found)
            gone = [run["_id"] for run in found if run["_id"] not in last]
            if store.collection(Run).delete_many({"_id": {"$in": gone}}).deleted_count:
                _remove_plans()
                return True
    return False


NEEDED = {"mapping_id": 1, "schedule_id": 1}


def _last(found: list[Stored]) -> set[Any]:
    """Return the newest run of each mapping and of each schedule that is there, and those that
    schedules tell of.
    """
    schedules = store.documents_of(
        Schedule, (run.get("schedule_id") for run in found), "last_run_id"
    )
    mappings = store.documents_of(Mapping, (run["mapping_id"] for run in found), "_id")
    owners = [("mapping_id", one) for one in mappings] + [("schedule_id", one) for one in schedules]
    newest = [
        store.collection(Run).find_one({name: owner}, {"_id": 1}, sort=[("queued_at", -1)])
        for name, owner in owners
    ]
    told = {schedule.get("last_run_id") for schedule in schedules.values()}
    return {run["_id"] for run in newest if run} | told


def _remove_plans() -> None:
    old = {"made_at": {"$lt": naive(store.now()) - PLAN_REST}}
    for plan in store.collection(Plan).find(old, {"_id": 1}):
        if not store.collection(Run).find_one({"plan_id": plan["_id"]}, {"_id": 1}):
            store.collection(Plan).delete_one({"_id": plan["_id"]})
