"""Runs that real workers do: from PostgreSQL into Delta tables."""

from pathlib import Path

import pytest

from runs.tests.pipelines import broken, pipeline, source_body
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


def test_a_cancel_reaches_a_query_that_runs(api, tmp_path):
    mapping = pipeline(api, SLOW)
    with worker(tmp_path):
        run = started(api, mapping)
        running(api, run)
        assert api.delete(f"mappings/{mapping['id']}").code == "in_use"
        for _ in range(2):
            assert api.post(f"runs/{run['id']}/cancel").status == 202
        run = ended(api, run)
        assert (run["status"], run["rows_written"], run["error"]) == ("cancelled", 0, None)
        assert api.post(f"runs/{run['id']}/cancel").status == 202
        assert api.delete(f"mappings/{mapping['id']}").status == 204


def test_what_the_database_refuses_fails_at_once(api, tmp_path, stored):
    mapping = broken(api, stored)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["error"]["code"], run["attempt"]) == ("failed", "query_refused", 1)
    assert run["error"]["hint"]
    assert run["rows_written"] == 0


def test_a_source_that_is_away_is_asked_again_and_again(api, tmp_path):
    away = api.create("connections", source_body(port=1))
    mapping = pipeline(api, TEN, source_connection_id=away["id"])
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["attempt"]) == ("failed", 3)
    assert run["error"]["code"] == "source_unreachable"


def test_rows_that_are_refused_are_kept_for_who_may_see_them(api, tmp_path):
    query = "SELECT CASE g WHEN 3 THEN 'three' ELSE g::text END AS id FROM generate_series(1, 5) g"
    mapping = pipeline(api, query)
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["error"]["code"]) == ("failed", "too_many_rejected")
    assert run["error"]["stage"] == "transform"
    assert run["rows_rejected"] == 1
    (entry,) = api.get(f"runs/{run['id']}/rejected").json()
    assert (entry["row"], entry["value"], entry["code"]) == (3, "three", "not_a_number")


def test_a_mapping_without_rules_says_so(api, tmp_path):
    mapping = pipeline(api, TEN)
    api.delete(f"mappings/{mapping['id']}/column-mappings")
    with worker(tmp_path):
        run = ended(api, started(api, mapping))
    assert (run["error"]["code"], run["error"]["stage"]) == ("mapping_incomplete", "plan")


def test_one_run_of_a_mapping_at_a_time_and_each_once(api, tmp_path, stored):
    mappings = [pipeline(api, TEN) for _ in range(3)]
    runs = [started(api, mapping) for mapping in mappings for _ in range(4)]
    with worker(tmp_path, "--concurrency", "3"), worker(tmp_path, "--concurrency", "3"):
        done = [ended(api, run) for run in runs]
    assert {run["status"] for run in done} == {"succeeded"}
    for mapping in mappings:
        of_one = [run for run in done if run["mapping_id"] == mapping["id"]]
        assert rows(tmp_path, table_of(of_one[0])) == sorted([*range(1, 11)] * 4)
        times = sorted((run["started_at"], run["ended_at"]) for run in of_one)
        assert all(one[1] <= other[0] for one, other in zip(times, times[1:], strict=False))


def test_what_a_killed_worker_had_is_taken_up(api, tmp_path):
    mapping = pipeline(api, "SELECT g AS id, pg_sleep(0.4) FROM generate_series(1, 10) g")
    with worker(tmp_path) as first:
        run = started(api, mapping)
        running(api, run, "extract")
        first.kill()
    with worker(tmp_path):
        run = ended(api, run)
    assert (run["status"], run["attempt"], run["rows_written"]) == ("succeeded", 2, 10)
    assert rows(tmp_path, table_of(run)) == list(range(1, 11))


def test_a_worker_that_stops_hands_its_run_back(api, tmp_path):
    mapping = pipeline(api, SLOW)
    with worker(tmp_path, "--grace", "0.1") as first:
        run = started(api, mapping)
        running(api, run)
        assert first.terminate() == 0
    back = state(api, run)
    assert (back["status"], back["attempt"], back["started_at"]) == ("queued", 0, None)
    assert api.post(f"runs/{run['id']}/cancel").json()["status"] == "cancelled"


def test_a_worker_takes_runs_of_some_connections(api, tmp_path):
    other, wanted = pipeline(api, TEN), pipeline(api, TEN)
    connection = api.get(f"connections/{wanted['source_connection_id']}").json()
    with worker(tmp_path, "--connections", connection["name"]):
        waiting = started(api, other)
        assert ended(api, started(api, wanted))["status"] == "succeeded"
        assert state(api, waiting)["status"] == "queued"


def test_a_run_that_takes_too_long_is_ended(api, tmp_path):
    mapping = pipeline(api, SLOW)
    with worker(tmp_path, RUN_TIMEOUT_S="1"):
        run = ended(api, started(api, mapping))
    assert (run["status"], run["error"]["code"]) == ("failed", "run_timeout")


def test_health_tells_of_workers(api, tmp_path):
    assert api.get("/health").json()["checks"]["worker"]["status"] == "absent"
    with worker(tmp_path) as one:
        until(lambda: health(api) == "up", "no sign of life")
        one.terminate()
    assert health(api) == "absent"
    assert api.get("/health").status == 200


def health(api):
    return api.get("/health").json()["checks"]["worker"]["status"]
