"""Checks of how the service is served."""

import re
from pathlib import Path

import pytest
from django.conf import settings as service
from django.core.checks import run_checks

ROOT = Path(service.BASE_DIR)


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


def test_every_check_is_told_in_the_docs():
    told = re.findall(r"\b[EW]\d{3}\b", (ROOT / "docs/operations.md").read_text())
    code = [path.read_text() for path in ROOT.glob("*/checks.py")]
    known = re.findall(r'id="(?:service|connections|mappings)\.([EW]\d{3})"', "".join(code))
    assert sorted({*known} - {*told}) == []


def test_every_command_is_told_in_the_docs():
    told = (ROOT / "docs/operations.md").read_text()
    names = [path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")]
    assert [name for name in names if f"`{name}`" not in told] == []
