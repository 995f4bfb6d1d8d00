"""What every loader does: all of a run or nothing, once, and only the mapping's own rows."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from engine.load.contract import Cursor
from engine.plan import CursorWindow
from engine.problems import Problem

from .targets import UPSERT, begun, messages, plan_of, race, refusals, rows_of, run

TYPES = {
    "s": "string", "i": "integer", "f": "float", "b": "boolean", "d": "date", "t": "timestamp",
}  # fmt: skip
TYPE_NAMES = {  # of an integer and of text
    "delta": ("long", "string"),
    "postgresql": ("bigint", "text"),
    "mysql": ("bigint", "longtext"),
}
MOMENTS = [datetime(2026, 1, 31, 3, 4, 5, part, tzinfo=UTC) for part in (1, 2)]


def test_a_run_makes_the_table_with_its_rows_and_three_columns_of_ours(target):
    done = run(target, (1, "a"), (2, None))
    own = ("_mapping_id", "_run_id", "_loaded_at")
    (first, second) = target.rows("id", "name", *own)
    assert first[:4] == (1, "a", "m" * 24, "a" * 24)
    assert first[4].replace(tzinfo=None).isoformat() == "2026-01-31T03:04:05"
    assert second[:2] == (2, None)
    version = 0 if target.kind == "delta" else None
    assert (done.version, done.rows_written, done.duplicates) == (version, 2, 0)


def test_every_type_arrives_as_it_was_sent(target):
    moment = datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    text = "größe 🦆 'quote' \"double\" \\back\\ %s %% \n\r\t , end "
    rows = [
        (text, 2**63 - 1, 0.1, True, date(9999, 12, 31), moment),
        ("", -(2**63), 1.7976931348623157e308, False, date(1, 1, 1), moment),
        (None,) * 6,
        ("\\.", 0, 5e-324, None, date(2024, 2, 29), datetime(9999, 12, 31, tzinfo=UTC)),
        ("NULL", 0, -0.0, None, None, datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ]
    run(target, *rows, fields=TYPES)
    found = [
        tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in row)
        for row in target.rows(*TYPES)
    ]
    assert sorted(found, key=repr) == sorted(rows, key=repr)


def test_staged_rows_are_seen_by_nobody_until_the_commit(target):
    run(target, (1, "a"), token="t1")
    plan = plan_of()
    loader = begun(target, plan)
    loader.stage(rows_of(plan, (2, "b")))
    staged = loader.staged()
    assert target.rows() == [(1, "a")]
    loader.commit("t2", staged, None)
    loader.close()
    assert target.rows() == [(1, "a"), (2, "b")]


def test_an_aborted_run_leaves_no_trace(target):
    plan = plan_of()
    loader = begun(target, plan)
    loader.stage(rows_of(plan, (1, "a")))
    loader.abort(loader.staged())
    assert target.is_empty()


def test_a_commit_that_is_repeated_finds_itself_done(target):
    plan = plan_of()
    loader = begun(target, plan)
    loader.stage(rows_of(plan, (1, "a")))
    staged = loader.staged()
    first = loader.commit("t1", staged, None)
    assert loader.commit("t1", staged, None) == first
    assert target.loader(plan).committed("t1")
    assert not target.loader(plan).committed("t2")
    loader.close()
    assert target.rows() == [(1, "a")]


def test_nothing_is_committed_before_there_is_a_table(target):
    loader = target.loader(plan_of())
    assert (loader.committed("t1"), loader.cursor(), loader.has_rows()) == (None, None, False)
    assert target.is_empty()


def test_an_attempt_that_another_one_overtook_commits_nothing(target):
    plan = plan_of()
    late = begun(target, plan)
    late.stage(rows_of(plan, (1, "late")))
    run(target, (1, "a"), token="t2")
    with pytest.raises(Problem) as caught:
        late.commit("t1", late.staged(), None)
    late.close()
    assert caught.value.code == "worker_lost"
    assert target.rows() == [(1, "a")]


def test_an_attempt_that_was_fenced_off_commits_nothing(target):
    plan = plan_of()
    late = begun(target, plan)
    late.stage(rows_of(plan, (1, "late")))
    target.loader(plan).fence()
    with pytest.raises(Problem, match="Another attempt of this mapping wrote"):
        late.commit("t1", late.staged(), None)
    late.close()
    run(target, (1, "a"), token="t2")
    assert target.rows() == [(1, "a")]


@pytest.mark.parametrize("there", [[], [(1, "a")]])
def test_a_later_attempt_that_finds_nothing_to_do_keeps_a_lost_one_out(target, there):
    plan = plan_of()
    if there:
        run(target, *there)
    late, again = begun(target, plan), begun(target, plan)
    late.stage(rows_of(plan, (2, "late")))
    again.commit("t3", again.staged(), None, fences=True)
    with pytest.raises(Problem, match="Another attempt of this mapping wrote"):
        late.commit("t2", late.staged(), None)
    assert again.committed("t3").rows_written == 0
    for loader in (late, again):
        loader.close()
    assert target.rows() == there


@pytest.mark.parametrize("turn", range(5))
def test_of_two_attempts_at_the_same_moment_one_commits(target, turn):
    plan = plan_of()
    loaders = [begun(target, plan) for _ in range(2)]
    for at, loader in enumerate(loaders):
        loader.stage(rows_of(plan, (at, "raced")))
    ends = []

    def attempt(loader, token):
        try:
            ends.append(loader.commit(token, loader.staged(), None).rows_written)
        except Problem as problem:
            ends.append(problem.code)
        loader.close()

    race([lambda at=at: attempt(loaders[at], f"t{at}") for at in range(2)])
    assert sorted(ends, key=str) == [1, "worker_lost"]
    assert len(target.rows()) == 1


@pytest.mark.parametrize("given", [{}, UPSERT, {"write_mode": "replace"}])
def test_mappings_that_write_one_table_at_once_all_succeed(target, given):
    def write(at):
        for turn in range(3):
            run(target, (turn, f"{at}"), token=f"{turn}", mapping_id=f"{at}" * 24, **given)

    race([lambda at=at: write(at) for at in range(4)])
    turns = [2] if given.get("write_mode") == "replace" else range(3)
    assert target.rows() == [(turn, f"{at}") for turn in turns for at in range(4)]


def test_replace_changes_only_the_rows_of_its_mapping(target):
    run(target, (1, "other"), token="t1", mapping_id="b" * 24)
    run(target, (1, "a"), (2, "b"), token="t2", write_mode="replace")
    run(target, (3, "c"), token="t3", write_mode="replace")
    assert target.rows() == [(1, "other"), (3, "c")]


def test_replace_by_an_empty_source_keeps_the_rows_unless_it_is_a_full_refresh(target):
    run(target, (1, "a"), token="t1", write_mode="replace")
    run(target, token="t2", write_mode="replace", empty_source=True)
    assert target.rows() == [(1, "a")]
    run(target, token="t3", write_mode="replace", empty_source=True, full_refresh=True)
    assert target.rows() == []


def test_replace_removes_the_rows_where_all_new_ones_were_refused(target):
    run(target, (1, "a"), token="t1", write_mode="replace")
    run(target, token="t2", write_mode="replace")
    assert target.rows() == []


def test_upsert_overwrites_by_key_and_adds_the_rest(target):
    run(target, (1, "other"), token="t0", mapping_id="b" * 24)
    run(target, (1, "a"), (2, "b"), token="t1", **UPSERT)
    done = run(target, (2, "B"), (3, "c"), token="t2", **UPSERT)
    assert target.rows() == [(1, "a"), (1, "other"), (2, "B"), (3, "c")]
    assert (done.rows_written, done.duplicates) == (2, 0)


def test_a_key_that_comes_twice_in_a_run_has_the_row_that_came_last(target):
    done = run(target, (1, "a"), (2, "b"), (1, "A"), (1, "last"), **UPSERT)
    assert target.rows() == [(1, "last"), (2, "b")]
    assert (done.rows_written, done.duplicates) == (2, 2)


@pytest.mark.parametrize(
    ("data_type", "least", "most"),
    [
        (pa.int64(), 7, 9),
        (pa.timestamp("us", "UTC"), *MOMENTS),
        (pa.string(), "B", "a"),
        (pa.decimal256(76, 38), "-0.5", "18446744073709551615"),
    ],
)
def test_a_key_that_comes_twice_has_the_row_with_the_greatest_cursor(
    target, data_type, least, most
):
    order = pa.array([least, most, None, least, most]).cast(data_type)
    rows = [(1, "5"), (1, "9"), (1, "null"), (1, "7"), (1, "9, later")]
    done = run(target, *rows, order=order, **UPSERT)
    assert (target.rows(), done.duplicates) == ([(1, "9, later")], 4)


def test_keys_are_equal_letter_by_letter_and_field_by_field(target):
    given = {"fields": {"a": "string", "b": "string", "n": "integer"}, "write_mode": "upsert",
             "key_fields": ("a", "b")}  # fmt: skip
    rows = [("x", "y", 1), ("X", "y", 2), ("x ", "y", 3), ("xy", "", 4), ("", "xy", 5),
            ("1:x", "y", 6), ("é", "y", 7), ("e\u0301", "y", 8), ("e", "y", 9)]  # fmt: skip
    done = run(target, *rows, token="t1", **given)
    assert done.duplicates == 0
    run(target, ("x", "y", 10), ("xy", "", 40), ("e", "y", 90), token="t2", **given)
    numbers = sorted(n for (n,) in target.rows("n"))
    assert numbers == [2, 3, 5, 6, 7, 8, 10, 40, 90]


@pytest.mark.parametrize(
    ("data_type", "old", "new"),
    [
        ("float", -0.0, 0.0),
        ("float", 0.1, 0.1),
        ("boolean", True, True),
        ("date", date(2026, 1, 31), date(2026, 1, 31)),
        ("timestamp", MOMENTS[0], MOMENTS[0]),
        ("string", "", ""),
        ("string", "ß" * 255, "ß" * 255),
    ],
)
def test_keys_of_every_type_meet(target, data_type, old, new):
    given = {"fields": {"id": data_type, "name": "string"}, **UPSERT}
    run(target, (old, "old"), token="t1", **given)
    run(target, (new, "new"), token="t2", **given)
    assert target.rows("name") == [("new",)]


def test_null_in_a_key_is_refused(target):
    found = refusals(target, plan_of(**UPSERT), (1, "a"), (None, "b"))
    assert found == [(1, "id", "null_key")]


def test_the_cursor_lies_with_the_rows(target):
    cursor = Cursor("id", "2", ("d1", "d2", "d2"))
    plan = plan_of(cursor=CursorWindow("id"))
    loader = begun(target, plan)
    loader.stage(rows_of(plan, (2, "b")))
    loader.commit("t1", loader.staged(), cursor)
    loader.close()
    assert target.loader(plan).cursor() == cursor
    again = begun(target, plan)
    again.commit("t2", again.staged(), Cursor("id", "3"))
    again.close()
    assert target.loader(plan).cursor() == Cursor("id", "3")
    other = target.loader(plan_of(mapping_id="b" * 24))
    assert (other.cursor(), other.has_rows()) == (None, False)


def test_a_run_without_a_cursor_ends_the_one_there_was(target):
    run(target, (1, "a"), token="t1", cursor=Cursor("id", "1"))
    run(target, (2, "b"), token="t2")
    loader = target.loader(plan_of())
    assert (loader.cursor(), loader.has_rows()) == (None, True)
    loader.close()


def test_a_column_that_the_schema_gained_is_added_at_the_end(target):
    run(target, (1, "a"), token="t1")
    run(target, (2, 0.5, "b"), token="t2", fields={"id": "integer", "f": "float", "name": "string"})
    assert target.rows("id", "f") == [(1, None), (2, 0.5)]


def test_a_column_that_the_schema_lost_stays_and_is_null(target):
    run(target, (1, "a"), token="t1")
    run(target, (2,), token="t2", fields={"id": "integer"})
    assert target.rows() == [(1, "a"), (2, None)]


def test_a_table_that_does_not_fit_is_told_of(target):
    run(target, (1, "a"))
    old, new = TYPE_NAMES[target.kind]
    assert messages(target, {"id": "string", "name": "string"}) == [
        f'The column "id" of "people" is {old}; the schema makes it {new}.'
    ]
    assert messages(target, {"ID": "integer", "name": "string"}) == [
        'The column "id" of "people" differs only in case from the schema\'s field "ID".'
    ]
    assert messages(target, {"_run_id": "string"}) == [
        'The schema\'s field "_run_id" is called like a column of the service.'
    ]


def test_many_rows_come_whole(target):
    plan = plan_of()
    loader = begun(target, plan)
    for start in range(0, 12_000, 4_000):
        loader.stage(rows_of(plan, *[(n, f"text {n}") for n in range(start, start + 4_000)]))
    loader.commit("t1", loader.staged(), None)
    loader.close()
    assert sorted(target.rows()) == [(number, f"text {number}") for number in range(12_000)]
