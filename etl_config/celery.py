"""Runs by Celery, where a broker is set: `celery -A etl_config worker`.

Nothing imports this but Celery itself, and what announces a run. A message carries a run's id
alone, and is acknowledged before the run begins: which worker does it is decided in the store.
"""

import os
from typing import Any

from bson import ObjectId
from celery import Celery, signals
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

LOOK = "runs.look"

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")
if not settings.CELERY_BROKER_URL:
    raise ImproperlyConfigured("Set CELERY_BROKER_URL, such as redis://localhost:6379/0.")

app = Celery("etl_config", include=["etl_config.tasks"])
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_connection_timeout=2,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        # Redis alone reads these: a broker that hangs is noticed.
        "socket_connect_timeout": 2,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 25,
    },
    task_default_queue="runs",
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    # What a busy worker has put aside, another cannot have.
    worker_prefetch_multiplier=1,
)


@signals.setup_logging.connect
def keep_logging(**kwargs: Any) -> None:
    """Lines are written as LOG_FORMAT and LOG_LEVEL say, and not as Celery would."""


def send(run_id: ObjectId, queue: str) -> None:
    """Send a run's id to a queue; one new connection is tried."""
    policy = {"max_retries": 1, "interval_start": 0}
    app.send_task(LOOK, [str(run_id)], queue=queue, retry=True, retry_policy=policy)
