"""What the service asks of targets and queries beside runs."""

import pytest

from engine import asking
from engine.target import TargetParams
from sources.errors import QueryFailed, SourceUnreachable

from .sources import a_run_plan, params_of, ran, target_of
from .targets import FIELDS, UPSERT

COLUMNS = list(FIELDS.items())
OWN = ["_mapping_id", "_run_id", "_loaded_at"]


def test_a_target_that_can_be_written_is_left_as_it_was(target):
    found = asking.test_target(target_of(target), 10)
    assert found.product in ("Delta Lake", "PostgreSQL", "MariaDB", "MySQL")
    assert found.left == ()
    assert target.is_empty()


def test_a_folder_that_is_none_says_so(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SourceUnreachable) as caught:
            asking.test_target(TargetParams("delta", uri=str(path)), 10)
        assert caught.value.error_code == "not_a_folder"


def test_a_schema_that_is_not_there_says_so(postgres):
    target = TargetParams("postgresql", database=params_of(postgres), db_schema="nowhere")
    with pytest.raises(SourceUnreachable) as caught:
        asking.test_target(target, 10)
    assert caught.value.error_code == "unknown_schema"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "authentication_failed"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "connection_refused"),
        ({"AWS_ENDPOINT_URL": "http://169.254.169.254"}, "host_not_allowed"),
    ],
)
def test_an_object_store_is_asked_as_told_and_by_nobody_else(options, code):
    given = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s3cr3t"} if options else {}
    target = TargetParams("delta", uri="s3://bucket/lake", options=options | given)
    with pytest.raises(SourceUnreachable) as caught:
        asking.test_target(target, 10)
    assert caught.value.error_code == code
    assert "s3cr3t" not in caught.value.message
    assert "s3cr3t" not in repr(target)


def test_rows_come_newest_first_with_our_columns_last(postgres, target):
    sql = "SELECT 1 AS id, 'a' AS name UNION ALL SELECT 2, 'b'"
    for number in range(3):
        ran(a_run_plan(sql, run_id=f"{number}" * 24), postgres, target, f"t{number}")
    found = asking.read_rows(target_of(target), "people", COLUMNS, limit=3, offset=1)
    assert found.columns == ["id", "name", *OWN]
    assert found.column_types == ["integer", "string", "string", "string", "timestamp"]
    assert [(row[0], row[3][0]) for row in found.rows] == [(2, "2"), (1, "1"), (2, "1")]
    assert found.truncated
    only = asking.read_rows(target_of(target), "people", COLUMNS, run_id="1" * 24)
    assert [row[:2] for row in only.rows] == [[1, "a"], [2, "b"]]
    assert only.rows[0][4].endswith("+00:00")
    assert not only.truncated


def test_no_table_yet_is_the_schema_and_no_row(target):
    found = asking.read_rows(target_of(target), "people", COLUMNS)
    assert (found.columns, found.rows) == (["id", "name", *OWN], [])


def test_a_dry_run_shows_what_a_run_would_write(database):
    sql = "SELECT 1 AS id, 'a' AS name UNION ALL SELECT NULL, 'b' UNION ALL SELECT 3, 'c'"
    fields = FIELDS | {"more": "string"}
    plan = a_run_plan(sql, fields, **UPSERT)
    found = asking.dry_run(params_of(database), plan, 2)
    assert found.rows == [[1, "a", None]]
    assert [(each["row"], each["code"]) for each in found.rejected] == [(2, "null_key")]
    assert [(each["code"], each["rule_id"]) for each in found.problems] == [
        ("unknown_column", "r2")
    ]
    assert found.rules[0] == {
        "rule_id": "r0", "read": 2, "null": 1, "rejected": 0, "dropped": 0,
    }  # fmt: skip
    with pytest.raises(QueryFailed):
        asking.dry_run(params_of(database), a_run_plan("SELECT nothing"))
    found = asking.dry_run(params_of(database), a_run_plan("SELECT 1 AS x"))
    assert (found.rows, found.rules) == ([], [])
    assert {each["code"] for each in found.problems} == {"unknown_column"}


def test_columns_are_described_as_a_run_meets_them(database):
    binary = "'x'::bytea" if database.kind == "postgresql" else "x'00'"
    found = asking.describe(params_of(database), f"SELECT 1 AS id, {binary} AS photo", 5)
    assert [(each.name, each.kind) for each in found] == [("id", "integer"), ("photo", "binary")]
    assert not found[1].can_become("date")
