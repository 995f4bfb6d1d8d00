"""Parquet files of one mapping in a Delta table's folder, written and read through its store."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from engine.load.behind import Behind

ROW_GROUP_BYTES = 16 * 1024 * 1024
ROW_GROUP_ROWS = 128 * 1024
FILE_BYTES = 128 * 1024 * 1024
FILE_ROWS = 500_000  # whose keys are in memory at once while an upsert is committed
READ_ROWS = 64 * 1024
# Of a column with many values it is given up soon: a megabyte of it is half the work of a file.
DICTIONARY_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that is written and in no commit yet. `stats` is Delta's, as JSON."""

    path: str
    size: int
    rows: int
    stats: str


class Folder:
    """A table's folder on a disk or in an object store, by the options that Delta itself gets."""

    def __init__(self, uri: str, options: dict[str, str] | None) -> None:
        self._local = None if _is_remote(uri) else Path(unquote(uri.removeprefix("file://")))
        if self._local:
            self._local.mkdir(parents=True, exist_ok=True)
        self._handler = DeltaStorageHandler(uri, options)
        self._files = PyFileSystem(self._handler)

    def writer(self, path: str) -> _Output:
        return _Output(self._handler._handler.open_output_stream(path, None))

    def write(self, path: str, content: bytes) -> None:
        with self.writer(path) as output:
            output.write(content)

    def read(self, path: str) -> bytes | None:
        try:
            with self._files.open_input_file(path) as stream:
                content: bytes = stream.read()
        except FileNotFoundError:
            return None
        return content

    def parquet(self, path: str) -> pq.ParquetFile:
        return pq.ParquetFile(self._files.open_input_file(path), pre_buffer=False)

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone is fine."""
        try:
            self._files.delete_file(path)
        except FileNotFoundError:
            return

    def remove_empty(self, prefix: str) -> None:
        """Remove folders on a disk in which nothing is left."""
        for folder in (self._local / prefix, self._local) if self._local else ():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")


class _Output:
    """What pyarrow writes into: the store takes `bytes` alone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._stream.write(content)
        self._size += len(content)
        return len(content)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        return

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._stream.close()

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


class FileWriter:
    """Writes batches into as many files as they need, in order, while the next ones are made."""

    def __init__(self, folder: Folder, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._writing = Behind()
        self._open: _OpenFile | None = None
        self.files: list[DataFile] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        rows = sum(each.num_rows for each in self._waiting)
        if self._waiting_bytes >= ROW_GROUP_BYTES or rows >= ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> list[DataFile]:
        """End the last file; return all of them."""
        self._flush()
        self._writing.wait()
        self._end_file()
        return self.files

    def abort(self) -> None:
        """Remove everything that was written."""
        with contextlib.suppress(Exception):
            self._writing.wait()
        if self._open:
            self._open.close()
            self._folder.remove(self._open.path)
        for file in self.files:
            self._folder.remove(file.path)

    def _flush(self) -> None:
        if self._waiting:
            self._writing.do(self._write, pa.Table.from_batches(self._waiting))
            self._waiting, self._waiting_bytes = [], 0

    def _write(self, table: pa.Table) -> None:
        if self._open is None:
            path = f"{self._prefix}/{uuid.uuid4().hex}.parquet"
            self._open = _OpenFile(self._folder, path, table.schema)
        self._open.write(table)
        if self._open.is_full:
            self._end_file()

    def _end_file(self) -> None:
        if self._open is not None:
            self.files.append(self._open.close())
            self._open = None


class _OpenFile:
    def __init__(self, folder: Folder, path: str, schema: pa.Schema) -> None:
        self.path = path
        self._rows = 0
        self._output = folder.writer(path)
        self._footers: list[pq.FileMetaData] = []
        self._writer = pq.ParquetWriter(
            self._output,
            schema,
            compression="snappy",
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            metadata_collector=self._footers,
        )

    def write(self, table: pa.Table) -> None:
        self._rows += table.num_rows
        self._writer.write_table(table, row_group_size=table.num_rows)

    @property
    def is_full(self) -> bool:
        return self._output.tell() >= FILE_BYTES or self._rows >= FILE_ROWS

    def close(self) -> DataFile:
        self._writer.close()
        self._output.close()
        stats = statistics(self._footers[0])
        return DataFile(self.path, self._output.tell(), self._rows, json.dumps(stats))


# Delta cuts timestamps to milliseconds and Parquet leaves out NaN, so that a reader which skips
# files by their ranges could miss rows: only what is exact has a range.


def statistics(footer: pq.FileMetaData) -> dict[str, Any]:
    """Return a file's statistics as Delta has them."""
    stats: dict[str, Any] = {"numRecords": footer.num_rows}
    least, most, nulls = {}, {}, {}
    groups = [footer.row_group(at) for at in range(footer.num_row_groups)]
    for at in range(footer.num_columns):
        chunks = [group.column(at).statistics for group in groups]
        if any(chunk is None or not chunk.has_null_count for chunk in chunks):
            continue
        name = footer.schema.column(at).name
        nulls[name] = sum(chunk.null_count for chunk in chunks)
        ranges = [chunk for chunk in chunks if chunk.has_min_max]
        if ranges and _has_range(footer.schema.column(at)):
            least[name] = _plain(min(chunk.min for chunk in ranges))
            most[name] = _plain(max(chunk.max for chunk in ranges))
    return stats | {"minValues": least, "maxValues": most, "nullCount": nulls}


def key_range(stats: str, keys: Sequence[str]) -> tuple[int, int] | None:
    """Return the least and greatest key of a file, where it is one whole number."""
    if len(keys) != 1:
        return None
    told = json.loads(stats)
    return whole_range(told["minValues"].get(keys[0]), told["maxValues"].get(keys[0]))


def whole_range(least: Any, most: Any) -> tuple[int, int] | None:
    return (least, most) if type(least) is int and type(most) is int else None


def _has_range(column: Any) -> bool:
    logical = column.logical_type.type
    return logical == "DATE" or (column.physical_type == "INT64" and logical in ("NONE", "INT"))


def _plain(value: int | date) -> int | str:
    return value.isoformat() if isinstance(value, date) else value


def batches(file: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Return a file's rows in order, a little at a time."""
    return iter(file.iter_batches(batch_size=READ_ROWS, columns=columns, use_threads=False))
