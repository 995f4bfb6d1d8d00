"""A child does what it is asked, knows no key, and ends when it should."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from children import networks
from children.host import ChildFailed, ChildGone, ChildLate, Host
from children.limits import Limits
from children.networks import Networks

WORK = "children.tests.work"


@pytest.fixture(scope="module")
def host():
    made = Host([WORK])
    yield made
    made.close()


@pytest.fixture
def child(host):
    started = host.start()
    yield started
    started.kill()


def ask(child, call, seconds=5.0, **arguments):
    return child.ask(f"{WORK}:{call}", arguments, time.monotonic() + seconds)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int, within_s: float = 2.0) -> bool:
    until = time.monotonic() + within_s
    while running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not running(pid)


def test_a_child_answers_again_and_again(child):
    assert ask(child, "echo", a=[1, None, "ä"]) == {"a": [1, None, "ä"]}
    assert ask(child, "who") == ask(child, "who") == child.pid != os.getpid()
    assert child.alive


def test_a_child_holds_to_the_networks_of_each_moment(child, monkeypatch):
    assert ask(child, "permits", address="10.0.0.1")

    monkeypatch.setattr(networks, "_in_force", Networks.of(["10.0.0.0/8"]))
    assert not ask(child, "permits", address="10.0.0.1")
    assert not ask(child, "permits", address="10.0.0.1")

    monkeypatch.undo()
    assert ask(child, "permits", address="10.0.0.1")


def test_the_environment_of_the_service_is_nowhere_in_it(host, monkeypatch):
    monkeypatch.setenv("ENCRYPTION_KEY", "the-key-of-the-service")
    made = Host([WORK])
    try:
        child = made.start()
        zygote = made._process.pid
        assert ask(child, "told", name="ENCRYPTION_KEY") is None
        for pid in ("self", str(zygote)):
            assert "the-key" not in ask(child, "read_file", path=f"/proc/{pid}/environ")
    finally:
        made.close()


def test_the_parent_is_hidden_from_other_processes_of_the_account(host):
    host.warm()
    owner = Path("/proc/self/environ").stat().st_uid

    assert owner == 0
    assert "Dumpable" not in ask(host.start(), "status")


def test_a_child_is_bound(host):
    bound = host.start(Limits(memory_mib=100, cpu_s=7, file_mib=2, descriptors=50))
    limits = ask(bound, "limits")
    bound.kill()

    assert limits["RLIMIT_CORE"] == 0
    assert limits["RLIMIT_CPU"] == 7
    assert limits["RLIMIT_FSIZE"] == 2 * 1024**2
    assert limits["RLIMIT_NOFILE"] == 50
    assert limits["RLIMIT_AS"] < 2 * 1024**3


def test_it_gets_no_new_privileges_and_one_thread_beside_its_own(child):
    status = ask(child, "status")

    assert status["NoNewPrivs"] == "1"
    assert status["Threads"] == "2"


def test_a_failure_and_an_accident_are_told_apart(child):
    with pytest.raises(ChildFailed) as failed:
        ask(child, "fail", code="as_wished")
    assert (failed.value.code, failed.value.details) == ("as_wished", {"why": "asked to"})

    with pytest.raises(ChildFailed) as failed:
        ask(child, "stumble")
    assert failed.value.code == "unforeseen"
    assert failed.value.details.startswith("ValueError at ")
    assert "a secret" not in failed.value.details


@pytest.mark.parametrize("call", ["os:getpid", f"{WORK}:_private", f"{WORK}:nothing"])
def test_only_the_functions_of_the_named_modules_can_be_called(child, call):
    with pytest.raises(ChildFailed) as failed:
        child.ask(call, {}, time.monotonic() + 5)
    assert failed.value.code == "unforeseen"


def test_what_takes_too_long_is_left_with_the_last_note_and_killed(host):
    child = host.start()
    started = time.monotonic()
    with pytest.raises(ChildLate) as late:
        child.ask(f"{WORK}:sleep", {"seconds": 30}, time.monotonic() + 0.3)

    assert time.monotonic() - started < 0.5
    assert late.value.note == "sleeping"
    child.kill()
    assert ends(child.pid)


def test_before_it_ends_it_may_put_things_in_order(host, tmp_path):
    child = host.start()
    with pytest.raises(ChildLate):
        ask(child, "mark_on_stop", 0.3, path=str(tmp_path / "stopped"))
    child.stop()

    assert ends(child.pid)
    assert (tmp_path / "stopped").exists()


def test_even_one_that_hears_nothing_is_stopped(host):
    child = host.start()
    with pytest.raises(ChildLate):
        ask(child, "spin", 0.2)
    child.stop()

    assert ends(child.pid, 3)


def test_more_memory_than_allowed_is_a_failure(child):
    with pytest.raises(ChildFailed) as failed:
        ask(child, "fill_memory")
    assert failed.value.code == "out_of_memory"


def test_a_crash_is_seen_at_once_and_the_next_child_is_well(host):
    child = host.start()
    started = time.monotonic()
    with pytest.raises(ChildGone):
        ask(child, "crash")

    assert time.monotonic() - started < 2
    assert not child.alive
    assert ask(host.start(), "echo") == {}


def test_threads_start_and_ask_children_at_once(host):
    def one(number: int) -> None:
        child = host.start()
        assert ask(child, "echo", n=number) == {"n": number}
        child.kill()

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(one, range(100)))


def test_nothing_is_left_of_many_children(host):
    host.warm()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    pids = []
    for _ in range(200):
        child = host.start()
        pids.append(child.pid)
        ask(child, "echo")
        child.kill()

    assert all(ends(pid) for pid in pids)
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


def test_a_zygote_that_died_is_started_anew(host):
    host.warm()
    os.kill(host._process.pid, signal.SIGKILL)
    time.sleep(0.1)

    assert ask(host.start(), "echo") == {}


def test_a_forked_process_has_a_zygote_of_its_own_and_leaves_ours_alone(host):
    child = host.start()
    reading, writing = os.pipe()
    forked = os.fork()
    if forked == 0:
        try:
            del child
            os.write(writing, str(ask(host.start(), "who")).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert int(answer.read()) != child.pid
    os.waitpid(forked, 0)
    assert ask(child, "who") == child.pid
    child.kill()


SCRIPT = """
import json, os, sys, time, threading
from children.host import Host
host = Host(["children.tests.work"])
child = host.start()
print(json.dumps([host._process.pid, child.pid]), flush=True)
threading.Thread(
    target=lambda: child.ask("children.tests.work:sleep", {"seconds": 60}, time.monotonic() + 60),
    daemon=True).start()
time.sleep(0.2)
sys.stdin.read()
"""


@pytest.mark.parametrize("way", ["killed", "ended"])
def test_no_process_outlives_its_host(way):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pids = json.loads(process.stdout.readline())
        time.sleep(0.4)
        assert all(running(pid) for pid in pids)
        if way == "killed":
            process.kill()
        else:
            process.stdin.close()
        process.wait()
    assert all(ends(pid) for pid in pids)


def test_what_a_child_leaves_behind_is_reaped(host):
    child = host.start()
    pid = ask(child, "leave_an_orphan")
    child.kill()
    until = time.monotonic() + 3
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
