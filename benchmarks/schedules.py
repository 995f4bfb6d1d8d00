"""`make bench-schedules`: how late slots are queued, of 100,000 schedules with 200 due at a time.

A scheduler of its own fires them; no worker runs what it queues. Told are `queued_at` - slot of all
that fire in some minutes, the scheduler's memory, and its processor time while nothing is due.
MONGODB_URL as in `make bench`. Fails where a slot is missing, or the 99th percentile reaches a
second.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from benchmarks import data
from benchmarks.data import Stored
from benchmarks.report import table
from benchmarks.services import cpu_s, resident_mib
from benchmarks.store import ROOT, Store, store
from devtools.console import LauncherError, say
from devtools.processes import Child, launch, running, wait_until

GOAL_S = 1.0
TOGETHER = 200
"""So many are due in one second: slots are whole minutes."""
BATCH = 10_000
MINUTE = timedelta(minutes=1)
IDLE = range(15, 50)
"""The seconds of a minute in which nothing is due, and nothing that was is under way."""


@dataclass
class Seen:
    """What a scheduler did: seconds after the slot, MiB, processor seconds in all and in a second
    of rest.
    """

    late_s: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    idle: list[float] = field(default_factory=list)
    lasted_s: float = 0.0
    cpu_s: float = 0.0

    def idle_share(self) -> float:
        return sum(self.idle) / max(len(self.idle), 1)

    def slot_ms(self) -> float:
        """Return the processor time for a slot, in milliseconds."""
        return 1000 * (self.cpu_s - self.idle_share() * self.lasted_s) / len(self.late_s)


def main() -> int:
    options = _options()

    def work() -> int:
        seen = measured(options.schedules, options.minutes, options.ahead)
        print(_told(seen, options))
        return 0 if _percentile(seen.late_s, 0.99) < GOAL_S else 1

    return launch(work)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000, help="how many there are")
    parser.add_argument("--minutes", type=int, default=5, help="that are measured")
    parser.add_argument("--ahead", type=int, default=3, help="minutes in which all is stored")
    return parser.parse_args()


def measured(schedules: int, minutes: int, ahead: int) -> Seen:
    """Return what was seen. Raises LauncherError where not each slot has one run."""
    with store() as held, tempfile.TemporaryDirectory() as logs:
        data.load(held.database, data.token_of(held.environment["ENCRYPTION_KEY"]))
        held.database["schedules"].delete_many({})
        _fill(held, schedules, _this_minute() + ahead * MINUTE)
        command = [sys.executable, "manage.py", "run_scheduler"]
        log = Path(logs) / "scheduler.log"
        environment = {**held.environment, "PYTHONPATH": str(ROOT)}
        with running("The scheduler", command, log=log, env=environment) as child:
            leads = held.database["run_scheduler"].find_one
            wait_until(lambda: leads({"_id": "lease"}) is not None, child)
            return _watched(held, child, minutes, schedules)


def _fill(held: Store, count: int, start: datetime) -> None:
    """Store the schedules, the first of which are due at `start`."""
    missing, present = _schedules(held, count, start), 0
    while batch := list(islice(missing, BATCH)):
        held.database["schedules"].insert_many(batch, ordered=False)
        present += len(batch)
        print(f"\r  {present:,} of {count:,} schedules stored", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)


def _schedules(held: Store, count: int, start: datetime) -> Iterator[Stored]:
    """Yield schedules of which `TOGETHER` are due in each minute from `start` on."""
    mappings = [found["_id"] for found in held.database["mappings"].find({}, {"_id": 1})]
    for number in range(count):
        slot = start + number // TOGETHER * MINUTE
        yield {
            **data.schedule(number, mappings[number % len(mappings)]),
            "cron_expression": f"{slot.minute} {slot.hour} * * *",
            "timezone": "UTC",
            "enabled": True,
            "next_run_at": slot,
        }


def _this_minute() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)


def _watched(held: Store, child: Child, minutes: int, schedules: int) -> Seen:
    seen, pid = Seen(), child.process.pid
    first = held.database["schedules"].find_one({}, sort=[("next_run_at", 1)]) or {}
    first_slot: datetime = first["next_run_at"]
    if first_slot < datetime.now(UTC).replace(tzinfo=None):
        raise LauncherError(
            "The first slot came before the scheduler was up: --ahead gives it more minutes."
        )
    end = first_slot + minutes * MINUTE
    say(f"Slots from {first_slot:%H:%M} to {end:%H:%M} UTC")
    began, used_s = time.monotonic(), cpu_s(pid)
    while datetime.now(UTC).replace(tzinfo=None) < end:
        before, at = cpu_s(pid), time.monotonic()
        time.sleep(1)
        if {datetime.now(UTC).second, datetime.now(UTC).second - 1} <= set(IDLE):
            seen.idle.append((cpu_s(pid) - before) / (time.monotonic() - at))
        seen.memory_mib = max(seen.memory_mib, resident_mib(pid))
    runs = list(
        held.database["runs"].find(
            {"slot": {"$lt": end}}, {"slot": 1, "queued_at": 1, "schedule_id": 1}
        )
    )
    seen.lasted_s, seen.cpu_s = time.monotonic() - began, cpu_s(pid) - used_s
    expected = min(minutes * TOGETHER, schedules)
    if len(runs) != expected or len({run["schedule_id"] for run in runs}) != expected:
        raise LauncherError(f"{len(runs):,} runs for {expected:,} slots.")
    seen.late_s = [(run["queued_at"] - run["slot"]).total_seconds() for run in runs]
    return seen


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _told(seen: Seen, options: argparse.Namespace) -> str:
    head = ["schedules", "slots", "p50, s", "p99, s", "latest, s", "CPU ms a slot",
            "memory, MiB", "idle, % of a core"]  # fmt: skip
    late = [f"{_percentile(seen.late_s, share):.2f}" for share in (0.5, 0.99, 1)]
    row = [f"{options.schedules:,}", f"{len(seen.late_s):,}", *late, f"{seen.slot_ms():.1f}",
           f"{seen.memory_mib:.0f}", f"{100 * seen.idle_share():.1f}"]  # fmt: skip
    return table(head, [row])


if __name__ == "__main__":
    sys.exit(main())
