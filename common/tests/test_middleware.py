"""What surrounds a request: guards, hosts, TLS, its id, its line in the access log."""

import logging
import re
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import Client, RequestFactory

from common import context
from common.logs import RequestId
from common.middleware import RequestMiddleware
from common.tests.client import PREFIX

GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PATHS = [f"{PREFIX}/connections", f"{PREFIX}/nowhere", "/", "/admin/login/", "/nowhere"]
PROXY, STRANGER = "127.0.0.1", "203.0.113.9"


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_its_guards_and_its_length(stored, path):
    answer = Client().get(path)
    assert {name: answer.headers.get(name) for name in GUARDS} == GUARDS
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert "origin" in answer.headers["Vary"].lower()


@pytest.mark.parametrize("path", PATHS)
def test_a_request_for_another_host_is_refused_and_one_line(path, caplog):
    answer = Client(headers={"Host": "evil.example"}).get(path)
    assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (400, "nosniff")
    (said,) = [record for record in caplog.records if "DisallowedHost" in record.name]
    assert "evil.example" in said.getMessage()
    assert said.exc_info is None


def test_a_refusal_is_no_traceback(stored, caplog):
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert client.get("/admin/").status_code == 403
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("path", PATHS)
def test_behind_a_proxy_that_ends_tls_plain_requests_are_sent_there(stored, settings, path):
    settings.TRUSTED_PROXIES = [ip_network(PROXY)]
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 60
    https = {"X-Forwarded-Proto": "https"}

    plain = Client().get(path)
    secure = Client(headers=https, REMOTE_ADDR=PROXY).get(path)
    forged = Client(headers=https, REMOTE_ADDR=STRANGER).get(path)

    for refused in (plain, forged):
        assert refused.status_code == 301
        assert refused.headers["Location"] == f"https://testserver{path}"
    assert secure.status_code != 301
    assert secure.headers["Strict-Transport-Security"] == "max-age=60"


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("c0ffee", True),
        ("00-4bf92f35:77b34da6.a/b=c_d", True),
        ("x" * 100, True),
        ("x" * 101, False),
        ("", False),
        ("two words", False),
        ("line\nfeed", False),
        ("é", False),
    ],
)
def test_a_request_keeps_the_id_it_came_with_or_gets_one(given, is_kept):
    answered = Client(headers={"X-Request-ID": given}).get("/").headers["X-Request-ID"]
    assert (answered == given) is is_kept
    assert is_kept or re.fullmatch(r"[0-9a-f]{32}", answered)


def lines(caplog):
    return [record for record in caplog.records if record.name == "access"]


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("/nowhere", "/nowhere"),
        ("/a%0Ab", "/a%0Ab"),
        ("/a%22%20200%20forged", "/a%22%20200%20forged"),
        ("/a%5C", "/a%5C"),
        ("/%250A", "/%250A"),
        ("/%C3%A9", "/%C3%A9"),
        ("/nowhere?token=secret", "/nowhere"),
    ],
)
def test_a_request_is_one_line_with_its_path_as_the_client_spells_it(caplog, path, spelled):
    caplog.set_level(logging.INFO, "access")
    answer = Client(REMOTE_ADDR=STRANGER).get(path)
    (line,) = lines(caplog)
    size = len(answer.content)
    said = rf'{re.escape(STRANGER)} "GET {re.escape(spelled)}" 404 {size} bytes \d+ ms'
    assert re.fullmatch(said, line.getMessage())


def test_a_long_answer_is_counted_once_its_last_part_is_sent(caplog):
    caplog.set_level(logging.INFO, "access")
    ids = []

    def parts():
        for part in (b"one", b"more"):
            ids.append(context.current().request_id)
            yield part

    served = RequestMiddleware(lambda request: StreamingHttpResponse(parts()))
    answer = served(RequestFactory().get("/long"))
    assert (b"".join(answer), lines(caplog)) == (b"onemore", [])
    answer.close()
    (line,) = lines(caplog)
    assert (line.path, line.status, line.bytes) == ("/long", 200, 7)
    assert ids == [answer.headers["X-Request-ID"]] * 2


def test_a_long_answer_that_nobody_reads_has_its_line_too(caplog):
    caplog.set_level(logging.INFO, "access")
    served = RequestMiddleware(lambda request: StreamingHttpResponse([b"unread"]))
    served(RequestFactory().get("/long")).close()
    assert [line.bytes for line in lines(caplog)] == [0]


def test_log_lines_of_a_request_have_its_id_and_others_a_dash():
    def shown():
        record = logging.makeLogRecord({})
        assert RequestId().filter(record)
        return record.request_id

    with context.use(context.Context(request_id="c0ffee")):
        assert shown() == "c0ffee"
    assert shown() == "-"


def test_a_request_leaves_no_context_behind(stored):
    Client().get("/")
    assert context.current() == context.Context()


def test_who_is_identified_is_so_until_the_request_ends():
    with context.use(context.Context(via="api", address=STRANGER)):
        context.identify("token:nightly")
        assert context.current() == context.Context("token:nightly", "api", STRANGER)
    assert context.current().actor is None


def test_a_command_acts_as_the_account_that_runs_it():
    made = context.of_command()
    assert (made.via, made.actor.partition(":")[0]) == ("command", "command")
