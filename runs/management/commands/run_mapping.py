"""Runs one mapping and waits for its end."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

from bson import ObjectId
from django.core.management.base import CommandError, CommandParser

from common.commands import OperatorCommand
from common.documents import store
from common.documents.store import Stored
from mappings.models import Mapping
from runs import health, life, starting
from runs.claims import Claim
from runs.models import Run
from runs.serializers import WholeRunSerializer
from runs.worker import Worker

LOOK_EVERY_S = 0.2
LEAVE_S = 15.0
HUNDRED = 100


class Command(OperatorCommand):
    help = "Run one mapping now, and wait for its end; without any worker it does the run itself."
    examples: ClassVar = ("customers", "customers --full-refresh", "customers --json")
    exit_codes: ClassVar = {
        0: "the run succeeded",
        1: "it failed, was cancelled, or there is no such mapping",
    }
    when_stopped: ClassVar = "The run is cancelled, unless it had committed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="The mapping's name.")
        parser.add_argument(
            "--full-refresh", action="store_true", help="Read everything, whatever the cursor says."
        )
        parser.add_argument("--json", action="store_true", help="Print the run as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        mapping = store.find_one(Mapping, {"name": options["name"]}, {"_id": 1})
        if mapping is None:
            raise CommandError(f'There is no mapping named "{options["name"]}".')
        run = starting.start(mapping["_id"], full_refresh=options["full_refresh"])
        ended = self._followed(run["_id"], mapping["_id"])
        if options["json"]:
            self.write_json(WholeRunSerializer.show(ended))
        else:
            self.tell(sentence(ended))
        if ended["status"] != "succeeded":
            raise CommandError(_reason(ended))

    def _followed(self, run_id: ObjectId, mapping_id: ObjectId) -> Stored:
        """Return a run once it has ended; Ctrl-C cancels it, and waits for that."""
        own = _own_worker(run_id, mapping_id)
        try:
            try:
                return self._watched(run_id)
            except KeyboardInterrupt:
                starting.cancel(run_id)
                self._watched(run_id)
                raise
        finally:
            if own:
                own.stop()
                # What waited before the own run, and is under way, ends or is handed back.
                own.left.wait(LEAVE_S)

    def _watched(self, run_id: ObjectId) -> Stored:
        with self.progress("Run", HUNDRED) as progress:
            while True:
                with store.command_timeout():
                    run = store.find_one(Run, {"_id": run_id}) or {}
                if run.get("status") in life.ENDED or not run:
                    return run
                done = round(HUNDRED * float(run.get("progress") or 0))
                progress.label = f"{run.get('stage') or run['status']}, {run['rows_read']:,} rows"
                progress.advance(max(0, done - progress.done))
                time.sleep(LOOK_EVERY_S)


class OwnWorker(Worker):
    """Does a run, and what its mapping has waiting before it."""

    def __init__(self, run_id: ObjectId, mapping_id: ObjectId) -> None:
        super().__init__(1, only=mapping_id)
        self.run_id = run_id

    def _claim(self) -> Claim | None:
        run = store.find_one(Run, {"_id": self.run_id}, {"status": 1}) or {}
        return super()._claim() if run.get("status") == "queued" else None


def _own_worker(run_id: ObjectId, mapping_id: ObjectId) -> Worker | None:
    """Begin to do the run here where no worker lives."""
    if health.worker()["status"] == "up":
        return None
    worker = OwnWorker(run_id, mapping_id)
    threading.Thread(target=worker.work, name="worker", daemon=True).start()
    return worker


def sentence(run: Stored) -> str:
    """Return how a run went: `succeeded: 10 rows read, 10 written, 0 rejected in 0.4 s.`"""
    seconds = (run.get("duration_ms") or 0) / 1000
    return (
        f"{run['mapping_name']} {run['status']}: {run['rows_read']:,} rows read, "
        f"{run['rows_written']:,} written, {run['rows_rejected']:,} rejected in {seconds:.1f} s."
    )


def _reason(run: Stored) -> str:
    error = run.get("error")
    if not error:
        return f"The run was {run['status']}."
    return f"{error['message']} ({error['code']}, at {error['stage']}) {error['hint']}"
