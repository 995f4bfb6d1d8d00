"""What the admin's front page answers at a glance, each with a bounded look at the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from pymongo import timeout as within
from pymongo.errors import PyMongoError

from common.admin.pages import may
from common.documents import store
from common.documents.query import query_of
from common.documents.store import Stored
from connections.models import Connection, TestStatus
from mappings.models import ColumnMapping, Mapping
from schedules.models import Schedule, upcoming_run

SHOWN = 6
MOST_COMPARED = 5000
"""Mappings up to which all of them are compared with the rules there are."""
NEWEST = 200
"""Mappings that are looked at where there are more: each costs a look of its own."""
MOST_DUE = 1000
OVERDUE = 200
"""Schedules whose stored next run has passed that are reckoned anew."""
SOON = timedelta(hours=1)
PATIENCE_S = 4.0


@dataclass(frozen=True)
class Due:
    """A schedule's document, and when it runs next: naive UTC, as it is stored."""

    at: datetime
    document: Stored

    @property
    def schedule(self) -> Schedule:
        return Schedule.from_document(self.document)


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
        "due": ("schedules.view_schedule", due_soon),
        "connections": ("connections.view_connection", by_last_test),
        "bare": ("mappings.view_mapping", without_rules),
        "failed": ("connections.view_connection", failed_lately),
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
    """Return the mappings that have no column mappings: of all, or of the newest where many.

    Nothing stored says so of a mapping: its rules are documents of their own, which other
    programs write, too.
    """
    mappings, rules = store.collection(Mapping), store.collection(ColumnMapping)
    is_all = mappings.estimated_document_count() <= MOST_COMPARED
    looked_at = _newest_mappings(MOST_COMPARED if is_all else NEWEST)
    condition = {} if is_all else {"mapping_id": {"$in": [one["_id"] for one in looked_at]}}
    ruled = {row["_id"] for row in rules.aggregate(_by_mapping(condition))}
    bare = [document for document in looked_at if document["_id"] not in ruled]
    return Bare(
        mappings=[Mapping.from_document(document) for document in bare[:SHOWN]],
        count=len(bare),
        looked_at=len(looked_at),
        is_all=is_all,
    )


def _newest_mappings(limit: int) -> list[Stored]:
    newest = Mapping.objects.order_by("-updated_at", "-id")[:limit]
    return query_of(newest).documents("name", "updated_at")


def _by_mapping(condition: Stored) -> list[Stored]:
    """Return the pipeline that finds the mappings of the rules that meet a condition."""
    return [{"$match": condition}, {"$group": {"_id": "$mapping_id"}}]


def due_soon(now: datetime | None = None) -> dict[str, Any]:
    """Return the schedules that run within the hour: the first few, and how many.

    `count` goes up to `MOST_DUE`, beyond that `is_more` is true.
    """
    now = now or store.now()
    # Without a word on `enabled`, which rules out few and whose index finds most.
    ahead = _schedules({"$gt": now, "$lte": now + SOON}, MOST_DUE)
    passed = _schedules({"$lte": now}, OVERDUE)
    soon = (now + SOON).replace(tzinfo=None)
    runs = [(upcoming_run(document), document) for document in [*ahead, *passed]]
    due = sorted(
        [Due(run, found) for run, found in runs if run and run <= soon], key=lambda one: one.at
    )
    return {
        "first": due[:SHOWN],
        "count": len(due),
        "is_more": len(ahead) == MOST_DUE,
    }


def _schedules(next_run: Stored, limit: int) -> list[Stored]:
    found = store.collection(Schedule).find(
        {"next_run_at": next_run}, sort=[("next_run_at", 1), ("_id", 1)], limit=limit
    )
    return list(found)
