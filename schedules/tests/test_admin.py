"""Schedules in the admin: the next runs on their own clock, and switches for many at once."""

from datetime import UTC, datetime

import pytest

from common.tests.client import document, made, schedule_body

LIST, ADD, CHANGE = (f"schedules_schedule_{page}" for page in ("changelist", "add", "change"))
RUNS = "schedules_schedule_runs"


def test_a_schedule_is_added_as_the_api_would(operator, api):
    mapping = made(api, "mappings")
    fields = {"name": "nightly", "mapping": mapping["id"], "cron_expression": "@daily"}
    assert operator.save(ADD, **fields, timezone="Asia/Tokyo") == {}
    (record,) = api.get("schedules").json()
    assert (record["timezone"], record["enabled"]) == ("Asia/Tokyo", True)
    assert record["next_run_at"].endswith("T15:00:00.000Z")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cron_expression": "0 0 30 2 *"}, "cron_expression"),
        ({"cron_expression": "61 * * * *"}, "cron_expression"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"mapping": "0123456789abcdef01234567"}, "mapping"),
        ({"name": "taken"}, "name"),
    ],
)
def test_what_the_api_refuses_is_refused_with_the_same_sentence(operator, api, changes, field):
    made(api, "schedules", name="taken")
    record = made(api, "schedules")
    path = {"mapping": "mapping_id"}.get(field, field)
    sentence = api.patch(f"schedules/{record['id']}", {path: changes[field]}).messages[path]
    assert operator.save(CHANGE, record["id"], **changes) == {field: [sentence]}


def test_the_page_lists_the_next_ten_runs_in_its_own_zone(operator, api):
    record = made(api, "schedules", cron_expression="30 4 * * *", timezone="Asia/Kolkata")
    page = operator.html(CHANGE, record["id"])
    assert page.count("04:30 IST</td>") == 10
    assert page.count("23:00</td>") == 10


def test_the_runs_follow_what_is_typed(operator):
    answer = operator.post(RUNS, cron_expression="0 12 * * *", timezone="UTC").content.decode()
    assert answer.count("12:00 UTC</td>") == 10
    assert "Once it is enabled" in answer
    assert "At 12:00 every day." in answer


def test_a_new_name_leaves_the_next_run_where_it_is(operator, api, stored):
    due = datetime(2020, 1, 1, 6, 0, tzinfo=UTC)
    written = document(stored, "schedules", next_run_at=due)
    stored.schedules.update_one({}, {"$unset": {"timezone": ""}})
    assert operator.save(CHANGE, written["_id"], name="changed") == {}
    kept = stored.schedules.find_one()
    assert (kept["name"], kept["next_run_at"].replace(tzinfo=UTC)) == ("changed", due)


def test_the_page_says_the_expression_in_words(operator, api):
    record = made(api, "schedules", cron_expression="30 6 * * MON-FRI")
    assert operator.html(CHANGE, record["id"]).count("At 06:30 from Monday to Friday") == 1


@pytest.mark.parametrize(
    ("expression", "timezone", "sentence"),
    [
        ("0 0 30 2 *", "UTC", "never fires: February has no day 30."),
        ("0 0 * * *", "Mars", "is not an IANA time zone name"),
    ],
)
def test_runs_of_nonsense_are_a_sentence(operator, expression, timezone, sentence):
    answer = operator.post(RUNS, cron_expression=expression, timezone=timezone)
    assert sentence in answer.content.decode()


def test_the_chosen_are_enabled_and_disabled_and_counted(operator, api):
    on = made(api, "schedules")
    off = [made(api, "schedules", enabled=False) for _ in range(2)]
    ids = [one["id"] for one in [on, *off]]
    assert operator.act(LIST, "enable", ids) == [
        "1 of 3 had been enabled before.",
        "2 of 2 schedules enabled.",
    ]
    assert all(one["next_run_at"] for one in api.get("schedules").json())
    assert operator.act(LIST, "disable", ids) == ["3 of 3 schedules disabled."]
    assert not any(one["next_run_at"] for one in api.get("schedules").json())


def test_a_schedule_that_makes_no_sense_breaks_no_page_and_is_not_enabled(operator, stored):
    odd = document(stored, "schedules", name="odd", cron_expression="whenever", enabled=False)
    on = document(stored, "schedules", cron_expression="whenever", timezone="Mars")
    assert "never" in operator.html(LIST)
    assert "refused" in operator.html(CHANGE, on["_id"])
    (message,) = operator.act(LIST, "enable", [odd["_id"]])
    assert message.startswith('0 of 1 schedule enabled: "odd": "whenever" has 1 field;')
    assert stored.schedules.find_one({"name": "odd"})["enabled"] is False


def test_the_list_shows_the_next_run_on_the_schedules_clock(operator, api):
    api.create("schedules", schedule_body(api, cron_expression="0 6 * * *", timezone="Asia/Tokyo"))
    assert "06:00 JST" in operator.html(LIST)


def test_a_switch_of_many_keeps_why_in_the_audit(operator, api, stored):
    ids = [made(api, "schedules")["id"] for _ in range(2)]
    told = operator.act(LIST, "disable", ids, note=" The source moves tonight. ")
    assert told == ["2 of 2 schedules disabled."]
    changes = [entry["changes"] for entry in stored.audit.find({"via": "admin"})]
    assert changes == [{"enabled": [True, False], "note": [None, "The source moves tonight."]}] * 2
    operator.act(LIST, "enable", ids[:1])
    assert "note" not in stored.audit.find_one({"changes.enabled": [False, True]})["changes"]
