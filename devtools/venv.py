"""Make the virtual environment, or leave it alone when nothing it is made of has changed.

Only the standard library here: this runs before there is anything else.
"""

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from devtools.console import LauncherError, fail, say
from devtools.packages import Need, ensure_programs, install_packages

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "stamp"
REQUIREMENTS = (
    "constraints.txt", "requirements.txt", "requirements-mysqlclient.txt", "requirements-dev.txt",
)  # fmt: skip


def main() -> int:
    lock = ROOT / ".run" / "venv.lock"
    lock.parent.mkdir(mode=0o711, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            ensure()
        except LauncherError as error:
            return fail(error)
        except KeyboardInterrupt:
            return 130
    return 0


def ensure() -> None:
    """Bring `.venv` to what the requirement files say.

    Raises LauncherError.
    """
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted and _works():
        return
    started = time.monotonic()
    if not _works():
        _create()
    say("Installing Python packages into .venv (a minute or two the first time)")
    _run(
        [VENV / "bin" / "python", "-m", "pip", "install", "--quiet",
         "--disable-pip-version-check", "-r", ROOT / "requirements-dev.txt"],
        "Installing the Python packages failed",
    )  # fmt: skip
    _add_mysqlclient()
    STAMP.write_text(wanted)
    say(f"Python packages are in place ({time.monotonic() - started:.0f} s)")


def _add_mysqlclient() -> None:
    """Build the driver that has no wheel, where the compiler is here or may be installed."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    needs = [
        Need("cc", "gcc"),
        Need("pkg-config", "pkg-config"),
        Need("mariadb_config", "libmariadb-dev"),
    ]
    try:
        ensure_programs(needs)
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            install_packages([f"python{version}-dev"])
        _run(
            [VENV / "bin" / "python", "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", "-r", ROOT / "requirements-mysqlclient.txt"],
            "Building mysqlclient failed",
        )  # fmt: skip
    except LauncherError as error:
        say(f"Going on without mysqlclient, PyMySQL serves alone: {error}")


def fingerprint() -> str:
    """Return a digest of everything the environment is made of."""
    digest = hashlib.sha256()
    for name in REQUIREMENTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _works() -> bool:
    """Tell whether `.venv` runs, with pip: the Python it was made of may be gone."""
    python = VENV / "bin" / "python"
    return python.exists() and (
        subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)
        .returncode == 0
    )  # fmt: skip


def _create() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if importlib.util.find_spec("ensurepip") is None:
        # Debian ships ensurepip apart from Python.
        install_packages([f"python{version}-venv"])
    shutil.rmtree(VENV, ignore_errors=True)
    say(f"Making .venv with Python {version}")
    _run([sys.executable, "-m", "venv", VENV], "Making .venv failed")


def _run(command: list[str | Path], failure: str) -> None:
    result = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise LauncherError(f"{failure}:\n{(result.stderr or result.stdout).strip()}")


if __name__ == "__main__":
    sys.exit(main())
