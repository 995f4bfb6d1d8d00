"""Counts runs that end, however they do, for Prometheus; what is under way `health` tells."""

from __future__ import annotations

from common import metrics
from common.documents import writes
from common.documents.store import Stored

ROWS = ("read", "written", "rejected")


def count_ended(run: Stored, times: int = 1) -> None:
    """Count a run that has ended, or so many like it, once the open transaction is committed."""
    state, rows = run["status"], {what: int(run.get(f"rows_{what}") or 0) for what in ROWS}
    writes.after_commit(lambda: metrics.count_run(state, rows, times))
