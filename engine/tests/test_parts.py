"""Runs that are cut: their parts are read side by side, and committed as one."""

import os
import threading
from collections import Counter

import pytest

from engine import asking, running
from engine.launchers.choice import Means
from engine.messages import RunProblem, RunSpec

from .sources import a_run_plan, params_of, target_of
from .targets import FIRST, UPSERT

ROWS = 20_000
MEANS = Means("auto", processes=2, part_rows=1_000)
MADE = "CREATE TABLE source_numbers (id bigint, name varchar(50), at timestamp)"
QUERY = "SELECT id, name FROM source_numbers"


@pytest.fixture(autouse=True, scope="module")
def _ready():
    asking.warm()


@pytest.fixture
def numbers(postgres):
    """Return a database with a table of numbers, some of them null, half of them far away."""
    postgres.run(
        MADE,
        "INSERT INTO source_numbers SELECT CASE WHEN n % 1000 = 0 THEN NULL"
        f" WHEN n > {ROWS // 2} THEN n * 10 ELSE n END, 'n' || n,"
        f" timestamp '2026-01-01' + n * interval '1 minute' FROM generate_series(1, {ROWS}) n",
        "ANALYZE source_numbers",
    )
    return postgres


def ran(plan, source, target, *, token=FIRST, means=MEANS, on_note=None):
    spec = RunSpec(plan, params_of(source), target_of(target), token, means=means)
    return running.run(spec, on_note or (lambda note: None), threading.Event())


def messages(notes):
    return [note.message for note in notes if note.message]


def test_parts_give_the_rows_of_one_reading(numbers, lake):
    notes = []
    ran(a_run_plan(QUERY, table="whole"), numbers, lake, means=Means())
    plan = a_run_plan(QUERY, split_column="id")
    report = ran(plan, numbers, lake, on_note=notes.append)
    assert (report.rows_read, report.rows_written, report.warnings) == (ROWS, ROWS, [])
    assert lake.rows() == lake.rows(table="whole")
    assert 'The query is read in 8 ranges of "id", in one snapshot.' in messages(notes)
    assert [note.rows_read for note in notes] == sorted(note.rows_read for note in notes)


def test_what_changes_meanwhile_is_in_no_part(numbers, lake):
    changed = []

    def change(note):
        if note.message and "ranges" in note.message:
            changed.append(note)
            numbers.run("UPDATE source_numbers SET id = -id", "INSERT INTO source_numbers"
                        " SELECT n, 'late' FROM generate_series(1, 1000) n")  # fmt: skip

    ran(a_run_plan(QUERY, split_column="id"), numbers, lake, on_note=change)
    assert len(changed) == 1
    assert len(lake.rows()) == ROWS
    assert min(number for number, _ in lake.rows() if number is not None) == 1


def test_a_cursor_and_parts_go_together(numbers, lake):
    query = f"{QUERY} WHERE id IS NOT NULL"
    given = {"cursor": "id", "split_column": "id", **UPSERT}
    ran(a_run_plan(query, **given), numbers, lake)
    numbers.run("UPDATE source_numbers SET name = 'new' WHERE id = (SELECT max(id)"
                " FROM source_numbers)", "INSERT INTO source_numbers SELECT 1000000 + n, 'late'"
                " FROM generate_series(1, 5000) n", "ANALYZE source_numbers")  # fmt: skip
    report = ran(a_run_plan(query, **given), numbers, lake, token="t2")
    # The greatest one is read again, as another row.
    assert (report.rows_read, report.cursor_to) == (5_001, "1005000")
    report = ran(a_run_plan(query, **given), numbers, lake, token="t3")
    assert report.rows_read == 0
    assert len(lake.rows()) == ROWS - ROWS // 1000 + 5_000


def test_refused_rows_are_counted_over_all_parts(numbers, lake):
    bad = ROWS * 10 - 10
    numbers.run(f"UPDATE source_numbers SET name = '1' WHERE id IS DISTINCT FROM {bad}")
    fields = {"id": "integer", "name": "integer"}
    ordered = f"{QUERY} ORDER BY id"
    plan = a_run_plan(ordered, fields, split_column="id", max_rejected=1)
    report = ran(plan, numbers, lake)
    # Rows are counted through all parts: it is the last row of the last one.
    assert [(each["row"], each["value"]) for each in report.rejected] == [(ROWS, "n19999")]
    numbers.run("UPDATE source_numbers SET name = 'x' WHERE id IN (1, 2, 150000)")
    with pytest.raises(RunProblem) as caught:
        ran(a_run_plan(ordered, fields, split_column="id", max_rejected=2, run_id="b" * 24),
            numbers, lake, token="t2")  # fmt: skip
    assert caught.value.code == "too_many_rejected"
    assert set(lake.rows("_run_id")) == {("a" * 24,)}


@pytest.mark.parametrize(("changes", "said"), [
    ({"split_column": "name"}, '"name" is character varying(50), which is not cut into ranges.'),
    ({"split_column": "id", "write_mode": "upsert", "key_fields": ("name",)},
     'Rows of one key may have several values of "id", so the query is read in one, which knows '
     "the last of them."),
])  # fmt: skip
def test_what_cannot_be_cut_is_read_in_one_and_says_why(numbers, lake, changes, said):
    notes = []
    ran(a_run_plan(QUERY, **changes), numbers, lake, on_note=notes.append)
    assert said in messages(notes)
    assert len(lake.rows()) == ROWS


def test_a_source_that_shares_no_snapshot_is_read_in_one(mysql, lake):
    notes = []
    query = "SELECT seq AS id, 'x' AS name FROM seq_1_to_5000"
    ran(a_run_plan(query, split_column="id"), mysql, lake, on_note=notes.append)
    assert "This database shows one snapshot to one session, which reads it all." in messages(notes)
    assert len(lake.rows()) == 5_000


def test_a_database_takes_the_rows_of_one_session(numbers, mysql):
    report = ran(a_run_plan(QUERY, split_column="id"), numbers, mysql)
    assert report.rows_written == ROWS


def test_a_part_whose_process_is_killed_is_done_again(numbers, lake):
    slow = ("SELECT id, CASE WHEN id % 500 = 0 THEN pg_sleep(0.03)::text ELSE name END AS name"
            " FROM source_numbers WHERE id IS NOT NULL")  # fmt: skip
    killed = []

    def kill(note):
        # Other tests read the same server.
        reading = ("SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                   " AND query LIKE 'COPY%' AND state = 'active'")  # fmt: skip
        if not killed and len(children() - before) > 1 and numbers.run(reading):
            killed.append(one_child())

    before = children()

    def one_child():
        pid = max(children() - before)
        os.kill(pid, 9)
        return pid

    ran(a_run_plan(slow, split_column="id"), numbers, lake, on_note=kill)
    assert killed
    times = Counter(number for (number,) in lake.rows("id"))
    assert len(times) == ROWS - ROWS // 1000
    assert set(times.values()) == {1}


def children():
    """Return the processes that the engine's zygote has forked."""
    zygote = asking.host._process.pid
    with open(f"/proc/{zygote}/task/{zygote}/children") as found:  # noqa: PTH123
        return set(map(int, found.read().split()))
