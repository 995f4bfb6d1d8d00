import pytest

from common.api.views import DocumentViewSet
from common.tests.client import PASSWORD, connection_body, made

FIELDS = {"type", "title", "status", "detail", "code"}


@pytest.fixture
def refusals(api):
    schema = made(api, "mappings")["target_schema_id"]
    path = f"schemas/{schema}"
    return {
        (400, "invalid"): api.post("schemas", {}),
        (404, "not_found"): api.get("schemas/nonsense"),
        (405, "method_not_allowed"): api.put("schemas", {}),
        (409, "in_use"): api.delete(path),
        (409, "duplicate_name"): api.post("schemas", api.get(path).json()),
        (412, "stale"): api.delete(path, If_Match='"x"'),
        (413, "too_large"): api.request("POST", "schemas", raw=b" " * (2**20 + 1)),
        (415, "unsupported_media_type"): api.post("schemas", {}, Content_Type="text/plain"),
    }


def test_every_refusal_has_the_same_shape(refusals):
    for (status, code), answer in refusals.items():
        told = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status, told["status"], told["code"]) == (status, status, code)
        assert set(told) - {"errors"} == FIELDS
        assert all(isinstance(told[name], str) for name in FIELDS - {"status"})
        assert told["detail"].endswith(".")
        for error in told.get("errors", []):
            assert set(error) == {"field", "code", "message"}
            assert all(isinstance(part, str) for part in error.values())


def test_a_crash_is_a_500_that_tells_nothing(api, monkeypatch):
    def crash(*args, **kwargs):
        raise RuntimeError(f"mongodb://user:{PASSWORD}@host")

    monkeypatch.setattr(DocumentViewSet, "retrieve", crash)
    answer = api.get("schemas/0123456789abcdef01234567")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.detail == ("The service failed in a way it did not expect; its log says how.")
    assert b"Traceback" not in answer.body
    assert PASSWORD.encode() not in answer.body


def test_a_host_that_is_not_ours_is_refused_in_the_same_shape(api):
    answer = api.get("schemas", Host="evil.example")
    assert (answer.status, answer.code) == (400, "invalid")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_refusal_never_repeats_a_secret(api):
    wrong = connection_body(db_type=PASSWORD, port=PASSWORD, host=f"{PASSWORD} x", nmae=PASSWORD)
    answer = api.post("connections", wrong)
    assert answer.status == 400
    assert PASSWORD.encode() not in answer.body
