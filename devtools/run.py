"""`make run`: everything the service needs on this machine, until Ctrl-C.

MONGODB_URL names a store of your own, PORT another port, DEMO=0 leaves the demo out; WORKERS=0
starts no worker, WORKERS=2 two. A scheduler fires what is due.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devtools import dotenv
from devtools.checkout import told_to_commands
from devtools.console import LauncherError, fail, say
from devtools.mongodb import answers, mongodb
from devtools.prepare import ADMIN
from devtools.processes import (
    LOOPBACK,
    Child,
    die_with_parent,
    free_port,
    ignore_signals,
    interrupt_on_signals,
    port_is_free,
    running,
    share_with_children,
    wait_until,
    watch,
)
from devtools.shop import shop

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".run"
LOCK = STATE / "lock"
PASSWORD_FILE = STATE / "admin-password"
MONGODB_PORT = 27017
PROGRAMS = {
    "api": ["-m", "etl_config.serve"],
    "scheduler": ["manage.py", "run_scheduler"],
}
"""What the service is made of: the arguments of each program. When one ends, all are stopped."""
WORKER = ["manage.py", "run_worker"]


@dataclass(frozen=True)
class Running:
    """What the closing lines tell."""

    port: int
    store: str
    demo: str | None
    admin: str


def main() -> int:
    interrupt_on_signals()
    if "MAKELEVEL" in os.environ:
        # Should make be killed, everything ends with it.
        die_with_parent()
    try:
        # Unwinding stops the newest first: the API, its source, its store.
        with contextlib.ExitStack() as stack, _quiet_end():
            watch(start(stack))
        return 0
    except LauncherError as error:
        return fail(error)
    except KeyboardInterrupt:
        return 0


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("Stopping")
    finally:
        ignore_signals()
        _sign_off()


def start(stack: contextlib.ExitStack) -> list[Child]:
    """Bring everything up, tell where it is, and return the processes to watch.

    Raises LauncherError.
    """
    os.chdir(ROOT)
    if dotenv.ensure(ROOT / ".env", ROOT / ".env.example"):
        say("Wrote .env with fresh keys")
    dotenv.load(ROOT / ".env")
    if not os.environ.get("DATA_DIR", "").strip():
        os.environ["DATA_DIR"] = str(STATE / "data")
    _open_on_loopback()
    _claim(stack)
    port = _port()
    stack.callback(say, "Stopped.")
    children: list[Child] = []
    store = _store(stack, children)
    demo = _demo(stack, children)
    admin = _prepare()
    stack.enter_context(told_to_commands(STATE, os.environ))
    children += _programs(stack, port)
    print(_closing_lines(Running(port, store, demo, admin)), flush=True)
    return children


def _open_on_loopback() -> None:
    """Ask for no token where only this machine can reach the API, unless told otherwise."""
    host = os.environ.get("LISTEN_HOST", "").strip() or LOOPBACK
    if host in (LOOPBACK, "localhost", "::1") and not os.environ.get("API_AUTH", "").strip():
        os.environ["API_AUTH"] = "open"


def _port() -> int:
    text = os.environ.get("PORT", "8000")
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise LauncherError(f'PORT="{text}" is not a port: choose one from 1 to 65535.')
    host = os.environ.get("LISTEN_HOST", LOOPBACK)
    if not port_is_free(int(text), host):
        raise LauncherError(f"Port {text} is taken. Choose another: PORT=8001 make run")
    return int(text)


def _claim(stack: contextlib.ExitStack) -> None:
    """Hold the data folder: two runs on the same data would break both.

    The servers share the lock. Those whose launcher is gone are about to end: we wait for them.
    """
    STATE.mkdir(mode=0o711, exist_ok=True)
    lock = stack.enter_context(LOCK.open("a"))
    deadline = time.monotonic() + 20
    while not _locked(lock):
        if _holder_lives() or time.monotonic() > deadline:
            raise LauncherError("`make run` is already running in this folder.")
        time.sleep(0.1)
    LOCK.write_text(str(os.getpid()))
    share_with_children(lock)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign_off() -> None:
    """Tell the next run that we are ending, so that it waits rather than gives up."""
    if LOCK.exists() and LOCK.read_text() == str(os.getpid()):
        LOCK.write_text("")


def _holder_lives() -> bool:
    holder = LOCK.read_text()
    return holder.isdigit() and Path("/proc", holder).exists()


def _store(stack: contextlib.ExitStack, children: list[Child]) -> str:
    url = os.environ.get("MONGODB_URL")
    if url:
        say("Store: yours, from MONGODB_URL")
        if not answers(url, timeout_s=5):
            raise LauncherError("The MongoDB server of MONGODB_URL does not answer.")
        return "yours, from MONGODB_URL"
    say("Store: the embedded MongoDB server")
    server = stack.enter_context(mongodb(STATE / "mongodb", free_port(MONGODB_PORT)))
    children.append(server.child)
    os.environ["MONGODB_URL"] = server.url
    return f"{server.url}  (embedded, data in .run/mongodb)"


def _demo(stack: contextlib.ExitStack, children: list[Child]) -> str | None:
    if os.environ.get("DEMO") == "0":
        return None
    say("Demo source: PostgreSQL with a small shop")
    source = stack.enter_context(shop(STATE))
    children.append(source.child)
    os.environ["DEMO_SOURCE_URL"] = source.url
    # For connections that name it: the documentation's example, that is.
    os.environ["ETL_SECRET_DEMO_SHOP_PASSWORD"] = source.password
    return f"{source.url}  (may only read)"


def _prepare() -> str:
    """Bring the store up to date; return the admin's login, as far as we know it."""
    environment = {**os.environ, "ADMIN_PASSWORD_FILE": str(PASSWORD_FILE)}
    result = subprocess.run(
        [sys.executable, "-m", "devtools.prepare"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise LauncherError("The store could not be prepared; the lines above say why.")
    if result.stdout.strip() == "known":
        return f"login {ADMIN}, password {PASSWORD_FILE.read_text().strip()}"
    return "with the login you chose"


def _programs(stack: contextlib.ExitStack, port: int) -> list[Child]:
    """Start the programs of the service, their lines under their names, and wait for the API."""
    say(f"API on port {port}")
    os.environ["PORT"] = str(port)
    children = {
        name: stack.enter_context(
            running(
                f"The process {name}", [sys.executable, *arguments], label=name, stop_timeout_s=20
            )
        )
        for name, arguments in (PROGRAMS | _workers()).items()
    }
    wait_until(lambda: _healthy(port), children["api"])
    return list(children.values())


def _workers() -> dict[str, list[str]]:
    """Return the workers to start: one, unless WORKERS says how many."""
    text = os.environ.get("WORKERS", "").strip() or "1"
    if not text.isdigit():
        raise LauncherError(f'WORKERS="{text}" is no number: 0 starts no worker, 1 is the default.')
    names = [f"worker{number}" if number > 1 else "worker" for number in range(1, int(text) + 1)]
    return dict.fromkeys(names, WORKER)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _closing_lines(running: Running) -> str:
    base = f"http://{LOOPBACK}:{running.port}"
    api = base + "/" + os.environ.get("API_V1_PREFIX", "/api/v1").strip("/")
    is_open = os.environ.get("API_AUTH", "").lower() == "open"
    access = (
        "(open: whoever is on this machine is an admin; API_AUTH=required asks for tokens)"
        if is_open
        else "(asks for a token: python manage.py create_token NAME --role ROLE)"
    )
    demo = f"\n  Demo source    {running.demo}" if running.demo else ""
    return f"""
The ETL engine is up.

  API            {api}  {access}
  Documentation  {base}/docs
  Admin          {base}/admin/  {running.admin}
  Store          {running.store}{demo}

Try it:

  curl -s {api}/connections

Ctrl-C stops everything; the data stay for the next `make run`.
"""


if __name__ == "__main__":
    sys.exit(main())
