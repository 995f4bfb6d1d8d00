from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from common.tests.client import document, made


def ask(api, **query):
    return api.get(f"schedules/next-runs?{urlencode(query)}")


def test_an_expression_is_told_in_words_and_moments(api):
    answer = ask(api, cron_expression="30 6 * * MON-FRI", timezone="Asia/Kolkata", count=3)
    assert answer.status == 200
    told = answer.json()
    runs = told.pop("next_runs")
    assert told == {
        "cron_expression": "30 6 * * MON-FRI",
        "timezone": "Asia/Kolkata",
        "description": "At 06:30 from Monday to Friday",
    }
    assert len(runs) == 3
    assert runs == sorted(runs)
    assert all(run.endswith("T01:00:00.000Z") for run in runs)
    assert datetime.fromisoformat(runs[0]) > datetime.now(UTC)


def test_ten_runs_on_utc_are_told_unless_asked_otherwise(api):
    told = ask(api, cron_expression=" @hourly ").json()
    assert (told["cron_expression"], told["timezone"]) == ("@hourly", "UTC")
    runs = [datetime.fromisoformat(run) for run in told["next_runs"]]
    assert [run - runs[0] for run in runs] == [timedelta(hours=number) for number in range(10)]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_schedules_runs_are_told_from_the_one_that_is_shown(api, slash):
    record = made(api, "schedules", cron_expression="0 12 * * *", timezone="Asia/Tokyo")
    told = api.get(f"schedules/{record['id']}/next-runs{slash}?count=100").json()
    assert len(told["next_runs"]) == 100
    assert told["next_runs"][0] == record["next_run_at"]
    assert told["timezone"] == "Asia/Tokyo"
    assert told["description"] == "At 12:00 every day"


def test_a_disabled_schedule_has_words_and_no_runs(api):
    record = made(api, "schedules", cron_expression="0 12 * * *", enabled=False)
    told = api.get(f"schedules/{record['id']}/next-runs").json()
    assert (told["description"], told["next_runs"]) == ("At 12:00 every day", [])


def test_nonsense_of_another_program_has_neither(api, stored):
    written = document(stored, "schedules", cron_expression="whenever", timezone="Mars")
    told = api.get(f"schedules/{written['_id']}/next-runs").json()
    assert told == {
        "cron_expression": "whenever",
        "timezone": "Mars",
        "description": None,
        "next_runs": [],
    }


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ({}, {"cron_expression": "required"}),
        ({"cron_expression": ""}, {"cron_expression": "blank"}),
        ({"cron_expression": "61 * * * *"}, {"cron_expression": "invalid_cron"}),
        ({"cron_expression": "0 0 30 2 *"}, {"cron_expression": "invalid_cron"}),
        ({"cron_expression": "@daily", "timezone": "Mars"}, {"timezone": "invalid"}),
        ({"cron_expression": "@daily", "count": 0}, {"count": "min_value"}),
        ({"cron_expression": "@daily", "count": 101}, {"count": "max_value"}),
        ({"cron_expression": "@daily", "count": "ten"}, {"count": "invalid"}),
        ({"cron_expression": "@daily", "tz": "UTC"}, {"tz": "unknown_field"}),
        (
            {"cron_expression": "x", "timezone": "Mars", "count": 0, "tz": 1},
            {
                "cron_expression": "invalid_cron",
                "timezone": "invalid",
                "count": "min_value",
                "tz": "unknown_field",
            },
        ),
    ],
)
def test_wrong_parameters_are_refused_all_at_once(api, query, errors):
    answer = ask(api, **query)
    assert answer.status == 400
    assert {name: code for name, (code, _) in answer.errors.items()} == errors


def test_of_a_schedule_only_the_count_is_asked(api):
    record = made(api, "schedules")
    path = f"schedules/{record['id']}/next-runs"
    assert set(api.get(f"{path}?count=0&timezone=UTC").errors) == {"count", "timezone"}


def test_a_schedule_that_is_not_there_is_a_404(api):
    assert api.get(f"schedules/{'0' * 24}/next-runs?count=0").status == 404
    assert api.post("schedules/next-runs", {}).status == 405
