from collections import Counter

import pytest

from engine.columns import misnamed, misplaced, nearest
from engine.kinds import SourceColumn
from engine.mismatches import kind_of, mismatches
from engine.plan import Rule

COLUMNS = [
    SourceColumn("id", "integer", "integer"),
    SourceColumn("photo", "binary", "bytea"),
    SourceColumn("twice", "text", "text"),
    SourceColumn("twice", "text", "text"),
]
TYPES = {"key": "integer", "day": "date", "text": "string"}


def told(*rules):
    return [(one.code, one.message, one.place) for one in mismatches(rules, TYPES, COLUMNS)]


def rule(source, target, kind="direct"):
    return Rule("r", kind, tuple(source.split()), tuple(target.split()))


def test_what_fits_is_nothing():
    assert told(rule("id", "key"), rule("photo", "text"), rule("id photo", "day", "join")) == []


def test_everything_that_does_not_fit_is_told_at_once():
    found = told(rule("idd", "key"), rule("twice", "text"), rule("photo", "day"), rule("id", "day"))
    assert found == [
        (
            "unknown_column",
            'The query does not return the column "idd"; the nearest is "id".',
            "source_columns.0",
        ),
        (
            "ambiguous_column",
            'The query returns the column "twice" twice; give each a name of its own, with AS.',
            "source_columns.0",
        ),
        (
            "impossible_cast",
            'The column "photo" is bytea, which never becomes the date of the field "day"; cast it '
            "in the query, or write it to another field.",
            "target_fields.0",
        ),
        (
            "impossible_cast",
            'The column "id" is integer, which never becomes the date of the field "day"; cast it '
            "in the query, or write it to another field.",
            "target_fields.0",
        ),
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["id", "name"], 'it returns "id", "name"'),
        ([f"c{at}" for at in range(12)], 'it returns "c0", "c1", "c2", "c3", "c4", "c5", "c6", '
         '"c7", "c8", "c9", …'),
        ([], "it returns none"),
    ],
)  # fmt: skip
def test_where_no_name_is_near_the_columns_are_told(names, said):
    found = misnamed("zzz", Counter(names))
    assert found == ("unknown_column", f'The query does not return the column "zzz"; {said}.')


@pytest.mark.parametrize(
    ("name", "names", "near"),
    [
        ("ID", ["x", "id"], "id"),
        ("custmer", ["customer", "custom"], "customer"),
        ("zzz", ["id"], None),
        ("a", [], None),
    ],
)
def test_the_nearest_name_is_told_where_one_is_near(name, names, near):
    assert nearest(name, names) == near


@pytest.mark.parametrize(
    ("database_type", "data_type", "kind"),
    [
        ("bigint", "integer", "integer"),
        ("numeric(10,2)", "float", "float64"),
        ("boolean", "boolean", "boolean"),
        ("tinyint(1)", "boolean", "tinyint1"),
        ("time(3) without time zone", "string", "time"),
        ("time with time zone", "string", "text"),
        ("time", "string", "time"),
        ("bytea", None, "binary"),
        ("mediumblob", None, "binary"),
        ("jsonb", None, "json"),
        ("date[]", None, "json"),
        ("int4range", None, "text"),
        ("timestamp with time zone", "timestamp", "timestamp"),
    ],
)
def test_the_kind_of_a_described_column(database_type, data_type, kind):
    assert kind_of(database_type, data_type) == kind


def test_columns_that_a_mapping_names_itself_are_of_the_query_and_have_an_order():
    assert list(misplaced(None, "", COLUMNS)) == []
    assert list(misplaced("id", "photo", COLUMNS)) == []
    found = [(one.field, one.code, one.message) for one in misplaced("idd", "twice", COLUMNS)]
    assert found == [
        (
            "cursor_column",
            "unknown_column",
            'The cursor column: The query does not return the column "idd"; the nearest is "id".',
        ),
        (
            "split_column",
            "ambiguous_column",
            'The split column: The query returns the column "twice" twice; give each a name of its '
            "own, with AS.",
        ),
    ]
    (found,) = misplaced("photo", None, COLUMNS)
    assert (found.code, found.message) == (
        "mapping_incomplete",
        'The cursor column "photo" is bytea, which is neither number, date, timestamp nor text; '
        "choose another, or cast it in the query.",
    )


@pytest.mark.parametrize(
    ("database_type", "kind", "is_possible"),
    [
        ("integer[]", "json", False),
        ("jsonb", "json", True),
        ("uuid", "text", False),
        ("interval day to second", "text", False),
        ("int4range", "text", False),
        ("price_range", "text", True),
        ("time(3) with time zone", "text", False),
        ("multipoint", "text", False),
        ("bit(3)", "text", True),
        ("address", "record", False),
        ("text", "text", True),
    ],
)
def test_what_is_text_alone_never_becomes_a_number(database_type, kind, is_possible):
    column = SourceColumn("c", kind, database_type)
    assert column.can_become("integer") == is_possible
    assert column.can_become("string")


@pytest.mark.parametrize("database_type", ["bit(3)", "bit varying(5)", "money", "json"])
def test_what_is_a_number_at_most_never_becomes_a_moment(database_type):
    column = SourceColumn("c", "text", database_type)
    assert column.can_become("integer")
    assert not column.can_become("date")
    assert not column.can_become("timestamp")


@pytest.mark.parametrize(
    ("database_type", "kind", "has_order"),
    [
        ("numeric(10,2)", "decimal", True),
        ("timestamp with time zone", "timestamptz", True),
        ("character varying(20)", "text", True),
        ("varchar", "text", True),
        ("public.citext", "text", True),
        ("uuid", "text", False),
        ("interval", "text", False),
        ("mood", "text", False),
        ("enum", "text", False),
        ("point", "text", False),
        ("boolean", "boolean", False),
        ("time", "time", False),
    ],
)
def test_a_cursor_is_a_number_a_moment_or_text(database_type, kind, has_order):
    assert SourceColumn("c", kind, database_type).has_order == has_order
