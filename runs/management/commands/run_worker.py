"""Does the runs that wait in the store."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from common import metrics, metrics_address
from common.commands import OperatorCommand, seconds, whole_number
from engine.problems import Problem
from runs import shared
from runs.worker import STORE_TROUBLE, Worker

MOST = 64


class Command(OperatorCommand):
    help = "Do the runs that wait, until it is told to stop; any number of workers may."
    examples: ClassVar = ("", "--concurrency 4", "--connections 'crm-*'")
    exit_codes: ClassVar = {
        0: "told to stop; what had not ended went back to the queue",
        1: "its ENCRYPTION_KEY is not the service's",
    }

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency", type=whole_number(1, MOST), default=2, metavar="N",
            help=f"runs at a time, 1 to {MOST} (default 2); each takes up to 512 MiB in children",
        )  # fmt: skip
        parser.add_argument(
            "--connections", default="*", metavar="GLOB",
            help="only runs that read connections of such names, such as 'crm-*'",
        )  # fmt: skip
        parser.add_argument(
            "--grace", type=seconds(86_400, or_none=True), default=5.0, metavar="SECONDS",
            help="how long SIGTERM lets runs end before they are handed back (default 5)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        # Before the first client of the store is made.
        metrics.watch_store()
        metrics_address.start()
        _refuse_other_keys()
        worker = Worker(options["concurrency"], options["connections"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        self.tell(f"Worker {worker.name} waits for runs, {worker.concurrency} at a time.")
        self.stdout.flush()
        worker.work(options["grace"])
        self.tell("The worker has stopped.")


def _refuse_other_keys() -> None:
    """A worker that can read no secret would only fail runs. A store that is away is waited for."""
    with suppress(*STORE_TROUBLE):
        try:
            shared.require_keys()
        except Problem as problem:
            raise CommandError(f"{problem.message} {problem.hint}") from problem
