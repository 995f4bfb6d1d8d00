"""The store that is measured on: yours, from MONGODB_URL, or a compiled server of our own."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from pymongo import MongoClient
from pymongo.database import Database

from devtools.console import LauncherError, say
from devtools.mongodb import answers
from devtools.processes import LOOPBACK, free_port, running, wait_until

ROOT = Path(__file__).resolve().parent.parent
SERVER_ROOT = ROOT / ".run" / "secantusd"
SERVER = SERVER_ROOT / "bin" / "secantusd-rs"
CRATE, VERSION = "secantus-mdb", "0.5.3-beta.193"


@dataclass(frozen=True)
class Store:
    """A migrated database, and the environment that tells a service of it."""

    database: Database[dict[str, Any]]
    environment: dict[str, str]


@contextlib.contextmanager
def store() -> Iterator[Store]:
    """Hold a fresh, migrated database until the block ends; it is gone afterwards.

    Raises LauncherError.
    """
    name = f"etl_benchmark_{secrets.token_hex(4)}"
    with _server() as url, MongoClient[dict[str, Any]](url) as client:
        environment = {
            "MONGODB_URL": url,
            "MONGODB_DB_NAME": name,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ENCRYPTION_KEY": Fernet.generate_key().decode(),
            # The peer asks nobody who they are.
            "API_AUTH": "open",
        }
        try:
            _migrate(environment)
            yield Store(client[name], environment)
        finally:
            client.drop_database(name)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    if url := os.environ.get("MONGODB_URL"):
        if not answers(url, timeout_s=5):
            raise LauncherError("The MongoDB server of MONGODB_URL does not answer.")
        yield url
        return
    _build()
    folder = Path(tempfile.mkdtemp(prefix="etl-engine-benchmark-"))
    port = free_port()
    url = f"mongodb://{LOOPBACK}:{port}"
    command: list[str | Path] = [
        SERVER, "--host", LOOPBACK, "--port", str(port), "--storage-path", folder / "data",
        "--log-level", "WARNING", "--cache-size", "2G",
    ]  # fmt: skip
    try:
        with running("The MongoDB server", command, log=folder / "server.log") as child:
            wait_until(lambda: answers(url), child)
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build() -> None:
    if SERVER.exists():
        return
    if shutil.which("cargo") is None:
        raise LauncherError("Install Rust to build the compiled server, or set MONGODB_URL.")
    say(f"Building the compiled server into {SERVER_ROOT.relative_to(ROOT)} (once, some minutes)")
    # The crate names a newer compiler than it needs.
    command = [
        "cargo", "install", CRATE, "--version", VERSION, "--ignore-rust-version", "--quiet",
        "--root", str(SERVER_ROOT),
    ]  # fmt: skip
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise LauncherError("Building the compiled server failed; the lines above say why.")


def _migrate(environment: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT, env={**os.environ, **environment}, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    if result.returncode != 0:
        raise LauncherError("The store could not be migrated; the lines above say why.")
