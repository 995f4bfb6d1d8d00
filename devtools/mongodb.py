"""The embedded MongoDB-wire server, as a process of its own."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devtools.console import LauncherError
from devtools.processes import LOOPBACK, Server, running, wait_until


@contextlib.contextmanager
def mongodb(
    folder: Path, port: int, *, durable: bool = True, standalone: bool = False
) -> Iterator[Server]:
    """Run the server on `folder` until the block ends. `durable`: no acknowledged write is lost.

    `standalone`: it says that it is no replica set, and so has no transactions.

    Raises LauncherError.
    """
    if importlib.util.find_spec("secantus") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise LauncherError(
            f"The embedded MongoDB server has no build for Python {version}: set MONGODB_URL "
            "(TEST_MONGODB_URL for the tests), or remove .venv and install Python 3.13."
        )
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        sys.executable, Path(__file__).with_name("mongodb_server.py"),
        "--host", LOOPBACK, "--port", str(port),
        "--storage-path", folder / "data", "--cache-size", "256M", "--log-level", "WARNING",
    ]  # fmt: skip
    if durable:
        command.append("--sync-on-commit")
    if standalone:
        command.append("--standalone")
    url = f"mongodb://{LOOPBACK}:{port}"
    with running("The MongoDB server", command, log=folder / "server.log") as child:
        wait_until(lambda: answers(url), child)
        yield Server(child, url)


def answers(url: str, timeout_s: float = 0.5) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    client: MongoClient[dict[str, Any]]
    with MongoClient(url, serverSelectionTimeoutMS=int(timeout_s * 1000)) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True
