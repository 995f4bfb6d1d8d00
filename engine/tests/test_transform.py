"""Rules on batches: which rows come out, and what is told of the others."""

import pyarrow as pa
import pytest

from engine.kinds import SourceColumn
from engine.transform import transform

from .plans import a_batch, a_plan, direct, join, split


def run(rules, fields, batch_and_source, **given):
    plan = a_plan(rules, fields, **given)
    return transform(*batch_and_source, plan)


def test_fields_come_in_the_schemas_order_and_types():
    out = run(
        [direct("a", "n", "r1"), direct("b", "s", "r2")],
        {"s": "string", "unwritten": "date", "n": "integer"},
        a_batch(a=["1", "2"], b=["x", None]),
    )
    assert out.rows.to_pylist() == [
        {"s": "x", "unwritten": None, "n": 1},
        {"s": None, "unwritten": None, "n": 2},
    ]
    assert (out.kept, out.rejected, out.rejected_rows) == (None, [], 0)


def test_a_refused_value_rejects_its_row_and_is_told_of():
    plan = a_plan([direct("a", "n")], {"n": "integer"})
    out = transform(*a_batch(a=["1", "x", None, "2.5"]), plan, pa.array([101, 102, 103, 104]))
    assert out.rows.to_pylist() == [{"n": 1}, {"n": None}]
    assert out.kept.to_pylist() == [True, False, True, False]
    assert [entry.as_dict() for entry in out.rejected] == [
        {"row": 102, "rule_id": "r1", "source_columns": ["a"], "target_field": "n", "value": "x",
         "code": "not_a_number", "message": '"x" is not a number.'},
        {"row": 104, "rule_id": "r1", "source_columns": ["a"], "target_field": "n",
         "value": "2.5", "code": "not_whole", "message": '"2.5" is not a whole number.'},
    ]  # fmt: skip


def test_a_row_with_two_refused_values_counts_once_and_has_two_entries():
    out = run(
        [direct("a", "n", "r1"), direct("b", "d", "r2")],
        {"n": "integer", "d": "date"},
        a_batch(a=["x", "1", "y"], b=["y", "z", "2026-01-31"]),
    )
    assert [(e.row, e.rule_id) for e in out.rejected] == [
        (1, "r1"),
        (1, "r2"),
        (2, "r2"),
        (3, "r1"),
    ]
    assert (out.rejected_rows, out.rows.num_rows) == (3, 0)


def test_only_the_first_entries_are_kept_while_all_rows_are_counted():
    plan = a_plan([direct("a", "n")], {"n": "integer"})
    out = transform(*a_batch(a=["x"] * 5), plan, limit_entries=2)
    assert ([entry.row for entry in out.rejected], out.rejected_rows) == ([1, 2], 5)


def test_a_refused_value_is_shown_by_its_first_80_characters():
    out = run([direct("a", "n")], {"n": "integer"}, a_batch(a=["ä" * 100]))
    assert out.rejected[0].value == "ä" * 80


@pytest.mark.parametrize(
    ("text", "overflow", "pieces"),
    [
        ("a,b", "drop", ("a", "b")),
        ("a", "drop", ("a", None)),
        ("", "drop", ("", None)),
        (",", "drop", ("", "")),
        (" a , b ", "drop", (" a ", " b ")),
        ("a,b,c", "drop", ("a", "b")),
        ("a,b,,c", "keep", ("a", "b,,c")),
        ("a,b", "keep", ("a", "b")),
        ("a,b", "reject", ("a", "b")),
        (None, "drop", (None, None)),
        (None, "reject", (None, None)),
        (None, "keep", (None, None)),
    ],
)
def test_split_puts_pieces_into_fields_in_order(text, overflow, pieces):
    out = run([split("a", "x", "y", overflow=overflow)], ["x", "y"], a_batch(a=[text, "p,q"]))
    assert [tuple(row.values()) for row in out.rows.to_pylist()] == [pieces, ("p", "q")]


def test_split_rejects_pieces_too_many_where_the_rule_says_so():
    out = run([split("a", "x", "y", overflow="reject")], ["x", "y"], a_batch(a=["a,b,c", "a,b"]))
    assert out.rows.to_pylist() == [{"x": "a", "y": "b"}]
    (entry,) = out.rejected
    assert (entry.value, entry.code) == ("a,b,c", "too_many_pieces")
    assert entry.message == '"a,b,c" has more pieces than the rule has fields.'


@pytest.mark.parametrize(
    ("text", "delimiter", "pieces"),
    [
        ("a.b", ".", ["a", "b"]),
        ("a||b|c", "||", ["a", "b|c"]),
        ("aaaa", "aa", ["", ""]),
        ("a b", " ", ["a", "b"]),
        ("a\tb", "\t", ["a", "b"]),
        ("a\\db", r"\d", ["a", "b"]),
        ("größe→maß", "→", ["größe", "maß"]),
    ],
)
def test_a_delimiter_is_literal(text, delimiter, pieces):
    out = run([split("a", "x", "y", delimiter=delimiter)], ["x", "y"], a_batch(a=[text]))
    assert list(out.rows.to_pylist()[0].values()) == pieces


