import re

import pytest


def test_the_root_names_the_service_and_where_to_go(api):
    answer = api.get("/")
    told = answer.json()
    assert answer.status == 200
    assert told["name"] == "ETL Engine Backend"
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["version"])
    assert told["api_prefix"] == "/api/v1"
    assert api.get(told["docs"]).status == 200


@pytest.mark.parametrize("path", ["/health", "/health/"])
def test_a_healthy_service_says_so_with_a_check_per_dependency(api, path):
    answer = api.get(path)
    told = answer.json()
    assert (answer.status, told["status"]) == (200, "healthy")
    assert {name: check["status"] for name, check in told["checks"].items()} == {
        "mongodb": "healthy",
        "encryption_key": "healthy",
        "worker": "absent",
        "scheduler": "absent",
    }


def test_a_key_that_is_none_makes_it_unhealthy(api, settings):
    settings.ENCRYPTION_KEY = "nonsense"
    answer = api.get("/health")
    assert (answer.status, answer.json()["status"]) == (503, "unhealthy")
    assert answer.json()["checks"]["encryption_key"]["status"] == "unhealthy"
    assert b"nonsense" not in answer.body


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_needs_nothing_from_elsewhere(api, page):
    answer = api.get(page)
    text = answer.body.decode()
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text) == []
    assert "cdn" not in text


def test_the_openapi_document_describes_every_path(api):
    told = api.get("/openapi.json").json()
    paths = {path.rstrip("/") for path in told["paths"]}
    assert told["openapi"].startswith("3.")
    assert {
        "/api/v1/connections",
        "/api/v1/connections/{id}",
        "/api/v1/connections/test",
        "/api/v1/connections/{id}/test",
        "/api/v1/mappings/preview",
        "/api/v1/mappings/{mapping_id}/column-mappings",
        "/api/v1/mappings/{mapping_id}/column-mappings/{column_mapping_id}",
        "/api/v1/schemas/{id}",
        "/api/v1/schedules/{id}",
    } <= paths
