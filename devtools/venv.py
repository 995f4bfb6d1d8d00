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
import tempfile
import time
from pathlib import Path

from devtools.console import LauncherError, fail, say
from devtools.packages import Need, ensure_programs, install_packages

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "stamp"
REQUIREMENTS = ("constraints.txt", "requirements.txt", "requirements-dev.txt")


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
    _install()
    STAMP.write_text(wanted)
    say(f"Python packages are in place ({time.monotonic() - started:.0f} s)")


def _install() -> None:
    """Install the packages; without the one that has no wheel, where it cannot be built."""
    try:
        _prepare_build()
        _pip_install(ROOT)
    except LauncherError as error:
        say(f"Trying without mysqlclient, PyMySQL serves alone then: {error}")
        with tempfile.TemporaryDirectory() as folder:
            for name in REQUIREMENTS:
                lines = (ROOT / name).read_text().splitlines(keepends=True)
                kept = [line for line in lines if not line.startswith("mysqlclient==")]
                Path(folder, name).write_text("".join(kept))
            _pip_install(Path(folder))


def _prepare_build() -> None:
    """Have what mysqlclient is built with, where it is here or may be installed."""
    ensure_programs(
        [
            Need("cc", "gcc"),
            Need("pkg-config", "pkg-config"),
            Need("mariadb_config", "libmariadb-dev"),
        ]
    )
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        install_packages([f"python{sys.version_info.major}.{sys.version_info.minor}-dev"])


def _pip_install(folder: Path) -> None:
    _run(
        [VENV / "bin" / "python", "-m", "pip", "install", "--quiet",
         "--disable-pip-version-check", "-r", folder / "requirements-dev.txt"],
        "Installing the Python packages failed",
    )  # fmt: skip


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
