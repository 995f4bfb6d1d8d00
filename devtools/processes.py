"""Child processes that start, are waited for, and never outlive the launcher."""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devtools.accounts import Account
from devtools.console import LauncherError, fail

LOOPBACK = "127.0.0.1"
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_shared_files: list[int] = []


@dataclass(frozen=True)
class Child:
    """A running process in a session of its own: a Ctrl-C in the terminal reaches only us."""

    name: str
    process: "subprocess.Popen[bytes]"
    stop_signal: signal.Signals
    log: Path | None

    def stop(self, timeout_s: float) -> None:
        """Ask the process to end; after `timeout_s` end it, and in any case what it started."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def last_words(self, lines: int = 5) -> str:
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass(frozen=True)
class Server:
    """A child that answers at a URL."""

    child: Child
    url: str


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    label: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    stop_timeout_s: float = 10,
) -> Iterator[Child]:
    """Run a command until the block ends.

    Its output goes to `log`, or to ours without one: with a `label` each line behind that.
    """
    with contextlib.ExitStack() as stack:
        output: IO[bytes] | int | None = stack.enter_context(log.open("ab")) if log else None
        if label and not log:
            output = stack.enter_context(_labelled(label))
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=env,
            # Another account cannot enter every folder we may stand in.
            cwd="/" if account else cwd,
            start_new_session=True,
            pass_fds=_shared_files,
            preexec_fn=lambda: die_with_parent(stop_signal),
            **(account.popen_options() if account else {}),
        )
        child = Child(name, process, stop_signal, log)
        try:
            yield child
        finally:
            child.stop(stop_timeout_s)


@contextlib.contextmanager
def _labelled(label: str) -> Iterator[int]:
    """Yield the end of a pipe; each line that is written there is printed behind the label."""
    out, into = os.pipe()

    def print_lines() -> None:
        with os.fdopen(out, "rb") as lines:
            for line in lines:
                sys.stdout.buffer.write(f"{label} | ".encode() + line)
                sys.stdout.buffer.flush()

    printer = threading.Thread(target=print_lines, daemon=True)
    printer.start()
    try:
        yield into
    finally:
        os.close(into)
        printer.join(timeout=1)


def share_with_children(file: IO[str]) -> None:
    """Let every later child hold this file open: a lock on it then lasts until all have ended."""
    _shared_files.append(file.fileno())


def die_with_parent(stop_signal: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `stop_signal` to this process when its parent dies, however it dies."""
    _libc.prctl(PR_SET_PDEATHSIG, int(stop_signal))


def wait_until(ready: Callable[[], bool], child: Child, timeout_s: float = 30) -> None:
    """Return once `ready()` holds.

    Raises LauncherError when the child ends first, or takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if child.process.poll() is not None:
            raise LauncherError(died(child))
        if time.monotonic() > deadline:
            raise LauncherError(
                f"{child.name} did not answer within {timeout_s:g} s.{_tail(child)}"
            )
        time.sleep(0.05)


def watch(children: Sequence[Child]) -> None:
    """Block until one of the children ends, and say which.

    Raises LauncherError.
    """
    while True:
        for child in children:
            if child.process.poll() is not None:
                raise LauncherError(died(child))
        time.sleep(0.2)


def died(child: Child) -> str:
    return f"{child.name} ended by itself (exit code {child.process.returncode}).{_tail(child)}"


def _tail(child: Child) -> str:
    words = child.last_words()
    return f" Its last lines, from {child.log}:\n{words}" if words else ""


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` when nobody listens there, else a port the system picks."""
    if preferred is not None and port_is_free(preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def new_password() -> str:
    """Return a random password that needs no quoting in a URL, in SQL or in a shell."""
    return secrets.token_hex(12)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def interrupt_on_signals() -> None:
    """Make SIGTERM and SIGHUP end the program as Ctrl-C does: by unwinding its blocks."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def ignore_signals() -> None:
    """Let a second Ctrl-C not break the clean end; every stop has its own time limit."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def launch(work: Callable[[], int]) -> int:
    """Do a launcher's work and return its exit code; what goes wrong is told in one line."""
    interrupt_on_signals()
    try:
        return work()
    except LauncherError as error:
        return fail(error)
    except KeyboardInterrupt:
        ignore_signals()
        return 130
