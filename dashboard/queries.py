"""What the admin's front page shows; each query looks at so many records at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from common import demo
from common.documents import store
from common.documents.codecs import reference_to
from common.documents.query import query_of
from common.documents.store import Stored
from connections.models import Connection, TestStatus
from mappings.models import ColumnMapping, Mapping, VerificationStatus
from runs.life import STATUSES
from runs.models import Run
from schedules.models import Schedule, upcoming_run

LISTED = 6
"""Records that a part of the page lists by name."""
MAX_COMPARED = 5000
"""Mappings up to which all of them are compared with the column mappings there are."""
MAX_NEWEST = 200
"""Mappings that are looked at where there are more: each costs a look of its own."""
MAX_DUE = 1000
MAX_OVERDUE = 200
"""Schedules whose stored next run has passed, and is computed anew."""
SOON = timedelta(hours=1)
HOURS = 24
"""How far back the picture of runs goes."""
WIDTH, HEIGHT = 10, 100
"""Of a column with the gap beside it, and of the highest."""


@dataclass(frozen=True)
class Due:
    """A schedule's document, and when it runs next: naive UTC, as it is stored."""

    at: datetime
    document: Stored

    @property
    def schedule(self) -> Schedule:
        return Schedule.from_document(self.document)


@dataclass(frozen=True)
class Unmapped:
    """Mappings without column mappings: the first of `count`, among the `compared` newest.

    `is_all` tells whether these are all there are.
    """

    mappings: list[Mapping]
    count: int
    compared: int
    is_all: bool


@dataclass(frozen=True)
class Bar:
    """A part of a column: runs of one status."""

    status: str
    left: int
    top: float
    height: float


@dataclass(frozen=True)
class Hour:
    """The runs that were queued in an hour, by status; `at` is its beginning, UTC."""

    at: datetime
    count: dict[str, int]
    bars: list[Bar]

    @property
    def said(self) -> str:
        told = ", ".join(f"{count} {status}" for status, count in self.count.items())
        return f"{self.at:%H}:00 UTC: {told}"


@dataclass(frozen=True)
class Day:
    """The runs of the last `HOURS` hours, the one under way included; `most` are of one hour."""

    hours: list[Hour]
    count: dict[str, int]
    most: int

    @property
    def total(self) -> int:
        return sum(self.count.values())


def last_day(now: datetime | None = None) -> Day:
    """Return the runs that were queued in the last hours."""
    now = (now or store.now()).replace(tzinfo=None)
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    pipeline: list[Stored] = [
        {"$match": {"queued_at": {"$gte": first}}},
        {
            "$group": {
                "_id": {"hour": {"$hour": "$queued_at"}, "status": "$status"},
                "count": {"$sum": 1},
            }
        },
    ]
    found = {
        (row["_id"]["hour"], row["_id"]["status"]): row["count"]
        for row in store.collection(Run).aggregate(pipeline)
    }
    moments = [first + timedelta(hours=hour) for hour in range(HOURS)]
    counts = [_by_status(found, moment.hour) for moment in moments]
    most = max(sum(count.values()) for count in counts)
    hours = [
        Hour(moment, count, list(_bars(count, WIDTH * place, most)))
        for place, (moment, count) in enumerate(zip(moments, counts, strict=True))
    ]
    whole = {
        status: total
        for status in STATUSES
        if (total := sum(count.get(status, 0) for count in counts))
    }
    return Day(hours, whole, most)


def _by_status(found: dict[tuple[int, str], int], hour: int) -> dict[str, int]:
    return {status: found[hour, status] for status in STATUSES if (hour, status) in found}


def _bars(count: dict[str, int], left: int, most: int) -> Iterator[Bar]:
    """Yield what a column is made of, from its foot up."""
    foot = float(HEIGHT)
    for status, runs in count.items():
        height = HEIGHT * runs / most
        foot -= height
        yield Bar(status, left, foot, height)


