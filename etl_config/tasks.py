"""What Celery's workers do: runs in its processes or threads, and a `Keeper` beside them."""

from __future__ import annotations

import os
import select
import threading
from typing import Any

from bson import ObjectId
from celery import signals
from celery.worker import state

from engine import asking
from etl_config.celery import LOOK, app
from etl_config.checks import refuse_wrong_settings
from runs import broker

GRACE_S = 5.0
"""How long SIGTERM lets runs end before they are handed back."""


class Leaving:
    """Whether the worker is about to end: a pipe tells the processes that were forked from it.

    It can be read once the worker has written to it, and once the worker is gone.
    """

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        self.owner = os.getpid()

    def __call__(self) -> bool:
        return bool(select.select([self.reads], [], [], 0)[0])

    def tell(self) -> None:
        os.write(self.writes, b"l")

    def forked(self) -> None:
        """Give up the end that a forked process has no use for."""
        if os.getpid() != self.owner:
            os.close(self.writes)


refuse_wrong_settings()
leaving = Leaving()
keepers: list[tuple[broker.Keeper, threading.Thread]] = []


@app.task(name=LOOK)
def look(run_id: str) -> None:
    broker.look(ObjectId(run_id), leaving)


@signals.worker_process_init.connect
def begin_process(**kwargs: Any) -> None:
    leaving.forked()
    asking.warm()


@signals.worker_ready.connect
def keep(sender: Any, **kwargs: Any) -> None:
    queues = list(app.amqp.queues.consume_from)
    keeper = broker.Keeper(sender.pool.limit, queues, lambda: len(state.active_requests))
    thread = threading.Thread(target=keeper.work, name="keeper", daemon=True)
    keepers.append((keeper, thread))
    thread.start()


@signals.worker_shutting_down.connect
def hand_back(**kwargs: Any) -> None:
    """Let runs end for a while, then hand them back."""
    timer = threading.Timer(GRACE_S, leaving.tell)
    timer.daemon = True
    timer.start()


@signals.worker_shutdown.connect
def leave(**kwargs: Any) -> None:
    for keeper, thread in keepers:
        keeper.stop()
        thread.join(GRACE_S)
