"""What Prometheus is told, and what browsers are."""

import os
import socket
import time
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from prometheus_client import parser

from common import metrics, metrics_address
from common.tests.client import made


def told(api):
    answer = api.get("/metrics")
    assert answer.status == 200
    return answer.body.decode()


def samples(text):
    families = parser.text_string_to_metric_families(text)
    return {
        (one.name, frozenset(one.labels.values())): one.value for f in families for one in f.samples
    }


def test_requests_are_counted_by_the_pattern_of_their_address(api):
    record = made(api, "connections", name="a-name-that-is-no-label")
    key = "etl_requests_total", frozenset({"/api/v1/connections/{id}", "GET", "200"})
    before = samples(told(api)).get(key, 0)
    api.get(f"connections/{record['id']}")
    text = told(api)
    assert samples(text)[key] == before + 1
    assert record["id"] not in text
    assert "a-name-that-is-no-label" not in text


def test_an_address_that_is_made_up_is_no_label(api):
    api.get("/nowhere/made-up-by-a-client")
    assert "made-up" not in told(api)


def test_questions_to_sources_are_counted_by_outcome(api):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    record = made(api, "connections", host="127.0.0.1", port=port)
    api.post(f"connections/{record['id']}/test", {})
    of = frozenset({"facts", record["db_type"], "connection_refused"})
    assert samples(told(api))["etl_source_questions_total", of] >= 1


def test_what_only_the_store_knows_is_looked_up(api, monkeypatch):
    def broken():
        raise OSError("down")

    monkeypatch.setattr(metrics, "_scrapes", [broken])
    assert "etl_requests_total" in told(api)


def test_with_an_address_of_its_own_it_is_there_alone(api, settings):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        settings.METRICS_LISTEN = f"127.0.0.1:{closed.getsockname()[1]}"
    assert api.get("/metrics").status == 404
    metrics_address.start()
    url = f"http://{settings.METRICS_LISTEN}"
    for _ in range(50):
        try:
            with urlopen(f"{url}/metrics", timeout=5) as answer:
                assert b"etl_requests_total" in answer.read()
            break
        except URLError:
            time.sleep(0.1)
    with pytest.raises(HTTPError):
        urlopen(f"{url}/api/v1/connections", timeout=5)


def test_what_the_dead_counted_is_removed_at_a_start(monkeypatch, tmp_path):
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    (tmp_path / "counter_4194305.db").write_bytes(b"")
    (tmp_path / f"counter_{os.getpid()}.db").write_bytes(b"")
    metrics.forget_the_dead()
    assert [one.name for one in tmp_path.iterdir()] == [f"counter_{os.getpid()}.db"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health/live/"])
def test_orchestrators_are_told_whether_it_lives_and_is_ready(api, path):
    answer = api.get(path)
    assert (answer.status, answer.json()["status"]) == (200, "healthy")


def test_without_its_key_it_lives_and_is_not_ready(api, settings):
    settings.ENCRYPTION_KEY = ""
    assert api.get("/health/live").status == 200
    assert api.get("/health/ready").status == 503


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/admin/login/"])
def test_a_page_allows_no_script_of_its_own(api, path):
    answer = api.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe-inline" not in scripts
    assert ("unsafe-eval" in policy) is path.startswith("/admin")
    assert "<script>" not in answer.body.decode()


def test_records_are_kept_by_no_cache(api):
    record = made(api, "connections")
    for path in ("connections", f"connections/{record['id']}", "me"):
        answer = api.get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
