from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from common.tests.client import document, made, schedule_body


def moment(text):
    return datetime.fromisoformat(text)


def test_a_schedule_is_enabled_and_on_utc_unless_told_otherwise(api, stored):
    record = made(api, "schedules")
    kept = stored.schedules.find_one({"_id": ObjectId(record["id"])})
    assert (record["enabled"], record["timezone"], record["last_run_at"]) == (True, "UTC", None)
    assert (kept["enabled"], kept["timezone"], kept["last_run_at"]) == (True, "UTC", None)
    assert kept["next_run_at"].replace(tzinfo=UTC) == moment(record["next_run_at"])


def test_the_next_run_is_shown_while_it_is_enabled(api):
    record = made(api, "schedules", cron_expression="0 * * * *")
    path = f"schedules/{record['id']}"
    run = moment(record["next_run_at"])
    assert datetime.now(UTC) < run <= datetime.now(UTC) + timedelta(hours=1)
    assert run.minute == run.second == run.microsecond == 0
    assert api.patch(path, {"enabled": False}).json()["next_run_at"] is None
    assert api.get(path).json()["next_run_at"] is None
    assert api.patch(path, {"enabled": True}).json()["next_run_at"] is not None


def test_one_made_disabled_has_no_next_run(api, stored):
    record = made(api, "schedules", enabled=False)
    assert record["next_run_at"] is None
    assert stored.schedules.find_one()["next_run_at"] is None


def test_a_new_expression_or_timezone_moves_the_next_run(api):
    record = made(api, "schedules", cron_expression="30 12 1 1 *")
    path = f"schedules/{record['id']}"
    assert record["next_run_at"].endswith("-01-01T12:30:00.000Z")
    tokyo = api.patch(path, {"timezone": "Asia/Tokyo"}).json()
    assert tokyo["next_run_at"].endswith("-01-01T03:30:00.000Z")
    july = api.put(path, {"cron_expression": "0 0 1 JUL *"}).json()
    assert july["next_run_at"].endswith("-06-30T15:00:00.000Z")


@pytest.mark.parametrize("expression", ["@daily", "@DAILY", "0 0 * * mon-FRI", "*/5 1-3 * JAN 7"])
def test_an_expression_is_kept_as_it_was_written(api, expression):
    assert made(api, "schedules", cron_expression=expression)["cron_expression"] == expression


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "UTC", "Etc/GMT+5"])
def test_a_timezone_is_an_iana_name(api, name):
    assert made(api, "schedules", timezone=name)["timezone"] == name


def test_a_timezone_that_is_none_says_so(api):
    answer = api.post("schedules", schedule_body(api, timezone="Mars/Olympus"))
    assert answer.messages == {
        "timezone": '"Mars/Olympus" is not an IANA time zone name, such as Europe/Berlin or UTC.'
    }


def test_an_expression_that_never_fires_says_why(api):
    answer = api.post("schedules", schedule_body(api, cron_expression="0 0 30 2 *"))
    assert (answer.status, answer.errors) == (
        400,
        {
            "cron_expression": (
                "invalid_cron",
                '"0 0 30 2 *" never fires: February has no day 30.',
            )
        },
    )


def test_expression_timezone_and_mapping_are_refused_at_once(api):
    wrong = {"cron_expression": "x", "timezone": "y", "mapping_id": "0" * 24}
    answer = api.post("schedules", schedule_body(api, **wrong))
    assert set(answer.errors) == set(wrong)


def test_the_run_that_another_program_noted_is_shown(api, stored):
    ran = datetime(2026, 1, 1, 6, 0)  # noqa: DTZ001 - as the driver hands it over
    written = document(stored, "schedules", last_run_at=ran)
    record = api.get(f"schedules/{written['_id']}").json()
    assert record["last_run_at"] == "2026-01-01T06:00:00.000Z"
    changed = api.put(f"schedules/{written['_id']}", record | {"name": "changed"})
    assert changed.status == 200
    assert stored.schedules.find_one()["last_run_at"] == ran


def test_a_next_run_that_has_passed_gives_way_to_the_one_after_it(api, stored):
    passed = datetime(2020, 1, 1, 6, 0)  # noqa: DTZ001 - as the driver hands it over
    written = document(stored, "schedules", next_run_at=passed)
    record = api.get(f"schedules/{written['_id']}").json()
    assert moment(record["next_run_at"]) > datetime.now(UTC)


def test_nothing_but_expression_timezone_and_enabled_moves_the_next_run(api, stored):
    record = made(api, "schedules", cron_expression="@daily")
    path = f"schedules/{record['id']}"
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    stored.schedules.update_one({}, {"$set": {"next_run_at": due}})

    def kept():
        return stored.schedules.find_one()["next_run_at"].replace(tzinfo=UTC)

    other = made(api, "mappings")["id"]
    for changes in ({"name": "renamed"}, {"mapping_id": other}, api.get(path).json()):
        assert api.put(path, changes).status == 200
        assert kept() == due
    same = {"cron_expression": "@daily", "timezone": "UTC", "enabled": True, "name": "again"}
    assert api.patch(path, same).json()["next_run_at"] > due.isoformat()
    assert kept() == due
    for changes in ({"cron_expression": "0 0 * * *"}, {"timezone": "Asia/Tokyo"}):
        stored.schedules.update_one({}, {"$set": {"next_run_at": due}})
        api.patch(path, changes)
        assert kept() > datetime.now(UTC)


def test_a_zone_that_no_document_names_is_not_changed_by_a_new_name(api, stored):
    due = datetime(2020, 1, 1, 6, 0, tzinfo=UTC)
    written = document(stored, "schedules", next_run_at=due)
    stored.schedules.update_one({}, {"$unset": {"timezone": "", "enabled": ""}})
    api.patch(f"schedules/{written['_id']}", {"name": "changed"})
    assert stored.schedules.find_one()["next_run_at"].replace(tzinfo=UTC) == due


def test_what_was_stored_under_older_rules_stays_while_others_change(api, stored):
    written = document(stored, "schedules", cron_expression="*/90 * * * *", timezone="Factory")
    path = f"schedules/{written['_id']}"
    assert api.get(path).json()["next_run_at"] is None
    for changes in ({"name": "changed"}, api.get(path).json(), {"enabled": False}):
        assert api.patch(path, changes).status == 200
    again = api.patch(path, {"enabled": True})
    assert set(again.errors) == {"cron_expression", "timezone"}
    assert set(api.patch(path, {"cron_expression": "*/80 * * * *"}).errors) == {"cron_expression"}
    mended = {"enabled": True, "cron_expression": "@daily", "timezone": "UTC"}
    assert api.patch(path, mended).json()["next_run_at"]


@pytest.mark.parametrize("name", ["localtime", "Factory", "posixrules"])
def test_a_timezone_that_differs_from_machine_to_machine_is_refused(api, name):
    answer = api.post("schedules", schedule_body(api, timezone=name))
    assert answer.messages == {
        "timezone": f'"{name}" is not an IANA time zone name, such as Europe/Berlin or UTC.'
    }


def test_deleting_a_schedule_frees_its_mapping(api):
    record = made(api, "schedules", name="nightly")
    mapping = f"mappings/{record['mapping_id']}"
    refused = api.delete(mapping)
    assert (refused.status, refused.code) == (409, "in_use")
    assert refused.detail.endswith('is in use by the schedule "nightly".')
    assert api.delete(f"schedules/{record['id']}").status == 204
    assert api.delete(mapping).status == 204
