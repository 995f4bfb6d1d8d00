"""Try a connection to a source and say what came of it, within a time that no host can stretch."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from .drivers import open_session
from .drivers.base import ServerFacts, SourceParams
from .drivers.errors import SourceError, TooManyProbes
from .drivers.watch import Watch
from .slots import Slots

logger = logging.getLogger(__name__)

slots = Slots(50, TooManyProbes, "connection tests", number=0)


# What the clients know; a database that refuses our own first query is none of the others.
ERROR_CODES = {
    "host_not_found",
    "connection_refused",
    "timeout",
    "authentication_failed",
    "unknown_database",
    "permission_denied",
    "tls_failed",
    "too_many_connections",
    "not_this_database",
    "unknown",
}


@dataclass(frozen=True)
class ProbeResult:
    """`message` is one sentence without a secret; `details` as the contract lists them, and more.

    On success: db_type, version, server, latency_ms, tls, can_write, warnings.
    On failure: db_type, error_code, hint, stage.
    """

    success: bool
    message: str
    details: dict[str, Any] = field(default_factory=dict)


def configure(max_probes: int) -> None:
    """Set how many probes may run at the same time in all workers."""
    slots.limit = max_probes


def probe(params: SourceParams, timeout_s: float = 4.5) -> ProbeResult:
    """Connect, log in and run a first query, in `timeout_s` seconds in all.

    Trouble with the source is a result, never an exception. Raises TooManyProbes.
    """
    with slots.take():
        try:
            return _succeed(params, Watch.seconds(timeout_s))
        except SourceError as exc:
            return _fail(params, exc)
        except Exception:
            logger.exception("A probe of kind %s failed in an unforeseen way", params.kind)
            return _fail(params, _unforeseen(params))


def _succeed(params: SourceParams, watch: Watch) -> ProbeResult:
    started = time.monotonic()
    session = open_session(params, watch)
    try:
        facts = session.facts()
    finally:
        session.close()
    return ProbeResult(True, "Connection successful", _details(params, facts, started))


def _details(params: SourceParams, facts: ServerFacts, started: float) -> dict[str, Any]:
    return {
        "db_type": params.kind,
        "version": facts.version,
        "server": facts.product,
        "latency_ms": round((time.monotonic() - started) * 1000, 1),
        "tls": facts.tls,
        "can_write": facts.can_write,
        "warnings": list(facts.warnings),
    }


def _fail(params: SourceParams, exc: SourceError) -> ProbeResult:
    details = {
        "db_type": params.kind,
        "error_code": exc.error_code if exc.error_code in ERROR_CODES else "unknown",
        "hint": exc.hint,
        "stage": exc.stage,
    }
    return ProbeResult(False, exc.message, details)


def _unforeseen(params: SourceParams) -> SourceError:
    return SourceError(
        f"The test of {params.address} failed unexpectedly.", hint="See this service's log."
    )
