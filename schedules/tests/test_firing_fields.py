"""What a schedule says of how it fires, and what that does to its next run."""

from datetime import UTC, datetime, timedelta

import pytest

from common.tests.client import document, made, schedule_body

DEFAULTS = {
    "overlap": "skip", "catch_up": "latest", "catch_up_window_s": 3600, "jitter_s": 0,
    "start_at": None, "end_at": None, "last_run_id": None, "last_run_status": None,
}  # fmt: skip


def text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_what_is_not_said_has_defaults(api, stored):
    record = made(api, "schedules")
    assert record.items() >= DEFAULTS.items()
    other = document(stored, "schedules", name="of another program")
    assert api.get(f"schedules/{other['_id']}").json().items() >= DEFAULTS.items()


@pytest.mark.parametrize(("field", "value"), [
    ("overlap", None), ("overlap", "wait"), ("catch_up", None), ("catch_up", "some"),
    ("catch_up_window_s", None), ("catch_up_window_s", -1), ("catch_up_window_s", 2_678_401),
    ("jitter_s", None), ("jitter_s", 86_401), ("start_at", "soon"),
    ("timezone", None), ("enabled", None), ("cron_expression", None),
])  # fmt: skip
def test_it_refuses_what_makes_no_sense(api, field, value):
    answer = api.post("schedules", schedule_body(api, **{field: value}))
    assert (answer.status, set(answer.errors)) == (400, {field})


def test_an_end_that_is_not_later_is_refused_and_one_in_the_past_is_taken(api):
    moment = "2020-01-01T00:00:00.000Z"
    same = api.post("schedules", schedule_body(api, start_at=moment, end_at=moment))
    assert (same.status, set(same.errors)) == (400, {"end_at"})
    past = made(api, "schedules", end_at=moment)
    assert (past["end_at"], past["next_run_at"]) == (moment, None)
    path = f"schedules/{past['id']}"
    assert api.get(f"{path}/next-runs").json()["next_runs"] == []
    assert api.patch(path, {"end_at": None}).json()["next_run_at"]


def test_next_runs_lie_within_start_and_end(api):
    start = (datetime.now(UTC) + timedelta(days=3)).replace(minute=0, second=0, microsecond=0)
    end = start + timedelta(hours=2)
    record = made(
        api, "schedules", cron_expression="0 * * * *", start_at=text(start), end_at=text(end)
    )
    runs = api.get(f"schedules/{record['id']}/next-runs").json()["next_runs"]
    assert runs == [text(start), text(start + timedelta(hours=1))]
    assert record["next_run_at"] == api.get(f"schedules/{record['id']}").json()["next_run_at"]
    assert record["next_run_at"] == text(start)


def test_a_start_and_an_end_move_the_next_run_and_nothing_else_of_these(api, stored):
    record = made(api, "schedules", cron_expression="@daily")
    path = f"schedules/{record['id']}"
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    for change in ({"overlap": "queue"}, {"catch_up": "all"}, {"jitter_s": 9}):
        stored.schedules.update_one({}, {"$set": {"next_run_at": due}})
        assert api.patch(path, change).status == 200
        assert stored.schedules.find_one()["next_run_at"].replace(tzinfo=UTC) == due
    api.patch(path, {"end_at": "2999-01-01T00:00:00Z"})
    assert stored.schedules.find_one()["next_run_at"].replace(tzinfo=UTC) > due
