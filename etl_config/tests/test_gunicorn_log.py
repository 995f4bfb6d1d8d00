"""The access log: its own line on gunicorn's stream, gunicorn's way anywhere else."""

import logging
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from etl_config.gunicorn_log import LINE, AccessLogger

ANSWER = SimpleNamespace(status="200 OK", sent=7, headers=[])
REQUEST = SimpleNamespace(method="GET", headers=[])
ENVIRON = {
    "REMOTE_ADDR": "127.0.0.1",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/",
    "SERVER_PROTOCOL": "HTTP/1.1",
}
AS_SPELLED = [
    ("/api/v1/connections", "/api/v1/connections"),
    ("/a\nb", "/a%0Ab"),
    ('/a" 200 forged', "/a%22%20200%20forged"),
    ("/a\\", "/a%5C"),
    ("/%0A", "/%250A"),
    ("/é".encode().decode("latin-1"), "/%C3%A9"),
]


@pytest.fixture
def log():
    cfg = Config()
    cfg.set("accesslog", "-")
    cfg.set("access_log_format", LINE)
    made = AccessLogger(cfg)
    (made.own,) = [each for each in made.access_log.handlers if hasattr(each, "_gunicorn")]
    made.written = made.own.stream = StringIO()
    yield made
    made.access_log.handlers = made.error_log.handlers = []


def write(log, path="/", ms=3, handler=None):
    # Without the test runner's, which listens to loggers that pass nothing on.
    log.access_log.handlers = [handler or log.own]
    log.access(ANSWER, REQUEST, ENVIRON | {"PATH_INFO": path}, timedelta(milliseconds=ms))


@pytest.mark.parametrize(("path", "spelled"), AS_SPELLED)
def test_a_request_is_one_line_with_its_path_as_the_client_spells_it(log, path, spelled):
    write(log, path)
    assert log.written.getvalue() == f'127.0.0.1 "GET {spelled}" 200 7 bytes 3 ms\n'


@pytest.mark.parametrize(("path", "spelled"), AS_SPELLED)
def test_another_handler_gets_the_same_line_from_gunicorn(log, path, spelled):
    class Another(logging.StreamHandler):
        pass

    write(log, path, handler=Another(log.written))
    assert log.written.getvalue() == f'127.0.0.1 "GET {spelled}" 200 7 bytes 3 ms\n'


def test_another_format_is_gunicorns(log):
    log.cfg.set("access_log_format", "%(m)s %(s)s")
    write(log)
    assert log.written.getvalue() == "GET 200\n"


def test_a_level_that_leaves_lines_out_leaves_them_out(log):
    log.access_log.setLevel(logging.WARNING)
    write(log)
    assert log.written.getvalue() == ""


def test_a_stream_that_cannot_be_written_leaves_the_request_alone(log):
    errors = StringIO()
    log.error_log.handlers = [logging.StreamHandler(errors)]
    log.written.close()
    write(log)
    assert "The access log cannot be written: I/O operation on closed file" in errors.getvalue()
