import time

import pytest

from lineage import asking
from lineage.asking import NoLineage


def of(*names):
    return [(None, name) for name in names]


@pytest.mark.parametrize(
    ("sql", "dialect", "expected"),
    [
        ("SELECT 1", "postgres", []),
        ('SELECT * FROM a, B, "B", s.a', "postgres", [*of("a", "b", "B"), ("s", "a")]),
        ("SELECT * FROM (SELECT * FROM a JOIN a x USING (id)) y", "mysql", of("a")),
        ("WITH w AS (SELECT * FROM a) SELECT * FROM w", "postgres", of("w", "a")),
    ],
)
def test_the_tables_of_a_query_are_told(sql, dialect, expected):
    assert sorted(asking.tables_of(sql, dialect), key=str) == sorted(expected, key=str)


def test_a_query_is_read_in_a_child(monkeypatch):
    tables = {"public": {"film": ["id", "title"]}}
    found = asking.columns_of("SELECT * FROM film", "postgres", tables, ["public"])
    assert found == [
        {
            "name": name,
            "transformation": "identity",
            "sources": [["public", "film", name]],
            "indirect": [],
        }
        for name in ("id", "title")
    ]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT FROM FROM (", "The query could not be read."),
        ("SELECT 1; SELECT 2", "Lineage is told of one query; found 2."),
        ("SELECT " + "(" * 30_000 + "1" + ")" * 30_000, "The query"),
        ("SELECT " + " + ".join(["1"] * 200_000), "The query"),
        ("SELECT * FROM " + ", ".join(f"t{n}" for n in range(300_000)), "The query"),
    ],
)
def test_a_hostile_query_is_given_up_with_a_sentence(sql, said):
    began = time.monotonic()
    with pytest.raises(NoLineage) as raised:
        asking.columns_of(sql, "postgres", {})
    assert raised.value.message.startswith(said)
    assert time.monotonic() - began < asking.READ_S + 10
