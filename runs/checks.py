"""System checks of the settings of runs, and of schedules that have not fired yet."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, register

from common.checks import store_check
from common.documents import store
from runs import scheduler
from runs.queueing import naive
from schedules.models import Schedule

LEAST = {
    "RUN_MAX_ATTEMPTS": 1,
    "RUN_RETRY_PAUSE_S": 0,
    "RUN_TIMEOUT_S": 0,
    "RUN_MAX_PER_SOURCE": 1,
    "RUN_PROCESSES": 1,
    "RUN_PART_ROWS": 1,
    "RUN_DISPATCH_TIMEOUT_S": 1,
    "RUN_KEEP_DAYS": 1,
    "RUN_LOG_KEEP_DAYS": 1,
    "REJECTED_KEEP_DAYS": 1,
}
MOST = 1_000_000
LIBRARY = "pyspark"


@register("service")
def limits_of_runs(**kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{name} is {getattr(settings, name):g}; expected {least} to {MOST:,}.",
            hint="Leave it out for the default.",
            id="service.E060",
        )
        for name, least in LEAST.items()
        if not least <= getattr(settings, name) <= MOST
    ]


@register("service")
def spark(**kwargs: Any) -> Iterator[CheckMessage]:
    """Yield what keeps runs from Spark, where it is asked for."""
    if not (settings.SPARK_REMOTE or settings.SPARK_MASTER):
        return
    if settings.SPARK_REMOTE and settings.SPARK_MASTER:
        yield Error(
            "SPARK_REMOTE and SPARK_MASTER are both set.",
            hint="Keep the one that leads to your cluster.",
            id="service.E061",
        )
    if find_spec(LIBRARY) is None:
        yield Error(
            f"Spark is set, and {LIBRARY} is not installed.",
            hint="pip install -r requirements-spark.txt, or leave the setting out.",
            id="service.E062",
        )
    if settings.SPARK_ARCHIVE and not Path(settings.SPARK_ARCHIVE).is_file():
        yield Error(
            f"SPARK_ARCHIVE names {settings.SPARK_ARCHIVE}, which is not there.",
            hint="Make it with `python manage.py spark_archive`.",
            id="service.E063",
        )


@register("service")
def executor(**kwargs: Any) -> list[CheckMessage]:
    if not settings.RUN_DISPATCH_URL or _is_web_address(settings.RUN_DISPATCH_URL):
        return []
    return [
        Error(
            "RUN_DISPATCH_URL is no address of a web server.",
            hint="Give one such as http://executor:9000; the run is posted below it.",
            id="service.E064",
        )
    ]


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@register("service")
def broker(**kwargs: Any) -> list[CheckMessage]:
    if not settings.CELERY_BROKER_URL or find_spec("celery"):
        return []
    return [
        Error(
            "CELERY_BROKER_URL is set, and Celery is not installed.",
            hint="pip install -r requirements-celery.txt, or leave the broker out.",
            id="service.E065",
        )
    ]


@register("service")
def queues(**kwargs: Any) -> list[CheckMessage]:
    wrong = [route for route in settings.CELERY_QUEUES if not all(route.rpartition("="))]
    if not wrong:
        return []
    return [
        Error(
            f'CELERY_QUEUES makes no sense: "{wrong[0]}" names no pattern or no queue.',
            hint="Expected patterns of connections' names and queues, such as crm-*=crm,hr=hr.",
            id="service.E066",
        )
    ]


@store_check
def schedules_about_to_begin() -> Iterator[CheckMessage]:
    """Yield how many schedules fire once a scheduler runs, on a store where none ever did."""
    if scheduler.has_begun():
        return
    goes_on = [{"end_at": None}, {"end_at": {"$gt": naive(store.now())}}]
    condition = {"enabled": {"$ne": False}, "$or": goes_on}
    if count := store.collection(Schedule).count_documents(condition):
        subject = "1 schedule is" if count == 1 else f"{count:,} schedules are"
        yield Info(
            f"{subject} about to begin: no scheduler ever ran on this store.",
            hint="They fire once python manage.py run_scheduler runs; disable those that are not "
            "to. Slots before its first start neither fire nor are skipped.",
            id="service.I020",
        )
