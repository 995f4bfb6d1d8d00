"""Schedules: when a mapping runs."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from fastapi import APIRouter, Query, Request, Response
from peer import database
from peer.database import Document
from peer.problems import Invalid, duplicate_name, names_clash
from peer.records import (
    Body,
    Id,
    Ignored,
    Moment,
    Name,
    Page,
    Record,
    Reference,
    list_response,
    record_response,
)
from pydantic import AfterValidator, Field, StrictBool, StringConstraints, TypeAdapter
from pymongo.errors import DuplicateKeyError

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def next_run(expression: str, timezone: str, after: datetime) -> datetime:
    """Return the next firing time; moments are naive UTC. Raises CronSimError, StopIteration."""
    fields = ALIASES.get(expression.lower(), expression)
    local = after.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone))
    return next(CronSim(fields, local)).astimezone(UTC).replace(tzinfo=None)


def fires(expression: str) -> str:
    fields = ALIASES.get(expression.lower(), expression)
    if len(fields.split()) != 5:
        raise ValueError("Expected five fields.")
    try:
        next_run(fields, "UTC", datetime(2024, 1, 1))  # noqa: DTZ001 - naive UTC throughout
    except (CronSimError, StopIteration):
        raise ValueError("Not a cron expression that ever fires.") from None
    return expression


@cache
def timezones() -> set[str]:
    return available_timezones()


def known_timezone(name: str) -> str:
    if name not in timezones():
        raise ValueError("Not an IANA time zone name.")
    return name


Cron = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(fires)]
Timezone = Annotated[str, AfterValidator(known_timezone)]
Overlap = Literal["skip", "queue"]
CatchUp = Literal["none", "latest", "all"]
Seconds = Annotated[int, Field(ge=0, le=7 * 24 * 3600)]


class ScheduleCreate(Body):
    name: Name
    mapping_id: Reference
    cron_expression: Cron
    timezone: Timezone = "UTC"
    enabled: StrictBool = True
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    catch_up_window_s: Seconds = 3600
    jitter_s: Seconds = 0
    start_at: datetime | None = None
    end_at: datetime | None = None
    last_run_id: Ignored = None
    last_run_status: Ignored = None
    last_run_at: Ignored = None
    next_run_at: Ignored = None

    def document(self) -> Document:
        moment = database.now()
        run = next_run(self.cron_expression, self.timezone, moment) if self.enabled else None
        moments = {"created_at": moment, "updated_at": moment}
        last = dict.fromkeys(("last_run_id", "last_run_status", "last_run_at"))
        return {**self.model_dump(), **moments, **last, "next_run_at": run}


class Schedule(Record):
    name: str
    mapping_id: Id
    cron_expression: str
    timezone: str = "UTC"
    enabled: bool = True
    overlap: str = "skip"
    catch_up: str = "latest"
    catch_up_window_s: int = 3600
    jitter_s: int = 0
    start_at: Moment | None = None
    end_at: Moment | None = None
    last_run_id: Id | None = None
    last_run_status: str | None = None
    last_run_at: Moment | None = None
    next_run_at: Moment | None = None


class SchedulePage(Page):
    name: str | None = None
    enabled: bool | None = None


schedule_list = TypeAdapter(list[Schedule])
router = APIRouter(prefix="/schedules", tags=["schedules"])


@router.get("", response_model=list[Schedule])
def list_schedules(request: Request, page: Annotated[SchedulePage, Query()]) -> Response:
    return list_response(
        request, database.schedules, page, schedule_list, shown=upcoming(database.now())
    )


@router.post("", status_code=201, response_model=Schedule)
def create_schedule(request: Request, body: ScheduleCreate) -> Response:
    if database.mappings.find_one({"_id": body.mapping_id}, {"_id": 1}) is None:
        message = "There is no mapping with this id."
        raise Invalid(("mapping_id", "unknown_reference", message))
    document = body.document()
    try:
        database.schedules.insert_one(document)
    except DuplicateKeyError as clash:
        raise (duplicate_name("schedule", body.name) if names_clash(clash) else clash) from clash
    response = record_response(Schedule, document, 201)
    response.headers["Location"] = f"{str(request.url).rstrip('/')}/{document['_id']}"
    return response


def upcoming(now: datetime) -> Callable[[Document], Document]:
    """Return what shows a schedule as of `now`: once its next run has passed, the one after."""

    def shown(document: Document) -> Document:
        if not document.get("enabled", True):
            return {**document, "next_run_at": None}
        stored = document.get("next_run_at")
        if stored is None or stored <= now:
            timezone = document.get("timezone", "UTC")
            document["next_run_at"] = next_run(document["cron_expression"], timezone, now)
        return document

    return shown
