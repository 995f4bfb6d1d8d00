"""What every operators' command has in common: help, exit codes, progress, a calm end."""

import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import (
    CommandError,
    call_command,
    get_commands,
    load_command_class,
)

from common.commands import OperatorCommand, Progress, offenders
from common.exceptions import Conflict

MANAGE = Path(settings.BASE_DIR, "manage.py")
APPS = {
    name: app
    for name, app in sorted(get_commands().items())
    if (settings.BASE_DIR / app).is_dir() and name != "migrate"  # Django's own, and more patient
}
REQUIRED = {
    "import_config": ["file"],
    "create_token": ["ci", "--role", "viewer"],
    "run_mapping": ["orders"],
    "spark_archive": ["file"],
}
DEAD_STORE = "mongodb://127.0.0.1:1"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, MANAGE, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", APPS)
def test_its_help_has_examples_and_exit_codes(name):
    command = load_command_class(APPS[name], name)
    assert isinstance(command, OperatorCommand)
    said = command.create_parser("manage.py", name).format_help()

    assert f"examples:\n  python manage.py {name}" in said
    assert "exit codes:\n  0 " in said
    assert "130  stopped by Ctrl-C" in said


@pytest.mark.parametrize("name", APPS)
def test_ctrl_c_ends_it_with_130_and_a_word(name, monkeypatch, capsys):
    command = load_command_class(APPS[name], name)
    monkeypatch.setattr(
        command, "handle", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    arguments = REQUIRED.get(name, [])

    with pytest.raises(SystemExit) as end:
        command.run_from_argv(["manage.py", name, *arguments])

    assert end.value.code == 130
    assert capsys.readouterr().err == f"\nStopped. {command.when_stopped}\n"


def test_ctrl_c_before_a_command_has_begun_is_quiet(monkeypatch):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("django.core.management.execute_from_command_line", interrupted)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(MANAGE), run_name="__main__")

    assert end.value.code == 130


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        ("check_connections", ["--parallel", "65"], "a whole number from 1 to 64"),
        ("check_connections", ["--timeout", "nan"], "seconds, more than 0 and up to 120"),
        ("verify_mappings", ["--parallel", "0"], "a whole number from 1 to 16"),
        ("seed_demo", ["--scale", "1e3"], "a whole number from 1 to 1000000"),
        ("run_worker", ["--concurrency", "two"], "a whole number from 1 to 64"),
        ("run_worker", ["--grace=-1"], "seconds, 0 or more and up to 86400"),
        ("create_token", ["ci", "--role", "viewer", "--expires-in", "0"], "a whole number from 1"),
        ("create_token", ["ci", "--role", "viewer", "--expires-in", "9" * 5000], "a whole number"),
    ],
)
def test_a_number_out_of_its_range_is_a_wrong_command_line(command, options, expected):
    refused = run(command, *options)

    assert refused.returncode == 2
    assert f": expected {expected}" in refused.stderr


@pytest.mark.parametrize("name", ["rotate_encryption_key", "export_config"])
def test_a_dead_store_is_one_sentence_and_exit_code_3(name):
    process = run(name, MONGODB_URL=DEAD_STORE)

    assert process.returncode == 3
    assert process.stderr == (
        "CommandError: The store does not answer. Start it, or set MONGODB_URL to where it is, and "
        "run the command again.\n"
    )


def test_a_key_can_be_made_before_there_is_one():
    process = run("generate_key", ENCRYPTION_KEY="", SECRET_KEY="", MONGODB_URL=DEAD_STORE)

    assert process.returncode == 0
    assert Fernet(process.stdout.strip())
    assert process.stdout.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_failure():
    command = [sys.executable, MANAGE, "generate_key"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()

        assert process.stderr.read() == b""
    assert process.returncode == 141


# --- Nothing raw on a terminal --------------------------------------------------------------------

NASTY = "\x1b[2J\rok\n\u202e\x9b\u2028\U000e0001é"
SPELLED = r"\u001b[2J\u000dok\u000a\u202e\u009b\u2028\ue0001é"


class Telling(OperatorCommand):
    def handle(self, *args, **options):
        self.tell(f'"{NASTY}"')
        if options["json"]:
            self.write_json({NASTY: [NASTY, "line\nline"]})
        if options["refused"]:
            raise Conflict(NASTY)
        raise offenders(f"{NASTY}:", [NASTY, "well"])

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--refused", action="store_true")


def told(**options):
    """Return what a command printed, and the text of its failure."""
    out = io.StringIO()
    with pytest.raises(CommandError) as failure:
        call_command(Telling(), stdout=out, **options)
    return out.getvalue(), str(failure.value)


def test_lines_and_failures_are_spelled():
    assert told() == (f'"{SPELLED}"\n', f"{SPELLED}:\n  {SPELLED}\n  well")
    assert told(refused=True)[1] == SPELLED


def test_json_is_spelled_and_exact():
    said = told(json=True)[0].split("\n", 1)[1]

    assert json.loads(said) == {NASTY: [NASTY, "line\nline"]}
    assert said.replace("\n", "").isprintable()
    assert "é" in said


# --- Progress -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(out, every_s):
    progress = Progress("Records", 4, out)
    progress._every_s = every_s
    with progress:
        for _ in range(4):
            progress.advance()
    return out.getvalue()


def test_progress_is_a_bar_on_a_terminal_and_leaves_no_trace():
    said = shown(Terminal(), 0)

    assert "Records ███████·······················" in said
    assert said.endswith("\r\x1b[K")


def test_progress_is_plain_lines_elsewhere():
    lines = shown(io.StringIO(), 0).splitlines()

    assert [line.split(",")[0] for line in lines] == [f"Records: {n} of 4" for n in (1, 2, 3, 4)]


def test_short_work_shows_no_progress():
    assert shown(io.StringIO(), 5.0) == ""
