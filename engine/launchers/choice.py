"""What a worker may use for one run, and what a run that is cut into parts uses of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MOST_PARTS = 200
PARTS_A_PROCESS = 4
"""Ranges of one width hold rows of various number: who is done early takes another."""
PARTS_UNKNOWN = 16
"""Into how many parts a query is cut whose database does not say how many rows it has."""


@dataclass(frozen=True, slots=True)
class Means:
    """`engine` is what the mapping asks for: `auto`, `embedded` or `spark`.

    `processes` read side by side on this machine, parts of at least `part_rows` rows. Where `auto`
    is asked for, `spark_rows` rows and more are a matter for Spark; None: there is no Spark.
    """

    engine: str = "embedded"
    processes: int = 1
    part_rows: int = 200_000
    spark_rows: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Means:
        """Return what `to_json` was made of."""
        return cls(**given)

    def for_rows(self, rows: int | None) -> str:
        """Return the engine for so many rows; None is that nobody knows."""
        if self.engine != "auto":
            return self.engine
        large = self.spark_rows is not None and rows is not None and rows >= self.spark_rows
        return "spark" if large else "embedded"

    def parts_of(self, rows: int | None, engine: str) -> int:
        """Return how many parts so many rows are worth."""
        most = MOST_PARTS if engine == "spark" else self.processes * PARTS_A_PROCESS
        if engine == "embedded" and self.processes == 1:
            return 1
        if rows is None:
            return min(PARTS_UNKNOWN, most)
        return max(1, min(most, rows // self.part_rows))
