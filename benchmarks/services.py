"""The two programs that are compared, run as in production with one worker each."""

import contextlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Client, request
from benchmarks.store import ROOT
from devtools.console import LauncherError, say
from devtools.processes import LOOPBACK, free_port, running, wait_until

BENCH_VENV = ROOT / ".run" / "bench-venv"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CPUCLOCK_SCHED = 2
FIRST_REQUEST = request("GET", "/api/v1/connections?limit=1")


@dataclass(frozen=True)
class Program:
    """How one of the two is started; `PORT` in the command stands for the port."""

    name: str
    command: tuple[str, ...]
    folder: Path


OURS = Program(
    "ours",
    (sys.executable, "-m", "etl_config.serve"),
    ROOT,
)
PEER = Program(
    "peer",
    (str(BENCH_VENV / "bin" / "uvicorn"), "peer.main:app", "--host", LOOPBACK, "--port", "PORT"),
    Path(__file__).parent,
)


@dataclass(frozen=True)
class Service:
    """A program that answers."""

    name: str
    port: int
    worker_pid: int
    first_answer_s: float
    """From the start of the program to its first answer from the store."""

    def cpu_s(self) -> float:
        return cpu_s(self.worker_pid)

    def resident_mib(self) -> float:
        return resident_mib(self.worker_pid)


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, all of its threads."""
    # The process's own clock: nanoseconds, where /proc counts hundredths of a second.
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def service(program: Program, environment: dict[str, str], log: Path) -> Iterator[Service]:
    """Run a program until the block ends. Raises LauncherError."""
    port = free_port()
    own = {"PORT": str(port), "WEB_CONCURRENCY": "1", "PYTHONDONTWRITEBYTECODE": ""}
    command = [str(port) if word == "PORT" else word for word in program.command]
    started = time.perf_counter()
    with (
        contextlib.chdir(program.folder),
        running(program.name, command, log=log, env={**os.environ, **environment, **own}) as child,
    ):
        wait_until(lambda: _answers(port), child)
        elapsed_s = time.perf_counter() - started
        yield Service(program.name, port, _worker(child.process.pid), elapsed_s)


def _answers(port: int) -> bool:
    try:
        with Client(port) as client:
            return client.send(FIRST_REQUEST).status == 200
    except OSError:
        return False


def _worker(pid: int) -> int:
    """Return the process that answers: granian's child, uvicorn itself."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def ensure_peer() -> None:
    """Install what the peer needs. Raises LauncherError."""
    install(REQUIREMENTS)


def install(requirements: Path) -> Path:
    """Install packages into the benchmarks' own virtual environment, once; return its Python.

    Raises LauncherError.
    """
    python = BENCH_VENV / "bin" / "python"
    stamp = BENCH_VENV / f"{requirements.parent.name}.stamp"
    wanted = requirements.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"Installing {requirements.relative_to(ROOT)} into {BENCH_VENV.relative_to(ROOT)}")
    if not python.exists():
        venv.create(BENCH_VENV, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
    if subprocess.run(pip, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise LauncherError(
            f"Installing {requirements.relative_to(ROOT)} failed; the lines above say why."
        )
    stamp.write_text(wanted)
    return python
