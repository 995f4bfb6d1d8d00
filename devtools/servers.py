"""Run a command, the tests above all, with servers of its own; or hold these until Ctrl-C.

    python -m devtools.servers -- python -m pytest
    python -m devtools.servers --only mongodb -- python manage.py makemigrations --check
    python -m devtools.servers

Every server listens on a free loopback port and keeps its data in one temporary folder, which is
gone afterwards. TEST_POSTGRES_URL, TEST_MYSQL_URL and TEST_MONGODB_URL name servers to use
instead; the account in them must be allowed to create databases and accounts.
"""

import argparse
import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymysql

from devtools import mariadb as mariadb_module
from devtools.accounts import remove_folder, unprivileged
from devtools.console import LauncherError, fail, say
from devtools.mariadb import mariadb
from devtools.mongodb import mongodb
from devtools.packages import Need, ensure_programs
from devtools.postgres import postgres, session
from devtools.processes import (
    Child,
    free_port,
    ignore_signals,
    interrupt_on_signals,
    new_password,
    watch,
    write_private,
)

DATABASE = "etl_test"
NAMES = ("postgres", "mariadb", "mongodb")
ENV_FILE = Path(".run/test.env")


def main() -> int:
    options = _options()
    interrupt_on_signals()
    try:
        with servers(options.only or NAMES) as (environment, children):
            code = (
                run_command(options.command, environment)
                if options.command
                else hold(environment, children)
            )
            ignore_signals()
            return code
    except LauncherError as error:
        return fail(error)
    except KeyboardInterrupt:
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devtools.servers", description=__doc__)
    parser.add_argument("--only", action="append", choices=[*NAMES, "none"])
    parser.add_argument("command", nargs="*", help="what to run, after --")
    return parser.parse_args()


@contextlib.contextmanager
def servers(names: list[str] | tuple[str, ...]) -> Iterator[tuple[dict[str, str], list[Child]]]:
    """Bring up the servers named; yield the environment that tells of them, and the processes.

    Raises LauncherError.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_temporary_folder())
        children: list[Child] = []
        environment = _fresh_secrets() | _folders(folder)
        if set(names) == set(NAMES):
            ensure_programs(programs_of_the_tests())
        if "postgres" in names:
            environment["TEST_POSTGRES_URL"] = _postgres_url(stack, folder, children)
        if "mariadb" in names:
            environment["TEST_MYSQL_URL"] = _mysql_url(stack, folder, children)
        if "mongodb" in names:
            environment |= _mongodb_environment(stack, folder, children)
        yield environment, children
        # The servers' logs and data go with the folder; Ctrl-C must not leave half of it.
        ignore_signals()


def programs_of_the_tests() -> list[Need]:
    """Return what single tests start for themselves.

    TLS needs Debian's PostgreSQL: the wheel's is built without.
    """
    needs = [
        Need("sshd", "openssh-server"),
        Need("ssh-keygen", "openssh-client"),
        Need("chromium", "chromium"),
        Need("pgbouncer", "pgbouncer"),
    ]
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        needs.append(Need("pg_ctlcluster", "postgresql"))
    return needs


def _fresh_secrets() -> dict[str, str]:
    from cryptography.fernet import Fernet

    return {
        "ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "SECRET_KEY": secrets.token_urlsafe(50),
        # Tests of who may what say so.
        "API_AUTH": "open",
        # A developer's own `.env` has no say in the tests.
        "ENV_FILE": os.devnull,
    }


def _folders(folder: Path) -> dict[str, str]:
    """Return where the service keeps what its processes share: nothing of it stays."""
    return {"DATA_DIR": str(folder / "data"), "PLACES_DIR": str(folder / "places")}


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    account = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="etl-engine-test-")).resolve()
    try:
        if account:
            # PostgreSQL's account passes through to its own folder, and sees no other.
            folder.chmod(0o711)
        yield folder
    finally:
        remove_folder(folder / "postgres")
        remove_folder(folder)


def _postgres_url(stack: contextlib.ExitStack, folder: Path, children: list[Child]) -> str:
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        return given
    server = stack.enter_context(
        postgres(folder / "postgres", free_port(), new_password(), durable=False)
    )
    children.append(server.child)
    with session(server.url) as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
    return server.url.rpartition("/")[0] + f"/{DATABASE}"


def _mysql_url(stack: contextlib.ExitStack, folder: Path, children: list[Child]) -> str:
    given = os.environ.get("TEST_MYSQL_URL")
    if given:
        return given
    ensure_programs(mariadb_module.NEEDS)
    port, password = free_port(), new_password()
    server = stack.enter_context(mariadb(folder / "mariadb", port, password))
    children.append(server.child)
    with pymysql.connect(host="127.0.0.1", port=port, user="root", password=password) as root:
        root.cursor().execute(f"CREATE DATABASE {DATABASE}")
    return f"{server.url}/{DATABASE}"


def _mongodb_environment(
    stack: contextlib.ExitStack, folder: Path, children: list[Child]
) -> dict[str, str]:
    """Return where the store is. MONGODB_URL may name a store in use, so the tests ignore it."""
    url = os.environ.get("TEST_MONGODB_URL")
    if not url:
        server = stack.enter_context(mongodb(folder / "mongodb", free_port(), durable=False))
        children.append(server.child)
        url = server.url
    return {"MONGODB_URL": url, "MONGODB_DB_NAME": DATABASE}


def run_command(command: list[str], environment: dict[str, str]) -> int:
    """Run a command in the foreground and return its exit code.

    A Ctrl-C in the terminal reaches it too: it gets time to end in its own way, then is told.
    """
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        return process.wait()
    except KeyboardInterrupt:
        ignore_signals()
        for number, patience_s in ((None, 3), (signal.SIGINT, 10), (signal.SIGKILL, None)):
            if number is not None:
                process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(patience_s)
        return 130


def hold(environment: dict[str, str], children: list[Child]) -> int:
    """Keep the servers up, their addresses in `.run/test.env`, until Ctrl-C."""
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    ENV_FILE.parent.mkdir(mode=0o711, exist_ok=True)
    write_private(ENV_FILE, text)
    print(text, end="", flush=True)
    say(f"In another terminal: . {ENV_FILE} && .venv/bin/python -m pytest -k cron")
    say("Ctrl-C stops the servers.")
    try:
        watch(children)
    except KeyboardInterrupt:
        ignore_signals()
    finally:
        # Another `make servers` may have put its own there.
        if ENV_FILE.exists() and ENV_FILE.read_text() == text:
            ENV_FILE.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
