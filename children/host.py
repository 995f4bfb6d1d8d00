"""The host's side: it starts children, asks them, and ends those that do not answer in time.

ChildError
├── ChildFailed    the function raised Failure: `code` and `details` say what
├── ChildLate      no answer before the deadline; `note` is the last thing that the child told
├── ChildGone      the child ended without an answer: it crashed, or was killed
└── NoChildren     no child can be started on this machine
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import orjson

from children import frames, networks
from children.frames import Json
from children.limits import Limits, hide
from children.zygote import READY

START_S = 30.0
GRACE_S = 1.2  # after the order to stop; the child takes a second at most
# What the operator's machine tells OpenSSL and the loader; nothing of the service's own.
PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ChildError(Exception):
    """A child did not do as asked."""


class ChildFailed(ChildError):
    def __init__(self, code: str, details: Json) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


class ChildLate(ChildError):
    def __init__(self, note: Json) -> None:
        super().__init__("no answer in time")
        self.note = note


class ChildGone(ChildError):
    def __init__(self, note: Json = None) -> None:
        super().__init__("the process ended without an answer")
        self.note = note


class NoChildren(ChildError):
    pass


class Child:
    """A process that runs one function at a time for one thread at a time."""

    def __init__(self, pid: int, pidfd: int, talk: socket.socket, stop: int) -> None:
        self.pid = pid
        self.started_at = time.monotonic()
        self.uses = 0
        self._networks: networks.Networks | None = None
        self._talk = talk
        self._end = weakref.finalize(self, _end, os.getpid(), pidfd, talk, stop)
        self._pidfd, self._stop = pidfd, stop

    def ask(self, call: str, arguments: Mapping[str, Json], deadline: float) -> Json:
        """Return what the function `module:name` returns, before `deadline` on the monotonic clock.

        After ChildLate and ChildGone the child is of no more use: stop or kill it.
        Raises ChildFailed, ChildLate, ChildGone.
        """
        note: Json = None
        try:
            self.send(call, arguments)
            while "note" in (message := frames.receive(self._talk, deadline)):
                note = message["note"]
        except frames.Late as exc:
            raise ChildLate(note) from exc
        except frames.Broken as exc:
            raise ChildGone(note) from exc
        return _result(message)

    def send(self, call: str, arguments: Mapping[str, Json]) -> None:
        """Ask, and do not wait: `hear` tells what the child says. Raises ChildGone."""
        self.uses += 1
        try:
            frames.send(self._talk, self._question(call, arguments))
        except (frames.Broken, TypeError) as exc:
            raise ChildGone from exc

    def _question(self, call: str, arguments: Mapping[str, Json]) -> dict[str, Json]:
        """Return what is sent: the networks, too, where the child does not hold to them yet."""
        question: dict[str, Json] = {"call": call, "arguments": arguments}
        if (in_force := networks.in_force()) is not self._networks:
            question["networks"] = in_force.to_json()
            self._networks = in_force
        return question

    def hear(self, timeout_s: float) -> tuple[bool, Json]:
        """Return the next note as (False, note), the answer as (True, what was returned).

        Raises ChildLate where the child says nothing in that time, and may go on: hear again.
        Raises ChildFailed, ChildGone.
        """
        poll = select.poll()
        poll.register(self._talk, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            raise ChildLate(None)
        try:
            message = frames.receive(self._talk, time.monotonic() + START_S)
        except (frames.Late, frames.Broken) as exc:
            raise ChildGone from exc
        if "note" in message:
            return False, message["note"]
        return True, _result(message)

    @property
    def alive(self) -> bool:
        """Tell whether the child waits for a question, and has not ended or said more."""
        try:
            self._talk.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @property
    def ended(self) -> bool:
        """Tell whether the process is no more."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def stop(self) -> None:
        """Have the child end what it does elsewhere, too; it is killed where that takes long.

        Returns at once.
        """
        self._order_stop()
        _reaper.end_later(self)

    def last_words(self, patience_s: float) -> Iterator[tuple[bool, Json]]:
        """Say stop, and yield what the child says until its end, as `hear` returns it.

        It is killed once `patience_s` are over. Raises ChildFailed.
        """
        self._order_stop()
        until = time.monotonic() + patience_s
        while True:
            try:
                yield self.hear(until - time.monotonic())
            except ChildLate:
                with suppress(OSError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                until = time.monotonic() + START_S
            except ChildGone:
                return

    def _order_stop(self) -> None:
        with suppress(OSError):
            os.write(self._stop, b"s")

    def kill(self) -> None:
        """End the process now."""
        self._end()


def _result(message: Json) -> Json:
    if "failed" in message:
        raise ChildFailed(message["failed"], message["details"])
    return message["result"]


def _end(owner: int, pidfd: int, talk: socket.socket, stop: int) -> None:
    """Kill and close; a process that was forked from the host only closes its copies."""
    if os.getpid() == owner:
        with suppress(OSError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    talk.close()
    for fd in (pidfd, stop):
        with suppress(OSError):
            os.close(fd)


class _Reaper:
    """Kills the children that were told to stop, a moment later; a thread while there are any."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, Child]] = []
        self._running = False

    def end_later(self, child: Child) -> None:
        with self._lock:
            self._waiting.append((time.monotonic() + GRACE_S, child))
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="children-reaper", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                ends_at, child = self._waiting[0]
            while not child.ended and time.monotonic() < ends_at:
                time.sleep(0.02)
            child.kill()
            with self._lock:
                self._waiting.pop(0)


class Host:
    """Starts children that can call the functions of `modules`, and of no others.

    The zygote is started with the first child; a process that was forked has one of its own.
    """

    def __init__(
        self, modules: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.modules = list(modules)
        self.environment = dict(environment or {})
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Start anew: the zygote belongs to the process that started it."""
        left = getattr(self, "_zygote", None)
        if left is not None:
            left.close()
        self._lock = threading.Lock()
        self._zygote: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, limits: Limits = Limits()) -> Child:  # noqa: B008 - frozen
        """Return a new child. Raises NoChildren."""
        with self._lock:
            try:
                return self._fork(limits)
            except OSError:
                self._drop_zygote()
            try:
                return self._fork(limits)
            except OSError as exc:
                self._drop_zygote()
                raise NoChildren(f"no process could be started: {exc}") from exc

    def warm(self) -> None:
        """Start the zygote, so that the first child does not wait for it. Raises NoChildren."""
        with self._lock:
            self._connected()

    def close(self) -> None:
        """End the zygote, and with it every child."""
        with self._lock:
            self._drop_zygote()

    def _fork(self, limits: Limits) -> Child:
        zygote = self._connected()
        ours, theirs = socket.socketpair()
        hears, stop = os.pipe()
        try:
            socket.send_fds(zygote, [orjson.dumps(asdict(limits))], [theirs.fileno(), hears])
            data, fds, _, _ = socket.recv_fds(zygote, 64, 1)
            if not fds:
                raise OSError("the zygote is gone")
        except OSError:
            ours.close()
            os.close(stop)
            raise
        finally:
            theirs.close()
            os.close(hears)
        os.set_inheritable(fds[0], False)
        return Child(int(data), fds[0], ours, stop)

    def _connected(self) -> socket.socket:
        if self._zygote is None:
            self._zygote = self._start_zygote()
        return self._zygote

    def _start_zygote(self) -> socket.socket:
        hide()  # the children are of the same account, and the key is in this one's environment
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "children.zygote", str(theirs.fileno()), *self.modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**passed_on, "HOME": "/nonexistent", **self.environment},
                cwd=Path(__file__).resolve().parent.parent,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.settimeout(START_S)
        if ours.recv(64) != READY:
            ours.close()
            raise NoChildren("the zygote ended before it was ready; its error is in the log")
        return ours

    def _drop_zygote(self) -> None:
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_reaper = _Reaper()
