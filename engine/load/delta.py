"""A folder of Delta tables: rows are staged as files, and one entry of the log shows them.

A file holds the rows of one mapping where the table is partitioned by `_mapping_id`, as those made
here are; other tables are taken, too. The mapping's place in the log is an application id with the
digest of the last token as its version: Delta refuses a commit that meets another one of the same
application id, and what it does not refuse is compared on the handle that is written through. The
cursor is a small file beside the table, named by its digest, which a second application id has.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Field as DeltaField, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    RemoveAction,
    Transaction,
    create_table_with_add_actions,
)

from engine.cast import ARROW_TYPES
from engine.load import proxy
from engine.load.contract import (
    Committed,
    Cursor,
    Refusal,
    Staged,
    TableColumn,
    incompatible,
    own_name_problems,
    superseded,
    table_problems,
)
from engine.load.keys import any_of, beaten, key_column, losers, null_keys
from engine.load.parquet import (
    DataFile,
    FileWriter,
    Folder,
    batches,
    key_range,
    whole_range,
)
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
ORDER = "_etl_order"  # in staged files of an upsert with a cursor alone
PARTITION = ["_mapping_id"]
_FORBIDDEN = " ,;{}()\n\t\r="
_MOST_TRIES = 50
CHECKPOINT_EVERY = 10
"""After so many commits the log is summed up: each entry since then is a thread while it is read,
and some ninety of them are more memory than a run may have.
"""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MOST_MESSAGE = 500
_SECRET_WORDS = ("key", "secret", "token", "password", "sas", "credential", "account")
_UNREADABLE = ("delta.enableDeletionVectors", "delta.columnMapping.mode")


class DeltaLoader:
    """`contract.Loader` for the table `plan.table` below `folder`, a path or a URL.

    `options` are delta-rs's own names, secrets among them; nothing here shows them.
    """

    def __init__(self, plan: Plan, folder: str, options: dict[str, str] | None = None) -> None:
        self._plan = plan
        self._uri = f"{folder.rstrip('/')}/{plan.table}"
        self._options = options
        self._app = f"etl-{plan.mapping_id}"
        self._cursor_app = f"etl-cursor-{plan.mapping_id}"
        self._base: int | None = None
        self._partitioned = True
        self._folder_cache: Folder | None = None
        self._writer: FileWriter | None = None
        self._rows = 0

    # --- before ---

    def check(self) -> list[Problem]:
        with self.translated("plan"):
            return self._problems(self.open_table())

    def _problems(self, table: DeltaTable | None) -> list[Problem]:
        problems = [*own_name_problems(self._plan), *_name_problems(self._plan)]
        if table is None:
            return problems
        if table.metadata().partition_columns not in ([], PARTITION):
            problems.append(incompatible(f'"{self._plan.table}" is partitioned by other columns.'))
        if _has_unknown_features(table):
            problems.append(
                incompatible(
                    f'"{self._plan.table}" uses deletion vectors or column mapping, '
                    "which cannot be written here."
                )
            )
        return problems + table_problems(self._plan, _columns(table), TYPES, OWN_TYPES)

    def begin(self) -> None:
        with self.translated("load"):
            table = self.open_table()
        self._partitioned = table is None or table.metadata().partition_columns == PARTITION
        self._base = table.transaction_version(self._app) if table else None

    def refuses(self, rows: pa.RecordBatch) -> list[Refusal]:
        return null_keys(rows, self._keys)

    # --- staging ---

    def stage(self, rows: pa.RecordBatch, order: pa.Array | None = None) -> None:
        if not rows.num_rows:
            return
        with self.translated("load"):
            if self._writer is None:
                self._writer = FileWriter(self._folder, self._plan.mapping_id)
            self._writer.write(self._with_own_columns(rows, order))
        self._rows += rows.num_rows

    def staged(self) -> Staged:
        with self.translated("load"):
            files = self._writer.close() if self._writer else []
        return Staged(self._rows, list(files))

    def abort(self, staged: Staged | None = None) -> None:
        if self._writer is None and not (staged and staged.files):
            return
        with self.translated("load"):
            if self._writer:
                self._writer.abort()
            for file in staged.files if staged else []:
                self._folder.remove(file.path)
            self._folder.remove_empty(self._plan.mapping_id)

    def close(self) -> None:
        return

    def _with_own_columns(self, rows: pa.RecordBatch, order: pa.Array | None) -> pa.RecordBatch:
        own = {"_run_id": self._plan.run_id, "_loaded_at": self._plan.loaded_at}
        if not self._partitioned:
            own = {"_mapping_id": self._plan.mapping_id} | own
        for name, value in own.items():
            scalar = pa.scalar(value, ARROW_TYPES[OWN_TYPES[name]])
            rows = rows.append_column(name, pa.repeat(scalar, rows.num_rows))
        if order is not None and self._upserts:
            rows = rows.append_column(ORDER, order)
        return rows

    # --- the commit ---

    def commit(
        self,
        token: str,
        staged: Staged,
        cursor: Cursor | None,
        *,
        empty_source: bool = False,
        fences: bool = False,
    ) -> Committed:
        with self.translated("commit"):
            attempt = _Attempt(
                _digest(token), staged, cursor, self._keeps_rows(empty_source), fences=fences
            )
            with self._distinct(staged.files) as (files, duplicates):
                attempt.files, attempt.duplicates = files, duplicates
                return self._commit_until_it_holds(attempt)

    def committed(self, token: str) -> Committed | None:
        stamp = _digest(token)
        with self.translated("commit"):
            table = self.open_table()
            if self._last(table) != stamp:
                return None
            return self._logged(stamp) or Committed(None, 0)

    def fence(self, tokens: Sequence[str] = ()) -> str | None:
        found = {_digest(token): token for token in tokens}
        attempt = _Attempt(random.getrandbits(62) + 1, Staged(), None, keeps_rows=True)
        with self.translated("commit"):
            for pause_s in _pauses():
                table = self.open_table()
                last = self._last(table)
                if last is not None and last in found:
                    return found[last]
                try:
                    if self._try(table, attempt, always=True) is not None:
                        return None
                except CommitFailedError:
                    time.sleep(pause_s)
        raise _overtaken(self._plan.table)

    def _keeps_rows(self, empty_source: bool) -> bool:
        if self._plan.write_mode != "replace":
            return True
        return empty_source and not self._plan.full_refresh

    def _commit_until_it_holds(self, attempt: _Attempt) -> Committed:
        for pause_s in _pauses():
            table = self.open_table()
            last = self._last(table)
            if last == attempt.stamp:
                return self._found(attempt)
            if last != self._base:
                raise superseded(self._plan.table)
            try:
                written = self._try(table, attempt)
            except CommitFailedError:
                time.sleep(pause_s)
                continue
            if written is not None:
                return written
        raise _overtaken(self._plan.table)

    def _try(
        self, table: DeltaTable | None, attempt: _Attempt, always: bool = False
    ) -> Committed | None:
        """Commit once. None is: the table was changed to take the rows, look again."""
        if table is not None and self._adds_columns(table):
            return None
        transactions = self._transactions(table, attempt, always)
        with self._actions(table, attempt) as actions:
            if not actions and len(transactions) == 1 and not (always or attempt.fences):
                return Committed(None, 0, attempt.duplicates)
            properties = CommitProperties(
                app_transactions=transactions,
                custom_metadata=attempt.told(self._plan),
                # A table that two make at once would be made anew over the first one's rows.
                max_commit_retries=0 if table is None else None,
            )
            if table is None:
                if not self._create(actions, properties):
                    return None
            else:
                table.create_write_transaction(
                    actions,
                    "append",
                    table.schema(),
                    table.metadata().partition_columns,
                    commit_properties=properties,
                )
        self._forget_cursor_before(table, transactions)
        found = self._found(attempt)
        self._sum_up(found.version)
        return found

    def _create(self, actions: list[Any], properties: CommitProperties) -> bool:
        """Make the table with its first rows; False where another has made it meanwhile."""
        try:
            create_table_with_add_actions(
                self._uri,
                _schema(self._plan),
                actions,
                mode="error",
                partition_by=PARTITION,
                storage_options=self._options,
                commit_properties=properties,
            )
        except (CommitFailedError, DeltaError):
            if self.open_table() is None:
                raise
            return False
        return True

    def _adds_columns(self, table: DeltaTable) -> bool:
        problems = self._problems(table)
        if problems:
            raise problems[0]
        if (table.metadata().partition_columns == PARTITION) != self._partitioned:
            raise incompatible(f'"{self._plan.table}" was partitioned anew while rows were read.')
        there = {column.name for column in _columns(table)}
        missing = [field for field in _schema(self._plan).fields if field.name not in there]
        if missing:
            table.alter.add_columns(missing)
        return bool(missing)

    def _transactions(
        self, table: DeltaTable | None, attempt: _Attempt, always: bool
    ) -> list[Transaction]:
        """Return the mapping's new place in the log, and that of its cursor where it moves."""
        place = Transaction(self._app, attempt.stamp)
        before = table.transaction_version(self._cursor_app) if table else None
        if attempt.cursor is not None:
            content = attempt.cursor.to_json()
            if before == _digest(content):
                return [place]
            self._folder.write(self._cursor_path(_digest(content)), content.encode())
            return [place, Transaction(self._cursor_app, _digest(content))]
        if before and self._plan.cursor is None and not always:
            return [place, Transaction(self._cursor_app, 0)]
        return [place]

    def _forget_cursor_before(
        self, table: DeltaTable | None, transactions: list[Transaction]
    ) -> None:
        before = table.transaction_version(self._cursor_app) if table else None
        if before and len(transactions) == 2:
            self._folder.remove(self._cursor_path(before))

    def _found(self, attempt: _Attempt) -> Committed:
        """Return what became of this commit."""
        unlogged = Committed(None, attempt.rows_written, attempt.duplicates)
        return self._logged(attempt.stamp) or unlogged

    def _sum_up(self, version: int | None) -> None:
        if version is None or (version + 1) % CHECKPOINT_EVERY:
            return
        # The commit holds without it.
        with contextlib.suppress(DeltaError, OSError):
            if table := self.open_table():
                table.create_checkpoint()

    def _logged(self, stamp: int) -> Committed | None:
        """Return what the log says of a commit; None where it is not among the newest."""
        table = self.open_table()
        for entries in (1, _MOST_TRIES):  # one is enough where nobody else writes
            for entry in table.history(entries) if table else []:
                if entry.get("etlCommit") == str(stamp):
                    return Committed(
                        entry["version"], int(entry["etlRows"]), int(entry["etlDuplicates"])
                    )
        return None

    # --- whose rows go, and which ---

    @contextlib.contextmanager
    def _actions(self, table: DeltaTable | None, attempt: _Attempt) -> Iterator[list[Any]]:
        """Give the entries of the log; what was written for them goes if they do not hold."""
        actions: list[Any] = [self._add(file) for file in attempt.files]
        rewritten: list[DataFile] = []
        try:
            for old in self._touched(table, attempt):
                new = self._without(old, attempt)
                if new is None:
                    continue
                rewritten += new
                actions += [old.removal(), *(self._add(file, old) for file in new)]
            yield actions
        except BaseException:
            for file in rewritten:
                self._folder.remove(file.path)
            raise

    def _touched(self, table: DeltaTable | None, attempt: _Attempt) -> list[_Existing]:
        if table is None or (self._upserts and not attempt.files):
            return []
        if attempt.keeps_rows and not self._upserts:
            return []
        files = _existing(table, self._plan.mapping_id, self._keys)
        return [old for old in files if self._may_meet(old, attempt)]

    def _may_meet(self, old: _Existing, attempt: _Attempt) -> bool:
        """Tell whether a file's keys can be among those of the run, by the range of both."""
        ranges = [key_range(file.stats, self._keys) for file in attempt.files]
        if not self._upserts or old.key_range is None or None in ranges:
            return True
        least, most = old.key_range
        return any(low <= most and least <= high for low, high in filter(None, ranges))

    def _without(self, old: _Existing, attempt: _Attempt) -> list[DataFile] | None:
        """Return the files that take the place of one; None where it stays as it is."""
        if old.whole and not self._upserts:
            return []
        gone = self._gone(old, attempt)
        if not pc.any(gone).as_py():
            return None
        return self._copied(old.path, gone)

    def _gone(self, old: _Existing, attempt: _Attempt) -> pa.Array:
        """Return a mask of the file's rows that this commit removes."""
        with self._folder.parquet(old.path) as file:
            ours = None if old.whole else self._ours(file)
            if not self._upserts:
                return ours
            names = set(file.schema_arrow.names)
            if not names.issuperset(self._keys):  # the key is younger than the file
                return pa.array([False] * file.metadata.num_rows)
            keys = key_column(file.read(self._keys), self._keys)
        masks = [pc.is_in(keys, value_set=self._staged_keys(new)[0]) for new in attempt.files]
        met = any_of(masks)
        return met if ours is None else pc.and_(met, ours)

    def _ours(self, file: Any) -> pa.Array:
        owners = file.read(["_mapping_id"])["_mapping_id"].combine_chunks()
        return pc.fill_null(pc.equal(owners.cast(pa.string()), self._plan.mapping_id), False)

    def _copied(self, path: str, gone: pa.Array) -> list[DataFile]:
        """Write a file's other rows anew."""
        writer = FileWriter(self._folder, self._plan.mapping_id)
        at = 0
        try:
            with self._folder.parquet(path) as file:
                for batch in batches(file):
                    left = batch.filter(pc.invert(gone.slice(at, batch.num_rows)))
                    at += batch.num_rows
                    if left.num_rows:
                        writer.write(left)
            return writer.close()
        except BaseException:
            writer.abort()
            raise

    @contextlib.contextmanager
    def _distinct(self, files: list[DataFile]) -> Iterator[tuple[list[DataFile], int]]:
        """Give files in which each key comes once, and how many rows gave way."""
        if not self._upserts:
            yield files, 0
            return
        masks = self._losing(files)
        kept: list[DataFile] = []
        made: list[DataFile] = []
        replaced: list[DataFile] = []
        for file, mask in zip(files, masks, strict=True):
            if not mask.true_count:
                kept.append(file)
                continue
            copies = self._copied(file.path, mask)
            replaced.append(file)
            made += copies
            kept += copies
        try:
            yield kept, sum(mask.true_count for mask in masks)
        except BaseException:
            for file in made:
                self._folder.remove(file.path)
            raise
        for file in replaced:
            self._folder.remove(file.path)

    def _losing(self, files: list[DataFile]) -> list[pa.Array]:
        """Return for each file the rows that give way, two files at a time in memory."""
        masks = [pa.array([False] * file.rows, pa.bool_()) for file in files]
        for at in reversed(range(len(files))):
            keys, order = self._staged_keys(files[at])
            masks[at] = pc.or_(masks[at], _losers_among(keys, order, masks[at]))
            for earlier in range(at):
                left = pc.invert(masks[at])
                met_keys, met_order = self._staged_keys(files[earlier])
                lost, beaten_by = beaten(
                    met_keys, met_order, keys.filter(left), _filtered(order, left)
                )
                masks[earlier] = pc.or_(masks[earlier], lost)
                masks[at] = pc.replace_with_mask(masks[at], left, beaten_by)
        return masks

    def _staged_keys(self, file: DataFile) -> tuple[pa.Array, pa.Array | None]:
        with self._folder.parquet(file.path) as parquet:
            ordered = ORDER in parquet.schema_arrow.names
            table = parquet.read([*self._keys, *([ORDER] if ordered else [])])
        order = table[ORDER].combine_chunks() if ordered else None
        return key_column(table, self._keys), order

    def _add(self, file: DataFile, old: _Existing | None = None) -> AddAction:
        values = {"_mapping_id": self._plan.mapping_id} if self._partitioned else {}
        return AddAction(file.path, file.size, values, _now_ms(), True, file.stats)

    # --- the cursor and the rest ---

    def cursor(self) -> Cursor | None:
        with self.translated("plan"):
            table = self.open_table()
            version = table.transaction_version(self._cursor_app) if table else None
            content = self._folder.read(self._cursor_path(version)) if version else None
        return Cursor.from_json(content.decode()) if content else None

    def has_rows(self) -> bool:
        with self.translated("plan"):
            table = self.open_table()
            if table is None:
                return False
            return any(self._holds_rows(file) for file in _existing(table, self._plan.mapping_id))

    def _holds_rows(self, existing: _Existing) -> bool:
        if existing.whole:
            return existing.rows != 0
        with self._folder.parquet(existing.path) as file:
            return bool(pc.any(self._ours(file)).as_py())

    @contextlib.contextmanager
    def translated(self, stage: str) -> Iterator[None]:
        # The cause is left out: its text may hold a secret that the store gave back.
        try:
            yield
        except (DeltaError, OSError) as exc:
            message = (isinstance(exc, OSError) and exc.strerror) or str(exc)
            if unreached := proxy.trouble():
                message = unreached.message
            raise _trouble(self._plan.table, self._without_secrets(message), stage) from None

    def _without_secrets(self, message: str) -> str:
        secrets = [
            value
            for name, value in (self._options or {}).items()
            if value and any(word in name.lower() for word in _SECRET_WORDS)
        ]
        for secret in sorted(secrets, key=len, reverse=True):
            message = message.replace(secret, "***")
        return " ".join(COLOURS.sub("", message).split())[:_MOST_MESSAGE]

    @property
    def _upserts(self) -> bool:
        return self._plan.write_mode == "upsert"

    @property
    def _keys(self) -> list[str]:
        return list(self._plan.key_fields) if self._upserts else []

    @property
    def _folder(self) -> Folder:
        if self._folder_cache is None:
            self._folder_cache = Folder(self._uri, self._options)
        return self._folder_cache

    def open_table(self) -> DeltaTable | None:
        """Return the table as it is now; None where there is none."""
        try:
            return DeltaTable(self._uri, storage_options=self._options)
        except TableNotFoundError:
            return None

    def _last(self, table: DeltaTable | None) -> int | None:
        return table.transaction_version(self._app) if table else None

    def _cursor_path(self, version: int) -> str:
        return f"_etl_cursors/{self._plan.mapping_id}-{version:016x}.json"


