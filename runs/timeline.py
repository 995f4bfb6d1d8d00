"""What ran in the last day and what will run in the next one, in a lane for each source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from bson import ObjectId

import clock
from common.documents import store
from common.documents.references import identifier_of
from common.documents.store import Stored
from connections.models import Connection
from mappings.models import Mapping
from runs import slots
from runs.models import Run
from runs.queueing import naive
from schedules.models import Schedule

DAY = timedelta(days=1)
BIN = timedelta(minutes=15)
BINS = int(2 * DAY / BIN) + 1
MAX_RUNS = 2000
MAX_SCHEDULES = 500
MAX_SLOTS = 5000
"""Of all schedules together; one that runs each minute has 1,440 of them."""
LISTED = 50
NAMED = 5

DUE = "due"
WORST_FIRST = ("failed", "cancelled", "skipped", "running", "queued", "succeeded", DUE)
REASONS = {
    "mapping_gone": "its mapping was gone",
    "too_late": "it was found later than the schedule catches up",
    "missed": "the schedule does not catch it up",
    "overlap": "the run before it was not done",
    "queue_full": "too many waited already",
}


@dataclass(frozen=True)
class Moment:
    """A run, or a slot to come: `state` is a run's status or `DUE`; `at` is aware."""

    at: datetime
    lane: str
    name: str
    state: str
    record_id: ObjectId
    reason: str = ""
    count: int = 1


@dataclass(frozen=True)
class Bin:
    """The moments of one quarter of an hour in one lane; `place` counts from the first shown."""

    place: int
    start: datetime
    moments: Sequence[Moment]

    @property
    def state(self) -> str:
        states = {moment.state for moment in self.moments}
        return next(state for state in WORST_FIRST if state in states)

    @property
    def words(self) -> str:
        """Return what is in it, a few by name."""
        counts = Counter(f"{one.name} {one.state}" for one in self.moments)
        names = [name if many == 1 else f"{name} {many} times" for name, many in counts.items()]
        rest = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
        span = f"{self.start:%a %H:%M} to {self.start + BIN:%H:%M} UTC"
        return f"{span}: {', '.join([*names[:NAMED], *rest])}"


@dataclass(frozen=True)
class Lane:
    name: str
    bins: Sequence[Bin]
    counts: Counter[str]

    @property
    def busiest(self) -> Bin | None:
        """Return the quarter to come in which most begin; None where none has two."""
        ahead = [one for one in self.bins if one.state == DUE and len(one.moments) > 1]
        return max(ahead, key=lambda one: len(one.moments), default=None)


@dataclass(frozen=True)
class Timeline:
    """Two days around `now`; `is_cut` tells whether there is more than is shown.

    `ahead` has the next slot of each schedule, whose `count` is how many it has in a day.
    """

    now: datetime
    lanes: Sequence[Lane] = ()
    skipped: Sequence[Moment] = ()
    ahead: Sequence[Moment] = ()
    is_cut: bool = False


def timeline(now: datetime | None = None) -> Timeline:
    """Return what the page of two days shows; `now` is aware."""
    now = now or store.now()
    runs = _runs(now)
    schedules = _schedules(now)
    lanes = _Lanes([*runs, *(one.document for one in schedules)])
    past = [_ran(run, lanes) for run in runs]
    ahead = _ahead(schedules, now, lanes)
    skipped = sorted(
        (one for one in past if one.state == "skipped"), key=lambda one: one.at, reverse=True
    )
    return Timeline(
        now=now,
        lanes=_in_lanes([*past, *ahead], now),
        skipped=skipped[:LISTED],
        ahead=next_of_each(ahead)[:LISTED],
        is_cut=len(runs) == MAX_RUNS or len(schedules) == MAX_SCHEDULES or len(ahead) == MAX_SLOTS,
    )


def _runs(now: datetime) -> list[Stored]:
    fields = (
        "mapping_id", "mapping_name", "connection_name", "status", "skip_reason", "skipped_slots",
        "slot", "queued_at", "started_at",
    )  # fmt: skip
    return list(
        store.find(
            Run,
            {"queued_at": {"$gte": naive(now - DAY), "$lte": naive(now)}},
            dict.fromkeys(fields, 1),
            sort=[("queued_at", -1), ("_id", -1)],
            limit=MAX_RUNS,
        )
    )


