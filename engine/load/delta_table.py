"""What there is of a Delta table: its columns and files, and the words for its troubles."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Field as DeltaField, Schema
from deltalake.schema import PrimitiveType
from deltalake.transaction import RemoveAction

from engine.load.contract import TableColumn, incompatible
from engine.load.parquet import whole_range
from engine.plan import Plan
from engine.problems import Problem

TYPES = {
    "string": "string",
    "integer": "long",
    "float": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
OWN_TYPES = {"_mapping_id": "string", "_run_id": "string", "_loaded_at": "timestamp"}
PARTITION = ["_mapping_id"]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FORBIDDEN = " ,;{}()\n\t\r="
_UNREADABLE = ("delta.enableDeletionVectors", "delta.columnMapping.mode")


@dataclass(frozen=True)
class ExistingFile:
    """A file that the table has; `whole` where all its rows are the mapping's."""

    encoded_path: str
    size: int
    rows: int | None
    whole: bool
    partition_values: dict[str, str | None]
    key_range: tuple[int, int] | None = None

    @property
    def path(self) -> str:
        return unquote(self.encoded_path)

    def removal(self) -> RemoveAction:
        return RemoveAction(self.encoded_path, True, now_ms(), self.size, self.partition_values)


def existing_files(
    table: DeltaTable, mapping_id: str, keys: Sequence[str] = ()
) -> list[ExistingFile]:
    """Return the files that hold rows of the mapping, or may."""
    partitioned = table.metadata().partition_columns == PARTITION
    actions = pa.table(table.get_add_actions(flatten=True))
    if partitioned:
        owners = actions["partition._mapping_id"].cast(pa.string())
        actions = actions.filter(pc.equal(owners, mapping_id))
    values: dict[str, str | None] = {"_mapping_id": mapping_id} if partitioned else {}
    least, most = (f"{end}.{keys[0]}" if len(keys) == 1 else "" for end in ("min", "max"))
    wanted = ["path", "size_bytes", "num_records", least, most]
    return [
        ExistingFile(
            row["path"], row["size_bytes"], row["num_records"], partitioned, values,
            whole_range(row.get(least), row.get(most)),
        )
        for row in actions.select([n for n in wanted if n in actions.column_names]).to_pylist()
    ]  # fmt: skip


def columns_of(table: DeltaTable) -> list[TableColumn]:
    return [
        TableColumn(field.name, getattr(field.type, "type", None) or str(field.type),
                    required=not field.nullable)
        for field in table.schema().fields
    ]  # fmt: skip


def schema_of(plan: Plan) -> Schema:
    types = {each.name: TYPES[each.data_type] for each in plan.columns} | OWN_TYPES
    return Schema([DeltaField(name, PrimitiveType(kind)) for name, kind in types.items()])


def name_problems(plan: Plan) -> list[Problem]:
    return [
        incompatible(
            f'The field "{each.name}" has a blank or one of ,;{{}}()= in its name, '
            "which Delta tables cannot have."
        )
        for each in plan.columns
        if any(letter in _FORBIDDEN for letter in each.name)
    ]


def has_unknown_features(table: DeltaTable) -> bool:
    configuration = table.metadata().configuration
    return any(configuration.get(name, "none") not in ("none", "false") for name in _UNREADABLE)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def trouble(table: str, message: str, stage: str) -> Problem:
    code, hint = next(
        (found for words, *found in _TROUBLES if any(word in message.lower() for word in words)),
        ("target_refused", "See that there is space and that files may be written there."),
    )
    return Problem(code, f'The table "{table}": {message}', hint=hint, stage=stage)


_TROUBLES = [
    (
        ("may not connect",),
        "target_refused",
        "Take another endpoint, or have the operator change the networks.",
    ),
    (
        (
            "error sending request",
            "connection",
            "connect error",
            "dns error",
            "unreachable",
            "cannot be reached",
            '" was not found',
        ),
        "target_unreachable",
        "See whether the store is up and its address is right; the run is tried again.",
    ),
    (
        ("timed out", "timeout"),
        "target_timeout",
        "See whether the store answers; the run is tried again.",
    ),
]
