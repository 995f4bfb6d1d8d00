"""Keeps children that hold something open for the next use: few a key, few in all, not for long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from children.host import Child, ChildError, ChildFailed, Host
from children.limits import Limits

SLICE_S = 0.05
PATIENCE_S = 1.0


class PoolBusy(ChildError):
    """Every child of that key, or every one there may be, was in use until the deadline."""


@dataclass(frozen=True)
class PoolLimits:
    """At most so many children a key and a process; idle ones are ended after `idle_s`."""

    per_key: int = 5
    in_all: int = 40
    idle_s: float = 15.0
    age_s: float = 1800.0
    uses: int = 2000


@dataclass
class _Idle:
    child: Child
    since: float


class Pool:
    """The children of one process; safe for threads, empty again after a fork.

    `full` tells of a key whose place is so short of room that nothing may be kept open there,
    `kept_after` names the failures after which a child is as good as before.
    """

    def __init__(
        self,
        host: Host,
        limits: PoolLimits | None = None,
        full: Callable[[Hashable], bool] = lambda _key: False,
        child_limits: Limits | None = None,
        kept_after: frozenset[str] = frozenset(),
    ) -> None:
        self.host = host
        self.limits = limits or PoolLimits()
        self.full = full
        self.child_limits = child_limits or Limits()
        self.kept_after = kept_after
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Start with nothing: what was open belongs to the process that opened it."""
        self._changed = threading.Condition()
        self._idle: dict[Hashable, list[_Idle]] = {}
        self._counts: dict[Hashable, int] = {}
        self._sweeping = False

    @contextmanager
    def child(self, key: Hashable, deadline: float) -> Iterator[Child]:
        """Lend a child of `key`: an idle one, or a new one.

        It is kept when the block ends well or with a failure of `kept_after`, and else stopped.
        Raises PoolBusy, NoChildren.
        """
        child = self._take(key, deadline)
        try:
            yield child
        except BaseException as exc:
            if isinstance(exc, ChildFailed) and exc.code in self.kept_after:
                self._give_back(key, child)
            else:
                child.stop()
                self._uncount(key)
            raise
        self._give_back(key, child)

    def count(self, key: Hashable) -> int:
        """Return how many children of `key` there are, idle ones included."""
        with self._changed:
            return self._counts.get(key, 0)

    def close_idle(self, key: Hashable | None = None, older_than_s: float = 0.0) -> None:
        """End what has been idle for that long: of `key`, or of all."""
        before = time.monotonic() - older_than_s
        with self._changed:
            closing = [
                (of, idle)
                for of, kept in self._idle.items()
                if key is None or of == key
                for idle in kept
                if idle.since <= before
            ]
            for of, idle in closing:
                self._idle[of].remove(idle)
        for of, idle in closing:
            self._end(of, idle.child)

    def _end(self, key: Hashable, child: Child) -> None:
        child.kill()
        self._uncount(key)

    def _give_back(self, key: Hashable, child: Child) -> None:
        old = time.monotonic() - child.started_at > self.limits.age_s
        if old or child.uses >= self.limits.uses or self.full(key):
            self._end(key, child)
            return
        with self._changed:
            self._idle.setdefault(key, []).append(_Idle(child, time.monotonic()))
            self._changed.notify_all()
            if self._sweeping:
                return
            self._sweeping = True
        threading.Thread(target=self._sweep, name="children-sweep", daemon=True).start()

    def _uncount(self, key: Hashable) -> None:
        with self._changed:
            left = self._counts.get(key, 0) - 1
            self._counts[key] = left
            if left <= 0:
                self._counts.pop(key)
                self._idle.pop(key, None)
            self._changed.notify_all()

    def _take(self, key: Hashable, deadline: float) -> Child:
        while (child := self._idle_or_place(key, deadline)) is not None:
            if child.alive:
                return child
            self._end(key, child)
        try:
            return self.host.start(self.child_limits)
        except BaseException:
            self._uncount(key)
            raise

    def _idle_or_place(self, key: Hashable, deadline: float) -> Child | None:
        """Return an idle child, or None when the caller may start one (it is counted already).

        Where a place is full, the next one waits for a moment until those before have ended.
        """
        patient_until = time.monotonic() + PATIENCE_S
        while True:
            with self._changed:
                if idle := self._idle.get(key):
                    return idle.pop().child
                patient = time.monotonic() < patient_until
                if self._may_start(key, patient):
                    self._counts[key] = self._counts.get(key, 0) + 1
                    return None
                victim = self._oldest_elsewhere(key)
                if victim is None:
                    self._wait(deadline)
            if victim is not None:
                self._end(*victim)

    def _may_start(self, key: Hashable, patient: bool) -> bool:
        of_key, in_all = self._counts.get(key, 0), sum(self._counts.values())
        if of_key and patient and self.full(key):
            return False
        return of_key < self.limits.per_key and in_all < self.limits.in_all

    def _oldest_elsewhere(self, key: Hashable) -> tuple[Hashable, Child] | None:
        """Take another key's longest idle child, when the process has no room for more."""
        has_room = sum(self._counts.values()) < self.limits.in_all
        if has_room or self._counts.get(key, 0) >= self.limits.per_key:
            return None
        kept = [(of, idle) for of, all_of in self._idle.items() for idle in all_of]
        if not kept:
            return None
        of, idle = min(kept, key=lambda pair: pair[1].since)
        self._idle[of].remove(idle)
        return of, idle.child

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise PoolBusy
        self._changed.wait(min(SLICE_S, left))

    def _sweep(self) -> None:
        """Run as long as anything is idle."""
        while True:
            time.sleep(min(0.25, self.limits.idle_s / 4))
            self.close_idle(older_than_s=self.limits.idle_s)
            with self._changed:
                keys = [key for key, kept in self._idle.items() if kept]
                if not keys:
                    self._sweeping = False
                    return
            for key in filter(self.full, keys):
                self.close_idle(key)
