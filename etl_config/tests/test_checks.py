"""Checks of how the service is served."""

import pytest
from django.core.checks import run_checks


def found():
    return [(each.id, each.msg) for each in run_checks(tags=["service"])]


def test_the_defaults_are_right():
    assert found() == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", 70_000, "PORT is 70000; expected 1 to 65,535."),
        ("WEB_CONCURRENCY", 0, "WEB_CONCURRENCY is 0; expected 1 to 512."),
        ("WEB_THREADS", -1, "WEB_THREADS is -1; expected 1 to 1,000."),
    ],
)
def test_a_server_that_cannot_start_is_told(settings, name, value, told):
    setattr(settings, name, value)
    assert found() == [("service.E030", told)]


def test_tls_that_ends_at_nobodys_proxy_is_told(settings):
    settings.BEHIND_TLS_PROXY = True
    settings.TRUSTED_PROXIES = []
    ((identifier, told),) = found()
    assert identifier == "service.E031"
    assert "TRUSTED_PROXIES names no proxy" in told
