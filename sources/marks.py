"""Which sources have no connection left, known to all processes that share a folder."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

from sources.contract import SourceParams

FULL_S = 60.0


class Marks:
    """A file for each source that was full in the last minute; its name tells nothing of it."""

    def __init__(self, shared: Path | None = None) -> None:
        self.shared = shared
        self._own: dict[str, float] = {}

    def forget(self) -> None:
        """Take no source for full that this process found to be."""
        self._own.clear()

    def mark_full(self, params: SourceParams) -> None:
        """Have every process give up what it keeps open there, and keep nothing for a minute."""
        name = _name(params)
        self._own[name] = time.time()
        if self.shared is not None:
            with suppress(OSError):
                (self.shared / name).touch(mode=0o600)

    def full(self, params: SourceParams) -> bool:
        """Tell whether the source was full in the last minute."""
        name = _name(params)
        at = self._own.get(name, 0.0)
        if self.shared is not None:
            with suppress(OSError):
                at = max(at, (self.shared / name).lstat().st_mtime)
        return time.time() - at < FULL_S


def _name(params: SourceParams) -> str:
    place = (params.kind, params.hostname, params.port, params.username)
    return "full-" + hashlib.sha256(repr(place).encode()).hexdigest()[:32]
