"""What only Delta tables do: files, their log, and what other programs do to it."""

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from engine.load.contract import Cursor
from engine.load.delta import DeltaLoader
from engine.plan import CursorWindow
from engine.problems import Problem

from .plans import LOADED_AT
from .targets import UPSERT, begun, messages, plan_of, race, rows_of, run


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
    assert lake.rows() == [(1, "a"), (2, "b")]


def test_upsert_leaves_files_alone_in_which_no_key_comes_back(lake):
    run(lake, (1, "a"), token="t1", **UPSERT)
    before = lake.table().file_uris()
    run(lake, (2, "b"), token="t2", **UPSERT)
    assert set(before) < set(lake.table().file_uris())


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
    assert lake.rows() == [(1, winner), (10, "own"), (11, "own"), (12, "own")]
    assert (done.rows_written, done.duplicates) == (4, 5)


def test_the_cursor_outlives_checkpoints_compaction_and_vacuum(lake, tmp_path):
    given = {"cursor": CursorWindow("id")}
    for number in range(12):
        run_with_cursor(lake, number, given)
    found = lake.table()
    found.optimize.compact()
    found.create_checkpoint()
    found.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert lake.loader(plan_of(**given)).cursor() == Cursor("id", "11")
    assert lake.loader(plan_of(**given)).committed("t11")
    assert len(list((tmp_path / "lake" / "people" / "_etl_cursors").iterdir())) == 1
    run_with_cursor(lake, 12, given)
    assert len(lake.rows()) == 13


def run_with_cursor(lake, number, given):
    plan = plan_of(**given)
    loader = begun(lake, plan)
    loader.stage(rows_of(plan, (number, "x")))
    loader.commit(f"t{number}", loader.staged(), Cursor("id", str(number)))


def test_upsert_by_a_key_that_is_younger_than_the_rows_adds(lake):
    run(lake, (1,), token="t1", fields={"id": "integer"})
    given = {"write_mode": "upsert", "key_fields": ("name",)}
    run(lake, (2, "b"), token="t2", **given)
    run(lake, (3, "b"), token="t3", **given)
    assert sorted(number for (number,) in lake.rows("id")) == [1, 3]


@pytest.mark.parametrize("turn", range(10))
def test_mappings_that_make_one_table_at_once_keep_all_columns_and_rows(lake, turn):
    def write(at):
        fields = {"id": "integer", f"only_{at}": "string"}
        run(lake, (at, "x"), fields=fields, mapping_id=f"{at}" * 24)

    race([lambda at=at: write(at) for at in range(3)])
    assert lake.rows("id", "only_0", "only_1", "only_2") == [
        (0, "x", None, None),
        (1, None, "x", None),
        (2, None, None, "x"),
    ]


def test_names_that_delta_tables_cannot_have_are_told_of(lake):
    assert messages(lake, {"a b": "string"}) == [
        'The field "a b" has a blank or one of ,;{}()= in its name, which Delta tables cannot have.'
    ]


def test_not_a_number_infinity_and_u0000_arrive(lake):
    rows = [(float("nan"), "a\x00"), (float("inf"), None), (float("-inf"), None)]
    run(lake, *rows, fields={"f": "float", "s": "string"})
    assert repr(lake.rows("f", "s")) == repr(sorted(rows, key=repr))


def test_a_table_that_is_not_ours_is_never_altered(lake):
    write_deltalake(f"{lake.folder}/people", pa.table({"id": [1], "_run_id": ["x"]}))
    (problem,) = lake.loader(plan_of()).check()
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
    DeltaTable.create(f"{lake.folder}/strict", schema=schema)
    (problem,) = lake.loader(plan_of(table="strict")).check()
    assert problem.message == (
        'The column "must" of "strict" may not be null, has no default, and is not in the schema.'
    )


def test_a_table_without_partitions_is_written_row_by_row(lake):
    own = {"_mapping_id": ["m" * 24, "b" * 24], "_run_id": ["r", "r"],
           "_loaded_at": pa.array([LOADED_AT] * 2, pa.timestamp("us", "UTC"))}  # fmt: skip
    write_deltalake(f"{lake.folder}/people", pa.table({"id": [1, 1], "name": ["a", "other"]} | own))
    assert lake.loader(plan_of()).has_rows()
    assert not lake.loader(plan_of(mapping_id="c" * 24)).has_rows()
    run(lake, (1, "A"), (2, "b"), token="t1", **UPSERT)
    assert lake.rows() == [(1, "A"), (1, "other"), (2, "b")]
    run(lake, (3, "c"), token="t2", write_mode="replace")
    assert lake.rows() == [(1, "other"), (3, "c")]


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
    found = lake.table()
    ranges = pa.table(found.get_add_actions(flatten=True)).sort_by("min.id").to_pylist()
    assert [(r["min.id"], r["max.id"], r["num_records"], r["null_count.name"]) for r in ranges] == [
        (0, 119, 120, 0), (120, 239, 120, 0), (240, 299, 60, 0),
    ]  # fmt: skip
    assert len(lake.rows()) == 300
