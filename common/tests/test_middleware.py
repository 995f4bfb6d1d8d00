"""Requests of the API go past the pages' middleware, and are as well guarded as pages."""

import pytest
from django.test import Client

from common.middleware import SessionMiddleware
from common.tests.client import PREFIX

GUARDS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
OF_PAGES = {"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin"}
PATHS = [f"{PREFIX}/connections", f"{PREFIX}/nowhere", "/", "/admin/login/", "/nowhere"]


@pytest.fixture
def in_the_long_way(monkeypatch):
    """Return the paths that come by the pages' middleware."""
    seen = []
    passed_on = SessionMiddleware.__call__

    def noting(self, request):
        seen.append(request.path)
        return passed_on(self, request)

    monkeypatch.setattr(SessionMiddleware, "__call__", noting)
    return seen


def test_only_requests_of_the_api_go_the_short_way(stored, in_the_long_way):
    for path in PATHS:
        Client().get(path)
    assert in_the_long_way == [path for path in PATHS if not path.startswith(PREFIX)]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_its_guards_and_its_length(stored, path):
    answer = Client().get(path)
    guards = GUARDS if path.startswith(PREFIX) else GUARDS | OF_PAGES
    assert {name: answer.headers.get(name) for name in guards} == guards
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert "origin" in answer.headers["Vary"].lower()


@pytest.mark.parametrize("path", PATHS)
def test_a_request_for_another_host_is_refused(path):
    answer = Client(headers={"Host": "evil.example"}).get(path)
    assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (400, "nosniff")


@pytest.mark.parametrize("path", PATHS)
def test_behind_a_proxy_that_ends_tls_plain_requests_are_sent_there(stored, settings, path):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 60

    plain = Client().get(path)
    secure = Client(headers={"X-Forwarded-Proto": "https"}).get(path)

    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://testserver{path}")
    assert secure.status_code != 301
    assert secure.headers["Strict-Transport-Security"].startswith("max-age=60")
