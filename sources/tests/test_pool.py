"""Sessions are kept for the next use, few and not for long, and each use starts clean."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg2
import pytest

from children.pool import Pool, PoolLimits
from sources import asking
from sources.errors import (
    QueryFailed,
    SourceError,
    SourceTimeout,
    SourceUnreachable,
    StatementRefused,
)
from sources.preview import run_preview

WHO = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
END = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
SLEEP = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}


@pytest.fixture
def pool(monkeypatch):
    """A pool of the test's own, closed at its end."""
    made = Pool(asking.host, full=asking.pool.full, kept_after=asking.pool.kept_after)
    monkeypatch.setattr(asking, "pool", made)
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


def test_a_child_that_died_while_idle_is_replaced(server, pool):
    first = who(server)
    os.kill(pool._idle[server.reader][0].child.pid, signal.SIGKILL)

    assert who(server) != first
    assert pool.count(server.reader) == 1


def gets_in(params, within_s: float = 1.0) -> bool:
    """Tell whether another program can connect; the server notices the end of a session late."""
    until = time.monotonic() + within_s
    while True:
        try:
            psycopg2.connect(
                host=params.host, port=params.port, dbname=params.database, user=params.username,
                password=params.password,
            ).close()  # fmt: skip
        except psycopg2.OperationalError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        else:
            return True


def test_a_source_with_room_for_one_connection_is_shared_by_all_processes(postgres, pool, tmp_path):
    """What another process keeps idle is given up when the source says that it is full."""
    asking.marks.shared = tmp_path
    postgres.run(f"ALTER ROLE {postgres.reader.username} CONNECTION LIMIT 1")
    other = Pool(asking.host, full=pool.full, kept_after=pool.kept_after)
    arguments = {
        "params": postgres.reader.to_json(),
        "timeout_s": 5.0,
        "sql": WHO["postgresql"],
        "limit_rows": 1,
    }
    try:
        with other.child(postgres.reader, time.monotonic() + 5) as child:
            child.ask("sources.serving:read", arguments, time.monotonic() + 5)
        for _ in range(5):
            assert who(postgres)
        assert pool.count(postgres.reader) == 0
        assert gets_in(postgres.reader)
    finally:
        postgres.run(f"ALTER ROLE {postgres.reader.username} CONNECTION LIMIT -1")
        asking.marks.shared = None
        other.close_idle()


def allow_connections(server, most: int) -> None:
    """Set how many connections the reading account may have at once; 0 is any number."""
    name = server.reader.username
    if server.kind == "postgresql":
        server.run(f"ALTER ROLE {name} CONNECTION LIMIT {most or -1}")
        return
    for host in ("%", "localhost"):
        server.run(f"ALTER USER {name}@'{host}' WITH MAX_USER_CONNECTIONS {most}")


def test_those_who_ask_at_once_take_turns_with_the_one_connection_there_is(server, pool):
    allow_connections(server, 1)
    try:
        with ThreadPoolExecutor(5) as executor:
            found = list(executor.map(lambda _: who(server), range(5)))
    finally:
        allow_connections(server, 0)

    assert len(found) == 5
    assert pool.count(server.reader) == 0


def test_no_more_sessions_than_the_limit_and_the_rest_wait(server, pool):
    pool.limits = PoolLimits(per_key=2)
    most = []

    def one(_number: int) -> None:
        run_preview(server.reader, SLEEP[server.kind].format(0.05))
        most.append(pool.count(server.reader))

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(one, range(8)))

    assert max(most) <= 2


def test_waiting_for_a_session_ends_with_the_time_given(server, pool):
    pool.limits = PoolLimits(per_key=1)
    with ThreadPoolExecutor(1) as executor:
        busy = executor.submit(run_preview, server.reader, SLEEP[server.kind].format(0.6))
        time.sleep(0.2)
        with pytest.raises(SourceTimeout, match="were busy until the time was up"):
            run_preview(server.reader, "SELECT 1", timeout_s=0.2)
        busy.result()


def test_the_process_holds_a_bounded_number_for_all_sources(postgres, mysql, pool):
    pool.limits = PoolLimits(in_all=1)
    who(postgres)
    who(mysql)

    assert pool.count(postgres.reader) == 0
    assert pool.count(mysql.reader) == 1


def test_idle_sessions_are_closed_after_a_while(server, pool):
    pool.limits = PoolLimits(idle_s=0.2)
    first = who(server)
    time.sleep(0.6)

    assert pool.count(server.reader) == 0
    assert who(server) != first


def test_old_sessions_are_not_kept(server, pool):
    pool.limits = PoolLimits(age_s=0)
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

    assert pool.count(server.reader) <= pool.limits.per_key


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
