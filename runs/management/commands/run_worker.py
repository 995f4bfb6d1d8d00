"""Does the runs that wait in the store."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from common import metrics, metrics_address
from common.commands import OperatorCommand
from runs.worker import Worker

MOST = 64


class Command(OperatorCommand):
    help = "Do the runs that wait, until it is told to stop; any number of workers may."
    examples: ClassVar = ("", "--concurrency 4", "--connections 'crm-*'")
    exit_codes: ClassVar = {0: "told to stop; what had not ended went back to the queue"}

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency", type=_count, default=2, metavar="N",
            help=f"runs at a time, 1 to {MOST} (default 2); each takes up to 512 MiB in children",
        )  # fmt: skip
        parser.add_argument(
            "--connections", default="*", metavar="GLOB",
            help="only runs that read connections of such names, such as 'crm-*'",
        )  # fmt: skip
        parser.add_argument(
            "--grace", type=float, default=5.0, metavar="SECONDS",
            help="how long SIGTERM lets runs end before they are handed back (default 5)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        # Before the first client of the store is made.
        metrics.watch_store()
        metrics_address.start()
        worker = Worker(options["concurrency"], options["connections"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        self.tell(f"Worker {worker.name} waits for runs, {worker.concurrency} at a time.")
        self.stdout.flush()
        worker.work(options["grace"])
        self.tell("The worker has stopped.")


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MOST:
        raise ValueError
    return count
