"""Whole runs, from real databases into each kind of target, in children as the service has them."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from engine import asking
from engine.launchers.choice import Means
from engine.launchers.processes import RUN_LIMITS
from engine.messages import RunProblem, Stopped
from engine.problems import Problem

from .sources import a_run_plan, params_of, ran, target_of
from .targets import UPSERT

PEOPLE = "SELECT id, name FROM source_people ORDER BY id"
MADE = "CREATE TABLE source_people (id bigint, name varchar(50), at {} NULL)"
SLOW = {
    "postgresql": "SELECT n AS id, pg_sleep(0.01)::text AS name FROM generate_series(1, 100000) n",
    "mysql": "SELECT seq AS id, sleep(0.01) AS name FROM seq_1_to_100000",
}
LOCKED = {"postgresql": "LOCK TABLE people", "mysql": "LOCK TABLES people WRITE"}
WAITING = {
    "postgresql": "SELECT pid FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT id FROM information_schema.processlist WHERE state LIKE '%metadata lock'",
}
LOCK_S = 60  # what a loader waits for a lock
SAME = {
    "postgresql": "SELECT n AS id, 'x' AS name FROM generate_series(1, {}) n",
    "mysql": "SELECT seq AS id, 'x' AS name FROM seq_1_to_{}",
}


@pytest.fixture(autouse=True, scope="module")
def _ready():
    asking.warm()


def people(database, *rows):
    moments = "timestamp(6)" if database.kind == "mysql" else "timestamp"
    database.run("DROP TABLE IF EXISTS source_people", MADE.format(moments))
    add(database, *rows)


def add(database, *rows):
    for number, name, *at in rows:
        moment = f"'{at[0]}'" if at and at[0] else "NULL"
        database.run(f"INSERT INTO source_people VALUES ({number}, '{name}', {moment})")


def counts(report):
    return report.rows_read, report.rows_written, report.rows_rejected


@pytest.mark.parametrize("kind", ["lake", "postgres", "mysql"])
def test_rows_arrive_in_each_kind_of_target(database, kind, request):
    target = request.getfixturevalue(kind)
    people(database, (1, "Ada"), (2, "Bob"))
    report = ran(a_run_plan(PEOPLE), database, target)
    assert counts(report) == (2, 2, 0)
    assert report.version == (0 if kind == "lake" else None)
    assert target.rows() == [(1, "Ada"), (2, "Bob")]
    found = asking.committed(target_of(target), a_run_plan(PEOPLE), ["t0", "t1"])
    assert (found.token, found.rows_written) == ("t1", report.rows_written)
    assert found.version == report.version


def test_it_tells_how_far_it_is(postgres, lake):
    notes = []
    sql = "SELECT n AS id, repeat('x', 50) AS name FROM generate_series(1, 200000) n"
    report = ran(a_run_plan(sql), postgres, lake, on_note=notes.append)
    assert report.rows_read == 200_000
    stages = [note.stage for note in notes]
    assert sorted(set(stages), key=stages.index) == [
        "plan",
        "extract",
        "transform",
        "load",
        "commit",
    ]
    progress = [note.progress for note in notes if note.progress is not None]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert any("200000 rows were committed" in (note.message or "") for note in notes)


def test_upsert_writes_each_key_once(database, lake):
    people(database, (1, "Ada"), (2, "Bob"))
    ran(a_run_plan(PEOPLE, **UPSERT), database, lake)
    add(database, (2, "Bea"), (3, "Cid"))
    report = ran(a_run_plan("SELECT id, name FROM source_people ORDER BY name", **UPSERT),
                 database, lake, "t2")  # fmt: skip
    assert lake.rows() == [(1, "Ada"), (2, "Bob"), (3, "Cid")]
    assert [each["code"] for each in report.warnings] == ["duplicate_keys"]


def test_replace_keeps_the_rows_where_the_query_gives_none(database, lake):
    people(database, (1, "Ada"))
    ran(a_run_plan(PEOPLE, write_mode="replace"), database, lake)
    people(database)
    report = ran(a_run_plan(PEOPLE, write_mode="replace"), database, lake, "t2")
    assert [each["code"] for each in report.warnings] == ["empty_source"]
    assert lake.rows() == [(1, "Ada")]
    ran(a_run_plan(PEOPLE, write_mode="replace", full_refresh=True), database, lake, "t3")
    assert lake.rows() == []


def test_no_row_is_a_run_that_succeeds(database, lake):
    people(database)
    report = ran(a_run_plan(PEOPLE), database, lake)
    assert counts(report) == (0, 0, 0)


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [("id", "2", "3"), ("name", "Bob", "Cid"),
     ("at", "2026-01-02T00:00:00", "2026-01-03T00:00:00.5")],
)  # fmt: skip
def test_a_cursor_reads_what_is_new_and_its_edge(database, lake, column, first, second):
    zone = "Z" if database.kind == "mysql" and column == "at" else ""
    sql = "SELECT id, name, at FROM source_people"
    people(database)
    add(database, (1, "Ada", "2026-01-01"), (2, "Bob", "2026-01-02"))
    plan = a_run_plan(sql, cursor=column)
    report = ran(plan, database, lake)
    assert (report.cursor_from, report.cursor_to) == (None, first + zone)
    add(database, (2, "Bob", "2026-01-02 00:00:00"), (3, "Cid", "2026-01-03 00:00:00.5"))
    report = ran(a_run_plan(sql, cursor=column), database, lake, "t2")
    assert (report.cursor_from, report.cursor_to) == (first + zone, second + zone)
    # A row that is the same in every column is read once more than it was known.
    assert counts(report) == (2, 2, 0)
    report = ran(a_run_plan(sql, cursor=column), database, lake, "t3")
    assert counts(report) == (0, 0, 0)
    assert report.cursor_from == report.cursor_to == second + zone
    assert lake.rows() == [(1, "Ada"), (2, "Bob"), (2, "Bob"), (3, "Cid")]


def test_texts_that_the_database_takes_for_one_are_one_edge(mysql, lake):
    mysql.run("CREATE TABLE words (id int, name varchar(9) COLLATE utf8mb4_general_ci)",
              "INSERT INTO words VALUES (1, 'a'), (2, 'B'), (3, 'b'), (4, NULL)")  # fmt: skip
    sql = "SELECT id, name FROM words"
    assert ran(a_run_plan(sql, cursor="name"), mysql, lake).rows_read == 4
    mysql.run("INSERT INTO words VALUES (5, 'b'), (6, 'C')")
    assert ran(a_run_plan(sql, cursor="name"), mysql, lake, "t2").rows_read == 2
    assert ran(a_run_plan(sql, cursor="name"), mysql, lake, "t3").rows_read == 0
    assert [row[0] for row in lake.rows()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("kind", "values", "last"),
    [("float", ("0.1", "0.3", "0.7"), "0.7"), ("bit(9)", ("b'1'", "b'11'", "b'100000001'"), "257")],
)
def test_numbers_that_mysql_writes_in_another_way_are_compared(mysql, lake, kind, values, last):
    mysql.run(
        f"CREATE TABLE numbers (id int, name varchar(9), at {kind})",
        f"INSERT INTO numbers VALUES (1, 'a', {values[0]}), (2, 'b', {values[1]})",
    )
    given = {"query": "SELECT id, name, at FROM numbers", "cursor": "at"}
    assert ran(a_run_plan(**given), mysql, lake).rows_read == 2
    mysql.run(f"INSERT INTO numbers VALUES (3, 'c', {values[1]}), (4, 'd', {values[2]})")
    report = ran(a_run_plan(**given), mysql, lake, "t2")
    assert (report.rows_read, report.cursor_to) == (2, last)
    assert ran(a_run_plan(**given), mysql, lake, "t3").rows_read == 0


def test_rows_without_a_cursor_are_read_once(database, lake):
    people(database, (1, "Ada", "2026-01-01"), (2, "Bob", None))
    sql = "SELECT id, name, at FROM source_people"
    report = ran(a_run_plan(sql, cursor="at"), database, lake)
    assert [each["code"] for each in report.warnings] == ["null_cursor"]
    assert counts(ran(a_run_plan(sql, cursor="at"), database, lake, "t2")) == (0, 0, 0)


def test_many_rows_of_the_last_value_wait(database, lake):
    database.run(
        f"CREATE TABLE ties AS {SAME[database.kind].format(10_001)}",
        "UPDATE ties SET id = 7",
        "INSERT INTO ties VALUES (1, 'a'), (2, 'b')",
    )
    sql = "SELECT id, name FROM ties"
    report = ran(a_run_plan(sql, cursor="id"), database, lake)
    assert (report.rows_read, report.cursor_to) == (2, "2")
    assert [each["code"] for each in report.warnings] == ["cursor_ties"]
    database.run("INSERT INTO ties VALUES (8, 'c')")
    report = ran(a_run_plan(sql, cursor="id"), database, lake, "t2")
    assert (report.rows_read, report.cursor_to) == (10_002, "8")


def test_a_cursor_of_moments_ends_before_now(database, lake):
    now = {"postgresql": "now()", "mysql": "current_timestamp"}[database.kind]
    people(database, (1, "Ada", "2026-01-01"))
    database.run(f"INSERT INTO source_people VALUES (2, 'Bob', {now})")
    sql = "SELECT id, name, at FROM source_people"
    report = ran(a_run_plan(sql, cursor="at", lag_s=3600), database, lake)
    assert report.rows_read == 1


def test_too_many_refused_rows_end_it_with_their_entries(database, lake):
    people(database, (1, "Ada"), (2, "x"))
    plan = a_run_plan(PEOPLE, {"id": "integer", "name": "integer"})
    with pytest.raises(RunProblem) as caught:
        ran(plan, database, lake)
    assert (caught.value.code, caught.value.stage) == ("too_many_rejected", "transform")
    assert [entry["row"] for entry in caught.value.report.rejected] == [1, 2]
    assert caught.value.report.rows_rejected == 2
    report = ran(a_run_plan(PEOPLE, {"id": "integer", "name": "integer"}, max_rejected=None),
                 database, lake)  # fmt: skip
    assert counts(report) == (2, 0, 2)


def test_a_cell_that_is_too_large_is_refused_as_a_value(database, lake):
    sql = "SELECT 1 AS id, repeat('x', 300000) AS name UNION ALL SELECT 2, 'y'"
    plan = a_run_plan(sql, max_cell_bytes=100_000, max_rejected=1)
    report = ran(plan, database, lake)
    assert [(e["row"], e["code"], len(e["value"])) for e in report.rejected] == [
        (1, "value_too_large", 80)
    ]
    assert lake.rows() == [(2, "y")]


@pytest.mark.parametrize(
    ("sql", "code", "stage"),
    [
        ("SELECT id FROM nowhere", "query_refused", "plan"),
        ("DROP TABLE people", "query_refused", "plan"),
        ("SELECT 1 AS id", "unknown_column", "plan"),
        ("SELECT 1 AS id, 'x' AS name, 'y' AS name", "ambiguous_column", "plan"),
    ],
)
def test_what_cannot_run_says_where_and_why(database, lake, sql, code, stage):
    with pytest.raises(RunProblem) as caught:
        ran(a_run_plan(sql), database, lake)
    assert (caught.value.code, caught.value.stage) == (code, stage)
    assert caught.value.message
    assert caught.value.hint


def test_a_source_that_is_away_or_refuses_says_so(postgres, mysql, lake):
    for database in (postgres, mysql):
        for given, code in (({"port": 1}, "source_unreachable"),
                            ({"password": "wrong"}, "authentication_failed")):  # fmt: skip
            login = database.login
            database.login = login | given
            try:
                with pytest.raises(RunProblem) as caught:
                    ran(a_run_plan("SELECT 1 AS id, 'x' AS name"), database, lake)
            finally:
                database.login = login
            assert caught.value.code == code
            assert "wrong" not in caught.value.message


def test_a_table_that_is_not_ours_is_left_alone(database, postgres):
    people(database, (1, "Ada"))
    postgres.run("CREATE TABLE people (id text)")
    with pytest.raises(RunProblem) as caught:
        ran(a_run_plan(PEOPLE), database, postgres)
    assert (caught.value.code, caught.value.stage) == ("target_incompatible", "plan")


def test_what_a_lost_attempt_has_committed_is_found(database, target):
    people(database, (1, "Ada"))
    ran(a_run_plan(PEOPLE), database, target, "lost")
    report = ran(a_run_plan(PEOPLE), database, target, "again", lost=["other", "lost"])
    assert (report.found, report.found_token, report.rows_written) == (True, "lost", 1)
    assert target.rows() == [(1, "Ada")]


def test_a_fence_keeps_a_lost_worker_out(database, target):
    people(database, (1, "Ada"))
    plan = a_run_plan(PEOPLE)
    ran(plan, database, target, "t1")
    assert asking.fence(target_of(target), plan, ["t1"]).token == "t1"
    assert asking.fence(target_of(target), plan, ["t2"]) is None
    assert asking.committed(target_of(target), plan, ["t1"]) is None
    ran(plan, database, target, "t3")
    assert target.rows() == [(1, "Ada"), (1, "Ada")]


def queries_in(database):
    """Return the queries that run in a database, beside this one."""
    sql = {
        "postgresql": "SELECT query FROM pg_stat_activity WHERE query LIKE '%sleep(0.01)%'"
                      " AND state = 'active' AND pid <> pg_backend_pid()",
        "mysql": "SELECT info FROM information_schema.processlist WHERE info LIKE '%sleep(0.01)%'"
                 " AND id <> connection_id()",
    }[database.kind]  # fmt: skip
    return database.run(sql)


def test_a_stop_ends_the_query_in_the_database_too(database, lake):
    stop = threading.Event()
    timer = threading.Timer(1.5, stop.set)
    timer.start()
    with pytest.raises(Stopped):
        ran(a_run_plan(SLOW[database.kind]), database, lake, stop=stop)
    timer.join()
    until = time.monotonic() + 5
    while queries_in(database) and time.monotonic() < until:
        time.sleep(0.1)
    assert queries_in(database) == []
    assert not os.path.exists(f"{lake.folder}/people/_delta_log")  # noqa: PTH110


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_stop_ends_what_waits_in_the_target_too(kind, postgres, request):
    target = request.getfixturevalue(kind)
    people(postgres, (1, "Ada"))
    ran(a_run_plan(PEOPLE), postgres, target)
    stop, told_at = threading.Event(), []

    def wait(note):
        if note.stage == "commit":
            until = time.monotonic() + LOCK_S / 2
            while not target.run(WAITING[target.kind]) and time.monotonic() < until:
                time.sleep(0.05)
            stop.set()
            told_at.append(time.monotonic())

    with closing(target.connect(target.name)) as session:
        session.cursor().execute(LOCKED[target.kind])
        with pytest.raises(Stopped):
            ran(a_run_plan(PEOPLE), postgres, target, "t2", stop=stop, on_note=wait)
        assert time.monotonic() - told_at[0] < LOCK_S / 2
        assert target.run(WAITING[target.kind]) == []
    assert target.rows() == [(1, "Ada")]


def test_what_was_committed_before_a_stop_was_heard_is_told(postgres, lake):
    """The service was waiting for its store, say, while the child went on."""
    people(postgres, (1, "Ada"))
    stop, log = threading.Event(), Path(lake.folder, "people", "_delta_log", f"{0:020}.json")

    def wait(note):
        until = time.monotonic() + 30
        while note.stage == "extract" and not log.exists() and time.monotonic() < until:
            time.sleep(0.02)
        if note.stage == "extract":
            stop.set()

    report = ran(a_run_plan(PEOPLE), postgres, lake, stop=stop, on_note=wait)
    assert (report.found, report.rows_written) == (True, 1)
    assert lake.rows() == [(1, "Ada")]


def test_a_run_that_takes_too_long_is_ended(postgres, lake):
    with pytest.raises(RunProblem) as caught:
        ran(a_run_plan(SLOW["postgresql"]), postgres, lake, deadline=time.monotonic() + 1)
    assert caught.value.code == "run_timeout"


def test_a_child_that_is_killed_leaves_all_or_nothing(database, target):
    chance = random.Random(3)  # noqa: S311 - the same moments each time, as far as a machine goes
    sql = SAME[database.kind].format(40_000)
    tokens = []
    for number in range(4):
        tokens.append(f"t{number}")
        plan = a_run_plan(sql, run_id=f"{number}" * 24)
        kill_one(plan, database, target, tokens, chance.uniform(0.02, 0.8))
    report = ran(a_run_plan(sql, run_id="9" * 24), database, target, "last", lost=tokens)
    runs = Counter(run for (run,) in target.rows("_run_id"))
    assert set(runs.values()) == {40_000}
    assert ("9" * 24 in runs) != report.found


def kill_one(plan, database, target, tokens, after_s):
    """Begin a run of the newest token, unless an older one has done it, and kill its child."""
    started = asking.host.start(RUN_LIMITS)
    started.send("engine.serving:run", {
        "plan": plan.to_json(), "source": params_of(database).to_json(),
        "target": target_of(target).to_json(), "token": tokens[-1], "lost_tokens": tokens[:-1],
        "means": Means().to_json(),
    })  # fmt: skip
    time.sleep(after_s)
    started.kill()
    time.sleep(0.3)


def test_a_killed_child_is_a_lost_worker(postgres, lake):
    before = children()

    def kill(note):
        if note.stage == "extract":
            for pid in children() - before:
                os.kill(pid, 9)

    with pytest.raises(RunProblem) as caught:
        ran(a_run_plan(SLOW["postgresql"]), postgres, lake, on_note=kill)
    assert caught.value.code == "worker_lost"


def children():
    """Return the processes that the engine's zygote has forked."""
    zygote = asking.host._process.pid
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(zygote)], capture_output=True, check=False
    )
    return {int(pid) for pid in found.stdout.split()}


def test_the_service_loads_nothing_that_moves_rows():
    code = (
        "import sys, engine.asking;"
        " sys.exit(bool({'pyarrow', 'deltalake', 'pyspark'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_target_that_is_away_says_so(postgres, mysql):
    for database in (postgres, mysql):
        login = database.login
        database.login = login | {"port": 1}
        try:
            with pytest.raises(Problem) as caught:
                asking.read_rows(target_of(database), "people", [("id", "integer")])
        finally:
            database.login = login
        assert caught.value.code == "target_unreachable"
