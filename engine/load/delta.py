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
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
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
    incompatible,
    own_name_problems,
    superseded,
    table_problems,
)
from engine.load.delta_table import (
    COLOURS,
    OWN_TYPES,
    PARTITION,
    TYPES,
    ExistingFile,
    columns_of,
    existing_files,
    has_unknown_features,
    name_problems,
    now_ms,
    schema_of,
    trouble,
)
from engine.load.keys import null_keys
from engine.load.parquet import (
    DataFile,
    FileWriter,
    Folder,
)
from engine.load.rewriting import ORDER, Rewriter
from engine.plan import Plan
from engine.problems import Problem

_MOST_TRIES = 50
CHECKPOINT_EVERY = 10
"""After so many commits the log is summed up: each entry since then is a thread while it is read,
and some ninety of them are more memory than a run may have.
"""
_MOST_MESSAGE = 500
_SECRET_WORDS = ("key", "secret", "token", "password", "sas", "credential", "account")


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
        self._rewriter = Rewriter(plan, lambda: self._folder)
        self._writer: FileWriter | None = None
        self._rows = 0

    # --- before ---

    def check(self) -> list[Problem]:
        with self.translated("plan"):
            return self._problems(self.open_table())

    def _problems(self, table: DeltaTable | None) -> list[Problem]:
        problems = [*own_name_problems(self._plan), *name_problems(self._plan)]
        if table is None:
            return problems
        if table.metadata().partition_columns not in ([], PARTITION):
            problems.append(incompatible(f'"{self._plan.table}" is partitioned by other columns.'))
        if has_unknown_features(table):
            problems.append(
                incompatible(
                    f'"{self._plan.table}" uses deletion vectors or column mapping, '
                    "which cannot be written here."
                )
            )
        return problems + table_problems(self._plan, columns_of(table), TYPES, OWN_TYPES)

    def begin(self) -> None:
        with self.translated("load"):
            table = self.open_table()
        self._partitioned = table is None or table.metadata().partition_columns == PARTITION
        self._base = table.transaction_version(self._app) if table else None

    def refuses(self, rows: pa.RecordBatch) -> list[Refusal]:
        return null_keys(rows, self._plan.keys)

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
        if order is not None and self._plan.upserts:
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
            with self._rewriter.distinct(staged.files) as (files, duplicates):
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
                schema_of(self._plan),
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
        there = {column.name for column in columns_of(table)}
        missing = [field for field in schema_of(self._plan).fields if field.name not in there]
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
            for old in self._rewriter.touched(table, attempt.files, attempt.keeps_rows):
                new = self._rewriter.without(old, attempt.files)
                if new is None:
                    continue
                rewritten += new
                actions += [old.removal(), *(self._add(file, old) for file in new)]
            yield actions
        except BaseException:
            for file in rewritten:
                self._folder.remove(file.path)
            raise

    def _add(self, file: DataFile, old: ExistingFile | None = None) -> AddAction:
        values = {"_mapping_id": self._plan.mapping_id} if self._partitioned else {}
        return AddAction(file.path, file.size, values, now_ms(), True, file.stats)

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
            files = existing_files(table, self._plan.mapping_id)
            return any(map(self._rewriter.holds_rows, files))

    @contextlib.contextmanager
    def translated(self, stage: str) -> Iterator[None]:
        # The cause is left out: its text may hold a secret that the store gave back.
        try:
            yield
        except (DeltaError, OSError) as exc:
            message = (isinstance(exc, OSError) and exc.strerror) or str(exc)
            if unreached := proxy.trouble():
                message = unreached.message
            raise trouble(self._plan.table, self._without_secrets(message), stage) from None

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


def _pauses() -> Iterator[float]:
    """Return pauses that grow to a second, each by chance, so that writers do not march in step."""
    for number in range(_MOST_TRIES):
        yield random.uniform(0, min(1.0, 0.02 * 2 ** min(number, 6)))  # noqa: S311 - no secret
