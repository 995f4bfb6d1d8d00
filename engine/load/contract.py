"""What every loader does, so that a run need not know where its rows go.

A run makes one loader for its target and calls, in this order:

    check       tell what keeps the table from taking these rows
    begin       remember where the mapping stands in the target
    stage       take a batch, visible to nobody
    commit      show all of it at once, with the run's token and the cursor; or
    abort       leave no trace

`committed` and `cursor` ask the target at any time. A commit that is repeated with the same token
finds itself done. One that begins before, and commits after, another of the same mapping, is
refused: a worker that was thought dead commits nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from engine.plan import OWN_COLUMNS, Plan
from engine.problems import Problem

MOST_EDGE_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a mapping has read: the greatest value, as text, and the rows that have it.

    `edge` holds a digest for each row with that value, as often as there were such rows.
    """

    column: str
    value: str
    edge: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps({"column": self.column, "value": self.value, "edge": list(self.edge)})

    @classmethod
    def from_json(cls, text: str) -> Cursor:
        stored = json.loads(text)
        return cls(stored["column"], stored["value"], tuple(stored["edge"]))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A value that this target cannot hold: its row in the batch, its field, and why."""

    position: int
    field: str
    value: str | None
    code: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What became visible. `version` is Delta's, None where nothing changed or there is none.

    `duplicates` counts the rows that gave way to another with the same key.
    """

    version: int | None
    rows_written: int
    duplicates: int = 0


@dataclass
class Staged:
    """What a loader has taken so far; `files` lets another process commit them."""

    rows: int = 0
    files: list[Any] = field(default_factory=list)

    def add(self, other: Staged) -> None:
        self.rows += other.rows
        self.files += other.files


class Loader(Protocol):
    """A run's way into its target. Every method raises Problem."""

    def check(self) -> list[Problem]:
        """Return what keeps the table from taking these rows: `target_incompatible` each."""

    def begin(self) -> None:
        """Remember the mapping's last commit; a commit in between refuses this one."""

    def refuses(self, rows: pa.RecordBatch) -> list[Refusal]:
        """Return the values that cannot be written here, null keys among them."""

    def stage(self, rows: pa.RecordBatch, order: pa.Array | None = None) -> None:
        """Take rows in the schema's columns. Of rows with one key the greatest `order` stays.

        `order` is whole numbers, exact ones, moments or text: see `edge.Edge.order`.
        """

    def staged(self) -> Staged:
        """End staging, and return what was taken: plain values, that may go to another process."""

    def commit(
        self,
        token: str,
        staged: Staged,
        cursor: Cursor | None,
        *,
        empty_source: bool = False,
        fences: bool = False,
    ) -> Committed:
        """Show what is staged, all at once, with the token and the cursor.

        Where nothing changes no trace is left, unless it `fences`: then the token is, so that an
        attempt which was lost commits no more.
        """

    def abort(self, staged: Staged | None = None) -> None:
        """Remove what was staged and is not committed, here and by other processes."""

    def committed(self, token: str) -> Committed | None:
        """Return what the mapping's last commit did; None unless it has this token."""

    def fence(self, tokens: Sequence[str] = ()) -> str | None:
        """Refuse every commit of the mapping that has begun by now.

        Where the last one is of one of `tokens`, nothing is done, and that token returned.
        """

    def cursor(self) -> Cursor | None:
        """Return how far the mapping has read, None where the target does not say."""

    def has_rows(self) -> bool:
        """Tell whether the table holds rows of the mapping."""

    def close(self) -> None:
        """Let go of sessions."""


def superseded(table: str) -> Problem:
    return Problem(
        "worker_lost",
        f'Another attempt of this mapping wrote to "{table}" since this one began.',
        hint="Nothing was written by this attempt. Look at the mapping's last run.",
        stage="commit",
    )


def incompatible(message: str) -> Problem:
    return Problem(
        "target_incompatible",
        message,
        hint="Change the table or the schema, or give the mapping another target table.",
        stage="plan",
    )


def own_name_problems(plan: Plan) -> list[Problem]:
    """Return a problem for each field that is called like a column of ours."""
    return [
        incompatible(f'The schema\'s field "{field.name}" is called like a column of the service.')
        for field in plan.columns
        if field.name.lower() in OWN_COLUMNS
    ]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table that is there; `required` may not be null and has no default,
    `generated` takes no value from a program.
    """

    name: str
    data_type: str
    required: bool = False
    generated: bool = False


def table_problems(
    plan: Plan, table: Sequence[TableColumn], types: dict[str, str], own_types: dict[str, str]
) -> list[Problem]:
    """Return what keeps a table that is there from taking the plan's rows.

    `types` has the target's type of each type of fields, `own_types` that of each own column.
    """
    there = {column.name: column for column in table}
    wanted = {each.name: types[each.data_type] for each in plan.columns} | own_types
    missing = [name for name in OWN_COLUMNS if name not in there]
    if missing:
        return [
            incompatible(
                f'"{plan.table}" was not made by this service: it lacks {", ".join(missing)}.'
            )
        ]
    return [
        *_type_problems(plan, there, wanted),
        *_case_problems(plan, there, wanted),
        *(
            incompatible(
                f'The column "{name}" of "{plan.table}" may not be null, has no default, '
                "and is not in the schema."
            )
            for name, column in there.items()
            if column.required and name not in wanted
        ),
        *(
            incompatible(
                f'The column "{name}" of "{plan.table}" is generated by the database, which takes '
                "no value for it."
            )
            for name, column in there.items()
            if column.generated and name in wanted
        ),
    ]


def _type_problems(
    plan: Plan, there: dict[str, TableColumn], wanted: dict[str, str]
) -> list[Problem]:
    return [
        incompatible(
            f'The column "{name}" of "{plan.table}" is {there[name].data_type}; '
            f"the schema makes it {data_type}."
        )
        for name, data_type in wanted.items()
        if name in there and there[name].data_type != data_type
    ]


def _case_problems(
    plan: Plan, there: dict[str, TableColumn], wanted: dict[str, str]
) -> list[Problem]:
    lowered = {name.lower(): name for name in there}
    return [
        incompatible(
            f'The column "{lowered[name.lower()]}" of "{plan.table}" differs only in case '
            f'from the schema\'s field "{name}".'
        )
        for name in wanted
        if name not in there and name.lower() in lowered
    ]
