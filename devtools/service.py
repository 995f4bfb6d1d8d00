"""The service as it runs in production: the server with two workers and threads, over a store."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from devtools.processes import LOOPBACK, Child, free_port, running, wait_until

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def service(
    mongodb_url: str, database: str, log: Path, *, migrate: bool = True, **environment: str
) -> Iterator[tuple[Child, int]]:
    """Run the service over the store at `mongodb_url` until the block ends; yield it and its port.

    Raises LauncherError.
    """
    port = free_port()
    env = os.environ | {
        "MONGODB_URL": mongodb_url,
        "MONGODB_DB_NAME": database,
        "PORT": str(port),
        "WEB_CONCURRENCY": "2",
        "WEB_THREADS": "32",
    }
    env |= environment
    if migrate:
        migration = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migration, check=True, cwd=ROOT, env=env)
    command = [sys.executable, "-m", "etl_config.serve"]
    with running("The service", command, log=log, env=env, cwd=ROOT) as child:
        wait_until(lambda: is_up(port), child)
        yield child, port


def is_up(port: int) -> bool:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
