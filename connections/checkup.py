"""Test many stored connections at once, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common.exceptions import UnreadableSecret
from connections.models import Connection
from sources.contract import SourceParams
from sources.errors import TooManyProbes
from sources.probe import ProbeResult, probe

AT_ONCE = 6
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Checked:
    """How the test of one connection went; `result` is None where it could not be tried."""

    connection: Connection
    result: ProbeResult | None
    sentence: str

    @property
    def answered(self) -> bool:
        return self.result is not None and self.result.success


def check_all(
    connections: Sequence[Connection], timeout_s: float, at_once: int = AT_ONCE
) -> Iterator[Checked]:
    """Test connections, `at_once` in parallel, and note on each how it went; in their order.

    Only the tests run in threads: the store is spoken to by the caller's.
    """
    executor = ThreadPoolExecutor(at_once)
    try:
        asked = [executor.submit(_probe, params, timeout_s) for params in map(_params, connections)]
        for connection, future in zip(connections, asked, strict=True):
            checked = _checked(connection, future.result())
            if checked.result is not None:
                connection.record_test(checked.sentence, checked.result.details.get("error_code"))
            yield checked
    finally:
        # Who stops early waits for the tests that run, and not for those in line.
        executor.shutdown(cancel_futures=True)


def _params(connection: Connection) -> SourceParams | str:
    try:
        return connection.params()
    except UnreadableSecret as unreadable:
        return unreadable.detail


def _probe(params: SourceParams | str, timeout_s: float) -> ProbeResult | str:
    """Return how a test went, or the sentence why there was none."""
    if isinstance(params, str):
        return params
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return probe(params, timeout_s)
        except TooManyProbes as busy:
            if time.monotonic() > deadline:
                return busy.message
            time.sleep(0.1)


def _checked(connection: Connection, outcome: ProbeResult | str) -> Checked:
    if isinstance(outcome, str):
        return Checked(connection, None, outcome)
    return Checked(connection, outcome, outcome.message)
