"""What a plan refuses before anything is read."""

import subprocess
import sys

import pytest

from engine.kinds import SourceColumn
from engine.plan import CursorWindow, Rule, check_source
from engine.problems import Problem

from .plans import a_plan, direct, join, split


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rules": []}, "The mapping has no rules, so it would write nothing."),
        (
            {"rules": [direct("a", "x"), direct("b", "x", "r2")]},
            'Two rules write the field "x".',
        ),
        (
            {"rules": [direct("a", "gone")]},
            'The schema has no field "gone", which a rule writes.',
        ),
        (
            {"write_mode": "upsert"},
            "A mapping that upserts needs at least one key field.",
        ),
        (
            {"write_mode": "upsert", "key_fields": ("x", "y")},
            'No rule writes the key field "y"; add one that does, or choose another key.',
        ),
        ({"write_mode": "upsert", "key_fields": ("x", "x")}, "A key field is named twice."),
        (
            {"write_mode": "replace", "cursor": CursorWindow("a")},
            "A mapping that replaces its rows has no cursor column.",
        ),
        ({"write_mode": "merge"}, 'The mapping has the unknown write mode "merge".'),
        ({"fields": {"x": "number"}}, 'The field "x" has the unknown type "number".'),
        ({"rules": [Rule("r1", "map", ("a",), ("x",))]}, 'The rule r1 has the unknown type "map".'),
        (
            {"rules": [split("a", "x")]},
            "The rule r1 has 1 target fields, which a split rule cannot have.",
        ),
        (
            {"rules": [join(["a"], "x")]},
            "The rule r1 has 1 source columns, which a join rule cannot have.",
        ),
        (
            {"rules": [split("a", "x", "y", delimiter="")]},
            "The rule r1 splits, and has no delimiter.",
        ),
        (
            {"rules": [join("ab", "x", None)]},
            "The rule r1 joins, and has no separator.",
        ),
        (
            {"rules": [split("a", "x", "y", overflow="wrap")]},
            'The rule r1 has the unknown overflow "wrap".',
        ),
    ],
)
def test_a_mapping_that_cannot_run_is_incomplete(given, message):
    with pytest.raises(Problem) as caught:
        a_plan(**{"rules": [direct("a", "x")], "fields": ["x", "y"], **given})
    problem = caught.value
    assert (problem.code, problem.stage, problem.message) == ("mapping_incomplete", "plan", message)
    assert problem.hint == "Complete the mapping, then run it again."


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        (
            [("A", "text")],
            "unknown_column",
            'The query does not return the column "a"; the nearest is "A".',
        ),
        (
            [("a", "text"), ("a", "text")],
            "ambiguous_column",
            'The query returns the column "a" twice; give each a name of its own, with AS.',
        ),
        (
            [("a", "binary")],
            "impossible_cast",
            'The column "a" is bytea, which never becomes the date of the field "x"; cast it in '
            "the query, or write it to another field.",
        ),
        (
            [("a", "boolean")],
            "mapping_incomplete",
            'The cursor column "a" is bytea, which is neither number, date, timestamp nor text; '
            "choose another, or cast it in the query.",
        ),
    ],
)
def test_a_source_that_does_not_fit_is_refused(source, code, message):
    cursor = CursorWindow("a") if code == "mapping_incomplete" else None
    plan = a_plan([direct("a", "x")], {"x": "date"}, cursor=cursor)
    with pytest.raises(Problem) as caught:
        check_source(plan, [SourceColumn(name, kind, "bytea") for name, kind in source])
    assert (caught.value.code, caught.value.message) == (code, message)


def test_a_source_that_fits_passes():
    plan = a_plan([direct("a", "x")], {"x": "date"}, cursor=CursorWindow("b"))
    check_source(plan, [SourceColumn("a", "text"), SourceColumn("b", "timestamptz")])


def test_a_plan_is_made_without_what_moves_rows():
    code = "import sys, engine.plan, engine.problems; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
