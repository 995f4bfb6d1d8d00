"""Runs into Delta tables: what is visible, and when."""

import threading
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from engine.cast import ARROW_TYPES
from engine.load.contract import Cursor
from engine.load.delta import DeltaLoader
from engine.plan import CursorWindow
from engine.problems import Problem

from .plans import LOADED_AT, a_plan, direct

FIELDS = {"id": "integer", "name": "string"}
FIRST = "t1"


def plan_of(fields=FIELDS, **given):
    rules = [direct(name, name, f"r{at}") for at, name in enumerate(fields)]
    return a_plan(rules, fields, **given)


def rows_of(plan, *rows):
    schema = pa.schema([(field.name, ARROW_TYPES[field.data_type]) for field in plan.columns])
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    return pa.record_batch(
        [pa.array(cells, kind) for cells, kind in zip(columns, schema.types, strict=True)],
        schema=schema,
    )


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


def begun(lake, plan):
    loader = DeltaLoader(plan, lake)
    assert loader.check() == []
    loader.begin()
    return loader


def run(lake, *rows, token=FIRST, cursor=None, order=None, empty_source=False, **given):
    plan = plan_of(**given)
    loader = begun(lake, plan)
    loader.stage(rows_of(plan, *rows), order)
    return loader.commit(token, loader.staged(), cursor, empty_source=empty_source)


def table(lake, *columns, name="people"):
    found = DeltaTable(f"{lake}/{name}").to_pyarrow_table()
    names = columns or ("id", "name")
    return sorted(tuple(row[column] for column in names) for row in found.to_pylist())


def files_in(lake):
    from pathlib import Path

    return sorted(path.name for path in Path(lake).rglob("*.parquet"))


def test_a_run_makes_the_table_with_its_rows_and_three_columns_of_ours(lake):
    done = run(lake, (1, "a"), (2, None))
    found = DeltaTable(f"{lake}/people").to_pyarrow_table()
    assert found.schema.names == ["id", "name", "_mapping_id", "_run_id", "_loaded_at"]
    assert found.schema.field("id").type == pa.int64()
    assert found.schema.field("_loaded_at").type == pa.timestamp("us", "UTC")
    assert found.sort_by("id").to_pylist()[0] == {
        "id": 1, "name": "a", "_mapping_id": "m" * 24, "_run_id": "a" * 24,
        "_loaded_at": LOADED_AT,
    }  # fmt: skip
    assert (done.version, done.rows_written, done.duplicates) == (0, 2, 0)


def test_every_type_arrives_as_it_was_sent(lake):
    fields = {
        "s": "string", "i": "integer", "f": "float", "b": "boolean", "d": "date", "t": "timestamp",
    }  # fmt: skip
    moment = datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    row = ("größe\x00 🦆", 2**63 - 1, float("inf"), True, date(9999, 12, 31), moment)
    run(lake, row, (None,) * 6, fields=fields)
    found = DeltaTable(f"{lake}/people").to_pyarrow_table().to_pylist()
    assert [found[0][name] for name in fields] == list(row)
    assert [found[1][name] for name in fields] == [None] * 6


def test_staged_rows_are_seen_by_nobody_until_the_commit(lake):
    run(lake, (1, "a"), token="t1")
    plan = plan_of()
    loader = begun(lake, plan)
    loader.stage(rows_of(plan, (2, "b")))
    staged = loader.staged()
    assert table(lake) == [(1, "a")]
    loader.commit("t2", staged, None)
    assert table(lake) == [(1, "a"), (2, "b")]


def test_an_aborted_run_leaves_no_trace(lake, tmp_path):
    plan = plan_of()
    loader = begun(lake, plan)
    loader.stage(rows_of(plan, (1, "a")))
    loader.abort(loader.staged())
    assert list(tmp_path.rglob("*.parquet")) == []
    assert not (tmp_path / "lake" / "people").exists()


def test_another_process_commits_what_this_one_staged(lake):
    plan = plan_of()
    parts = []
    for row in ((1, "a"), (2, "b")):
        part = begun(lake, plan)
        part.stage(rows_of(plan, row))
        parts.append(part.staged())
    parts[0].add(parts[1])
    committer = begun(lake, plan)
    assert committer.commit("t1", parts[0], None).rows_written == 2
    assert table(lake) == [(1, "a"), (2, "b")]


