import re
from io import StringIO

import pytest
from django.core.management import call_command


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


def operations(api):
    """Return method, path and description of every operation."""
    return [
        (method, path, operation)
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_has_a_summary_of_one_line(api):
    summaries = {
        f"{method} {path}": operation.get("summary", "")
        for method, path, operation in operations(api)
    }
    assert len(summaries) > 50
    assert {at: said for at, said in summaries.items() if not said.strip() or "\n" in said} == {}


def test_the_examples_of_the_documentation_work_with_the_demo(api, monkeypatch):
    monkeypatch.setenv("ETL_SECRET_DEMO_SHOP_PASSWORD", "not told to a loopback that is closed")
    # Nobody listens there: what asks the shop says so, and all else works.
    url = "postgresql://shop_reader:none@127.0.0.1:9/shop"
    call_command("seed_demo", source_url=url, stdout=StringIO())
    answers = {}
    for method, path, operation in operations(api):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    (given,) = (one["value"] for one in parameter["examples"].values())
                    path = path.replace(f"{{{parameter['name']}}}", given)
            answer = api.request(method.upper(), path, example["value"])
            expected = {*operation["responses"]} & {"200", "201", "202", "502"}
            answers[f"{method} {path}"] = (answer.status, str(answer.status) in expected)
    assert len(answers) > 20
    assert {at: status for at, (status, is_right) in answers.items() if not is_right} == {}
