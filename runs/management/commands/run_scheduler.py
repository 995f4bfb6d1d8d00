"""Fires schedules."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from common import metrics, metrics_address
from common.commands import OperatorCommand
from runs.scheduler import Scheduler


class Command(OperatorCommand):
    help = "Fire schedules, until it is told to stop; of any number of schedulers one leads."
    examples: ClassVar = ("",)
    exit_codes: ClassVar = {0: "told to stop; another leads at once"}

    def handle(self, *args: Any, **options: Any) -> None:
        # Before the first client of the store is made.
        metrics.watch_store()
        metrics_address.start()
        scheduler = Scheduler()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: scheduler.stop())
        self.tell(f"Scheduler {scheduler.name} is ready to lead.")
        self.stdout.flush()
        scheduler.work()
        self.tell("The scheduler has stopped.")
