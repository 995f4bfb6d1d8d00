import pytest

from common.tests.client import NOBODY, made

OURS, FOREIGN = "http://localhost:5173", "http://evil.example"


def preflight(api, path, origin=OURS, method="PATCH", headers="x-anything, if-match"):
    return api.request(
        "OPTIONS",
        path,
        Origin=origin,
        Access_Control_Request_Method=method,
        Access_Control_Request_Headers=headers,
    )


@pytest.mark.parametrize("path", ["connections", "connections/", f"schemas/{NOBODY}", "/health"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_preflight_of_our_origin_allows_what_it_asks_for(api, path, method):
    answer = preflight(api, path, method=method)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == OURS
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-headers"] == "x-anything, if-match"
    assert method in answer.headers["access-control-allow-methods"].split(", ")


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost:51730", OURS + ".evil.com"])
def test_a_foreign_origin_is_allowed_nothing(api, origin):
    for answer in (preflight(api, "connections", origin), api.get("connections", Origin=origin)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_an_answer_to_our_origin_exposes_its_headers(api):
    answer = api.get("connections", Origin=OURS)
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"ETag", "Link", "X-Total-Count", "Location"} <= set(exposed)
    assert answer.headers["access-control-allow-origin"] == OURS
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "origin" in answer.headers["vary"].lower()


def test_refusals_can_be_read_by_our_origin(api):
    record = made(api, "schemas")
    path = f"schemas/{record['id']}"
    refusals = {
        400: api.post("schemas", {}, Origin=OURS),
        404: api.get("nowhere", Origin=OURS),
        405: api.put("schemas", {}, Origin=OURS),
        409: api.post("schemas", record, Origin=OURS),
        412: api.patch(path, {}, If_Match='"x"', Origin=OURS),
        413: api.request("POST", "schemas", raw=b" " * 2**20 + b"  ", Origin=OURS),
        415: api.post("schemas", {}, Origin=OURS, Content_Type="text/plain"),
    }
    for status, answer in refusals.items():
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == OURS, status
