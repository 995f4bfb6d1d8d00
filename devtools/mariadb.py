"""A MariaDB server of our own, from Debian's packages, for the tests."""

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pymysql

from devtools.console import LauncherError
from devtools.packages import Need, find_program
from devtools.processes import LOOPBACK, Server, running, wait_until, write_private

OTHERWISE = "Or name a server in TEST_MYSQL_URL."
# The `-core` packages hold the programs alone; `mariadb-server` would also start a service.
NEEDS = [
    Need("mariadbd", "mariadb-server-core", OTHERWISE),
    Need("my_print_defaults", "mariadb-client-core", OTHERWISE),  # mariadb-install-db calls it
]
HURRIED = [
    "--innodb-flush-method=nosync",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-log-file-size=16M",
    "--innodb-buffer-pool-size=64M",
]


@contextlib.contextmanager
def mariadb(folder: Path, port: int, password: str) -> Iterator[Server]:
    """Run MariaDB on a new `folder` until the block ends, on loopback alone, in a hurry.

    The URL is root's, without a database.

    Raises LauncherError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _initialise(folder)
    setup = folder / "setup.sql"
    write_private(setup, _setup_sql(password))
    command = [
        *_server_command(folder), f"--port={port}", f"--bind-address={LOOPBACK}",
        f"--socket={_socket(folder)}", f"--pid-file={folder / 'server.pid'}",
        f"--init-file={setup}", "--skip-name-resolve", "--character-set-server=utf8mb4",
    ]  # fmt: skip
    url = f"mysql://root:{password}@{LOOPBACK}:{port}"
    with running("MariaDB", command, log=folder / "server.log") as child:
        wait_until(lambda: _answers(port, password), child)
        yield Server(child, url)


def _server_command(folder: Path) -> list[str]:
    user = [f"--user={getpass.getuser()}"] if os.geteuid() == 0 else []
    program = find_program("mariadbd") or "mariadbd"
    return [program, "--no-defaults", f"--datadir={folder / 'data'}", *user, *HURRIED]


def _socket(folder: Path) -> str:
    """Return a socket's path of at most 107 characters, or none at all where that cannot be."""
    path = str(folder / "server.sock")
    return path if len(path) <= 107 else ""


def _initialise(folder: Path) -> None:
    program = find_program("mariadb-install-db") or "mariadb-install-db"
    result = subprocess.run(
        [
            program, *_server_command(folder)[1:], "--auth-root-authentication-method=normal",
            "--skip-test-db", "--cross-bootstrap",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if result.returncode != 0:
        lines = (result.stderr + result.stdout).strip().splitlines()
        raise LauncherError("mariadb-install-db failed: " + " ".join(lines[-5:]))


def _setup_sql(password: str) -> str:
    """Return what makes root, with its password and from everywhere, the only account."""
    return "\n".join(
        [
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');",
            "FLUSH PRIVILEGES;",
            f"CREATE USER root@'%' IDENTIFIED BY '{password}';",
            "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
        ]
    )


def _answers(port: int, password: str) -> bool:
    try:
        pymysql.connect(host=LOOPBACK, port=port, user="root", password=password).close()
    except pymysql.MySQLError:
        return False
    return True
