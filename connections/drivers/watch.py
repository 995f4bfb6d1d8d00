"""One clock for everything that a request does with a source."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import AnswerTooLarge, RequestAborted, SourceTimeout

SLICE_S = 0.05
MAX_RECEIVED_BYTES = 32 * 1024 * 1024
MAX_CATALOG_ROWS = 200_000


@dataclass
class Watch:
    """A deadline shared by name look-up, connecting, TLS, login, the query and its rows.

    `ends_at` is on the monotonic clock. `cancelled` is asked about every 50 ms of waiting.
    `stage` names the step that is under way.
    """

    ends_at: float
    cancelled: Callable[[], bool] | None = None
    max_received_bytes: int = MAX_RECEIVED_BYTES
    stage: str = field(default="name")

    @classmethod
    def seconds(cls, timeout_s: float, cancelled: Callable[[], bool] | None = None) -> Watch:
        return cls(time.monotonic() + timeout_s, cancelled)

    def remaining_s(self) -> float:
        return max(0.0, self.ends_at - time.monotonic())

    def check(self) -> None:
        """Raise SourceTimeout past the deadline, RequestAborted when the caller is gone."""
        if time.monotonic() >= self.ends_at:
            raise SourceTimeout("The source did not answer in time.", stage=self.stage)
        if self.cancelled is not None and self.cancelled():
            raise RequestAborted("The request was given up.", stage=self.stage)

    def check_received(self, received_bytes: int) -> None:
        """Raise AnswerTooLarge past `max_received_bytes`."""
        if received_bytes > self.max_received_bytes:
            raise too_large(self)

    def wait(self, fd: int, events: int) -> int:
        """Wait for `events` (poll's flags) on `fd`; return those that came."""
        poll = select.poll()
        poll.register(fd, events)
        while True:
            self.check()
            ready = poll.poll(max(1.0, min(SLICE_S, self.remaining_s()) * 1000))
            if ready:
                return ready[0][1]


def check_rows(count: int, watch: Watch) -> None:
    """Raise AnswerTooLarge for more rows than any catalogue has: each is larger here than there."""
    if count > MAX_CATALOG_ROWS:
        raise AnswerTooLarge(
            f"The source tells of more than {MAX_CATALOG_ROWS:,} tables or columns.",
            stage=watch.stage,
        )


def too_large(watch: Watch) -> AnswerTooLarge:
    """Return the error for a query that sends more than `watch` lets in."""
    megabytes = watch.max_received_bytes // (1024 * 1024)
    return AnswerTooLarge(
        f"The query's answer is larger than the {megabytes} MiB that a preview reads.",
        hint="Select fewer or shorter columns, for example left(column, 1000).",
        stage=watch.stage,
    )
