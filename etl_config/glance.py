"""What the admin's front page answers at a glance, each with a bounded look at the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from pymongo import timeout as within
from pymongo.errors import PyMongoError

from common import store
from common.badges import in_utc
from common.pages import may
from common.store import Stored
from connections.models import Connection, TestStatus
from mappings.models import ColumnMapping, Mapping
from schedules.models import Schedule, upcoming_run

SHOWN = 6
NEWEST = 200
"""Mappings that are looked at for rules: each would cost a look of its own."""
OVERDUE = 200
"""Schedules whose stored next run has passed that are reckoned anew."""
SOON = timedelta(hours=1)
PATIENCE_S = 2.0


@dataclass(frozen=True)
class Due:
    schedule: Schedule
    at: datetime


@dataclass(frozen=True)
class Bare:
    """Mappings without column mappings among the `looked_at` newest; `is_all` tells if all are."""

    mappings: list[Mapping]
    count: int
    looked_at: int
    is_all: bool


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the front page what the person may see."""
    questions = {
        "connections": ("connections.view_connection", by_last_test),
        "failed": ("connections.view_connection", failed_lately),
        "bare": ("mappings.view_mapping", without_rules),
        "due": ("schedules.view_schedule", due_soon),
    }
    allowed = {
        name: question
        for name, (permission, question) in questions.items()
        if may(request, permission)
    }
    return context | {"title": "Overview"} | answered(allowed)


def answered(questions: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return the answers by name, and whether some are missing: the page waits for `PATIENCE_S`."""
    answers: dict[str, Any] = {"is_slow": False}
    with within(PATIENCE_S):
        for name, question in questions.items():
            try:
                answers[name] = question()
            except PyMongoError as slow:
                if not store.is_unavailable(slow):
                    raise
                answers["is_slow"] = True
    return answers


def by_last_test() -> dict[str, int]:
    """Return how many connections answered their last test, failed it, and had none."""
    collection = store.collection(Connection)
    count = {
        status.value: collection.count_documents({"last_test_status": status.value})
        for status in TestStatus
    }
    total = collection.estimated_document_count()
    return count | {"never": max(total - sum(count.values()), 0), "total": total}


def failed_lately() -> list[Connection]:
    """Return the connections that failed their last test, the latest first."""
    found = store.collection(Connection).find(
        {"last_test_status": TestStatus.FAILED.value},
        {"name": 1, "host": 1, "port": 1, "db_type": 1, "last_tested_at": 1},
        sort=[("last_tested_at", -1)],
        limit=SHOWN,
    )
    return [Connection.from_document(document) for document in found]


def without_rules() -> Bare:
    """Return the mappings that have no column mappings, among the newest."""
    newest = list(
        store.collection(Mapping).find(
            {}, {"name": 1, "updated_at": 1}, sort=[("updated_at", -1), ("_id", -1)], limit=NEWEST
        )
    )
    ruled = set(
        store.collection(ColumnMapping).distinct(
            "mapping_id", {"mapping_id": {"$in": [document["_id"] for document in newest]}}
        )
    )
    bare = [document for document in newest if document["_id"] not in ruled]
    return Bare(
        mappings=[Mapping.from_document(document) for document in bare[:SHOWN]],
        count=len(bare),
        looked_at=len(newest),
        is_all=len(newest) < NEWEST,
    )


def due_soon(now: datetime | None = None) -> dict[str, Any]:
    """Return the schedules that run within the hour: the first few, and how many."""
    now = now or store.now()
    collection = store.collection(Schedule)
    ahead = {"enabled": True, "next_run_at": {"$gt": now, "$lte": now + SOON}}
    passed = {"enabled": True, "next_run_at": {"$lte": now}}
    first = [*collection.find(ahead, sort=[("next_run_at", 1)], limit=SHOWN)]
    overdue = [due for due in map(_due, collection.find(passed, limit=OVERDUE)) if due]
    again = [due for due in overdue if due.at <= now + SOON]
    due = sorted([*filter(None, map(_due, first)), *again], key=lambda one: one.at)
    return {"first": due[:SHOWN], "count": collection.count_documents(ahead) + len(again)}


def _due(document: Stored) -> Due | None:
    """Return when a schedule runs next; one whose stored run has passed is reckoned from now."""
    schedule = Schedule.from_document(document)
    run = upcoming_run(document)
    return Due(schedule, in_utc(run).astimezone(UTC)) if run else None
