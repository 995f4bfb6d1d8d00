"""Which rows of a Delta table a commit removes, and what is written in place of their files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from engine.load.delta_table import ExistingFile, existing_files
from engine.load.keys import any_of, beaten, key_column, losers
from engine.load.parquet import DataFile, FileWriter, Folder, batches, key_range
from engine.plan import Plan

ORDER = "_etl_order"
"""A column that the staged files of an upsert with a cursor alone have."""


class Rewriter:
    """The files of one mapping in one table, while rows of them give way to others."""

    def __init__(self, plan: Plan, folder: Callable[[], Folder]) -> None:
        self._plan = plan
        self._open_folder = folder

    @property
    def _folder(self) -> Folder:
        return self._open_folder()

    def touched(
        self, table: DeltaTable | None, files: list[DataFile], keeps_rows: bool
    ) -> list[ExistingFile]:
        """Return the files of the table of which the new `files` may remove rows."""
        if table is None or (self._plan.upserts and not files):
            return []
        if keeps_rows and not self._plan.upserts:
            return []
        existing = existing_files(table, self._plan.mapping_id, self._plan.keys)
        return [old for old in existing if self._may_meet(old, files)]

    def _may_meet(self, old: ExistingFile, files: list[DataFile]) -> bool:
        """Tell whether a file's keys can be among those of the run, by the range of both."""
        ranges = [key_range(file.stats, self._plan.keys) for file in files]
        if not self._plan.upserts or old.key_range is None or None in ranges:
            return True
        least, most = old.key_range
        return any(low <= most and least <= high for low, high in filter(None, ranges))

    def without(self, old: ExistingFile, files: list[DataFile]) -> list[DataFile] | None:
        """Return what takes the place of a file once `files` are there; None where it stays."""
        if old.whole and not self._plan.upserts:
            return []
        gone = self._gone(old, files)
        if not pc.any(gone).as_py():
            return None
        return self._copied(old.path, gone)

    def _gone(self, old: ExistingFile, files: list[DataFile]) -> pa.Array:
        """Return a mask of the file's rows that this commit removes."""
        with self._folder.parquet(old.path) as file:
            ours = None if old.whole else self._ours(file)
            if not self._plan.upserts:
                return ours
            names = set(file.schema_arrow.names)
            if not names.issuperset(self._plan.keys):  # the key is younger than the file
                return pa.array([False] * file.metadata.num_rows)
            keys = key_column(file.read(self._plan.keys), self._plan.keys)
        masks = [pc.is_in(keys, value_set=self._staged_keys(new)[0]) for new in files]
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
    def distinct(self, files: list[DataFile]) -> Iterator[tuple[list[DataFile], int]]:
        """Give files in which each key comes once, and how many rows gave way."""
        if not self._plan.upserts:
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
            table = parquet.read([*self._plan.keys, *([ORDER] if ordered else [])])
        order = table[ORDER].combine_chunks() if ordered else None
        return key_column(table, self._plan.keys), order

    def holds_rows(self, existing: ExistingFile) -> bool:
        """Tell whether a file has rows of the mapping."""
        if existing.whole:
            return existing.rows != 0
        with self._folder.parquet(existing.path) as file:
            return bool(pc.any(self._ours(file)).as_py())


def _losers_among(keys: pa.Array, order: pa.Array | None, lost: pa.Array) -> pa.Array:
    """Return which of the rows not lost yet give way to another of them."""
    left = pc.invert(lost)
    mask = losers(keys.filter(left), _filtered(order, left))
    return pc.replace_with_mask(lost, left, mask)


def _filtered(order: pa.Array | None, left: pa.Array) -> pa.Array | None:
    return None if order is None else order.filter(left)
