"""Loads that are killed at any moment: all of a run or nothing, and the target knows which."""

import random
import subprocess
import sys
import time
from collections import Counter

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from .endless import ROWS, loader_of
from .targets import Mysql, Postgres

KILLS = 3


@pytest.mark.parametrize(
    ("kind", "write_mode"), [("delta", "upsert"), ("postgresql", "append"), ("mysql", "replace")]
)
def test_a_load_that_is_killed_is_there_as_a_whole_or_not_at_all(kind, write_mode, tmp_path):
    if kind == "delta":
        kill_and_look(kind, str(tmp_path), write_mode, lambda: delta_runs(tmp_path))
        return
    with {"postgresql": Postgres, "mysql": Mysql}[kind]().made() as database:
        kill_and_look(kind, database.name, write_mode, lambda: database_runs(database))


def kill_and_look(kind, place, write_mode, runs_there):
    chance = random.Random(7)  # noqa: S311 - the same moments each time, as far as a machine goes
    first = 0
    for _ in range(KILLS):
        kill_one(kind, place, write_mode, first, chance.uniform(0, 0.3))
        rows = Counter(runs_there())
        last = max(rows)
        assert set(rows.values()) == {ROWS}
        assert set(rows) == ({last} if write_mode == "replace" else set(range(last + 1)))
        loader = loader_of(kind, place, write_mode)
        assert loader.committed(f"t{last}")
        loader.close()
        first = last + 1


def kill_one(kind, place, write_mode, first, after_s):
    """Kill a process some time after it has committed a run."""
    command = [sys.executable, "-m", "engine.tests.endless", kind, place, write_mode, str(first)]
    process = subprocess.Popen(command)
    loader = loader_of(kind, place, write_mode)
    until = time.monotonic() + 60
    while (loader.committed(f"t{first - 1}") or not loader.has_rows()) and time.monotonic() < until:
        time.sleep(0.02)
    loader.close()
    time.sleep(after_s)
    process.kill()
    process.wait()
    # What the process sent last, a server may still be doing.
    time.sleep(0.3)


def delta_runs(folder):
    try:
        return DeltaTable(str(folder / "people")).to_pyarrow_table()["run"].to_pylist()
    except TableNotFoundError:
        return []


def database_runs(database):
    return [run for (run,) in database.run("SELECT run FROM people")]
