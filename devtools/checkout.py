"""Where commands of a checkout find the store that `make run` uses."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import environ

from devtools import dotenv
from devtools.console import say
from devtools.processes import write_private

ROOT = Path(__file__).resolve().parent.parent
TOLD = (
    "MONGODB_URL",
    "MONGODB_DB_NAME",
    "DEMO_SOURCE_URL",
    "ETL_SECRET_DEMO_SHOP_PASSWORD",
    "DATA_DIR",
)


@contextlib.contextmanager
def told_to_commands(state: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Let commands find the store until the block ends."""
    file = state / "run.env"
    lines = [f"{name}='{environment[name]}'\n" for name in TOLD if environment.get(name)]
    write_private(file, "".join(lines))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def settle_store(root: Path = ROOT) -> None:
    """Have the settings name the store of `make run`, where they name none themselves.

    While it does not run they name one that nobody answers at: another MongoDB, at the default
    address, is not the one that is meant.
    """
    dotenv.load(Path(os.environ.get("ENV_FILE", root / ".env")))
    state = root / ".run"
    if os.environ.get("MONGODB_URL"):
        return
    if is_running(state):
        environ.Env.read_env(state / "run.env")
        say("The store is the one of `make run`.")
        return
    os.environ["MONGODB_URL"] = f"mongodb://{quote(str(state / 'stopped.sock'), safe='')}"
    say("The store is the one of `make run`, which is not running: start it, or set MONGODB_URL.")


def is_running(state: Path) -> bool:
    """Tell whether `make run` holds its lock, and has told where its store is."""
    with (state / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return (state / "run.env").exists()
        return False
