"""Rows of a target's table, newest first, as a preview would show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from engine import shown
from engine.load.delta import DeltaLoader
from engine.load.delta_table import TYPES as DELTA_TYPES
from engine.load.opening import open_loader
from engine.load.sql import SqlLoader
from engine.plan import OWN_COLUMNS, Field, Plan, Rule
from engine.target import TargetParams
from sources.contract import Json
from sources.values import Budget

READ_ROWS = 16 * 1024
_OWN = {"_mapping_id": "string", "_run_id": "string", "_loaded_at": "timestamp"}
_AT = "_loaded_at"
_TIE_BREAKERS = 3


def read_rows(
    target: TargetParams,
    table: str,
    columns: Sequence[tuple[str, str]],
    limit: int,
    offset: int,
    run_id: str | None,
    timeout_s: float,
) -> dict[str, Any]:
    """Return the fields of `messages.RowsResult`. Raises Problem."""
    with open_loader(_looking(table, columns), target) as loader:
        if isinstance(loader, DeltaLoader):
            with loader.translated("load"):
                found: _Delta | _Sql = _Delta(loader.open_table())
                return _answer(found, columns, limit, offset, run_id)
        assert isinstance(loader, SqlLoader)  # noqa: S101 - there are no others
        with loader.translated("load"):
            loader.limit_time(timeout_s)
            return _answer(_Sql(loader), columns, limit, offset, run_id)


def _looking(table: str, columns: Sequence[tuple[str, str]]) -> Plan:
    """Return a plan that is never run: a loader knows its table by one."""
    fields = tuple(Field(name, data_type) for name, data_type in columns) or (Field("_", "string"),)
    rule = Rule("", "direct", ("_",), (fields[0].name,))
    moment = datetime.fromtimestamp(0, UTC)
    return Plan("", (rule,), fields, table, "append", "", "", moment)


def _answer(
    found: _Delta | _Sql,
    columns: Sequence[tuple[str, str]],
    limit: int,
    offset: int,
    run_id: str | None,
) -> dict[str, Any]:
    types: dict[str, str | None] = dict(found.types)
    if not types:
        types = {**dict(columns), **_OWN}
        return _result(types, Budget(limit))
    names = [name for name in types if name not in OWN_COLUMNS]
    ordered = {name: types[name] for name in [*names, *(n for n in OWN_COLUMNS if n in types)]}
    budget = Budget(limit)
    budget.add_all(found.rows(list(ordered), limit + 1, offset, run_id))
    return _result(ordered, budget)


def _result(types: dict[str, str | None], budget: Budget) -> dict[str, Any]:
    return {
        "columns": list(types),
        "column_types": list(types.values()),
        "rows": budget.rows,
        "truncated": budget.truncated,
    }


def _data_type(written: str, types: dict[str, str]) -> str | None:
    """Return the type of fields that a target has as `written`."""
    return next((ours for ours, theirs in types.items() if theirs == written), None)


class _Sql:
    def __init__(self, loader: SqlLoader) -> None:
        self._loader = loader
        self.types = {
            column.name: _data_type(column.data_type, loader.types)
            for column in loader.table_columns()
        }

    def rows(
        self, names: list[str], count: int, offset: int, run_id: str | None
    ) -> Iterator[tuple[list[Json], int]]:
        quoted = ", ".join(map(self._loader.quote, names))
        where, values = ("", []) if run_id is None else (" WHERE _run_id = %s", [run_id])
        order = "_loaded_at DESC, " if "_loaded_at" in names else ""
        # Rows of one run have one moment: a page must not show what the last one did.
        places = ", ".join(map(str, range(1, min(_TIE_BREAKERS, len(names)) + 1)))
        found = self._loader.run(
            f"SELECT {quoted} FROM {self._loader.table}{where}"  # noqa: S608 - names are quoted
            f" ORDER BY {order}{places} LIMIT {count} OFFSET {offset}",
            *values,
        )
        booleans = [self.types[name] == "boolean" for name in names]
        for row in found:
            cells = [
                shown.value(bool(cell) if boolean and cell is not None else cell)
                for cell, boolean in zip(row, booleans, strict=True)
            ]
            yield cells, shown.size(cells)


class _Delta:
    def __init__(self, table: DeltaTable | None) -> None:
        fields = table.schema().fields if table else []
        self.types = {
            field.name: _data_type(getattr(field.type, "type", ""), DELTA_TYPES) for field in fields
        }
        dataset = table.to_pyarrow_dataset() if table else None
        self._schema = dataset.schema if dataset else None
        self._fragments = list(dataset.get_fragments()) if dataset else []

    def rows(
        self, names: list[str], count: int, offset: int, run_id: str | None
    ) -> Iterator[tuple[list[Json], int]]:
        """Give rows by the moments that there are, of which each run has one."""
        files = self._files(run_id)
        moments: Counter[Any] = sum(files.values(), Counter())
        for moment in sorted(moments, key=_newest):
            if offset >= moments[moment]:
                offset -= moments[moment]
                continue
            for at, here in files.items():
                if moment in here:
                    batches = self._of_moment(at, names, moment, run_id)
                    given = list(_shown(batches, count, offset))
                    offset = max(0, offset - here[moment])
                    count -= len(given)
                    yield from given
                if count <= 0:
                    return

    def _files(self, run_id: str | None) -> dict[int, Counter[Any]]:
        """Return how many rows of each moment each file has."""
        found: dict[int, Counter[Any]] = {}
        for at in range(len(self._fragments)):
            found[at] = Counter()
            for batch in self._scan(at, [], run_id):
                for each in batch.column(_AT).value_counts().to_pylist():
                    found[at][each["values"]] += each["counts"]
        return found

    def _of_moment(
        self, at: int, names: list[str], moment: Any, run_id: str | None
    ) -> Iterator[pa.RecordBatch]:
        for batch in self._scan(at, names, run_id):
            column = batch.column(_AT)
            same = column.is_null() if moment is None else pc.equal(column, pa.scalar(moment))
            yield batch.filter(pc.fill_null(same, False)).select(names)

    def _scan(self, at: int, names: list[str], run_id: str | None) -> Iterator[pa.RecordBatch]:
        """Give the batches of a file.

        Filters of the dataset would leave out files of which not every column has a range.
        """
        wanted = list(dict.fromkeys([*names, _AT, *(["_run_id"] if run_id else [])]))
        for batch in self._fragments[at].to_batches(
            schema=self._schema, columns=wanted, batch_size=READ_ROWS, batch_readahead=1,
            use_threads=False,
        ):  # fmt: skip
            if run_id is not None:
                batch = batch.filter(pc.fill_null(pc.equal(batch.column("_run_id"), run_id), False))
            yield batch


def _newest(moment: datetime | None) -> float:
    return float("inf") if moment is None else -moment.timestamp()


def _shown(
    batches: Iterable[pa.RecordBatch], count: int, offset: int
) -> Iterator[tuple[list[Json], int]]:
    for batch in batches:
        if offset >= batch.num_rows:
            offset -= batch.num_rows
            continue
        some = batch.slice(offset, count)
        offset, count = 0, count - some.num_rows
        yield from shown.rows(some)
        if count <= 0:
            return
