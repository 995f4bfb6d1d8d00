import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.checkout import settle_store, told_to_commands

ROOT = Path(__file__).resolve().parents[2]
URL = "mongodb://127.0.0.1:41999"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout in which `make run` was used, and no environment that names a store."""
    for name in ("MONGODB_URL", "MONGODB_DB_NAME", "ENV_FILE"):
        monkeypatch.setenv(name, "restored after the test")
        monkeypatch.delenv(name)
    (tmp_path / ".run").mkdir()
    (tmp_path / ".run" / "lock").touch()
    return tmp_path


def test_commands_act_on_the_store_of_make_run_while_it_runs(root, capsys):
    with (root / ".run" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with told_to_commands(root / ".run", {"MONGODB_URL": URL, "SECRET_KEY": "s3cret"}):
            assert "s3cret" not in (root / ".run" / "run.env").read_text()
            settle_store(root)
    assert os.environ["MONGODB_URL"] == URL
    assert "The store is the one of `make run`." in capsys.readouterr().err


def test_once_it_is_stopped_they_act_on_no_other(root, capsys):
    with told_to_commands(root / ".run", {"MONGODB_URL": URL}):
        # As after a kill: the file is there, and nobody holds the lock.
        settle_store(root)
    assert os.environ["MONGODB_URL"].endswith("stopped.sock")
    assert "not running: start it, or set MONGODB_URL." in capsys.readouterr().err


def test_a_store_that_is_named_stays(root, monkeypatch, capsys):
    (root / ".env").write_text("MONGODB_URL=mongodb://ours\n")
    settle_store(root)
    assert os.environ["MONGODB_URL"] == "mongodb://ours"
    monkeypatch.setenv("MONGODB_URL", "mongodb://mine")
    settle_store(root)
    assert os.environ["MONGODB_URL"] == "mongodb://mine"
    assert capsys.readouterr().err == ""


def test_a_python_without_django_is_told_which_one_has_it():
    told = subprocess.run(
        # Without site-packages.
        [sys.executable, "-S", "manage.py", "check"], cwd=ROOT, capture_output=True, text=True
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.strip().endswith(".venv/bin/python manage.py check")
