"""The test of a target: a table is made, written, read and removed there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from common.context import client_address
from connections.refusals import as_refusals
from engine import asking
from engine.problems import Problem
from engine.target import TargetParams
from sources.asking import place_for_probe
from sources.errors import SourceError, TooManyProbes
from sources.probe import ERROR_CODES
from targets.models import Target
from targets.params import target_params

CODES = ERROR_CODES | {"unknown_schema", "bucket_not_found", "not_a_folder"}
FOLDERS_AT_ONCE = 4
"""Each is a process that loads what reads and writes Delta tables."""

REFUSED = {
    "target_refused": "permission_denied",
    "connection_gone": "unknown",
    "host_not_allowed": "host_not_allowed",
    "target_unreachable": "host_not_found",
}
"""What a test calls the problems of `target_params`."""

_folders = threading.BoundedSemaphore(FOLDERS_AT_ONCE)


def try_target(target: Target | None) -> dict[str, Any]:
    """Return how a test went, as answers have it; None is the default target.

    Raises UnreadableSecret, and SourceFailed where as many tests run as may run.
    """
    kind = target.kind if target else "delta"
    try:
        params = target_params(target)
    except Problem as refused:
        return _failed(kind, refused.message, REFUSED[refused.code], refused.hint)
    with as_refusals(), _place(params):
        started = time.monotonic()
        try:
            facts = asking.test_target(params, settings.PROBE_TIMEOUT_S)
        except TooManyProbes:
            raise
        except SourceError as exc:
            return _failed(kind, exc.message, exc.error_code, exc.hint, exc.stage)
    details = {
        "db_type": kind,
        "version": facts.version,
        "server": facts.product,
        "latency_ms": round((time.monotonic() - started) * 1000, 1),
        "tls": facts.tls,
        "warnings": list(facts.warnings),
        "left": list(facts.left),
    }
    return {"success": True, "message": facts.message, "details": details}


def _failed(kind: str, message: str, code: str, hint: str, stage: str = "") -> dict[str, Any]:
    known = code if code in CODES else "unknown"
    details = {"db_type": kind, "error_code": known, "hint": hint, "stage": stage}
    return {"success": False, "message": message, "details": details}


@contextmanager
def _place(params: TargetParams) -> Iterator[None]:
    """Hold one of the places for tests. Raises TooManyProbes."""
    if params.database is not None:
        with place_for_probe(params.database, client_address()):
            yield
        return
    if not _folders.acquire(blocking=False):
        raise TooManyProbes("Too many targets are being tested; try again in a moment.")
    try:
        yield
    finally:
        _folders.release()