def test_a_commit_that_is_repeated_finds_itself_done(lake):
    plan = plan_of()
    loader = begun(lake, plan)
    loader.stage(rows_of(plan, (1, "a")))
    staged = loader.staged()
    first = loader.commit("t1", staged, None)
    assert loader.commit("t1", staged, None) == first
    assert DeltaLoader(plan, lake).committed("t1")
    assert not DeltaLoader(plan, lake).committed("t2")
    assert table(lake) == [(1, "a")]


def test_nothing_is_committed_before_there_is_a_table(lake):
    loader = DeltaLoader(plan_of(), lake)
    assert (loader.committed("t1"), loader.cursor(), loader.has_rows()) == (False, None, False)


def test_an_attempt_that_another_one_overtook_commits_nothing(lake):
    plan = plan_of()
    late = begun(lake, plan)
    late.stage(rows_of(plan, (1, "late")))
    run(lake, (1, "a"), token="t2")
    with pytest.raises(Problem) as caught:
        late.commit("t1", late.staged(), None)
    assert caught.value.code == "worker_lost"
    assert table(lake) == [(1, "a")]


def test_an_attempt_that_was_fenced_off_commits_nothing(lake):
    plan = plan_of()
    late = begun(lake, plan)
    late.stage(rows_of(plan, (1, "late")))
    DeltaLoader(plan, lake).fence()
    with pytest.raises(Problem, match="Another attempt of this mapping wrote"):
        late.commit("t1", late.staged(), None)
    assert table(lake) == []
    run(lake, (1, "a"), token="t2")
    assert table(lake) == [(1, "a")]


def test_of_two_attempts_at_the_same_moment_one_commits(lake):
    run(lake, (0, "before"), token="t0")
    plan = plan_of()
    loaders = [begun(lake, plan) for _ in range(2)]
    for at, loader in enumerate(loaders):
        loader.stage(rows_of(plan, (at, "raced")))
    ends = []

    def commit(loader, token):
        try:
            ends.append(loader.commit(token, loader.staged(), None).rows_written)
        except Problem as problem:
            ends.append(problem.code)

    race([lambda at=at: commit(loaders[at], f"t{at + 1}") for at in range(2)])
    assert sorted(ends, key=str) == [1, "worker_lost"]
    assert len(table(lake)) == 2


