"""Queries with the window of a slot: saved and previewed."""

import pytest

from common.tests.client import made, mapping_body

DAY = {"slot_start": "2026-01-30T00:00:00Z", "slot_end": "2026-01-31T00:00:00Z"}
QUERY = "SELECT 1 AS one WHERE now() > {{slot_start}} AND now() >= {{slot_end}}"


def test_a_query_with_a_window_is_saved_as_it_was_written(api):
    body = mapping_body(api, source_query=QUERY)
    answer = api.post("mappings", body)
    assert (answer.status, answer.json().get("source_query")) == (201, QUERY)


@pytest.mark.parametrize("wrong", [
    {"slot_start": DAY["slot_start"]}, {"slot_end": DAY["slot_end"]},
    {"slot_start": DAY["slot_end"], "slot_end": DAY["slot_start"]},
    {"slot_start": DAY["slot_end"], "slot_end": DAY["slot_end"]},
])  # fmt: skip
def test_a_preview_takes_both_ends_in_order_or_neither(api, wrong):
    connection = made(api, "connections")["id"]
    body = {"source_connection_id": connection, "source_query": QUERY, **wrong}
    answer = api.post("mappings/preview", body)
    assert (answer.status, set(answer.errors)) == (400, {"slot_end"})
