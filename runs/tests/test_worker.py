"""Runs that real workers do: from PostgreSQL into Delta tables."""

from pathlib import Path

import pytest

from common.tests.client import direct
from runs.tests.pipelines import pipeline, source_body
from runs.tests.workers import ended, running, started, state, until, worker

TEN = "SELECT g AS id FROM generate_series(1, 10) g"
SLOW = "SELECT g AS id, pg_sleep(60) FROM generate_series(1, 3) g"


def rows(folder: Path, table: str) -> list[int]:
    """Return the ids in a table of the default lake, as any reader sees them."""
    deltalake = pytest.importorskip("deltalake")
    lake = deltalake.DeltaTable(str(folder / "lake" / table))
    return sorted(lake.to_pyarrow_table().column("id").to_pylist())


def table_of(run) -> str:
    return run["plan"]["target_table"]


def test_rows_move_from_the_source_to_the_lake(api, tmp_path):
    mapping = pipeline(api, TEN)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["error"]) == ("succeeded", None), run
    assert (run["rows_read"], run["rows_written"], run["rows_rejected"]) == (10, 10, 0)
    assert (run["stage"], run["attempt"], run["progress"]) == ("commit", 1, 1)
    assert run["target"]["kind"] == "delta"
    assert run["worker"].count(":") == 1
    assert run["duration_ms"] >= 0
    assert rows(tmp_path, table_of(run)) == list(range(1, 11))
    lines = api.get(f"runs/{run['id']}/log").json()
    assert "begins" in lines[0]["message"]
    assert "Succeeded" in lines[-1]["message"]
    assert api.post(f"runs/{run['id']}/retry").code == "run_succeeded"
    assert api.post(f"runs/{run['id']}/cancel").code == "run_ended"