def race(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_mappings_that_write_one_table_at_once_all_succeed(lake):
    def write(at):
        for turn in range(3):
            run(lake, (at, f"{turn}"), token=f"t{at}-{turn}", mapping_id=f"{at}" * 24)

    race([lambda at=at: write(at) for at in range(4)])
    assert table(lake) == [(at, f"{turn}") for at in range(4) for turn in range(3)]


def test_replace_changes_only_the_rows_of_its_mapping(lake):
    run(lake, (1, "other"), token="t1", mapping_id="b" * 24)
    run(lake, (1, "a"), (2, "b"), token="t2", write_mode="replace")
    run(lake, (3, "c"), token="t3", write_mode="replace")
    assert table(lake) == [(1, "other"), (3, "c")]


def test_replace_by_an_empty_source_keeps_the_rows_unless_it_is_a_full_refresh(lake):
    run(lake, (1, "a"), token="t1", write_mode="replace")
    done = run(lake, token="t2", write_mode="replace", empty_source=True)
    assert (table(lake), done.version) == ([(1, "a")], None)
    run(lake, token="t3", write_mode="replace", empty_source=True, full_refresh=True)
    assert table(lake) == []


def test_replace_removes_the_rows_where_all_new_ones_were_refused(lake):
    run(lake, (1, "a"), token="t1", write_mode="replace")
    run(lake, token="t2", write_mode="replace")
    assert table(lake) == []


UPSERT = {"write_mode": "upsert", "key_fields": ("id",)}


def test_upsert_overwrites_by_key_and_adds_the_rest(lake):
    run(lake, (1, "other"), token="t0", mapping_id="b" * 24)
    run(lake, (1, "a"), (2, "b"), token="t1", **UPSERT)
    done = run(lake, (2, "B"), (3, "c"), token="t2", **UPSERT)
    assert table(lake) == [(1, "a"), (1, "other"), (2, "B"), (3, "c")]
    assert (done.rows_written, done.duplicates) == (2, 0)


def test_upsert_leaves_files_alone_in_which_no_key_comes_back(lake):
    run(lake, (1, "a"), token="t1", **UPSERT)
    before = DeltaTable(f"{lake}/people").file_uris()
    run(lake, (2, "b"), token="t2", **UPSERT)
    assert set(before) < set(DeltaTable(f"{lake}/people").file_uris())


def test_a_key_that_comes_twice_in_a_run_has_the_row_that_came_last(lake):
    done = run(lake, (1, "a"), (2, "b"), (1, "A"), (1, "last"), **UPSERT)
    assert table(lake) == [(1, "last"), (2, "b")]
    assert (done.rows_written, done.duplicates) == (2, 2)


def test_a_key_that_comes_twice_has_the_row_with_the_greatest_cursor(lake):
    order = pa.array([5, 9, None, 7, 9])
    rows = [(1, "5"), (1, "9"), (1, "null"), (1, "7"), (1, "9, later")]
    done = run(lake, *rows, order=order, **UPSERT)
    assert (table(lake), done.duplicates) == ([(1, "9, later")], 4)


@pytest.mark.parametrize(
    ("orders", "winner"),
    [
        ([[1, 2], [0, 0], [1, 1]], "0-1"),
        ([[1, 2], [2, 0], [1, 1]], "1-0"),
        ([[1, 2], [3, 0], [1, 9]], "2-1"),
        ([[None, None], [None, None], [None, None]], "2-1"),
        ([[None, 1], [None, None], [None, None]], "0-1"),
        (None, "2-1"),
    ],
)
def test_a_key_that_comes_in_several_files_has_one_row(lake, orders, winner):
    plan = plan_of(**UPSERT)
    staged = None
    for at in range(3):
        part = begun(lake, plan)
        order = pa.array(orders[at], pa.int64()) if orders else None
        rows = [(1, f"{at}-0"), (1, f"{at}-1"), (10 + at, "own")]
        order = None if order is None else pa.concat_arrays([order, pa.array([0])])
        part.stage(rows_of(plan, *rows), order)
        if staged is None:
            staged = part.staged()
        else:
            staged.add(part.staged())
    done = begun(lake, plan).commit("t1", staged, None)
    assert table(lake) == [(1, winner), (10, "own"), (11, "own"), (12, "own")]
    assert (done.rows_written, done.duplicates) == (4, 5)


def test_keys_are_equal_letter_by_letter_and_field_by_field(lake):
    given = {"fields": {"a": "string", "b": "string", "n": "integer"}, "write_mode": "upsert",
             "key_fields": ("a", "b")}  # fmt: skip
    rows = [("x", "y", 1), ("X", "y", 2), ("x ", "y", 3), ("xy", "", 4), ("", "xy", 5),
            ("1:x", "y", 6), ("é", "y", 7), ("e\u0301", "y", 8)]  # fmt: skip
    done = run(lake, *rows, token="t1", **given)
    assert done.duplicates == 0
    run(lake, ("x", "y", 10), ("xy", "", 40), token="t2", **given)
    numbers = sorted(n for (n,) in table(lake, "n"))
    assert numbers == [2, 3, 5, 6, 7, 8, 10, 40]


@pytest.mark.parametrize(
    ("data_type", "old", "new"),
    [
        ("float", -0.0, 0.0),
        ("float", 0.1, 0.1),
        ("boolean", True, True),
        ("date", date(2026, 1, 31), date(2026, 1, 31)),
        ("timestamp", LOADED_AT, LOADED_AT),
        ("string", "", ""),
    ],
)
def test_keys_of_every_type_meet(lake, data_type, old, new):
    given = {"fields": {"id": data_type, "name": "string"}, **UPSERT}
    run(lake, (old, "old"), token="t1", **given)
    run(lake, (new, "new"), token="t2", **given)
    assert table(lake, "name") == [("new",)]


def test_null_in_a_key_is_refused(lake):
    plan = plan_of(**UPSERT)
    (refusal,) = DeltaLoader(plan, lake).refuses(rows_of(plan, (1, "a"), (None, "b")))
    assert (refusal.position, refusal.field, refusal.code) == (1, "id", "null_key")


def test_the_cursor_lies_with_the_rows(lake):
    cursor = Cursor("id", "2", ("d1", "d2", "d2"))
    given = {"cursor": CursorWindow("id")}
    plan = plan_of(**given)
    loader = begun(lake, plan)
    loader.stage(rows_of(plan, (2, "b")))
    staged = loader.staged()
    assert loader.cursor() is None
    loader.commit("t1", staged, cursor)
    assert DeltaLoader(plan, lake).cursor() == cursor
    moved = Cursor("id", "3", ("d3",))
    again = begun(lake, plan)
    again.commit("t2", again.staged(), moved)
    assert DeltaLoader(plan, lake).cursor() == moved


def test_the_cursor_outlives_checkpoints_compaction_and_vacuum(lake, tmp_path):
    given = {"cursor": CursorWindow("id")}
    for number in range(12):
        run_with_cursor(lake, number, given)
    found = DeltaTable(f"{lake}/people")
    found.optimize.compact()
    found.create_checkpoint()
    found.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert DeltaLoader(plan_of(**given), lake).cursor() == Cursor("id", "11")
    assert DeltaLoader(plan_of(**given), lake).committed("t11")
    assert len(list((tmp_path / "lake" / "people" / "_etl_cursors").iterdir())) == 1
    run_with_cursor(lake, 12, given)
    assert len(table(lake)) == 13


def run_with_cursor(lake, number, given):
    plan = plan_of(**given)
    loader = begun(lake, plan)
    loader.stage(rows_of(plan, (number, "x")))
    loader.commit(f"t{number}", loader.staged(), Cursor("id", str(number)))


def test_a_run_without_a_cursor_ends_the_one_there_was(lake):
    run_with_cursor(lake, 1, {"cursor": CursorWindow("id")})
    run(lake, (2, "b"), token="t2")
    loader = DeltaLoader(plan_of(), lake)
    assert (loader.cursor(), loader.has_rows()) == (None, True)


def test_each_mapping_has_its_own_rows_and_cursor(lake):
    run_with_cursor(lake, 1, {"cursor": CursorWindow("id")})
    other = DeltaLoader(plan_of(mapping_id="b" * 24), lake)
    assert (other.cursor(), other.has_rows()) == (None, False)


def test_a_column_that_the_schema_gained_is_added_at_the_end(lake):
    run(lake, (1, "a"), token="t1")
    run(lake, (2, 0.5, "b"), token="t2", fields={"id": "integer", "f": "float", "name": "string"})
    found = DeltaTable(f"{lake}/people").to_pyarrow_table()
    assert found.schema.names[-1] == "f"
    assert table(lake, "id", "f") == [(1, None), (2, 0.5)]


def test_a_column_that_the_schema_lost_stays_and_is_null(lake):
    run(lake, (1, "a"), token="t1")
    run(lake, (2,), token="t2", fields={"id": "integer"})
    assert table(lake) == [(1, "a"), (2, None)]


def test_upsert_by_a_key_that_is_younger_than_the_rows_adds(lake):
    run(lake, (1,), token="t1", fields={"id": "integer"})
    given = {"write_mode": "upsert", "key_fields": ("name",)}
    run(lake, (2, "b"), token="t2", **given)
    run(lake, (3, "b"), token="t3", **given)
    assert sorted(number for (number,) in table(lake, "id")) == [1, 3]


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        (
            {"id": "string", "name": "string"},
            ['The column "id" of "people" is long; the schema makes it string.'],
        ),
        (
            {"ID": "integer", "name": "string"},
            [
                'The column "id" of "people" differs only in case from the schema\'s field "ID".',
            ],
        ),
        (
            {"id": "integer", "_run_id": "string"},
            ['The schema\'s field "_run_id" is called like a column of the service.'],
        ),
        (
            {"id": "integer", "_LOADED_AT": "timestamp"},
            [
                'The schema\'s field "_LOADED_AT" is called like a column of the service.',
                'The column "_loaded_at" of "people" differs only in case from the schema\'s '
                'field "_LOADED_AT".',
            ],
        ),
        (
            {"id": "integer", "a b": "string"},
            [
                'The field "a b" has a blank or one of ,;{}()= in its name, which Delta tables '
                "cannot have."
            ],
        ),
    ],
)
def test_a_table_that_does_not_fit_is_told_of(lake, fields, messages):
    run(lake, (1, "a"))
    problems = DeltaLoader(plan_of(fields), lake).check()
    assert [problem.message for problem in problems] == messages
    assert {(problem.code, problem.stage) for problem in problems} == {
        ("target_incompatible", "plan")
    }


