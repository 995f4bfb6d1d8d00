"""Parts of runs and their one commit: what is read, refused, known, and told."""

import pickle

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from engine.kinds import SourceColumn
from engine.load.contract import Cursor
from engine.load.delta import DeltaLoader
from engine.part import Part, TooManyRejected, commit, last_cursor, run_part
from engine.plan import CursorWindow
from engine.problems import Problem

from .plans import a_batch, a_plan, direct, split


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


def loader_of(plan, lake):
    loader = DeltaLoader(plan, lake)
    loader.begin()
    return loader


def table(lake, *columns):
    rows = DeltaTable(f"{lake}/people").to_pyarrow_table().to_pylist()
    return sorted(tuple(row[column] for column in columns) for row in rows)


def people(*rows, kinds=("integer", "text")):
    """Return batches of one row each, and their description."""
    batches = [pa.record_batch({"id": [row[0]], "name": [row[1]]}) for row in rows]
    schema = pa.schema([("id", pa.string()), ("name", pa.string())])
    source = [
        SourceColumn(name, kind, kind) for name, kind in zip(("id", "name"), kinds, strict=True)
    ]
    return source, [batch.cast(schema) for batch in batches]


def plan_of(**given):
    rules = [direct("id", "id", "r1"), direct("name", "name", "r2")]
    return a_plan(rules, {"id": "integer", "name": "string"}, **given)


def run(lake, plan, *rows, token="t1", last=None, kinds=("integer", "text")):  # noqa: S107
    source, batches = people(*rows, kinds=kinds)
    loader = loader_of(plan, lake)
    part = run_part(plan, source, batches, loader, last=last)
    return part, commit(plan, loader, [part], token, last)


def test_a_run_reads_transforms_and_commits(lake):
    part, outcome = run(lake, plan_of(), ("1", "a"), ("2", "b"))
    assert table(lake, "id", "name") == [(1, "a"), (2, "b")]
    assert (part.rows_read, part.rows_rejected, outcome.committed.rows_written) == (2, 0, 2)
    assert (outcome.cursor, outcome.warnings) == (None, [])


def test_refused_rows_within_the_limit_are_left_out_and_told_of(lake):
    part, outcome = run(lake, plan_of(max_rejected=1), ("1", "a"), ("99999999999999999999", "b"))
    assert table(lake, "id") == [(1,)]
    assert [(entry.row, entry.code) for entry in part.rejected] == [(2, "out_of_range")]
    assert [warned.code for warned in outcome.warnings] == ["rows_rejected"]


def test_a_run_ends_as_soon_as_too_many_rows_are_refused(lake):
    plan = a_plan([direct("a", "n")], {"n": "integer"}, max_rejected=1)
    _, source = a_batch(a=[])
    taken = []

    def batches():
        for text in ("1", "x", "y", "z"):
            taken.append(text)
            yield a_batch(a=[text])[0]

    with pytest.raises(TooManyRejected) as caught:
        run_part(plan, source, batches(), loader_of(plan, lake))
    problem = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - as a child hands it over
    assert (problem.code, problem.stage) == ("too_many_rejected", "transform")
    assert problem.message == "2 rows were refused; the mapping allows 1."
    assert [entry.row for entry in problem.part.rejected] == [2, 3]
    assert taken == ["1", "x", "y"]


def test_parts_are_counted_together_against_the_limit(lake):
    plan = a_plan([direct("a", "n")], {"n": "integer"}, max_rejected=1)
    loader = loader_of(plan, lake)
    parts = []
    for text in ("x", "y"):
        batch, source = a_batch(a=[text])
        parts.append(run_part(plan, source, [batch], loader_of(plan, lake)))
    with pytest.raises(TooManyRejected):
        commit(plan, loader, parts, "t1")


def test_parts_that_were_made_elsewhere_are_committed_as_one(lake):
    plan = a_plan([split("a", "x", "y")], ["x", "y"])
    parts = []
    for text in ("a,b", "c,d,e"):
        batch, source = a_batch(a=[text])
        part = run_part(plan, source, [batch], loader_of(plan, lake))
        parts.append(pickle.loads(pickle.dumps(part)))  # noqa: S301 - as a child hands it over
    commit(plan, loader_of(plan, lake), parts, "t1")
    assert table(lake, "x", "y") == [("a", "b"), ("c", "d")]
    whole = Part()
    for part in parts:
        whole.add(part)
    assert (whole.counts["r1"].read, whole.counts["r1"].dropped) == (2, 1)


def test_a_null_key_is_refused_like_any_value(lake):
    plan = plan_of(write_mode="upsert", key_fields=("id",), max_rejected=None)
    part, _ = run(lake, plan, ("1", "a"), (None, "b"), ("x", "c"), kinds=("text", "text"))
    assert table(lake, "id") == [(1,)]
    assert part.rows_rejected == 2
    assert part.rejected[0].as_dict() == {
        "row": 2, "rule_id": "r1", "source_columns": ["id"], "target_field": "id",
        "value": None, "code": "null_key", "message": 'The key field "id" is null.',
    }  # fmt: skip
    assert (part.rejected[1].row, part.rejected[1].code) == (3, "not_a_number")


