"""Sessions are kept for the next use, few and not for long, and each use starts clean."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from connections import preview
from connections.drivers import open_session
from sources.errors import (
    QueryFailed,
    SourceError,
    SourceTimeout,
    SourceUnreachable,
    StatementRefused,
)
from connections.drivers.pool import Limits, Pool
from connections.drivers.watch import Watch
from sources.preview import run_preview

WHO = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
END = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
SLEEP = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}


@pytest.fixture
def pool(monkeypatch):
    """A pool of the test's own, closed at its end."""
    made = Pool(open_session)
    monkeypatch.setattr(preview, "pool", made)
    yield made
    made.close_idle()


def who(server, **changes) -> int:
    return run_preview(replace(server.reader, **changes), WHO[server.kind]).rows[0][0]


def test_the_second_use_does_not_connect_again(server, pool):
    assert who(server) == who(server)
    assert pool.count(server.reader) == 1


def test_another_password_host_or_database_is_another_pool(server, pool):
    first = who(server)

    assert who(server, host="localhost") != first
    with pytest.raises(SourceUnreachable) as refused:
        who(server, password="changed")
    assert refused.value.error_code == "authentication_failed"
    assert who(server) == first


def test_a_failed_query_does_not_cost_the_session(server, pool):
    first = who(server)
    with pytest.raises(QueryFailed):
        run_preview(server.reader, "SELECT nonsense")
    with pytest.raises(StatementRefused):
        run_preview(server.reader, "DROP TABLE x")

    assert who(server) == first


def test_a_query_that_was_cut_off_costs_its_session(server, pool):
    first = who(server)
    with pytest.raises(SourceTimeout):
        run_preview(server.reader, SLEEP[server.kind].format(5), timeout_s=0.2)

    assert who(server) != first
    assert pool.count(server.reader) == 1


def test_a_session_that_died_while_idle_is_replaced(server, pool):
    first = who(server)
    server.run(END[server.kind].format(first))
    time.sleep(0.1)

    assert who(server) != first
    assert pool.count(server.reader) == 1


def test_a_session_that_dies_in_use_is_replaced_once(server, pool, monkeypatch):
    """The server's goodbye has not arrived yet when the session is taken."""
    first = who(server)
    kept = pool._idle[server.reader][0]
    monkeypatch.setattr(type(kept.session), "ready", lambda self: True)

    server.run(END[server.kind].format(first))
    time.sleep(0.1)

    assert who(server) != first


def test_no_more_sessions_than_the_limit_and_the_rest_wait(server, pool):
    pool.limits = Limits(per_source=2)
    most = []

    def one(_number: int) -> None:
        run_preview(server.reader, SLEEP[server.kind].format(0.05))
        most.append(pool.count(server.reader))

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(one, range(8)))

    assert max(most) <= 2


def test_waiting_for_a_session_ends_with_the_time_given(server, pool):
    pool.limits = Limits(per_source=1)
    with ThreadPoolExecutor(1) as executor:
        busy = executor.submit(run_preview, server.reader, SLEEP[server.kind].format(0.6))
        time.sleep(0.2)
        with pytest.raises(SourceTimeout, match="were busy until the time was up"):
            run_preview(server.reader, "SELECT 1", timeout_s=0.2)
        busy.result()


def test_the_process_holds_a_bounded_number_for_all_sources(postgres, mysql, pool):
    pool.limits = Limits(in_all=1)
    who(postgres)
    who(mysql)

    assert pool.count(postgres.reader) == 0
    assert pool.count(mysql.reader) == 1


def test_idle_sessions_are_closed_after_a_while(server, pool):
    pool.limits = Limits(idle_s=0.2)
    first = who(server)
    time.sleep(0.6)

    assert pool.count(server.reader) == 0
    assert who(server) != first


def test_old_sessions_are_not_kept(server, pool):
    pool.limits = Limits(age_s=0)
    first = who(server)

    assert pool.count(server.reader) == 0
    assert who(server) != first


def test_a_failed_login_leaves_nothing_counted(server, pool):
    wrong = replace(server.reader, password="wrong")
    for _ in range(8):
        with pytest.raises(SourceUnreachable):
            run_preview(wrong, "SELECT 1")

    assert pool.count(wrong) == 0


def test_many_threads_share_it_and_every_answer_is_its_own(server, pool):
    def one(number: int) -> None:
        assert run_preview(server.reader, f"SELECT {number}").rows == [[number]]

    with ThreadPoolExecutor(12) as executor:
        list(executor.map(one, range(200)))

    assert pool.count(server.reader) <= pool.limits.per_source


def test_a_forked_process_opens_its_own(server, pool):
    first = who(server)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(who(server)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        in_child = int(answer.read())
    os.waitpid(child, 0)

    assert in_child != first
    assert who(server) == first


def test_hanging_sources_do_not_slow_a_good_one(server, pool, listen):
    with listen(lambda sock: time.sleep(2)) as port:
        hanging = [
            threading.Thread(target=_swallow, args=(replace(server.reader, port=port),))
            for _ in range(8)
        ]
        who(server)
        for thread in hanging:
            thread.start()
        started = time.monotonic()
        for _ in range(20):
            who(server)
        spent = time.monotonic() - started
        for thread in hanging:
            thread.join()

    assert spent / 20 < 0.05


def _swallow(params) -> None:
    with pytest.raises(SourceError):
        run_preview(params, "SELECT 1", timeout_s=0.8)


def test_a_session_belongs_to_one_use_at_a_time(server, pool):
    """Two at once are two sessions."""
    with ThreadPoolExecutor(2) as executor:
        sleepers = [
            executor.submit(run_preview, server.reader, SLEEP[server.kind].format(0.2))
            for _ in range(2)
        ]
        for each in sleepers:
            each.result()

    assert pool.count(server.reader) == 2


def test_a_silent_reset_does_not_hold_the_answer(server, pool, monkeypatch):
    session = open_session(server.reader, Watch.seconds(2))

    def silent(self) -> bool:
        time.sleep(0)
        return False

    monkeypatch.setattr(type(session), "reset", silent)
    session.close()
    started = time.monotonic()
    who(server)

    assert time.monotonic() - started < 1
    assert pool.count(server.reader) == 0


def test_what_the_last_use_left_is_forgotten_by_the_time_of_the_next(server, pool):
    """The answer to the reset is read then, not waited for."""
    who(server)
    session = pool._idle[server.reader][0].session

    assert session.ready()
    assert session.ready()
    assert who(server) == who(server)
