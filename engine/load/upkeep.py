"""What keeps a Delta table quick to read: many small files become few, and old ones go."""

from __future__ import annotations

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from engine.load.delta_table import PARTITION

COMMITS = 100
TARGET_BYTES = 64 * 1024 * 1024  # a few times this is in memory while files are put together
KEPT_HOURS = 7 * 24


def tidy(folder: str, table: str, options: dict[str, str] | None = None) -> bool:
    """Put the small files of a table that was made here together, 100 commits after the last time.

    Removes the files that no version of the last 7 days uses, those of runs that were killed
    among them, and what the log said before its last sum, longer ago than the table's
    `delta.logRetentionDuration` (30 days, unless it is set). Rows, cursors and what is being staged
    stay as they are, and a run that commits meanwhile goes first. Returns whether anything was
    done.
    """
    uri = f"{folder.rstrip('/')}/{table}"
    try:
        found = DeltaTable(uri, storage_options=options)
    except TableNotFoundError:
        return False
    if not _is_due(found):
        return False
    try:
        found.optimize.compact(target_size=TARGET_BYTES, max_concurrent_tasks=1)
    except CommitFailedError:
        return False
    found.vacuum(KEPT_HOURS, dry_run=False, full=True)
    found.cleanup_metadata()
    return True


def _is_due(table: DeltaTable) -> bool:
    if table.version() < COMMITS or table.metadata().partition_columns != PARTITION:
        return False
    return all(entry.get("operation") != "OPTIMIZE" for entry in table.history(COMMITS))
