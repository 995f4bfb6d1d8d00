"""Try a connection to a source and say what came of it, within a time that no host can stretch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from sources import asking
from sources.contract import SourceParams
from sources.errors import SourceError

# What the clients know; a database that refuses our own first query is none of the others.
ERROR_CODES = {
    "host_not_found",
    "host_not_allowed",
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


def probe(params: SourceParams, timeout_s: float = 4.5, client: str = "") -> ProbeResult:
    """Connect, log in and run a first query, in `timeout_s` seconds in all.

    `client` is who asks: nobody's tests keep the others out. Trouble with the source is a result,
    never an exception. Raises TooManyProbes.
    """
    with asking.place_for_probe(params, client) as late_s:
        started = time.monotonic()
        try:
            facts = asking.alone("facts", params, timeout_s - late_s)
        except SourceError as exc:
            return _fail(params, exc)
        return ProbeResult(True, "Connection successful", _details(params, facts, started))


def _details(params: SourceParams, facts: dict[str, Any], started: float) -> dict[str, Any]:
    return {
        "db_type": params.kind,
        "version": facts["version"],
        "server": facts["product"],
        "latency_ms": round((time.monotonic() - started) * 1000, 1),
        "tls": facts["tls"],
        "can_write": facts["can_write"],
        "warnings": facts["warnings"],
    }


def _fail(params: SourceParams, exc: SourceError) -> ProbeResult:
    details = {
        "db_type": params.kind,
        "error_code": exc.error_code if exc.error_code in ERROR_CODES else "unknown",
        "hint": exc.hint,
        "stage": exc.stage,
    }
    return ProbeResult(False, exc.message, details)
