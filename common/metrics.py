"""Numbers for Prometheus: one answer for all processes of the service.

Each process counts in files of its own, in one folder; whoever is asked adds them up. What only
the store knows, such as how many runs wait, is looked up when somebody asks: an app has its
function called by `on_scrape`. No label is the name of a record, or else made up by clients.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest
from pymongo import monitoring

from children.places import folder

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
PROCESS_FILE = re.compile(r"\w+_(\d+)\.db")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

logger = logging.getLogger(__name__)


def _shared_folder() -> str:
    """Return the folder in which the processes of this service count.

    Where there can be none, it is one of this process and of those that are forked from it.
    """
    store = settings.DATABASES["default"]
    service = f"{settings.BASE_DIR} {store.get('HOST')} {store.get('NAME')}"
    name = f"{hashlib.sha256(service.encode()).hexdigest()[:12]}-metrics"
    given = f"{settings.PLACES_DIR}/metrics" if settings.PLACES_DIR else ""
    try:
        return str(folder(name, given))
    except OSError:
        return tempfile.mkdtemp(prefix="etl-metrics-")


# The library looks for it once, as it is imported.
os.environ.setdefault(FOLDER, _shared_folder())

from prometheus_client import (  # noqa: E402
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: E402

REQUESTS = Counter(
    "etl_requests", "Requests that were answered.", ["endpoint", "method", "status"], registry=None
)
REQUEST_SECONDS = Histogram(
    "etl_request_seconds",
    "How long answers took.",
    ["endpoint"],
    registry=None,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
STORE_SECONDS = Histogram(
    "etl_store_command_seconds",
    "How long the store took for a command.",
    ["command"],
    registry=None,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
SOURCE_QUESTIONS = Counter(
    "etl_source_questions",
    "Tests of connections, previews and the like, by what came of them.",
    ["question", "db_type", "outcome"],
    registry=None,
)
RUNS = Counter("etl_runs", "Runs that ended, by their state.", ["state"], registry=None)
DELIVERIES = Counter(
    "etl_deliveries",
    "Attempts to send a message of a notification, by what came of them.",
    ["event", "outcome"],
    registry=None,
)
RUN_ROWS = Counter("etl_run_rows", "Rows of runs that ended.", ["what"], registry=None)


# --- Counting -------------------------------------------------------------------------------------


def count_request(request: HttpRequest, status: int, seconds: float) -> None:
    """Count a request by the pattern of its address, which holds neither ids nor names."""
    match = request.resolver_match
    endpoint = endpoint_of(match.route) if match else "other"
    method = request.method if request.method in METHODS else "other"
    counter, times = _of_request(endpoint, method, status)
    counter.inc()
    times.observe(seconds)


@lru_cache(maxsize=4096)
def _of_request(endpoint: str, method: str | None, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(endpoint, method, status), REQUEST_SECONDS.labels(endpoint)


@lru_cache(maxsize=256)
def _of_command(command: str) -> Histogram:
    return STORE_SECONDS.labels(command)


@lru_cache(maxsize=1024)
def endpoint_of(route: str) -> str:
    """Return a route as the documentation has it: `/api/v1/connections/{id}`."""
    plain = simplify_regex(route.replace("/?$", "").replace("\\.", "."))
    plain = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", plain)
    return plain.rstrip("/") or "/"


def count_question(question: str, kind: str, outcome: str) -> None:
    """Count a question to a source: `facts`, `read` …; `outcome` is `success` or an error code."""
    SOURCE_QUESTIONS.labels(question, kind, outcome).inc()


def count_run(state: str, rows: dict[str, int], times: int = 1) -> None:
    """Count a run that ended in a state, or so many; `rows` of each by what became of them:
    `read`, `written` ….
    """
    RUNS.labels(state).inc(times)
    for what, number in rows.items():
        RUN_ROWS.labels(what).inc(number * times)


def count_delivery(event: str, outcome: str) -> None:
    """Count an attempt to send; `outcome` is a delivery's status: `pending` is tried again."""
    DELIVERIES.labels(event, outcome).inc()


class _StoreTimes(monitoring.CommandListener):
    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Only the end counts."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        _of_command(event.command_name).observe(event.duration_micros / 1e6)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        _of_command(event.command_name).observe(event.duration_micros / 1e6)


def watch_store() -> None:
    """Have the commands of every client of the store timed that is made from here on."""
    monitoring.register(_StoreTimes())


# --- Telling --------------------------------------------------------------------------------------

Scrape = Callable[[], "Iterable[Metric]"]
_scrapes: list[Scrape] = []


def on_scrape(look: Scrape) -> Scrape:
    """Have `look` called whenever somebody asks: it returns what only the store knows."""
    _scrapes.append(look)
    return look


def gauge(name: str, text: str, value: float) -> Metric:
    """Return a number that a look has found."""
    return GaugeMetricFamily(name, text, value=float(value))


class _Looked:
    def collect(self) -> Iterator[Metric]:
        for look in _scrapes:
            try:
                yield from list(look())
            except Exception as failure:
                # What is counted here is told though the store is down.
                logger.warning("No numbers of %s (%s)", look.__module__, type(failure).__name__)


def exposition() -> bytes:
    """Return all numbers of all processes in Prometheus's text format."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    registry.register(_Looked())
    return generate_latest(registry)


def forget_the_dead() -> None:
    """Remove what processes left that are no more: called once, before the service starts."""
    for file in Path(os.environ[FOLDER]).glob("*.db"):
        found = PROCESS_FILE.fullmatch(file.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            with suppress(OSError):
                file.unlink()
