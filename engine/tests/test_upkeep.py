"""Tables of many small commits: few files afterwards, and the same rows and cursor."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from engine.load.contract import Cursor
from engine.load.delta import DeltaLoader
from engine.load.upkeep import tidy
from engine.plan import CursorWindow

from .plans import a_plan, direct


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.load.upkeep.COMMITS", 5)
    return str(tmp_path)


def plan_of(mapping="a"):
    return a_plan(
        [direct("id", "id")], {"id": "integer"}, mapping_id=mapping * 24, cursor=CursorWindow("id")
    )


def run(lake, number, mapping="a"):
    loader = DeltaLoader(plan_of(mapping), lake)
    loader.begin()
    loader.stage(pa.record_batch({"id": pa.array([number])}))
    loader.commit(f"t{number}", loader.staged(), Cursor("id", str(number)))


def files(lake):
    return len(DeltaTable(f"{lake}/people").file_uris())


def test_small_files_become_one_for_each_mapping(lake):
    for number in range(6):
        run(lake, number, mapping="ab"[number % 2])
    assert tidy(lake, "people")
    assert files(lake) == 2
    assert sorted(DeltaTable(f"{lake}/people").to_pyarrow_table()["id"].to_pylist()) == [*range(6)]
    loader = DeltaLoader(plan_of("b"), lake)
    assert loader.cursor() == Cursor("id", "5")
    assert loader.committed("t5")


def test_it_waits_for_as_many_commits_again(lake):
    for number in range(6):
        run(lake, number)
    assert tidy(lake, "people")
    for number in range(6, 10):
        run(lake, number)
        assert not tidy(lake, "people")
    run(lake, 10)
    assert tidy(lake, "people")
    assert files(lake) == 1


def test_a_table_that_is_not_there_needs_nothing(lake):
    assert not tidy(lake, "people")


def test_a_run_that_began_before_replaces_what_was_put_together(lake):
    for number in range(6):
        run(lake, number)
    plan = a_plan([direct("id", "id")], {"id": "integer"}, mapping_id="a" * 24,
                  write_mode="replace")  # fmt: skip
    loader = DeltaLoader(plan, lake)
    loader.begin()
    loader.stage(pa.record_batch({"id": pa.array([99])}))
    staged = loader.staged()
    assert tidy(lake, "people")
    loader.commit("t99", staged, None)
    assert DeltaTable(f"{lake}/people").to_pyarrow_table()["id"].to_pylist() == [99]


def test_files_that_nobody_committed_go_after_a_week_and_staged_ones_stay(lake):
    for number in range(6):
        run(lake, number)
    loader = DeltaLoader(plan_of(), lake)
    loader.begin()
    loader.stage(pa.record_batch({"id": pa.array([6])}))
    staged = loader.staged()
    lost = Path(lake, "people", "a" * 24, "lost.parquet")
    lost.touch()
    (cursor,) = Path(lake, "people", "_etl_cursors").iterdir()
    week_ago = time.time() - 8 * 24 * 3600
    for path in (lost, cursor):
        os.utime(path, (week_ago, week_ago))
    assert tidy(lake, "people")
    assert not lost.exists()
    assert loader.cursor() == Cursor("id", "5")
    loader.commit("t6", staged, Cursor("id", "6"))
    assert len(DeltaTable(f"{lake}/people").to_pyarrow_table()) == 7


def test_the_log_is_summed_up_every_few_commits(lake):
    for number in range(21):
        run(lake, number)
    log = Path(lake, "people", "_delta_log")
    summed_up = sorted(path.name[:20] for path in log.glob("*.checkpoint.parquet"))
    assert summed_up == [f"{version:020}" for version in (9, 19)]
    for path in log.glob("*.json"):
        if int(path.stem) < 20:
            path.unlink()
    assert DeltaTable(f"{lake}/people").to_pyarrow_table().num_rows == 21
    assert DeltaLoader(plan_of(), lake).cursor() == Cursor("id", "20")


def test_the_log_of_more_than_a_month_goes_where_it_is_summed_up(lake):
    for number in range(26):
        run(lake, number)
    log = Path(lake, "people", "_delta_log")
    long_ago = time.time() - 31 * 24 * 3600
    for path in log.iterdir():
        os.utime(path, (long_ago, long_ago))
    assert tidy(lake, "people")
    assert sorted(int(path.stem) for path in log.glob("*.json")) == [*range(19, 27)]
    assert sorted(DeltaTable(f"{lake}/people").to_pyarrow_table()["id"].to_pylist()) == [*range(26)]
    assert DeltaLoader(plan_of(), lake).cursor() == Cursor("id", "25")
    assert DeltaLoader(plan_of(), lake).committed("t25")
