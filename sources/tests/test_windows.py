"""The window of a slot, in the queries of each database."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sources import windows

START = datetime(2026, 1, 30, tzinfo=UTC)
END = datetime(2026, 1, 31, 1, tzinfo=timezone(timedelta(hours=1)))
PG = "TIMESTAMPTZ '2026-01-30 00:00:00+00'"
MY = "FROM_UNIXTIME(1769731200)"


def filled(sql, kind):
    return windows.fill(sql, kind, START, END)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_moments_take_the_place_of_both(kind):
    start, end = (
        (PG, PG.replace("-30", "-31"))
        if kind == "postgresql"
        else (MY, "FROM_UNIXTIME(1769817600)")
    )
    sql = "SELECT 1 WHERE a >= {{slot_start}} AND a < {{slot_end}} AND b > {{slot_start}}"
    assert filled(sql, kind) == f"SELECT 1 WHERE a >= {start} AND a < {end} AND b > {start}"


@pytest.mark.parametrize("sql", [
    "'{{slot_start}}'", "'a''{{slot_start}}'", '"{{slot_start}}"', "-- {{slot_start}}",
    "{{ slot_start }}", "/* {{slot_start}} */", "/* open {{slot_start}}",
    "'open {{slot_start}}", "{{slot_middle}}",
])  # fmt: skip
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_what_is_quoted_stays(sql, kind):
    assert filled(sql, kind) == sql


@pytest.mark.parametrize("sql", [
    "$${{slot_start}}$$", "$a$ $$ {{slot_start}} $a$", "E'\\'{{slot_start}}'",
    "/* /* */ {{slot_start}} */",
])  # fmt: skip
def test_what_postgresql_quotes_stays(sql):
    assert filled(sql, "postgresql") == sql


@pytest.mark.parametrize("sql", ["# {{slot_start}}", "`{{slot_start}}`", "'\\'{{slot_start}}'"])
def test_what_mysql_quotes_stays(sql):
    assert filled(sql, "mysql") == sql


def test_what_follows_a_quote_is_filled():
    assert filled("'\\' || {{slot_start}}", "postgresql") == "'\\' || " + PG
    assert filled("a$b$ {{slot_start}} $b$", "postgresql") == f"a$b$ {PG} $b$"
    assert filled("-- a\n{{slot_start}}", "mysql") == "-- a\n" + MY
    assert filled("1--{{slot_start}}", "mysql") == "1--" + MY