def test_pieces_become_the_types_of_their_fields():
    out = run(
        [split("a", "n", "d", "f")],
        {"n": "integer", "d": "date", "f": "float"},
        a_batch(a=["5, 2026-01-31 ,  ", "x,2026-02-30,1e400"]),
    )
    assert [str(value) for value in out.rows.to_pylist()[0].values()] == ["5", "2026-01-31", "None"]
    assert [(e.target_field, e.value, e.code) for e in out.rejected] == [
        ("n", "x", "not_a_number"),
        ("d", "2026-02-30", "no_such_date"),
        ("f", "1e400", "out_of_range"),
    ]


def test_split_and_join_take_the_text_of_any_value():
    batch = pa.record_batch(
        {
            "price": pa.array(["1.10"]),
            "size": pa.array([2.0]),
            "flag": pa.array([True]),
            "raw": pa.array([b"abc"]),
            "seen": pa.array(["2026-01-31 03:04:05.500000+00"]),
        }
    )
    kinds = ["decimal", "float64", "boolean", "binary", "timestamptz"]
    source = [SourceColumn(n, k) for n, k in zip(batch.schema.names, kinds, strict=True)]
    rules = [
        split("price", "whole", "cents", delimiter=".", rule_id="r1"),
        join(batch.schema.names, "all", "|", rule_id="r2"),
    ]
    out = run(rules, {"whole": "integer", "cents": "string", "all": "string"}, (batch, source))
    assert out.rows.to_pylist() == [
        {"whole": 1, "cents": "10", "all": "1.10|2|true|YWJj|2026-01-31T03:04:05.5Z"}
    ]


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (("a", "b", "c"), "a-b-c"),
        (("a", None, "c"), "a-c"),
        (("a", "", "c"), "a--c"),
        ((None, "", None), ""),
        ((None, None, None), None),
    ],
)
def test_join_leaves_out_nulls_and_keeps_empty_texts(texts, joined):
    columns = {name: [text] for name, text in zip("abc", texts, strict=True)}
    out = run([join("abc", "x", "-")], ["x"], a_batch(**columns))
    assert out.rows.to_pylist() == [{"x": joined}]


def test_a_joined_text_becomes_the_type_of_its_field():
    out = run(
        [join("ab", "at", "T")],
        {"at": "timestamp"},
        a_batch(a=["2026-01-31", "2026-01-31"], b=["03:04", "soon"]),
    )
    assert out.rows.num_rows == 1
    assert out.rejected[0].value == "2026-01-31Tsoon"
    assert out.rejected[0].source_columns == ("a", "b")


def test_a_cell_larger_than_allowed_is_refused_by_every_rule_that_reads_it():
    out = run(
        [direct("a", "x", "r1"), join("ab", "y", rule_id="r2"), direct("b", "z", "r3")],
        ["x", "y", "z"],
        a_batch(a=["x" * 101, "x" * 100], b=["1", "2"]),
        max_cell_bytes=100,
    )
    assert [(e.row, e.rule_id, e.code) for e in out.rejected] == [
        (1, "r1", "value_too_large"),
        (1, "r2", "value_too_large"),
    ]
    assert out.rejected[0].value == "x" * 80
    assert out.rows.num_rows == 1


def test_a_large_binary_cell_is_refused_and_shown_as_base64():
    batch = pa.record_batch({"a": pa.array([b"\xff" * 101])})
    source = [SourceColumn("a", "binary")]
    out = run([direct("a", "x")], ["x"], (batch, source), max_cell_bytes=100)
    assert (out.rejected[0].code, out.rejected[0].value) == ("value_too_large", "/" * 80)


def test_each_rule_tells_what_it_read():
    out = run(
        [
            direct("a", "n", "r1"),
            split("b", "x", "y", rule_id="r2"),
            join(("a", "c"), "z", rule_id="r3"),
        ],
        {"n": "integer", "x": "integer", "y": "integer", "z": "string"},
        a_batch(a=["1", None, "x"], b=["1,2,3", "p,q", None], c=["c", None, None]),
    )
    told = {rule: (c.read, c.null, c.rejected, c.dropped) for rule, c in out.counts.items()}
    assert told == {"r1": (3, 1, 1, 0), "r2": (3, 1, 1, 1), "r3": (3, 1, 0, 0)}


def test_columns_that_no_rule_reads_may_repeat():
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["1"]), pa.array(["2"]), pa.array(["3"])], names=["x", "x", "a"]
    )
    source = [SourceColumn("x", "text"), SourceColumn("x", "text"), SourceColumn("a", "text")]
    out = run([direct("a", "n")], {"n": "integer"}, (batch, source))
    assert out.rows.to_pylist() == [{"n": 3}]


def test_a_batch_without_rows_stays_one():
    out = run(
        [split("a", "x", "y"), join("ab", "z", rule_id="r2")], ["x", "y", "z"], a_batch(a=[], b=[])
    )
    assert out.rows.num_rows == 0
