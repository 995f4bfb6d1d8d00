"""Where a run writes: all that is needed to open a target, secrets among it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sources.contract import SourceParams

LENT = ("AWS_", "AZURE_", "GOOGLE_", "GCP_", "GCS_")
"""How the variables begin that the environment may lend a target."""
SECRET_WORDS = ("key", "secret", "token", "password", "sas", "credential", "account", "signature")


@dataclass(frozen=True)
class TargetParams:
    """A folder of Delta tables (`uri`, `options`), or a database (`database`, `db_schema`).

    `kind` is "delta", "postgresql" or "mysql". `options` are delta-rs's own names. With `ambient`
    the service's environment may lend what `options` lack; without, nothing does.
    """

    kind: str
    uri: str | None = None
    options: dict[str, str] = field(default_factory=dict, repr=False)
    ambient: bool = False
    database: SourceParams | None = None
    db_schema: str | None = None

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> TargetParams:
        """Return what `to_json` was made of."""
        database = given["database"]
        return cls(**{**given, "database": SourceParams.from_json(database) if database else None})

    def to_json(self) -> dict[str, Any]:
        """Return everything, secrets too: for the socket of a child and nothing else."""
        return asdict(self)

    def lent(self) -> TargetParams:
        """Return it with what the service's environment lends it, where that is allowed."""
        if not self.ambient:
            return self
        lent = {name: value for name, value in os.environ.items() if name.startswith(LENT)}
        return replace(self, options=lent | self.options)

    @property
    def secrets(self) -> list[str]:
        """Return what no message may show, the longest first."""
        of_options = [
            value
            for name, value in self.options.items()
            if value and any(word in name.lower() for word in SECRET_WORDS)
        ]
        of_database = self.database.secrets if self.database else []
        return sorted([*of_options, *of_database], key=len, reverse=True)

    @property
    def address(self) -> str:
        """Return what messages call the target."""
        return self.database.address if self.database else self.uri or ""
