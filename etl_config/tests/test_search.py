"""The search over all records finds a few of each kind, and only what a person may see."""

from common.tests.client import direct, made
from common.tests.operator import someone


def found(person, text):
    return person.html("search", s=text, extended="1")


def test_it_finds_records_of_every_kind_by_a_part_of_their_names(operator, api):
    mapping = made(api, "mappings", name="Weekly orders")
    api.create(f"mappings/{mapping['id']}/column-mappings", direct("ORDER_no", "id"))
    made(api, "schedules", name="Orders (nightly)", mapping_id=mapping["id"])
    made(api, "schemas", name="people")
    page = found(operator, "orders")
    assert "Weekly orders" in page
    assert f"/admin/mappings/mapping/{mapping['id']}/change/" in page
    assert "Orders (nightly)" in page
    assert "people" not in page
    assert "ORDER_no → id" in found(operator, "order_no")
    assert "Orders (nightly)" in found(operator, "(night")


def test_it_looks_anew_each_time_and_only_for_those_who_have_a_role(operator, api):
    record = made(api, "schemas", name="told of all")
    assert "told of all" in found(operator, "told")
    assert "told of all" in found(someone("viewer"), "told")
    api.delete(f"schemas/{record['id']}")
    assert "told of all" not in found(operator, "told")
    assert someone(None).get("search", s="told", extended="1").status_code != 200


def test_a_list_says_what_it_is_filtered_by(operator, api):
    mapping = made(api, "mappings", name="Weekly orders")
    made(api, "schedules", mapping_id=mapping["id"])
    query = {"enabled__exact": "1", "mapping__id__exact": mapping["id"]}
    page = operator.html("schedules_schedule_changelist", **query)
    assert "enabled: Yes" in page
    assert "mapping: Weekly orders" in page
    assert f'href="?mapping__id__exact={mapping["id"]}" aria-label="Remove the filter' in page
    tested = operator.html("connections_connection_changelist", last_test="never")
    assert "last test: never tested" in tested.lower()
    assert "Remove the filter" not in operator.html("connections_connection_changelist")