@dataclass
class _Attempt:
    """One commit, while it is tried."""

    stamp: int
    staged: Staged
    cursor: Cursor | None
    keeps_rows: bool
    fences: bool = False
    files: list[DataFile] = field(default_factory=list)
    duplicates: int = 0

    @property
    def rows_written(self) -> int:
        return sum(file.rows for file in self.files)

    def told(self, plan: Plan) -> dict[str, str]:
        """Return what the log tells of the commit, to people and to `_found`."""
        return {
            "etlCommit": str(self.stamp),
            "etlRun": plan.run_id,
            "etlMapping": plan.mapping_id,
            "etlRows": str(self.rows_written),
            "etlDuplicates": str(self.duplicates),
        }


@dataclass(frozen=True)
class _Existing:
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
        return RemoveAction(self.encoded_path, True, _now_ms(), self.size, self.partition_values)


def _existing(table: DeltaTable, mapping_id: str, keys: Sequence[str] = ()) -> list[_Existing]:
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
        _Existing(
            row["path"], row["size_bytes"], row["num_records"], partitioned, values,
            whole_range(row.get(least), row.get(most)),
        )
        for row in actions.select([n for n in wanted if n in actions.column_names]).to_pylist()
    ]  # fmt: skip


def _losers_among(keys: pa.Array, order: pa.Array | None, lost: pa.Array) -> pa.Array:
    """Return which of the rows not lost yet give way to another of them."""
    left = pc.invert(lost)
    mask = losers(keys.filter(left), _filtered(order, left))
    return pc.replace_with_mask(lost, left, mask)