def test_a_table_that_is_not_ours_is_never_altered(lake):
    write_deltalake(f"{lake}/people", pa.table({"id": [1], "_run_id": ["x"]}))
    (problem,) = DeltaLoader(plan_of(), lake).check()
    assert problem.message == (
        '"people" was not made by this service: it lacks _mapping_id, _loaded_at.'
    )


def test_a_column_of_the_tables_own_that_may_not_be_null_is_told_of(lake):
    run(lake, (1, "a"))
    schema = pa.schema([
        ("id", pa.int64()), pa.field("must", pa.int64(), nullable=False),
        ("_mapping_id", pa.string()), ("_run_id", pa.string()),
        ("_loaded_at", pa.timestamp("us", "UTC")),
    ])  # fmt: skip
    DeltaTable.create(f"{lake}/strict", schema=schema)
    (problem,) = DeltaLoader(plan_of(table="strict"), lake).check()
    assert problem.message == (
        'The column "must" of "strict" may not be null, has no default, and is not in the schema.'
    )


def test_a_table_without_partitions_is_written_row_by_row(lake):
    own = {"_mapping_id": ["m" * 24, "b" * 24], "_run_id": ["r", "r"],
           "_loaded_at": pa.array([LOADED_AT] * 2, pa.timestamp("us", "UTC"))}  # fmt: skip
    write_deltalake(f"{lake}/people", pa.table({"id": [1, 1], "name": ["a", "other"]} | own))
    assert DeltaLoader(plan_of(), lake).has_rows()
    assert not DeltaLoader(plan_of(mapping_id="c" * 24), lake).has_rows()
    run(lake, (1, "A"), (2, "b"), token="t1", **UPSERT)
    assert table(lake) == [(1, "A"), (1, "other"), (2, "b")]
    run(lake, (3, "c"), token="t2", write_mode="replace")
    assert table(lake) == [(1, "other"), (3, "c")]