def test_duplicate_keys_are_told_of(lake):
    plan = plan_of(write_mode="upsert", key_fields=("id",))
    _, outcome = run(lake, plan, ("1", "a"), ("1", "b"))
    assert table(lake, "name") == [("b",)]
    assert [(w.code, w.message) for w in outcome.warnings] == [
        ("duplicate_keys", "1 rows gave way to another with the same key.")
    ]


def test_an_empty_source_leaves_what_replace_would_remove(lake):
    plan = plan_of(write_mode="replace")
    run(lake, plan, ("1", "a"))
    _, outcome = run(lake, plan, token="t2")
    assert table(lake, "id") == [(1,)]
    assert [warned.code for warned in outcome.warnings] == ["empty_source"]


def test_a_full_refresh_that_appends_is_warned_of(lake):
    run(lake, plan_of(), ("1", "a"))
    _, outcome = run(lake, plan_of(full_refresh=True), ("1", "a"), token="t2")
    assert len(table(lake, "id")) == 2
    assert [warned.code for warned in outcome.warnings] == ["appended_again"]


def test_progress_is_told_after_each_batch_and_may_end_the_part(lake):
    plan = plan_of()
    source, batches = people(("1", "a"), ("2", "b"), ("3", "c"))
    told = []

    def stop_at_two(part):
        told.append(part.rows_read)
        if part.rows_read == 2:
            raise Problem("cancelled", "Stop.", hint="", stage="extract")

    with pytest.raises(Problem, match="Stop"):
        run_part(plan, source, batches, loader_of(plan, lake), on_progress=stop_at_two)
    assert told == [1, 2]


def test_a_source_that_does_not_fit_is_refused_before_a_row_is_read(lake):
    plan = plan_of()
    with pytest.raises(Problem) as caught:
        run_part(plan, [SourceColumn("id", "integer")], iter([]), loader_of(plan, lake))
    assert caught.value.code == "unknown_column"


def window(after, until, **given):
    return plan_of(cursor=CursorWindow("id", after, until), **given)


def test_rows_at_the_edge_are_read_once_and_later_ones_with_the_same_value_too(lake):
    _, first = run(lake, window(None, "2"), ("1", "a"), ("2", "b"), ("2", "b"))
    assert first.cursor.value == "2"
    assert len(first.cursor.edge) == 2
    last = DeltaLoader(window(None, None), lake).cursor()
    assert last == first.cursor
    rows = [("2", "b"), ("2", "late"), ("2", "b"), ("2", "b"), ("3", "c")]
    part, second = run(lake, window("2", "3"), *rows, token="t2", last=last)
    assert part.rows_read == 3
    assert table(lake, "id", "name") == [
        (1, "a"), (2, "b"), (2, "b"), (2, "b"), (2, "late"), (3, "c"),
    ]  # fmt: skip
    assert (second.cursor.value, len(second.cursor.edge)) == ("3", 1)


def test_a_run_that_finds_nothing_new_knows_the_edge_still(lake):
    _, first = run(lake, window(None, "2"), ("2", "a"), ("2", "b"))
    part, second = run(lake, window("2", "2"), ("2", "a"), ("2", "b"), token="t2",
                       last=first.cursor)  # fmt: skip
    assert (part.rows_read, second.committed.version) == (0, None)
    assert second.cursor == first.cursor
    part, _ = run(lake, window("2", "2"), ("2", "a"), ("2", "c"), ("2", "b"), token="t3",
                  last=second.cursor)  # fmt: skip
    assert part.rows_read == 1
    assert table(lake, "name") == [("a",), ("b",), ("c",)]


def test_refused_rows_at_the_edge_are_known_too(lake):
    kinds = ("text", "text")
    plan = a_plan(
        [direct("name", "n", "r1")], {"n": "integer"}, max_rejected=1,
        cursor=CursorWindow("id", None, "2"),
    )  # fmt: skip
    source, batches = people(("2", "x"), ("2", "5"), kinds=kinds)
    loader = loader_of(plan, lake)
    part = run_part(plan, source, batches, loader)
    outcome = commit(plan, loader, [part], "t1")
    again = run_part(plan, source, batches, loader_of(plan, lake), last=outcome.cursor)
    assert len(outcome.cursor.edge) == 2
    assert (part.rows_rejected, again.rows_rejected) == (1, 1)
    plan = a_plan(
        [direct("name", "n", "r1")], {"n": "integer"}, cursor=CursorWindow("id", "2", "2")
    )
    known = run_part(plan, source, batches, loader_of(plan, lake), last=outcome.cursor)
    assert (known.rows_read, known.rows_rejected) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "value", "again"),
    [
        ("decimal", "1.0", "1.00"),
        ("integer", "10", "10"),
        ("float64", "0.5", "0.5"),
        ("float64", "0", "-0"),
        ("date", "2026-01-31", "2026-01-31"),
        ("timestamp", "2026-01-31T03:04:05.5", "2026-01-31 03:04:05.500000"),
        ("timestamptz", "2026-01-31T03:04:05Z", "2026-01-31 03:04:05+00"),
        ("text", "1.0", "1.0"),
    ],
)
def test_an_edge_is_found_by_the_value_of_every_kind(lake, kind, value, again):
    plan = a_plan([direct("name", "name")], ["name"], cursor=CursorWindow("id", None, value))
    source, batches = people((again, "a"), kinds=(kind, "text"))
    part = run_part(plan, source, batches, loader_of(plan, lake))
    assert len(part.edge) == 1


