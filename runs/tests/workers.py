"""Worker processes of their own, over the test's store."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from django.db import connection

from common.tests.client import Api

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 90.0
ENDED = ("succeeded", "failed", "cancelled")


class WorkerProcess:
    """A worker; what it says goes to `log`."""

    command: ClassVar = ["manage.py", "run_worker"]
    ready = "waits for runs"

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        environment = {
            "DATA_DIR": str(folder),
            "MONGODB_DB_NAME": connection.settings_dict["NAME"],
            "RUN_RETRY_PAUSE_S": "0.5",
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, *self.command, *arguments],
            cwd=ROOT, env=os.environ | environment,
            stdout=self.log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def kill(self) -> None:
        """End the worker as `kill -9` does."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """Let the worker do nothing more; the children of its runs go on."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def terminate(self) -> int:
        """Ask the worker to stop; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def wait_until_up(self) -> None:
        until(lambda: self.ready in self.log.read_text(), "no worker")


@contextmanager
def worker(
    folder: Path, *arguments: str, kind: type[WorkerProcess] = WorkerProcess, **environment: str
) -> Iterator[WorkerProcess]:
    process = kind(folder, *arguments, **environment)
    try:
        process.wait_until_up()
        yield process
    finally:
        if process.process.poll() is None:
            process.kill()


def until(
    ready: Callable[[], Any], otherwise: str, seconds: float = PATIENCE_S, every_s: float = 0.05
) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(every_s)
    return found


def started(api: Api, mapping: dict[str, Any], body: Any = None) -> dict[str, Any]:
    answer = api.post(f"mappings/{mapping['id']}/runs", body)
    assert answer.status == 202, answer.body
    return answer.json()


def state(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    return api.get(f"runs/{run['id']}").json()


def ended(api: Api, run: dict[str, Any], seconds: float = PATIENCE_S) -> dict[str, Any]:
    """Return a run once it has ended."""

    def look() -> Any:
        found = state(api, run)
        return found if found["status"] in ENDED else None

    return until(look, f"the run has not ended: {state(api, run)}", seconds)


def running(api: Api, run: dict[str, Any], stage: str | None = None) -> dict[str, Any]:
    """Return a run once a worker is on it, and has come to a stage."""

    def look() -> Any:
        found = state(api, run)
        assert found["status"] in ("queued", "running"), found
        there = found["status"] == "running" and stage in (None, found["stage"])
        return found if there else None

    return until(look, f"the run does not run: {state(api, run)}")