def test_a_lake_that_cannot_be_written_is_the_targets_refusal(tmp_path):
    (tmp_path / "file").write_text("")
    plan = plan_of()
    loader = DeltaLoader(plan, str(tmp_path / "file"))
    with pytest.raises(Problem) as caught:
        loader.stage(rows_of(plan, (1, "a")))
    assert (caught.value.code, caught.value.stage) == ("target_refused", "load")
    assert caught.value.message == 'The table "people": Not a directory'


def test_a_store_that_does_not_answer_is_unreachable_and_its_secrets_are_not_told(lake):
    options = {
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "MAX_RETRIES": "0",
    }
    with pytest.raises(Problem) as caught:
        DeltaLoader(plan_of(), "s3://bucket/lake", options).check()
    assert caught.value.code == "target_unreachable"
    assert "a-secret" not in caught.value.message
    assert caught.value.__cause__ is None


def test_large_runs_are_cut_into_files_that_readers_can_skip(lake, monkeypatch):
    monkeypatch.setattr("engine.load.parquet.FILE_ROWS", 100)
    monkeypatch.setattr("engine.load.parquet.ROW_GROUP_ROWS", 50)
    plan = plan_of()
    loader = begun(lake, plan)
    for start in range(0, 300, 30):
        loader.stage(rows_of(plan, *[(number, "x") for number in range(start, start + 30)]))
    loader.commit("t1", loader.staged(), None)
    found = DeltaTable(f"{lake}/people")
    ranges = pa.table(found.get_add_actions(flatten=True)).sort_by("min.id").to_pylist()
    assert [(r["min.id"], r["max.id"], r["num_records"], r["null_count.name"]) for r in ranges] == [
        (0, 119, 120, 0), (120, 239, 120, 0), (240, 299, 60, 0),
    ]  # fmt: skip
    assert len(table(lake)) == 300
