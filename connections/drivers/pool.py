"""Keeps open sessions for the next use: few a source, few in all, none for long.

A pool belongs to the whole of its SourceParams: another password, host or certificate is another
pool.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .base import Session, SourceParams
from .errors import QueryFailed, SourceTimeout, SourceUnreachable
from .watch import SLICE_S, Watch

T = TypeVar("T")
Open = Callable[[SourceParams, Watch], Session]

RESET_S = 0.5


@dataclass(frozen=True)
class Limits:
    """At most so many sessions a source and a process; idle ones are closed after `idle_s`."""

    per_source: int = 5
    in_all: int = 40
    idle_s: float = 60.0
    age_s: float = 1800.0


@dataclass
class _Kept:
    session: Session
    opened_at: float
    idle_since: float = 0.0


class Pool:
    """The sessions of one process; safe for threads, empty again after a fork."""

    def __init__(self, open_session: Open, limits: Limits | None = None) -> None:
        self.open_session = open_session
        self.limits = limits or Limits()
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Start with nothing: what was open belongs to the process that opened it."""
        self._changed = threading.Condition()
        self._idle: dict[SourceParams, list[_Kept]] = {}
        self._counts: dict[SourceParams, int] = {}
        self._reaper: threading.Thread | None = None

    def use(self, params: SourceParams, watch: Watch, work: Callable[[Session], T]) -> T:
        """Run `work` with a session of `params`, open before or opened for it.

        A session that turns out to have died while it was idle is replaced by a new one, once.
        """
        kept, fresh = self._take(params, watch)
        try:
            return self._work(kept, params, watch, work)
        except SourceUnreachable:
            if fresh or watch.remaining_s() == 0:
                raise
        self._drop_idle(params)
        kept, _ = self._take(params, watch)
        return self._work(kept, params, watch, work)

    def count(self, params: SourceParams) -> int:
        """Return how many sessions of `params` are open, idle ones included."""
        with self._changed:
            return self._counts.get(params, 0)

    def close_idle(self, older_than_s: float = 0.0) -> None:
        """Close what has been idle for that long."""
        before = time.monotonic() - older_than_s
        with self._changed:
            closing = [
                (params, kept)
                for params, sessions in self._idle.items()
                for kept in sessions
                if kept.idle_since <= before
            ]
            for params, kept in closing:
                self._idle[params].remove(kept)
        for params, kept in closing:
            self._close(params, kept)

    # -- one use

    def _work(
        self, kept: _Kept, params: SourceParams, watch: Watch, work: Callable[[Session], T]
    ) -> T:
        kept.session.watch = watch
        try:
            result = work(kept.session)
        except QueryFailed:
            self._give_back(params, kept)
            raise
        except BaseException:
            self._abandon(params, kept)
            raise
        self._give_back(params, kept)
        return result

    def _give_back(self, params: SourceParams, kept: _Kept) -> None:
        kept.session.watch = Watch.seconds(RESET_S)
        old = time.monotonic() - kept.opened_at > self.limits.age_s
        if old or not kept.session.reset():
            self._abandon(params, kept)
            return
        kept.idle_since = time.monotonic()
        with self._changed:
            self._idle.setdefault(params, []).append(kept)
            self._start_reaper()
            self._changed.notify_all()

    def _abandon(self, params: SourceParams, kept: _Kept) -> None:
        """Stop in the background what the session still does: the caller has waited long enough."""
        threading.Thread(target=kept.session.abort, name="abort", daemon=True).start()
        self._uncount(params)

    def _close(self, params: SourceParams, kept: _Kept) -> None:
        kept.session.close()
        self._uncount(params)

    def _uncount(self, params: SourceParams) -> None:
        with self._changed:
            left = self._counts.get(params, 0) - 1
            self._counts[params] = left
            if left <= 0:
                self._counts.pop(params)
                self._idle.pop(params, None)
            self._changed.notify_all()

    def _drop_idle(self, params: SourceParams) -> None:
        with self._changed:
            dropped = self._idle.pop(params, [])
        for kept in dropped:
            self._close(params, kept)

    # -- taking

    def _take(self, params: SourceParams, watch: Watch) -> tuple[_Kept, bool]:
        """Return a session and whether it was opened just now."""
        while (kept := self._idle_or_slot(params, watch)) is not None:
            kept.session.watch = Watch.seconds(min(RESET_S, watch.remaining_s()))
            if kept.session.ready():
                return kept, False
            self._close(params, kept)
        try:
            session = self.open_session(params, watch)
        except BaseException:
            self._uncount(params)
            raise
        return _Kept(session, time.monotonic()), True

    def _idle_or_slot(self, params: SourceParams, watch: Watch) -> _Kept | None:
        """Return an idle session, or None when the caller may open one (it is counted already)."""
        while True:
            with self._changed:
                if idle := self._idle.get(params):
                    return idle.pop()
                if self._may_open(params):
                    self._counts[params] = self._counts.get(params, 0) + 1
                    return None
                victim = self._oldest_elsewhere(params)
                if victim is None:
                    self._wait(params, watch)
            if victim is not None:
                self._close(*victim)

    def _may_open(self, params: SourceParams) -> bool:
        return (
            self._counts.get(params, 0) < self.limits.per_source
            and sum(self._counts.values()) < self.limits.in_all
        )

    def _oldest_elsewhere(self, params: SourceParams) -> tuple[SourceParams, _Kept] | None:
        """Take another source's longest idle session, when the process has no room for more."""
        if self._counts.get(params, 0) >= self.limits.per_source:
            return None
        idle = [(key, kept) for key, sessions in self._idle.items() for kept in sessions]
        if not idle:
            return None
        key, kept = min(idle, key=lambda pair: pair[1].idle_since)
        self._idle[key].remove(kept)
        return key, kept

    def _wait(self, params: SourceParams, watch: Watch) -> None:
        try:
            watch.check()
        except SourceTimeout as exc:
            raise SourceTimeout(
                f"All connections to {params.address} were busy until the time was up.",
                hint="Try again when the running previews have ended.",
            ) from exc
        self._changed.wait(min(SLICE_S, watch.remaining_s()))

    # -- closing what is idle

    def _start_reaper(self) -> None:
        if self._reaper is None or not self._reaper.is_alive():
            self._reaper = threading.Thread(target=self._reap, name="pool-reaper", daemon=True)
            self._reaper.start()

    def _reap(self) -> None:
        """Run as long as anything is idle."""
        while True:
            time.sleep(self.limits.idle_s / 4)
            self.close_idle(self.limits.idle_s)
            with self._changed:
                if not any(self._idle.values()):
                    self._reaper = None
                    return
