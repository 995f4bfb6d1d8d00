"""How far a child has come with a source, and how long it may go on."""

from __future__ import annotations

import time

from children import child


class Clock:
    """`stage` names the step under way: name, port, ssh, tls, login, database or query.

    The host holds the deadline and kills; the clock is for what a child decides by itself.
    """

    def __init__(self, timeout_s: float, stage: str = "") -> None:
        self.ends_at = time.monotonic() + timeout_s
        self._stage = stage
        self.stage_kept: str | None = None

    @property
    def stage(self) -> str:
        return self._stage

    @stage.setter
    def stage(self, stage: str) -> None:
        stage = self.stage_kept or stage
        if stage != self._stage:
            self._stage = stage
            child.note(stage)

    def remaining_s(self) -> float:
        return max(0.0, self.ends_at - time.monotonic())