def _schedules(now: datetime) -> list[Schedule]:
    # Those that are disabled have no next run.
    found = store.find(
        Schedule,
        {"next_run_at": {"$lte": naive(now + DAY)}},
        sort=[("next_run_at", 1), ("_id", 1)],
        limit=MAX_SCHEDULES,
    )
    return [Schedule.from_document(document) for document in found]


class _Lanes:
    """Which source a mapping reads, by name: all that some documents refer to, read at once."""

    def __init__(self, documents: Iterable[Stored]) -> None:
        wanted = {identifier_of(document.get("mapping_id")) for document in documents}
        self.mappings: dict[Any, Stored] = store.documents_of(
            Mapping, wanted, "source_connection_id"
        )
        used = {identifier_of(one.get("source_connection_id")) for one in self.mappings.values()}
        self.sources: dict[Any, Stored] = store.documents_of(Connection, used, "name")

    def of(self, document: Stored) -> str:
        mapping = self.mappings.get(identifier_of(document.get("mapping_id")), {})
        source = self.sources.get(identifier_of(mapping.get("source_connection_id")), {})
        return str(source.get("name") or document.get("connection_name") or "no source")


def _ran(run: Stored, lanes: _Lanes) -> Moment:
    is_skipped = run["status"] == "skipped"
    at = (is_skipped and run.get("slot")) or run.get("started_at") or run["queued_at"]
    return Moment(
        at=at.replace(tzinfo=UTC),
        lane=lanes.of(run),
        name=run["mapping_name"],
        state=run["status"],
        record_id=run["_id"],
        reason=REASONS.get(run.get("skip_reason") or "", ""),
        count=run.get("skipped_slots") or 1,
    )


def _ahead(schedules: Iterable[Schedule], now: datetime, lanes: _Lanes) -> list[Moment]:
    """Return the slots of the next day, by the function that fires."""
    found: list[Moment] = []
    for schedule in schedules:
        lane = lanes.of(schedule.document)
        coming = islice(_slots(schedule, now), MAX_SLOTS - len(found))
        found += [Moment(slot, lane, schedule.name, DUE, schedule.pk) for slot in coming]
    return found


def next_of_each(moments: Sequence[Moment]) -> list[Moment]:
    """Return the first slot of each schedule, the earliest first, with how many there are."""
    counts = Counter(one.record_id for one in moments)
    first = {one.record_id: one for one in sorted(moments, key=lambda one: one.at, reverse=True)}
    found = [replace(one, count=counts[one.record_id]) for one in first.values()]
    return sorted(found, key=lambda one: one.at)


def _slots(schedule: Schedule, now: datetime) -> Iterable[datetime]:
    if not schedule.enabled:
        return
    try:
        yield from slots.between(schedule, now, now + DAY)
    except (clock.InvalidCron, clock.UnknownZone):
        # Another program stored what makes no sense: it never fires.
        return


def first_shown(now: datetime) -> datetime:
    """Return where the picture begins: a quarter of an hour of the clock, a day ago."""
    start = now - DAY
    return start - (start - datetime.min.replace(tzinfo=UTC)) % BIN


def _in_lanes(moments: Iterable[Moment], now: datetime) -> list[Lane]:
    first = first_shown(now)
    placed: dict[str, dict[int, list[Moment]]] = {}
    counts: dict[str, Counter[str]] = {}
    for moment in moments:
        place = min(max((moment.at - first) // BIN, 0), BINS - 1)
        placed.setdefault(moment.lane, {}).setdefault(place, []).append(moment)
        counts.setdefault(moment.lane, Counter())[moment.state] += moment.count
    return [
        Lane(
            name,
            [Bin(place, first + place * BIN, bins[place]) for place in sorted(bins)],
            counts[name],
        )
        for name, bins in sorted(placed.items())
    ]
