"""Redis and RabbitMQ, Debian's own, for tests of what hears of runs by a broker."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from devtools.packages import Need, ensure_programs, find_program
from devtools.processes import LOOPBACK, Server, free_port, running, wait_until

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server itself: the one on PATH changes its account first."""


@contextlib.contextmanager
def redis(folder: Path, port: int, password: str) -> Iterator[Server]:
    """Run Redis until the block ends, on loopback alone; what it holds is in memory.

    Raises LauncherError.
    """
    ensure_programs([Need("redis-server", "redis-server")])
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        find_program("redis-server") or "redis-server", "--port", str(port), "--bind", LOOPBACK,
        "--dir", folder, "--save", "", "--requirepass", password,
    ]  # fmt: skip
    with running("Redis", command, log=folder / "server.log") as child:
        wait_until(lambda: _listens(port), child)
        yield Server(child, f"redis://:{password}@{LOOPBACK}:{port}/0")


@contextlib.contextmanager
def rabbitmq(folder: Path, port: int) -> Iterator[Server]:
    """Run RabbitMQ on `folder` until the block ends, on loopback alone, with its guest.

    Raises LauncherError.
    """
    ensure_programs([Need("rabbitmq-server", "rabbitmq-server"), Need("epmd", "erlang-base")])
    folder.mkdir(parents=True, exist_ok=True)
    names = str(free_port())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        # Erlang's register of names: of its own, and ended with the server.
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": names,
        "RABBITMQ_NODENAME": "etl@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {_tuple()}",
    }
    epmd = [find_program("epmd") or "epmd", "-address", LOOPBACK, "-port", names]
    with (
        running("epmd", epmd, log=folder / "epmd.log"),
        running("RabbitMQ", [RABBITMQ], log=folder / "server.log", env=environment) as child,
    ):
        wait_until(lambda: _listens(port), child, timeout_s=180)
        yield Server(child, f"amqp://guest:guest@{LOOPBACK}:{port}//")


def _tuple() -> str:
    """Return loopback as Erlang has it: `{127,0,0,1}`."""
    return "{" + LOOPBACK.replace(".", ",") + "}"


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