def _columns(table: DeltaTable) -> list[TableColumn]:
    return [
        TableColumn(field.name, getattr(field.type, "type", None) or str(field.type),
                    required=not field.nullable)
        for field in table.schema().fields
    ]  # fmt: skip


def _schema(plan: Plan) -> Schema:
    types = {each.name: TYPES[each.data_type] for each in plan.columns} | OWN_TYPES
    return Schema([DeltaField(name, PrimitiveType(kind)) for name, kind in types.items()])


def _name_problems(plan: Plan) -> list[Problem]:
    return [
        incompatible(
            f'The field "{each.name}" has a blank or one of ,;{{}}()= in its name, '
            "which Delta tables cannot have."
        )
        for each in plan.columns
        if any(letter in _FORBIDDEN for letter in each.name)
    ]


def _has_unknown_features(table: DeltaTable) -> bool:
    configuration = table.metadata().configuration
    return any(configuration.get(name, "none") not in ("none", "false") for name in _UNREADABLE)


def _digest(text: str) -> int:
    """Return a text as a version that Delta takes: 63 bits, never 0."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1 or 1


def _overtaken(table: str) -> Problem:
    return Problem(
        "target_unreachable",
        f'Others wrote to "{table}" each time this run tried to.',
        hint="Let fewer programs write to this table at once.",
        stage="commit",
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _pauses() -> Iterator[float]:
    """Return pauses that grow to a second, each by chance, so that writers do not march in step."""
    for number in range(_MOST_TRIES):
        yield random.uniform(0, min(1.0, 0.02 * 2 ** min(number, 6)))  # noqa: S311 - no secret


def _filtered(order: pa.Array | None, left: pa.Array) -> pa.Array | None:
    return None if order is None else order.filter(left)


def _trouble(table: str, message: str, stage: str) -> Problem:
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
