"""Servers of our own, started for tests that need one with special settings; all on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def find_program(name: str) -> str:
    """Return the program's path; a test whose server is missing fails."""
    places = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        "/usr/sbin",
        "/usr/bin",
    ]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)])
    return shutil.which(name, path=path) or pytest.fail(f"{name} is not installed", pytrace=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def unprivileged(*candidates: str) -> str | None:
    """Return the account for a server that refuses to run as root; None without root."""
    if os.geteuid() != 0:
        return None
    for name in (*candidates, "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


def give(path: Path, user: str | None) -> None:
    """Make `path` and what is in it the user's."""
    if user is None:
        return
    for each in (path, *path.rglob("*")):
        shutil.chown(each, user)


def open_to_all(folder: Path) -> None:
    """Let the accounts that servers run under enter pytest's folders."""
    for each in (folder, *folder.parents):
        if "pytest" in str(each):
            each.chmod(0o755)


@contextmanager
def running(
    command: list[str],
    port: int,
    log: Path,
    user: str | None = None,
    ready: Callable[[], bool] | None = None,
) -> Iterator[subprocess.Popen]:
    """Run `command` until the block ends; it is up when its port takes connections."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, user=user)
    try:
        wait_for(ready or (lambda: takes_connections(port)), process, log)
        yield process
    finally:
        # PostgreSQL waits for its clients on SIGTERM, and not on SIGINT.
        process.send_signal(signal.SIGINT if "postgres" in command[0] else signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def wait_for(ready: Callable[[], bool], process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 30
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"{process.args} did not start:\n{log.read_text()[-2000:]}", pytrace=False)
        time.sleep(0.05)
