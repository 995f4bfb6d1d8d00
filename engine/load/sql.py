"""What loaders of databases share: a staging table of the session, then one transaction.

Rows are staged in a temporary table that only this session sees, and that ends with it. The commit
is one transaction: it locks the mapping's row of `_etl_loads`, compares the token there with the
one that was there when the run began, moves the rows, and writes the new token and the cursor.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from engine.grammar import floating_text
from engine.load.behind import Behind
from engine.load.contract import (
    Committed,
    Cursor,
    Refusal,
    Staged,
    TableColumn,
    own_name_problems,
    superseded,
    table_problems,
)
from engine.load.keys import null_keys
from engine.plan import OWN_COLUMNS, Plan
from engine.problems import Problem, shown

LOADS = "_etl_loads"
STAGE = "_etl_stage"
SEQUENCE = "_etl_sequence"
ORDER = "_etl_order"
STAGED_BYTES = 8 * 1024 * 1024
_MOST_TRIES = 8

Connect = Callable[[], Any]
TOO_WIDE = "Let the mapping write fewer columns here, or all of them into a Delta table."


class Again(Exception):
    """The server ended a transaction that may be tried again: a deadlock, a table made twice."""


class SqlLoader(ABC):
    """`contract.Loader` for a table of a database.

    `connect` opens a session by the database's DB-API driver, and is called when one is needed.
    """

    types: ClassVar[dict[str, str]]
    own_types: ClassVar[dict[str, str]]
    driver_error: ClassVar[type[Exception]]

    def __init__(self, plan: Plan, connect: Connect) -> None:
        self._plan = plan
        self._connect = connect
        self._session: Any = None
        self._base: str | None = None
        self._order_type: pa.DataType | None = None
        self._has_stage = False
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._rows = 0
        self._sending = Behind()

    # --- what each database says in its own words ---

    @abstractmethod
    def quote(self, name: str) -> str:
        """Return a name as the database quotes it; `%` is doubled, as its driver wants it."""

    @abstractmethod
    def prepare(self, session: Any) -> None:
        """Give a new session the settings that a load needs."""

    @abstractmethod
    def relation_problems(self) -> list[Problem]:
        """Return what keeps what bears the table's name from being a table for rows."""

    @abstractmethod
    def name_problems(self) -> list[Problem]:
        """Return the names that the database would cut or change."""

    @abstractmethod
    def table_columns(self) -> list[TableColumn]:
        """Return the table's columns; none where there is no table."""

    @abstractmethod
    def has_loads(self) -> bool:
        """Tell whether there is a table of loads."""

    @abstractmethod
    def make_loads(self) -> str:
        """Return the statement that makes the table of loads, unless there is one."""

    @abstractmethod
    def make_table(self) -> list[str]:
        """Return the statements that make the target table, unless there is one."""

    @abstractmethod
    def forget_cursors(self) -> None:
        """Forget how far mappings have read into the table, unless there is one."""

    @abstractmethod
    def limit_time(self, timeout_s: float) -> None:
        """Have the server end a query that takes longer."""

    @abstractmethod
    def make_stage(self, columns: Sequence[str]) -> str:
        """Return the statement that makes the session's staging table of these columns."""

    @abstractmethod
    def order_type(self, data_type: pa.DataType) -> str:
        """Return the type of a staged cursor value."""

    @abstractmethod
    def send(self, rows: pa.Table) -> None:
        """Put rows into the staging table."""

    @abstractmethod
    def claim_place(self) -> str:
        """Return the statement that makes the mapping's row of loads, unless there is one."""

    @abstractmethod
    def remove_duplicates(self) -> int:
        """Leave the last staged row of each key; return how many went."""

    @abstractmethod
    def remove_overwritten(self) -> None:
        """Remove the mapping's rows whose keys are staged."""

    @abstractmethod
    def trouble(self, exc: Exception) -> tuple[str, str] | None:
        """Return the code and hint of a driver's error; None where to try again."""

    @abstractmethod
    def refused_values(self, rows: pa.RecordBatch) -> list[Refusal]:
        """Return the values that no column of this database holds."""

    # --- before ---

    def check(self) -> list[Problem]:
        with self.translated("plan"):
            problems = [
                *own_name_problems(self._plan),
                *self.name_problems(),
                *self.relation_problems(),
            ]
            columns = self.table_columns()
        if not columns:
            return problems
        return problems + table_problems(self._plan, columns, self.types, self.own_types)

    def begin(self) -> None:
        with self.translated("load"):
            self._base = self._place()[0]

    def refuses(self, rows: pa.RecordBatch) -> list[Refusal]:
        return [*null_keys(rows, self._plan.keys), *self.refused_values(rows)]

    # --- staging ---

    def stage(self, rows: pa.RecordBatch, order: pa.Array | None = None) -> None:
        if not rows.num_rows:
            return
        with self.translated("load"):
            if not self._has_stage:
                self._order_type = order.type if order is not None and self._plan.upserts else None
                self._make_stage()
            self._waiting.append(self._with_sequence(rows, order))
            self._waiting_bytes += rows.nbytes
            self._rows += rows.num_rows
            if self._waiting_bytes >= STAGED_BYTES:
                self._flush()

    def staged(self) -> Staged:
        with self.translated("load"):
            self._flush()
            self._sending.wait()
        return Staged(self._rows)

    def abort(self, staged: Staged | None = None) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._sending.wait()
        session, self._session, self._has_stage = self._session, None, False
        if session is not None:
            # A session that is lost cannot be closed, and need not be.
            with contextlib.suppress(Exception):
                session.close()

    def _make_stage(self) -> None:
        columns = [f"{self.quote(f.name)} {self.ddl_type(f.name)}" for f in self._plan.columns]
        if self._plan.upserts:
            columns.append(f"{self.quote(SEQUENCE)} bigint NOT NULL")
        if self._order_type is not None:
            columns.append(f"{self.quote(ORDER)} {self.order_type(self._order_type)}")
        self.run(self.make_stage(columns))
        self._has_stage = True

    def _with_sequence(self, rows: pa.RecordBatch, order: pa.Array | None) -> pa.RecordBatch:
        if self._plan.upserts:
            numbers = range(self._rows, self._rows + rows.num_rows)
            rows = rows.append_column(SEQUENCE, pa.array(numbers, pa.int64()))
        if self._order_type is not None:
            rows = rows.append_column(ORDER, order)
        return rows

    def _flush(self) -> None:
        """Send what waits, while the next rows are read; nothing else uses the session then."""
        if self._waiting:
            self._sending.do(self.send, pa.Table.from_batches(self._waiting))
            self._waiting, self._waiting_bytes = [], 0

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
        removes_all = self._plan.write_mode == "replace" and (
            not empty_source or self._plan.full_refresh
        )

        def work() -> Committed:
            if not fences and self._changes_nothing(staged, cursor, removes_all):
                return Committed(None, 0)
            return self._commit_once(token, staged, cursor, removes_all)

        return self._in_transaction(work)

    def _in_transaction(self, work: Callable[[], Committed]) -> Committed:
        for number in range(_MOST_TRIES):
            try:
                with self.translated("commit"):
                    return work()
            except Again:
                self._roll_back()
                time.sleep(random.uniform(0, 0.05 * 2**number))  # noqa: S311 - no secret
            except Problem:
                self._roll_back()
                raise
        raise Problem(
            "target_unreachable",
            f'Others held "{self._plan.table}" each time this run tried to write to it.',
            hint="Let fewer programs write to this table at once.",
            stage="commit",
        )

    def _commit_once(
        self, token: str, staged: Staged, cursor: Cursor | None, removes_all: bool
    ) -> Committed:
        self._begin_with_tables()
        done = self._hold_place(token)
        if done is not None:
            self.run("ROLLBACK")
            return done
        duplicates = self._move_rows(staged, removes_all)
        written = staged.rows - duplicates
        self._keep_place(token, written, duplicates, cursor)
        self.run("COMMIT")
        return Committed(None, written, duplicates)

    def _changes_nothing(self, staged: Staged, cursor: Cursor | None, removes_all: bool) -> bool:
        if staged.rows:
            return False
        if removes_all and self.has_rows():
            return False
        before = self.cursor()
        return before == cursor or (cursor is None and self._plan.cursor is not None)

    def _begin_with_tables(self) -> None:
        """Begin the transaction; before or in it, make what is missing of the tables."""
        self.run("BEGIN")
        self.run(self.make_loads())
        if not self.table_columns():
            self.forget_cursors()  # of the rows that another program removed with the table
            for statement in self.make_table():
                self.run(statement)
        problems = self.check()
        if problems:
            raise problems[0]
        there = {column.name for column in self.table_columns()}
        for field in self._plan.columns:
            if field.name not in there:
                name, kind = self.quote(field.name), self.ddl_type(field.name)
                self.run(f"ALTER TABLE {self.table} ADD COLUMN {name} {kind}")
        self.run("COMMIT")
        self.run("BEGIN")

    def _hold_place(self, token: str) -> Committed | None:
        """Lock the mapping's row of loads; return what this very commit did before."""
        self.run(self.claim_place(), self._plan.table, self._plan.mapping_id)
        ((last, rows, duplicates),) = self.run(
            f"SELECT token, rows_written, duplicates FROM {self.loads}"
            f" WHERE {self._mine} FOR UPDATE",
            self._plan.table,
            self._plan.mapping_id,
        )
        if last == token:
            return Committed(None, rows, duplicates)
        if last != self._base:
            raise superseded(self._plan.table)
        return None

    def _move_rows(self, staged: Staged, removes_all: bool) -> int:
        duplicates = 0
        if removes_all:
            self.run(f"DELETE FROM {self.table} WHERE _mapping_id = %s", self._plan.mapping_id)
        if not staged.rows:
            return 0
        if self._plan.upserts:
            duplicates = self.remove_duplicates()
            self.remove_overwritten()
        names = ", ".join(self.quote(field.name) for field in self._plan.columns)
        self.run(
            f"INSERT INTO {self.table} ({names}, {', '.join(OWN_COLUMNS)})"
            f" SELECT {names}, %s, %s, %s FROM {STAGE}",
            self._plan.mapping_id,
            self._plan.run_id,
            self.moment(self._plan.loaded_at),
        )
        return duplicates

    def _keep_place(self, token: str, rows: int, duplicates: int, cursor: Cursor | None) -> None:
        kept = "cursor_value" if cursor is None and self._plan.cursor is not None else "%s"
        values = [] if kept != "%s" else [cursor.to_json() if cursor else None]
        self.run(
            f"UPDATE {self.loads} SET token = %s, run_id = %s, rows_written = %s,"
            f" duplicates = %s, committed_at = CURRENT_TIMESTAMP, cursor_value = {kept}"
            f" WHERE {self._mine}",
            token,
            self._plan.run_id,
            rows,
            duplicates,
            *values,
            self._plan.table,
            self._plan.mapping_id,
        )

    def fence(self, tokens: Sequence[str] = ()) -> str | None:
        found: list[str] = []

        def work() -> Committed:
            self._begin_with_tables()
            self.run(self.claim_place(), self._plan.table, self._plan.mapping_id)
            ((last,),) = self.run(
                f"SELECT token FROM {self.loads} WHERE {self._mine} FOR UPDATE",
                self._plan.table,
                self._plan.mapping_id,
            )
            found[:] = [last] if last in tokens else []
            if not found:
                self.run(
                    f"UPDATE {self.loads} SET token = %s WHERE {self._mine}",
                    f"fence-{secrets.token_hex(8)}",
                    self._plan.table,
                    self._plan.mapping_id,
                )
            self.run("COMMIT")
            return Committed(None, 0)

        self._in_transaction(work)
        return found[0] if found else None

    def committed(self, token: str) -> Committed | None:
        with self.translated("commit"):
            if not self.has_loads():
                return None
            found = self.run(
                f"SELECT rows_written, duplicates FROM {self.loads}"
                f" WHERE {self._mine} AND token = %s",
                self._plan.table,
                self._plan.mapping_id,
                token,
            )
        return Committed(None, *found[0]) if found else None

    def cursor(self) -> Cursor | None:
        with self.translated("plan"):
            content = self._place()[1] if self.table_columns() else None
        return Cursor.from_json(content) if content else None

    def has_rows(self) -> bool:
        with self.translated("plan"):
            if not self.table_columns():
                return False
            ((found,),) = self.run(
                f"SELECT count(*) FROM (SELECT 1 FROM {self.table}"
                " WHERE _mapping_id = %s LIMIT 1) found",
                self._plan.mapping_id,
            )
        return bool(found)

    # --- the rest ---

    @property
    def table(self) -> str:
        """Return the target table's name, quoted."""
        return self.quote(self._plan.table)

    @property
    def loads(self) -> str:
        return LOADS

    def ddl_type(self, name: str) -> str:
        """Return a field's type as a new column of the target or the staging table."""
        return self.types[self.type_of(name)]

    def type_of(self, name: str) -> str:
        return next(each.data_type for each in self._plan.columns if each.name == name)

    def moment(self, value: Any) -> Any:
        """Return a moment as the driver takes it."""
        return value

    @property
    def _mine(self) -> str:
        return "table_name = %s AND mapping_id = %s"

    def _place(self) -> tuple[str | None, str | None]:
        """Return the token and the cursor of the mapping's last commit."""
        if not self.has_loads():
            return None, None
        found = self.run(
            f"SELECT token, cursor_value FROM {self.loads} WHERE {self._mine}",
            self._plan.table,
            self._plan.mapping_id,
        )
        return (found[0][0], found[0][1]) if found else (None, None)

    def run(self, statement: str | bytes, *values: Any) -> list[Any]:
        """Run one statement; return its rows, if it gives any."""
        with self.open_cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    def change(self, statement: str, *values: Any) -> int:
        """Run one statement; return how many rows it changed."""
        with self.open_cursor() as cursor:
            cursor.execute(statement, values)
            return int(cursor.rowcount)

    @contextlib.contextmanager
    def open_cursor(self) -> Iterator[Any]:
        if self._session is None:
            session = self._connect()
            self.prepare(session)
            self._session = session
        cursor = self._session.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def _roll_back(self) -> None:
        # Where the session is lost, the server has rolled back. Without one, nothing is open.
        if self._session is not None:
            with contextlib.suppress(self.driver_error):
                self.run("ROLLBACK")

    @contextlib.contextmanager
    def translated(self, stage: str) -> Iterator[None]:
        try:
            yield
        except self.driver_error as exc:
            found = self.trouble(exc)
            if found is None:
                raise Again from exc
            code, hint = found
            message = f'The table "{self._plan.table}": {_one_line(exc)}'
            raise Problem(code, message, hint=hint, stage=stage) from exc


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc.args[-1] if exc.args else exc).split())


def marked(
    rows: pa.RecordBatch,
    mask: Callable[[pa.Array], pa.Array],
    code: str,
    is_kind: Callable[[pa.DataType], bool],
) -> list[Refusal]:
    """Return a refusal for each value of these types that the mask marks."""
    return [
        Refusal(position, field.name, _shown(column[position].as_py()), code)
        for field, column in zip(rows.schema, rows.columns, strict=True)
        if is_kind(field.type)
        for position in pc.indices_nonzero(mask(column)).to_pylist()
    ]


def _shown(value: float | str) -> str | None:
    return shown(floating_text(value) if isinstance(value, float) else value)