def start_here() -> dict[str, Any] | None:
    """Return the first of the demo's mappings that is sound and the first that is broken.

    None once there is a connection beside the demo's.
    """
    if store.count(Connection, {}) > store.count(Connection, {"name": demo.CONNECTION}):
        return None
    found = store.find(
        Mapping, {"_id": {"$in": [*demo.IDS["mappings"].values()]}}, sort=[("_id", 1)]
    )
    mappings = [Mapping.from_document(document) for document in found]
    return {
        "sound": next((one for one in mappings if not _is_broken(one)), None),
        "broken": next((one for one in mappings if _is_broken(one)), None),
    }


def _is_broken(mapping: Mapping) -> bool:
    found = mapping.verification
    return bool(found) and found.status == VerificationStatus.BROKEN.value


def by_last_test() -> dict[str, int]:
    """Return how many connections answered their last test, failed it, and had none."""
    count = {
        status.value: store.count(Connection, {"last_test_status": status.value})
        for status in TestStatus
    }
    total = store.count(Connection, {})
    return count | {"never": max(total - sum(count.values()), 0), "total": total}


def last_failed() -> list[Connection]:
    """Return the connections that failed their last test, the latest first."""
    found = store.find(
        Connection,
        {"last_test_status": TestStatus.FAILED.value},
        {"name": 1, "host": 1, "port": 1, "db_type": 1, "last_tested_at": 1},
        sort=[("last_tested_at", -1)],
        limit=LISTED,
    )
    return [Connection.from_document(document) for document in found]


def mappings_without_rules() -> Unmapped:
    """Return the mappings that have no column mappings: of all, or of the newest where many.

    Nothing stored says so of a mapping: its rules are documents of their own, which other
    programs write, too.
    """
    is_all = store.count(Mapping, {}) <= MAX_COMPARED
    compared = _newest_mappings(MAX_COMPARED if is_all else MAX_NEWEST)
    condition = {} if is_all else {"mapping_id": reference_to(*(one["_id"] for one in compared))}
    ruled = {str(one).lower() for one in _mapping_ids(condition)}
    unmapped = [document for document in compared if str(document["_id"]) not in ruled]
    return Unmapped(
        mappings=[Mapping.from_document(document) for document in unmapped[:LISTED]],
        count=len(unmapped),
        compared=len(compared),
        is_all=is_all,
    )


def _newest_mappings(limit: int) -> list[Stored]:
    newest = Mapping.objects.order_by("-updated_at", "-id")[:limit]
    return query_of(newest).documents("name", "updated_at")


def _mapping_ids(condition: Stored) -> list[Any]:
    """Return the mappings of the rules that meet a condition, as these refer to them."""
    pipeline = [{"$match": condition}, {"$group": {"_id": "$mapping_id"}}]
    return [row["_id"] for row in store.collection(ColumnMapping).aggregate(pipeline)]


def due_soon(now: datetime | None = None) -> dict[str, Any]:
    """Return the schedules that run within the hour: the first few, and how many.

    `count` goes up to `MAX_DUE`, beyond that `is_more` is true.
    """
    now = now or store.now()
    # Without a word on `enabled`, which rules out few and whose index finds most.
    ahead = _schedules({"$gt": now, "$lte": now + SOON}, MAX_DUE)
    passed = _schedules({"$lte": now}, MAX_OVERDUE)
    soon = (now + SOON).replace(tzinfo=None)
    runs = [(upcoming_run(document), document) for document in [*ahead, *passed]]
    due = sorted(
        [Due(run, found) for run, found in runs if run and run <= soon], key=lambda one: one.at
    )
    return {
        "first": due[:LISTED],
        "count": len(due),
        "is_more": len(ahead) == MAX_DUE,
    }


def _schedules(next_run: Stored, limit: int) -> list[Stored]:
    found = store.find(
        Schedule, {"next_run_at": next_run}, sort=[("next_run_at", 1), ("_id", 1)], limit=limit
    )
    return list(found)
