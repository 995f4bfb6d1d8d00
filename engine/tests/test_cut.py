"""Ranges of a column: every value lies in one of them, whatever its kind."""

import random
from datetime import date, datetime
from decimal import Decimal

import pytest

from engine.cut import ranges_of
from engine.launchers.choice import Means


def ends(kind, least, greatest, count=4):
    return [each.least for each in ranges_of(0, kind, (least, greatest), count)][1:]


@pytest.mark.parametrize(("kind", "least", "greatest", "expected"), [
    ("integer", "1", "100", ["26", "51", "76"]),
    ("integer", "-9223372036854775808", "9223372036854775807",
     ["-4611686018427387904", "0", "4611686018427387904"]),
    ("integer", "7", "7", []),
    ("integer", "7", "8", ["8"]),
    ("decimal", "0.1", "0.5", ["0.200000000000000", "0.300000000000000", "0.400000000000000"]),
    ("float64", "-2e300", "2e300", ["-1e+300", "0e+300", "1e+300"]),
    ("date", "2026-01-01", "2026-01-09", ["2026-01-03", "2026-01-05", "2026-01-07"]),
    ("timestamp", "2026-01-01T00:00:00", "2026-01-01T00:00:02.5",
     ["2026-01-01T00:00:00.625000", "2026-01-01T00:00:01.250000", "2026-01-01T00:00:01.875000"]),
    ("timestamptz", "2026-01-01T00:00:00Z", "2026-01-01T04:00:00Z",
     ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"]),
])  # fmt: skip
def test_ends_lie_between_the_bounds(kind, least, greatest, expected):
    found = ends(kind, least, greatest)
    read = {"date": date.fromisoformat, "timestamp": datetime.fromisoformat,
            "timestamptz": datetime.fromisoformat}.get(kind, Decimal)  # fmt: skip
    assert list(map(read, found)) == list(map(read, expected))


@pytest.mark.parametrize(("kind", "least", "greatest"), [
    ("integer", None, None), ("float64", "0", "NaN"), ("float64", "-Infinity", "1"),
    ("timestamp", "2026-01-01T00:00:00", "infinity"), ("date", "0000-00-00", "2026-01-01"),
])  # fmt: skip
def test_bounds_that_have_no_middle_give_one_open_range(kind, least, greatest):
    (found,) = ranges_of(3, kind, (least, greatest), 8)
    assert (found.column, found.least, found.below, found.nulls) == (3, None, None, True)


def test_each_number_lies_in_one_range():
    chance = random.Random(1)  # noqa: S311 - no secret
    for _ in range(200):
        low, high = sorted(chance.randrange(-(10**6), 10**6) for _ in range(2))
        found = ranges_of(0, "integer", (str(low), str(high)), chance.randrange(1, 30))
        for value in (low, high, chance.randint(low, high), low - 5, high + 5):
            inside = [
                each for each in found
                if (each.least is None or int(each.least) <= value)
                and (each.below is None or value < int(each.below))
            ]  # fmt: skip
            assert len(inside) == 1
        assert [each.nulls for each in found] == [True] + [False] * (len(found) - 1)


@pytest.mark.parametrize(("engine", "spark_rows", "rows", "expected"), [
    ("auto", None, 10**9, "embedded"),
    ("auto", 1000, 999, "embedded"),
    ("auto", 1000, 1000, "spark"),
    ("auto", 1000, None, "embedded"),
    ("embedded", 1000, 10**9, "embedded"),
    ("spark", 1000, 1, "spark"),
])  # fmt: skip
def test_auto_takes_spark_for_many_rows(engine, spark_rows, rows, expected):
    assert Means(engine, spark_rows=spark_rows).for_rows(rows) == expected