def test_texts_that_only_look_alike_are_different_edges(lake):
    plan = a_plan([direct("name", "name")], ["name"], cursor=CursorWindow("id", None, "1.0"))
    source, batches = people(("1", "a"), ("1.00", "b"), kinds=("text", "text"))
    assert run_part(plan, source, batches, loader_of(plan, lake)).edge == []


def test_rows_without_a_cursor_value_are_told_of(lake):
    _, outcome = run(lake, window(None, "1"), ("1", "a"), (None, "b"))
    assert [warned.code for warned in outcome.warnings] == ["null_cursor"]


def test_a_cursor_stays_where_the_source_had_no_value(lake):
    last = Cursor("id", "2", ("d",))
    _, outcome = run(lake, window("2", None), last=last)
    assert outcome.cursor == last


def test_more_rows_than_an_edge_may_have_are_refused_before_the_commit(lake, monkeypatch):
    monkeypatch.setattr("engine.part.MOST_EDGE_ROWS", 1)
    with pytest.raises(Problem, match="2 rows share the cursor's last value"):
        run(lake, window(None, "1"), ("1", "a"), ("1", "b"))


@pytest.mark.parametrize(
    ("kind", "least", "greatest"),
    [
        ("integer", "9", "10"),
        ("integer", "18446744073709551614", "18446744073709551615"),
        ("decimal", "-10.5", "9.25"),
        ("decimal", "0." + "0" * 37 + "1", "0." + "0" * 37 + "2" + "5" * 20),
        ("decimal", "1", "NaN"),
        ("decimal", "-Infinity", "-1" + "0" * 40),
        ("decimal", "9", "1" + "0" * 40),
        ("float64", "9.5", "1e+15"),
        ("float64", "-9.5", "-1e-300"),
        ("float64", "-Infinity", "-1e+300"),
        ("float64", "Infinity", "NaN"),
        ("date", "1999-12-31", "2000-01-01"),
        ("date", "9999-12-30", "infinity"),
        ("date", "0044-03-15 BC", "0001-01-02"),
        ("timestamp", "2026-01-31 03:04:05.4", "2026-01-31 03:04:05.50"),
        ("timestamp", "-infinity", "2026-01-31 03:04:05"),
        ("timestamptz", "2026-01-31 03:04:05+00", "2026-01-31 03:04:06+00"),
        ("timestamptz", "2026-01-31 03:04:05+00", "10000-01-01 00:00:00+00"),
        ("text", "B", "a"),
    ],
)
@pytest.mark.parametrize("greatest_first", [True, False])
def test_of_one_key_the_row_with_the_greatest_cursor_stays(
    lake, kind, least, greatest, greatest_first
):
    plan = a_plan(
        [direct("key", "key", "r1"), direct("label", "label", "r2")],
        ["key", "label"],
        write_mode="upsert",
        key_fields=("key",),
        cursor=CursorWindow("at", None, greatest),
    )
    rows = [(greatest, "greatest"), (least, "least")]
    source = [
        SourceColumn("key", "text"),
        SourceColumn("label", "text"),
        SourceColumn("at", kind, kind),
    ]
    batches = [
        pa.record_batch({"key": ["k"], "label": [label], "at": [value]})
        for value, label in (rows if greatest_first else rows[::-1])
    ]
    loader = loader_of(plan, lake)
    commit(plan, loader, [run_part(plan, source, batches, loader)], "t1")
    assert table(lake, "label") == [("greatest",)]


def test_a_run_begins_where_the_last_one_ended(lake):
    assert last_cursor(window(None, None), loader_of(window(None, None), lake)) is None
    _, first = run(lake, window(None, "1"), ("1", "a"))
    plan = window(None, None)
    assert last_cursor(plan, loader_of(plan, lake)) == first.cursor
    assert last_cursor(plan_of(), loader_of(plan_of(), lake)) is None
    again = window(None, None, full_refresh=True)
    assert last_cursor(again, loader_of(again, lake)) is None


@pytest.mark.parametrize(
    ("before", "lost"),
    [({}, "no value"), ({"cursor": CursorWindow("name", None, "a")}, 'one of "name"')],
)
def test_rows_without_a_value_of_this_cursor_have_lost_it(lake, before, lost):
    run(lake, plan_of(**before), ("1", "a"))
    plan = window(None, None)
    with pytest.raises(Problem) as caught:
        last_cursor(plan, loader_of(plan, lake))
    assert (caught.value.code, caught.value.stage) == ("cursor_lost", "plan")
    assert caught.value.message == (
        f'"people" has {lost} for the cursor "id" beside the rows of the mapping.'
    )
    assert "full_refresh" in caught.value.hint
