import os
import socket
import sys
import time
from pathlib import Path

import pytest

from devtools.console import LauncherError
from devtools.processes import (
    free_port,
    port_is_free,
    running,
    wait_until,
    watch,
    write_private,
)

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def python(script):
    return [sys.executable, "-c", script]


def lives(pid):
    try:
        # The third field is the state: a zombie has ended, nobody has asked for it yet.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_will_not_stop_is_ended_with_all_it_started(tmp_path):
    log = tmp_path / "log"
    with running("Stubborn", python(STUBBORN), log=log, stop_timeout_s=0.2) as child:
        wait_until(lambda: log.read_text().strip().isdigit(), child)
        grandchild = int(log.read_text())
        assert lives(grandchild)

    time.sleep(0.1)
    assert not lives(grandchild)
    assert child.process.returncode == -9


def test_the_lines_of_a_labelled_process_stand_behind_its_label(capfdbinary):
    with running("It", python("print('up', flush=True); print('and on')"), label="it") as child:
        child.process.wait()

    assert capfdbinary.readouterr().out == b"it | up\nit | and on\n"


def test_a_server_that_ends_while_it_starts_is_told_with_its_last_lines(tmp_path):
    log = tmp_path / "log"
    with (
        running("The server", python("print('no room left'); exit(3)"), log=log) as child,
        pytest.raises(LauncherError) as told,
    ):
        wait_until(lambda: False, child)

    assert str(told.value) == (
        f"The server ended by itself (exit code 3). Its last lines, from {log}:\nno room left"
    )


def test_a_server_that_never_answers_is_told():
    with (
        running("The server", python("import time; time.sleep(60)")) as child,
        pytest.raises(LauncherError, match=r"^The server did not answer within 0\.1 s\.$"),
    ):
        wait_until(lambda: False, child, timeout_s=0.1)


def test_the_one_of_several_that_ends_is_named():
    with (
        running("A", python("import time; time.sleep(60)")) as first,
        running("B", python("exit(0)")) as second,
        pytest.raises(LauncherError, match=r"^B ended by itself \(exit code 0\)\.$"),
    ):
        watch([first, second])


def test_children_end_when_their_launcher_is_killed(tmp_path):
    log = tmp_path / "log"
    launcher = """
import sys, time
from pathlib import Path
from devtools.processes import running
with running("Child", [sys.executable, "-c", "import time; time.sleep(60)"]) as child:
    print(child.process.pid, flush=True)
    time.sleep(60)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with running("Launcher", python(launcher), log=log, env=env) as child:
        wait_until(lambda: log.read_text().strip().isdigit(), child)
        grandchild = int(log.read_text())
        child.process.kill()
        child.process.wait()

        deadline = time.monotonic() + 5
        while lives(grandchild) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not lives(grandchild)


def test_a_taken_port_is_seen_and_avoided():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]

        assert not port_is_free(taken)
        assert free_port(taken) != taken

    assert free_port(taken) == taken


def test_a_private_file_is_its_owners_alone_even_over_an_open_one(tmp_path):
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)

    write_private(file, "new")

    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600
