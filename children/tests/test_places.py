"""Places are counted over processes, and nobody's many keep out who has none."""

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from children import places
from children.places import NoPlace, Places, folder


@pytest.fixture
def shared(tmp_path):
    return folder("tests", str(tmp_path / "places"))


def test_as_many_as_there_are_and_no_more(shared):
    counted = Places("probes", 3, shared)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(counted.take("a"))
        with pytest.raises(NoPlace), counted.take("a"):
            pass
    with counted.take("a"):
        pass


HOLD = """
import sys
from pathlib import Path
from children.places import Places
with Places("probes", 3, Path(sys.argv[1])).take("other", "s1"), \
        Places("probes", 3, Path(sys.argv[1])).take("other", "s2"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_other_processes_count_and_a_killed_one_gives_back(shared):
    counted = Places("probes", 2, shared)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.replace('"other", "s2"', '"other", "s1"'), str(shared)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == b"held\n"
        with counted.take("me", "mine"), pytest.raises(NoPlace), counted.take("other", "s1"):
            pass
        other.kill()
        other.wait()
    with counted.take("other", "s1"), counted.take("other", "s1"):
        pass


def test_one_client_takes_all_that_nobody_wants_and_not_the_last_ten(shared):
    counted = Places("probes", 50, shared)
    with ExitStack() as held:
        for _ in range(50):
            held.enter_context(counted.take("greedy", "hanging"))
        with pytest.raises(NoPlace), counted.take("greedy", "hanging"):
            pass
        for number in range(40):
            with counted.take(f"client {number % 4}", f"source {number % 3}"):
                pass


def test_others_are_served_side_by_side_on_one_source(shared):
    counted = Places("probes", 50, shared)
    with ExitStack() as held:
        for number in range(50):
            held.enter_context(counted.take("greedy", f"hanging {number}"))
        for number in range(10):
            held.enter_context(counted.take(f"client {number}", "good"))
        with pytest.raises(NoPlace), counted.take("greedy", "hanging 1"):
            pass


def test_one_client_s_hanging_source_leaves_places_to_its_others(shared):
    counted = Places("queries", 32, shared)
    with ExitStack() as held:
        for _ in range(32):
            held.enter_context(counted.take("one for all", "hanging"))
        for number in range(5):
            held.enter_context(counted.take("one for all", f"source {number}"))
        with pytest.raises(NoPlace), counted.take("one for all", "source 6"):
            pass
        for number in range(5):
            held.enter_context(counted.take(f"client {number}", "good"))


def test_one_source_that_hangs_leaves_places_to_the_others(shared):
    counted = Places("queries", 32, shared)
    with ExitStack() as held:
        for number in range(32):
            held.enter_context(counted.take(f"client {number}", "hanging"))
        with pytest.raises(NoPlace), counted.take("client 99", "hanging"):
            pass
        with counted.take("client 99", "good"):
            pass


def test_who_has_few_waits_a_moment_for_the_next_place(shared):
    counted = Places("queries", 2, shared)
    release = threading.Event()

    def hold() -> None:
        with counted.take("a", "s"):
            release.wait(5)

    with counted.take("b", "t"):
        holder = threading.Thread(target=hold)
        holder.start()
        time.sleep(0.1)
        threading.Timer(0.2, release.set).start()
        started = time.monotonic()
        with counted.take("b", "u"):
            assert time.monotonic() - started < places.PATIENCE_S
        holder.join()


def test_a_client_without_a_place_waits_longer(shared):
    counted = Places("queries", 10, shared)
    with ExitStack() as held:
        first = ExitStack()
        for number in range(20):
            one = first if number == 0 else held
            one.enter_context(counted.take("a" if number < 10 else f"b {number}", f"s {number}"))
        threading.Timer(places.PATIENCE_S + 0.3, first.close).start()
        with counted.take("c", "good"):
            pass


def test_a_forked_process_holds_none_of_ours(shared):
    counted = Places("probes", 1, shared)
    with counted.take("a"):
        pid = os.fork()
        if pid == 0:
            try:
                with counted.take("a"):
                    os._exit(1)
            except NoPlace:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0


def test_a_folder_that_is_a_link_or_open_to_others_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="PLACES_DIR"):
        folder("tests", str(tmp_path / "link"))

    made = folder("tests", str(tmp_path / "made"))
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "probes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), Places("probes", 1, made).take("a"):
        pass
    assert not (tmp_path / "elsewhere").exists()
